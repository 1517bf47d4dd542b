"""`context-fbr grid collect`: bring the cluster's results here and analyse them."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.grid.one_run import one_run
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "bring the cluster's results here and analyse them"
    line.add("grid collect", text, "context-fbr grid collect", run)


def run(_: Namespace) -> None:
    """Collect all results."""
    from context_fbr_tools.slurm import collect, config

    with one_run():
        collect.collect(read_study(Document.read()), config.read())
    print("the study is up to date")
