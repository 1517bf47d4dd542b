"""`context-fbr completion`: completion of commands and options by the shell."""

from argparse import Namespace, _SubParsersAction
from functools import partial
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine

SHELLS = ("bash", "zsh", "tcsh")


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "print the completion of commands for a shell"
    command = line.add(
        "completion",
        text,
        "context-fbr completion bash",
        partial(run, line),
        in_project=False,
        epilog="Write it to a file once, and `source` that file in ~/.bashrc: "
        "`context-fbr completion bash > ~/.context-fbr.bash`.",
    )
    command.add_argument("shell", choices=SHELLS, help="the shell that reads it")


def run(line: CommandLine, options: Namespace) -> None:
    """Print the script."""
    import shtab

    for parser in (line.root, *line.commands.values()):
        for action in parser._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            if isinstance(action, _SubParsersAction):
                action.help = ""  # shtab leaves out what the help suppresses; our help lists commands itself
    print(shtab.complete(line.root, options.shell))
