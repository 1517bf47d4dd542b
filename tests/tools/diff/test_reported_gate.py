"""Faults that were found in the gate of pull requests: what passes it, what its comment can be made to say."""

import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from result_repository import LEVELS, SHIFTS, Repository, scores
from ruamel.yaml import YAML
from scipy import stats
from workspace import ROOT

from context_fbr.core.errors import UserError
from context_fbr_tools import cli
from context_fbr_tools.diff.scores import compare_scores
from context_fbr_tools.exchange.published import results as published
from context_fbr_tools.study.text_tables import table

BOTH = pd.concat([scores(LEVELS), scores(LEVELS, model="unetr")])
UNET = BOTH["model"] == "unet"


def changed(**columns: object) -> pd.DataFrame:
    """The results with other values for UNet."""
    rows = BOTH.copy()
    for name, value in columns.items():
        rows.loc[UNET, name] = value
    return rows


ONE_MISSING = BOTH.copy()
ONE_MISSING.loc[3, "dsc"] = np.nan
BASELINE = scores(LEVELS, (1,), "threshold").assign(patch_size=pd.NA, seed=pd.NA)
OTHER_TASK = BOTH.assign(task="spleen")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        pytest.param(BOTH, BOTH.assign(dsc=np.nan), "Dice was defined and is not", id="A5 no Dice"),
        pytest.param(BOTH, changed(dsc=np.nan), "Dice was defined and is not", id="A5 no Dice of a network"),
        pytest.param(BOTH, changed(hausdorff=np.nan), "Hausdorff distance was defined", id="A5 no distance"),
        pytest.param(BOTH, ONE_MISSING, "Dice of 1 test scores was defined", id="A5 one Dice"),
        pytest.param(BOTH, BOTH[~UNET], "in the grid: spheres-unet-16-1", id="A5 rows of a network"),
        pytest.param(BOTH, BOTH[:0], "nothing is compared", id="A5 only the header"),
        pytest.param(BOTH[:0], BOTH[:0], "nothing is compared", id="A5 never had results"),
        pytest.param(BOTH, BOTH.drop(index=4).reset_index(drop=True), "scores are gone", id="A5 one row"),
        pytest.param(BOTH, BOTH[BOTH["seed"] == 1], "in the grid: spheres-unet-16-2", id="A5 a seed"),
        pytest.param(BOTH, changed(model="vit", dsc=0.5), "renamed or replaced", id="A5 a network renamed"),
        pytest.param(BOTH, OTHER_TASK, "tasks renamed or replaced", id="A5 a task renamed"),
        pytest.param(pd.concat([BOTH, BASELINE]), BOTH, "the baseline is gone", id="A5 a baseline"),
    ],
)
def test_results_that_are_lost_do_not_pass_the_gate(
    repository: Repository,
    before: pd.DataFrame,
    after: pd.DataFrame,
    kind: str,
) -> None:
    repository.commit(before)
    repository.commit(after)
    done = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", expect=1)
    assert any(kind in line for line in done.stderr.splitlines()), done.stderr
    assert "**No regressions.**" not in done.stdout


def test_cells_that_left_the_grid_are_no_loss_and_convergence_that_is_unknown_is_one(
    repository: Repository,
    change: Callable[[str, str], object],
) -> None:
    repository.commit(BOTH)
    change("models: [unet, attention_unet, unetr]", "models: [unetr]")
    repository.commit(BOTH[~UNET])
    repository.diff("HEAD~1", "HEAD", "--fail-on-regression")
    cells = repository.path / "metrics/spheres/cells.csv"
    cells.write_text("".join(cells.read_text().splitlines(keepends=True)[:2]))
    repository.commit(None)
    done = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", expect=1)
    assert "no longer tells whether they converged: spheres-unetr-16-2" in done.stderr


