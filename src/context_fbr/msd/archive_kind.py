"""Files that are no archive, or one of another kind than their names say, told by their first bytes."""

from pathlib import Path

from context_fbr.file_kinds import look
from context_fbr.msd import disk

ENDINGS = ".tar, .tar.gz, .tgz or .zip"
_ALLOWED = frozenset({"tar", "gzip", "xz", "bzip2", "damaged-gzip", "unknown", "zeros"})
"""Kinds that a .tar may begin with; an old tar has no mark, one without members is zeros."""
_REPACK = f"unpack it, and pack the data set again as {ENDINGS}, or give its folder (`source: folder`)"
_REMEDIES = {"zstd": _REPACK, "7z": _REPACK, "rar": _REPACK}
_FROM_A_SERVER = frozenset({"html", "xml", "git-lfs", "git-annex", "empty", "text", "dangling"})


def wrong_kind(path: Path, name: str) -> str | None:
    """What a file is, and what to do, if it is not an archive as its name says; None if it may be one.

    Args:
        path: of the file.
        name: that it has or will have.

    Raises:
        UserError: if it cannot be read.
    """
    with disk.reading(path):
        start = look(path)
    kind, is_zip = start.kind, name.lower().endswith(".zip")
    if kind.key == "zip" and not start.packed:
        return None if is_zip else f"is a zip archive; name it {_stem(name)}.zip"
    if kind.key == "tar" and is_zip:
        ending = ".tar.gz" if start.packed else ".tar"
        return f"is a tar archive{' packed by gzip' if start.packed else ''}; name it {_stem(name)}{ending}"
    if kind.key in _ALLOWED or (start.packed and kind.key == "empty"):
        return None
    remedy = kind.remedy if kind.key in _FROM_A_SERVER else "download or copy the archive again"
    packed = "is packed by gzip and then " if start.packed else ""
    return f"{packed}{kind.text}; expected {ENDINGS}; {_REMEDIES.get(kind.key, remedy)}"


def _stem(name: str) -> str:
    for ending in (".tar.gz", ".tgz", ".tar", ".zip"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
