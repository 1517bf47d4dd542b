"""`context-fbr docs`: bring the generated tables of README and docs up to date."""

from argparse import Namespace

from context_fbr.core.errors import UserError
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "write the tables of README and docs that repeat results, from their files"
    command = line.add("docs", text, "context-fbr docs --check", run)
    command.set_defaults(line=line)  # a page lists all commands
    command.add_argument("--check", action="store_true", help="change nothing, exit with 1 if one differs")


def run(options: Namespace) -> None:
    """Write the blocks, or check them."""
    from context_fbr_tools.study.blocks import doc_blocks  # imports pandas

    if options.check:
        problems = [problem for _, _, found in doc_blocks.outdated(options.line) for problem in found]
        if problems:
            raise UserError(*problems, "run `context-fbr docs`, then look at what changed")
        return
    for path in doc_blocks.write(options.line):
        print(f"{path}: updated")
