"""What the repository says of itself is in its files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import ROOT

from context_fbr.config import profiles
from context_fbr.config.analysis import Analysis
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.commands.study.check import check_networks

README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs/explanation/results.md").read_text()
FIRST_STUDY = (ROOT / "docs/getting_started/first_study.md").read_text()
CHANGES = (ROOT / "docs/how_to/change_the_study.md").read_text()


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def _desk_study(tmp_path: Path) -> None:
    """The README's results are the desk study's; who changed params.yaml has a README of their own to write."""
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    changes = profiles.apply("desk", params)
    if changes:
        pytest.skip(f"params.yaml is not the desk profile: {changes[0]}")


INTERVAL = re.compile(r"([+-]?\d\.\d{3}) \[([+-]?\d\.\d{3}), ([+-]?\d\.\d{3})\]")


@pytest.mark.usefixtures("_desk_study")
def test_every_interval_of_readme_and_results_is_in_a_file_of_metrics() -> None:
    known: set[tuple[str, ...]] = set()

    def add(estimate: object, low: object, high: object) -> None:
        if not pd.isna(low):
            for sign in ("", "+"):
                known.add(tuple(f"{number:{sign}.3f}" for number in (estimate, low, high)))

    summaries = [json.loads(path.read_text()) for path in Path("metrics").glob("*/summary.json")]
    for models in (models for tree in summaries for models in tree.values()):
        for leaf in (leaf for leaves in models.values() for leaf in leaves.values()):
            add(leaf["dice_mean"], leaf["dice_mean_low"], leaf["dice_mean_high"])
    files = [*Path("metrics").glob("*/findings.json"), Path("metrics/compare/context.json")]
    trees = [json.loads(path.read_text()) for path in files]
    for finding in (finding for tree in trees for finding in tree["findings"]):
        for of in ("", "surface_", "published_"):
            add(*(finding.get(f"{of}{name}") for name in ("estimate", "low", "high")))
        for part in finding["parts"]:
            add(part["estimate"], part["low"], part["high"])
    for row in pd.read_csv("metrics/published/networks.csv").itertuples():
        add(row.slope, row.slope_low, row.slope_high)
        add(row.loss_outside, row.loss_outside_low, row.loss_outside_high)
    for task in json.loads(Path("metrics/published/magnitudes.json").read_text()).values():
        for values in task.values():
            add(values["estimate"], values["low"], values["high"])
    tables = [pd.read_csv(path) for path in Path("metrics").glob("*/differences.csv")]
    for row in (row for table in tables for row in table.itertuples()):
        add(row.dice_difference, row.dice_difference_low, row.dice_difference_high)
    for row in (
        row for path in Path("metrics").glob("*/structures.csv") for row in pd.read_csv(path).itertuples()
    ):
        add(row.dice_mean, row.dice_mean_low, row.dice_mean_high)
    for row in pd.read_csv("metrics/paper_means.csv").itertuples():
        add(row.dice_mean, row.dice_mean_low, row.dice_mean_high)
        add(row.published_mean, row.published_low, row.published_high)
    stated = INTERVAL.findall(README + RESULTS)
    assert len(stated) > 40
    assert [interval for interval in stated if interval not in known] == []


@pytest.mark.usefixtures("_desk_study")
def test_the_pages_numbers_of_cells_and_cases_and_its_rules_are_in_files() -> None:
    tables = [pd.read_csv(path) for path in Path("metrics").glob("*/cases.csv")]
    cases = pd.concat(tables).dropna(subset=["seed"])
    volumes = cases[cases["task"] == "spheres"]["filename"].nunique()
    assert f"{volumes} test volumes that all cells share" in RESULTS
    cells = len(cases[["task", "model", "patch_size", "seed"]].drop_duplicates())
    assert f"as in this repository | {cells} |" in FIRST_STUDY
    settings = Document.read(Path("params.yaml")).section(("analysis",), Analysis)
    text = RESULTS.replace("\n", " ")
    assert f"differ by {settings.convergence_tolerance} Dice or more" in text
    assert f"best validation Dice under {settings.minimum_validation_dice}" in text
    assert f"mean by less than {settings.small_loss} (`analysis.small_loss`)" in text


@pytest.mark.usefixtures("_desk_study")
def test_what_is_drawn_is_in_the_tables_next_to_the_figures() -> None:
    lines = pd.read_csv("plots/spheres/dice_by_patch_size.csv")
    summary = json.loads(Path("metrics/spheres/summary.json").read_text())
    for row in lines.itertuples():
        leaf = summary[row.task][row.model]["all" if np.isnan(row.patch_size) else str(int(row.patch_size))]
        assert (row.dice, row.low, row.high) == (
            leaf["dice_mean"], leaf["dice_mean_low"], leaf["dice_mean_high"],
        )  # fmt: skip
    cases = pd.read_csv("metrics/spheres/cases.csv").dropna(subset=["seed"])
    keys = ["task", "model", "patch_size", "filename"]
    cored = [core for _, core, _ in Document.read(ROOT / "params.yaml").root["analysis"]["supervised_cores"]]
    means = cases[~cases["model"].isin(cored)].groupby(keys)["dsc"].mean()  # these have figures of their own
    points = pd.read_csv("plots/spheres/scores_by_foreground_ratio.csv").set_index(keys)["dsc"]
    assert len(points) == len(means)
    assert (points - means).abs().max() < 1e-6
    cases = cases[cases["task"] == "spheres"]
    for row in pd.read_csv("plots/overlays/spheres.csv").itertuples():
        chosen = cases[(cases["model"] == row.model) & (cases["patch_size"] == row.patch_size)]
        chosen = chosen[(chosen["seed"] == row.seed) & (chosen["filename"] == row.filename)]
        assert chosen["dsc"].iloc[0] == pytest.approx(row.dsc, abs=1e-6)
        if row.place == "worst":
            own = cases[(cases["model"] == row.model) & (cases["patch_size"] == row.patch_size)]
            assert row.dsc == pytest.approx(own[own["seed"] == row.seed]["dsc"].min(), abs=1e-6)
    counts = pd.read_csv("plots/spheres/training_ranges.csv").set_index("patch_size")
    groups = pd.read_csv("metrics/spheres/range_intervals.csv").query("task == 'spheres' and model == 'unet'")
    for row in groups.itertuples():
        if row.group != "outside":
            assert counts.loc[row.patch_size, row.group] == row.cases


def test_the_times_of_the_first_study_are_in_the_table_of_timings() -> None:
    timings = pd.read_csv(ROOT / "benchmarks" / "timings.csv").set_index("what")["seconds"]
    for what, text in {
        "smoke": "in the folder `smoke/` | 8 | {} min |",
        "repro": "without the data of the hippocampus | 138 | {} min from a fresh clone, installation included, with some other work",
        "repro_75_cells": "there were twins and cores | 75 | {} min from a fresh clone, installation included |",
    }.items():
        assert text.format(f"{timings[what] / 60:.1f}") in FIRST_STUDY
    flat = FIRST_STUDY.replace("\n", " ")
    one, two = timings["grid_run_jobs_2_serial"], timings["grid_run_jobs_2"]
    both = ", ".join(f"{seconds // 60} min {seconds % 60} s" for seconds in (two, one))
    assert f"Two cells at once are {one / two:.2f} times as fast as a plain, serial `dvc repro`" in flat
    assert f"({both})" in flat


def test_pinned_versions_satisfy_the_ranges_of_pyproject() -> None:
    """Every dependency is pinned, PyTorch at the version that the results were made with."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    assert pins["torch"] == "2.13.0"
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["dev"], *extras["mutants"]]:
        requirement = Requirement(text)
        name = requirement.name.lower()
        pinned = pins.get(name, pins.get(name.replace("-", "_"), pins.get(name.replace("_", "-"))))
        assert requirement.specifier.contains(pinned), text


