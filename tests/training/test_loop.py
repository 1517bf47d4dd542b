"""The training loop against a plain one, and what makes it repeatable."""

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training, Window
from context_fbr.core.errors import UserError
from context_fbr.networks import factory
from context_fbr.networks.device import prepare_device
from context_fbr.networks.windows import Shape
from context_fbr.training import batches, loop, sampling, steps
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.cell import follow
from context_fbr.training.history import Epoch
from context_fbr.training.loop import TrainingState
from context_fbr.training.recipe import optimizer as optimizers
from context_fbr.training.steps import Step
from context_fbr.training.tracking import NullTracker

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
        made.append(batches.load_volume(f"case {index}", image, label, torch.device("cpu")))
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
    ours = list(loop.train(factory.build(document, model, 16, 1), volumes, volumes[:1], plan))

    network = factory.build(document, model, 16, 1).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.settings.learning_rate)
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    for epoch in ours[:2]:
        progress = (epoch.number - 1) / plan.epochs
        low, high = plan.settings.final_learning_rate, plan.settings.learning_rate
        rate = low + (high - low) * (1 + np.cos(np.pi * progress)) / 2
        assert epoch.learning_rate == pytest.approx(rate, rel=1e-9)
        optimizer.param_groups[0]["lr"] = rate
        losses = []
        for batch in batches.batches(volumes, plan, epoch.number):
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
        list(loop.train(factory.build(document, model, 16, 1), volumes, volumes[:1], protocol(document, 2)))
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
        network = torch.nn.Sequential(factory.build(document, "unet", 16, 1), torch.nn.Dropout(0.5))
        return [e.loss for e in loop.train(network, volumes, volumes[:1], protocol(document, 2))]

    torch.manual_seed(1)
    first = losses()
    torch.manual_seed(2)
    assert losses() == first


