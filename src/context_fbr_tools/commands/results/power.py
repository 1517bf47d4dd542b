"""`context-fbr power`: the difference that a study detects, and what a smaller one needs."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "print which difference of Dice the study detects, and what a smaller one needs"
    command = line.add("power", text, "context-fbr power --target 0.02", run, in_project=False)
    command.add_argument(
        "--from",
        dest="metrics",
        type=Path,
        default=Path("metrics"),
        metavar="DIR",
        help="folder of the results of a study (default: metrics)",
    )
    command.add_argument("--target", type=_difference, default=0.02, metavar="DICE", help="default: 0.02")
    command.add_argument("--out", type=Path, metavar="DIR", help="also write power.csv and power.png here")


def run(options: Namespace) -> None:
    """Print the table; write table and figure if asked to."""
    from context_fbr.core import atomic
    from context_fbr_tools.study.planning import report
    from context_fbr_tools.study.text_tables import terminal_width

    detections = report.read_detections(options.metrics)
    found = report.as_table(detections, options.target)
    print(report.as_text(found, options.target, terminal_width()))
    if options.out is not None:
        atomic.write_text(options.out / "power.csv", found.to_csv(index=False, lineterminator="\n"))
        atomic.write_bytes(options.out / "power.png", report.as_figure(detections, options.target))


def _difference(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ArgumentTypeError(f"expected a number between 0 and 1, got {text}")
    return value
