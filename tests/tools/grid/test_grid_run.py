"""`context-fbr grid run`: which cells, in which order, on which GPUs, and what is seen of them."""

import io
import itertools
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from workspace import Workspace

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.core.errors import UserError
from context_fbr.training.cell import follow
from context_fbr.training.history import Epoch
from context_fbr.training.tracking import NullTracker
from context_fbr_tools import cli
from context_fbr_tools.grid import gpus, log_lines, order, pool, tasks_here
from context_fbr_tools.grid.board import Board
from context_fbr_tools.grid.start import preloaded, processes
from context_fbr_tools.grid.table import Row, State, clock, table, visible
from context_fbr_tools.study import select_cells

UNET = Cell("spheres", "unet", 32, 1)


@pytest.fixture
def study(params: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """27 cells; nothing was measured."""
    monkeypatch.chdir(params.parent)
    return read_study(Document.read(params))


def test_of_a_study_without_paper_nothing_follows_if_no_task_is_whole() -> None:
    """DVC without a name would run the whole pipeline, the failed cell first."""
    known = ["analyze@mine", "overlay@mine", "compare"]
    assert tasks_here.last_stages([], alone=True, compared=False, known=known) == ()
    assert tasks_here.last_stages([], alone=True, compared=True, known=known) == ("-s", "-k", "compare")
    assert tasks_here.last_stages(["mine"], alone=False, compared=True) == ("-k",)


# Which cells


def test_keys_and_patterns_mean_cells_each_once_in_the_order_of_the_grid(study: Study) -> None:
    found = select_cells.chosen(
        ["spheres-unet-48-1", "spheres-unet-*-1", "spheres-unetr-1[6]-2"], study.grid.cells
    )
    assert [cell.key for cell in found] == [
        "spheres-unet-16-1", "spheres-unet-32-1", "spheres-unet-48-1", "spheres-unetr-16-2",
    ]  # fmt: skip


def test_names_of_no_cell_are_refused_together_with_the_nearest_keys(study: Study) -> None:
    names = ["spheres-unet-16-1", "spheres-unet-16-7", "unet", "spleen-*", "unet"]
    with pytest.raises(UserError) as caught:
        select_cells.chosen(names, study.grid.cells)
    outside, no_key, pattern = caught.value.problems
    assert outside.startswith("spheres-unet-16-7: is not in the grid of params.yaml; nearest of the 27")
    assert "spheres-unet-16-1" in outside
    assert no_key.startswith("unet: is no cell: its key is TASK-MODEL-PATCH_SIZE-SEED")
    assert pattern.startswith("spleen-*: matches no cell of the grid")


def test_cells_are_refused_before_anything_runs(study: Study) -> None:
    with pytest.raises(UserError, match="spheres-unet-99-1: is not in the grid"):
        grid_run("spheres-unet-99-1")


def grid_run(*arguments: str) -> None:
    options: Namespace = cli.command_line().finished().parse_args(["grid", "run", *arguments])
    options.run(options)


# In which order


def test_without_measurements_large_patches_and_costly_networks_start_first(study: Study) -> None:
    cells = [cell for cell in study.grid.cells if cell.seed == 1]
    started = [(cell.patch_size, cell.model) for cell in order.longest_first(cells, study, {})]
    for size in (16, 32, 48):
        models = [model for patch_size, model in started if patch_size == size]
        assert models == ["unetr", "attention_unet", "unet"]
    for model in study.grid.models:
        assert [size for size, other in started if other == model] == [48, 32, 16]


MEASURED_S = {"unet": (5.6, 13.2, 29.1), "attention_unet": (10.3, 37.5, 111.8), "unetr": (21.6, 62.1, 169.3)}
"""Trainings of the desk study, patches of 16, 32 and 48 voxels, one CPU core: metrics/provenance at 3f8a73b."""


def test_without_measurements_the_order_is_nearly_that_of_real_trainings(study: Study) -> None:
    """Pairs of which one takes more than twice as long."""
    seconds = {
        Cell("spheres", model, size, 1): value
        for model, values in MEASURED_S.items()
        for size, value in zip((16, 32, 48), values, strict=True)
    }
    estimated = order.estimates(list(seconds), study, {})
    pairs = [(a, b) for a, b in itertools.permutations(seconds, 2) if seconds[a] > 2 * seconds[b]]
    assert len(pairs) > 20
    assert all(estimated[longer] > estimated[shorter] for longer, shorter in pairs)


def test_more_epochs_and_more_volumes_take_longer(
    study: Study, change: Callable[[str, str], Document]
) -> None:
    change("patch_sizes: [16, 32, 48]", "patch_sizes: [16, 32]")
    more_epochs = read_study(change("      epochs: 24", "      epochs: 48"))
    change("{train: 16, validation: 4, test: imagesTs}", "{train: 8, validation: 4, test: imagesTs}")
    fewer_volumes = read_study(Document.read())
    (before,) = order.estimates([UNET], study, {}).values()
    assert order.estimates([UNET], more_epochs, {}) == {UNET: 2 * before}
    assert order.estimates([UNET], fewer_volumes, {}) == {UNET: before}  # twice the epochs, half the volumes


def test_a_measured_time_counts_before_another_seed_s_and_that_before_an_estimate(study: Study) -> None:
    other_seeds = {Cell("spheres", "unet", 32, seed): seconds for seed, seconds in ((2, 70.0), (3, 90.0))}
    measured = {Cell("spheres", "unet", 16, 1): 900.0, **other_seeds}
    assert order.estimates([UNET], study, measured) == {UNET: 80.0}
    assert order.estimates([UNET], study, {**measured, UNET: 5.0}) == {UNET: 5.0}
    shortest = [Cell("spheres", "unet", size, 1) for size in (16, 32)]  # as measured, against all expectation
    assert order.longest_first([UNET, shortest[0]], study, measured) == shortest


def test_what_was_never_measured_is_estimated_in_the_seconds_of_what_was(study: Study) -> None:
    larger, costly = Cell("spheres", "unet", 48, 1), Cell("spheres", "unetr", 32, 1)
    seconds = order.estimates([UNET, larger, costly], study, {UNET: 10.0})
    # Two patches as large as the volume are equal, and computed once.
    assert seconds[larger] == pytest.approx(10 * (48 / 32) ** 3 / 2)
    assert 20 < seconds[costly] < 100


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"seconds": 12.5, "resumed": false}', 12.5),
        ('{"seconds": 12.5, "resumed": true}', None),
        ('{"seconds": 0, "resumed": false}', None),
        ('{"seconds": NaN, "resumed": false}', None),
        ('{"seconds": Infinity, "resumed": false}', None),
        ('{"seconds": null, "resumed": false}', None),
        (f'{{"seconds": 1{"0" * 400}, "resumed": false}}', None),
        ('{"resumed": false}', None),
        ('["seconds"]', None),
        ("<<<<<<< HEAD", None),
        ("\udcff", None),
        (None, None),
    ],
)
def test_provenance_measures_a_training_that_ran_in_one_piece_and_else_nothing(
    study: Study, content: str | None, found: float | None
) -> None:
    if content is not None:
        path = UNET.provenance("train")
        path.parent.mkdir(parents=True)
        path.write_bytes(content.encode(errors="surrogateescape"))
    assert order.measurements(study.grid.cells) == ({} if found is None else {UNET: found})


