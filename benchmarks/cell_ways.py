"""A whole cell both ways, on the same volumes: from files to scores and predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.original import data, evaluation, training, volumes
from benchmarks.request import Request
from context_fbr import networks, nifti, patches, spheres, trainer
from context_fbr.convolutions import unguard
from context_fbr.inference import segment
from context_fbr.patches import Protocol, Volume
from context_fbr.scoring import score
from context_fbr.study.raw import SpheresRaw
from context_fbr.trainer import Pause

Dice = dict[str, float]
"""Of each test case; a generated one has foreground, so it is defined."""


@dataclass(frozen=True)
class Size:
    """Of a cell: epochs, and volumes of each split."""

    epochs: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Files:
    """One volume, as each way reads it."""

    name: str
    split: str
    folder: Path

    @property
    def original(self) -> dict[str, str]:
        """For MONAI's loader: .nii.gz, as the original generated them."""
        files = {kind: str(self.folder / kind / f"{self.name}.nii.gz") for kind in data.KEYS}
        return {"name": self.name, **files}

    @property
    def ours(self) -> tuple[Path, Path]:
        """As the stage `prepare` leaves them."""
        image, label = (self.folder / kind / f"{self.name}.npy" for kind in data.KEYS)
        return image, label

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Image (x, y, z) float32 and label (x, y, z) uint8."""
        image, label = (np.load(path, allow_pickle=False) for path in self.ours)
        return image, label


def write_volumes(request: Request, size: Size, folder: Path, for_both: bool = True) -> list[Files]:
    """Generate volumes of the task and write each for both ways, or for ours."""
    raw = request.document.section(("tasks", request.task, "raw"), SpheresRaw)
    affine = np.diag([raw.spacing_mm] * 3 + [1.0])
    for kind in data.KEYS:
        (folder / kind).mkdir()
    files = []
    for volume in spheres.volumes(raw, request.task):
        learns, place = volume.stream == spheres.TRAINING, volume.index
        if not learns:
            split = "test" if place < size.test else None
        elif place < size.train:
            split = "train"
        else:
            split = "validation" if place < size.train + size.validation else None
        if split is None:
            continue
        own = Files(volume.name, split, folder)
        made = spheres.generate(raw, volume.stream, volume.index)
        for kind, path, voxels in zip(data.KEYS, own.ours, made, strict=True):
            if for_both:
                volumes.save(Path(own.original[kind]), voxels, affine)
            np.save(path, voxels)
        files.append(own)
    return files


def original(
    request: Request, model: str, protocol: Protocol, files: Sequence[Files], folder: Path, workers: int
) -> Dice:
    """The original's cell."""
    by_split = {
        split: [file.original for file in files if file.split == split]
        for split in ("train", "validation", "test")
    }
    network = networks.rebuild(request.document, model, protocol.patch_size, protocol.seed)
    training.train(
        unguard(network).to(request.device),
        data.training_loader(by_split["train"], protocol, workers),
        data.volume_loader(by_split["validation"], workers),
        protocol,
        folder / "weights.pt",
    )
    loader = data.volume_loader(by_split["test"], workers)
    return {row[0]: row[1] for row in evaluation.test(network, loader, protocol, folder, np.eye(4))}


def load(files: Sequence[Files], split: str, device: torch.device) -> list[Volume]:
    """Our volumes of a split on the device."""
    return [patches.load_volume(f.name, *f.read(), device) for f in files if f.split == split]


def fit(
    network: torch.nn.Module,
    learn: Sequence[Volume],
    check: Sequence[Volume],
    protocol: Protocol,
    pause: Pause = lambda _: None,
) -> None:
    """Train a network our way and leave it with the best epoch's weights; `pause` as in `trainer.train`."""
    weights: Mapping[str, Any] = {}
    for epoch in trainer.train(network, learn, check, protocol, pause=pause):
        weights = epoch.weights or weights
    network.load_state_dict(dict(weights))
    network.eval()


def score_case(
    network: torch.nn.Module, image: np.ndarray, label: np.ndarray, protocol: Protocol, path: Path
) -> float:
    """Our Dice of image (x, y, z) float32 and label (x, y, z) uint8; whatever else is scored is so too.

    The prediction is written to `path`.
    """
    device = next(network.parameters()).device
    voxels = torch.from_numpy(image).to(device)
    mask = segment(network, voxels, protocol.patch_size, protocol.window).cpu().numpy()
    scores = score(mask, label)
    nifti.write(path, mask, np.eye(4))
    assert scores.dice is not None
    return scores.dice


def ours(request: Request, model: str, protocol: Protocol, files: Sequence[Files], folder: Path) -> Dice:
    """Our cell, as benchmarks/paper_cells.py runs it."""
    learn, check = (load(files, split, request.device) for split in ("train", "validation"))
    network = networks.rebuild(request.document, model, protocol.patch_size, protocol.seed)
    fit(network.to(request.device), learn, check, protocol)
    return {
        f.name: score_case(network, *f.read(), protocol, folder / f"{f.name}.nii.gz")
        for f in files
        if f.split == "test"
    }