class Drawing(torch.nn.Module):
    """A network that draws a random number in each training step, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(1, 2, 1)
        self.drawn: list[float] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.drawn.append(torch.rand(1).item())
        return self.layer(images)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_random_numbers_of_a_step_are_named_by_seed_epoch_and_step(
    document: Document, volumes: list[Volume], seed: int
) -> None:
    """Three epochs of two steps: equal masks in every epoch would be another regularisation."""
    network = Drawing()
    list(loop.train(network, volumes, volumes[:1], protocol(document, 3, seed)))
    expected = []
    for epoch in (1, 2, 3):
        for step in (1, 2):
            generator = torch.Generator().manual_seed(zlib.crc32(f"dropout {seed} {epoch} {step}".encode()))
            expected.append(torch.rand(1, generator=generator).item())
    assert network.drawn == expected
    assert len(set(expected)) == 6


def test_every_patch_s_foreground_ratio_is_kept(document: Document, volumes: list[Volume]) -> None:
    plan = protocol(document, epochs=2)
    for epoch in loop.train(factory.build(document, "unet", 16, 1), volumes, volumes[:1], plan):
        expected = [
            (name, float(label.float().mean()))
            for batch in batches.batches(volumes, plan, epoch.number)
            for name, label in zip(batch.names, batch.labels, strict=True)
        ]
        assert list(epoch.foreground_ratios) == expected
        assert len(expected) == 4 * plan.settings.patches_per_volume


def test_the_best_validated_epoch_s_weights_are_handed_out(document: Document, volumes: list[Volume]) -> None:
    plan = protocol(document, epochs=5, every=2)
    network = factory.build(document, "unet", 16, 1)
    best = -1.0
    for epoch in loop.train(network, volumes, volumes[:2], plan):
        assert (epoch.validation_dice is not None) == (epoch.number in (2, 4, 5))
        better = epoch.validation_dice is not None and epoch.validation_dice > best
        assert (epoch.weights is not None) == better
        if better:
            best = epoch.validation_dice
            copy = factory.build(document, "unet", 16, 2)
            copy.load_state_dict(epoch.weights)
            copy.to(memory_format=torch.channels_last_3d)
            assert loop.validate(copy, volumes[:2], plan) == best


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_cases(
    document: Document, volumes: list[Volume]
) -> None:
    volumes[2].image[:] = float("nan")
    with pytest.raises(
        UserError, match=r"epoch 1, step \d: the loss is nan on cases \[.*case 2.*Lower train"
    ):
        list(loop.train(factory.build(document, "unet", 16, 1), volumes, volumes[:1], protocol(document)))


def test_validation_without_any_foreground_is_refused(document: Document, volumes: list[Volume]) -> None:
    volumes[0].label[:] = 0
    with pytest.raises(UserError, match="no validation volume has foreground"):
        loop.validate(factory.build(document, "unet", 16, 1), volumes[:1], protocol(document))


def test_a_batch_that_is_too_small_for_a_norm_names_the_parameter(
    document: Document, volumes: list[Volume]
) -> None:
    plan = protocol(document)
    settings = plan.settings.model_copy(update={"batch_volumes": 1, "patches_per_volume": 1})
    plan = Protocol(settings, plan.window, plan.epochs, 8, plan.seed)
    with pytest.raises(UserError, match=r"batch of shape \(1, 1, 8, 8, 8\).*train.patches_per_volume"):
        list(loop.train(factory.build(document, "unet", 8, 1), volumes, volumes[:1], plan))


def test_superseded_weights_are_not_kept(document: Document, volumes: list[Volume]) -> None:
    network = factory.build(document, "unet", 16, 1)
    epochs = loop.train(network, volumes, volumes[:2], protocol(document, 6))
    history: list[Epoch] = []
    follow(Cell("spheres", "unet", 16, 1), epochs, 6, history, NullTracker())
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
    found = list(batches.batches(volumes, plan, epoch=7))
    assert [len(batch.names) for batch in found] == [15, 5]
    by_name = {volume.where.name: volume for volume in volumes}
    cut = ((n, i, t) for b in found for n, i, t in zip(b.names, b.images, b.labels, strict=True))
    for name in dict.fromkeys(name for batch in found for name in batch.names):
        volume = by_name[name]
        for x, y, z in sampling.core_corners(volume.where, 4, 5, probability, plan.seed, 7):
            drawn, image, label = next(cut)
            assert drawn == name
            assert torch.equal(image[0], volume.image[0, x : x + 4, y : y + 4, z : z + 4])
            assert torch.equal(label[0], volume.label[x : x + 4, y : y + 4, z : z + 4])


@pytest.mark.parametrize(
    "model", [model if model == "unet" else pytest.param(model, marks=pytest.mark.slow) for model in MODELS]
)
def test_a_training_that_continues_from_any_of_its_pauses_ends_with_the_same_bits(
    document: Document, volumes: list[Volume], model: str
) -> None:
    """Pauses: before the first step, after each of two steps, after each of two validated volumes."""
    plan, saved = protocol(document, epochs=3, every=2), list[bytes]()
    whole = factory.build(document, model, 16, 1)
    through = list(loop.train(whole, volumes, volumes[:2], plan))

    def keep(state: Callable[[], TrainingState]) -> None:
        now, to = state(), io.BytesIO()
        torch.save({**vars(now), "steps": [tuple(vars(step).values()) for step in now.steps]}, to)
        saved.append(to.getvalue())

    list(loop.train(factory.build(document, model, 16, 1), volumes, volumes[:2], plan, None, keep))
    assert len(saved) == 3 * 3 + 2 * 2
    for pause in range(len(saved)) if model == "unet" else (5, 7):
        content = torch.load(io.BytesIO(saved[pause]), weights_only=True)
        state = TrainingState(**{**content, "steps": tuple(Step(*step) for step in content["steps"])})
        again = factory.build(document, model, 16, 2)
        history = through[: state.epoch - 1] + list(loop.train(again, volumes, volumes[:2], plan, state))
        assert [epoch.number for epoch in history] == [1, 2, 3]
        for ours, theirs in zip(history, through, strict=True):
            for name in ("learning_rate", "loss", "validation_dice", "foreground_ratios"):
                assert getattr(ours, name) == getattr(theirs, name)
            assert (ours.weights is None) == (theirs.weights is None)
        for (key, tensor), other in zip(again.state_dict().items(), whole.state_dict().values(), strict=True):
            assert torch.equal(tensor, other), (pause, key)


def test_the_learning_rates_are_pytorch_s_cosine(document: Document) -> None:
    settings = protocol(document).settings
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, settings.final_learning_rate)
    for rate in optimizers.learning_rates(settings, 50):
        assert rate == optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


def poisoned(document: Document, bad: int) -> torch.nn.Module:
    """A network whose gradient, not whose loss, is infinite in its n-th step, from 1."""
    network = factory.build(document, "unet", 16, 1)
    calls = 0

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return gradient * float("inf") if calls == bad else gradient

    next(network.parameters()).register_hook(poison)
    return network


def test_a_gradient_that_is_not_finite_stops_before_it_can_be_saved(
    document: Document, volumes: list[Volume]
) -> None:
    """The state of a step whose weights are spoilt cannot be had; the one before it can."""
    states: list[TrainingState] = []
    with pytest.raises(UserError) as stopped:
        list(
            loop.train(
                poisoned(document, 3), volumes, volumes[:1], protocol(document), None,
                lambda state: states.append(state()),
            )
        )  # fmt: skip
    assert "epoch 2, step 1: the gradient's norm is inf at a loss of 0." in str(stopped.value)
    assert "mean losses of the epochs before: 0." in str(stopped.value)
    assert "train.on_nonfinite: skip" in str(stopped.value)
    assert (states[-1].epoch, states[-1].steps) == (2, ())


def test_a_step_with_bad_numbers_can_be_skipped_and_counted_as_if_it_never_was(
    document: Document, volumes: list[Volume]
) -> None:
    """Means of the batch norm included: the weights after it are those before it."""
    plan = protocol(document)
    plan = replace(plan, settings=plan.settings.model_copy(update={"on_nonfinite": "skip"}))
    before: list[dict[str, torch.Tensor]] = []
    network = poisoned(document, 3)
    begun, after_the_step = 4, 5  # pauses of an epoch: begin, step, step, validated volume

    def remember(_: Callable[[], TrainingState]) -> None:
        before.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    history = list(loop.train(network, volumes, volumes[:1], plan, None, remember))
    assert [epoch.skipped_steps for epoch in history] == [0, 1, 0]
    assert all(np.isfinite(epoch.loss) for epoch in history)
    for name, tensor in before[after_the_step].items():
        assert torch.equal(tensor, before[begun][name]), name
    for volume in volumes:
        volume.image[:] = float("nan")
    with pytest.raises(UserError, match="epoch 1: all 2 steps were skipped"):
        list(loop.train(factory.build(document, "unet", 16, 1), volumes, volumes[:1], plan))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("model", MODELS)
def test_on_a_gpu_two_trainings_have_the_same_bits(
    document: Document, volumes: list[Volume], model: str
) -> None:
    """What the documentation promises there, with the settings of `prepare_device`."""
    device = prepare_device(1)
    there = [replace(v, image=v.image.to(device), label=v.label.to(device)) for v in volumes]
    runs = []
    for _ in range(2):
        network = factory.build(document, model, 16, 1).to(device)
        list(loop.train(network, there, there[:1], protocol(document, 3)))
        runs.append({name: tensor.cpu() for name, tensor in network.state_dict().items()})
    assert all(torch.equal(tensor, runs[1][name]) for name, tensor in runs[0].items())


@pytest.mark.parametrize("model", ["unet", *(pytest.param(m, marks=pytest.mark.slow) for m in MODELS[1:])])
def test_a_training_in_bf16_follows_that_in_float32_and_has_the_same_bits_twice(
    document: Document, volumes: list[Volume], model: str
) -> None:
    plan = protocol(document, epochs=2, every=2)
    low = replace(plan, settings=plan.settings.model_copy(update={"precision": "bf16"}))
    losses = {}
    for name, own in (("float32", plan), ("bf16", low), ("again", low)):
        network = factory.build(document, model, 16, 1)
        losses[name] = [epoch.loss for epoch in loop.train(network, volumes, volumes[:1], own)]
    assert losses["bf16"] == losses["again"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], abs=0.01)


def step(
    loss: float, norm: float = 1.0, cases: tuple[str, ...] = ("b", "a", "b"), skipped: bool = False
) -> Step:
    return Step(cases, (1,) * len(cases), loss, norm, skipped)


def test_numbers_of_steps_are_read_in_their_order_also_where_the_last_batch_is_smaller() -> None:
    labels = torch.zeros((3, 1, 2, 2, 2), dtype=torch.uint8)
    labels[0] = 1
    labels[2, 0, 0, 1] = 1
    on_device = [
        steps.PendingStep.of(("a", "b", "c"), labels, torch.tensor(0.5), torch.tensor(2.0), False),
        steps.PendingStep.of(("d",), labels[2:], torch.tensor(0.25), torch.tensor(4.0), True),
    ]
    assert steps.read(on_device) == [
        Step(("a", "b", "c"), (8, 0, 2), 0.5, 2.0, False), Step(("d",), (2,), 0.25, 4.0, True),
    ]  # fmt: skip
    assert steps.read([]) == []
    many = torch.ones((1, 1, 8, 8, 8), dtype=torch.uint8)  # 512 voxels are more than a uint8 can count
    assert steps.PendingStep.of(
        ("a",), many, torch.zeros(()), torch.zeros(()), False
    ).foreground_voxels.tolist() == [512]


def test_the_norm_of_a_gradient_is_euclidean_over_all_weights_that_have_one() -> None:
    network = torch.nn.Sequential(
        torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(1, 1)
    )
    network[0].weight.grad = torch.tensor([[3.0], [0.0]])
    network[1].weight.grad = torch.tensor([[0.0, -4.0]])
    assert steps.gradient_norm(network).item() == 5.0


@pytest.mark.parametrize(
    ("loss", "norm", "finite"),
    [
        (0.5, 1.0, True),
        (np.nan, 1.0, False),
        (0.5, np.nan, False),
        (0.5, np.inf, False),
        (-np.inf, np.inf, False),
    ],
)
def test_a_step_is_finite_if_both_of_its_numbers_are(loss: float, norm: float, finite: bool) -> None:
    assert step(loss, norm).is_finite is finite


def test_the_first_bad_step_is_reported_with_the_eight_losses_before_it() -> None:
    good = [step(n / 10) for n in range(1, 11)]
    steps.check([], 1, [])
    steps.check(good, 1, [])
    steps.check([*good, step(np.nan, skipped=True)], 1, [])
    with pytest.raises(UserError) as stopped:
        steps.check(
            [*good, step(np.nan, skipped=True), step(np.inf), step(np.nan)], 3, [float(n) for n in range(12)]
        )
    text = str(stopped.value)
    assert text.startswith(
        "epoch 3, step 12: the loss is inf on cases ['a', 'b']; losses of the steps before it: "
    )
    assert (
        "before it: 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, nan; mean losses of the epochs before: 4, 5, 6, 7, 8, 9, 10, 11."
        in text
    )
    with pytest.raises(UserError) as stopped:
        steps.check([step(0.25, np.nan), step(np.nan)], 1, [])
    text = str(stopped.value)
    assert "epoch 1, step 1: the gradient's norm is nan at a loss of 0.25 on" in text
    assert "before it: none; mean losses of the epochs before: none." in text
    with pytest.raises(UserError, match=r"step 3: .* before it: 0\.1, 0\.2; .* before: 0\.5\."):
        steps.check([*good[:2], step(np.nan)], 2, [0.5])


def test_the_mean_loss_is_that_of_the_steps_that_were_not_skipped() -> None:
    assert steps.mean_loss([step(0.25), step(np.nan, skipped=True), step(0.75), step(0.5)], 1) == 0.5
    with pytest.raises(UserError, match="epoch 4: all 2 steps were skipped"):
        steps.mean_loss([step(np.nan, skipped=True)] * 2, 4)


def test_an_epoch_continues_after_the_batches_that_are_done(
    document: Document, volumes: list[Volume]
) -> None:
    plan = protocol(document)
    whole = list(batches.batches(volumes, plan, 2))
    order = sampling.epoch_order(plan.seed, 2, 4)
    names = [f"case {number}" for number in order for _ in range(plan.settings.patches_per_volume)]
    assert [name for batch in whole for name in batch.names] == names
    for done in range(4):
        rest = list(batches.batches(volumes, plan, 2, done))
        assert [batch.names for batch in rest] == [batch.names for batch in whole[done:]]
        for ours, theirs in zip(rest, whole[done:], strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
    assert [batch.names for batch in batches.batches(volumes, plan, 3)] != [batch.names for batch in whole]
    batch = whole[0]
    assert (batch.images.shape, batch.labels.shape) == ((4, 1, 16, 16, 16), (4, 1, 16, 16, 16))
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.uint8)
    assert batch.images.is_contiguous()


def test_a_volume_that_is_smaller_than_a_patch_is_padded_with_its_background() -> None:
    image, label = np.full((2, 4, 4), 3, np.float32), np.ones((2, 4, 4), np.uint8)
    volume = batches.load_volume("a", image, label, torch.device("cpu"), 4, -1.5)
    assert (volume.image.shape, volume.label.shape, volume.where.shape) == (
        (1, 4, 4, 4),
        (4, 4, 4),
        (4, 4, 4),
    )
    assert (volume.image[0, [0, 3]] == -1.5).all()
    assert (volume.image[0, 1:3] == 3).all()
    assert (int(volume.label.sum()), int(volume.label[1:3].sum())) == (32, 32)
    assert (volume.background, volume.where.name) == (-1.5, "a")
    assert (volume.where.foreground.size, volume.where.background.size) == (32, 0)
    plain = batches.load_volume("a", image, label, torch.device("cpu"))
    assert (plain.image.shape, plain.background) == ((1, 2, 4, 4), 0.0)
    thin = batches.load_volume("a", image[:1], label[:1], torch.device("meta"))
    assert (thin.image.shape, thin.label.shape) == ((1, 1, 4, 4), (1, 4, 4))
    assert thin.image.device.type == thin.label.device.type == "meta"


class Fixed(torch.nn.Module):
    """A network that finds foreground where the image is above 0.5; it learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        foreground = images - 0.5 + 0 * self.weight
        return torch.cat([-foreground, foreground], dim=1)