# On which GPUs


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTEXT_FBR_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("jobs", "chosen", "per_gpu", "expected"),
    [
        (None, "0,1", None, (2, "cuda:0,cuda:1")),
        (None, "1", None, (1, "cuda:1")),
        (None, "1, 0", 3, (6, "cuda:1,cuda:0")),
        (4, "0,1", None, (4, "cuda:0,cuda:1")),
        (3, "0,1", 2, (3, "cuda:0,cuda:1")),
        (None, None, 2, (4, None)),
        (None, None, None, (2, None)),
    ],
)
def test_cells_at_once_follow_from_the_gpus_and_what_each_may_hold(
    study: Study, jobs: int | None, chosen: str | None, per_gpu: int | None, expected: tuple[int, str | None]
) -> None:
    found = gpus.places(study, jobs, chosen, per_gpu)
    assert (found.jobs, found.environment.get("CONTEXT_FBR_DEVICE")) == expected


def test_each_gpu_of_the_variable_holds_so_many_cells(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cuda:0, cuda:2,")
    assert gpus.places(study, None, None, 3) == gpus.Places(6, ("cuda:0", "cuda:2"), {})


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--gpus", "x"], "--gpus x: 'x' is no number of a GPU; expected such as 0,1"),
        (["--gpus", "0,"], "--gpus 0,: '' is no number of a GPU; expected such as 0,1"),
        (["--gpus=-1"], "--gpus -1: '-1' is no number of a GPU; expected such as 0,1"),
        (["--gpus", "²"], "--gpus ²: '²' is no number of a GPU; expected such as 0,1"),
        (["--gpus", "1,0,1"], "--gpus 1,0,1: 1 is given more than once; for more cells on each: --per-gpu"),
        (["--gpus", "0,7"], "--gpus 0,7: there is no 7; PyTorch finds 2 CUDA devices here, 0, 1"),
        (
            ["--jobs", "5", "--per-gpu", "2"],
            "--jobs 5: --per-gpu 2 on 2 GPUs is 4 cells at once; leave one of them out",
        ),
    ],
)
def test_gpus_that_make_no_sense_are_refused_in_one_line(
    study: Study, arguments: list[str], problem: str
) -> None:
    with pytest.raises(UserError) as caught:
        grid_run(*arguments)
    assert caught.value.problems == (problem,)


