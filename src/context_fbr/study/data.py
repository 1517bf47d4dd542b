"""The parameters of a task's data: `tasks.<task>.raw` and `tasks.<task>.prepare`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from context_fbr.study.document import InconsistentError, Section

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class SphereSet(Section):
    """How many volumes, and the range of their spheres' radii in voxels (both ends included)."""

    volumes: Count
    radius: tuple[Count, Count]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.radius[0] > self.radius[1]:
            raise InconsistentError("radius", f"must be [smallest, largest], not {list(self.radius)}")
        return self


class Background(Section):
    """Background = u / max(h, max u): u uniform per voxel, h uniform per volume (none: background = u)."""

    noise_maximum: Annotated[float, Field(gt=0, le=1)]
    hidden_intensity: tuple[Fraction, Fraction] | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hidden_intensity and self.hidden_intensity[0] > self.hidden_intensity[1]:
            raise InconsistentError(
                "hidden_intensity", f"must be [low, high], not {list(self.hidden_intensity)}"
            )
        return self


class SpheresRaw(Section):
    """Generated data: one bright sphere in a noisy cube."""

    source: Literal["spheres"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    edge: Annotated[int, Field(ge=8)]
    spacing_mm: Annotated[float, Field(gt=0)]
    training: SphereSet
    test: SphereSet
    foreground: Annotated[float, Field(gt=0)]
    background: Background

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("training", "test"):
            largest = getattr(self, name).radius[1]
            if 2 * largest >= self.edge:
                raise InconsistentError(
                    f"{name}.radius",
                    f"a sphere of radius {largest} does not fit a cube of edge {self.edge}; "
                    f"the largest radius allowed is {(self.edge - 1) // 2}",
                )
        return self


class Split(Section):
    """Cases in the order of their sorted file names: so many to train, to validate, to test.

    `test: imagesTs` takes the data set's own test folder, where its labels are at hand.
    """

    train: Count
    validation: Count
    test: Count | Literal["imagesTs"]


class Prepare(Section):
    """How raw volumes become what the networks see."""

    split: Split
