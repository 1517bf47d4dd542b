"""`context-fbr predict CELL IMAGE...`: segment images with a trained cell."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import cast

from context_fbr.config.document import Document
from context_fbr.config.grid import StudyCells
from context_fbr.config.training import Window
from context_fbr.core.errors import visible
from context_fbr.core.patch_size import EXPECTED, parse
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "predict",
        "segment images with a trained cell, each on its own grid",
        "context-fbr predict spheres-unet-32-1 scan.nii.gz --out masks",
        run,
    )
    command.add_argument("cell", metavar="CELL", help="for example spleen-unet-96-1")
    command.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="a .nii or .nii.gz file, or a folder of them"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the masks, NAME.nii.gz")
    command.add_argument(
        "--window",
        type=_window,
        metavar="EDGE",
        help="of inference: patch, a number of voxels, or volume; default: the task's first in params.yaml",
    )
    command.add_argument("--overwrite", action="store_true", help="replace masks that are there already")


def run(options: Namespace) -> None:
    """Segment images and print the path of each mask."""
    cell = select_cells.planned_or_trained(options.cell, StudyCells.read(Document.read()).cells)
    from context_fbr_tools.study import predict  # imports torch and monai, which takes seconds

    for text in predict.predict(cell, options.images, options.out, options.overwrite, options.window):
        print(visible(text), flush=True)


def _window(text: str) -> Window:
    """Read the value of --window."""
    if text in ("patch", "volume"):
        return cast("Window", text)
    try:
        return parse(text)
    except ValueError as error:
        cube = f" ({error})" if "is a cube" in str(error) else ""
        raise ArgumentTypeError(f"{text!r}: expected patch, volume, or {EXPECTED}{cube}") from None
