"""What a stage reads of params.yaml is what dvc.yaml lists under its `params`, no more and no less."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from workspace import ROOT

from context_fbr.config.analysis import AnalyzeConfig, CompareConfig, OverlayConfig
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.evaluation import EvaluateConfig, read_surface_tolerance_mm
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.source import read_raw
from context_fbr.config.training import TrainConfig
from context_fbr_tools.dvc.stages import kind_of

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: block for name, block in STAGES.items() if name == kind_of(name)}  # not those of arms
CELL = Cell("spheres", "unetr", 16, 2)
READ: dict[str, Callable[[Document], Any]] = {
    "raw": lambda document: read_raw(document, CELL.task),
    "prepare": lambda document: document.section(("tasks", CELL.task, "prepare"), Prepare),
    "train": lambda document: TrainConfig.read(document, CELL),
    "evaluate": lambda document: EvaluateConfig.read(document, CELL),
    "baseline": lambda document: read_surface_tolerance_mm(document, CELL.task),
    "analyze": lambda document: AnalyzeConfig.read(document, CELL.task),
    "compare": CompareConfig.read,
    "overlay": lambda document: OverlayConfig.read(document, CELL.task),
}
NONE = {"code", "paper"}
"""Stages that read nothing of params.yaml."""


@dataclass(frozen=True)
class Recording(Document):
    """Notes what is asked for."""

    asked: list[str] = field(default_factory=list)

    def section(self, location: Any, model: Any) -> Any:
        self.asked.append(".".join(map(str, location)))
        return super().section(location, model)

    def field(self, location: Any, model: Any) -> Any:
        value = super().field(location, model)
        self.asked[-1] = ".".join(map(str, location))
        return value


def test_every_stage_is_tried() -> None:
    assert {*READ, *NONE} == {*STAGES}
    assert not [name for name in NONE if STAGES[name].get("params")]


@pytest.mark.parametrize("stage", READ)
def test_a_stage_reads_what_dvc_yaml_lists(params: Path, stage: str) -> None:
    document = Document.read(params)
    recording = Recording(document.path, document.root)
    READ[stage](recording)
    listed = {
        name.replace("${item.task}", CELL.task).replace("${item.model}", CELL.model)
        for name in STAGES[stage]["params"]
    }
    assert {*recording.asked} == listed
