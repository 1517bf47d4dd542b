"""Predictions and labels as contours on the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from context_fbr.analysis.display_names import name_of
from context_fbr.core.patch_size import PatchSize
from context_fbr.figures.style import COLOURS, drawing, png, subplots

LABEL, PREDICTION = COLOURS[4], COLOURS[5]


@dataclass(frozen=True)
class Panel:
    """One case of one cell: its scores and a slice (y, x) of image, label and prediction."""

    model: str
    patch_size: PatchSize
    place: str
    """Median or worst."""
    case: str
    dice: float
    hausdorff_voxels: float
    """Missing (NaN) for an empty prediction."""
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    aspect: float = 1.0
    """Height of a pixel / its width."""
    window: tuple[float, float] | None = None
    """Intensities that are black and white; None: the least and the greatest."""


def overlays(panels: Sequence[Panel], credit: str = "") -> bytes:
    """Draw a row for each network, and for each patch size a column with its median and its worst case.

    Args:
        panels: of each cell that is shown.
        credit: the source of the images, written below them.
    """
    models = list(dict.fromkeys(panel.model for panel in panels))
    places = list(dict.fromkeys(panel.place for panel in panels))
    columns = [(size, place) for size in sorted({panel.patch_size for panel in panels}) for place in places]
    with drawing({"axes.grid": False}):
        figure, axes = subplots(
            len(models),
            len(columns),
            figsize=(1.75 * len(columns), 2.15 * len(models) + 0.4),
            squeeze=False,
        )
        for axis in axes.flat:
            axis.set_axis_off()
        for panel in panels:
            column = columns.index((panel.patch_size, panel.place))
            _draw(axes[models.index(panel.model), column], panel)
        for (size, place), axis in zip(columns, axes[0], strict=True):
            axis.annotate(  # in points above the panel's own title, however high the panel is
                f"patch {size}\n{place} case",
                (0.5, 1),
                (0, 42),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="bottom",
            )
        for model, axis in zip(models, axes[:, 0], strict=True):
            text = name_of(model).replace(", ", ",\n")
            where = {"ha": "right", "va": "center", "multialignment": "center"}
            axis.text(-0.1, 0.5, text, rotation=90, transform=axis.transAxes, **where)
        handles = [
            Line2D([], [], color=LABEL, linewidth=1.6, label="label"),
            Line2D([], [], color=PREDICTION, linewidth=1.6, linestyle="--", label="prediction"),
        ]
        figure.legend(
            handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.3 / len(models) / 2)
        )
        figure.text(1, -0.3 / len(models) / 2, credit, ha="right", va="bottom", fontsize=6.5, color="0.35")
        figure.tight_layout(h_pad=1.0)
        return png(figure)


def _draw(axis: Axes, panel: Panel) -> None:
    low, high = panel.window or (None, None)
    axis.imshow(
        panel.image,
        cmap="gray",
        origin="lower",
        interpolation="nearest",
        aspect=panel.aspect,
        vmin=low,
        vmax=high,
    )
    axis.invert_xaxis()  # x grows towards the patient's right
    for classes, colour, dashes in ((panel.label, LABEL, "solid"), (panel.prediction, PREDICTION, "dashed")):
        for number in np.unique(classes[classes > 0]):
            mask = classes == number
            if mask.all():
                continue
            # A border of background: a mask that touches the edge has a closed contour.
            y, x = (np.arange(-1, length + 1) for length in mask.shape)
            padded = np.pad(mask.astype(float), 1)
            axis.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=dashes, linewidths=1.6)
    distance = "undefined" if np.isnan(panel.hausdorff_voxels) else f"{panel.hausdorff_voxels:.1f} voxels"
    axis.set_title(f"{panel.case}\nDice {panel.dice:.3f}\nHausdorff {distance}", fontsize=7.5)