@pytest.mark.slow
def test_the_page_s_examples_of_a_network_and_a_task_are_valid(tmp_path: Path) -> None:
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    page = (ROOT / "docs" / "how_to" / "data_sets.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", CHANGES + page, re.DOTALL)
    assert len(examples) == 4
    for number, example in enumerate(examples):
        overlay = tmp_path / f"{number}.yaml"
        overlay.write_text(example)
        assert profiles.apply_overlay(overlay, params)
    overlay.write_text(
        "study: {tasks: [spheres, spheres_wide, twins, twins_equal, hippocampus, spheres_plain]}\ngrid: {tasks: [spheres, spheres_plain], models: [unet, segresnet]}\n"
    )
    profiles.apply_overlay(overlay, params)
    study = read_study(Document.read(params))
    check_networks(study)
    assert len(study.grid.cells) == 2 * 2 * len(study.grid.patch_sizes) * len(study.grid.seeds)


def test_every_fault_in_the_documentation_has_its_test() -> None:
    _, _, slurm = (ROOT / "docs" / "how_to" / "slurm.md").read_text().partition("## Faults\n")
    text = (ROOT / "docs" / "reference" / "faults.md").read_text() + slurm.partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            assert f"\ndef {name}(" in next((ROOT / "tests").rglob(file)).read_text(), name
