"""Session: a thread that owns W&B's client, so that no call to it can block or end a computation.

Rows are first written to disk, into WANDB_DIR/wandb/context-fbr/RUN: rows.jsonl, and STEP.npz for pictures
and histograms; W&B gets those that it lacks. Its offline file loses up to 32 KiB when a training is killed,
and a second file of a run replaces the first one on a server.
"""

import json
import logging
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import psutil
import wandb  # here, and not in the thread: importing it during an `ast.parse` fails in Python 3.11

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.runtime import locks
from context_fbr_tools.wandb_sync import media, results
from context_fbr_tools.wandb_sync.curves import Curves, Row, epochs_of
from context_fbr_tools.wandb_sync.run_identity import Identity, provenance_of

UPLOAD_ERROR = r'"level":"ERROR.*"msg":"((?:filestream|file transfer|runfiles|sender):.*)'  # not of analytics


class Session:
    """Open run of a cell. `place` is where it is, once it is open; `error` is why W&B lacks something."""

    def __init__(self, identity: Identity, online: bool, config: Mapping[str, Any] | None = None) -> None:
        """Open a run in the background; raises HeldError if another process has it, OSError, UserError."""
        self.place: str | None = None
        self.error: str | None = None
        self._identity, self._online, self._now = identity, online, config or {}
        self._home = Path(os.environ.get("DVC_ROOT") or ".", os.environ.get("WANDB_DIR") or "").absolute()
        self._folder = self._home / "wandb" / "context-fbr" / identity.run
        self._folder.mkdir(parents=True, exist_ok=True)
        self._unfinished = self._folder / "unfinished"
        self._lock = ExitStack()
        self._lock.enter_context(locks.hold(self._folder / "lock"))
        self._rows, self._artifacts, self._known = dict[int, Row](), list[wandb.Artifact](), dict[str, str]()
        self._calls: SimpleQueue[tuple[Callable[..., None], Any]] = SimpleQueue()
        with suppress(FileNotFoundError):
            for line in (self._folder / "rows.jsonl").read_bytes().splitlines():
                with suppress(ValueError, TypeError):  # an incomplete line
                    step, self._rows[step] = json.loads(line)
        for step in sorted(self._rows):
            self._calls.put((self._row, (step, self._arrays(step))))
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def rows(self, rows: Mapping[int, Row], arrays: media.Arrays) -> None:
        """Add rows of new steps, the last one with arrays; raises OSError if they cannot be written."""
        for step in [step for step in rows if step not in self._rows]:
            own = arrays if step == max(rows) else {}
            if own:
                # Without allow_pickle, which numpy 2.0 would store as an array.
                np.savez_compressed(self._folder / f"{step}.npz", **own)  # type: ignore[arg-type]
            with (self._folder / "rows.jsonl").open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps((step, rows[step])))
            self._rows[step] = rows[step]
            self._calls.put((self._row, (step, own)))

    def training(self, cell: Cell) -> None:
        """Add the results of a training; errors as in `results.of_training`."""
        self._calls.put((self._config, provenance_of(cell)))
        self._calls.put((self._results, results.of_training(cell, self._identity)))

    def cell(self, cell: Cell, document: Document) -> None:
        """Add all of a finished cell; errors as in `epochs_of`, `rows`, `training` and `results.of_test`."""
        curves = Curves(document, cell)
        for epoch in epochs_of(cell):
            self.rows(curves.rows(epoch), {})
        self.training(cell)
        self._calls.put((self._results, results.of_test(cell)))

    def close(self, done: bool, limit_s: float | None) -> None:
        """Upload the rest; W&B's service is killed after `limit_s` seconds, with None never."""
        self._calls.put((self._finish, done))
        try:
            self._thread.join(limit_s)
        finally:
            if self._thread.is_alive():
                self.error = self.error or f"W&B did not take everything within {limit_s} s"
            if self.error:  # else the client waits at the end of the process, without a limit
                logging.getLogger("asyncio").disabled = True  # another thread of the client reports the kill
                for child in psutil.Process().children(recursive=True):
                    if child.name() == "wandb-core":
                        child.kill()
                self._thread.join(1)
                with suppress(
                    Exception, SystemExit
                ):  # instead of the client's hook at the end of the process
                    wandb.teardown(exit_code=1)
            self._lock.close()

    def _work(self) -> None:
        try:
            self._open()
            call = None
            while call != self._finish:
                call, argument = self._calls.get()
                call(argument)
        except BaseException as error:  # W&B ends programs, too
            text = f"{type(error).__name__}: {error}"
            self.error = self.error or textwrap.shorten(text, 300)  # some servers answer with pages

    def _open(self) -> None:
        for kind in ("data", "cache"):
            os.environ.setdefault(f"WANDB_{kind.upper()}_DIR", str(self._folder.parent / kind))
        wandb.setup(wandb.Settings(silent=True, console="off"))  # before init, which asks for a key otherwise
        own, online = self._identity, self._online
        settings = wandb.Settings(
            disable_git=True, disable_code=True, x_save_requirements=False, init_timeout=10,  # seconds
            stop_fn=lambda: None,  # the server's button would interrupt the training
        )  # fmt: skip
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "context-fbr", dir=str(self._home),
            group=os.environ.get("WANDB_RUN_GROUP") or own.group, id=own.run, name=own.name, tags=own.tags,
            config={**own.config, **self._now}, settings=settings, mode="online" if online else "offline",
            resume="allow" if online else None,
        )  # fmt: skip
        for many in ("parameters/*", "gradients/*"):  # too many for a summary
            self._run.define_metric(many, summary="none")
        self._first_step = self._run.starting_step if online else 0
        self._repeats = self._unfinished.exists()  # results again, after a session that failed
        if online:
            self._unfinished.touch()
        self._run_folder = Path(self._run.dir).parent
        self.place = str(self._run.url) if online else f"offline in {self._run_folder}"

    def _config(self, content: dict[str, Any]) -> None:
        self._run.config.update(content, allow_val_change=True)

    def _arrays(self, step: int) -> media.Arrays:
        """Read the arrays of a step; none if there are none, or their file is damaged.

        Not in the thread: numpy reads headers with `ast.literal_eval`, and in Python 3.11 two threads in
        `ast.parse` at once fail. The training reads its own code with it.
        """
        with suppress(Exception), np.load(self._folder / f"{step}.npz", allow_pickle=False) as arrays:
            return dict(arrays)
        return {}

    def _row(self, given: tuple[int, media.Arrays]) -> None:
        step, arrays = given
        if step < self._first_step:  # the server has it
            return
        row = dict(self._rows[step])
        with suppress(Exception):
            row |= media.wandb_objects(arrays)
        self._run.log(row, step=step, commit=True)

    def _results(self, new: dict[str, Any]) -> None:
        """Log results, unless the server has them: its summary holds their hash."""
        name = f"results/{new['name']}"
        self._known[name] = new["md5"]
        if not self._repeats and self._run.summary.get(name) == new["md5"]:
            return
        self._run.summary.update(new["summary"])
        self._artifacts += [self._run.log_artifact(artifact) for artifact in new["artifacts"]]
        if new["row"]:
            step = max(self._first_step, max(self._rows, default=0) + 1)
            self._run.log(new["row"], step=step, commit=True)

    def _finish(self, done: bool) -> None:
        try:
            for artifact in self._artifacts if self._online else ():
                artifact.wait()
        except Exception:
            self._run.finish(exit_code=1)  # a server without room for files may have room for curves
            raise
        self._run.summary.update(self._known)
        self._run.finish(exit_code=int(not done))
        if not self._online:
            for other in self._run_folder.parent.glob(f"offline-run-*-{self._run.id}"):
                if other != self._run_folder:  # it has a part of this one
                    shutil.rmtree(other, ignore_errors=True)
            return
        log = (self._run_folder / "logs" / "debug-internal.log").read_text(encoding="utf-8", errors="replace")
        if found := re.search(UPLOAD_ERROR, log):  # of which the client raises no error
            raise RuntimeError(found[1])
        self._unfinished.unlink()
