"""Check and measure a device in a given time -> benchmarks/gpu.csv.

python -m benchmarks.gpu [--device cuda] [--minutes 8] [--document FILE] [CELL...]

Needs torch, monai, numpy, scipy, pydantic, ruamel.yaml and einops; neither DVC nor a network. First equality
with the CPU, then speed and memory by network and patch, then cells of the paper profile as long as there is
time. Each row is written when it is there; what is left out for lack of time is named.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from benchmarks import gpu_checks, gpu_speed, table
from benchmarks.gpu_checks import Value
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.analysis.run_records import paper_document
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.networks.device import DEVICE_VARIABLE, prepare_device
from context_fbr.runtime import git
from context_fbr.runtime.entry import run_command

KEY = ("device", "part", "network", "patch_size", "value_of")
RESULTS = Table(FOLDER / "gpu.csv", (*KEY, "value", "unit", "versions", *STAMP), KEY)
PACKAGES = ("torch", "monai")
PARTS = ("check", "step", "volume", "together", "variants")
SMALL, LARGE = 32, 96
CELLS = (
    *("spheres-attention_unet_batch-32-1", "spheres-unetr_batch-32-1", "spheres-unet_instance-32-1"),
    *("spheres-attention_unet-32-1", "spheres-unetr-32-1", "spheres-unet-32-1"),
)
"""Cells of the paper profile, those with exchanged norm first."""
LEAST_S = 30.0
GRACE_S = 10.0
"""For a cell to save its checkpoint at the end of the time."""
"""A cell is begun if so much time is left; it continues from its last checkpoint another time."""
Part = tuple[str, str, int, Callable[[], Iterator[Value]]]
"""Part, network, patch size, and what yields its values."""


def parts(request: Request, networks: Sequence[str], sizes: Sequence[int], compiled: bool) -> list[Part]:
    """Return what is measured, the most important first."""
    small, large = min(sizes), max(sizes)
    planned: list[Part] = []
    for name, work, chosen in (
        ("check", gpu_checks.check, [small]),
        ("step", gpu_speed.step, sizes),
        ("volume", gpu_speed.whole_volume, sizes),
        ("together", gpu_speed.several, [small]),
    ):
        for size in dict.fromkeys(chosen):
            planned += [
                (name, model, size, lambda work=work, model=model, size=size: work(request, model, size))
                for model in networks
            ]
    planned += [
        (
            "variants",
            model,
            size,
            lambda model=model, size=size: gpu_speed.variants(request, model, size, compiled),
        )
        for size in dict.fromkeys((small, large))
        for model in networks
    ]
    return planned


def run_parts(
    request: Request, planned: Sequence[Part], end: float, revision: str | None = None
) -> list[str]:
    """Measure until the time is over and write each value; return the names of what is left out.

    Args:
        request: what is measured.
        planned: in this order.
        end: of the time, by `time.monotonic`.
        revision: of the code, where git cannot tell.
    """
    versions = " ".join(f"{name} {version}" for name, version in git.versions(PACKAGES).items())
    stamp = table.stamp(request.device) | {"versions": versions} | ({"commit": revision} if revision else {})
    left = []
    for part, model, size, values in planned:
        name = f"{part} {model} {size}"
        if time.monotonic() > end:
            left.append(name)
            continue
        try:
            for what, value, unit in values():
                row = {
                    "device": request.device.type,
                    "part": part,
                    "network": model,
                    "patch_size": size,
                    "value_of": what,
                    "value": f"{value:.6g}",
                    "unit": unit,
                    **stamp,
                }
                table.replace(RESULTS, [row])
                print(f"{name}: {what}: {value:.4g} {unit}", flush=True)
        except Exception as error:  # one part that fails leaves the others to be measured
            print(f"{name}: failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            left.append(f"{name} (failed)")
    return left


def run_cells(cells: Sequence[str], end: float, jobs: int = 1, options: Sequence[str] = ()) -> list[str]:
    """Run cells of the paper profile until the time is over; return those not finished.

    Args:
        cells: by name, the most important first.
        end: of the time, by `time.monotonic`.
        jobs: cells at once.
        options: of paper_cells.py.
    """

    def run(cell: str) -> str | None:
        rest = end - time.monotonic()
        if rest < LEAST_S:
            return cell
        command = [sys.executable, str(FOLDER / "paper_cells.py"), *options, cell]
        with subprocess.Popen(command) as process:
            try:
                return f"{cell} (failed)" if process.wait(rest) else None
            except subprocess.TimeoutExpired:
                process.terminate()  # it saves a checkpoint
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
                process.kill()
                return cell

    with ThreadPoolExecutor(jobs) as pool:
        return [left for left in pool.map(run, cells) if left is not None]


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "cells",
        nargs="*",
        metavar="CELL",
        help="of the paper profile, after all else (default: six at patch 32; with --part none)",
    )
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1, cpu")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything (default 8)")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="params.yaml (default: the paper profile)"
    )
    parser.add_argument("--network", nargs="+", metavar="NAME", help="default: all of the document")
    parser.add_argument("--patch-size", nargs="+", type=int, default=[SMALL, LARGE], metavar="N")
    parser.add_argument("--part", nargs="+", choices=PARTS, metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=gpu_speed.REPEATS, metavar="N")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at once (default 1)")
    parser.add_argument("--revision", metavar="COMMIT", help="of the code, where git cannot tell")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args(arguments)
    cells = options.cells or (() if options.part else CELLS)
    start = time.monotonic()
    end = start + 60 * options.minutes
    os.environ[DEVICE_VARIABLE] = options.device
    document = Document.read(options.document) if options.document else paper_document()
    study = read_study(document)
    device = prepare_device(study.train.threads)
    request = Request(document, "spheres", device, "float32", options.repeats)
    networks = options.network or list(study.study_cells.grid.models)
    until = start + 30 * options.minutes  # half of the time at most for measurements
    planned = parts(request, networks, options.patch_size, not options.no_compile)
    wanted = [part for part in planned if not options.part or part[0] in options.part]
    left = run_parts(request, wanted, until, options.revision)
    named = ["--revision", options.revision] if options.revision else []
    left += run_cells(cells, end, options.jobs, named)
    for name in left:
        print(f"not done: {name}", flush=True)
    print(f"{RESULTS.path}: {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
