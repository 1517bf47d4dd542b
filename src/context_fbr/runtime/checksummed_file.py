"""Files with a checksum header: kind, format version, key and SHA-256 of the content."""

import hashlib
from pathlib import Path

from context_fbr.core import atomic


class CorruptFileError(Exception):
    """A file with a checksum header cannot be used; the text is the reason."""


def write(path: Path, kind: str, version: int, key: str, content: bytes | memoryview) -> None:
    """Write a file atomically.

    Args:
        path: of the file.
        kind: of the content, a word.
        version: of the format of the content.
        key: owner of the content, a word.
        content: the bytes.

    Raises:
        UserError: if the system refuses; the earlier file is left as it was.
    """
    line = f"context-fbr {kind} {version} {key} {hashlib.sha256(content).hexdigest()}\n"
    atomic.write_bytes(path, line.encode(), content)


def read(path: Path, kind: str, version: int, key: str) -> memoryview:
    """Read the content of a complete file of this kind, format and key.

    Raises:
        FileNotFoundError: if there is none.
        CorruptFileError: if it cannot be read, was cut or changed, or has another kind, format or key.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptFileError(f"cannot be read ({error.strerror})") from error
    line, newline, _ = whole[:1024].partition(b"\n")
    words = line.decode("ascii", errors="replace").split(" ")
    if not newline or len(words) != 5 or words[:2] != ["context-fbr", kind]:
        raise CorruptFileError(f"is torn, or no {kind} of this program")
    if words[2] != str(version):
        raise CorruptFileError(f"has format {words[2]}, expected {version}")
    if words[3] != key:
        raise CorruptFileError("is of other parameters, data, code or device")
    content = memoryview(whole)[len(line) + 1 :]
    if hashlib.sha256(content).hexdigest() != words[4]:
        raise CorruptFileError("is torn: it is not what was written")
    return content
