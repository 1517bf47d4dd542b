"""Cells of the paper profile and the published runs in one figure."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import GREY, dice_limits, drawing, family, line_style, png, subplots

SHIFT = 0.12  # published runs to the left, ours to the right of the patch size


def beside_published(
    runs: pd.DataFrame, means: pd.DataFrame, published: pd.DataFrame, confidence: float
) -> bytes:
    """A panel for each network, with a Dice axis of its own: published runs grey, ours in colour.

    Args:
        runs: columns task, model, patch_size, source (this repository, or published), dice.
        means: as `summary.summarise`, of one task; the threshold's line is taken from it.
        published: columns task, model, patch_size, published_mean, published_low, published_high.
        confidence: of the intervals, for the legend.
    """
    task = means["task"].iloc[0]
    runs, published = runs[runs["task"] == task], published[published["task"] == task]
    models = list(published["model"].unique())
    places = {size: place for place, size in enumerate(sorted(runs["patch_size"].unique()))}
    threshold = means[means["model"] == "threshold"]["dice_mean"]
    with drawing():
        figure, axes = subplots(1, len(models), figsize=(2.2 + 3.2 * len(models), 4.2), squeeze=False)
        for axis, model in zip(axes[0], models, strict=True):
            ours, theirs = means[means["model"] == model], published[published["model"] == model]
            own = runs[runs["model"] == model]
            _panel(axis, own, ours, theirs, places, line_style(model), confidence)
            variants = [name for name in means["model"].unique() if name != model and family(name) == model]
            for variant in variants:
                _variant(axis, runs[runs["model"] == variant], places, variant)
            for dice in threshold:
                axis.axhline(dice, color=GREY, linestyle=":", label=f"{name_of('threshold')}, {dice:.3f}")
            axis.set(title=name_of(model), xlabel="patch size (voxels)")
            axis.set_xlim(-0.5, len(places) - 0.5)
            axis.set_xticks(range(len(places)), [str(size) for size in places])
            axis.set_ylim(
                *dice_limits(
                    [*own["dice"], *theirs["published_low"], *runs[runs["model"].isin(variants)]["dice"]]
                )
            )
        axes[0, 0].set_ylabel(f"mean test Dice, {task}\n(each panel on its own axis)")
        # A network that was run here shows how its cells look; the last panel may be of one that was not.
        here = [m for m in models if ((runs["model"] == m) & (runs["source"] != "published")).any()]
        shown = axes[0, models.index(here[0])] if here else axes[0, -1]
        axes[0, -1].legend(*shown.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(finding(means[means["task"] == task], published), fontsize=10)
        figure.tight_layout()
        return png(figure)


def finding(means: pd.DataFrame, published: pd.DataFrame) -> str:
    """Return how the cells that were run as published, and those with something exchanged, compare.

    Args:
        means: as for the figure, of one task, with column outside_published_range (0 within).
        published: as for the figure, of this task.
    """
    same = means[means["published_mean"].notna()]
    within = int((same["outside_published_range"] == 0).sum())
    lines = [f"Run here as published: {within} of {len(same)} means within the range of the published runs"]
    theirs = published.set_index(["model", "patch_size"])["published_mean"]
    exchanged = means[[family(model) != model for model in means["model"]]]
    size = exchanged["patch_size"].min()
    changes = [
        f"{name_of(row.model)} {row.dice_mean:.2f} instead of {theirs[family(row.model), size]:.2f}"
        for row in exchanged[exchanged["patch_size"] == size].itertuples()
        if (family(row.model), size) in theirs.index
    ]
    if changes:
        lines.append(f"Norm exchanged, patch {size}: {'; '.join(changes)}")
    return "\n".join(lines)


def _variant(axis: Axes, runs: pd.DataFrame, places: dict[int, int], model: str) -> None:
    """Draw the cells of a network with something exchanged, such as its norm, and name it."""
    style = line_style(model)
    x = runs["patch_size"].map(places) + SHIFT
    look = {"marker": style["marker"], "facecolors": "white", "edgecolors": style["color"]}
    axis.scatter(x, runs["dice"], s=26, **look, zorder=3)
    for place, dice in zip(x, runs["dice"], strict=True):
        axis.annotate(
            name_of(model),
            (place, dice),
            (5, -1),
            textcoords="offset points",
            fontsize=7,
            va="top" if dice > 0.95 else "center",  # below the line of the baseline
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )


def _panel(
    axis: Axes,
    runs: pd.DataFrame,
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    places: dict[int, int],
    style: dict[str, Any],
    confidence: float,
) -> None:
    x = theirs["patch_size"].map(places) - SHIFT
    axis.plot(x, theirs["published_mean"], color=GREY, linewidth=1, label="published mean")
    axis.vlines(x, theirs["published_low"], theirs["published_high"], color=GREY, linewidth=2)
    known = ours[ours["dice_mean_low"].notna()]
    low, high = known["dice_mean_low"].astype(float), known["dice_mean_high"].astype(float)
    axis.vlines(known["patch_size"].map(places) + SHIFT, low, high, color=style["color"], linewidth=2)
    marks: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("published", -SHIFT, {"color": GREY, "marker": "o"}),
        ("this repository", SHIFT, {"color": style["color"], "marker": style["marker"]}),
    )
    for source, shift, look_of in marks:
        some = runs[runs["source"] == source]
        label = "published run" if source == "published" else "run here"
        axis.scatter(some["patch_size"].map(places) + shift, some["dice"], s=22, label=label, **look_of)
    axis.plot([], [], color=GREY, linewidth=2, label=f"{confidence:.0%} interval")
