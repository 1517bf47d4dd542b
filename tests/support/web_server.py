"""A web server that can be told to misbehave."""

import functools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

NAME = "Task99_Zoo.tar"
CONTENT = np.random.default_rng(7).bytes(300_000)


@dataclass
class Server:
    """A web server that can be told to misbehave."""

    content: bytes = CONTENT
    ranges: bool = True
    wrong_range: int = 0
    """Answers with this many bytes fewer skipped than asked for."""
    validators: dict[str, str] = field(default_factory=lambda: {"ETag": '"first"'})
    cuts: list[int] = field(default_factory=list)
    """Answer by answer, after how many bytes the connection ends; then no more."""
    stall_s: float = 0.0
    """Time before a connection that is cut ends."""
    errors: list[int] = field(default_factory=list)
    """Answer by answer, the status; then no more."""
    requests: list[dict[str, str]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{NAME}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(handler.headers.items()))
        if self.errors:
            handler.send_error(self.errors.pop(0))
            return
        start = self._start(handler)
        if start and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        start = max(start - self.wrong_range, 0)
        handler.send_response(206 if start else 200)
        if start:
            end = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        for name, value in self.validators.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        body = self.content[start:]
        stall_s = self.stall_s if self.cuts else 0.0
        body = body[: self.cuts.pop(0)] if self.cuts else body
        self.served.append(len(body))  # first: the client may be done before this thread continues
        handler.wfile.write(body)
        time.sleep(stall_s)

    def _start(self, handler: BaseHTTPRequestHandler) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        if not self.ranges or not wanted or (condition and condition not in self.validators.values()):
            return 0
        return int(wanted[1])


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *arguments: object) -> None:
        self.told = server
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.told.answer(self)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[Server]:
    """A server on this machine while the block runs."""
    told = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, told)) as http:
        told.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        http.shutdown()
        thread.join()
