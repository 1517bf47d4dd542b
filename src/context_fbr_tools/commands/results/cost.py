"""`context-fbr cost`: time and core-hours of the cells, next to their Dice."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "print what the cells have cost, next to their Dice"
    command = line.add("cost", text, "context-fbr cost 'hippocampus-*'", run)
    command.add_argument(
        "cells", nargs="*", metavar="CELLS", help="only these: keys, or patterns (default: the whole study)"
    )
    command.add_argument("--by-cell", action="store_true", help="a row for each seed")
    command.add_argument("--markdown", action="store_true", help="as Markdown, for a report")


def run(options: Namespace) -> None:
    """Print the table."""
    from context_fbr_tools.study import cost_table
    from context_fbr_tools.study.text_tables import terminal_width

    cells = read_study(Document.read()).cells
    chosen = select_cells.chosen(options.cells, cells) if options.cells else cells
    costs = cost_table.read(chosen)
    print(cost_table.as_text(costs, options.by_cell, options.markdown, terminal_width()))