def test_validation_is_the_mean_dice_by_hand_and_pauses_after_each_volume(document: Document) -> None:
    """Dice 2/3, 0, 1, and one that is undefined."""
    volumes = []
    for predicted, true in ((4, 2), (0, 3), (5, 5), (1, 0)):
        image, label = np.zeros((16, 16, 16), np.float32), np.zeros((16, 16, 16), np.uint8)
        image[3, 3, :predicted] = 1
        label[3, 3, :true] = 1
        volume = batches.load_volume(f"{predicted}", image + 0.1, label, torch.device("cpu"))
        volumes.append(replace(volume, image=volume.image - 0.1))
    pauses: list[int] = []
    score = loop.validate(Fixed(), volumes, protocol(document), lambda: pauses.append(1))
    assert score == pytest.approx((2 / 3 + 0 + 1) / 3, abs=1e-12)
    assert len(pauses) == 4
    network = Fixed().train()
    loop.validate(network, volumes[:1], protocol(document))
    assert not network.training


class FixedSize(Fixed):
    """As UNETR: its class takes the size of its patch."""

    def __init__(self, img_size: int = 16) -> None:  # noqa: ARG002
        super().__init__()


@pytest.mark.parametrize(
    ("window", "expected"), [("patch", (16, 16, 16)), (20, (20, 20, 20)), ("volume", (24, 16, 9))]
)
def test_validation_has_a_window_of_its_own_and_a_network_of_fixed_size_its_patch(
    document: Document, monkeypatch: pytest.MonkeyPatch, window: Window, expected: Shape
) -> None:
    used: list[Shape] = []

    def segment(_: object, image: torch.Tensor, shape: Shape, *_rest: object) -> torch.Tensor:
        used.append(shape)
        return torch.zeros(image.shape[1:], dtype=torch.uint8)

    monkeypatch.setattr(loop, "segment", segment)
    label = np.ones((24, 16, 9), np.uint8)
    volume = batches.load_volume("a", label.astype(np.float32), label, torch.device("cpu"))
    plan = protocol(document)
    plan = replace(plan, settings=plan.settings.model_copy(update={"validation_window": window}))
    for network in (Fixed(), FixedSize()):
        loop.validate(network, [volume], plan)
    assert used == [expected, (16, 16, 16)]


