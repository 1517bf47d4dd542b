"""`context-fbr grid logs CELL`: the output of a cell's last job."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "output of a cell's last job"
    command = line.add("grid logs", text, "context-fbr grid logs spheres-unet-32-1 --follow", run)
    command.add_argument("cell", metavar="CELL")
    command.add_argument("-f", "--follow", action="store_true", help="while it runs")


def run(options: Namespace) -> None:
    """Print the output of a cell's last job."""
    from context_fbr_tools.slurm import command

    cells = read_study(Document.read()).cells
    command.logs(select_cells.planned_or_trained(options.cell, cells), options.follow)
