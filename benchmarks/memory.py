"""The most memory that the stages of a study hold -> benchmarks/memory.csv; its raw data must be there.

python -m benchmarks.memory TASK [--network NAME...] [--patch-size N...] [--give-back] [--into FOLDER]

Each is a process of its own, and the system says what it held at most: `prepare` is the stage; of a cell, all
volumes of params.yaml are loaded, then it trains for two steps and is validated on one volume, because what
comes later needs no more. A GPU's own memory is not counted. A training keeps what it frees (allocator.py);
--give-back measures what it would hold otherwise, more slowly.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import table
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.core.errors import UserError
from context_fbr.networks import allocator, factory
from context_fbr.networks.device import prepare_device
from context_fbr.preprocessing import prepared
from context_fbr.runtime.entry import run_command
from context_fbr.training import loop
from context_fbr.training.batches import Protocol
from context_fbr.training.inputs import load_inputs

KEY = ("task", "part", "network", "patch_size", "device", "freed_memory")
TABLE = Table(FOLDER / "memory.csv", (*KEY, "volumes", "peak_gb", *STAMP), KEY)
STEPS = 2  # Adam has its moments in the second
SPLITS = {"prepare": ("train", "validation", "test")} | dict.fromkeys(
    ("volumes", "training"), ("train", "validation")
)
"""Whose volumes a part holds or passes."""
WATCH = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss)
sys.exit(process.returncode)
"""
"""A small process in between: to the system, what a process held before it became another counts, too."""
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts."""


def peak_gb(arguments: list[str]) -> float:
    """The greatest resident memory of a Python with these arguments; what it prints goes to stderr.

    Raises:
        UserError: if it fails; it has said why.
    """
    command = [sys.executable, "-c", WATCH, sys.executable, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"`{' '.join(arguments)}` ended with {done.returncode}")
    return int(done.stdout) * UNIT / 1e9


def train(cell: Cell, volumes_only: bool, give_back: bool) -> None:
    """Load what a cell needs and, if asked to, train it for some steps; nothing is written."""
    document = Document.read()
    settings, window = (
        document.section(("train",), Training),
        document.section(("sliding_window",), SlidingWindow),
    )
    device = prepare_device(settings.threads)
    if give_back:
        allocator.give_back()
    inputs = load_inputs(cell, device)
    learn, check = inputs.training, inputs.validation
    if volumes_only:
        return
    network = factory.build(document, cell.model, cell.patch_size, cell.seed).to(device)
    protocol = Protocol(settings, window, 1, cell.patch_size, cell.seed)
    largest = max(check, key=lambda volume: volume.image.numel())
    for _ in loop.train(network, learn[: STEPS * settings.batch_volumes], [largest], protocol):
        pass


def measure(
    task: str, models: list[str] | None, sizes: list[int] | None, give_back: bool, into: Path
) -> None:
    """Measure a task's stages, writing each row as it is there.

    Raises:
        UserError: if there is no such task, or a stage fails.
    """
    study = read_study(Document.read())
    if task not in study.tasks:
        raise UserError(f"{task}: is no task of params.yaml, which has {', '.join(study.tasks)}")
    models, sizes = models or [*study.grid.models], sizes or [*study.grid.patch_sizes]
    results = replace(TABLE, path=into / TABLE.path.name)
    device = prepare_device(study.train.threads)
    stamp = table.stamp(device)

    def write(part: str, model: str, size: str, arguments: list[str]) -> None:
        gigabytes = peak_gb(arguments)
        place = {"task": task, "part": part, "network": model, "patch_size": size, "device": device.type}
        place["freed_memory"] = "" if part == "prepare" else "given back" if give_back else "kept"
        volumes = sum(len(prepared.read_cases(task, split)) for split in SPLITS[part])
        row = {**place, "volumes": volumes, "peak_gb": f"{gigabytes:.3g}", **stamp}
        table.replace(results, [row])
        print(" ".join((task, part, model, size)).rstrip() + f": {gigabytes:.3g} GB", flush=True)

    def cell(model: str, size: int) -> list[str]:
        return [
            "-m",
            "benchmarks.memory",
            task,
            "--network",
            model,
            "--patch-size",
            str(size),
            *(["--give-back"] if give_back else []),
            "--only",
        ]

    write("prepare", "", "", ["-m", "context_fbr.prepare", task])
    write("volumes", "", "", [*cell(models[0], sizes[0]), "volumes"])
    for model in models:
        for size in sizes:
            write("training", model, str(size), [*cell(model, size), "training"])


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", metavar="TASK", help="of params.yaml")
    parser.add_argument("--network", nargs="+", metavar="NAME", help="default: those of the grid")
    parser.add_argument("--patch-size", nargs="+", type=int, metavar="N", help="default: those of the grid")
    parser.add_argument("--give-back", action="store_true", help="what is freed goes back to the system")
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="where the table lies")
    parser.add_argument("--only", choices=("volumes", "training"), help=argparse.SUPPRESS)  # what is measured
    options = parser.parse_args(arguments)
    if options.only:
        cell = Cell(options.task, options.network[0], options.patch_size[0], seed=1)
        train(cell, volumes_only=options.only == "volumes", give_back=options.give_back)
    else:
        measure(options.task, options.network, options.patch_size, options.give_back, options.into)


if __name__ == "__main__":
    run_command(main)
