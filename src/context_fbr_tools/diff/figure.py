"""Figure of a comparison: differences of the scores of each configuration with their intervals."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import COLOURS, GREY, drawing, png, subplots
from context_fbr_tools.diff.scores import (
    BETTER,
    SIGNS,
    UNCHANGED,
    UNDECIDED,
    WORSE,
    Configuration,
    ScoreChange,
)

LOOKS: dict[str, dict[str, Any]] = {
    BETTER: {"color": COLOURS[0], "marker": "^"},
    WORSE: {"color": COLOURS[1], "marker": "v"},
    UNDECIDED: {"color": GREY, "marker": "o"},
    UNCHANGED: {"color": GREY, "marker": "o", "markerfacecolor": "white"},
}
SCORES = {"dice": "mean test Dice", "hausdorff": "mean Hausdorff distance (voxels)"}


def score_differences(configurations: Sequence[Configuration], confidence: float) -> bytes:
    """A row for each configuration, a column for each score; each verdict has its look."""
    labels = [
        f"{c.task}, {name_of(c.model)}"
        + (f", patch {c.patch_size}" if c.patch_size is not None else "")
        + (f", {c.structure}" if c.structure else "")
        for c in configurations
    ]
    with drawing():
        figure, axes = subplots(1, len(SCORES), sharey=True, figsize=(9.5, 1.4 + 0.32 * len(configurations)))
        for axis, name in zip(axes, SCORES, strict=True):
            _panel(axis, name, [getattr(c, name) for c in configurations])
        axes[0].set_yticks(range(len(labels)), labels)
        axes[0].invert_yaxis()
        for verdict, style in LOOKS.items():
            axes[-1].plot([], [], linestyle="", label=verdict, **style)
        axes[-1].plot([], [], color=GREY, label=f"{confidence:.0%} interval")
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        return png(figure)


def _panel(axis: Axes, name: str, changes: Sequence[ScoreChange]) -> None:
    axis.axvline(0, color="black", linewidth=0.8)
    for row, change in enumerate(changes):
        found, style = change.difference, LOOKS.get(change.verdict, LOOKS[UNCHANGED])
        if found.estimate is None:
            axis.annotate("undefined", (0, row), fontsize=8, color=GREY, va="center")
            continue
        if found.low is not None and found.high is not None:
            axis.hlines(row, found.low, found.high, color=style["color"])
        axis.plot(found.estimate, row, **style)
    better = "right" if SIGNS[name] > 0 else "left"
    axis.set_xlabel(f"change of {SCORES[name]};\n{better} is better")
    axis.margins(y=0.08)