def test_cells_with_patches_of_three_edges_and_baselines_beside_them_are_named_when_they_are_gone(
    repository: Repository,
    change: Callable[[str, str], object],
) -> None:
    change("patch_sizes: [16, 32, 48]", "patch_sizes: [16, 32x32x16]")
    whole = pd.concat([BOTH, BOTH.assign(patch_size="32x32x16"), BASELINE])
    thick = (whole["model"] == "unet") & (whole["patch_size"] == "32x32x16")
    for gone, kind in (
        (thick, "in the grid: spheres-unet-32x32x16-1, spheres-unet-32x32x16-2"),
        (whole["model"] == "threshold", "the baseline is gone"),
    ):
        repository.commit(whole)
        repository.commit(whole[~gone.fillna(False)])
        done = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", expect=1)
        (line,) = (line for line in done.stderr.splitlines() if "gone" in line)
        assert kind in line
    change("patch_sizes: [16, 32x32x16]", "patch_sizes: [16]")
    repository.commit(whole)
    repository.commit(whole[whole["patch_size"] != "32x32x16"])
    repository.diff("HEAD~1", "HEAD", "--fail-on-regression")


WORD = "LGTM"
VECTORS = {
    "a heading": f"x\n\n## No regression. {WORD}",
    "a heading after a carriage return": f"x\r\r# {WORD}",
    "a paragraph separator": f"x\u2029# {WORD}\u202e",
    "backticks": f"`` ` {WORD} ``` **{WORD}**",
    "a fence": f"```\n{WORD}\n```",
    "HTML": f"<h1>{WORD}</h1><img src=//evil.example/x>",
    "broken out of details": f"</code></summary></details>\n\n# {WORD}",
    "a comment": f"<!-- {WORD}",
    "a link": f"[{WORD}](http://evil.example)",
    "an image": f"![{WORD}](http://evil.example/x.png)",
    "broken out of an image": f"{WORD}](http://evil.example/x.png)![",
    "an address": f"http://evil.example/{WORD}",
    "a bare address": f"www.evil.example/{WORD}",
    "a mention": f"@octocat {WORD}",
    "mail": f"{WORD}@evil.example",
    "a table": f"a | {WORD} | b",
    "a backslash and a bar": f"a \\| {WORD} \\\\| b",
    "bold": f"**{WORD}** __{WORD}__",
    "an issue": f"#1 {WORD} GH-1",
    "length": "LG" * 40_000,
}
OURS = {"h2", "h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "details", "summary"}  # fmt: skip
HEADINGS = {"Results", "Parameters", "Data", "Packages", "Cells", "Figures that differ", "Code, and the stages that depend on it"}  # fmt: skip


class Seen(HTMLParser):
    """The tags of a page, its headings, and its text outside of code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        self.tags.add(tag)
        self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "code" not in self.open:
            self.text += data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


@pytest.mark.parametrize("vector", [pytest.param(text, id=f"A6 {what}") for what, text in VECTORS.items()])
def test_no_name_or_value_is_markup_in_the_comment(repository: Repository, vector: str) -> None:
    path = repository.path
    key = vector[:500]
    file = vector.replace("/", "_")[:100].encode(errors="surrogateescape").decode()

    def write(number: int) -> None:
        study = YAML(typ="safe").load((ROOT / "tests" / "support" / "study.yaml").read_text())
        study[key] = number
        study["models"]["unet"]["norm"] = f"{vector}{number}"
        study["regression." + key] = number
        (path / "params.yaml").write_text(json.dumps(study, indent=1))  # which is YAML, too
        for folder in ("plots", "metrics", "src"):
            (path / folder).mkdir(exist_ok=True)
            (path / folder / f"{file}.png").write_bytes(b"%d" % number)
        (path / "metrics" / file).write_text(str(number))
        stages = {key: {"cmd": "x", "deps": [f"src/{file}.png"]}}
        outs = [{"path": f"data/raw/{vector}", "md5": f"{number}{vector}", "size": 1, "nfiles": vector}]
        for name, tree in (("dvc.yaml", stages), ("dvc.lock", {key: {"outs": outs}})):
            (path / name).write_text(json.dumps({"stages": tree}))
        first = vector.splitlines()[0] if "\u2029" not in vector else vector
        (path / "constraints.txt").write_text(f"package=={number}{first.replace(' ', '')}\n")

    before, after = scores(LEVELS), scores(LEVELS - SHIFTS)
    names = {"task": vector.replace("\r", "\n"), "model": f"{vector} net".replace("\r", "\n")}
    write(1)
    repository.commit(
        pd.concat([before.assign(**names), before, scores(LEVELS, model=f"old {file}".replace("\r", "\n"))]),
        together=True,
    )
    write(2)
    repository.commit(pd.concat([after.assign(**names), after]), together=True)
    (path / "params.yaml").write_text((ROOT / "tests" / "support" / "study.yaml").read_text())
    done = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", "--json", "facts.json", expect=1)
    url = "https://example.org/{commit}/{path}"
    linked = repository.diff("HEAD~1", "HEAD", "--image-url", url).stdout

    seen = Seen(done.stdout)
    assert seen.tags <= OURS
    assert set(seen.headings[1:]) <= HEADINGS
    assert {"Results", "Parameters", "Data", "Packages"} <= set(seen.headings)
    for part in (WORD, "LGLG", "evil", "@", "http", "www", "#1"):
        assert part not in seen.text
    assert Seen(linked).tags <= {*OURS, "img"}
    assert re.findall(r"""(?:src|href)="(?!https://example\.org/)""", MarkdownIt().render(linked)) == []
    assert all(line.startswith("regression: ") for line in done.stderr.splitlines())
    assert all(character.isprintable() for line in done.stderr.split("\n") for character in line)
    assert len(done.stdout) < 30_000
    assert done.stdout.index("### Results") < done.stdout.index("### Parameters")
    facts = json.loads((path / "facts.json").read_text())
    assert {f"plots/{file}.png"} == set(facts["figures"])
    assert vector[:100] in [change["name"][:100] for change in facts["inputs"]["parameters"]]


