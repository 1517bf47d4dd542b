"""`context-fbr report`: results, figures, cases and origins as one HTML file."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "write the results as one HTML file that needs no network"
    command = line.add("report", text, "context-fbr report --out report.html", run)
    command.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="file (default: report.html)"
    )


def run(options: Namespace) -> None:
    """Write the report."""
    from context_fbr.core import atomic
    from context_fbr.runtime import git
    from context_fbr_tools.dvc import lockfile
    from context_fbr_tools.exchange.report.page import read_page

    page = read_page(Path(), git.revision() or "unknown", lockfile.entries())
    atomic.write_text(options.out, page)
    print(f"{options.out}: {len(page.encode()) / 1e6:.1f} MB; open it in a browser")