def test_gpus_are_refused_where_there_are_none(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("CONTEXT_FBR_DEVICE", raising=False)
    with pytest.raises(UserError, match=r"^--per-gpu 2: PyTorch finds no CUDA device here; leave it out$"):
        grid_run("--per-gpu", "2")
    with pytest.raises(UserError, match=r"^--gpus 0: there is no 0; PyTorch finds no CUDA device here$"):
        grid_run("--gpus", "0")
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cpu")
    with pytest.raises(UserError, match=r"^--per-gpu 2: CONTEXT_FBR_DEVICE=cpu names none; leave it out$"):
        grid_run("--per-gpu", "2")


# What is seen of them


def epoch(number: int, dice: float) -> Epoch:
    return Epoch(
        number=number, learning_rate=0.1, loss=0.5, step_losses=(), foreground_ratios=(), validation_dice=dice,
        skipped_steps=0, weights={},
    )  # fmt: skip


def test_what_a_training_prints_in_a_log_is_read_as_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    follow(UNET, [epoch(4, 0.25), epoch(8, float("nan")), epoch(12, 0.75)], 24, [], NullTracker())
    lines = capsys.readouterr().out.splitlines()
    found = [log_lines.progress(line, UNET.key) for line in lines]
    assert [(each.epoch, each.epochs) for each in found if each] == [(4, 24), (8, 24), (12, 24)]
    assert found[0] is not None
    assert found[0].dice == 0.25


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("Running stage 'train@spheres-unet-32-1':\n", None),
        ("spheres-unet-32-1: resumes in epoch 3 after step 12\n", None),
        ("spheres-unet-32-1: epoch 4/24, loss 0.5\n", None),
        ("spheres-unet-32-11: epoch 4/24, loss 0.5, validation Dice 0.5 (best 0.5 at 4)\n", None),
        # the end of a log that begins within a line of another cell
        ("x-spheres-unet-32-1: epoch 4/24, loss 0.5, validation Dice 0.5 (best 0.5 at 4)\n", None),
        (
            "/24, loss 0.5, validation Dice 0.2 (best 0.2 at 4)\n"
            "spheres-unet-32-1: epoch 8/24, loss 0.5, validation Dice 0.5 (best 0.5 at 8)\n"
            "spheres-unet-32-1: epoch 12/24, loss 0.5, validation Dice 0.625 (best 0.625 at 12)\n"
            "spheres-unet-32-1: epoch 16/24, lo",
            log_lines.Progress(12, 24, 0.625),
        ),
    ],
)
def test_the_last_progress_of_a_text_counts(text: str, found: log_lines.Progress | None) -> None:
    assert log_lines.progress(text, UNET.key) == found


CACHED = "Stage '{}@spheres-unet-32-1' is cached - skipping run, checking out outputs\n"
UNCHANGED = "Stage '{}@spheres-unet-32-1' didn't change, skipping\n"


