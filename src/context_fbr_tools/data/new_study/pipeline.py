"""dvc.yaml of a new study: the pipeline without arms, without the paper cells, with figures of its task."""

import re

from context_fbr_tools.dvc.stages import CELL_STAGES

DROPPED = ("paper",)
"""Stages that need what a new study does not have."""
PUBLISHED = "metrics/published/magnitudes.json"
FIGURES = ("dice_by_patch_size", "dice_by_cell", "scores_by_foreground_ratio", "learning_curves", "history")
"""Results of any task that `dvc plots` shows."""
_STAGE = re.compile(r"^  (?=\w+:)", re.MULTILINE)


def pipeline(text: str, task: str, shown: str) -> str:
    """Return dvc.yaml for one task.

    Args:
        text: the project's dvc.yaml.
        task: of the study.
        shown: task whose results the project's `plots` name.
    """
    stages, _, plots = text.partition("# generated: ")[0].partition("\nplots:\n")
    head, *blocks = _STAGE.split(stages)
    kept = "".join(f"  {block}" for block in blocks if not _is_dropped(block.partition(":")[0]))
    kept = "".join(line for line in kept.splitlines(keepends=True) if PUBLISHED not in line)
    return f"{_without_arms(head)}{kept.rstrip()}\n\nplots:\n{_plots(plots, task, shown)}"


def _is_dropped(stage: str) -> bool:
    kind, _, arm = stage.partition("_")
    return stage in DROPPED or (kind in CELL_STAGES and bool(arm))


def _without_arms(head: str) -> str:
    """Return the comment above the stages without what is about arms, or about the project's own tests."""
    return re.sub(r"# Each arm of params\.yaml .*\n| \(tests/pipeline/.*\)", "", head)


def _plots(text: str, task: str, shown: str) -> str:
    """Return the entries whose files any task has."""
    entries = re.split(r"^(?=  - )", text, flags=re.MULTILINE)[1:]
    own = [entry for entry in entries if any(f"/{shown}/{name}" in entry for name in FIGURES)]
    overlays = [entry for entry in entries if entry.strip() == "- plots/overlays"]
    return "".join(entry.replace(f"/{shown}/", f"/{task}/") for entry in [*own, *overlays])
