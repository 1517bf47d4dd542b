"""A run of W&B: what a journal's messages become there. The only file here that knows W&B."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import wandb

from context_fbr_tools.wandb_sync.journal import Message

PROJECT = "context-fbr"
"""If WANDB_PROJECT names none."""
INIT_S = 10
"""With a server that does not answer, which is asked twice."""
AGAIN = "again"
"""A file beside the journal, while nobody knows whether W&B took everything: then results are told again."""
UPLOADS = ("filestream:", "file transfer:", "runfiles:", "sender:")
"""Parts of W&B's service whose errors are losses; the log has others', of its own analytics, too."""
MOST_CHARACTERS = 200
CLASSES = {0: "background", 1: "foreground"}


class Run:
    """A run that is open."""

    def __init__(self, config: Message, folder: Path, online: bool) -> None:
        """Open the run of the journal in a folder."""
        self._online, self._journal, self._name = online, folder, config["name"]
        wandb.setup(wandb.Settings(silent=True, console="off"))  # before init: it never asks for a key then
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=config["run"],
            name=config["name"],
            group=os.environ.get("WANDB_RUN_GROUP") or config["group"],
            tags=config["tags"],
            config=config["config"],
            dir=str(folder.parents[2]),
            mode="online" if online else "offline",
            resume="allow" if online else None,
            settings=wandb.Settings(
                disable_git=True,  # the commit stands in the configuration
                disable_code=True,
                x_save_requirements=False,
                init_timeout=INIT_S,
                finish_timeout=0,  # as long as it takes: who waits has a patience of their own
            ),
        )
        for many in ("parameters/*", "gradients/*"):  # thousands of numbers, which no summary is
            self._run.define_metric(many, summary="none")
        self._first_step = self._run.starting_step if online else 0
        self._artifacts: list[Any] = []
        self._results: dict[str, str] = {}
        self._doubtful = folder / AGAIN
        self._again = self._doubtful.exists()
        if online:
            self._doubtful.touch()
        self.folder = Path(self._run.dir).parent

    @property
    def place(self) -> str:
        """Where to look."""
        return str(self._run.url) if self._online else f"offline in {self.folder}"

    def tell(self, message: Message, arrays: dict[str, Any]) -> None:
        """Tell a message that W&B does not know."""
        getattr(self, f"_{message['kind']}")(message, arrays)

    def _config(self, message: Message, _: object) -> None:
        self._run.config.update(message["config"], allow_val_change=True)

    def _row(self, message: Message, arrays: dict[str, Any]) -> None:
        if message["step"] < self._first_step:
            return
        content = dict(message["row"])
        for name in {name.rpartition("/")[0] for name in arrays if name.endswith("/counts")}:
            counts, edges = arrays[f"{name}/counts"], arrays[f"{name}/edges"]
            content[name] = wandb.Histogram(np_histogram=(counts.tolist(), edges.tolist()))
        for name, caption in message.get("captions", {}).items():
            content[name] = _picture(arrays, name, caption)
        self._run.log(content, step=message["step"], commit=True)

    def _trained(self, message: Message, _: object) -> None:
        if self._knows(message):
            return
        self._run.summary.update(message["summary"])
        model = message["model"]
        artifact = wandb.Artifact(self._name, type="model", metadata=model["metadata"])
        weights = str(self._journal / model["file"])
        artifact.add_file(weights, name="weights.pt", policy="immutable", skip_cache=True)
        self._artifacts.append(self._run.log_artifact(artifact))
        for data in message["data"]:
            metadata = {name: value for name, value in data.items() if name not in ("name", "path")}
            artifact = wandb.Artifact(data["name"], type="dataset", metadata=metadata)
            place = f"files/md5/{data['md5'][:2]}/{data['md5'][2:]}"
            artifact.add_reference(f"dvc://{place}", name=data["path"], checksum=False)
            self._artifacts.append(self._run.log_artifact(artifact))

    def _tested(self, message: Message, arrays: dict[str, Any]) -> None:
        if self._knows(message):
            return
        captions = message["captions"]
        pictures = {number: _picture(arrays, number, caption) for number, caption in captions.items()}
        table = wandb.Table(columns=[*message["columns"], "overlay"])
        for number, row in enumerate(message["rows"]):
            table.add_data(*row, pictures.get(str(number)))
        content: dict[str, Any] = {"test/cases": table, **message["means"]}
        for rank, number in enumerate(message["worst"], start=1):
            if str(number) in captions:
                content[f"test/worst_{rank}"] = _picture(arrays, str(number), captions[str(number)])
        self._run.log(content, step=max(message["step"], self._first_step), commit=True)

    def _knows(self, message: Message) -> bool:
        """Whether W&B has these results; and if not, that it will be told so when it has them."""
        name = f"results/{message['kind']}"
        self._results[name] = message["digest"]
        return not self._again and bool(self._run.summary.get(name) == message["digest"])

    def finish(self, failed: bool) -> None:
        """Bring everything away.

        Raises:
            Exception: what W&B's client raises, or if it wrote down that something could not be brought away.
        """
        try:
            for artifact in self._artifacts if self._online else ():
                artifact.wait()
        except Exception:
            self._run.finish(exit_code=1)  # curves have room where files have none
            raise
        self._run.summary.update(self._results)
        self._run.finish(exit_code=int(failed))
        if self._online:
            _look_for_errors(self.folder / "logs" / "debug-internal.log")
            self._doubtful.unlink()


def _look_for_errors(log: Path) -> None:
    """Raise an error of W&B's service, of which its client tells nobody: an upload that was refused."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            message = str(record.get("msg"))
            if str(record.get("level")).startswith("ERROR") and message.startswith(UPLOADS):
                raise RuntimeError(message[:MOST_CHARACTERS])


def _picture(arrays: dict[str, Any], name: str, caption: str) -> Any:
    masks = {
        part: {"mask_data": arrays[f"{name}/{part}"], "class_labels": CLASSES}
        for part in ("label", "prediction")
    }
    return wandb.Image(arrays[f"{name}/image"], masks=masks, caption=caption)