@pytest.mark.parametrize(
    ("text", "cached"),
    [
        (CACHED.format("train") + "\n" + CACHED.format("evaluate"), True),
        (UNCHANGED.format("train") + CACHED.format("evaluate"), True),
        (UNCHANGED.format("train") + "Running stage 'evaluate@spheres-unet-32-1':\n", False),
        ("Running stage 'train@spheres-unet-32-1':\n" + CACHED.format("evaluate"), False),
        ("", False),
    ],
)
def test_a_cell_is_cached_if_dvc_skipped_both_of_its_stages(text: str, cached: bool) -> None:
    assert log_lines.is_cached(text, UNET) is cached


def drawn(rows: list[Row], height: int = 24, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(table(rows, height, 3725.4, width))
    return console.export_text().splitlines()


def test_a_row_shows_state_epochs_dice_time_and_what_is_to_be_said() -> None:
    rows = [
        Row("spheres-unet-16-1", State.RUNNING, 8, 24, 0.9126, 65.9),
        Row("spheres-unet-16-2", State.FAILED, seconds=3.0, note="exit status [1] of [bold]DVC\nand more"),
        Row("spheres-unet-16-3", State.WAITING),
    ]
    header, running, failed, waiting, summary = drawn(rows)
    assert header.split() == ["cell", "state", "epoch", "Dice", "time", "note"]
    assert re.fullmatch(r"spheres-unet-16-1 +running +8/24 +━{3,}[╸╺ ━]* +0\.913 +0:01:05 *", running)
    assert re.fullmatch(
        r"spheres-unet-16-2 +FAILED +0:00:03 +exit status \[1\] of \[bold\]DVC *", failed
    )  # no markup
    assert waiting.split() == ["spheres-unet-16-3", "waiting"]
    assert summary.rstrip() == "3 cells: 1 running, 1 FAILED, 1 waiting; 1:02:05"
    assert "note" not in drawn(rows[:1])[0]


def test_a_bar_is_as_long_as_the_part_of_the_epochs_that_is_done() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    lengths = []
    for done in (0, 6, 12, 18, 24):
        console.file = io.StringIO()
        console.print(table([Row("a", State.RUNNING, done, 24, 0.5, 1.0)], 24, 1.0))
        bar = next(line for line in console.file.getvalue().splitlines() if f"{done}/24" in line)
        coloured = re.findall(r"\x1b\[([\d;]+)m([━╸]+)", bar)
        lengths.append(sum(len(text) for style, text in coloured if style != "38;5;237"))
    assert lengths == [0, 3, 6, 9, 12]


def test_a_table_never_has_more_lines_than_the_terminal_nor_wraps() -> None:
    rows = [
        Row(f"spheres-attention_unet-32-{i}", State.RUNNING, 1, 100, 0.5, 1.0, "a note " * 9)
        for i in range(60)
    ]
    for height, width in itertools.product((4, 5, 10, 61, 62, 63, 200), (20, 40, 80, 200)):
        lines = drawn(rows, height, width)
        assert len(lines) == min(height, 62)
        assert all(len(line) <= width for line in lines)


def test_a_long_note_is_cut_and_takes_no_room_from_the_other_columns() -> None:
    rows = [Row("spheres-unet-32-1", State.LOST, 1, 100, 0.5, 1.0, "a" * 500), Row("b", State.WAITING)]
    head, first, *_ = drawn(rows, 6, 120)
    assert head.split() == ["cell", "state", "epoch", "Dice", "time", "note"]
    assert first.split()[:3] == ["spheres-unet-32-1", "lost", "1/100"]
    assert first.endswith("aaa…")
    assert len(first) == 120


def test_where_rows_have_no_room_the_urgent_come_first_and_one_line_counts_the_rest() -> None:
    ended = {"a": 50.0, "b": 20.0, "c": 90.0}
    rows = [Row(key, State.DONE, seconds=1.0, ended=at) for key, at in ended.items()]
    rows += [
        Row("d", State.RUNNING),
        Row("e", State.FAILED, seconds=1.0, ended=10.0),
        Row("f", State.WAITING),
        Row("g", State.WAITING),
        Row("h", State.NOT_SUBMITTED),
    ]
    assert "".join(row.key for row in visible(rows, 8)) == "abcdefgh"  # all have room: nothing moves
    for lines in range(2, 8):
        assert "".join(row.key for row in visible(rows, lines)) == "decabfgh"[: lines - 1]
    text = drawn(rows, height=7)
    assert [line.split()[0] for line in text] == ["cell", "d", "e", "c", "a", "and", "8"]
    assert text[-2].startswith("and 4 cells that have no room here")
    assert text[-1].startswith("8 cells: 1 running, 1 FAILED, 3 done, 2 waiting, 1 not submitted; ")


def test_every_state_can_be_shown() -> None:
    rows = [Row(state.name, state) for state in State]
    for lines in (30, 5):
        assert len(drawn(rows, lines)) <= lines


def test_a_clock_counts_hours_beyond_the_day() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 3600, 30 * 3600 + 61)] == [
        "0:00:00", "0:00:59", "1:00:00", "30:01:01",
    ]  # fmt: skip


