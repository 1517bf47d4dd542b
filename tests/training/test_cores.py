"""Patches with a supervised core: which voxels are drawn, and which outputs the loss is computed on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.networks import factory
from context_fbr.training import batches, loop, sampling
from context_fbr.training.batches import Patches, Protocol, Volume
from context_fbr.training.recipe.loss import loss

CPU = torch.device("cpu")
SHAPES = ((24, 24, 24), (24, 21, 30), (24, 24, 24), (11, 24, 17))


def protocol_of(params: Path, patch_size: int, **changes: Any) -> Protocol:
    torch.set_num_threads(1)
    document = Document.read(params)
    settings = document.section(("train",), Training).model_copy(update=changes)
    return Protocol(settings, document.section(("sliding_window",), SlidingWindow), 2, patch_size, 1)


def volumes(patch_size: int, core: int | None, shapes: Any = SHAPES) -> list[Volume]:
    generator = np.random.default_rng(3)
    made = []
    for index, shape in enumerate(shapes):
        image = generator.random(shape, dtype=np.float32) + 0.1
        label = np.zeros(image.shape, np.uint8)
        label[2:7, 3:9, 5 : 8 + index] = 1
        made.append(batches.load_volume(f"case {index}", image, label, CPU, patch_size, 0.0, core))
    return made


def inputs_in_cores(batch: Patches) -> torch.Tensor:
    return batch.supervised(batch.images)


@pytest.mark.parametrize("augmentation", ["none", "flips_intensity"])
@pytest.mark.parametrize("centres", [None, ("foreground", "background", "anywhere")])
def test_the_supervised_voxels_of_a_core_are_the_same_arrays_at_every_patch_size(
    params: Path, augmentation: str, centres: Any
) -> None:
    """Image and label in the cores, volumes that are smaller than the patch included."""
    changes = {"augmentation": augmentation, "patches_per_volume": 5, "centres": centres}
    expected = [
        batch
        for epoch in (1, 2)
        for batch in batches.batches(volumes(8, 8), protocol_of(params, 8, **changes), epoch)
    ]
    assert all(batch.cores is None for batch in expected)
    assert {tuple(batch.labels.shape[2:]) for batch in expected} == {(8, 8, 8)}
    for patch_size in (8, 9, 16, 24, 32):
        plan = protocol_of(params, patch_size, core=8, **changes)
        found = [batch for epoch in (1, 2) for batch in batches.batches(volumes(patch_size, 8), plan, epoch)]
        for ours, plain in zip(found, expected, strict=True):
            assert ours.names == plain.names
            assert torch.equal(ours.labels, plain.labels)
            assert torch.equal(inputs_in_cores(ours), plain.images)
            assert set(ours.images.shape[2:]) == {patch_size}


def test_a_core_as_large_as_the_patch_gives_the_published_batches(params: Path) -> None:
    published = [*batches.batches(volumes(16, None), protocol_of(params, 16), 1)]
    cores = [*batches.batches(volumes(16, 16), protocol_of(params, 16, core=16), 1)]
    for ours, plain in zip(cores, published, strict=True):
        assert (ours.cores, ours.names, ours.copies) == (None, plain.names, plain.copies)
        assert torch.equal(ours.images, plain.images)
        assert torch.equal(ours.labels, plain.labels)


def test_the_patch_is_around_the_core_or_ends_with_the_volume(params: Path) -> None:
    """Against a loop over axes; a core at the border is off the middle, and nothing is padded."""
    (volume,) = volumes(16, 6, ((24, 24, 24),))
    plan = protocol_of(params, 16, core=6, patches_per_volume=200, batch_volumes=1)
    (batch,) = batches.batches([volume], plan, 1)
    corners = sampling.core_corners(volume.where, 6, 200, 0.5, plan.seed, 1)
    assert batch.cores is not None
    borders = 0
    for (_, place), image, corner in zip(batch.cores, batch.images, corners, strict=True):
        lowest = [max(0, min(int(start) - 5, 24 - 16)) for start in corner]
        x, y, z = (slice(start, start + 16) for start in lowest)
        assert torch.equal(image[0], volume.image[0, x, y, z])
        assert [axis.start for axis in place] == [int(s) - low for s, low in zip(corner, lowest, strict=True)]
        borders += any(axis.start != 5 for axis in place)
    assert [number for number, _ in batch.cores] == [*range(200)]
    assert 0 < borders < 200


def test_cores_that_share_a_window_are_cut_from_one_pass_of_it(params: Path) -> None:
    """Where the patch is the volume, with the same loss and gradients as a pass for each core."""
    plan = protocol_of(params, 16, core=6, patches_per_volume=4)
    data = volumes(16, 6, ((16, 16, 16), (16, 16, 16)))
    (shared,), (plain,) = (list(batches.batches(data, plan, 1, merged=merged)) for merged in (True, False))
    assert (len(shared.images), len(plain.images), len(shared.labels)) == (2, 8, 8)
    assert shared.names == plain.names
    assert torch.equal(shared.labels, plain.labels)
    assert torch.equal(inputs_in_cores(shared), inputs_in_cores(plain))
    gradients = []
    for batch in (shared, plain):
        network = factory.build(Document.read(params), "unet", 16, 1).double().train()
        outputs = batch.supervised(network(batch.images.double()))
        loss("dice_ce", "batch", batch.copies)(outputs, batch.labels).backward()
        gradients.append([weight.grad for weight in network.parameters()])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_augmented_patches_are_not_shared(params: Path) -> None:
    plan = protocol_of(params, 16, core=6, patches_per_volume=4, augmentation="flips")
    (batch,) = batches.batches(volumes(16, 6, ((16, 16, 16), (16, 16, 16))), plan, 1)
    assert len(batch.images) == len(batch.labels) == 8


def test_the_loss_does_not_depend_on_outputs_outside_of_the_cores(params: Path) -> None:
    plan = protocol_of(params, 16, core=6, patches_per_volume=3)
    batch = next(iter(batches.batches(volumes(16, 6, ((24, 24, 24), (24, 24, 24))), plan, 1)))
    outputs = torch.zeros((len(batch.images), 2, 16, 16, 16), requires_grad=True)
    batch.supervised(outputs).sum().backward()
    assert outputs.grad is not None
    counts = outputs.grad.sum(dim=(2, 3, 4))
    assert torch.equal(counts, torch.full_like(counts, 6**3))


def test_recorded_ratios_are_those_of_the_cores(params: Path) -> None:
    plan = replace(protocol_of(params, 16, core=6, patches_per_volume=3), epochs=1)
    data = volumes(16, 6, ((24, 24, 24), (24, 24, 24)))
    network = factory.build(Document.read(params), "unet", 16, 1)
    (epoch,) = loop.train(network, data, data, replace(plan, settings=every_epoch(plan.settings)))
    expected = [
        (name, float(label.float().mean()))
        for batch in batches.batches(data, plan, 1)
        for name, label in zip(batch.names, batch.labels, strict=True)
    ]
    assert [name for name, _ in epoch.foreground_ratios] == [name for name, _ in expected]
    assert [ratio for _, ratio in epoch.foreground_ratios] == pytest.approx([r for _, r in expected])
    assert len({ratio for _, ratio in epoch.foreground_ratios}) > 2


def every_epoch(settings: Training) -> Training:
    return settings.model_copy(update={"validate_every_epochs": 1})


def test_kinds_of_centres_take_turns_within_a_volume_and_from_epoch_to_epoch() -> None:
    label = np.zeros((6, 6, 6), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    image = np.where(label > 0, 1.0, 0.0)
    image[4, 4, 4:] = 0.5
    where = sampling.candidates("a", image, label)
    kinds: list[str] = []
    for epoch in (1, 2, 3, 4):
        for corner in sampling.core_corners(where, 1, 2, ("foreground", "background", "anywhere"), 1, epoch):
            flat = int(np.ravel_multi_index(corner, where.shape))
            kinds.append("f" if flat in where.foreground else "b" if flat in where.background else "-")
    for number, kind in enumerate(kinds):
        if number % 3 < 2:
            assert kind == "fb"[number % 3]
    assert "-" in kinds[2::3]


def test_anywhere_is_uniform_over_the_volume() -> None:
    image, label = np.ones((3, 4, 5)), np.zeros((3, 4, 5), np.uint8)
    where = sampling.candidates("a", image, label)
    corners = sampling.core_corners(where, 1, 12000, ("anywhere",), 1, 1)
    counts = np.bincount(np.ravel_multi_index(tuple(corners.T), where.shape), minlength=60)
    assert counts.min() > 0
    assert ((counts - 200) ** 2 / 200).sum() < 100  # chi-squared of 59 degrees: 99.9 % is 98.3


def test_kinds_in_turn_draw_the_same_voxels_as_the_probability_would_of_its_kind() -> None:
    """A volume without one kind gives the other, as with the probability."""
    image, label = np.ones((4, 4, 4)), np.ones((4, 4, 4), np.uint8)
    where = sampling.candidates("a", image, label)
    corners = sampling.core_corners(where, 2, 30, ("background",), 1, 1)
    assert corners.shape == (30, 3)
    assert corners.max() <= 2
