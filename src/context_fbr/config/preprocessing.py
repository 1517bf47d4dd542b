"""Settings of preprocessing, `tasks.<task>.prepare`: from raw volumes to inputs of the networks."""

import unicodedata
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from context_fbr.config.document import InconsistentError, Section

Count = Annotated[int, Field(ge=1)]
Spacing = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(min_length=1), AfterValidator(lambda name: unicodedata.normalize("NFC", name))]
"""Name of a case, composed: macOS may decompose the letters of names."""
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class Split(Section):
    """Cases for training, validation and test.

    Counts take the cases in the order of their sorted file names, lists name them. `test: imagesTs` takes the
    data set's own test folder, if it has labels.
    """

    train: Count | Names
    validation: Count | Names
    test: Count | Names | Literal["imagesTs"]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        listed = {key: part for key, part in parts.items() if isinstance(part, tuple)}
        counted = [key for key, part in parts.items() if isinstance(part, int)]
        if listed and counted:
            text = f"is a number, but {', '.join(listed)} lists cases: give numbers everywhere, or lists"
            raise InconsistentError(counted[0], text)
        twice = [name for name, n in Counter(n for part in listed.values() for n in part).items() if n > 1]
        if twice:
            key = next(key for key, part in reversed(listed.items()) if twice[0] in part)
            raise InconsistentError(key, f"{twice[0]} is listed more than once in train, validation and test")
        return self


class Preparation(Section):
    """Preprocessing of an image; a step that is not given is left out."""

    foreground: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    """Label values that are segmented, together as one class."""
    distractor: tuple[Count, ...] = ()
    """Label values of background that is easily taken for foreground: what is found of it is scored, too."""
    window: tuple[float, float] | None = None
    """Intensities from low to high become 0 to 1, others are clipped: for CT, in HU."""
    z_score: bool = False
    """If true, the voxels above 0 get the mean 0 and the standard deviation 1: for MRI."""
    crop: bool = False
    """If true, the image is cropped to the box of the voxels above 0, after the window."""
    spacing_mm: tuple[Spacing, Spacing, Spacing] | None = None
    """Edges of a voxel after resampling, towards right, anterior and superior."""

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if both := sorted({*self.distractor} & {*self.foreground}):
            raise InconsistentError("distractor", f"{both} are foreground, too")
        if self.window is not None and self.z_score:
            raise InconsistentError("z_score", "goes without a window: after one, intensities are 0 to 1")
        if self.window is not None and self.window[0] >= self.window[1]:
            raise InconsistentError("window", f"must be [low, high], not {list(self.window)}")
        return self


class Prepare(Preparation):
    """Preprocessing of a task: of its images, and the split of its cases."""

    split: Split
