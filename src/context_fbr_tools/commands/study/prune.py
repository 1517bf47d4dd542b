"""`context-fbr prune`: remove what left the grid."""

import sys
from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "remove results and lock entries of cells that left the grid"
    command = line.add("prune", text, "context-fbr prune --dry-run", run)
    command.add_argument("--dry-run", action="store_true", help="list what would be removed, remove nothing")


def run(options: Namespace) -> None:
    """List what is stale, and remove it."""
    from context_fbr_tools.dvc import prune  # imports torch, which takes seconds

    plan = prune.plan(read_study(Document.read()).study_cells)
    for text in plan.lines():
        print(text)
    count = len(plan.stages) + len(plan.paths)
    if options.dry_run or not count:
        print(f"{count or 'nothing'} to remove")
        return
    sys.stdout.flush()
    removed = 0
    for name in prune.carry_out(plan):
        removed += 1
        print(f"removed {name}", flush=True)
    print(f"{removed} removed; `dvc repro` brings the analysis up to date")
