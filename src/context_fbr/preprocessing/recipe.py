"""Preprocessing and intensities of a cell's images, so that other images are prepared the same way.

It travels from data/prepared/TASK/cases.json with the training into models/CELL/training.json, so that a
model is used with the preparation that it was trained with, whatever params.yaml says by now.
"""

import sys
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from context_fbr.config.document import plain
from context_fbr.config.prepare.preprocessing import Preparation


@dataclass(frozen=True)
class Recipe:
    """Preprocessing, with modality and intensities of the training images before it."""

    preparation: Preparation
    modality: tuple[str, ...]
    """Names as in dataset.json, `CT`."""
    lowest_intensity: float
    """Least intensity of all training images."""
    channels: int = 1
    """Number of channels of an image."""

    def as_json(self) -> dict[str, Any]:
        """Return a tree for a JSON file."""
        several = {"channels": self.channels} if self.channels > 1 else {}  # or as before there were any
        return {
            "modality": list(self.modality),
            **several,
            "lowest_intensity": self.lowest_intensity,
            "preparation": self.preparation.model_dump(mode="json", exclude={"split", "shifted_test_crops"}),
        }


def from_json(tree: dict[str, Any]) -> Recipe:
    """Return the recipe of `Recipe.as_json`.

    Raises:
        KeyError, TypeError, ValueError: if it is something else.
    """
    modality, lowest = tree["modality"], tree["lowest_intensity"]
    if not isinstance(modality, list) or not all(isinstance(name, str) for name in modality):
        raise ValueError(f"modality is {modality!r}, expected a list of names")
    if not isinstance(lowest, int | float) or not -sys.float_info.max <= lowest <= sys.float_info.max:
        raise ValueError(f"lowest_intensity is {lowest!r}, expected a number")
    try:
        preparation = Preparation.model_validate(plain(tree["preparation"]))
    except ValidationError as error:  # its own text has many lines
        found = error.errors()[0]
        where = ".".join(map(str, ("preparation", *found["loc"])))
        raise ValueError(f"{where}: {found['msg']}") from error
    channels = tree.get("channels", 1)
    if type(channels) is not int or channels < 1:
        raise ValueError(f"channels is {channels!r}, expected a number of channels")
    return Recipe(preparation, tuple(modality), float(lowest), channels)
