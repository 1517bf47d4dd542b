"""The training loop against a plain one, and what makes it repeatable."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from context_fbr import networks, sampling, trainer
from context_fbr.cells import Cell
from context_fbr.errors import UserError
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.train import follow
from context_fbr.trainer import Protocol, Volume

MODELS = ["unet", "attention_unet", "unetr"]


@pytest.fixture
def document(params: Path) -> Document:
    torch.set_num_threads(1)
    return Document.read(params)


@pytest.fixture
def volumes() -> list[Volume]:
    generator = np.random.default_rng(3)
    made = []
    for index in range(4):
        image = generator.random((24, 24, 24), dtype=np.float32)
        label = np.zeros(image.shape, np.uint8)
        label[5:15, 4 + index : 14, 6:16] = 1
        image[label > 0] += 0.5
        made.append(trainer.load_volume(f"case {index}", image, label, torch.device("cpu")))
    return made


def protocol(document: Document, epochs: int = 3, seed: int = 1, every: int = 1) -> Protocol:
    settings = document.section(("train",), Training).model_copy(update={"validate_every_epochs": every})
    return Protocol(settings, document.section(("sliding_window",), SlidingWindow), epochs, 16, seed)


@pytest.mark.parametrize("model", MODELS)
def test_the_loss_of_the_first_steps_is_that_of_a_plain_monai_loop(
    document: Document, volumes: list[Volume], model: str
) -> None:
    """One epoch of two steps, then two more with the cosine's next rate; float32 in another memory order."""
    plan = protocol(document)
    ours = list(trainer.train(networks.build(document, model, 16, 1), volumes, volumes[:1], plan))

    network = networks.build(document, model, 16, 1).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.settings.learning_rate)
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    for epoch in ours[:2]:
        progress = (epoch.number - 1) / plan.epochs
        low, high = plan.settings.final_learning_rate, plan.settings.learning_rate
        rate = low + (high - low) * (1 + np.cos(np.pi * progress)) / 2
        assert epoch.learning_rate == pytest.approx(rate, rel=1e-9)
        optimizer.param_groups[0]["lr"] = rate
        losses = []
        for batch in trainer.batches(volumes, plan, epoch.number):
            optimizer.zero_grad()
            loss = loss_function(network(batch.images.contiguous()), batch.labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert len(losses) == 2
        assert epoch.loss == pytest.approx(np.mean(losses), abs=1e-3 if epoch.number > 1 else 2e-4)


@pytest.mark.parametrize("model", MODELS)
def test_two_trainings_have_the_same_bits_and_leave_the_global_generator_alone(
    document: Document, volumes: list[Volume], model: str
) -> None:
    state = torch.random.get_rng_state()
    runs = [
        list(
            trainer.train(networks.build(document, model, 16, 1), volumes, volumes[:1], protocol(document, 2))
        )
        for _ in range(2)
    ]
    assert torch.equal(state, torch.random.get_rng_state())
    for first, second in zip(*runs, strict=True):
        assert (first.loss, first.validation_dice) == (second.loss, second.validation_dice)
        assert first.foreground_ratios == second.foreground_ratios
        assert (first.weights is None) == (second.weights is None)
        if first.weights and second.weights:
            assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)


def test_dropout_is_a_function_of_seed_and_epoch(document: Document, volumes: list[Volume]) -> None:
    def losses() -> list[float]:
        network = torch.nn.Sequential(networks.build(document, "unet", 16, 1), torch.nn.Dropout(0.5))
        return [e.loss for e in trainer.train(network, volumes, volumes[:1], protocol(document, 2))]

    torch.manual_seed(1)
    first = losses()
    torch.manual_seed(2)
    assert losses() == first


def test_every_patch_s_foreground_ratio_is_kept(document: Document, volumes: list[Volume]) -> None:
    plan = protocol(document, epochs=2)
    for epoch in trainer.train(networks.build(document, "unet", 16, 1), volumes, volumes[:1], plan):
        expected = [
            (name, float(label.float().mean()))
            for batch in trainer.batches(volumes, plan, epoch.number)
            for name, label in zip(batch.names, batch.labels, strict=True)
        ]
        assert list(epoch.foreground_ratios) == expected
        assert len(expected) == 4 * plan.settings.patches_per_volume


