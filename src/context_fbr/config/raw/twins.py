"""Parameters of generated twins: two equal balls, each in a shell; only the shells differ in intensity."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from context_fbr.config.document import InconsistentError, Section

Count = Annotated[int, Field(ge=1)]
Dark = Annotated[float, Field(le=0)]
"""Intensity that the threshold of the balls, 0, leaves out."""


class TwinSet(Section):
    """Range of the shells' distances in voxels, both ends included, drawn at random or each several times."""

    distance: tuple[Count, Count]
    """Lowest and highest distance in voxels."""
    volumes: Count | None = None
    """Number of volumes, each with a distance drawn from the range."""
    per_distance: Count | None = None
    """Number of volumes for each whole distance of the range, in order: a designed set."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.distance[0] > self.distance[1]:
            raise InconsistentError("distance", f"must be [smallest, largest], not {list(self.distance)}")
        if (self.volumes is None) == (self.per_distance is None):
            text = "is missing" if self.volumes is None else f"is {self.volumes}"
            raise InconsistentError("volumes", f"{text}; give either volumes or per_distance")
        return self

    @property
    def count(self) -> int:
        """Number of volumes."""
        if self.volumes is not None:
            return self.volumes
        assert self.per_distance is not None
        return (self.distance[1] - self.distance[0] + 1) * self.per_distance


class Variants(Section):
    """Numbers of test volumes of each distance that are there again with other shells."""

    exchanged: Annotated[int, Field(ge=0)] = 0
    """Each ball has the other's shell."""
    removed: Annotated[int, Field(ge=0)] = 0
    """There are no shells."""


class Shells(Section):
    """Intensities of the shells."""

    foreground: Dark
    """Intensity of the foreground ball's shell."""
    distractor: Dark
    """Intensity of the other ball's shell."""


class TwinsRaw(Section):
    """Generated data: two balls of one radius and intensity, each in a shell of one distance from its centre.

    The foreground ball's shell has another intensity than the distractor's. Everything else is drawn without
    regard to which ball is foreground.
    """

    source: Literal["twins"]
    """Kind of data."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Seed of the volumes."""
    edge: Annotated[int, Field(ge=8)]
    """Edge of the cubic volumes in voxels."""
    spacing_mm: Annotated[float, Field(gt=0)]
    """Edge of a voxel."""
    training: TwinSet
    """Volumes for training and validation."""
    test: TwinSet
    """Volumes for the test."""
    variants: Variants
    """Test volumes that are there again with other shells."""
    radius: tuple[Count, Count]
    """Range of the radius of both balls in voxels, drawn per volume, both ends included."""
    thickness: Count
    """Thickness of a shell in voxels."""
    ball: Annotated[float, Field(gt=0)]
    """Intensity of both balls."""
    noise: tuple[Dark, Dark]
    """Background: uniform from low to high per voxel."""
    shells: Shells
    """Intensities of the two shells."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.radius[0] > self.radius[1]:
            raise InconsistentError("radius", f"must be [smallest, largest], not {list(self.radius)}")
        if self.noise[0] >= self.noise[1]:
            raise InconsistentError("noise", f"must be [low, high], not {list(self.noise)}")
        for name in ("training", "test"):
            least, most = getattr(self, name).distance
            if least <= self.radius[1]:
                text = f"a shell at {least} would be inside of a ball of radius {self.radius[1]}"
                raise InconsistentError(f"{name}.distance", text)
            # The diagonal of the cube that centres are drawn from.
            apart = 2 * (most + self.thickness)
            if apart > 3**0.5 * (self.edge - 2 * self.radius[1] - 3):
                text = f"two balls that are {apart} voxels apart do not fit a cube of edge {self.edge}"
                raise InconsistentError(f"{name}.distance", text)
        self._check_variants()
        return self

    def _check_variants(self) -> None:
        """Check that variants differ from volumes of the test set.

        Raises:
            InconsistentError: if not.
        """
        wanted = {name: count for name, count in self.variants.model_dump().items() if count}
        each = self.test.per_distance
        if wanted and each is None:
            raise InconsistentError("variants", "need a test set with per_distance")
        for name, count in wanted.items():
            if each is not None and count > each:
                text = f"{count} is more than test.per_distance, {each}"
                raise InconsistentError(f"variants.{name}", text)
        if self.variants.exchanged and self.shells.foreground == self.shells.distractor:
            text = (
                "exchanged shells of one intensity make the same image again; set it to 0, or change shells"
            )
            raise InconsistentError("variants.exchanged", text)
