"""Source of a task's data: `tasks.<task>.raw`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from context_fbr.config.document import Document, InconsistentError, Section
from context_fbr.core.errors import UserError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class SphereSet(Section):
    """Range of the spheres' radii in voxels (both ends included), drawn at random or each once."""

    radius: tuple[Count, Count]
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


class ArchiveRaw(Section):
    """An archive of a data set in the layout of the Medical Segmentation Decathlon."""

    source: Literal["archive"]
    archive: Annotated[str, Field(pattern=r"^[^/\\]+\.(tar|tar\.gz|tgz|zip)$")]
    """File name, looked for in data/incoming."""
    url: Annotated[str, Field(pattern=r"^https?://")] | None
    """Address to download it from; None if there is none."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None
    """Hash of the archive; None if unknown."""


class FolderRaw(Section):
    """A folder in the layout of the Medical Segmentation Decathlon."""

    source: Literal["folder"]
    folder: Annotated[str, Field(min_length=1)]
    """Relative to the repository's root or absolute; `~` and `$VARIABLE` are replaced."""

    @property
    def path(self) -> Path:
        """The folder on this machine; variables that are not set stay as they are."""
        return Path(os.path.expandvars(self.folder)).expanduser()

    @property
    def unset_variables(self) -> tuple[str, ...]:
        """Environment variables of the folder that are not set here."""
        names = (braced or name for braced, name in _VARIABLE.findall(self.folder))
        return tuple(name for name in names if name not in os.environ)


Raw = SpheresRaw | ArchiveRaw | FolderRaw
SOURCES: Mapping[str, type[SpheresRaw] | type[ArchiveRaw] | type[FolderRaw]] = MappingProxyType(
    {"archive": ArchiveRaw, "folder": FolderRaw, "spheres": SpheresRaw}
)


def read_raw(document: Document, task: str) -> Raw:
    """Validate `tasks.<task>.raw`, of the kind that its `source` names.

    Raises:
        UserError: with every problem of it.
    """
    location = ("tasks", task, "raw")
    source = document.section(location, _Source).source
    if source not in SOURCES:
        text = f"is {source!r}, expected one of {', '.join(SOURCES)}"
        raise UserError(document.problem((*location, "source"), text))
    raw = document.section(location, SOURCES[source])
    if isinstance(raw, FolderRaw) and (problem := _overlap(document.path.parent, task, raw)):
        raise UserError(document.problem((*location, "folder"), problem))
    return raw


def folder_warnings(document: Document, task: str, raw: Raw) -> list[str]:
    """Warn of a folder that other machines, or this one, do not have."""
    if not isinstance(raw, FolderRaw):
        return []
    texts = [f"{name}: this environment variable is not set here" for name in raw.unset_variables]
    if Path(raw.folder).is_absolute():
        texts.append(
            f"{raw.folder} is absolute, and other machines may not have it; name it relative to the project, "
            "such as data/incoming/NAME, or with an environment variable, such as $DATA/NAME"
        )
    return [document.problem(("tasks", task, "raw", "folder"), text) for text in texts]


def _overlap(root: Path, task: str, raw: FolderRaw) -> str | None:
    """Return the problem of a folder that shares files with the one that DVC empties before the stage."""
    folder = raw.folder
    if raw.unset_variables:
        return None  # it is nowhere on this machine
    try:
        source = (root / raw.path).resolve()
    except (RuntimeError, ValueError) as error:  # `~nobody`, links in a circle, a NUL
        return f"{folder} cannot be found: {error}"
    target = (root / "data" / "raw" / task).resolve()
    if source == target:
        how = "is"
    elif source.is_relative_to(target):
        how = "lies in"
    elif target.is_relative_to(source):
        how = "holds"
    else:
        return None
    return (
        f"{folder} {how} data/raw/{task}, which DVC empties before the stage copies the folder there; "
        "move the data set, for example to data/incoming, and name it there"
    )


class _Source(Section):
    """The key that decides which others there are."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    source: str
