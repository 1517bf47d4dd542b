"""Block of dvc.yaml: DVC's model registry, with the best cell of each task."""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.result_files import read_frame
from context_fbr.config.cell import Cell
from context_fbr.core.patch_size import parse

METRICS = Path("metrics")
CRITERION = "best_validation_dice"
"""Column of metrics/TASK/cells.csv; test scores choose nothing."""


def artifacts() -> str:
    """Return `artifacts` of dvc.yaml: of each task with results the cell with the best validation Dice."""
    entries: dict[str, Any] = {}
    for path in sorted(METRICS.glob("*/cells.csv")):
        cells = read_frame(path, text=("patch_size",))
        own = cells.loc[cells[CRITERION].idxmax()]
        cell = Cell(path.parent.name, str(own["model"]), parse(own["patch_size"]), int(own["seed"]))
        entries[artifact_name(cell.task)] = {
            "path": f"models/{cell.key}",
            "type": "model",
            "desc": f"{name_of(cell.model)}, patch {cell.patch_size}: best validation Dice of {cell.task}",
            "labels": [cell.task, "segmentation"],
        }
    stream = StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 200
    yaml.dump({"artifacts": entries}, stream)
    return stream.getvalue().rstrip("\n")


def artifact_name(task: str) -> str:
    """Return the name of a task's artifact: DVC allows lower-case letters, digits and dashes."""
    return task.lower().replace("_", "-")
