"""Stages of the arms: each arm of params.yaml has its own in dvc.yaml, and no other arm has."""

from typing import Any

from context_fbr.config.cell import AXES
from context_fbr.config.document import Document
from context_fbr.config.study import Study
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime.stage_inputs import PIPELINE
from context_fbr_tools.dvc.stages import CELL_STAGES, kind_of


def lines(arm: str) -> str:
    """Return the lines of dvc.yaml that an arm needs: copies of the cells' stages, over another matrix."""
    first, *others = CELL_STAGES
    axes = "".join(f"      {value}: ${{arms.{arm}.{axis}}}\n" for value, axis in AXES.items())
    text = f"  {first}_{arm}:\n    <<: *{first}\n    matrix: &{arm}\n{axes}"
    return text + "".join(f"\n  {kind}_{arm}:\n    <<: *{kind}\n    matrix: *{arm}\n" for kind in others)


def problems(study: Study) -> list[str]:
    """Return a problem for each arm with cells and without stages, and for each stage without its arm.

    None in a folder without dvc.yaml.

    Raises:
        UserError: if dvc.yaml is not YAML, or has no stages.
    """
    if not PIPELINE.is_file():
        return []
    pipeline = Document.read(PIPELINE)
    stages: Any = pipeline.root.get("stages")
    if not isinstance(stages, dict):
        raise UserError(pipeline.problem(("stages",), "is not a mapping of names to stages"))
    document, arms = study.document, study.study_cells.arms
    found = []
    for arm in arms:
        matrix = {value: f"${{arms.{arm}.{axis}}}" for value, axis in AXES.items()}
        names = [f"{kind}_{arm}" for kind in CELL_STAGES]
        missing = [name for name in names if name not in stages]
        if missing and arms[arm].cells_of(arm):
            place = f"{CELL_STAGES[-1]} ({PIPELINE}:{pipeline.line(('stages', CELL_STAGES[-1]))})"
            text = f"{PIPELINE} has no {' and no '.join(missing)}; below its stage {place} add"
            found.append(f"{document.problem(('arms', arm), text)}\n{lines(arm)}")
        found += [
            pipeline.problem(("stages", name, "matrix"), f"is not that of arms.{arm}; write\n{lines(arm)}")
            for name in names
            if name in stages and (stages[name] or {}).get("matrix") != matrix
        ]
    for name in stages:
        kind, arm = kind_of(str(name)), str(name).partition("_")[2]
        if kind in CELL_STAGES and arm and arm not in arms:
            text = f"{document.path} has no arms.{arm}; remove this stage, or add the arm"
            found.append(pipeline.problem(("stages", name), text))
    return found


def check(study: Study) -> None:
    """Check the stages of the arms; raises UserError with every problem, see `problems`."""
    raise_problems(problems(study))