SAID = f"{UNET.key}: epoch 4/24, loss 0.5, validation Dice 0.875 (best 0.875 at 4)\n"


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on CI, where a log is not a terminal
    with Board([UNET.key, "b", "c"]) as board:
        for key in (UNET.key, "b", "c"):
            board.started(key)
        board.said(UNET.key, "Running stage\n")
        board.said(UNET.key, SAID)
        board.ended(UNET.key, State.DONE, 11.6)
        board.ended("b", State.CACHED, 1.0)
        board.ended("c", State.FAILED, 2.4)
    assert capsys.readouterr().out.splitlines() == [
        SAID.rstrip(),
        f"[1/3] {UNET.key} done in 12 s",
        "[2/3] b cached in 1 s",
        "[3/3] c FAILED in 2 s",
    ]


def test_a_terminal_gets_a_table_whose_last_state_stays(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=9, color_system=None)
    with Board([UNET.key, "b"], console) as board:
        board.started(UNET.key)
        board.said(UNET.key, SAID)
        board.ended(UNET.key, State.DONE, 11.6)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    last = text[text.rindex("cell ") :].splitlines()
    assert last[1].split()[:3] == [UNET.key, "done", "4/24"]
    assert last[1].split()[-2:] == ["0.875", "0:00:11"]
    assert last[2].split() == ["b", "waiting"]
    assert last[3].startswith("2 cells: 1 done, 1 waiting; ")
    assert "\x1b[?25h" in text  # the cursor is back
    assert capsys.readouterr().out == ""


def test_what_runs_when_the_run_is_interrupted_is_shown_as_cancelled() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=9, color_system=None)
    with pytest.raises(KeyboardInterrupt), Board(["a", "b"], console) as board:
        board.started("a")
        raise KeyboardInterrupt
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 cells: 1 cancelled, 1 waiting; " in text[text.rindex("cell ") :]


# How they end

STANDS_FOR_DVC = """
import os, sys
print(os.environ["CONTEXT_FBR_DEVICE"])
if "train@b" in sys.argv[-2]:
    print("error: no cell")
    sys.exit(1)
"""


def test_cells_get_the_devices_and_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preloaded, "MIN_CELLS", 100)  # each DVC is a process
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-c", STANDS_FOR_DVC))
    cells = [Cell(task, "unet", 16, 1) for task in ("a", "b", "c")]
    outcomes = pool.run_cells(cells, 1, {"CONTEXT_FBR_DEVICE": "cuda:0,cuda:1"})
    log = Path(".dvc/tmp/context-fbr/logs/b-unet-16-1.log")
    assert [(outcome.cell, outcome.state, outcome.problem) for outcome in outcomes] == [
        (cells[0], State.DONE, None),
        (cells[1], State.FAILED, f"no cell (log: {log})"),
        (cells[2], State.DONE, None),
    ]
    assert log.read_text() == "cuda:0,cuda:1\nerror: no cell\n"


FOLLOWS = """
import sys
print(sys.argv[-2:])
with open("calls", "a") as file:
    print(*sys.argv[-2:], file=file)
sys.exit("train@b-unet-16-2" in sys.argv[-2])
"""


