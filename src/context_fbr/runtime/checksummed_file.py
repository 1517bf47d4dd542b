"""Files that tell whether they are whole and whose: a line of kind, format, key and hash, then content."""

import hashlib
from pathlib import Path

from context_fbr.core import atomic


class CorruptFileError(Exception):
    """A file with a checksum header cannot be used; the text says why."""


def write(path: Path, kind: str, version: int, key: str, content: bytes | memoryview) -> None:
    """Write a file atomically.

    Args:
        path: of the file.
        kind: what it holds, a word.
        version: of the format of the content.
        key: what the content belongs to, a word.
        content: the bytes.

    Raises:
        UserError: if the system refuses; what was at `path` is left as it was.
    """
    line = f"context-fbr {kind} {version} {key} {hashlib.sha256(content).hexdigest()}\n"
    atomic.write_bytes(path, line.encode(), content)


def read(path: Path, kind: str, version: int, key: str) -> memoryview:
    """The content of a file that is whole, of this kind and format, and belongs to `key`.

    Raises:
        FileNotFoundError: if there is none.
        UnusableError: if it cannot be read, was cut or changed, or is another's.
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
