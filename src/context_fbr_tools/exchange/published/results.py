"""Read the published results: one folder for each task and model, one table for each run.

`<task>-<model>/<task>-<model>-<patch>-<run>.csv` holds the test cases of a run,
`<task>-<model>/foreground_ratios-<patch>.csv` a training patch's foreground ratio a line, without header.
"""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import SCORES
from context_fbr_tools.exchange.published.files import read_ratios, read_scores

TASKS = {"synthetic": "spheres", "spleen": "spleen"}
MODELS = {"unet": "unet", "atunet": "attention_unet", "unetr": "unetr"}
OWN_TEST_SETS = frozenset({"spheres"})
"""The spheres were generated again for every run: `img12` of two runs is not the same case."""
TABLE = re.compile(r"(?P<patch>\d+)-(?P<run>\d+)\.csv")
RATIOS = re.compile(r"foreground_ratios-(?P<patch>\d+)\.csv")
RUNS = (1, 2, 3)
"""Every cell was run three times."""


@dataclass(frozen=True)
class Published:
    """Results that could be read, and problems of the rest."""

    evidence: Evidence
    problems: tuple[str, ...]


def read_published(folder: Path) -> Published:
    """Read all of a folder in the published layout; any subset of it may be there.

    A damaged row, table or file of ratios is reported and left out.

    Raises:
        UserError: if there is nothing of the kind.
    """
    problems: list[str] = []
    scores: list[pd.DataFrame] = []
    ratios: list[pd.DataFrame] = []
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder")
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not _is_by_product(path)):
        task, _, model = place.name.partition("-")
        if task not in TASKS or model not in MODELS:
            problems.append(
                f"{place}: expected a folder named TASK-MODEL with TASK of {', '.join(TASKS)} and MODEL of "
                f"{', '.join(MODELS)}; rename or remove it"
            )
            continue
        key = {"task": TASKS[task], "model": MODELS[model]}
        tables = _read_runs(place, key, problems)
        scores += tables
        ratios += _read_ratios(place, key, {int(t["patch_size"].iloc[0]) for t in tables}, problems)
    if not scores:
        raise UserError(
            *problems,
            f"{folder}: holds no published table, expected for example "
            f"{folder / 'synthetic-unet' / 'synthetic-unet-32-1.csv'}",
        )
    ratios = _without_copies(ratios, problems)
    problems += _cut_ratios(ratios)
    problems += _missing_cases(scores)
    no_ratios = pd.DataFrame(
        {**{key: pd.Series(dtype="object") for key in CELL_COLUMNS}, "foreground_ratio": []}
    )
    return Published(
        Evidence(
            pd.concat(scores, ignore_index=True),
            pd.concat([frame.drop(columns="source") for frame in ratios], ignore_index=True)
            if ratios
            else no_ratios,
            None,
            OWN_TEST_SETS,
        ),
        tuple(problems),
    )


def _is_by_product(folder: Path) -> bool:
    """Return true if an editor or a system made a folder in the results: .ipynb_checkpoints, __MACOSX."""
    return folder.name.startswith(".") or folder.name in ("__MACOSX", "__pycache__")


def _read_runs(place: Path, key: dict[str, str], problems: list[str]) -> list[pd.DataFrame]:
    frames = []
    found = []
    for path in place.glob(f"{place.name}-*.csv"):
        match = TABLE.fullmatch(path.name.removeprefix(f"{place.name}-"))
        if match is None:
            problems.append(f"{path}: expected the name {place.name}-PATCH-RUN.csv; rename or remove it")
        else:
            found.append((int(match["patch"]), int(match["run"]), path))
    runs = {*RUNS, *(run for _, run, _ in found)}
    for patch in sorted({patch for patch, _, _ in found}):
        there = {run for size, run, _ in found if size == patch}
        problems += [f"{place / f'{place.name}-{patch}-{run}.csv'}: missing" for run in sorted(runs - there)]
    for patch, run, path in sorted(found):
        rows = read_scores(path, problems)
        if len(rows):
            frame = rows.assign(**key, patch_size=patch, seed=run)
            frames.append(frame[[*CELL_COLUMNS, *SCORES]])
    return frames


def _read_ratios(
    place: Path, key: dict[str, str], patch_sizes: set[int], problems: list[str]
) -> list[pd.DataFrame]:
    frames = []
    paths = {int(m["patch"]): p for p in place.glob("*.csv") if (m := RATIOS.fullmatch(p.name))}
    problems += [
        f"{place / f'foreground_ratios-{patch}.csv'}: not found; patch size {patch} has no training range"
        for patch in sorted(patch_sizes - set(paths))
    ]
    for patch, path in sorted(paths.items()):
        values = read_ratios(path, problems)
        if values:
            # One run of several recorded its patches, it is not known which.
            frame = pd.DataFrame({"foreground_ratio": values}).assign(**key, patch_size=patch, seed=pd.NA)
            frames.append(frame[[*CELL_COLUMNS, "foreground_ratio"]].assign(source=str(path)))
    return frames


def _without_copies(frames: list[pd.DataFrame], problems: list[str]) -> list[pd.DataFrame]:
    """Patches are drawn at random: of files with the same numbers at most one can be what it says."""
    same: dict[str, list[int]] = defaultdict(list)
    for number, frame in enumerate(frames):
        content = frame["foreground_ratio"].to_numpy().tobytes()
        same[hashlib.sha256(content).hexdigest()].append(number)
    copies = [numbers for numbers in same.values() if len(numbers) > 1]
    for numbers in copies:
        names = [frames[number]["source"].iloc[0] for number in numbers]
        problems.append(
            f"{' and '.join(map(str, names))}: identical foreground ratios; one is a copy, and nothing tells "
            "which: none is used"
        )
    left_out = {number for numbers in copies for number in numbers}
    return [frame for number, frame in enumerate(frames) if number not in left_out]


def _cut_ratios(frames: list[pd.DataFrame]) -> list[str]:
    """All trainings of a task draw the same number of patches."""
    most: dict[str, int] = defaultdict(int)
    for frame in frames:
        most[frame["task"].iloc[0]] = max(most[frame["task"].iloc[0]], len(frame))
    return [
        f"{frame['source'].iloc[0]}: holds {len(frame)} ratios, others {most[frame['task'].iloc[0]]}"
        for frame in frames
        if len(frame) < most[frame["task"].iloc[0]]
    ]


def _missing_cases(tables: list[pd.DataFrame]) -> list[str]:
    """Names are numbered alike in all runs of a task, also where their volumes are not the same."""
    expected: dict[str, set[str]] = defaultdict(set)
    for table in tables:
        expected[table["task"].iloc[0]] |= set(table["filename"])
    problems = []
    for table in tables:
        task, model, patch, run = table[CELL_COLUMNS].iloc[0]
        missing = sorted(expected[task] - set(table["filename"]))
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            problems.append(
                f"{task}, {model}, patch {patch}, run {run}: without {', '.join(missing[:3])}{more}"
            )
    return problems
