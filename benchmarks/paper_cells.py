"""Run cells of the paper profile on any machine that has torch, and keep tables small enough to commit.

python benchmarks/paper_cells.py [--jobs N] [--state DIR] CELL...

A cell is named as everywhere (spheres-unet-32-1), `spheres-baselines` are the two baselines. Besides this
checkout it needs torch, monai (UNETR: einops), numpy, scipy, pydantic and ruamel.yaml; neither DVC nor a
network. Tables, timings and what vouches for them go to benchmarks/paper_cells/CELL. A finished cell is
skipped, an interrupted one continues from its last saved step with the same bits; CONTEXT_FBR_DEVICE=cpu or
cuda chooses the device.
"""

import argparse
import datetime
import gzip
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from context_fbr.runtime import entry  # noqa: E402

entry.name_user()  # before MONAI, which asks for it when it is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from context_fbr.analysis import run_records  # noqa: E402
from context_fbr.config.cell import Cell  # noqa: E402
from context_fbr.config.document import Document  # noqa: E402
from context_fbr.config.study import read_study  # noqa: E402
from context_fbr.core import atomic  # noqa: E402
from context_fbr.core.csv_text import csv_text  # noqa: E402
from context_fbr.core.errors import StoppedError, UserError  # noqa: E402
from context_fbr.datasets import spheres  # noqa: E402
from context_fbr.evaluation import baselines  # noqa: E402
from context_fbr.metrics.columns import SCORES, score_row  # noqa: E402
from context_fbr.metrics.overlap import score  # noqa: E402
from context_fbr.networks import factory, precision  # noqa: E402
from context_fbr.networks.device import describe, prepare_device  # noqa: E402
from context_fbr.networks.sliding_window import segment  # noqa: E402
from context_fbr.runtime import git, resume  # noqa: E402
from context_fbr.runtime.entry import run_command  # noqa: E402
from context_fbr.runtime.resume import CheckpointDir  # noqa: E402
from context_fbr.runtime.stop_signals import StopRequest, stop_requests  # noqa: E402
from context_fbr.training import batches, checkpoint, loop  # noqa: E402
from context_fbr.training.history import foreground_ratio_table, history_table  # noqa: E402

SAVE_EVERY_S = 60.0
PACKAGES = ("torch", "monai", "numpy")
SECONDS = "seconds.json"
Volume = tuple[str, str, np.ndarray, np.ndarray]
"""Name, split, image (x, y, z) float32, label (x, y, z) uint8."""


class Watch:
    """Seconds by the clock and of CPU time (`..._cpu`), on top of those before an interrupt."""

    def __init__(self, part: str, before: Mapping[str, float] | None = None) -> None:
        self.part, self.before = part, before or {}
        self.start = (time.monotonic(), time.process_time())

    def read(self) -> dict[str, float]:
        """Seconds so far."""
        now = (time.monotonic(), time.process_time())
        names = (self.part, f"{self.part}_cpu")
        return {
            name: self.before.get(name, 0.0) + end - begin
            for name, begin, end in zip(names, self.start, now, strict=True)
        }


def generate(document: Document, task: str) -> list[Volume]:
    """The volumes of a task as stages `raw` and `prepare` make them, without a file."""
    raw = document.section(("tasks", task, "raw"), spheres.SpheresRaw)
    split = read_study(document).tasks[task].prepare.split
    assert isinstance(split.train, int)  # generated cases have no names to list
    assert isinstance(split.validation, int)
    volumes = []
    for volume in spheres.volumes(raw, task):
        if volume.stream == spheres.TEST:
            name = "test"
        elif volume.index < split.train:
            name = "train"
        elif volume.index < split.train + split.validation:
            name = "validation"
        else:
            continue
        volumes.append((volume.name, name, *spheres.generate(raw, volume.stream, volume.index)))
    return volumes


