"""The command line: no abbreviations, suggestions, help, and tables that fit a terminal."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from workspace import ROOT

from context_fbr_tools.cli import GROUPS, command_line
from context_fbr_tools.grid.table import Row, State, table
from context_fbr_tools.study import experiments, show
from context_fbr_tools.study.text_tables import table as text_table


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    from context_fbr_tools import cli

    with pytest.raises(SystemExit) as ended:
        cli.run(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["grid", "run", "--job", "2"], "--jobs"),
        (["grid", "run", "--per", "2"], "--per-gpu"),
        (["predict", "a", "b", "--out", "c", "--over"], "--overwrite"),
        (["diff", "HEAD", "--fail-on-regressions"], "--fail-on-regression"),
        (["verify", "a", "--jsn", "b"], "--json"),
        (["shwo"], "show"),
        (["grid", "rnu"], "run"),
        (["task", "initt", "a"], "init"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_is_not_an_option_or_a_command_is_refused_with_what_was_meant(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """U1: an abbreviation would start the whole study."""
    assert f"did you mean {meant}?" in refused(arguments, capsys).splitlines()[0]


def test_no_command_takes_abbreviations() -> None:
    for name, command in command_line().commands.items():
        assert command.allow_abbrev is False, name
        for action in command._actions:
            for option in action.option_strings:
                if option.startswith("--") and len(option) > 4:
                    assert command._get_option_tuples(option[:-1]) == [], (name, option)


def test_the_help_has_every_command_once_in_a_group_with_an_example_that_it_accepts() -> None:
    """U9."""
    line = command_line()
    root = line.finished()
    text = root.format_help()
    assert all(f"\n{group}:\n" in text for group in GROUPS)
    assert len(line.commands) == len(line.examples) == sum(map(len, GROUPS.values()))
    for (name, command), example in zip(line.commands.items(), line.examples, strict=True):
        assert len(re.findall(rf"^  {re.escape(name)}  +\S", text, re.MULTILINE)) == 1
        assert f"example:\n  {example}" in command.format_help()
        words = example.replace("'", "").split()
        assert words[0] == "context-fbr"
        assert " ".join(words[1:]).startswith(name)
        assert "run" in root.parse_args(words[1:])


def test_every_file_of_a_command_is_in_a_group_of_the_help() -> None:
    folder = ROOT / "src/context_fbr_tools/commands"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.py")}
    listed = {"/".join(module.__name__.split(".")[-2:]) for group in GROUPS.values() for module in group}
    assert {name for name in files if not name.endswith("__init__")} == listed


def test_the_bare_command_and_its_module_print_help_and_version() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = [sys.executable, "-m", "context_fbr_tools"]
    bare, version = (
        subprocess.run([*run, *more], env=environment, capture_output=True, text=True, check=True).stdout
        for more in ([], ["--version"])
    )
    assert "grid run" in bare
    assert re.fullmatch(r"context-fbr \d+\.\d+\.\d+\n", version)


def test_make_without_a_target_lists_them_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for target in ([], ["help"]):
        done = subprocess.run(["make", *target], cwd=tmp_path, capture_output=True, text=True, check=True)
        for name in ("repro", "smoke", "test", "test-slow", "test-long", "lint", "clean"):
            assert re.search(rf"^ *make {name} +\S", done.stdout, re.MULTILINE), name
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


ROWS = [
    Row("spheres-attention_unet-32-1", State.RUNNING, 12, 24, 0.875, 65.0, "a note of some length"),
    Row("spheres-unet-32-1", State.NOT_SUBMITTED),
]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (120, ["cell", "state", "epoch", "Dice", "time", "note"]),
        (80, ["cell", "state", "epoch", "Dice", "time"]),
        (64, ["cell", "state", "epoch", "Dice"]),
        (52, ["cell", "state", "Dice"]),
        (45, ["cell", "Dice"]),
        (30, ["cell"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_cuts_none(width: int, columns: list[str]) -> None:
    """U8: Dice is the last to go."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(ROWS, 10, 70.0, width))
    head, *rows = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert head.split() == columns
    assert max(map(len, rows)) <= width
    assert "…" not in "".join(line for line in rows[:2] if "note" not in columns)
    assert ("0.875" in rows[0]) is ("Dice" in columns)


def test_a_table_is_wrapped_to_the_terminal_and_loses_no_word() -> None:
    rows = [
        ("name", "text", "number"),
        ("a", "several words that are longer than their column is", "0.5 [0.4, 0.6]"),
    ]
    wide, narrow = text_table(rows, markdown=False), text_table(rows, markdown=False, width=50)
    assert max(map(len, wide.splitlines())) > 50 >= max(map(len, narrow.splitlines()))
    assert sorted(narrow.replace("-", "").split()) == sorted(wide.replace("-", "").split())


METRICS = {"cells_not_converged": 0, "spheres": {"unet": {"dice_16": 0.91, "dice_32": 0.95, "dice_48": 0.9}}}


