"""The graphical abstract: drawn from the committed results, and from nothing else."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from workspace import ROOT

from context_fbr_tools.study.blocks import abstract

SOURCES = ("params.yaml", "metrics/spheres/summary.json", "metrics/compare/context_parts.csv")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_committed_drawing_is_that_of_the_committed_results(copy: Path) -> None:
    assert abstract.text() == (ROOT / abstract.FILE).read_text(encoding="utf-8")


def test_another_dice_and_another_difference_are_another_drawing(copy: Path) -> None:
    committed = (ROOT / abstract.FILE).read_text(encoding="utf-8")
    path = copy / "metrics/spheres/summary.json"
    tree = json.loads(path.read_text())
    tree["spheres"]["unet"]["16"]["dice_mean"] -= 0.02
    path.write_text(json.dumps(tree))
    assert abstract.text() != committed
    shutil.copy(ROOT / SOURCES[1], path)
    parts = copy / "metrics/compare/context_parts.csv"
    lines = parts.read_text().splitlines()
    changed = [
        line.replace(line.split(",")[6], "0.3") if line.startswith("twins,unet,dice,context") else line
        for line in lines
    ]
    parts.write_text("\n".join(changed) + "\n")
    assert abstract.text() != committed


def test_the_titles_of_the_drawing_are_true_of_the_committed_results() -> None:
    tree = json.loads((ROOT / SOURCES[1]).read_text())["spheres"]
    for _, batch, instance in abstract.NETWORKS:
        assert tree[batch]["16"]["dice_mean"] - tree[instance]["16"]["dice_mean"] > 0.2
    parts = pd.read_csv(ROOT / SOURCES[2]).query("task == 'twins' and network == 'unet' and score == 'dice'")
    difference = parts.set_index("part")["difference"]
    assert difference["context"] > abs(difference["ratio"])
    assert difference["context"] + difference["ratio"] == pytest.approx(difference["published"], abs=2e-6)
