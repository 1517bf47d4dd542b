"""`context-fbr profile NAME`: write a profile into params.yaml."""

from argparse import Namespace

from context_fbr.config import profiles
from context_fbr.config.document import PARAMS_FILE
from context_fbr.core.errors import visible
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "write profiles/NAME.yaml into params.yaml, comments kept"
    command = line.add("profile", text, "context-fbr profile smoke", run)
    command.add_argument("name", metavar="NAME", help="smoke, desk or paper")


def run(options: Namespace) -> None:
    """Write the profile and print each value that changed."""
    changes = profiles.apply(options.name, PARAMS_FILE)
    for change in changes:
        print(visible(str(change)))
    print(f"{PARAMS_FILE}: {len(changes) or 'no'} values changed, profile {options.name}")
