"""`context-fbr copy DIR`: a copy of the project to try things in."""

from argparse import Namespace
from pathlib import Path

from context_fbr.core.errors import visible
from context_fbr_tools.dvc.project_copy import copy_project
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "copy the project, as it is now, into an empty folder to try things"
    command = line.add("copy", text, "context-fbr copy ../try", run)
    command.add_argument("folder", type=Path, metavar="DIR")


def run(options: Namespace) -> None:
    """Copy the project."""
    copy_project(options.folder)
    print(f"{visible(str(options.folder))}: a copy of the project with a DVC cache of its own")