def run_cell(
    document: Document,
    cell: Cell,
    volumes: Sequence[Volume],
    device: torch.device,
    place: CheckpointDir,
    request: StopRequest,
) -> tuple[dict[str, bytes], dict[str, float]]:
    """Train and evaluate a cell; its tables by file name, and seconds by part.

    Args:
        document: the study.
        cell: one of its cells.
        volumes: the task's volumes.
        device: where to.
        place: holds the training while it runs.
        request: that ends it.
    """
    study = read_study(document)
    epochs = study.tasks[cell.task].train.epochs
    settings = study.training_of(cell)
    protocol = loop.Protocol(settings, study.sliding_window, epochs, cell.patch_size, cell.seed)
    loaded = {
        wanted: [batches.load_volume(n, i, la, device) for n, split, i, la in volumes if split == wanted]
        for wanted in ("train", "validation")
    }
    network = factory.build(document, cell.model, cell.patch_size, cell.seed).to(device)
    batch = settings.batch_volumes * protocol.patches
    precision.check(network, f"models.{cell.model}", settings.precision, batch, cell.patch_size)
    resumed, history, problems = checkpoint.load(place)
    for problem in problems:
        print(f"{cell.key}: cannot resume from {problem}")
    if resumed is not None:
        print(f"{cell.key}: resumes in epoch {resumed.epoch} after step {len(resumed.steps)}", flush=True)
    watch = Watch("train", read_seconds(place))
    kept = checkpoint.Checkpointer(place, cell.key, SAVE_EVERY_S, request, history)

    def pause(state: Callable[[], loop.TrainingState]) -> None:
        try:
            saved = kept.pause(state)
        except StoppedError:
            write_seconds(place, watch)
            raise
        if saved:
            write_seconds(place, watch)

    best = next((epoch.validation_dice or 0.0 for epoch in history if epoch.weights is not None), 0.0)
    for epoch in loop.train(network, loaded["train"], loaded["validation"], protocol, resumed, pause):
        if epoch.weights is not None:  # only the best weights are kept
            history[:] = [replace(old, weights=None) for old in history]
            best = epoch.validation_dice or 0.0
        history.append(epoch)
        if epoch.validation_dice is not None:
            print(
                f"{cell.key}: epoch {epoch.number}/{epochs}, loss {epoch.loss:.4f}, validation Dice "
                f"{epoch.validation_dice:.4f} (best {best:.4f}), {watch.read()['train']:.0f} s",
                flush=True,
            )
    trained = watch.read()
    watch = Watch("evaluate")
    weights = next(epoch.weights for epoch in history if epoch.weights is not None)
    network.load_state_dict(dict(weights))
    network.eval()
    rows = []
    for name, split, image, label in volumes:
        if split == "test":
            mask = segment(network, torch.from_numpy(image).to(device), cell.patch_size, study.sliding_window)
            rows.append(scored(name, mask.cpu().numpy(), label))
    tables = {
        run_records.SCORES: csv_text(SCORES, rows).encode(),
        run_records.HISTORY: history_table(history).encode(),
        # mtime 0: the same ratios are the same bytes
        run_records.RATIOS: gzip.compress(foreground_ratio_table(history).encode(), mtime=0),
    }
    return tables, trained | watch.read()


def scored(name: str, mask: np.ndarray, label: np.ndarray) -> tuple[object, ...]:
    """A row of the published columns."""
    return score_row(name, score(mask, label), int((label > 0).sum()) / label.size)


def write_seconds(place: CheckpointDir, watch: Watch) -> None:
    """Keep the time that a training took so far."""
    atomic.write_text(place.folder / SECONDS, json.dumps(watch.read()))


def read_seconds(place: CheckpointDir) -> dict[str, float]:
    """The time that was kept; nothing if there is none."""
    try:
        return dict(json.loads((place.folder / SECONDS).read_text()))
    except (OSError, ValueError):
        return {}


