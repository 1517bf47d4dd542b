"""Download a large file over a line that may break: resumed where the server allows it, else from the start.

urllib of the standard library does all that is needed: redirects, proxies from the environment, file:// urls.
What it does not tell by itself is a connection that ends early, so lengths are compared.
"""

import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from context_fbr.core import atomic
from context_fbr.core.errors import visible
from context_fbr.core.progress import progress
from context_fbr.datasets.archive import disk

PAUSES_S = (1.0, 3.0, 10.0)
TIMEOUT_S = 60.0
CHUNK = 1_000_000  # bytes
_TRY_AGAIN = (408, 425, 429)  # and every 5xx: the server's own trouble


class DownloadError(Exception):
    """The file cannot be had from its url; says why."""


class _BrokenError(Exception):
    """This attempt failed, the next one may not."""


@dataclass(frozen=True)
class _Source:
    """What the bytes of a partial file are: only the same may be appended to them."""

    url: str
    validator: str | None
    """The server's ETag or Last-Modified."""


def download(url: str, partial: Path, unpack_in: Path, pauses_s: Sequence[float] = PAUSES_S) -> None:
    """Download into `partial`, going on with what an earlier attempt left there.

    Each attempt is followed by the next longer pause, and the last pause by the error; an attempt that brings
    a chunk or more starts the pauses anew. What has come stays for the next call, and so does a whole file
    whose hash was not looked at yet: `forget` it once it has its own name. A server that names no
    version of its file (ETag, Last-Modified) is trusted to go on with the same one: check the hash.

    Args:
        url: of the file.
        partial: where it goes; a small file beside it, `.partial` too, remembers what it is part of.
        unpack_in: room for the same number of bytes must be free in this folder as well.
        pauses_s: between attempts.

    Raises:
        DownloadError: if the server refuses, or all attempts failed.
        UserError: if there is not enough room.
        OSError: if the file cannot be written.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    failures, most = 0, _size(partial)
    while True:
        try:
            _attempt(url, partial, unpack_in)
        except _BrokenError as error:
            # More than ever before, or a server without ranges could go on for ever.
            failures = 1 if _size(partial) >= most + CHUNK else failures + 1
            most = max(most, _size(partial))
            if failures > len(pauses_s):
                raise DownloadError(str(error)) from error
            pause = pauses_s[failures - 1]
            text = f"download {url}: {error}; next attempt in {pause:g} s"
            print(visible(text), file=sys.stderr, flush=True)
            time.sleep(pause)
        else:
            return


def forget(partial: Path) -> None:
    """Remove what is known of a partial file, and the file itself if it still has this name."""
    _source_file(partial).unlink(missing_ok=True)
    partial.unlink(missing_ok=True)


def _attempt(url: str, partial: Path, unpack_in: Path) -> None:
    source = _read_source(partial)
    if source is None or source.url != url:
        forget(partial)
        source = None
    offset = _size(partial)
    headers = {"Accept-Encoding": "identity", "User-Agent": "context-fbr"}
    if source and offset:
        headers["Range"] = f"bytes={offset}-"
        if source.validator:
            headers["If-Range"] = source.validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{offset}":
                return  # it was complete
            if error.code == 416:
                forget(partial)
                raise _BrokenError("what was there is no part of the file: from the start") from None
            if error.code in _TRY_AGAIN or error.code >= 500:
                raise _BrokenError(f"the server says {error.code} {error.reason}") from None
            raise DownloadError(f"the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _BrokenError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error
    except ValueError as error:
        raise DownloadError(str(error)) from error  # is no url
    with response:
        _receive(response, url, partial, offset, unpack_in)


def _receive(response: Any, url: str, partial: Path, offset: int, unpack_in: Path) -> None:
    """Append the answer to the partial file, or start it anew if the answer is the whole file."""
    if response.status == 206:
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not start or int(start[1]) != offset:
            forget(partial)
            raise _BrokenError("the server sent another part than asked for: from the start")
        text = f"download {url}: resumed after {offset / 1e6:.0f} MB"
        print(visible(text), file=sys.stderr, flush=True)
    else:
        offset = 0
    length = response.headers.get("Content-Length")
    missing = int(length) if length else None
    if missing is not None:
        needs = [(partial.parent, missing), (unpack_in, offset + missing)]
        disk.require(needs, f"the download of {url} and what is unpacked from it")
    if not offset:
        _write_source(partial, _Source(url, _validator(response)))
    chunks = _chunks(response)
    if missing:
        chunks = progress(chunks, -(-missing // CHUNK), f"download {url.rpartition('/')[2]}", "megabyte")
    received = 0
    with partial.open("ab" if offset else "wb") as file:
        try:
            for chunk in chunks:
                file.write(chunk)
                received += len(chunk)
        finally:
            file.flush()
            os.fsync(file.fileno())
    if missing is not None and received < missing:
        raise _BrokenError(
            f"the connection ended after {(offset + received) / 1e6:.1f} of {(offset + missing) / 1e6:.1f} MB"
        )


def _chunks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except http.client.IncompleteRead as error:
            yield error.partial
            raise _BrokenError("the connection ended early") from error
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _validator(response: Any) -> str | None:
    """What tells this version of the file from others; a weak ETag does not for its bytes."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _source_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.stem}.source.partial")


def _read_source(partial: Path) -> _Source | None:
    try:
        return _Source(**json.loads(_source_file(partial).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or not ours: then the bytes are unknown
        return None


def _write_source(partial: Path, source: _Source) -> None:
    partial.unlink(missing_ok=True)  # first: old bytes never stand beside a new source
    atomic.write_text(_source_file(partial), json.dumps(asdict(source)) + "\n")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
