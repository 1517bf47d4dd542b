"""Settings of preprocessing, `tasks.<task>.prepare`: from raw volumes to inputs of the networks."""

from collections import Counter
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from context_fbr.config.document import InconsistentError, Section
from context_fbr.config.prepare.split import Split
from context_fbr.config.sizes import Count

Spacing = Annotated[float, Field(gt=0)]
Window = tuple[float, float]
LabelValues = Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)]
"""Values of a label; masks are written as uint8."""
StructureName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
WHOLE = "whole"
"""Name of the union of all structures in tables."""


def _windows(value: object) -> object:
    """Check the form of a window or of several, in one sentence for both."""
    if value is None or _is_pair(value):
        return value
    if isinstance(value, list | tuple) and value and all(map(_is_pair, value)):
        return value
    raise ValueError(
        f"is {value!r}, but should be [low, high], or a list with one [low, high] for each channel"
    )


def _is_pair(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return not any(isinstance(end, bool) or not isinstance(end, int | float) for end in value)


class Preparation(Section):
    """Preprocessing of an image; a step that is not given is left out."""

    foreground: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    """Label values that are segmented, together as one class."""
    structures: Annotated[dict[StructureName, LabelValues], Field(min_length=1)] | None = None
    """Label values by the name of a structure, in place of `foreground`: a class of the networks each."""
    distractor: tuple[Count, ...] = ()
    """Label values of background that is easily taken for foreground: what is found of it is scored, too."""
    window: Annotated[
        Window | Annotated[tuple[Window, ...], Field(min_length=1)] | None, BeforeValidator(_windows)
    ] = None
    """Intensities from low to high become 0 to 1, others are clipped: for CT, in HU. Of several channels one
    [low, high] for all, or a list with one of each."""
    z_score: bool = False
    """True: the voxels above 0 get the mean 0 and the standard deviation 1, for MRI."""
    crop: bool = False
    """True: the image is cropped to the box of the voxels above 0, after the window."""
    spacing_mm: tuple[Spacing, Spacing, Spacing] | None = None
    """Edges of a voxel after resampling, towards right, anterior and superior."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """Window of all channels, or one of each; none if there is none."""
        match self.window:
            case None:
                return ()
            case (float(low), float(high)):
                return ((low, high),)
            case pairs:
                return tuple((low, high) for low, high in pairs)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Label values of each class of the networks but the background, in their order."""
        return tuple(self.structures.values()) if self.structures else (self.foreground,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures; none if there is one class."""
        return tuple(self.structures or ()) if len(self.groups) > 1 else ()

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values of all classes."""
        return tuple(value for group in self.groups for value in group)

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write either foreground or structures: one class is written as before there were any structures."""
        tree: dict[str, object] = handler(self)
        tree.pop("foreground" if self.structures else "structures", None)
        return tree

    @model_validator(mode="after")
    def _separate_structures(self) -> Self:
        if self.structures is None:
            return self
        if "foreground" in self.model_fields_set:
            raise InconsistentError("structures", "goes without foreground: it has the label values itself")
        if WHOLE in self.structures:
            raise InconsistentError("structures", f"{WHOLE} is the name of their union; choose another one")
        twice = [value for value, times in Counter(self.label_values).items() if times > 1]
        if twice:
            raise InconsistentError("structures", f"the label value {twice[0]} is there more than once")
        return self

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if both := sorted({*self.distractor} & {*self.label_values}):
            raise InconsistentError("distractor", f"{both} are foreground, too")
        if self.window is not None and self.z_score:
            raise InconsistentError("z_score", "goes without a window: after one, intensities are 0 to 1")
        for low, high in self.windows:
            if low >= high:
                raise InconsistentError("window", f"must be [low, high], not {[low, high]}")
        return self


class Prepare(Preparation):
    """Preprocessing of a task: of its images, and the split of its cases."""

    split: Split
    """Cases for training, validation and test."""
    shifted_test_crops: bool = False
    """True: each test case is there again, cut at random distances from its structures, as a variant."""
