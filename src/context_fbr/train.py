"""Train one cell: data/prepared/TASK -> models/CELL, metrics/{train,foreground_ratios}/CELL.csv.

python -m context_fbr.train TASK MODEL PATCH_SIZE SEED
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from tqdm import tqdm

from context_fbr import atomic, networks, prepared, trainer
from context_fbr.cells import Cell
from context_fbr.device import prepare_device
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.history import foreground_ratio_table, history_table
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, TaskTraining, Training
from context_fbr.trainer import Epoch, Protocol, Volume

FORMAT = 2


def load_split(cell: Cell, split: str, device: torch.device) -> list[Volume]:
    """Load the volumes of a split to the device; those smaller than the cell's patch are padded.

    Raises:
        UserError: with every file that cannot be read.
    """
    volumes: list[Volume] = []
    problems: list[str] = []
    for case in prepared.read_cases(cell.task, split):
        try:
            image, label = prepared.read_volume(cell.task, case)
            volumes.append(
                trainer.load_volume(case.name, image, label, device, cell.patch_size, case.background)
            )
        except UserError as error:
            problems.extend(error.problems)
    raise_problems(problems)
    return volumes


def follow(cell: Cell, epochs: Iterable[Epoch], total: int) -> list[Epoch]:
    """Run through the epochs and show each: a bar on a terminal, a line per validation in a log."""
    history: list[Epoch] = []
    best: Epoch | None = None
    with tqdm(total=total, desc=cell.key, unit="epoch", disable=None) as bar:
        for epoch in epochs:
            if epoch.weights is not None:
                best = epoch
                # Only the best weights are kept: a set of UNETR's takes 370 MB.
                history = [replace(old, weights=None) for old in history]
            history.append(epoch)
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
    return history


def padded_cases(cell: Cell) -> list[str]:
    """The training and validation cases that are smaller than the cell's patch."""
    cases = [case for split in ("train", "validation") for case in prepared.read_cases(cell.task, split)]
    return [case.name for case in cases if min(case.shape) < cell.patch_size]


def write(cell: Cell, history: Sequence[Epoch], parameters: int, padded: Sequence[str]) -> None:
    """Write the results of a training.

    Args:
        cell: that was trained.
        history: its epochs.
        parameters: number of the network's weights.
        padded: cases that were smaller than the patch.
    """
    best = next(epoch for epoch in history if epoch.weights is not None)
    assert best.weights is not None
    buffer = io.BytesIO()  # a path would write its name into the file, and equal models would differ
    torch.save({name: tensor.contiguous() for name, tensor in best.weights.items()}, buffer)
    summary = {
        "format": FORMAT,
        "cell": cell.key,
        "network_parameters": parameters,
        "epochs": len(history),
        "best_epoch": best.number,
        "best_validation_dice": best.validation_dice,
        "padded_cases": list(padded),
        "recipe": prepared.read_recipe(cell.task),
    }
    atomic.write_text(cell.history, history_table(history))
    atomic.write_text(cell.foreground_ratios, foreground_ratio_table(history))
    with atomic.directory(cell.weights.parent) as folder:
        atomic.write_bytes(folder / cell.weights.name, buffer.getvalue())
        atomic.write_text(folder / cell.training.name, json.dumps(summary, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    """Run the stage."""
    cell = Cell.from_arguments(arguments)
    document = Document.read()
    settings = document.section(("train",), Training)
    window = document.section(("sliding_window",), SlidingWindow)
    epochs = document.section(("tasks", cell.task, "train"), TaskTraining).epochs
    protocol = Protocol(settings, window, epochs, cell.patch_size, cell.seed)

    device = prepare_device(settings.threads)
    network = networks.build(document, cell.model, cell.patch_size, cell.seed).to(device)
    padded = padded_cases(cell)
    if padded:
        print(f"{cell.key}: {len(padded)} volumes are smaller than the patch and padded: {', '.join(padded)}")
    training = load_split(cell, "train", device)
    validation = load_split(cell, "validation", device)
    history = follow(cell, trainer.train(network, training, validation, protocol), epochs)
    write(cell, history, sum(p.numel() for p in network.parameters()), padded)


if __name__ == "__main__":
    run(main)