def test_the_best_validated_epoch_s_weights_are_handed_out(document: Document, volumes: list[Volume]) -> None:
    plan = protocol(document, epochs=5, every=2)
    network = networks.build(document, "unet", 16, 1)
    best = -1.0
    for epoch in trainer.train(network, volumes, volumes[:2], plan):
        assert (epoch.validation_dice is not None) == (epoch.number in (2, 4, 5))
        better = epoch.validation_dice is not None and epoch.validation_dice > best
        assert (epoch.weights is not None) == better
        if better:
            best = epoch.validation_dice
            copy = networks.build(document, "unet", 16, 2)
            copy.load_state_dict(epoch.weights)
            copy.to(memory_format=torch.channels_last_3d)
            assert trainer.validate(copy, volumes[:2], plan) == best


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_cases(
    document: Document, volumes: list[Volume]
) -> None:
    volumes[2].image[:] = float("nan")
    with pytest.raises(
        UserError, match=r"epoch 1, step \d: the loss is nan on cases \[.*case 2.*lower train"
    ):
        list(trainer.train(networks.build(document, "unet", 16, 1), volumes, volumes[:1], protocol(document)))


def test_validation_without_any_foreground_is_refused(document: Document, volumes: list[Volume]) -> None:
    volumes[0].label[:] = 0
    with pytest.raises(UserError, match="no validation volume has foreground"):
        trainer.validate(networks.build(document, "unet", 16, 1), volumes[:1], protocol(document))


def test_a_batch_that_is_too_small_for_a_norm_names_the_parameter(
    document: Document, volumes: list[Volume]
) -> None:
    plan = protocol(document)
    settings = plan.settings.model_copy(update={"batch_volumes": 1, "patches_per_volume": 1})
    plan = Protocol(settings, plan.window, plan.epochs, 8, plan.seed)
    with pytest.raises(UserError, match=r"batch of shape \(1, 1, 8, 8, 8\).*train.patches_per_volume"):
        list(trainer.train(networks.build(document, "unet", 8, 1), volumes, volumes[:1], plan))


def test_superseded_weights_are_not_kept(document: Document, volumes: list[Volume]) -> None:
    network = networks.build(document, "unet", 16, 1)
    history = follow(
        Cell("spheres", "unet", 16, 1), trainer.train(network, volumes, volumes[:2], protocol(document, 6)), 6
    )
    kept = [epoch for epoch in history if epoch.weights is not None]
    assert len(kept) == 1
    assert kept[0].validation_dice == max(epoch.validation_dice for epoch in history)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_patches_are_those_of_the_sampler_with_the_study_s_settings(
    document: Document, volumes: list[Volume], probability: float
) -> None:
    plan = protocol(document)
    settings = plan.settings.model_copy(
        update={"foreground_patch_probability": probability, "patches_per_volume": 5, "batch_volumes": 3}
    )
    plan = Protocol(settings, plan.window, plan.epochs, 4, plan.seed)
    found = list(trainer.batches(volumes, plan, epoch=7))
    assert [len(batch.names) for batch in found] == [15, 5]
    by_name = {volume.where.name: volume for volume in volumes}
    patches = ((n, i, t) for b in found for n, i, t in zip(b.names, b.images, b.labels, strict=True))
    for name in dict.fromkeys(name for batch in found for name in batch.names):
        volume = by_name[name]
        for x, y, z in sampling.patch_corners(volume.where, 4, 5, probability, plan.seed, 7):
            drawn, image, label = next(patches)
            assert drawn == name
            assert torch.equal(image[0], volume.image[x : x + 4, y : y + 4, z : z + 4])
            assert torch.equal(label[0], volume.label[x : x + 4, y : y + 4, z : z + 4])


@pytest.mark.parametrize("model", MODELS)
def test_a_training_that_goes_on_from_a_saved_state_ends_with_the_same_bits(
    document: Document, volumes: list[Volume], model: str, tmp_path: Path
) -> None:
    plan = protocol(document, epochs=4, every=2)
    through = list(trainer.train(networks.build(document, model, 16, 1), volumes, volumes[:1], plan))
    for epoch in trainer.train(networks.build(document, model, 16, 1), volumes, volumes[:1], plan):
        if epoch.number == 3:
            torch.save(dict(vars(epoch.state())), tmp_path / "state.pt")
            break
    state = trainer.State(**torch.load(tmp_path / "state.pt", weights_only=True))
    rest = list(trainer.train(networks.build(document, model, 16, 2), volumes, volumes[:1], plan, state))
    assert [epoch.number for epoch in rest] == [4]
    for name in ("learning_rate", "loss", "validation_dice", "foreground_ratios"):
        assert getattr(rest[0], name) == getattr(through[3], name)
    assert (rest[0].weights is None) == (through[3].weights is None)  # the best so far is part of the state
    last, again = through[3].state(), rest[0].state()
    for key, tensor in last.network.items():
        assert torch.equal(tensor, again.network[key])
