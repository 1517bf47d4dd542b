"""What to measure, and how often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch

from benchmarks.pairs import Pairs
from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.networks.precision import Precision

Configuration = tuple[str, int]
"""Network and patch size."""


@dataclass(frozen=True)
class Request:
    """A run of the benchmarks; None is the part's own choice."""

    document: Document
    task: str
    """Whose volumes are generated."""
    device: torch.device
    precision: Precision
    """Of our way; the original's is always float32."""
    repeats: int | None = None
    networks: Sequence[str] | None = None
    patch_sizes: Sequence[int] | None = None
    epochs: int | None = None

    @property
    def training(self) -> Training:
        """How a cell is trained, our way."""
        return self.document.section(("train",), Training).model_copy(update={"precision": self.precision})

    @property
    def window(self) -> SlidingWindow:
        """How a volume is segmented, our way."""
        settings = self.document.section(("sliding_window",), SlidingWindow)
        return settings.model_copy(update={"precision": self.precision})

    def configurations(self, default: Sequence[Configuration]) -> list[Configuration]:
        """All combinations of what was asked for, where something was; what is missing is of the default."""
        if self.networks is None and self.patch_sizes is None:
            return list(default)
        networks = self.networks or default[0][:1]
        return list(product(networks, self.patch_sizes or default[0][1:]))


@dataclass(frozen=True)
class Measurement:
    """One row of results.csv."""

    part: str
    network: str
    patch_size: int | None
    pairs: Pairs

    def row(self, request: Request, stamp: Mapping[str, object]) -> dict[str, object]:
        """By column."""
        names = ("original_median_s", "ours_median_s", "ratio_median", "ratio_min", "ratio_max")
        numbers = (f"{value:.4g}" for value in self.pairs.summary)
        return {
            "part": self.part,
            "network": self.network,
            "patch_size": self.patch_size,
            "device": request.device.type,
            "precision": request.precision,
            **dict(zip(names, numbers, strict=True)),
            "repeats": len(self.pairs.ratios),
            **stamp,
        }
