"""`context-fbr published DIR`: analyse the published results with this study's methods."""

import sys
from argparse import Namespace
from pathlib import Path

from context_fbr.config.analysis import Analysis
from context_fbr.config.document import Document
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, visible
from context_fbr_tools.study.command_line import CommandLine

KEPT = Path("metrics/published")
"""Aggregates that git keeps; none of them holds the score of a case."""
SOURCE = (
    f"the published tables are not part of this repository: the study that NOTICE.md names published them; "
    f"{KEPT} keeps what was computed from them"
)


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "published",
        "analyse a folder of the published results with this study's methods",
        "context-fbr published DIR",
        run,
        in_project=False,
    )
    command.add_argument("folder", type=Path, metavar="DIR", nargs="?")
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"a new folder for all results, figures too (default: the aggregates alone, in {KEPT})",
    )
    command.add_argument(
        "--keep-going", action="store_true", help="analyse what can be read in spite of errors, exit with 1"
    )


def run(options: Namespace) -> int:
    """Write tables and findings; exit status 1 if some table had an error."""
    from context_fbr.analysis.results import CELL_COLUMNS
    from context_fbr_tools.exchange.published import report, results

    settings = Document.read().section(("analysis",), Analysis)
    if options.folder is None or not options.folder.is_dir():
        raise UserError(f"{options.folder or 'DIR'}: is not a folder; {SOURCE}")
    out = options.out or KEPT
    if options.out and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: is there already; name a new folder")
    found = results.read_published(options.folder)
    for problem in found.problems:
        print(f"error: {visible(problem)}", file=sys.stderr)
    if found.problems and not options.keep_going:
        raise UserError(
            f"{options.folder}: not analysed, see above; correct it, or give --keep-going to analyse the rest"
        )
    with atomic.directory(out) as folder:
        report.write(found.evidence, settings, folder, figures=options.out is not None)
    runs = len(found.evidence.cells[CELL_COLUMNS].drop_duplicates())
    print(f"{visible(str(out))}: tables and findings of {runs} runs")
    return 1 if found.problems else 0
