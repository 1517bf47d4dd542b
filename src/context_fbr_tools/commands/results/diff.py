"""`context-fbr diff BASE [HEAD]`: what changed between two commits."""

import sys
from argparse import Namespace
from pathlib import Path

from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "diff",
        "what changed between two commits: inputs, results with intervals, cells, figures",
        "context-fbr diff HEAD~1 --fail-on-regression",
        run,
        in_project=False,
    )
    command.add_argument("base", metavar="BASE", help="a commit, branch or tag")
    command.add_argument(
        "head", nargs="?", metavar="HEAD", help="another (default: this folder with uncommitted changes)"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="instead of the terminal")
    command.add_argument("--json", type=Path, metavar="FILE", help="the same facts for programs")
    command.add_argument(
        "--figures", type=Path, metavar="DIR", help="a new folder for the figures of both sides"
    )
    command.add_argument(
        "--image-url", metavar="URL", help="of figures on the web, with {commit} and {path} in it"
    )
    command.add_argument(
        "--fail-on-regression", action="store_true", help="exit with 1 beyond the limits of params.yaml"
    )


def run(options: Namespace) -> int:
    """Print what changed; exit status 1 for a regression, if asked for."""
    from context_fbr_tools.diff.command import diff
    from context_fbr_tools.study.markdown_text import plain_line

    report = diff(
        options.base,
        options.head,
        markdown_file=options.markdown,
        json_file=options.json,
        figures=options.figures,
        image_url=options.image_url,
    )
    if not options.fail_on_regression:
        return 0
    for regression in report.regressions:
        print(f"regression: {plain_line(regression)}", file=sys.stderr)
    return 1 if report.regressions else 0
