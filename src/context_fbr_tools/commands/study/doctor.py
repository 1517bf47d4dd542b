"""`context-fbr doctor`: what of this machine and this checkout needs attention."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "doctor",
        "check this machine and this folder: OK, warning or error, each with a fix",
        "context-fbr doctor",
        run,
        in_project=False,
    )
    command.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=Path("-"),
        metavar="FILE",
        help="the same facts for programs (without FILE: on standard output, no table)",
    )


def run(options: Namespace) -> int:
    """Run all checks; exit status 1 if one of them found an error."""
    from context_fbr_tools.doctor import command

    return command.run(options.json)
