"""What W&B was told of a run, so that nothing is told twice: beside W&B's own files, and gone with them."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from context_fbr import atomic


@dataclass(frozen=True)
class Marker:
    """How far a run was told of at one place, a server's project or this folder."""

    path: Path
    steps: int = 0
    """Training steps."""
    results: tuple[str, ...] = ()
    """Digests of the results of stages."""

    @classmethod
    def read(cls, folder: Path, run: str, mode: str) -> "Marker":
        """That of a run; an empty one if there is none, or it is damaged.

        Args:
            folder: of W&B's files.
            run: its id.
            mode: online or offline.
        """
        where = [mode, *(os.environ.get(f"WANDB_{name}", "") for name in ("BASE_URL", "ENTITY", "PROJECT"))]
        place = hashlib.sha256(json.dumps(where if mode == "online" else mode).encode()).hexdigest()[:8]
        path = folder / "wandb" / "context-fbr" / f"{run}.{place}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, int(content["steps"]), tuple(content["results"]))
        except (OSError, ValueError, TypeError, KeyError):
            return cls(path)

    def with_steps(self, steps: int) -> "Marker":
        """After more steps; errors as in `_write`."""
        return replace(self, steps=max(self.steps, steps))._write()

    def with_results(self, digest: str) -> "Marker":
        """After the results of a stage; errors as in `_write`."""
        return self if digest in self.results else replace(self, results=(*self.results, digest))._write()

    def _write(self) -> "Marker":
        """Write it.

        Raises:
            UserError: if the system refuses.
        """
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        atomic.write_text(self.path, json.dumps(content) + "\n")
        return self
