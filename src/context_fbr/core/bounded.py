"""Files that others can bring, as a pull request or a data set does: read within limits.

A link to a device, a pipe, a file of gigabytes or a million brackets ends in one error, before any of it
takes memory. YAML has its limits in config/yaml/limits.py.
"""

import errno
import gzip
import json
import re
import stat
from io import BytesIO
from pathlib import Path
from typing import Any

MOST_BYTES = 16 * 2**20
MOST_LEVELS = 50
"""Depth of nested lists and mappings."""
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file, also through a link.

    Raises:
        OSError: if it is not there, cannot be read, is a device or a pipe, or holds more than `most` bytes.
    """
    mode = path.stat().st_mode  # opening a pipe would wait for its other end
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "is a device, a pipe or a socket, expected a regular file", str(path))
    with path.open("rb") as file:
        return _within(file.read(most + 1), most, str(path))


def read_text(path: Path, most: int = MOST_BYTES, encoding: str = "utf-8") -> str:
    """Read as `read` does, and decode; a wrong encoding is a UnicodeDecodeError, which is a ValueError."""
    return read(path, most).decode(encoding)


def gunzip(content: bytes, most: int) -> bytes:
    """Unpack gzip; errors as in `gzip.decompress`, and OSError for more than `most` bytes."""
    with gzip.GzipFile(fileobj=BytesIO(content)) as file:
        return _within(file.read(most + 1), most, None)


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Read a tree of JSON; errors as in `read_text` and `parse_json`."""
    return parse_json(read_text(path, most))


def parse_json(text: str) -> Any:
    """Parse JSON, at most `MOST_LEVELS` deep.

    Raises:
        ValueError: if it is not JSON, or deeper.
    """
    level = 0
    for token in _TOKENS.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if level > MOST_LEVELS:
            line = text.count("\n", 0, token.start()) + 1
            raise ValueError(f"line {line}: is nested deeper than {MOST_LEVELS} levels")
    return json.loads(text)


def _within(content: bytes, most: int, name: str | None) -> bytes:
    if len(content) > most:
        raise OSError(errno.EFBIG, f"holds more than {most:,} bytes", name)
    return content
