"""The training of a cell from its files to its files, from where it was left if that is known."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from context_fbr.config.cell import TRAINING_FORMAT, Cell
from context_fbr.config.training import Network, Resume, SlidingWindow, TaskTraining, Training
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.networks import factory, precision
from context_fbr.networks.device import prepare_device
from context_fbr.preprocessing import prepared
from context_fbr.runtime import provenance, resume
from context_fbr.runtime.stage_inputs import ChangeWarnings, StageInputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import batches, checkpoint, loop, tracking
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.history import Epoch, foreground_ratio_table, history_table
from context_fbr.training.tracking import Tracker


def load_split(cell: Cell, split: str, device: torch.device) -> tuple[list[Volume], str]:
    """Load the volumes of a split to the device; those smaller than the cell's patch are padded.

    Returns:
        The volumes, and the SHA-256 of what they hold, names and order included.

    Raises:
        UserError: with every file that cannot be read.
    """
    volumes: list[Volume] = []
    problems: list[str] = []
    total = hashlib.sha256()
    for case in prepared.read_cases(cell.task, split):
        try:
            image, label = prepared.read_volume(cell.task, case)
            total.update(resume.volume_digest(case.name, image, label, case.background))
            volumes.append(
                batches.load_volume(case.name, image, label, device, cell.patch_size, case.background)
            )
        except UserError as error:
            problems.extend(error.problems)
    raise_problems(problems)
    return volumes, total.hexdigest()


def follow(
    cell: Cell,
    epochs: Iterable[Epoch],
    total: int,
    history: list[Epoch],
    tracker: Tracker,
    warnings: ChangeWarnings | None = None,
) -> None:
    """Run through the epochs and show each: a bar on a terminal, a line per validation in a log.

    Args:
        cell: that is trained.
        epochs: of its training.
        total: how many there will be, those of `history` included.
        history: the epochs before; the new ones are added as they end.
        tracker: is told of the new ones.
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


def padded_cases(cell: Cell) -> list[str]:
    """The training and validation cases that are smaller than the cell's patch."""
    cases = [case for split in ("train", "validation") for case in prepared.read_cases(cell.task, split)]
    return [case.name for case in cases if min(case.shape) < cell.patch_size]


def write(
    cell: Cell, network: Network, history: Sequence[Epoch], parameters: int, padded: Sequence[str]
) -> None:
    """Write the results of a training.

    Args:
        cell: that was trained.
        network: its block of params.yaml, without which the weights have no meaning.
        history: its epochs.
        parameters: number of the network's weights.
        padded: cases that were smaller than the patch.
    """
    best = next(epoch for epoch in history if epoch.weights is not None)
    assert best.weights is not None
    buffer = io.BytesIO()  # a path would write its name into the file, and equal models would differ
    torch.save({name: tensor.contiguous() for name, tensor in best.weights.items()}, buffer)
    summary = {
        "format": TRAINING_FORMAT,
        "cell": cell.key,
        "network": network.model_dump(mode="json"),
        "weights_sha256": hashlib.sha256(buffer.getbuffer()).hexdigest(),
        "network_parameters": parameters,
        "epochs": len(history),
        "best_epoch": best.number,
        "best_validation_dice": best.validation_dice,
        "skipped_steps": sum(epoch.skipped_steps for epoch in history),
        "padded_cases": list(padded),
        "training_spacing_mm": _spacing_range(cell.task),
        "recipe": prepared.read_recipe(cell.task),
    }
    atomic.write_text(cell.history, history_table(history))
    atomic.write_text(cell.foreground_ratios, foreground_ratio_table(history))
    with atomic.directory(cell.weights.parent) as folder:
        atomic.write_bytes(folder / cell.weights.name, buffer.getvalue())
        atomic.write_text(folder / cell.training.name, json.dumps(summary, indent=1) + "\n")


def _spacing_range(task: str) -> dict[str, list[float]]:
    """Return least and greatest edge of a voxel of the training cases, in mm, for each axis (x, y, z)."""
    edges = np.array([case.geometry.spacing_mm for case in prepared.read_cases(task, "train")])
    return {"least": edges.min(axis=0).tolist(), "greatest": edges.max(axis=0).tolist()}


def train(cell: Cell, stage: StageInputs, request: StopRequest) -> None:
    """Train a cell, from its checkpoint if there is one, and write its results.

    Raises:
        UserError: if an input is invalid, or changed while the stage ran: then the checkpoint is kept.
    """
    document = stage.document
    settings = document.section(("train",), Training)
    window = document.section(("sliding_window",), SlidingWindow)
    epochs = document.section(("tasks", cell.task, "train"), TaskTraining).epochs
    every_s = document.section(("resume",), Resume).save_every_minutes * 60
    protocol = Protocol(settings, window, epochs, cell.patch_size, cell.seed)

    origin, code = provenance.start(), resume.code_digest()
    device = prepare_device(settings.threads)
    spec = document.section(("networks", cell.model), Network)
    network = factory.build(document, cell.model, cell.patch_size, cell.seed).to(device)
    batch = settings.batch_volumes * settings.patches_per_volume
    precision.check(network, f"networks.{cell.model}", settings.precision, batch, cell.patch_size)
    padded = padded_cases(cell)
    if padded:
        print(f"{cell.key}: {len(padded)} volumes are smaller than the patch and padded: {', '.join(padded)}")
    training, training_digest = load_split(cell, "train", device)
    validation, validation_digest = load_split(cell, "validation", device)
    parameters = {
        "cell": cell.key,
        "network": spec.model_dump(mode="json"),
        # Not what to do with bad numbers: up to the first of them it makes no difference.
        "train": settings.model_dump(mode="json", exclude={"on_bad_numbers"}),
        "sliding_window": window.model_dump(mode="json"),
        "epochs": epochs,
    }
    inputs = resume.inputs_of(parameters, training_digest + validation_digest, device, code)
    with resume.checkpoint_dir("train", cell, inputs) as place:
        state, history, problems = checkpoint.load(place)
        for problem in problems:
            print(f"{cell.key}: cannot go on from {problem}", flush=True)
        if state is not None:
            print(f"{cell.key}: goes on in epoch {state.epoch} after step {len(state.steps)}", flush=True)
        elif problems:
            print(f"{cell.key}: starts from the beginning", flush=True)
        keeper = checkpoint.Checkpointer(place, cell.key, every_s, request, history)
        run_of_epochs = loop.train(network, training, validation, protocol, state, keeper.pause)
        resumed = state is not None
        del state  # a copy of everything, which the trainer has taken over
        with tracking.of_training(cell, document, network, training[0], [*history]) as tracker:
            follow(cell, run_of_epochs, epochs, history, tracker, ChangeWarnings(stage))
            skipped = sum(epoch.skipped_steps for epoch in history)
            if skipped:
                print(f"{cell.key}: {skipped} steps were skipped: their loss or gradient was no number")
            stage.check()
            write(cell, spec, history, sum(p.numel() for p in network.parameters()), padded)
            results = (cell.weights, cell.training, cell.history, cell.foreground_ratios)
            computed = settings.threads, settings.precision
            provenance.write(stage, cell, origin, inputs, *computed, results, resumed)
            tracker.done()
