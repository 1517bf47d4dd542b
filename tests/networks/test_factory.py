from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from workspace import ROOT

from context_fbr.config.document import Document
from context_fbr.config.training import Model
from context_fbr.core.errors import UserError
from context_fbr.networks import convolutions, factory, passing

Change = Callable[[str, str], Document]


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone(
    params: Path, model: str
) -> None:
    document = Document.read(params)
    state = torch.random.get_rng_state()
    first, second, other = (factory.build(document, model, 16, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert all(tensor.device.type == "cpu" for tensor in first.values())


def test_the_paper_s_networks_have_the_published_shape(params: Path) -> None:
    """Parameter counts of the published configurations, from MONAI's own constructors."""
    from monai.networks.nets import UNETR, AttentionUnet, UNet

    from context_fbr.config import profiles

    profiles.apply_overlay(ROOT / "profiles" / "paper.yaml", params)
    document = Document.read(params)
    channels, strides = (16, 32, 64, 128, 256), (2, 2, 2, 2)
    theirs = {
        "unet": UNet(3, 1, 2, channels, strides, num_res_units=2, norm="batch"),
        "attention_unet": AttentionUnet(3, 1, 2, channels, strides),
        "unetr": UNETR(1, 2, (32, 32, 32), 16, 768, 3072, 12, "perceptron", "instance", res_block=True),
    }
    for model, network in theirs.items():
        ours = factory.build(document, model, 32, seed=1)
        assert str(ours) == str(convolutions.guard(network))


@pytest.mark.parametrize(
    "block",
    [
        "{network: BasicUNet, features: [4, 4, 8, 8, 16, 4]}",
        "{network: SegResNet, init_filters: 8}",
        "{network: SwinUNETR, feature_size: 12, patch_size: 2}",  # reads numbers while it is built
        "{network: DynUNet, kernel_size: [3, 3, 3], strides: [1, 2, 2], upsample_kernel_size: [2, 2]}",
    ],
)
def test_any_class_of_monai_works_by_name(change: Change, block: str) -> None:
    document = change("  unetr:\n", f"  other: {block}\n  unetr:\n")
    network = factory.build(document, "other", 64, seed=1).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 64, 64)).shape == (1, 2, 64, 64, 64)


@pytest.mark.parametrize(
    ("before", "after", "patch_size", "expected"),
    [
        (
            "network: UNet\n",
            "network: UNett\n",
            16,
            r"yaml:\d+: models\.unet\.network: .*did you mean UNet",
        ),
        (
            "num_res_units: 2\n    norm: batch",
            "num_res_units: 2\n    nrm: batch",
            16,
            r"yaml:\d+: models\.unet\.nrm: .*did you mean norm\?.*num_res_units",
        ),
        ("    num_res_units: 2\n", "    in_channels: 2\n", 16, r"models\.unet\.in_channels: is filled in"),
        ("    num_res_units: 2\n", "    num_res_units: many\n", 16, "takes no other size either"),
        (
            "num_res_units: 2",
            "num_res_units: 2",
            20,
            "models.unet: UNet cannot take a patch of 20 .* 8, 16, 24, 32",
        ),
        ("network: UNet\n", "network: DiNTS\n", 16, "DiNTS needs the argument dints_space"),
        ("network: UNet\n", "network: VNet\n", 16, "VNet has no such argument"),
    ],
)
def test_a_wrong_network_is_named_with_what_is_accepted(
    change: Change, before: str, after: str, patch_size: int, expected: str
) -> None:
    document = change(before, after)
    with pytest.raises(UserError, match=expected):
        factory.build(document, "unet", patch_size, seed=1)


LOADING = pytest.mark.parametrize(
    ("block", "key", "argument"),
    [
        pytest.param(
            "{network: HoVerNet, mode: fast, pretrained_url: http://localhost:9/w}",
            "models.other.pretrained_url",
            "pretrained_url",
            id="A10 a url",
        ),
        pytest.param(
            "{network: DenseNet121, pretrained: true}",
            "models.other.pretrained",
            "pretrained",
            id="A10 true",
        ),
        pytest.param(
            "{network: TorchVisionFCModel, weights: DEFAULT}",
            "models.other.weights",
            "weights",
            id="A10 another library's",
        ),
        pytest.param(
            "{network: EfficientNetBN, model_name: efficientnet-b0}",
            "models.other",
            "pretrained",
            id="A10 by default",
        ),
        pytest.param(
            "{network: Transchex, num_language_layers: 1, num_vision_layers: 1, num_mixed_layers: 1}",
            "models.other",
            "path_or_repo_id",
            id="A10 by default, from a hub",
        ),
    ],
)


@LOADING
def test_a_network_that_would_load_weights_is_refused_before_it_is_built(
    change: Change, monkeypatch: pytest.MonkeyPatch, block: str, key: str, argument: str
) -> None:
    document = change("  unetr:\n", f"  other: {block}\n  unetr:\n")
    monkeypatch.setattr(factory, "_construct", None)
    monkeypatch.setattr(passing, "failure", None)
    for use in (factory.check, lambda *place: factory.rebuild(*place, seed=1)):
        with pytest.raises(UserError) as refused:
            use(document, "other", 16)
        problem, *_ = [problem for problem in refused.value.problems if "loads weights" in problem]
        line = document.line(("models", "other"))
        assert problem.startswith(f"{document.path}:{line}: {key}: ")
        assert f"with {argument}, " in problem


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("{network: DenseNet121, pretrained: false}", id="false"),
        pytest.param("{network: HoVerNet, mode: fast, pretrained_url: null}", id="null"),
        pytest.param("{network: SwinUNETR, feature_size: 12, dropout_path_rate: 0.1}", id="a rate"),
    ],
)
def test_an_argument_that_loads_nothing_is_accepted(change: Change, block: str) -> None:
    document = change("  unetr:\n", f"  other: {block}\n  unetr:\n")
    spec = document.section(("models", "other"), Model)
    assert factory._constructor(document, "other", spec).__name__ == spec.network


def test_a_network_that_returns_no_single_tensor_of_the_patch_s_shape_is_refused(change: Change) -> None:
    """The classifier returns (batch, classes): no segmentation."""
    document = change(
        "  unetr:\n",
        "  vit: {network: DenseNet, init_features: 4, growth_rate: 2, block_config: [1, 1]}\n  unetr:\n",
    )
    with pytest.raises(UserError, match=r"returns the shape \(1, 2\)"):
        factory.build(document, "vit", 32, seed=1)
