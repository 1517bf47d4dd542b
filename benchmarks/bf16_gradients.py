"""Are gradients in bf16 right on this machine? Every convolution of the desk and paper profiles.

python -m benchmarks.bf16_gradients

Writes benchmarks/bf16_gradients.csv: the relative error of a convolution's gradients in bf16, without and
with the guard of context_fbr.networks.convolutions, which keeps small maps in float32.
"""

import datetime
import os
from dataclasses import replace
from pathlib import Path

import torch

from context_fbr.config.document import Document
from context_fbr.config.profiles import profile_path
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import raise_problems
from context_fbr.core.progress import progress
from context_fbr.networks import convolutions, factory, gradient_check, precision
from context_fbr.networks.device import describe, prepare_device
from context_fbr.runtime.entry import run_command

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "benchmarks" / "bf16_gradients.csv"
PROFILES = ("desk", "paper")
LIMIT = gradient_check.LIMITS[torch.bfloat16]
COLUMNS = (
    "profile", "network", "patch_size", "convolution", "channels", "stride", "batch", "error",
    "error_guarded", "limit", "device", "date",
)  # fmt: skip


def unguarded(module: torch.nn.Module) -> torch.nn.Module:
    """A convolution as PyTorch has it, with the same weights."""
    plain = torch.nn.Module.__new__(type(module))
    plain.__dict__ = module.__dict__
    return convolutions.unguard(plain)


def rows(device: torch.device) -> list[tuple[object, ...]]:
    """A row for each shape of a convolution of a network."""
    found = []
    for profile in PROFILES:
        document = Document.read(profile_path(profile))
        study = read_study(document)
        batch = study.train.batch_volumes * study.train.patches_per_volume
        for model in study.grid.models:
            for size in study.grid.patch_sizes:
                network = factory.build(document, model, size, seed=1).to(device)
                layers = precision.layers_of(network, batch, size)
                found += [((profile, model, size), layer) for layer in layers]
    table = []
    for where, layer in progress(found, len(found), "gradients", "convolution"):
        plain = replace(layer, module=unguarded(layer.module))
        error = gradient_check.error(plain, device, torch.bfloat16)
        guarded = min(layer.shape[2:]) <= convolutions.SMALL  # elsewhere both are the same
        errors = (error, gradient_check.error(layer, device, torch.bfloat16) if guarded else error)
        stride = getattr(layer.module, "stride", ("",))[0]
        what = (str(layer), layer.channels, stride, layer.shape[0])
        ends = (LIMIT, describe(device), datetime.date.today())
        table.append((*where, *what, *(f"{value:.3g}" for value in errors), *ends))
    return table


def main(_: list[str]) -> None:
    """Test all, write the table, and fail if a guarded gradient is wrong."""
    os.chdir(ROOT)
    device = prepare_device(1)
    table = rows(device)
    atomic.write_text(TABLE, csv_text(COLUMNS, table))
    wrong = [row for row in table if not float(str(row[8])) <= LIMIT]
    bare = sum(not float(str(row[7])) <= LIMIT for row in table)
    print(f"{len(table)} convolutions: {bare} wrong in bf16 without the guard, {len(wrong)} with it")
    raise_problems([f"{row[0]} {row[1]}-{row[2]}: {row[3]}: relative error {row[8]}" for row in wrong])


if __name__ == "__main__":
    run_command(main)
