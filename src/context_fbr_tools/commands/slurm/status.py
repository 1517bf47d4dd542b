"""`context-fbr grid status`: the state of the cells on the cluster."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add("grid status", "state of the cells on the cluster", "context-fbr grid status", run)
    command.add_argument("cells", nargs="*", metavar="CELL")
    command.add_argument("--watch", action="store_true", help="until they have ended")


def run(options: Namespace) -> int:
    """Print the state of cells; exit status 1 if one failed."""
    from context_fbr_tools.slurm import command

    cells = read_study(Document.read()).cells
    chosen = select_cells.chosen(options.cells, cells) if options.cells else cells
    return command.status(chosen, options.watch)
