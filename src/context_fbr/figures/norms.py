"""Marks of networks whose norm is exchanged: the same in every figure that compares norms."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from context_fbr.figures.style import line_style

BATCH, INSTANCE = "batch norm", "instance norm"
LOOKS: Mapping[str, Mapping[str, Any]] = {
    BATCH: {"marker": "o", "linestyle": "-"},
    INSTANCE: {"marker": "o", "linestyle": "--", "markerfacecolor": "white"},
}
"""Filled marks and full lines: batch norm; hollow marks and dashes: instance norm."""
NO_NORMS: Mapping[str, str] = MappingProxyType({})


def norms_of(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the norm of each model of pairs [batch, instance]."""
    return {model: norm for pair in pairs for model, norm in zip(pair, (BATCH, INSTANCE), strict=True)}


def compared(models: Iterable[str], norms: Mapping[str, str]) -> list[str]:
    """Return the models whose norms are exchanged, or all if there are none: other variants have tables."""
    every = list(models)
    return [model for model in every if model in norms] or every


def norm_style(model: str, norms: Mapping[str, str]) -> dict[str, Any]:
    """Return the style of a network, as `line_style`; marker and dashes are those of an exchanged norm."""
    style = line_style(model) | dict(LOOKS.get(norms.get(model, ""), {}))
    if norms.get(model) == BATCH:
        style.pop("markerfacecolor", None)
    return style
