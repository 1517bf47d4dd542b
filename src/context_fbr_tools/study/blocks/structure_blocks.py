"""Blocks of docs/explanation/hippocampus.md: scores by structure, public reference, shifted crops, costs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.result_files import read_frame
from context_fbr.config.cell import Cell
from context_fbr.core.patch_size import parse
from context_fbr_tools.study.findings_text import findings_block, part_text, read_json
from context_fbr_tools.study.text_tables import Row, interval_text, table

METRICS, TASK = Path("metrics"), "hippocampus"
ABSENT = "There are no results yet: get the archive (`context-fbr doctor` says how), then run `dvc repro`."
REFERENCE, REFERENCE_SD, REFERENCE_CASES = 0.897, 0.028, 110
"""Mean and standard deviation of the public Dice of nnU-Net on the test cases of splits/hippocampus.csv."""
COMPARED = "anterior"
"""The structure whose Dice correlates best with the public scores, case by case."""
PARTS = "parts_need_more_context"
"""Id of the finding."""
CLOSE = 0.02
"""A difference of mean Dice that counts as reaching the reference; written down before the run."""


def structure_answer() -> str:
    """Return a sentence for README.md: what a larger patch adds to a part and to the whole."""
    if _read("structures") is None:
        return ABSENT
    tree = read_json(METRICS / TASK / "findings.json")
    found = {finding["id"]: finding for finding in tree["findings"]}.get(PARTS)
    if found is None:
        return f"**Real anatomy.** `{TASK}` has no finding `{PARTS}`; see its `not_asked`."
    parts = "; ".join(map(part_text, found["parts"]))
    return (
        f"**Real anatomy.** On 260 MRI of the {TASK} we expected Dice of the two parts to gain more from a "
        "larger patch than Dice of the whole. For each doubling of the patch, gain of a part minus gain of "
        f"the whole: {_text(found)}, {found['verdict']} ({parts}). {structure_reference()}"
    )


def structure_scores() -> str:
    """Return mean Dice of each structure by network and patch size, with the range of the seeds."""
    found = _read("structures")
    if found is None:
        return ABSENT
    return _by_structure(found, _with_range)


def structure_findings() -> str:
    """Return the findings of the task."""
    return ABSENT if _read("structures") is None else findings_block(METRICS / TASK, TASK)


def structure_reference() -> str:
    """Return a sentence that compares the best mean Dice of one structure with the public reference."""
    found = _read("structures")
    if found is None:
        return ABSENT
    own = found[found["structure"] == COMPARED]
    best = own.loc[own["dice_mean"].idxmax()]
    less = REFERENCE - best["dice_mean"]
    reached = "within" if abs(less) <= CLOSE else "not within"
    return (
        f"Of {len(own)} configurations, the one with the highest test Dice of the {COMPARED} part has "
        f"{best['dice_mean']:.3f} [{best['dice_mean_low']:.3f}, {best['dice_mean_high']:.3f}] "
        f"({name_of(best['model'])}, patch {best['patch_size']}, {best['seeds']} seeds, {best['cases']} "
        f"cases). The public mean of nnU-Net on these cases is {REFERENCE} (SD {REFERENCE_SD}); which part "
        f"it belongs to is not stated. The difference, {-less:+.3f}, is {reached} {CLOSE}; to choose by the "
        "test favours ours."
    )


def shifted_crops() -> str:
    """Return how much Dice each network loses where the border of the volume is cut at random."""
    found = _read("shifted_crops")
    if found is None:
        return ABSENT
    return _by_structure(
        found, lambda e: interval_text(e["difference"], e["difference_low"], e["difference_high"], "+")
    )


def structure_costs() -> str:
    """Return seconds of training and of evaluation of a cell, the median of its seeds."""
    found = _read("structures")
    if found is None:
        return ABSENT
    rows: list[Row] = [("network", "patch", "training, s", "validation and test, s")]
    cells = _read("cells")
    assert cells is not None  # written with the table of structures
    for (model, size), own in cells.groupby(["model", "patch_size"], sort=False):
        seconds = pd.DataFrame(
            [_seconds(Cell(TASK, str(model), parse(size), int(seed))) for seed in own["seed"]]
        )
        medians = seconds.median()
        numbers = (f"{medians[stage]:.0f}" for stage in ("train", "evaluate"))
        rows.append((name_of(str(model)), str(size), *numbers))
    return table(rows, markdown=True)


def _by_structure(found: pd.DataFrame, text: Callable[[pd.Series], str]) -> str:
    """Return a table with a row for each network and patch size, and a column for each structure."""
    names = list(dict.fromkeys(found["structure"]))
    rows: list[Row] = [("network", "patch", *names)]
    for (model, size), own in found.groupby(["model", "patch_size"], sort=False):
        by_name = own.set_index("structure")
        rows.append((name_of(str(model)), str(size), *(text(by_name.loc[name]) for name in names)))
    return table(rows, markdown=True)


def _text(finding: Mapping[str, float]) -> str:
    return interval_text(finding["estimate"], finding["low"], finding["high"], "+")


def _seconds(cell: Cell) -> Mapping[str, float]:
    """Return the seconds of both stages of a cell, without the time until they began."""
    records = {stage: METRICS / f"provenance/{stage}/{cell.key}.json" for stage in ("train", "evaluate")}
    return {stage: float(read_json(path)["seconds"]) for stage, path in records.items()}


def _read(name: str) -> pd.DataFrame | None:
    path = METRICS / TASK / f"{name}.csv"
    return read_frame(path, text=("patch_size",)) if path.is_file() else None


def _with_range(row: pd.Series) -> str:
    return f"{row['dice_mean']:.3f} ({row['dice_seed_min']:.3f} to {row['dice_seed_max']:.3f})"
