"""What happens before a network sees anything: generated volumes, prepared scans, patches."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import nibabel
import numpy as np
import torch

from benchmarks import generated, pairs
from benchmarks.generated import Size
from benchmarks.original import data, volumes
from benchmarks.pairs import Pairs, units
from benchmarks.request import Measurement, Request
from context_fbr.config.cell import Cell
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.core import nifti
from context_fbr.datasets import spheres
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing.splits import Source
from context_fbr.training import batches
from context_fbr.training.batches import Patches, Protocol
from context_fbr.training.inputs import load_inputs

SCAN = (250, 250, 60)
SCAN_AFFINE = np.array([[-1.2, 0, 0, 150], [0, -1.2, 0, 150], [0, 0, 5.0, -150], [0, 0, 0, 1]])
"""Voxel to world in mm: axes towards left, posterior and superior, as CTs often lie in their files."""
AIR_HU, BODY_HU, ORGAN_HU, NOISE_HU = -1000, 40, 110, 20
PATCH_SIZES = (32, 96)
VOLUMES = 8  # in memory, to cut patches from
BATCHES = 10
"""Timed at once: more than the loader's two workers have ready before (two each)."""
WORKERS = 2


def generate(request: Request) -> Iterator[Measurement]:
    """Generate and save one image and its label."""
    raw = request.document.section(("tasks", request.task, "raw"), SpheresRaw)
    affine = np.diag([raw.spacing_mm] * 3 + [1.0])
    generator, numbers = np.random.default_rng(raw.seed), count()
    with tempfile.TemporaryDirectory() as name:
        theirs, own = (
            [Path(name) / f"{way}_{kind}.nii.gz" for kind in data.KEYS] for way in ("their", "our")
        )

        def original() -> None:
            for path, voxels in zip(theirs, volumes.generate(raw, generator), strict=True):
                volumes.save(path, voxels, affine)

        def ours() -> None:
            for path, voxels in zip(own, spheres.generate(raw, spheres.TRAINING, next(numbers)), strict=True):
                nifti.write(path, voxels, affine)

        # We wait for the disk, the original does not: what it left to be written is not ours to wait for.
        measured = pairs.measure(
            original, ours, request.repeats or 9, request.device, "generate", before=os.sync
        )
    yield Measurement("generate", "", None, measured)


def write_scan(folder: Path, shape: tuple[int, int, int], generator: np.random.Generator) -> Source:
    """Write a CT-like case: a body in air, and in it an organ, which is the label.

    Image int16 in HU, label uint8, both (i, j, k) on an anisotropic grid that is not in RAS.
    """
    middle, radii = (np.array(shape) - 1) / 2, np.array(shape) * (0.4, 0.3, 10)  # the body goes through
    places = [(np.arange(edge) - place) for edge, place in zip(shape, middle, strict=True)]
    x, y, z = np.ix_(*(place / radius for place, radius in zip(places, radii, strict=True)))
    body = x**2 + y**2 + z**2 <= 1
    x, y, z = np.ix_(*(place / (edge / 6) for place, edge in zip(places, shape, strict=True)))
    organ = (x - 0.5) ** 2 + (y + 0.2) ** 2 + z**2 <= 1
    image = np.where(body, BODY_HU, AIR_HU) + np.where(organ, ORGAN_HU - BODY_HU, 0)
    image = np.rint(image + generator.normal(0, NOISE_HU, shape)).astype(np.int16)
    source = Source("scan", "train", Path("image.nii.gz"), Path("label.nii.gz"))
    for path, voxels in ((source.image, image), (source.label, organ.astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(voxels, SCAN_AFFINE), folder / path)
    return source


def prepare(request: Request) -> Iterator[Measurement]:
    """A scan from its files to what the networks see, with the spleen task's settings."""
    settings = request.document.section(("tasks", "spleen", "prepare"), Prepare)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_scan(folder, SCAN, np.random.default_rng(1))
        item = {"image": str(folder / source.image), "label": str(folder / source.label)}
        chain = data.preparation(settings)
        measured = pairs.measure(
            lambda: chain(item),
            lambda: prepare_case(source, folder, settings, {0, 1}),
            request.repeats or 3,
            request.device,
            "prepare",
        )
    yield Measurement("prepare", "", None, measured)


def cut_patches(request: Request) -> Iterator[Measurement]:
    """One batch of patches on the device, of the many of a training: no worker is started meanwhile."""
    repeats = request.repeats or 9
    with tempfile.TemporaryDirectory() as name:
        study = generated.write(request, Size(1, VOLUMES, 1, 1), Path(name) / "study", {})
        items = study.items("train")
        with contextlib.chdir(study.folder):
            learn = load_inputs(Cell(study.task, "any", 1, seed=1), request.device).training
        needed = units(repeats) * BATCHES * request.training.batch_volumes
        epochs = -(-needed // len(items)) + 1  # one for the workers to look ahead
        for size in request.patch_sizes or PATCH_SIZES:
            protocol = Protocol(request.training, request.window, epochs, size, seed=1)
            loader = iter(data.training_loader(items, protocol, WORKERS, epochs))
            own = _batches(learn, protocol)

            def original(loader: Iterator[dict[str, torch.Tensor]] = loader) -> None:
                for batch in islice(loader, BATCHES):
                    for kind in data.KEYS:
                        batch[kind].to(request.device)

            def ours(own: Iterator[Patches] = own) -> None:
                for _ in islice(own, BATCHES):
                    pass

            found = pairs.measure(original, ours, repeats, request.device, f"patches {size}")
            a_batch = Pairs(*(tuple(s / BATCHES for s in way) for way in (found.original_s, found.ours_s)))
            yield Measurement("patches", "", size, a_batch)


def _batches(learn: list[batches.Volume], protocol: Protocol) -> Iterator[Patches]:
    """Of one epoch after the other."""
    for epoch in range(1, protocol.epochs + 1):
        yield from batches.batches(learn, protocol, epoch)
