"""`context-fbr show`: results and findings as tables."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "print the results and the findings as tables"
    command = line.add("show", text, "context-fbr show", run, in_project=False)
    command.add_argument(
        "metrics",
        nargs="?",
        type=Path,
        default=Path("metrics"),
        metavar="DIR",
        help="folder of the results, of one task (metrics/spheres) or of all (default: metrics)",
    )
    command.add_argument("--markdown", action="store_true", help="as in the README")


def run(options: Namespace) -> None:
    """Print results and findings."""
    from context_fbr_tools.study import show
    from context_fbr_tools.study.text_tables import terminal_width

    print(show.render(options.metrics, options.markdown, terminal_width()))
