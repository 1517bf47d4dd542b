"""What the repository says of itself is in its files."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from context_fbr import profiles
from context_fbr.cli import check
from context_fbr.study.document import Document
from context_fbr.study.whole import read_study

README = (ROOT / "README.md").read_text()


@pytest.fixture(autouse=True)
def _desk_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README describes the desk study; who changed params.yaml has a README of their own to write."""
    monkeypatch.chdir(ROOT)
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    changes = profiles.apply("desk", params)
    if changes:
        pytest.skip(f"params.yaml is not the desk profile: {changes[0]}")


NAMES = {"UNet": "unet", "Attention-UNet": "attention_unet", "UNETR": "unetr"}


def test_the_readme_s_table_of_results_is_the_summary() -> None:
    summary = json.loads((ROOT / "metrics" / "summary.json").read_text())["spheres"]
    header = re.search(r"^\| network \|(.*)\|$", README, re.MULTILINE)[1]
    sizes = re.findall(r"patch (\d+)", header)
    for name, model in NAMES.items():
        row = re.search(rf"^\| {name} \|(.*)\|$", README, re.MULTILINE)[1]
        assert [cell.strip() for cell in row.split("|")] == [
            f"{summary[model][s]['dice']:.3f}" for s in sizes
        ]
        assert list(summary[model]) == sizes


def test_the_readme_s_baseline_and_numbers_of_cells_are_in_files() -> None:
    baselines = json.loads((ROOT / "metrics" / "baselines.json").read_text())["spheres"]
    assert f"mean test Dice of {baselines['threshold_dsc']:.3f} " in README
    cases = pd.read_csv(ROOT / "metrics" / "cases.csv")
    assert f"one set of {cases['filename'].nunique()} test volumes" in README
    cells = len(cases[["task", "model", "patch_size", "seed"]].drop_duplicates())
    assert f"as in this repository | {cells} |" in README


def test_the_readme_s_times_are_in_the_table_of_timings() -> None:
    timings = pd.read_csv(ROOT / "benchmarks" / "timings.csv").set_index("what")["seconds"]
    for what, text in {
        "smoke": "in the folder `smoke/` | 6 | {} min |",
        "repro": "as in this repository | 27 | {} min,",
        "install": "with an installation of {} min |",
    }.items():
        assert text.format(f"{timings[what] / 60:.1f}") in README


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_pinned_versions_satisfy_the_ranges_of_pyproject() -> None:
    """Every dependency is pinned, PyTorch at the version that the results were made with."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    assert pins["torch"] == "2.13.0"
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        name = requirement.name.lower()
        pinned = pins.get(name, pins.get(name.replace("-", "_"), pins.get(name.replace("_", "-"))))
        assert requirement.specifier.contains(pinned), text


def test_the_readme_s_examples_of_a_network_and_a_task_are_valid(tmp_path: Path) -> None:
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    examples = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for number, example in enumerate(examples):
        overlay = tmp_path / f"{number}.yaml"
        overlay.write_text(example)
        assert profiles.apply_overlay(overlay, params)
    overlay.write_text("grid: {tasks: [spheres, spheres_plain], models: [unet, segresnet]}\n")
    profiles.apply_overlay(overlay, params)
    study = read_study(Document.read(params))
    check(study)
    assert len(study.grid.cells) == 2 * 2 * len(study.grid.patch_sizes) * len(study.grid.seeds)
