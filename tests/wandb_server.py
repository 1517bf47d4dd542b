"""A server that answers what W&B's client asks for to bring a run away, or misbehaves."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Way = Literal["answers", "refuses", "hangs", "hangs later", "401", "500"]
RUN = {
    "id": "B", "name": "run", "displayName": "run", "description": "", "config": "{}", "sweepName": None,
    "project": {"id": "P", "name": "project", "entity": {"id": "E", "name": "entity"}},
    "historyLineCount": 0, "logLineCount": 0, "eventsLineCount": 0, "historyTail": "[]", "eventsTail": "[]",
    "summaryMetrics": "{}", "tags": [], "wandbConfig": "{}",
}  # fmt: skip


@dataclass
class WandbServer:
    """What it was sent."""

    way: Way
    port: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    hangs: bool = False

    def environment(self) -> dict[str, str]:
        """That leads W&B's client here."""
        return {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": f"http://127.0.0.1:{self.port}",
            "WANDB_API_KEY": "0" * 40,
        }

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """To a request."""
        if "file_stream" in path:
            files = json.loads(body).get("files", {})
            for line in files.get("wandb-history.jsonl", {}).get("content", ()):
                self.rows.append(json.loads(line))
                self.hangs = self.way == "hangs later"
            return {}
        if path != "/graphql":
            return {}
        asked = json.loads(body)
        query, variables = asked["query"], asked.get("variables", {})
        data: dict[str, Any] = {}
        if "upsertBucket" in query:
            data = {"upsertBucket": {"bucket": RUN, "inserted": True}}
        elif "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"http://127.0.0.1:{self.port}/up"} for name in variables["files"]
            ]
            data = {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}
        elif "viewer" in query:
            data = {"viewer": {"id": "V", "username": "user", "entity": "entity", "teams": {"edges": []}}}
        elif "serverInfo" in query:
            data = {"serverInfo": {"features": [], "cliVersionInfo": {}, "latestLocalVersionInfo": None}}
        elif "model(" in query:
            data = {"model": None}
        return {"data": data}


@contextmanager
def wandb_server(way: Way) -> Iterator[WandbServer]:
    """One that behaves in a way."""
    server = WandbServer(way)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if way == "hangs" or server.hangs:
                time.sleep(600)
            if way in ("401", "500"):
                self.send_error(int(way))
                return
            content = json.dumps(server.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    if way == "refuses":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server.port = free.getsockname()[1]
        yield server
        return
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_port
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