def test_a_network_that_learns_nothing_keeps_the_weights_of_its_first_validation(
    document: Document, volumes: list[Volume]
) -> None:
    """Equal is not better; an epoch without validation hands out nothing."""
    epochs = list(loop.train(Fixed(), volumes, volumes[:2], protocol(document, 5, every=2)))
    assert [epoch.number for epoch in epochs if epoch.weights is not None] == [2]
    assert [epoch.number for epoch in epochs if epoch.validation_dice is not None] == [2, 4, 5]
    assert len({epoch.validation_dice for epoch in epochs[1::2]}) == 1
    rates = optimizers.learning_rates(protocol(document).settings, 5)
    assert [epoch.learning_rate for epoch in epochs] == list(rates)
    assert all(len(epoch.step_losses) == 2 for epoch in epochs)
    for epoch in epochs:
        assert epoch.loss == pytest.approx(np.mean(epoch.step_losses), rel=1e-12)
        assert epoch.skipped_steps == 0


def test_a_score_of_0_is_better_than_none(document: Document, volumes: list[Volume]) -> None:
    class Nothing(Fixed):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([images * 0 + 1 + 0 * self.weight, images * 0], dim=1)

    (epoch,) = loop.train(Nothing(), volumes, volumes[:1], protocol(document, 1))
    assert (epoch.validation_dice, epoch.weights is None) == (0.0, False)
