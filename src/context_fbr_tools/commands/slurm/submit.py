"""`context-fbr grid submit`: cells that are not done, as jobs of a Slurm cluster."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.commands.study.check import check_networks
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "grid submit",
        "submit the cells that are not done to a Slurm cluster, see slurm.yaml",
        "context-fbr grid submit --watch",
        run,
    )
    command.add_argument("cells", nargs="*", metavar="CELL", help="only these; those that failed, too")
    command.add_argument(
        "--probe", action="store_true", help="first the shortest cell, and the others only if it succeeds"
    )
    command.add_argument(
        "--watch", action="store_true", help="stay until they have ended, submit again what is lost"
    )


def run(options: Namespace) -> int:
    """Submit cells; exit status 1 if a watched cell failed."""
    from context_fbr_tools.slurm import command, config

    where = config.read()
    study = read_study(Document.read())
    check_networks(study)
    chosen = select_cells.chosen(options.cells, study.cells)
    return command.submit_cells(study, where, chosen, options.watch, options.probe)