def run_name(document: Document, name: str, folder: Path, state: Path, revision: str) -> None:
    """Run a cell or a task's baselines and write its folder, unless it is there already."""
    target = folder / name
    if target.exists():
        run_records.read_record(target, document)
        print(f"{name}: is there already")
        return
    threads = read_study(document).train.threads
    device = prepare_device(threads)
    watch, code = Watch("data"), resume.code_digest()
    volumes = generate(document, name.split("-")[0])
    seconds = watch.read()
    data = run_records.data_digest(volumes)
    parameters = run_records.digest(document, name)
    if name.endswith("-baselines"):
        watch = Watch("evaluate")
        validation = [(image, label) for _, split, image, label in volumes if split == "validation"]
        threshold = baselines.fit_threshold(validation, baselines.candidates(validation))
        test = ((image, (n, label)) for n, split, image, label in volumes if split == "test")
        table = baselines.evaluate(
            test, threshold, lambda mask, case: [scored(case[0], mask, case[1])], SCORES
        )
        tables = {run_records.BASELINES: table.encode()}
        seconds |= watch.read()
    else:
        cell = Cell.from_key(name)
        inputs = resume.inputs_of({"paper": parameters, "threads": threads}, data, device, code)
        with stop_requests() as request, resume.checkpoint_dir("paper", cell, inputs, state) as place:
            tables, more = run_cell(document, cell, volumes, device, place, request)
        seconds |= more
    record = run_records.Record(
        format=run_records.FORMAT,
        name=name,
        parameters=parameters,
        data=data,
        tables={table: hashlib.sha256(content).hexdigest() for table, content in tables.items()},
        revision=revision,
        device=describe(device),
        threads=threads,
        versions={"python": platform.python_version(), **git.versions(PACKAGES)},
        date=datetime.date.today().isoformat(),
        seconds={part: round(value, 1) for part, value in seconds.items()},
    )
    with atomic.directory(target) as partial:
        for table, content in tables.items():
            atomic.write_bytes(partial / table, content)
        atomic.write_text(partial / run_records.RECORD, run_records.record_text(record))
    print(
        f"{name}: written to {target}, {sum(v for k, v in seconds.items() if not k.endswith('cpu')):.0f} s",
        flush=True,
    )


def revision() -> str | None:
    """The commit of this checkout, with `+` if the code was changed; None outside of git."""
    commit = git.revision(ROOT)
    changed = git.changed_files(("src", "benchmarks/paper_cells.py", "profiles"), ROOT)
    return commit and commit + ("+" if changed else "")


def run_all(names: Sequence[str], jobs: int, options: Mapping[str, str]) -> int:
    """Run each name in a process of its own, `jobs` at once; the number of those that failed."""
    arguments = [word for name, value in options.items() for word in (name, value)]

    def one(name: str) -> int:
        command = [sys.executable, str(Path(__file__).resolve()), *arguments, name]
        return subprocess.run(command, check=False).returncode

    with ThreadPoolExecutor(jobs) as pool:
        failed = [name for name, code in zip(names, pool.map(one, names), strict=True) if code]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="+", metavar="CELL", help="spheres-unet-32-1 ..., or spheres-baselines"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at once (default 1)")
    parser.add_argument("--state", type=Path, default=ROOT / ".dvc/tmp/paper_cells", metavar="DIR")
    parser.add_argument("--revision", default=revision(), help="of the code, where git cannot tell")
    options = parser.parse_args(arguments)
    state = options.state.resolve()
    os.chdir(ROOT)
    document = run_records.paper_document()
    study = read_study(document)
    generated = [
        task for task in study.study_cells.tasks if isinstance(study.tasks[task].raw, spheres.SpheresRaw)
    ]
    # Every model of the profile, those with an exchanged norm too, which its grid leaves out.
    every = study.study_cells.grid.model_copy(update={"models": tuple(study.models)})
    known = [cell.key for cell in every.cells if cell.task in generated]
    known += [f"{task}-baselines" for task in generated]
    unknown = [name for name in options.names if name not in known]
    if unknown:
        raise UserError(
            *(
                f"{name}: is no cell of profiles/paper.yaml with generated volumes, such as {known[0]}; "
                "those of other tasks are run by `context-fbr profile paper && make repro`"
                for name in unknown
            )
        )
    if options.revision is None:
        raise UserError("this is no git checkout: say which commit the code is, with --revision")
    if len(options.names) > 1:
        return run_all(options.names, options.jobs, {"--state": str(state), "--revision": options.revision})
    run_name(document, options.names[0], run_records.FOLDER, state, options.revision)
    return 0


if __name__ == "__main__":
    run_command(main)
