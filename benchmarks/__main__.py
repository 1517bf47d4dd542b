"""Time our parts against MONAI's, interleaved in one run; write benchmarks/results.csv.

python -m benchmarks [REPEATS]
"""

import csv
import datetime
import io
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from monai.transforms import RandCropByPosNegLabeld

from context_fbr import atomic, networks, sampling, scoring, software, spheres
from context_fbr.inference import sliding_window
from context_fbr.paper_cells import paper_document
from context_fbr.progress import progress
from context_fbr.study.document import Document
from context_fbr.study.raw import SpheresRaw
from context_fbr.study.training import SlidingWindow

Work = Callable[[], object]
COLUMNS = (
    "part", "network", "patch_size", "device", "precision", "original_median_s", "ours_median_s",
    "ratio_median", "ratio_min", "ratio_max", "repeats", "machine", "date", "commit",
)  # fmt: skip


def parts(document: Document) -> list[tuple[str, str, int, Work, Work]]:
    """(part, network, patch size, the original's way, ours), on one volume of the paper's spheres."""
    image, label = spheres.generate(
        document.section(("tasks", "spheres", "raw"), SpheresRaw), spheres.TRAINING, 0
    )
    where = sampling.candidates("volume", image, label)
    pairs: list[tuple[str, str, int, Work, Work]] = []
    for size in (32, 96):
        crop = RandCropByPosNegLabeld(
            ["image", "label"], "label", (size,) * 3, num_samples=4, image_key="image", image_threshold=0
        )
        item = {"image": image[None], "label": label[None]}
        pairs.append(
            (
                "patches",
                "",
                size,
                lambda crop=crop, item=item: crop(item),
                lambda size=size: cut(image, label, where, size),
            )
        )
    settings = document.section(("sliding_window",), SlidingWindow)
    volume = torch.from_numpy(image)
    for size in (32, 64):
        network = networks.build(document, "unet", size, seed=1).eval()
        pairs.append(
            (
                "sliding_window",
                "unet",
                size,
                lambda n=network, s=size: torch.inference_mode()(sliding_window_inference)(
                    volume[None, None], s, settings.windows_per_batch, n, overlap=settings.overlap
                ),
                lambda n=network, s=size: sliding_window(n, volume, s, settings),
            )
        )
    generator = np.random.default_rng(0)
    speckled = label ^ (generator.random(label.shape) < 1e-4)
    batch = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (speckled, label)]
    pairs.append(
        (
            "scoring",
            "",
            96,
            lambda: (DiceMetric()(*batch), HausdorffDistanceMetric(include_background=True)(*batch)),
            lambda: scoring.score(speckled, label),
        )
    )
    return pairs


def cut(image: np.ndarray, label: np.ndarray, where: sampling.Candidates, size: int) -> list[np.ndarray]:
    """Our patches, copied as a batch would."""
    corners = sampling.patch_corners(where, size, 4, 0.5, seed=1, epoch=1)
    places = [tuple(slice(start, start + size) for start in corner) for corner in corners]
    return [np.stack([voxels[place] for place in places]) for voxels in (image, label)]


def measure(original: Work, ours: Work, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of each, taken in turns after one call of each to warm up."""
    original(), ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, own in zip((original, ours), times, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return times


def main(repeats: int) -> None:
    """Measure every part and write the table."""
    torch.set_num_threads(1)
    commit = (software.revision() or "")[:7]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    work = parts(paper_document())  # the sizes that matter
    for part, network, size, original, ours in progress(work, len(work), "benchmarks", "part"):
        theirs, own = measure(original, ours, repeats)
        ratios = [t / o for t, o in zip(theirs, own, strict=True)]
        middle = statistics.median
        numbers = (middle(theirs), middle(own), middle(ratios), min(ratios), max(ratios))
        writer.writerow(
            (
                part, network, size, "cpu", "float32", *(f"{number:.4g}" for number in numbers), repeats,
                f"{platform.machine()}, 1 thread", datetime.date.today(), commit,
            )
        )  # fmt: skip
        print(
            f"{part} {network} {size}: {numbers[2]:.1f} times faster ({numbers[3]:.1f} to {numbers[4]:.1f})"
        )
    atomic.write_text(Path("benchmarks/results.csv"), table.getvalue())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
