"""The stages of dvc.yaml, in its order: the only list of them (tests/pipeline compares the two)."""

CELL_STAGES = ("train", "evaluate")
"""Run once for each cell: `train@spheres-unet-32-1`."""
TASK_STAGES = ("raw", "prepare", "baseline", "overlay")
"""Run once for each task: `raw@spheres`."""
STUDY_STAGES = ("code", "analyze", "paper")
"""Run once."""
INPUT_STAGES = ("code", "raw", "prepare")
"""Write what cells read."""
CACHED_INPUT_STAGES = ("raw", "prepare")
"""Stages of `INPUT_STAGES` whose outputs DVC keeps; git keeps the others."""
