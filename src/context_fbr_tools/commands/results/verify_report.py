"""`context-fbr verify-report`: compute the numbers of a report again."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "compute every number of a report again from this project's tables"
    command = line.add("verify-report", text, "context-fbr verify-report report.html", run)
    command.add_argument("file", type=Path, metavar="FILE", help="as `context-fbr report` wrote it")


def run(options: Namespace) -> None:
    """Check the report; one that differs is an error."""
    from context_fbr.core.errors import UserError
    from context_fbr_tools.dvc import lockfile
    from context_fbr_tools.exchange.report.verify import MAX_NAMED, verify

    found = verify(options.file, Path(), lockfile.entries())
    if found.problems:
        more = len(found.problems) - MAX_NAMED
        counted = [f"and {more} other differences"] if more > 0 else []
        raise UserError(
            *(f"{options.file}: {problem}" for problem in found.problems[:MAX_NAMED]),
            *counted,
            "check out the commit of the report, or make it again with `context-fbr report`",
        )
    print(
        f"{options.file}: {found.numbers} numbers and {found.rows} rows of tables are those of this project; "
        f"{found.means} means computed again from the cases"
    )
