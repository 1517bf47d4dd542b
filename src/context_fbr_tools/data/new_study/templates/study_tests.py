"""The study: its parameters, and its results recomputed from the scores of the cases."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.dvc import arm_stages

STUDY = read_study(Document.read())
TASKS = [task for task in STUDY.study_cells.tasks if Path("metrics", task, "cases.csv").exists()]
RUN_FIRST = "no results yet: `make repro`"


def test_params_yaml_and_dvc_yaml_fit() -> None:
    assert STUDY.cells
    assert arm_stages.problems(STUDY) == []


@pytest.mark.skipif(not Path("dvc.lock").exists(), reason=RUN_FIRST)
def test_dvc_lock_describes_the_results() -> None:
    done = subprocess.run(["context-fbr", "check-lock"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not TASKS, reason=RUN_FIRST)
@pytest.mark.parametrize("task", TASKS or [None])
def test_the_dice_of_a_cell_is_the_mean_of_its_cases(task: str) -> None:
    key = ["model", "patch_size", "seed"]
    cells = pd.read_csv(f"metrics/{task}/cells.csv", dtype={"patch_size": str}).set_index(key)["dice"]
    cases = pd.read_csv(f"metrics/{task}/cases.csv", dtype={"patch_size": str})
    cases = cases[cases["seed"].notna()].astype({"seed": int})  # without the baselines
    means = cases.groupby(key)["dsc"].mean()

    assert len(cells) == sum(cell.task == task for cell in STUDY.cells)
    pd.testing.assert_series_equal(cells.sort_index(), means.sort_index(), check_names=False, atol=2e-6)