def test_a_bar_behind_backslashes_stays_in_its_cell() -> None:
    for slashes in range(5):
        rendered = (
            MarkdownIt()
            .enable("table")
            .render(table([("a", "b"), ("`x" + "\\" * slashes + "| y`", "z")], True))
        )
        assert rendered.count("<td>") == 2
        text = table([("a",), ("`" + "\\" * slashes + "|`",)], markdown=True)
        # GitHub's own parser takes two backslashes for an escaped backslash: an odd number stands before a bar.
        assert len(re.findall(r"(\\+)\|", text)[-1]) % 2 == 1


DAMAGE = {
    "A7 brackets in dvc.lock": ("dvc.lock", b"[" * 120_000),
    "A7 braces in dvc.yaml": ("dvc.yaml", b"{a: " * 60_000),
    "A7 brackets in params.yaml": ("params.yaml", b"grid: " + b"[" * 120_000),
    "A7 dashes": ("dvc.lock", b"- " * 120_000),
    "A8 aliases to a long string": ("params.yaml", b'a: &a "' + b"x" * 20_000 + b'"\nb: &b [' + b"*a," * 2000 + b"]\nc: [" + b"*b," * 2000 + b"]\n"),
    "A8 aliases of aliases": ("dvc.lock", b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 10)) for c in range(97, 107))),
    "A8 a mapping that holds itself": ("dvc.yaml", b"stages: &s {a: *s}\n"),
    "A8 keys of keys": ("params.yaml", b'? "' + b"k" * 900_000 + b'"\n:\n' + b"".join(b"  k%d: 1\n" % n for n in range(5_000))),
    "A8 bytes": ("params.yaml", b"a: " + b"x" * 40_000_000),
    "A8 columns": ("metrics/spheres/cases.csv", b"," * 15_000_000 + b"\n"),
}  # fmt: skip


MAKE_PARAMS: dict[str, Callable[[Path], object]] = {
    "A16 a device": lambda path: path.symlink_to("/dev/zero"),
    "A16 a pipe": os.mkfifo,
    "A16 too large": lambda path: path.write_bytes(b"a: " + b"x" * 20_000_000),
    "A16 a folder": lambda path: path.mkdir(),
}
ALL = """
import io, json, os, sys, time
from contextlib import redirect_stderr, redirect_stdout
from context_fbr.runtime import entry
from context_fbr_tools import cli
import context_fbr_tools.diff.command, context_fbr_tools.diff.report  # takes seconds once
for folder, *arguments in json.load(sys.stdin):
    os.chdir(folder)
    out, err, start, code = io.StringIO(), io.StringIO(), time.process_time(), None
    try:
        with redirect_stdout(out), redirect_stderr(err):
            entry.run_command(cli.run, arguments)
    except SystemExit as ended:
        code = ended.code
    print(json.dumps([code, err.getvalue(), len(out.getvalue()), time.process_time() - start]), flush=True)
"""


