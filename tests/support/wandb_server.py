"""A server that answers what W&B's client asks for to bring a run away, or misbehaves."""

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote

Way = Literal[
    "answers", "refuses", "hangs", "hangs later", "401", "500", "no room for rows", "no room for files"
]
RUN = {
    "id": "B", "description": "", "config": "{}", "sweepName": None,
    "project": {"id": "P", "name": "project", "entity": {"id": "E", "name": "entity"}},
    "historyLineCount": 0, "logLineCount": 0, "eventsLineCount": 0, "historyTail": "[]", "eventsTail": "[]",
    "summaryMetrics": "{}", "tags": [], "wandbConfig": "{\"t\": {\"1\": []}}",
}  # fmt: skip
NO_ROOM = (("no room for files", "PUT"), ("no room for rows", "POST"))
"""Where a server without room for more forbids to store it."""
FIELD = re.compile(r"{\s*(\w+)")
"""The first of a query's fields: each of these has one."""


def _id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


@dataclass
class WandbServer:
    """What it was sent."""

    way: Way
    """May be changed: a server recovers."""
    port: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    """Ids of everything that was reported."""
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """W&B's input for each: artifactTypeName, digest, metadata."""
    files: dict[str, bytes] = field(default_factory=dict)
    """By the digest of the artifact that they are in, and their path there."""
    unknown: list[str] = field(default_factory=list)
    """Queries that it has no answer to."""
    hangs: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def recover(self) -> None:
        """From now on it answers."""
        self.way, self.hangs = "answers", False

    def environment(self) -> dict[str, str]:
        """That leads W&B's client here."""
        return {"WANDB_MODE": "online", "WANDB_BASE_URL": self.url, "WANDB_API_KEY": "0" * 40}

    def answer(self, path: str, body: bytes) -> bytes:
        """To a request; an empty one asks for what was stored."""
        data: dict[str, Any] = {}
        if path.startswith("/stored/"):
            name = unquote(path.removeprefix("/stored/"))
            self.files[name] = body or self.files[name]
            return self.files[name]
        if "file_stream" in path:
            content = json.loads(body)
            files = content.get("files", {})
            for line in files.get("wandb-history.jsonl", {}).get("content", ()):
                self.rows.append(json.loads(line))
            for line in files.get("wandb-summary.json", {}).get("content", ()):
                self.summary = json.loads(line)
            self.hangs = self.way == "hangs later"
        elif path == "/graphql":
            asked = json.loads(body)
            data = {"data": self._data(asked["query"], asked.get("variables") or {})}
        return json.dumps(data).encode()

    def _data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = FIELD.findall(query)[0]
        method = getattr(self, "_" + re.sub("([A-Z])", r"_\1", name).lower(), None)
        if method is None:
            self.unknown.append(query)
            return {}
        return {name: method(variables)}

    def _upsert_bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.runs.add(variables["name"])
        if not self.run:
            self.run = {**RUN, "name": variables["name"], "displayName": variables["displayName"]}
        return {"bucket": self.run, "inserted": True}

    def _create_run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/stored/run/{name}"} for name in variables["files"]]
        return {"runID": "B", "uploadHeaders": [], "files": files}

    def _create_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        number = _id("Artifact", len(self.artifacts))
        self.artifacts.append({**variables["input"], "id": number})
        sequence = {"id": "S", "latestArtifact": None}
        return {"artifact": {"id": number, "state": "PENDING", "artifactSequence": sequence}}

    def _create_artifact_manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        number = variables.get("artifactID") or variables["artifactManifestID"]
        file = {"id": "F", "uploadUrl": f"{self.url}/stored/manifest/{number}", "uploadHeaders": []}
        return {"artifactManifest": {"id": number, "file": file}}

    _update_artifact_manifest = _create_artifact_manifest

    def _known(self, number: str) -> dict[str, Any]:
        return next(each for each in self.artifacts if each["id"] == number)

    def _create_artifact_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            digest = self._known(file["artifactID"])["digest"]
            nodes.append(
                {
                    "storagePath": file["name"],
                    "uploadUrl": f"{self.url}/stored/{digest}/{file['name']}",
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "artifact": {"id": file["artifactID"]},
                }
            )
        return {"files": {"edges": [{"node": node} for node in nodes]}}

    def _commit_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"artifact": {"id": variables["artifactID"], "digest": "D"}}

    def _viewer(self, _: object) -> dict[str, Any]:
        return {"id": "V", "username": "user", "entity": "entity", "teams": {"edges": []}}

    def _server_info(self, _: object) -> dict[str, Any]:
        return {"features": [], "cliVersionInfo": {}, "latestLocalVersionInfo": None}

    def _project(self, _: object) -> dict[str, Any]:
        return {"artifact": None, "run": {"stopped": True}}  # the button to stop a run was pressed

    def _entity(self, _: object) -> dict[str, Any]:
        return {"organization": None}

    def _artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        known = self._known(variables["id"])
        project = {
            "__typename": "Project",
            "id": "P",
            "internalId": _id("ProjectInternalId", 1),
            "name": "project",
            "entity": RUN["project"]["entity"],
        }
        return {
            "__typename": "Artifact",
            "id": variables["id"],
            "artifactSequence": {"name": known["artifactCollectionName"], "project": project},
            "versionIndex": 0,
            "artifactType": {"name": known["artifactTypeName"]},
            "description": None,
            "metadata": known["metadata"],
            "ttlDurationSeconds": -1,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 1,
            "digest": known["digest"],
            "commitHash": None,
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "currentManifest": {"file": {"directUrl": f"{self.url}/stored/manifest/{variables['id']}"}},
        }

    def _model(self, _: object) -> dict[str, Any] | None:
        """What it knows of the run."""
        if not self.rows:
            return None
        known = {
            "historyLineCount": len(self.rows),
            "historyTail": json.dumps([json.dumps(self.rows[-1])]),
            "summaryMetrics": json.dumps(self.summary),
        }
        return {**RUN["project"], "bucket": {**self.run, **known}}


@contextmanager
def wandb_server(way: Way) -> Iterator[WandbServer]:
    """One that behaves in a way."""
    server = WandbServer(way)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if server.way == "hangs" or server.hangs:
                time.sleep(600)
            if server.way in ("401", "500"):
                self.send_error(int(server.way))
                return
            if (server.way, self.command) in NO_ROOM and self.path != "/graphql":
                self.send_error(403)
                return
            content = server.answer(self.path, body)
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

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # files come many at once

    http = Server(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_port
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
