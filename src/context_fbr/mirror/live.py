"""W&B is told of a cell while it is computed. Nothing here can change or end the computation."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from context_fbr.cells import Cell
from context_fbr.epoch import Epoch
from context_fbr.mirror import identity, media, results
from context_fbr.mirror.channel import Channel
from context_fbr.mirror.media import Slice
from context_fbr.mirror.rows import better, epochs_of, last_step, rows
from context_fbr.mirror.run import Run
from context_fbr.patches import Volume
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.tracking import VARIABLE, Tracker


@contextmanager
def of_training(
    cell: Cell, document: Document, network: torch.nn.Module, example: Volume, before: Sequence[Epoch]
) -> Iterator[Tracker]:
    """As in tracking.py."""
    channel = _channel(cell, document)
    tracker = _Training(channel, cell, document, network, example)
    with _closing(channel):
        for epoch in before:
            tracker.tell(epoch, shown=None, histograms={})
        yield tracker


@contextmanager
def of_evaluation(cell: Cell, document: Document) -> Iterator[Tracker]:
    """As in tracking.py."""
    channel = _channel(cell, document)
    with _closing(channel):
        yield _Evaluation(channel, cell, document)


def _channel(cell: Cell, document: Document) -> Channel:
    mode: Any = os.environ[VARIABLE]
    return Channel(cell.key, lambda: Run(identity.identify(cell, document), mode))


@contextmanager
def _closing(channel: Channel) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        channel.close(failed)


def batch_of(document: Document) -> int:
    """Patches in a training step."""
    settings = document.section(("train",), Training)
    return settings.batch_volumes * settings.patches_per_volume


class _Training:
    def __init__(
        self, channel: Channel, cell: Cell, document: Document, network: torch.nn.Module, example: Volume
    ) -> None:
        self._channel, self._cell, self._network, self._example = channel, cell, network, example
        self._window = document.section(("sliding_window",), SlidingWindow)
        self._batch = batch_of(document)
        self._best: Epoch | None = None

    def epoch(self, epoch: Epoch) -> None:
        try:
            validated = epoch.validation_dice is not None
            shown = self._slice(epoch.number) if epoch.weights is not None else None
            self.tell(epoch, shown, media.histograms(self._network, gradients=True) if validated else {})
        except Exception as error:
            self._channel.fail(error)

    def tell(self, epoch: Epoch, shown: Slice | None, histograms: Mapping[str, Any]) -> None:
        self._best = better(self._best, epoch)
        told = rows(epoch, self._batch, self._best)

        def message(run: Run) -> None:
            import wandb

            content: dict[str, Any] = {
                name: wandb.Histogram(np_histogram=(counts.tolist(), edges.tolist()))
                for name, (counts, edges) in histograms.items()
            }
            if shown is not None:
                content["train/example"] = media.picture(shown)
            run.rows(told, content)

        self._channel.put(message)

    def done(self) -> None:
        self._channel.put(lambda run: results.tell_training(run, self._cell))

    def _slice(self, number: int) -> Slice:
        """Of the training case that the best network so far is shown with."""
        volume = self._example
        caption = f"{volume.where.name} after epoch {number}"
        return media.example(self._network, volume, self._cell.patch_size, self._window, caption)


class _Evaluation:
    def __init__(self, channel: Channel, cell: Cell, document: Document) -> None:
        self._channel, self._cell, self._document = channel, cell, document

    def epoch(self, epoch: Epoch) -> None:
        """An evaluation has none."""

    def done(self) -> None:
        def message(run: Run) -> None:
            step = last_step([*epochs_of(self._cell)], batch_of(self._document)) + 1
            results.tell_test(run, self._cell, step)

        self._channel.put(message)
