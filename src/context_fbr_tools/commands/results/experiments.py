"""`context-fbr experiments`: DVC's experiments as a table."""

from argparse import Namespace

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    line.add(
        "experiments",
        "the experiments of DVC: scores, and the parameters that differ",
        "context-fbr experiments",
        run,
        in_project=False,
        passes_on=True,
        epilog="Options of `dvc exp show` are passed on: --all-commits, -n 3, --csv, --json ...",
    )


def run(options: Namespace) -> int:
    """Print DVC's experiments; the exit status is that of `dvc exp show`."""
    from context_fbr_tools.study import experiments
    from context_fbr_tools.study.text_tables import terminal_width

    return experiments.show(options.others, terminal_width())
