"""`context-fbr check-lock`: dvc.lock describes this checkout."""

from argparse import Namespace

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "whether dvc.lock describes the code, parameters and committed results; needs no data"
    line.add("check-lock", text, "context-fbr check-lock", run)


def run(_: Namespace) -> None:
    """Check dvc.lock."""
    from context_fbr_tools.dvc import lock_check  # imports DVC's packages

    lock_check.check()
    print("dvc.lock: describes this checkout")
