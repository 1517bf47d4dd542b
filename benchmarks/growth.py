"""What a cell costs against patch size, volumes and epochs, beside its floor -> growth.csv and growth.png.

One of the three varies, the others stay. The floor is the work of all passes of the network (PyTorch counts
it) at the rate of the fastest convolution that was found here.
"""

import csv
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import generated, table
from benchmarks.floor import best_rate, step_gflop
from benchmarks.generated import Size
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.analysis.display_names import name_of
from context_fbr.config.cell import Cell
from context_fbr.config.raw import SpheresRaw
from context_fbr.core import atomic
from context_fbr.figures.style import COLOURS, GREY, MARKERS, drawing, png, subplots
from context_fbr.networks import factory
from context_fbr.networks.sliding_window import window_corners

KEY = ("network", "varied", "value", "device", "precision")
TABLE = Table(
    FOLDER / "growth.csv",
    (*KEY, "patch_size", "volumes", "epochs", "seconds", "floor_s", "over_floor", *STAMP),
    KEY,
)
FIGURE = FOLDER / "growth.png"
NETWORKS = ("unet", "attention_unet", "unetr")


@dataclass(frozen=True)
class Point:
    """A cell: training volumes as many as test volumes, half as many of validation, which ends each epoch."""

    patch_size: int = 32
    volumes: int = 4
    epochs: int = 1


POINTS: Mapping[str, tuple[Point, ...]] = {
    "patch_size": tuple(Point(patch_size=size) for size in (16, 32, 48, 64)),
    "volumes": tuple(Point(volumes=number) for number in (4, 8, 16)),
    "epochs": tuple(Point(epochs=number) for number in (1, 2, 4)),
}


def cell_gflop(request: Request, model: str, point: Point) -> float:
    """Work of all passes of a cell, in 10^9 floating point operations."""
    settings, window, edge = request.training, request.window, _edge(request)
    batch = settings.batch_volumes * settings.patches_per_volume
    steps = point.epochs * -(-point.volumes // settings.batch_volumes)
    windows = len(window_corners(edge, point.patch_size, window.overlap)) ** 3
    segmented = point.epochs * (point.volumes // 2) + point.volumes
    network = factory.build(request.document, model, point.patch_size, seed=1).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty((1, 1) + (point.patch_size,) * 3, device="meta"))
    forward = counter.get_total_flops() / 1e9
    return steps * step_gflop(request, model, point.patch_size, batch) + segmented * windows * forward


def cell_seconds(request: Request, model: str, point: Point) -> float:
    """The stages `train` and `evaluate` of a cell; processes and imports are not counted."""
    size = Size(point.epochs, point.volumes, point.volumes // 2, point.volumes)
    with tempfile.TemporaryDirectory() as name:
        every = {"validate_every_epochs": 1}
        study = generated.write(request, size, Path(name) / "study", every, for_both=False)
        start = time.perf_counter()
        study.run(Cell(request.task, model, point.patch_size, seed=1))
        return time.perf_counter() - start


def growth(request: Request, stamp: Mapping[str, object]) -> Iterator[str]:
    """Measure and write a row for each point, then draw; what the rows say."""
    rate = best_rate(request)
    measured: dict[tuple[str, Point], float] = {}
    for model in request.networks or NETWORKS[:1]:
        for varied, points in POINTS.items():
            for point in points:
                if request.patch_sizes and varied != "patch_size":
                    point = replace(point, patch_size=request.patch_sizes[0])
                if (model, point) not in measured:  # where the three meet
                    measured[model, point] = cell_seconds(request, model, point)
                taken, least = measured[model, point], cell_gflop(request, model, point) / rate
                row = {
                    "network": model,
                    "varied": varied,
                    "value": getattr(point, varied),
                    "device": request.device.type,
                    "precision": request.precision,
                    "patch_size": point.patch_size,
                    "volumes": point.volumes,
                    "epochs": point.epochs,
                    "seconds": f"{taken:.4g}",
                    "floor_s": f"{least:.4g}",
                    "over_floor": f"{taken / least:.3g}",
                    **stamp,
                }
                table.replace(TABLE, [row])
                atomic.write_bytes(FIGURE, draw(TABLE.path))
                said = f"{taken:.3g} s, {taken / least:.1f} times the floor"
                yield f"growth {model}, {varied} {row['value']}: {said}"


def draw(path: Path) -> bytes:
    """The table at `path` as PNG: a panel for each thing that varies, the floor dashed."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with drawing():
        figure, axes = subplots(1, len(POINTS), figsize=(9.0, 3.2), sharey=True)
        for axis, varied in zip(axes, POINTS, strict=True):
            for number, model in enumerate(NETWORKS):
                own = [row for row in rows if (row["varied"], row["network"]) == (varied, model)]
                if not own:
                    continue
                values = [int(row["value"]) for row in own]
                style = {"color": COLOURS[number], "label": name_of(model)}
                axis.plot(values, [float(r["seconds"]) for r in own], marker=MARKERS[number], **style)
                floors = [float(row["floor_s"]) for row in own]
                axis.plot(values, floors, color=COLOURS[number], linestyle="--", linewidth=1)
                axis.set_xticks(values, values, minor=False)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.minorticks_off()
            axis.set_xticks(ticks := [getattr(p, varied) for p in POINTS[varied]], ticks)
            axis.set_xlabel({"patch_size": "patch size (voxels)"}.get(varied, f"{varied} of training"))
        axes[0].set_ylabel("seconds of a cell")
        axes[0].plot([], [], color=GREY, linestyle="--", linewidth=1, label="its floor")
        axes[0].legend(frameon=False)
        figure.tight_layout()
        return png(figure)


def _edge(request: Request) -> int:
    return request.document.section(("tasks", request.task, "raw"), SpheresRaw).edge
