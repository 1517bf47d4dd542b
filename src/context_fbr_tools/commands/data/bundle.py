"""`context-fbr bundle`: a trained cell as a MONAI bundle."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "write a trained cell as a MONAI bundle with a model card"
    example = "context-fbr bundle spheres-unet-32-1 --out bundles/spheres-unet-32-1"
    command = line.add("bundle", text, example, run)
    command.add_argument("cell", metavar="CELL", help="key of the cell, TASK-MODEL-PATCH-SEED")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, a new one")


def run(options: Namespace) -> None:
    """Write the bundle."""
    from context_fbr.config.document import Document
    from context_fbr.config.grid import StudyCells
    from context_fbr_tools.exchange.bundle.write import write
    from context_fbr_tools.study.select_cells import planned_or_trained

    document = Document.read()
    cell = planned_or_trained(options.cell, StudyCells.read(document).cells)
    write(cell, options.out, document)
    print(f"{options.out}: written; docs/README.md in it says how to run it")
