"""Order of the cells: the longest first, or the last one runs alone while other places are empty."""

import math
import statistics
from collections.abc import Mapping, Sequence

from context_fbr.config.cell import Cell
from context_fbr.config.study import Study
from context_fbr.core import bounded
from context_fbr.core.patch_size import voxels

COST_OF_NETWORK = {"UNet": 1.0, "AttentionUnet": 4.0, "UNETR": 6.0}
"""Time of a training by MONAI's class, UNet's being 1: as measured in this study at patches of 48 voxels."""
COST_OF_OTHER_NETWORK = 4.0


def longest_first(cells: Sequence[Cell], study: Study, measured: Mapping[Cell, float]) -> list[Cell]:
    """The cells in the order in which to start them; equally long ones stay in theirs.

    Args:
        cells: of the study's grid.
        study: the parameters.
        measured: seconds of earlier trainings, see `measurements`; of any cells.
    """
    seconds = estimates(cells, study, measured)
    return sorted(cells, key=lambda cell: -seconds[cell])


def estimates(cells: Sequence[Cell], study: Study, measured: Mapping[Cell, float]) -> dict[Cell, float]:
    """Return the time of each training, in seconds; in another unit if nothing was measured.

    A measurement includes the network's arguments, the validations and the machine; a formula does not.
    Another seed differs in random numbers only, so it measures as well. It may come from other epochs or from
    another machine: then usually all of them do, and the order is still right.
    """
    of_seeds: dict[Cell, list[float]] = {}
    for cell, seconds in measured.items():
        of_seeds.setdefault(_any_seed(cell), []).append(seconds)
    # Cells without a measurement are estimated in the unit of the others, seconds.
    known = [cell for cell in measured if cell.task in study.tasks and cell.model in study.models]
    unit = statistics.median(measured[cell] / work(cell, study) for cell in known) if known else 1.0

    def estimate(cell: Cell) -> float:
        if cell in measured:
            return measured[cell]
        seeds = of_seeds.get(_any_seed(cell))
        return statistics.median(seeds) if seeds else unit * work(cell, study)

    return {cell: estimate(cell) for cell in cells}


UNKNOWN_CASES = 100
"""Training cases where a file of splits decides."""


def work(cell: Cell, study: Study) -> float:
    """Voxels that a training passes through its network, weighted by the network's cost.

    Validation is left out, for which the size of the volumes would have to be known before they are prepared.
    """
    task = study.tasks[cell.task]
    count = task.prepare.split.training_cases or UNKNOWN_CASES
    whole = cell.patch_size == getattr(task.raw, "edge", None)  # equal patches of a volume are computed once
    each = 1 if whole else study.training_of(cell).patches_of(cell.patch_size)
    patches = task.train.epochs * count * each
    cost = COST_OF_NETWORK.get(study.models[cell.model].network, COST_OF_OTHER_NETWORK)
    return float(patches * voxels(cell.patch_size) * cost)


def by_task(cells: Sequence[Cell], tasks: Sequence[str]) -> list[Cell]:
    """Return the cells task by task, as these are listed: the results of the first are there first."""
    return sorted(cells, key=lambda cell: tasks.index(cell.task))


def expected(cells: Sequence[Cell], trainings: Mapping[Cell, float], jobs: int) -> str:
    """Return the time that cells will take, by the committed provenance of these or of other seeds.

    Args:
        cells: to compute.
        trainings: seconds by cell, as of `measurements`.
        jobs: cells at once.
    """
    evaluations = measurements(list(trainings), "evaluate")
    of_seeds: dict[Cell, list[float]] = {}
    for cell, seconds in trainings.items():
        of_seeds.setdefault(_any_seed(cell), []).append(seconds + evaluations.get(cell, 0.0))
    known = [statistics.median(of_seeds[_any_seed(cell)]) for cell in cells if _any_seed(cell) in of_seeds]
    unknown = len(cells) - len(known)
    if not known:
        return "how long they take is not known, metrics/provenance has none of them"
    minutes = max(sum(known) / jobs, max(known)) / 60
    rest = f"; unknown for {unknown} of them" if unknown else ""
    return f"about {minutes:.0f} min, {jobs} at once, by metrics/provenance{rest}"


def measurements(cells: Sequence[Cell], stage: str = "train") -> dict[Cell, float]:
    """Return the seconds of the last training of the cells that metrics/provenance has, or evaluation.

    A training that was resumed counts its last part only, so it does not count. A file that cannot be read
    is ignored: the order is not a reason to stop.
    """
    found: dict[Cell, float] = {}
    for cell in cells:
        try:
            content = bounded.read_json(cell.provenance(stage))
            seconds, resumed = float(content["seconds"]), content["resumed"]
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
        if not resumed and math.isfinite(seconds) and seconds > 0:
            found[cell] = seconds
    return found


def _any_seed(cell: Cell) -> Cell:
    return Cell(cell.task, cell.model, cell.patch_size, seed=0)
