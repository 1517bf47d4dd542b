"""Facts about patches as a table and in sentences."""

from collections.abc import Mapping, Sequence

import numpy as np

from context_fbr.core.patch_size import PatchSize
from context_fbr_tools.study.planning.advice.labels import DataSet
from context_fbr_tools.study.planning.advice.patches import Facts
from context_fbr_tools.study.planning.forecast.costs import Costs
from context_fbr_tools.study.planning.forecast.report import GB, duration
from context_fbr_tools.study.text_tables import Row, table

MOST = 0.9
"""Share that is called most."""


def as_text(
    data: DataSet,
    found: Sequence[Facts],
    costs: Mapping[PatchSize, Sequence[Costs]],
    width: int | None = None,
) -> str:
    """Return the table and what it says.

    Args:
        data: that was looked at.
        found: facts by patch size.
        costs: of the cells of each patch size, where they are known.
        width: of the terminal.
    """
    several = data.structures > 1
    head = ["patch", "foreground ratio", "without foreground", "whole object", "of the object"]
    head += ["every structure"] if several else []
    head += ["at the border", "padded", "tests outside", "a cell takes", "memory"]
    rows: list[Row] = [head]
    for own in found:
        low, middle, high = np.quantile(own.ratios, (0.05, 0.5, 0.95))
        row = [str(own.size), f"{middle:.3f} ({low:.3f} to {high:.3f})", f"{(own.ratios == 0).mean():.0%}"]
        row += [f"{own.whole:.0%}", f"{own.held:.0%}"] + ([f"{own.every_structure:.0%}"] if several else [])
        row += [f"{own.at_border:.0%}", str(own.padded), str(own.outside)]
        known = costs.get(own.size, ())
        row += [_span([duration(c.seconds) for c in sorted(known, key=lambda c: c.seconds)])]
        row += [f"{max(c.memory for c in known) / GB:.1f} GB" if known else ""]
        rows.append(row)
    tests = sum(case.is_test for case in data.cases)
    lines = [
        f"{data.name}: {len(data.cases) - tests} training cases and {tests} test cases were looked at"
        + (f", {data.left_out} were not" if data.left_out else ""),
        table(rows, markdown=False, width=width),
        "",
        *sentences(found, len(data.cases), tests, several),
    ]
    if not costs:
        lines.append("What a cell takes is not known on this machine: `context-fbr plan` measures it.")
    return "\n".join(lines)


def _span(texts: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((texts[0], texts[-1]))) if texts else ""


def _most(found: Sequence[Facts], holds: Sequence[bool]) -> str:
    """Return the subject of a sentence about sizes of which most patches hold something; empty if none."""
    sizes = [str(own.size) for own, does in zip(found, holds, strict=True) if does]
    if not sizes:
        return ""
    if all(holds[holds.index(True) :]):
        return f"From patch {sizes[0]} on, most patches"
    return f"Most patches of {', '.join(sizes)}"  # flat ones are not ordered by what they hold


def sentences(found: Sequence[Facts], cases: int, tests: int, several: bool) -> list[str]:
    """Return what the table says in words, of so many cases, of which some are for the test."""
    lines = []
    holding = _most(found, [own.whole >= MOST for own in found])
    if holding:
        lines.append(f"{holding} hold the whole object.")
    else:
        largest = found[-1]
        lines.append(
            f"No patch size holds the whole object in {MOST:.0%} of its patches; at patch {largest.size}, "
            f"{largest.whole:.0%} of them do."
        )
    if several:
        every = _most(found, [own.every_structure >= MOST for own in found])
        lines.append(
            f"{every} hold every structure: one can show where another is."
            if every
            else f"No patch size holds every structure in {MOST:.0%} of its patches: structures are often "
            "seen without the others."
        )
    unpadded = [own for own in found if own.padded <= (1 - MOST) * cases]
    worst = max(unpadded, key=lambda own: own.outside, default=None)
    if worst is not None and worst.outside:
        lines.append(
            f"At patch {worst.size}, {worst.outside} of {tests} test cases have a foreground ratio outside "
            "of the range of the training patches. On spheres, networks with instance norm lose much Dice "
            "there, those with batch norm little (docs/explanation/results.md)."
        )
    lines += [
        f"Patch {own.size} pads {own.padded} of {cases} cases, which lowers the ratios of its patches."
        for own in found
        if own not in unpadded
    ]
    return lines
