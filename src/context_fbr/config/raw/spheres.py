"""Parameters of generated spheres."""

from typing import Annotated, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from context_fbr.config.document import InconsistentError, Section

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class SphereSet(Section):
    """Range of the spheres' radii in voxels (both ends included), drawn at random or each once."""

    radius: tuple[Count, Count]
    """Lowest and highest radius in voxels."""
    volumes: Count | None = None
    """Number of volumes, each with a radius drawn from the range."""
    each: bool = False
    """One volume for each whole radius of the range, in order: a designed set."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.radius[0] > self.radius[1]:
            raise InconsistentError("radius", f"must be [smallest, largest], not {list(self.radius)}")
        if self.each and self.volumes is not None:
            text = f"is {self.volumes}, but `each: true` makes one volume for each radius; remove one of them"
            raise InconsistentError("volumes", text)
        if not self.each and self.volumes is None:
            raise InconsistentError("volumes", "is missing; `each: true` makes one volume for each radius")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave `each: false` out: digests of random sets are those from before there were designed ones."""
        tree: dict[str, object] = handler(self)
        return {key: value for key, value in tree.items() if value is not False}

    @property
    def count(self) -> int:
        """Number of volumes."""
        return self.radius[1] - self.radius[0] + 1 if self.volumes is None else self.volumes


class Background(Section):
    """Background = u / max(h, max u): u uniform per voxel, h uniform per volume (none: background = u)."""

    noise_maximum: Annotated[float, Field(gt=0, le=1)]
    """Greatest u."""
    hidden_intensity: tuple[Fraction, Fraction] | None
    """Range of h, [low, high]; null: the background is u."""

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
    """Kind of data."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Seed of the volumes."""
    edge: Annotated[int, Field(ge=8)]
    """Edge of the cubic volumes in voxels."""
    spacing_mm: Annotated[float, Field(gt=0)]
    """Edge of a voxel."""
    training: SphereSet
    """Volumes for training and validation."""
    test: SphereSet
    """Volumes for the test."""
    foreground: Annotated[float, Field(gt=0)]
    """Intensity inside of a sphere."""
    background: Background
    """Intensities around a sphere."""

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
