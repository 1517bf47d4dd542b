"""`context-fbr verify TASK|DIR`: all that is wrong with a data set."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study import project
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "verify",
        "read every file of a data set in MSD layout and say all that is wrong with it",
        "context-fbr verify /data/clinic_ct",
        run,
        in_project=False,
    )
    command.add_argument("name", metavar="TASK|DIR", help="a folder, or a task: data/raw/TASK")
    command.add_argument("--json", type=Path, metavar="FILE", help="the same facts for programs")


def run(options: Namespace) -> int:
    """Verify a data set; exit status 1 if it has errors."""
    from context_fbr_tools.data import verify

    if not Path(options.name).is_dir():
        project.require()
    return verify.run(options.name, options.json)
