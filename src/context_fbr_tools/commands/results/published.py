"""`context-fbr published DIR`: analyse the published results with this study's methods."""

import sys
from argparse import Namespace
from pathlib import Path

from context_fbr.config.analysis import Analysis
from context_fbr.config.document import Document
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, visible
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "published",
        "analyse a folder of the published results with this study's methods",
        "context-fbr published DIR --out published",
        run,
        in_project=False,
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder for the results"
    )
    command.add_argument(
        "--keep-going", action="store_true", help="analyse what can be read in spite of errors, exit with 1"
    )


def run(options: Namespace) -> int:
    """Write tables, findings and figures; exit status 1 if some table had an error."""
    from context_fbr import analyze
    from context_fbr.analysis import foreground_ranges
    from context_fbr.analysis.result_files import write_csv
    from context_fbr.analysis.results import CELL_COLUMNS
    from context_fbr_tools.study import published

    settings = Document.read().section(("analysis",), Analysis)
    if options.out.exists() and not (options.out.is_dir() and not any(options.out.iterdir())):
        raise UserError(f"{options.out}: is there already; name a new folder")
    found = published.read_published(options.folder)
    for problem in found.problems:
        print(f"error: {visible(problem)}", file=sys.stderr)
    if found.problems and not options.keep_going:
        raise UserError(
            f"{options.folder}: not analysed, see above; correct it, or give --keep-going to analyse the rest"
        )
    with atomic.directory(options.out) as folder:
        write_csv(folder / "ranges.csv", foreground_ranges.published_ranges(found.evidence))
        analyze.write_report(found.evidence, settings, folder, folder)
    runs = len(found.evidence.cells[CELL_COLUMNS].drop_duplicates())
    print(f"{visible(str(options.out))}: tables, findings and figures of {runs} runs")
    return 1 if found.problems else 0
