"""Training of a cell: from its files to its files, resumed from its checkpoint if there is one."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from tqdm import tqdm

from context_fbr.config.cell import TRAINING_FORMAT, Cell
from context_fbr.config.training import TrainConfig, read_save_interval_s
from context_fbr.core import atomic
from context_fbr.networks import factory, precision
from context_fbr.networks.device import prepare_device
from context_fbr.preprocessing import prepared
from context_fbr.runtime import provenance, resume
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.runtime.stage_inputs import ChangeWarnings, StageInputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import checkpoint, loop, tracking
from context_fbr.training.batches import Protocol
from context_fbr.training.history import Epoch, foreground_ratio_table, history_table
from context_fbr.training.inputs import TrainingInputs, load_inputs
from context_fbr.training.loop import TrainingState
from context_fbr.training.tracking import Tracker

MAX_NAMED = 5
"""Cases that a message names; the others are counted."""


def train(cell: Cell, stage: StageInputs, request: StopRequest) -> None:
    """Train a cell, from its checkpoint if there is one, and write its results.

    Raises:
        UserError: if an input is invalid, or changed while the stage ran: then the checkpoint is kept.
    """
    config = TrainConfig.read(stage.document, cell)
    every_s = read_save_interval_s(stage.document)
    origin, code = provenance.start(), resume.code_digest()
    device = prepare_device(config.train.threads)
    task = prepared.read_task(cell.task)
    network = _build(cell, config, stage, device, 1 + task.structures, task.channels)
    data = load_inputs(cell, device, config.train.core_size(cell.patch_size))
    if data.padded:
        print(f"{cell.key}: {_padded_text(data.padded)}")
    inputs = resume.inputs_of(config.identity(cell), data.digest, device, code)
    with resume.checkpoint_dir("train", cell, inputs) as place:
        state, history = _resume(cell, place)
        resumed = state is not None
        keeper = checkpoint.Checkpointer(place, cell.key, every_s, request, history)
        protocol = Protocol(
            config.train, config.window, config.epochs, cell.patch_size, cell.seed, structures=task.structures
        )
        epochs = loop.train(network, data.training, data.validation, protocol, state, keeper.pause)
        del state  # a copy of everything, which the loop holds now
        with tracking.of_training(cell, stage.document, network, data.training[0], [*history]) as tracker:
            follow(cell, epochs, config.epochs, history, tracker, ChangeWarnings(stage))
            stage.check()
            _write(cell, config, data, history, sum(p.numel() for p in network.parameters()))
            results = (cell.weights, cell.training, cell.history, cell.foreground_ratios)
            computed = config.train.threads, config.train.precision
            provenance.write(stage, cell, origin, inputs, *computed, results, resumed)
            tracker.done()


def _padded_text(cases: Sequence[str]) -> str:
    """Return a line about the cases that are smaller than the patch, with the first of their names."""
    more = f" and {len(cases) - MAX_NAMED} others" if len(cases) > MAX_NAMED else ""
    return f"{len(cases)} volumes are smaller than the patch and padded: {', '.join(cases[:MAX_NAMED])}{more}"


def _build(
    cell: Cell, config: TrainConfig, stage: StageInputs, device: torch.device, classes: int, channels: int
) -> torch.nn.Module:
    """Build the network of a cell and check that the device computes its batch in the requested precision."""
    network = factory.build(stage.document, cell.model, cell.patch_size, cell.seed, classes, channels)
    network.to(device)
    batch = config.train.batch_volumes * config.train.patches_of(cell.patch_size)
    precision.check(network, f"models.{cell.model}", config.train.precision, batch, cell.patch_size)
    return network


def _resume(cell: Cell, place: CheckpointDir) -> tuple[TrainingState | None, list[Epoch]]:
    """Load the checkpoint of a cell; None and no epochs if there is none that can be used."""
    state, history, problems = checkpoint.load(place)
    for problem in problems:
        print(f"{cell.key}: cannot resume from {problem}", flush=True)
    if state is not None:
        print(f"{cell.key}: resumes in epoch {state.epoch} after step {len(state.steps)}", flush=True)
    elif problems:
        print(f"{cell.key}: starts from the beginning", flush=True)
    return state, history


def follow(
    cell: Cell,
    epochs: Iterable[Epoch],
    total: int,
    history: list[Epoch],
    tracker: Tracker,
    warnings: ChangeWarnings | None = None,
) -> None:
    """Run the epochs and show each: a bar on a terminal, a line per validation in a log.

    Args:
        cell: that is trained.
        epochs: of its training.
        total: number of epochs, those of `history` included.
        history: the epochs before; the new ones are added as they end.
        tracker: receives the new ones.
        warnings: of inputs that changed meanwhile.
    """
    best = next((epoch for epoch in history if epoch.weights is not None), None)
    with tqdm(total=total, initial=len(history), desc=cell.key, unit="epoch", disable=None) as bar:
        for epoch in epochs:
            if epoch.weights is not None:
                best = epoch
                # Only the best weights are kept: a set of UNETR's takes 370 MB.
                history[:] = [replace(old, weights=None) for old in history]
            history.append(epoch)
            tracker.epoch(epoch)
            if epoch.validation_dice is not None and best is not None:
                text = f"loss {epoch.loss:.3f}, validation Dice {epoch.validation_dice:.3f}"
                bar.set_postfix_str(f"{text} (best {best.validation_dice:.3f})")
                if bar.disable:
                    print(
                        f"{cell.key}: epoch {epoch.number}/{total}, {text} "
                        f"(best {best.validation_dice:.3f} at {best.number})",
                        flush=True,
                    )
            bar.update()
            if warnings is not None:
                warnings.look()
    skipped = sum(epoch.skipped_steps for epoch in history)
    if skipped:
        print(f"{cell.key}: {skipped} steps were skipped: their loss or gradient was not finite")


def _write(
    cell: Cell, config: TrainConfig, data: TrainingInputs, history: Sequence[Epoch], parameters: int
) -> None:
    """Write the results of a training; `parameters` is the number of the network's weights."""
    best = next(epoch for epoch in history if epoch.weights is not None)
    assert best.weights is not None
    buffer = io.BytesIO()  # a path would write its name into the file, and equal models would differ
    torch.save({name: tensor.contiguous() for name, tensor in best.weights.items()}, buffer)
    summary = {
        "format": TRAINING_FORMAT,
        "cell": cell.key,
        "network": config.model.block,
        "weights_sha256": hashlib.sha256(buffer.getbuffer()).hexdigest(),
        "network_parameters": parameters,
        "core": config.train.inner_core(cell.patch_size),
        "epochs": len(history),
        "best_epoch": best.number,
        "best_validation_dice": best.validation_dice,
        "skipped_steps": sum(epoch.skipped_steps for epoch in history),
        "padded_cases": list(data.padded),
        "training_spacing_mm": data.spacing_mm,
        "recipe": data.recipe,
    }
    atomic.write_text(cell.history, history_table(history))
    atomic.write_text(cell.foreground_ratios, foreground_ratio_table(history))
    with atomic.directory(cell.weights.parent) as folder:
        atomic.write_bytes(folder / cell.weights.name, buffer.getvalue())
        atomic.write_text(folder / cell.training.name, json.dumps(summary, indent=1) + "\n")