def test_a_task_is_analysed_as_soon_as_its_last_cell_has_ended_and_not_if_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preloaded, "MIN_CELLS", 100)  # each DVC is a process
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-c", FOLLOWS))
    cells = [Cell(task, "unet", 16, seed) for task in ("a", "b", "c") for seed in (1, 2)]
    pool.run_cells(cells, 1, {}, ("analyze", "overlay"))
    calls = Path("calls").read_text().splitlines()
    assert [call for call in calls if "analyze" in call] == ["analyze@a overlay@a", "analyze@c overlay@c"]
    assert calls.index("analyze@a overlay@a") == 2  # before the first cell of the next task
    assert calls[-1] == "analyze@c overlay@c"
    said = capsys.readouterr().out
    assert ["a: " in said, "b: its results" in said, "c: its results" in said] == [True, False, True]


def test_cells_start_task_by_task_and_the_longest_of_each_first(study: Study) -> None:
    cells = [Cell(task, "unet", size, 1) for size in (16, 48) for task in ("b", "a")]
    assert [(cell.task, cell.patch_size) for cell in order.by_task(cells, ("a", "b"))] == [
        ("a", 16), ("a", 48), ("b", 16), ("b", 48),
    ]  # fmt: skip


def test_the_expected_time_counts_trainings_and_evaluations_by_other_seeds_too_and_names_the_unknown(
    study: Study,
) -> None:
    other, unknown = Cell("spheres", "unet", 32, 2), Cell("spheres", "unet", 48, 1)
    path = UNET.provenance("evaluate")
    path.parent.mkdir(parents=True)
    path.write_text('{"seconds": 60, "resumed": false}')
    text = order.expected([UNET, other, unknown], {UNET: 300.0}, 2)  # 2 x 360 s on 2 places
    assert text.startswith("about 6 min, 2 at once")
    assert "unknown for 1 of them" in text
    assert order.expected([UNET], {UNET: 300.0}, 2).startswith("about 6 min")  # one cell has one place
    assert "not known" in order.expected([unknown], {UNET: 300.0}, 2)


# All of it


@pytest.mark.slow
def test_chosen_cells_run_alone_and_a_second_run_finds_them_up_to_date(
    finished: Workspace, tmp_path: Path
) -> None:
    """A new seed of one of two networks; again; then a cell that left dvc.lock but not the run-cache."""
    workspace = finished.copy(tmp_path / "chosen")
    workspace.edit("params.yaml", "seeds: [1]", "seeds: [1, 2]")
    before = workspace.lock()
    run = ("grid", "run", "--jobs", "1", "spheres-unet-*")
    said = workspace.context_fbr(*run).stdout
    assert "1 cells to run, 1 at once; 1 are up to date" in said
    assert re.search(r"^\[1/1\] spheres-unet-16-2 done in \d+ s$", said, re.MULTILINE)
    assert "1 of 4 cells of the grid are still not up to date; `context-fbr grid run` does the rest" in said
    new = {f"{stage}@spheres-unet-16-2" for stage in ("train", "evaluate")}
    after = workspace.lock()
    assert after.keys() == before.keys() | new
    assert {name: entry for name, entry in after.items() if name not in new} == before  # no analysis
    names = workspace.dvc("stage", "list", "--name-only").split()
    assert list(after) == [name for name in names if name in after]

    again = workspace.context_fbr(*run).stdout
    assert "0 cells to run, 1 at once; 2 are up to date" in again
    assert "Running stage" not in again

    workspace.edit("params.yaml", "seeds: [1, 2]", "seeds: [1]")
    lock = workspace.path / "dvc.lock"
    lock.write_text(
        re.sub(r"  (train|evaluate)@spheres-unet-16-1:\n(    .*\n|  - .*\n)*", "", lock.read_text())
    )
    assert len(workspace.lock()) == len(after) - 2
    cached = workspace.context_fbr(*run).stdout  # the run-cache knows it
    assert re.search(r"^\[1/1\] spheres-unet-16-1 cached in \d+ s$", cached, re.MULTILINE)
    assert "all 2 cells of the grid are up to date; `context-fbr grid run` runs the analysis" in cached
