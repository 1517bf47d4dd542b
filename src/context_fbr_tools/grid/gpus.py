"""GPUs that cells may take, and the number of cells at once.

A training chooses its GPU itself, see device.py: it takes the one that fewest processes have. So all
of them get the same list, and no more of them run at once than the list has places.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from context_fbr.config.study import Study
from context_fbr.core.errors import UserError
from context_fbr.core.resources import usable_cores
from context_fbr.networks.device import DEVICE_VARIABLE


@dataclass(frozen=True)
class Places:
    """GPUs and number of cells at once."""

    jobs: int
    """Cells at once."""
    devices: tuple[str, ...]
    """PyTorch's names of the GPUs; none where there is none."""
    environment: Mapping[str, str]
    """Variables for the processes of the cells."""


def places(study: Study, jobs: int | None, gpus: str | None, per_gpu: int | None) -> Places:
    """Return one place on each usable GPU, or `per_gpu`; without GPUs as many as the cores can feed.

    Args:
        study: whose `train.threads` decide how many cells the cores feed.
        jobs: cells at once, for any GPUs; None if it follows from them.
        gpus: PyTorch's numbers of the GPUs to take, such as 0,1; None for all, or those of the variable.
        per_gpu: cells at once on each of them; None for one.

    Raises:
        UserError: if a GPU does not exist, or the numbers contradict one another.
    """
    devices = _chosen(gpus)
    if per_gpu is not None and not devices:
        reason = _wanted() and f"{DEVICE_VARIABLE}={_wanted()} names none"
        raise UserError(f"--per-gpu {per_gpu}: {reason or 'PyTorch finds no CUDA device here'}; leave it out")
    if jobs is not None and per_gpu is not None and jobs > per_gpu * len(devices):
        raise UserError(
            f"--jobs {jobs}: --per-gpu {per_gpu} on {len(devices)} GPUs is {per_gpu * len(devices)} cells at "
            "once; leave one of them out"
        )
    of_gpus = len(devices) * (per_gpu or 1)
    environment = {} if gpus is None else {DEVICE_VARIABLE: ",".join(devices)}
    at_once = jobs or of_gpus or max(usable_cores() // study.train.threads, 1)
    return Places(at_once, tuple(devices), environment)


def _chosen(gpus: str | None) -> list[str]:
    return _default_gpus() if gpus is None else [f"cuda:{index}" for index in _indices(gpus)]


def _wanted() -> str:
    return os.environ.get(DEVICE_VARIABLE, "").strip()


def _default_gpus() -> list[str]:
    wanted = [name.strip() for name in _wanted().split(",") if name.strip()]
    if wanted:
        return [name for name in wanted if "cuda" in name]
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def _indices(text: str) -> list[int]:
    names = [name.strip() for name in text.split(",")]
    wrong = [name for name in names if not re.fullmatch(r"[0-9]{1,4}", name)]
    if wrong:
        raise UserError(f"--gpus {text}: {wrong[0]!r} is no number of a GPU; expected such as 0,1")
    indices = [int(name) for name in names]
    twice = [index for index, times in Counter(indices).items() if times > 1]
    if twice:
        raise UserError(
            f"--gpus {text}: {twice[0]} is given more than once; for more cells on each: --per-gpu"
        )
    there = torch.cuda.device_count()
    missing = [index for index in indices if index >= there]
    if missing:
        has = f"PyTorch finds {there or 'no'} CUDA device{'s' * (there > 1)} here"
        numbers = f", {', '.join(map(str, range(there)))}" if there else ""
        raise UserError(f"--gpus {text}: there is no {missing[0]}; {has}{numbers}")
    return indices
