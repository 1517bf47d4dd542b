"""Case variance of statistics over designed test cases: a known grid of one variable, such as the radius.

Designed cases are no sample of a population: the sum over the grid is what is asked for, and a score that
changes along the grid is no error of it. Random is only what another volume of the same design value would
change. Neighbours tell how much that is: a case differs from the straight line between its neighbours by its
own noise, theirs, and the curvature of the scores. On a regular grid this is a second difference d2, whose
square / 6 estimates the variance (Gasser, Sroka and Jennen-Steinmetz, Biometrika 73, 1986; Wolter, J. Am.
Stat. Assoc. 79, 1984, for the means of systematic samples). Curvature is counted as noise, so steep or
stepped curves give wide intervals rather than narrow ones.

The noise of a case inside of the grid is counted once, 1/6 + 4/6 + 1/6, however much cases differ in noise;
that of the first and the last would be counted as 1/6, and the smallest spheres are the noisiest. So the
first and the last d2 count again for these cases, with 5/6 of their square.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from context_fbr.metrics.columns import DESIGN


def is_designed(rows: pd.DataFrame) -> bool:
    """Return true if every row is of a designed case; a table without the column has random cases."""
    return DESIGN.name in rows and bool(rows[DESIGN.name].notna().all())


def residuals(rows: pd.DataFrame, value: str, coefficient: float) -> Mapping[str, float] | None:
    """Return the weighted noise of each case in `coefficient` times the mean of a value, by its filename.

    A case is compared with the line between its two neighbours among the rows, at whatever distance: cases
    without a value, and cases of other groups, leave gaps. The first and the last case have the distance of
    the neighbouring case, which is also theirs from the line through the next two. Of two cases the whole
    difference counts as noise.

    Args:
        rows: with the columns design, filename and the value, which is defined in all of them.
        value: the column that is averaged.
        coefficient: of the mean.

    Returns:
        Values whose sum of squares estimates the variance; None for a single case, which has no neighbour.
    """
    scores: dict[tuple[float, str], list[float]] = {}
    columns = (rows[name].tolist() for name in (DESIGN.name, "filename", value))
    for design, name, score in zip(*columns, strict=True):
        scores.setdefault((design, name), []).append(score)
    cases = sorted(scores)  # by the design
    count = len(cases)
    if count < 2:
        return None
    sizes = np.array([len(scores[case]) for case in cases])
    x, y = (
        np.array([case[0] for case in cases]),
        np.array([math.fsum(scores[case]) for case in cases]) / sizes,
    )
    noise = np.zeros(count)
    if count == 2:
        noise[1] = y[1] - y[0]
    else:
        before, after = x[1:-1] - x[:-2], x[2:] - x[1:-1]
        span = before + after
        # The weight of the neighbour before; two cases of one design value may be the only neighbours.
        near = np.divide(after, span, out=np.full(count - 2, 0.5), where=span > 0)
        distance = y[1:-1] - near * y[:-2] - (1 - near) * y[2:]
        noise[1:-1] = distance / np.sqrt(1 + near**2 + (1 - near) ** 2)
        noise[[0, -1]] = -math.sqrt(5) * noise[[1, -2]]  # on the other side of the line
    weighted = (coefficient * sizes / len(rows) * noise).tolist()
    return {name: own for (_, name), own in zip(cases, weighted, strict=True)}


def variance(parts: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return the variance of a sum of terms over the cases, and its degrees of freedom, from `residuals`.

    The residuals of one case in several terms are added before they are squared: differences are paired by
    case. Degrees of freedom are the effective number of squares, (sum v)^2 / sum v^2, but no more than the
    largest term has second differences, and from there on no fewer than 2: a single large square is for the
    most part curvature, which does not vary.
    """
    sums: dict[str, float] = {}
    for part in parts:
        for name, own in part.items():
            sums[name] = sums.get(name, 0.0) + own
    squares = [own**2 for own in sums.values()]
    total = math.fsum(squares)
    effective = total**2 / math.fsum(square**2 for square in squares) if total else 2.0
    most = max(len(part) for part in parts) - 2
    return total, max(min(max(effective, 2.0), most), 1.0)
