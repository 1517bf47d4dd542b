"""A git repository with params.yaml and tables of results, made by hand."""

import io
import os
import shutil
import subprocess
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import GIT_IDENTITY

from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.metrics.columns import SCORES
from context_fbr.runtime import entry
from context_fbr_tools import cli

CASES = [f"case_{i}" for i in range(6)]
RATIOS = np.linspace(0.01, 0.3, len(CASES))
LEVELS = np.array([0.7, 0.72, 0.8, 0.8, 0.88, 0.9])
SHIFTS = np.array([0.02, 0.04, 0.06, 0.06, 0.08, 0.10])  # symmetric: no correction for skewness


def scores(
    dice: np.ndarray, seeds: tuple[int, ...] = (1, 2), model: str = "unet", size: int = 16
) -> pd.DataFrame:
    """The same Dice for every seed, and a Hausdorff distance of 10 x (1 - Dice)."""
    frames = [
        pd.DataFrame(
            {
                "task": "spheres", "model": model, "patch_size": size, "seed": seed, "filename": CASES,
                "dsc": dice, "hausdorff": 10 * (1 - dice), "abs_diff": 0.1, "fg_ratio": RATIOS,
            }
        )
        for seed in seeds
    ]  # fmt: skip
    kinds = {"patch_size": "Int64", "seed": "Int64"}
    return pd.concat(frames, ignore_index=True)[[*CELL_COLUMNS, *SCORES]].astype(kinds)


@dataclass(frozen=True)
class Done:
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Repository:
    """A git repository with params.yaml and the tables that git keeps; neither DVC nor its cache."""

    path: Path

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, **GIT_IDENTITY}
        ).stdout.strip()

    def commit(
        self, results: pd.DataFrame | None, validation_change: float = 0.001, together: bool = False
    ) -> str:
        """Commit the tables of each task, or all together as in versions before there were folders of tasks.

        Folders of tasks that are not in the results are removed; without any row each table has its header.
        """
        if results is not None:
            metrics = self.path / "metrics"
            old = [path.parent for path in metrics.glob("*/cases.csv")]
            tables = {metrics: results} if together else dict.fromkeys(old, results)
            if len(results) and not together:
                tables = {metrics / str(task): rows for task, rows in results.groupby("task", sort=False)}
            for folder in old:
                if folder not in tables:
                    shutil.rmtree(folder)
            for folder, rows in tables.items():
                self._write(folder, rows, validation_change)
        self.git("add", "-A")
        self.git("commit", "-qm", "Results", "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def _write(self, folder: Path, rows: pd.DataFrame, validation_change: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows.to_csv(folder / "cases.csv", index=False)
        cells = rows[rows["seed"].notna()][CELL_COLUMNS].drop_duplicates()
        cells = cells.assign(best_validation_dice=0.95, last_validation_change=validation_change)
        cells.to_csv(folder / "cells.csv", index=False)

    def diff(self, *arguments: str, expect: int = 0) -> Done:
        """The command line in this process, which starts faster than a new one."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.path), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            entry.run_command(cli.run, ["diff", *arguments])
        assert ended.value.code == expect, out.getvalue() + err.getvalue()
        return Done(out.getvalue(), err.getvalue())
