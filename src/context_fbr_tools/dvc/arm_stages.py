"""Stages of the arms: each arm of params.yaml has its own in dvc.yaml, and no other arm has."""

import sys
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ArmProblem:
    """A stage that is missing, wrong, or of no arm."""

    arm: str | None
    """Arm whose lines in dvc.yaml are to be added or corrected; None if a stage is to be removed."""
    text: str


def problems(study: Study) -> list[ArmProblem]:
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
    place = f"{CELL_STAGES[-1]} ({PIPELINE}:{pipeline.line(('stages', CELL_STAGES[-1]))})"
    found: list[ArmProblem] = []
    for arm in arms:
        matrix = {value: f"${{arms.{arm}.{axis}}}" for value, axis in AXES.items()}
        names = [f"{kind}_{arm}" for kind in CELL_STAGES]
        missing = [name for name in names if name not in stages]
        if missing and arms[arm].cells_of(arm):
            text = f"{PIPELINE} has no {' and no '.join(missing)}; add them below its stage {place}"
            found.append(ArmProblem(arm, document.problem(("arms", arm), text)))
        found += [
            ArmProblem(arm, pipeline.problem(("stages", name, "matrix"), f"is not that of arms.{arm}"))
            for name in names
            if name in stages
            and not (isinstance(stages[name], dict) and stages[name].get("matrix") == matrix)
        ]
    for name in stages:
        kind, arm = kind_of(str(name)), str(name).partition("_")[2]
        if kind in CELL_STAGES and arm and arm not in arms:
            text = f"{document.path} has no arms.{arm}; remove this stage, or add the arm"
            found.append(ArmProblem(None, pipeline.problem(("stages", name), text)))
    return found


def check(study: Study) -> None:
    """Check the stages of the arms, and print the lines that dvc.yaml should have.

    Raises:
        UserError: with every problem, see `problems`.
    """
    found = problems(study)
    for arm in dict.fromkeys(problem.arm for problem in found if problem.arm is not None):
        print(f"{PIPELINE} should have, for arms.{arm}:\n{lines(arm)}", file=sys.stderr, flush=True)
    raise_problems([problem.text for problem in found])
