"""What DVC costs: a study whose stages do nothing but touch their results, of as many cells as a profile has.

python -m benchmarks.pipeline [--profile desk|paper ...] [--repeats N]

Adds to benchmarks/pipeline.csv the seconds of `dvc status`, of `dvc repro` with nothing to run, and of one
stage of a `dvc repro` that runs all, whose commands take next to nothing.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from context_fbr.config import profiles
from context_fbr.core import atomic
from context_fbr.runtime import git
from context_fbr.runtime.entry import run_command
from context_fbr_tools.dvc.project_copy import copy_project

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "benchmarks" / "pipeline.csv"
COLUMNS = [
    "profile", "what", "stages", "lock_lines", "median_s", "minimum_s", "maximum_s", "repeats", "machine",
    "date", "commit",
]  # fmt: skip


def touching(stage: Mapping[str, Any]) -> str:
    """A command that makes the results of a stage: files with an ending, folders without."""
    outs = [name for kind in ("outs", "metrics") for out in stage.get(kind, ()) for name in _names(out)]
    files = [out if Path(out).suffix else f"{out}/file" for out in outs]
    return " && ".join(f"mkdir -p {Path(file).parent} && echo 1 > {file}" for file in files)


def _names(out: str | Mapping[str, Any]) -> list[str]:
    return [out] if isinstance(out, str) else list(out)


def empty_study(folder: Path, profile: str) -> int:
    """A copy of the project, in a folder, whose stages do nothing; the number of its stages."""
    copy_project(folder, ROOT)
    profiles.apply_overlay(profiles.profile_path(profile), folder / "params.yaml")
    yaml = YAML()
    pipeline = yaml.load((folder / "dvc.yaml").read_text())
    for stage in pipeline["stages"].values():
        stage["cmd"] = touching(stage)
    with (folder / "dvc.yaml").open("w") as file:
        yaml.dump(pipeline, file)
    (folder / "dvc.lock").unlink(missing_ok=True)
    names = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return len(names)


def environment(folder: Path) -> dict[str, str]:
    """DVC with a site cache of its own, which ends with the folder."""
    return {**git.environment(), "DVC_SITE_CACHE_DIR": str(folder.with_name("site")), "DVC_NO_ANALYTICS": "1"}


def seconds(folder: Path, *command: str) -> float:
    """Run DVC and time it."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dvc", *command],
        cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return time.perf_counter() - start


def measure(profile: str, repeats: int) -> list[list[object]]:
    """The rows of a profile."""
    commit = git.revision(ROOT) or ""
    changed = "+" if git.changed_files(("src", "dvc.yaml"), ROOT) else ""
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    scratch = Path(tempfile.mkdtemp(prefix="pipeline-"))
    try:
        folder = scratch / "study"
        stages = empty_study(folder, profile)
        whole = seconds(folder, "repro")
        lines = len((folder / "dvc.lock").read_text().splitlines())
        times = {
            "status": [seconds(folder, "status") for _ in range(repeats)],
            "repro, nothing to run": [seconds(folder, "repro") for _ in range(repeats)],
        }
        times["one stage of repro"] = [(whole - statistics.median(times["repro, nothing to run"])) / stages]
    finally:
        shutil.rmtree(scratch)
    return [
        [
            profile, what, stages, lines, *(f"{f(own):.3g}" for f in (statistics.median, min, max)), len(own),
            machine, datetime.date.today().isoformat(), commit[:10] + changed,
        ]
        for what, own in times.items()
    ]  # fmt: skip


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", nargs="+", default=["desk"], help="default desk")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="default 5")
    options = parser.parse_args(arguments)
    for profile in options.profile:
        rows = pd.DataFrame(measure(profile, options.repeats), columns=COLUMNS)
        print(
            rows[["profile", "what", "stages", "lock_lines", "median_s"]].to_string(index=False), flush=True
        )
        if TABLE.exists():
            rows = pd.concat([pd.read_csv(TABLE, dtype=str), rows.astype(str)])
        atomic.write_text(TABLE, rows.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    run_command(main)
