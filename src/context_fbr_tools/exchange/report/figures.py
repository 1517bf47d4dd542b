"""Interactive figures of the report, as Vega-Lite specifications; page.js adds the rows of their tables."""

from collections.abc import Sequence
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.core.patch_size import PatchSize, written
from context_fbr.figures.style import line_style

SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
}
"""Vega's names of matplotlib's markers."""
WIDTH, HEIGHT = 560, 320
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
"""Name of the version; nothing is fetched from there."""


def dice_by_patch_size(models: Sequence[str], sizes: Sequence[PatchSize]) -> dict[str, Any]:
    """Return the figure of mean Dice by patch size: a mark for each training, a line through their means.

    Args:
        models: networks, in the order of the legend.
        sizes: patch sizes, in the order of the axis.
    """
    encoding = {
        "x": {
            "field": "patch",
            "type": "ordinal",
            "title": "patch size (voxels)",
            "axis": {"labelAngle": 0},
            "sort": [*map(written, sizes)],
        },
        "y": {
            "field": "mean Dice",
            "type": "quantitative",
            "title": "mean test Dice",
            "scale": {"zero": False, "nice": True},
        },
        **_looks(models),
    }
    line = dict(encoding, y={**encoding["y"], "aggregate": "mean"})
    line.pop("shape")
    return _figure(
        layer=[
            {"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": line},
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "params": [_by_legend()],
                "encoding": {
                    **encoding,
                    "tooltip": _tooltip("network", "patch", "seed", "mean Dice", "converged"),
                },
            },
        ]
    )


def dice_by_foreground_ratio(models: Sequence[str], sizes: Sequence[PatchSize]) -> dict[str, Any]:
    """Return the figure of Dice by foreground ratio: a mark for each test case of each training.

    Args:
        models: networks, in the order of the legend.
        sizes: patch sizes, one of which is shown.
    """
    choice = {
        "name": "patch",
        "value": written(min(sizes)),
        "bind": {"input": "select", "options": [*map(written, sizes)], "name": "patch size "},
    }
    encoding = {
        "x": {
            "field": "foreground ratio",
            "type": "quantitative",
            "scale": {"type": "log"},
            "title": "foreground ratio of the test case",
            "axis": {"format": "~g", "tickCount": 5},
        },
        "y": {
            "field": "Dice",
            "type": "quantitative",
            "title": "Dice of the test case",
            "scale": {"domain": [0, 1]},
        },
        **_looks(models),
        "tooltip": _tooltip(
            "case", "network", "patch", "seed", "Dice", "Hausdorff, voxels", "foreground ratio"
        ),
    }
    mark = {"type": "point", "size": 36, "cursor": "pointer"}
    return _figure(
        layer=[
            {
                "params": [_by_legend()],
                "transform": [{"filter": "datum.patch == patch && datum['foreground ratio'] > 0"}],
                "mark": mark,
                "encoding": encoding,
            }
        ],
        params=[choice],
    )


def _figure(**parts: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "width": WIDTH, "height": HEIGHT, "data": {"name": "rows"}, **parts}


def _by_legend() -> dict[str, Any]:
    """Return the choice of networks by a click in the legend."""
    return {"name": "chosen", "select": {"type": "point", "fields": ["network"]}, "bind": "legend"}


def _looks(models: Sequence[str]) -> dict[str, Any]:
    """Return colour, shape and opacity by network: those of all other figures."""
    names, styles = [name_of(model) for model in models], [line_style(model) for model in models]
    colours = [style["color"] for style in styles]
    shapes = [SHAPES[style["marker"]] for style in styles]
    field = {"field": "network", "type": "nominal", "title": None}
    return {
        "color": {**field, "scale": {"domain": names, "range": colours}},
        "shape": {**field, "scale": {"domain": names, "range": shapes}},
        "opacity": {"condition": {"param": "chosen", "value": 0.85}, "value": 0.08},
    }


def _tooltip(*fields: str) -> list[dict[str, str]]:
    return [{"field": field.replace(".", "\\."), "title": field, "type": "nominal"} for field in fields]
