"""Patches with three edges, not all equal: places, flips, cores and the ratio of their foreground."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import SpatialCrop
from monai.transforms.utils import correct_crop_centers

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.core.patch_size import Edges, PatchSize, voxels
from context_fbr.networks import factory
from context_fbr.training import batches, loop, sampling
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.recipe import augmentation

CPU = torch.device("cpu")
THICK = Edges(16, 16, 8)
SHAPES = ((24, 21, 18), (16, 24, 8), (11, 24, 6))


def protocol_of(params: Path, patch_size: PatchSize, **changes: Any) -> Protocol:
    torch.set_num_threads(1)
    document = Document.read(params)
    settings = document.section(("train",), Training).model_copy(update=changes)
    return Protocol(settings, document.section(("sliding_window",), SlidingWindow), 1, patch_size, 1)


def volumes(patch_size: PatchSize, core: PatchSize | None = None) -> list[Volume]:
    """Return volumes whose voxels all differ, so that an array tells its place."""
    made = []
    for index, shape in enumerate(SHAPES):
        image = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
        label = np.zeros(shape, np.uint8)
        label[3:8, 4:11, 2 : 5 + index] = 1
        made.append(batches.load_volume(f"case {index}", image, label, CPU, patch_size, 0.0, core))
    return made


@pytest.mark.parametrize("size", [Edges(4, 6, 3), Edges(9, 5, 2), Edges(1, 10, 11), Edges(8, 8, 4)])
@pytest.mark.parametrize("centre", [(4, 5, 6), (0, 0, 0), (8, 9, 10), (0, 9, 5)])
def test_a_patch_is_cut_where_monai_cuts_one_with_this_centre(
    size: Edges, centre: tuple[int, int, int]
) -> None:
    shape, edges = (9, 10, 11), (size.x, size.y, size.z)
    label = np.zeros(shape, np.uint8)
    label[centre] = 1
    where = sampling.candidates("a", np.zeros(shape), label)
    (corner,) = sampling.core_corners(where, size, 1, 1.0, seed=1, epoch=1).tolist()
    moved = correct_crop_centers(list(centre), edges, shape)
    assert corner == [axis.start for axis in SpatialCrop(roi_center=moved, roi_size=edges).slices]


@pytest.mark.parametrize("kind", ["none", "flips"])
def test_a_batch_holds_boxes_of_the_volumes_flipped_as_a_whole(params: Path, kind: str) -> None:
    plan = protocol_of(params, THICK, augmentation=kind, patches_per_volume=5)
    flips = 0
    for batch in batches.batches(volumes(THICK), plan, 1):
        assert batch.images.shape[1:] == (1, 16, 16, 8)
        assert batch.labels.shape[1:] == (1, 16, 16, 8)
        for image, name in zip(batch.images[:, 0], batch.names, strict=True):
            shape = SHAPES[int(name.split()[1])]
            known = np.argwhere(image.numpy() > 0)
            places = np.stack(np.unravel_index(image.numpy()[image.numpy() > 0].astype(int) - 1, shape), 1)
            for axis in range(3):  # along an axis, all places go up with the patch, or all go down
                steps = (
                    np.unique(places[:, axis] - known[:, axis]),
                    np.unique(places[:, axis] + known[:, axis]),
                )
                assert 1 in (len(steps[0]), len(steps[1]))
                flips += len(steps[0]) > 1
    assert (flips > 0) == (kind == "flips")


def test_a_core_lies_in_the_centre_of_a_box_and_is_the_same_as_in_another(params: Path) -> None:
    changes = {"core": 8, "patches_per_volume": 4, "augmentation": "flips"}
    thick = batches.batches(volumes(THICK, 8), protocol_of(params, THICK, **changes), 1)
    alone = batches.batches(volumes(8, 8), protocol_of(params, 8, **changes), 1)
    for ours, plain in zip(thick, alone, strict=True):
        assert ours.images.shape[2:] == (16, 16, 8)
        assert torch.equal(ours.supervised(ours.images), plain.images)
        assert torch.equal(ours.labels, plain.labels)


def test_the_corner_of_a_core_is_flipped_with_its_box() -> None:
    patch = torch.zeros(16, 12, 8, dtype=torch.uint8)
    patch[3:7, 5:9, 1:5] = 1
    for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
        change = augmentation.Change(axes, 1.0, 0.0)
        _, flipped = augmentation.apply(patch[None].float(), patch, change)
        corner = augmentation.flipped(np.array([3, 5, 1]), 4, Edges(16, 12, 8), change)
        assert corner.tolist() == np.argwhere(flipped.numpy()).min(axis=0).tolist()


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
def test_a_network_of_boxes_is_trained_and_records_their_foreground_ratio(params: Path, model: str) -> None:
    size = Edges(16, 16, 32) if model == "unetr" else THICK
    document = Document.read(params)
    network = factory.build(document, model, size, seed=1)
    plan = replace(protocol_of(params, size, patches_per_volume=2, validate_every_epochs=1), epochs=1)
    data = volumes(size)
    (epoch,) = loop.train(network, data, data[:1], plan)
    counts = [ratio * voxels(size) for _, ratio in epoch.foreground_ratios]
    assert len(counts) == 2 * len(data)
    assert counts == pytest.approx(np.round(counts))
    assert max(counts) > 0
    assert epoch.validation_dice is not None


def test_a_cell_of_boxes_has_their_text_in_its_key() -> None:
    cell = Cell.from_key("spheres-unet-32x32x16-2")
    assert cell.patch_size == Edges(32, 32, 16)
    assert cell.key == "spheres-unet-32x32x16-2"
    assert cell.item["patch_size"] == "32x32x16"
