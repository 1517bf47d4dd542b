"""`context-fbr wandb push`: upload finished cells to Weights & Biases."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "wandb push",
        "upload finished cells to W&B from their files; skips what it has already",
        "context-fbr wandb push 'spheres-unet-*'",
        run,
    )
    command.add_argument(
        "cells", nargs="*", metavar="CELL", help="keys, or patterns such as 'spheres-unet-*' (default: all)"
    )


def run(options: Namespace) -> None:
    """Upload cells."""
    document = Document.read()
    cells = read_study(document).cells
    chosen = select_cells.chosen(options.cells, cells) if options.cells else cells
    from context_fbr_tools.wandb_sync import push  # imports torch, which takes seconds

    print(f"{push.push(document, chosen, named=bool(options.cells))} of {len(chosen)} cells are in W&B")