def state(
    rev: str, name: str, rate: float | None, metrics: object = METRICS, **more: object
) -> dict[str, object]:
    data = {
        "metrics": {"metrics/headline/spheres.json": {"data": metrics}} if metrics else None,
        "params": {"params.yaml": {"data": {"train": {"learning_rate": rate, "threads": 1}}}},
    }
    return {"rev": rev, "name": name, "data": data, **more}


def test_experiments_are_columns_with_all_scores_and_the_parameters_that_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U2: also before any has finished, and in parts where they have no room side by side."""
    running = {
        "revs": [state("c" * 40, "loud-mole", 0.02, None)],
        "name": "loud-mole",
        "executor": {"state": "running"},
    }
    finished = {"revs": [state("d" * 40, "calm-owl", 0.01)], "name": "calm-owl", "executor": None}
    shown = [state("workspace", "", 0.005), state("b" * 40, "main", 0.005, experiments=[running, finished])]
    monkeypatch.setattr(experiments.process, "ask", lambda *_: json.dumps(shown))
    assert experiments.show([], 200) == 0
    text = capsys.readouterr().out
    head, _, *rows = (line.split() for line in text.splitlines())
    assert head == ["workspace", "main", "loud-mole", "calm-owl"]
    assert rows == [
        ["state", "finished", "finished", "running", "finished"],
        ["cells_not_converged", "0", "0", "-", "0"],
        ["spheres.unet.dice_16", "0.91", "0.91", "-", "0.91"],
        ["spheres.unet.dice_32", "0.95", "0.95", "-", "0.95"],
        ["spheres.unet.dice_48", "0.9", "0.9", "-", "0.9"],
        ["train.learning_rate", "0.005", "0.005", "0.02", "0.01"],
    ]
    experiments.show([], 50)
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 50
    assert sorted(set(narrow.split())) == sorted(
        set(text.split()) - {w for w in text.split() if set(w) == {"-"} and len(w) > 1}
        | {w for w in narrow.split() if set(w) == {"-"}}
    )
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(experiments.process, "call", lambda *words: calls.append(words) or 0)
    experiments.show(["--csv", "-A"], 80)
    assert calls[0][-2:] == ("--csv", "-A")


def leaf(mean: float) -> dict[str, object]:
    return {
        "dice_mean": mean,
        "dice_mean_low": mean - 0.1,
        "dice_mean_high": mean + 0.1,
        "not_converged": 0,
        "seeds": 3,
    }


def finding(name: str, estimate: float | None) -> dict[str, object]:
    return {
        "id": name, "task": "mine", "role": "primary", "statement": f"statement {name}", "estimate": estimate,
        "low": None, "high": None, "verdict": "not decided", "reason": "", "not_converged": 0, "cells": 3,
        "p_holm": None, "parts": [], "depends_on_case": None,
        **{f"{of}_{name}": None for of in ("surface", "published") for name in ("estimate", "low", "high")},
    }  # fmt: skip


def test_the_results_begin_with_the_best_patch_and_leave_out_what_the_study_does_not_have(
    tmp_path: Path,
) -> None:
    """U4."""
    models = {"unet": {"16": leaf(0.5), "32": leaf(0.8), "48": leaf(0.7)}}
    (tmp_path / "summary.json").write_text(json.dumps({"mine": models}))
    absent = [{"id": name, "task": "mine", "reason": "no data"} for name in "bc"]
    tree = {"confidence": 0.95, "findings": [finding("a", 0.5)], "not_asked": absent}
    (tmp_path / "findings.json").write_text(json.dumps(tree))
    (tmp_path / "differences.csv").write_text(
        "task,varied,model_a,patch_size_a,model_b,patch_size_b,dice_difference,dice_difference_low,dice_difference_high\n"
        "mine,patch_size,unet,16,unet,32,0.3,0.2,0.4\nmine,patch_size,unet,32,unet,48,-0.1,-0.3,0.05\n"
    )
    (tmp_path / "paper_means.csv").write_text((ROOT / "metrics/paper_means.csv").read_text())
    text = show.render(tmp_path, markdown=False)
    row = text.splitlines()[4]
    assert row.split()[:3] == ["UNet", "32", "0.800"]
    assert row.endswith("+0.100 [-0.050, +0.300] (patch 48)")
    assert "statement b" not in text
    (without,) = [line for line in text.splitlines() if "no data" in line]
    assert without == "Not asked: b (no data), c (no data)."
    assert "paper profile" not in text
    assert "best" not in show.render(tmp_path, markdown=True)


COMPLETE = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={place}
_shtab_context_fbr
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("context-fbr sho", {"show"}),
        ("context-fbr grid ''", {"run", "submit", "status", "logs", "cancel", "collect"}),
        ("context-fbr grid run --j", {"--jobs"}),
        ("context-fbr show da", {"data"}),
    ],
)
def test_bash_completes_commands_options_and_files(
    tmp_path: Path, words: str, expected: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from context_fbr_tools import cli

    assert cli.run(["completion", "bash"]) is None
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "data").mkdir()
    commands = COMPLETE.format(script=script, words=words, place=len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from context_fbr_tools import cli

    cli.run(["completion", shell])
    script = capsys.readouterr().out
    assert all(name.rpartition(" ")[2] in script for name in command_line().commands)
