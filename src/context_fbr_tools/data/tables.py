"""What a survey found, for the terminal."""

from collections.abc import Sequence

import numpy as np

from context_fbr_tools.data.survey import Survey
from context_fbr_tools.data.yaml_block import AXES
from context_fbr_tools.study.text_tables import Row, table


def render(found: Survey) -> str:
    """Three tables: sizes and ratios over the cases, intensities, labels."""
    return "\n\n".join(
        table(rows, markdown=False) for rows in (_by_case(found), _intensities(found), _labels(found))
    )


def _by_case(found: Survey) -> list[Row]:
    sizes_mm = found.spacings_mm * found.sizes
    rows: list[Row] = [("over the cases", "lowest", "median", "highest")]
    for what, values in (
        ("spacing {}, mm", found.spacings_mm),
        ("size {}, voxels", found.sizes),
        ("size {}, mm", sizes_mm),
    ):
        rows += [_spread(what.format(axis), values[:, i]) for i, axis in enumerate(AXES)]
    return [*rows, _spread("foreground ratio", [case.foreground_ratio for case in found.cases])]


def _spread(what: str, values: Sequence[float] | np.ndarray) -> Row:
    return (what, *(f"{number:.4g}" for number in (np.min(values), np.median(values), np.max(values))))


def _intensities(found: Survey) -> list[Row]:
    percents = (0.5, 50, 99.5)
    rows: list[Row] = [("intensities, percentile", *(f"{percent:g}" for percent in percents))]
    for what, histogram in (("of the foreground", found.inside), ("of whole images", found.whole)):
        rows.append((what, *(f"{histogram.percentile(percent):.4g}" for percent in percents)))
    return rows


def _labels(found: Survey) -> list[Row]:
    rows: list[Row] = [("label", "name", "voxels", "cases", "foreground")]
    for value, name in found.label_names.items():
        counts = [case.label_voxels.get(value, 0) for case in found.cases]
        chosen = "yes" if value in found.foreground else ""
        rows.append((str(value), name, str(sum(counts)), str(np.count_nonzero(counts)), chosen))
    return rows