@pytest.mark.slow
def test_bombs_are_one_error_each_in_seconds_and_bounded_memory(
    repository: Repository,
    tmp_path: Path,
) -> None:
    """All in one process with 1 GB of memory: its end would be a segmentation fault or a traceback."""
    base = repository.commit(scores(LEVELS))
    commits = {}
    for what, (name, content) in DAMAGE.items():
        repository.git("checkout", "-q", "--detach", base)
        (repository.path / name).write_bytes(content)
        commits[what] = repository.commit(None)
    repository.git("checkout", "-q", base)
    jobs = {what: [str(repository.path), "diff", base, commit] for what, commit in commits.items()}
    for number, (what, make) in enumerate(MAKE_PARAMS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "params.yaml")
        jobs[what] = [str(folder), "diff", "HEAD"]

    def limit() -> None:  # libraries reserve addresses that they never touch: data, not address space
        resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))

    done = subprocess.run(
        [sys.executable, "-c", ALL],
        input=json.dumps(list(jobs.values())),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=120,
    )
    assert done.returncode == 0, (done.returncode, len(done.stdout.splitlines()), done.stderr[-500:])
    lines = map(json.loads, done.stdout.splitlines())
    for what, (code, errors, length, seconds) in zip(jobs, lines, strict=True):
        assert seconds < 5, what
        assert length < 5_000_000, what
        if what == "A8 keys of keys":  # long and harmless: compared, with its names cut
            assert (code, errors) == (0, ""), what
            continue
        file = DAMAGE[what][0] if what in DAMAGE else "params.yaml"
        assert code == 1, what
        assert re.fullmatch(rf"error: ([0-9a-f]{{7}}:)?{re.escape(file)}:.*\n", errors), (what, errors)


