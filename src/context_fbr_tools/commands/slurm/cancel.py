"""`context-fbr grid cancel`: end the jobs of cells."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "end the jobs of cells; what they have computed is kept"
    command = line.add("grid cancel", text, "context-fbr grid cancel 'spheres-unetr-*'", run)
    command.add_argument("cells", nargs="*", metavar="CELL", help="default: all")


def run(options: Namespace) -> None:
    """Cancel the jobs of cells, or all."""
    from context_fbr_tools.slurm import command

    cells = read_study(Document.read()).cells
    command.cancel(select_cells.chosen(options.cells, cells) if options.cells else None)
