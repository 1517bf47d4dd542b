"""A cell's run of W&B: opened, told rows and media at their steps, each once."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from context_fbr.mirror.identity import Identity
from context_fbr.mirror.marker import Marker
from context_fbr.mirror.rows import Row

Mode = Literal["online", "offline"]
PROJECT = "context-fbr"
"""If WANDB_PROJECT names none."""
PATIENCE_S = 10
"""With a server that does not answer, which is asked twice."""


def folder() -> Path:
    """Where W&B's own files go: WANDB_DIR, or the checkout, also if DVC computes in a folder of its own."""
    return Path(os.environ.get("WANDB_DIR") or os.environ.get("DVC_ROOT") or ".").absolute()


class Run:
    """One that is open. Not for several threads."""

    def __init__(self, identity: Identity, mode: Mode) -> None:
        """Open it, or go on with it if there is one.

        Raises:
            Exception: W&B's, if it cannot be opened.
        """
        import wandb

        home = folder()
        home.mkdir(parents=True, exist_ok=True)
        self.identity = identity
        self._marker = Marker.read(home, identity.run, mode)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=identity.run,
            name=identity.name,
            group=os.environ.get("WANDB_RUN_GROUP") or identity.group,
            tags=identity.tags,
            config=dict(identity.config),
            dir=str(home),
            mode=mode,
            resume="allow",
            settings=wandb.Settings(
                console="off",  # the bars are DVC's
                disable_git=True,  # the commit stands in the configuration
                disable_code=True,
                silent=True,
                init_timeout=PATIENCE_S,
            ),
        )
        where = self._run.url if mode == "online" else f"offline in {Path(self._run.dir).parent}"
        print(f"{identity.name}: W&B: {where}", file=sys.stderr, flush=True)

    @property
    def api(self) -> Any:
        """W&B's own."""
        return self._run

    @property
    def steps(self) -> int:
        """The last training step that it was told of."""
        return self._marker.steps

    def rows(self, rows: Iterable[tuple[int, Row]], media: Mapping[str, Any] | None = None) -> None:
        """Tell rows by their steps, but those that were told before; media go into the last one."""
        new = [(step, row) for step, row in rows if step > self._marker.steps]
        for step, row in new:
            self._run.log(row, step=step)
        if new:
            if media:
                self._run.log(dict(media), step=new[-1][0])
            self._marker = self._marker.with_steps(new[-1][0])

    def knows(self, digest: str) -> bool:
        """Whether it was told of results with this digest."""
        return digest in self._marker.results

    def remember(self, digest: str) -> None:
        """It was told of results with this digest."""
        self._marker = self._marker.with_results(digest)

    def finish(self, failed: bool) -> None:
        """Bring everything away, and close it."""
        import wandb

        try:
            self._run.finish(exit_code=int(failed))
        finally:
            wandb.teardown()  # else it would end with this process, and complain there
