"""Images with several channels: preparation, patches and inference against the same channels alone."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.config.training import SlidingWindow
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.core.padding import padded
from context_fbr.datasets.checks import image_problems
from context_fbr.datasets.dataset_json import Description
from context_fbr.datasets.volume_facts import Facts, inspect
from context_fbr.networks import factory, windows
from context_fbr.networks.sliding_window import sliding_window
from context_fbr.preprocessing.recipe import Recipe, from_json
from context_fbr.preprocessing.transforms import prepare_image
from context_fbr.training import batches, sampling
from context_fbr.training.recipe import augmentation
from context_fbr.training.recipe.augmentation import Change

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
WINDOW = SlidingWindow(overlap=0.25, voxels_per_batch=8192, precision="float32")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A scan of two channels, the second of another gain, with zeros outside of a box of its own."""
    generator = np.random.default_rng(1)
    voxels = np.zeros((12, 11, 10, 2), np.float32)
    voxels[2:9, 1:10, 3:8, 0] = generator.uniform(10, 30, (7, 9, 5))
    voxels[4:11, 2:9, 2:9, 1] = generator.uniform(100, 900, (7, 7, 7))
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)
    return path


@pytest.mark.parametrize("spacing", [None, (1.2, 1.2, 1.5)])
def test_each_channel_is_prepared_as_alone_in_the_box_of_all(scan: Path, spacing: object) -> None:
    settings = Preparation(z_score=True, crop=True, spacing_mm=spacing)
    image = nifti.read(scan, channels=True)

    voxels, where, backgrounds = prepare_image(image, scan, settings)

    assert where.box == ((2, 11), (1, 10), (2, 9))
    assert voxels.shape == (2, *where.shape)
    for number in range(2):
        alone = nifti.channel(image, number)
        inside = nibabel.Nifti1Image(alone.get_fdata(dtype=np.float32)[2:11, 1:10, 2:9], image.affine)
        own, _, background = prepare_image(inside, scan, settings.model_copy(update={"crop": False}))
        np.testing.assert_allclose(voxels[number], own, atol=1e-6)
        assert backgrounds[number] == background


def test_a_second_channel_is_read_where_it_is_asked_for_alone(scan: Path) -> None:
    assert nifti.read(scan, channels=True).shape == (12, 11, 10, 2)
    with pytest.raises(UserError, match="4 axes"):
        nifti.read(scan)
    facts = inspect(scan.parent, scan.name, is_label=False)
    assert isinstance(facts, Facts)
    assert (facts.shape, facts.channels) == ((12, 11, 10), 2)


@pytest.mark.parametrize(
    ("modalities", "wrong"), [(("T2", "ADC"), False), (("T2",), True), (("a", "b", "c"), True), ((), False)]
)
def test_the_number_of_channels_is_that_of_dataset_json(
    scan: Path, modalities: tuple[str, ...], wrong: bool
) -> None:
    facts = inspect(scan.parent, scan.name, is_label=False)
    assert isinstance(facts, Facts)
    found = [problem.kind for problem in image_problems(facts, Description("", modalities, (0, 1), (), ()))]
    assert found == (["channels"] if wrong else [])


def test_padding_and_candidates_go_by_the_background_of_each_channel() -> None:
    image = np.stack([np.full((3, 4, 5), -2.0, np.float32), np.full((3, 4, 5), 7.0, np.float32)])
    image[0, 1, 1, 1], image[1, 2, 2, 2] = -1.0, 8.0
    grown = padded(image, 6, (-2.0, 7.0))

    assert grown.shape == (2, 6, 6, 6)
    assert [set(np.unique(own)) for own in grown] == [{-2.0, -1.0}, {7.0, 8.0}]
    whole, nothing = sampling.above(grown, (-2.0, 7.0))
    assert np.argwhere(whole > nothing).tolist() == [[2, 2, 1], [3, 3, 2]]


def test_patches_hold_all_channels_of_the_same_place() -> None:
    generator = np.random.default_rng(3)
    image = generator.random((2, 9, 10, 11)).astype(np.float32)
    label = (generator.random((9, 10, 11)) < 0.1).astype(np.uint8)
    both = batches.load_volume("a", image, label, torch.device("cpu"), 4, (0.0, 0.0))
    first = batches.load_volume("a", image[0], label, torch.device("cpu"), 4, 0.0)

    assert torch.equal(both.image[:1], first.image)
    assert both.where.foreground.tolist() == first.where.foreground.tolist()
    change = Change((0, 2), 1.1, 0.2)
    changed, own = augmentation.apply(both.image, both.label, change)
    alone, same = augmentation.apply(both.image[1:], both.label, change)
    assert torch.equal(changed[1:], alone)
    assert torch.equal(own, same)
    assert torch.equal(own, both.label.flip([0, 2]))


class Second(torch.nn.Module):
    """Shows its second channel as the foreground."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image[:, :1], image[:, 1:]], dim=1)


def test_windows_hold_all_channels_and_margins_the_background_of_each() -> None:
    image = torch.randn((2, 7, 12, 9), generator=torch.Generator().manual_seed(1))

    found = sliding_window(Second(), image, 8, WINDOW, (-5.0, 5.0))

    assert torch.allclose(found, image, atol=1e-6)


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
def test_networks_take_channels_and_give_classes(model: str, params: Path) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1, classes=4, channels=3).eval()

    with torch.inference_mode():
        assert network(torch.zeros((2, 3, 16, 16, 16))).shape == (2, 4, 16, 16, 16)
    assert windows.failure_of(network, (16, 16, 16)) is None


def test_the_recipe_keeps_the_number_of_channels_and_is_written_as_before_with_one() -> None:
    one, three = (Recipe(Preparation(), ("MRI",), 0.0, channels) for channels in (1, 3))

    assert "channels" not in one.as_json()
    assert from_json(json.loads(json.dumps(three.as_json()))) == three
    with pytest.raises(ValueError, match="channels"):
        from_json({**three.as_json(), "channels": 0})