@pytest.mark.parametrize("name", ["summary.json", "findings.json"])
@pytest.mark.parametrize("kind", ["brackets", "a device"])
def test_results_that_are_a_bomb_are_one_error_of_show(tmp_path: Path, name: str, kind: str) -> None:
    for file in ("spheres/summary.json", "spheres/findings.json", "paper_means.csv"):
        (tmp_path / Path(file).name).write_bytes((ROOT / "metrics" / file).read_bytes())
    (tmp_path / name).unlink()
    if kind == "brackets":
        (tmp_path / name).write_text("[" * 80_000)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(UserError) as caught:
        options = cli.command_line().finished().parse_args(["show", str(tmp_path)])
        options.run(options)
    assert len(caught.value.problems) == 1
    assert out.getvalue() == err.getvalue() == ""
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="A16 a device"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), id="A16 a file elsewhere"),
        pytest.param(lambda path: os.mkfifo(path), id="A16 a pipe"),
        pytest.param(lambda path: path.write_text("x\n" * 100_000), id="A16 rows without end"),
    ],
)
def test_a_published_table_that_is_no_table_is_reported_and_not_shown(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    folder = tmp_path / "synthetic-unet"
    folder.mkdir()
    for name in ("synthetic-unet-32-1.csv", "foreground_ratios-32.csv"):
        make(folder / name)
    with pytest.raises(UserError) as caught:
        published.read_published(tmp_path)
    text = str(caught.value)
    assert "root:" not in text
    assert len(caught.value.problems) < 100
    assert str(folder / "synthetic-unet-32-1.csv") in text


@pytest.mark.parametrize(
    ("depth", "remedies"),
    [("HEAD~1", 2), ("base", 2), ("hash", 2)],
    ids=["G12 a relative name", "G12 a branch", "G12 a hash"],
)
def test_each_remedy_for_a_shallow_clone_works(
    repository: Repository,
    tmp_path: Path,
    depth: str,
    remedies: int,
) -> None:
    hash_ = repository.commit(scores(LEVELS))
    repository.git("branch", "base")
    repository.commit(scores(LEVELS + SHIFTS))
    name = hash_ if depth == "hash" else depth
    for number in range(remedies):
        clone = Repository(tmp_path / f"clone{number}")
        repository.git("clone", "-q", "--depth", "1", repository.path.as_uri(), str(clone.path))
        commands = re.findall("`git ([^`]+)`", clone.diff(name, "HEAD", expect=1).stderr)
        assert len(commands) == remedies
        clone.git(*commands[number].split())
        if not (depth == "base" and number == 0):  # the branch itself is not of a clone of one branch
            assert "**better**" in clone.diff(name, "HEAD").stdout


def test_addresses_of_figures_are_quoted(repository: Repository) -> None:
    plots = repository.path / "plots" / "my (figures)"
    plots.mkdir(parents=True)
    (plots / "a b.png").write_bytes(b"old")
    repository.commit(scores(LEVELS))
    (plots / "a b.png").write_bytes(b"new")
    repository.commit(scores(LEVELS + SHIFTS))
    folder = "my figs (1)"
    repository.diff("HEAD~1", "HEAD", "--figures", folder, "--markdown", "diff.md")
    markdown = (repository.path / "diff.md").read_text()
    sources = re.findall('src="([^"]+)"', MarkdownIt().enable("table").render(markdown))
    expected = ["differences.png", *(f"{side}/my%20%28figures%29/a%20b.png" for side in ("before", "after"))]
    assert sources == [f"my%20figs%20%281%29/{name}" for name in expected]


@pytest.mark.parametrize(
    "url", ["https://x/{owner}/{commit}", "{}", "{commit", "{path.real}", "{path:>9}", "{path!r}"]
)
def test_an_unknown_placeholder_is_named_with_the_known_ones(repository: Repository, url: str) -> None:
    repository.commit(scores(LEVELS))
    done = repository.diff("HEAD", "--image-url", url, expect=1)
    assert done.stderr.startswith("error: --image-url ")
    if "owner" in url:
        assert "{owner}" in done.stderr
        assert "{commit} and {path}" in done.stderr


def test_a_dash_is_standard_output_for_json(
    repository: Repository,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository.commit(scores(LEVELS))
    facts = json.loads(repository.diff("HEAD", "--json", "-").stdout)
    assert facts["same"]
    assert "## What changed" in repository.diff("HEAD", "--markdown", "-").stdout
    assert repository.diff("HEAD", "--json", "-", "--markdown", "-", expect=1).stderr.startswith("error: ")
    assert not (repository.path / "-").exists()
    (tmp_path / "set" / "imagesTr").mkdir(parents=True)
    options = cli.command_line().finished().parse_args(["verify", str(tmp_path / "set"), "--json", "-"])
    assert options.run(options) == 1
    assert json.loads(capsys.readouterr().out)["errors"] > 0


def test_with_one_seed_the_interval_over_cases_decides_and_the_summary_counts(repository: Repository) -> None:
    noise = 0.05 * np.array([-1, 1, -1, 1, -1, 1])
    models = ("unet", "unetr")
    before = pd.concat([scores(LEVELS, (1,), model) for model in models])
    repository.commit(before)
    repository.commit(
        pd.concat(
            [
                scores(LEVELS + sign * 0.03 + noise, (1,), model)
                for model, sign in zip(models, (-1, 1), strict=True)
            ]
        )
    )
    for number in range(5):
        folder = repository.path / "metrics" / "provenance"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.json").write_text("{}")
    repository.commit(None)
    done = repository.diff("HEAD~2", "HEAD", "--fail-on-regression")
    assert "1 up, 1 down, none decided (one seed)." in done.stdout
    assert "* 5 files `metrics/provenance/*.json`" in done.stdout
    repository.commit(pd.concat([scores(LEVELS + 0.05, (1,), model) for model in models]))
    better = repository.diff("HEAD~3", "HEAD", "--fail-on-regression", "--json", "facts.json").stdout
    assert "* spheres, UNETR, patch 16: Dice +0.050, more than 0.02 better" in better
    facts = json.loads((repository.path / "facts.json").read_text())
    assert len(facts["improvements"]) == 2
    (found, _) = compare_scores(before, pd.concat([scores(LEVELS + SHIFTS, (1,), m) for m in models]), 0.95)
    assert (found.dice.difference.low, found.dice.verdict) == (None, "not decided")
    expected = stats.ttest_rel(LEVELS + SHIFTS, LEVELS).confidence_interval(0.95)
    assert (found.dice.over_cases.low, found.dice.over_cases.high) == pytest.approx(tuple(expected))
