"""Download a large file over a connection that may break, with resume where the server allows it."""

import os
import sys
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.retry import Retry

from context_fbr.core import atomic
from context_fbr.core.errors import visible
from context_fbr.core.progress import progress
from context_fbr.datasets.archive import disk

RETRY = Retry(total=4, backoff_factor=1, status_forcelist=(408, 425, 429, *range(500, 600)))
"""Pauses of 0, 2, 4 and 8 s between attempts."""
TIMEOUT_S = 60.0
CHUNK = 1_000_000  # bytes


class DownloadError(Exception):
    """The file cannot be downloaded; the text is the reason."""


class _BrokenError(Exception):
    """This attempt failed, the next one may not."""


def download(url: str, partial: Path, unpack_in: Path, retry: Retry = RETRY) -> None:
    """Download into `partial`, resuming from the bytes of an earlier call.

    An attempt that brings at least a chunk more than all before it restarts the count of attempts. Received
    bytes stay for the next call, also those of a complete file: `forget` them once it has its own name.
    A server without ETag and Last-Modified may change its file unnoticed: check the hash.

    Args:
        url: of the file.
        partial: its place; a small file next to it, `.partial` too, keeps the url and version of the bytes.
        unpack_in: folder that needs room for the same number of bytes.
        retry: number of attempts and their pauses.

    Raises:
        DownloadError: if the server refuses, or all attempts failed.
        UserError: if there is not enough room.
        OSError: if the file cannot be written.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    attempts, most = retry, _size(partial)
    while True:
        try:
            return _attempt(url, partial, unpack_in, retry)
        except _BrokenError as error:
            # Compared with the most so far: a server without ranges could otherwise be retried forever.
            attempts = retry if _size(partial) >= most + CHUNK else attempts
            most = max(most, _size(partial))
            try:
                attempts = attempts.increment(error=error)
            except MaxRetryError:
                raise DownloadError(str(error)) from error
            text = f"download {url}: {error}; next attempt in {attempts.get_backoff_time():g} s"
            print(visible(text), file=sys.stderr, flush=True)
            attempts.sleep()


def forget(partial: Path) -> None:
    """Remove a partial file and the record of its source."""
    _source_file(partial).unlink(missing_ok=True)
    partial.unlink(missing_ok=True)


def _attempt(url: str, partial: Path, unpack_in: Path, retry: Retry) -> None:
    source_url, validator = _read_source(partial)
    if source_url != url:
        forget(partial)
    offset = _size(partial)
    headers = {"Accept-Encoding": "identity", "User-Agent": "context-fbr"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 416 and content_range == f"bytes */{offset}":
                return  # it was complete
            if response.status_code == 416 or (
                response.status_code == 206 and not content_range.startswith(f"bytes {offset}-")
            ):
                forget(partial)
                raise _BrokenError("the server has no such part of the file: restarted")
            if response.status_code not in (200, 206):
                refusal = f"the server says {response.status_code} {response.reason}"
                is_passing = retry.is_retry("GET", response.status_code)
                raise _BrokenError(refusal) if is_passing else DownloadError(refusal)
            _receive(response, partial, offset if response.status_code == 206 else 0, unpack_in, url)
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        cause = error.args[0] if error.args else error
        raise _BrokenError(str(getattr(cause, "reason", cause))) from error
    except (requests.RequestException, ValueError) as error:  # not a valid url, among others
        raise DownloadError(str(error)) from error


def _receive(response: requests.Response, partial: Path, offset: int, unpack_in: Path, url: str) -> None:
    """Append the body to the partial file, or replace the file if `offset` is 0."""
    expected = response.raw.length_remaining
    if expected is not None:
        needs = [(partial.parent, expected), (unpack_in, offset + expected)]
        disk.require(needs, f"the download of {url} and what is unpacked from it")
    if offset:
        print(visible(f"download {url}: resumed after {offset / 1e6:.0f} MB"), file=sys.stderr, flush=True)
    else:
        partial.unlink(missing_ok=True)  # first: old bytes never belong to a new source
        tag = response.headers.get("ETag", "W/")  # a weak one may belong to other bytes
        validator = response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag
        atomic.write_text(_source_file(partial), f"{url}\n{validator}\n")
    response.raw.enforce_content_length = False  # a read that ends early returns its bytes; compared below
    chunks = response.raw.stream(CHUNK, decode_content=False)
    if expected:
        chunks = progress(chunks, -(-expected // CHUNK), f"download {url.rpartition('/')[2]}", "megabyte")
    with partial.open("ab") as file:
        try:
            for chunk in chunks:
                file.write(chunk)
        finally:
            file.flush()
            os.fsync(file.fileno())
    if expected is not None and _size(partial) < offset + expected:
        sizes = f"{_size(partial) / 1e6:.1f} of {(offset + expected) / 1e6:.1f} MB"
        raise _BrokenError(f"the connection ended after {sizes}")


def _source_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.stem}.source.partial")


def _read_source(partial: Path) -> tuple[str | None, str]:
    """Url of the bytes in a partial file, None if unknown, and the server's ETag or Last-Modified."""
    path = _source_file(partial)
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return (lines[0], lines[1]) if len(lines) == 3 else (None, "")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
