"""Source of a task's data: `tasks.<task>.raw`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from context_fbr.config.document import Document, Section
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core.errors import UserError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


class ArchiveRaw(Section):
    """An archive of a data set in the layout of the Medical Segmentation Decathlon."""

    source: Literal["archive"]
    """Kind of data."""
    archive: Annotated[str, Field(pattern=r"^[^/\\]+\.(tar|tar\.gz|tgz|zip)$")]
    """File name, looked for in data/incoming."""
    url: Annotated[str, Field(pattern=r"^https?://")] | None
    """Address to download it from; None if there is none."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None
    """Hash of the archive; None if unknown."""


class FolderRaw(Section):
    """A folder in the layout of the Medical Segmentation Decathlon."""

    source: Literal["folder"]
    """Kind of data."""
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


GeneratedRaw = SpheresRaw | TwinsRaw
"""Data that a seed and these parameters make: cubes of one edge."""
Raw = GeneratedRaw | ArchiveRaw | FolderRaw
SOURCES: Mapping[str, type[Raw]] = MappingProxyType(
    {"archive": ArchiveRaw, "folder": FolderRaw, "spheres": SpheresRaw, "twins": TwinsRaw}
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
    except (RuntimeError, ValueError) as error:  # an unknown `~user`, links in a circle, a NUL
        return f"{folder} cannot be found: {error}"
    target = (root / "data" / "raw" / task).resolve()
    if source == target:
        how = "is"
    elif source.is_relative_to(target):
        how = "is inside"
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
