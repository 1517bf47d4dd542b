"""`context-fbr`: the tools around the pipeline. `dvc repro` runs the pipeline itself."""

import argparse
import sys
from pathlib import Path

from context_fbr import atomic
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.study.analysis import Analysis
from context_fbr.study.document import PARAMS_FILE, Document
from context_fbr.study.whole import Study, read_study


def check(study: Study) -> None:
    """Check that every network of the grid takes its arguments and every patch size.

    Raises:
        UserError: with every combination that does not work.
    """
    from context_fbr import networks  # imports torch and monai, which takes seconds

    problems: list[str] = []
    for model in study.grid.models:
        for patch_size in study.grid.patch_sizes:
            try:
                networks.check(study.document, model, patch_size)
            except UserError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    raise_problems(problems)


def _check(_: argparse.Namespace) -> None:
    study = read_study(Document.read())
    check(study)
    print(f"{PARAMS_FILE}: valid, {len(study.grid.cells)} cells")


def _check_lock(_: argparse.Namespace) -> None:
    from context_fbr import lock_check

    lock_check.check()
    print("dvc.lock: describes this checkout")


def _profile(options: argparse.Namespace) -> None:
    from context_fbr import profiles

    changes = profiles.apply(options.name, PARAMS_FILE)
    for change in changes:
        print(change)
    print(f"{PARAMS_FILE}: {len(changes) or 'no'} values changed, profile {options.name}")


def _prune(_: argparse.Namespace) -> None:
    from context_fbr.prune import prune

    removed = prune(read_study(Document.read()).grid)
    for name in removed:
        print(f"removed {name}")
    print(
        f"{len(removed) or 'nothing'} removed"
        + ("; `dvc repro` brings the analysis up to date" if removed else "")
    )


def _grid_run(options: argparse.Namespace) -> None:
    from context_fbr.grid import local

    study = read_study(Document.read())
    check(study)
    local.run(study, options.jobs or local.default_jobs(study))


def _copy(options: argparse.Namespace) -> None:
    from context_fbr.sandbox import copy_project

    copy_project(options.folder)
    print(f"{options.folder}: a copy of the project with a DVC cache of its own")


def _show(options: argparse.Namespace) -> None:
    from context_fbr import show

    print(show.render(options.metrics, markdown=options.markdown))


def _experiments(options: argparse.Namespace) -> int:
    from context_fbr.grid import dvc

    # Not the hashes of a hundred dependencies, whose names have slashes, nor what is the same everywhere.
    return dvc.call("exp", "show", "--only-changed", "--drop", ".*/|Executor", *options.others)


def _diff(options: argparse.Namespace) -> int:
    from context_fbr.comparison.command import diff

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
    for line in report.regressions:
        print(f"regression: {line}", file=sys.stderr)
    return 1 if report.regressions else 0


def _published(options: argparse.Namespace) -> int:
    from context_fbr import published, ranges, report
    from context_fbr.results import KEYS

    settings = Document.read().section(("analysis",), Analysis)
    if options.out.exists() and not (options.out.is_dir() and not any(options.out.iterdir())):
        raise UserError(f"{options.out}: is there already; name a new folder")
    found = published.read_published(options.folder)
    for problem in found.problems:
        print(f"error: {problem}", file=sys.stderr)
    if found.problems and not options.keep_going:
        raise UserError(
            f"{options.folder}: not analysed, see above; mend it, or give --keep-going to analyse the rest"
        )
    with atomic.directory(options.out) as folder:
        report.write_csv(folder / "ranges.csv", ranges.published_ranges(found.evidence))
        report.write_report(found.evidence, settings, folder, folder)
    runs = len(found.evidence.cells[KEYS].drop_duplicates())
    print(f"{options.out}: tables, findings and figures of {runs} runs")
    return 1 if found.problems else 0


def _verify(options: argparse.Namespace) -> int:
    from context_fbr.msd import command

    return command.run(options.name, options.json)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="context-fbr", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("check", help="validate params.yaml, networks and patch sizes included")
    command.set_defaults(do=_check)

    command = commands.add_parser(
        "check-lock",
        help="whether dvc.lock describes the code, parameters and committed results; needs no data",
    )
    command.set_defaults(do=_check_lock)

    command = commands.add_parser("profile", help="write profiles/NAME.yaml into params.yaml, comments kept")
    command.add_argument("name", metavar="NAME", help="smoke, desk or paper")
    command.set_defaults(do=_profile)

    command = commands.add_parser("show", help="print the results and the findings as tables")
    command.add_argument(
        "metrics",
        nargs="?",
        type=Path,
        default=Path("metrics"),
        metavar="DIR",
        help="folder of summary.json and findings.json (default: metrics)",
    )
    command.add_argument("--markdown", action="store_true", help="as in the README")
    command.set_defaults(do=_show)

    command = commands.add_parser(
        "experiments", help="`dvc exp show` with the columns that matter; takes its options"
    )
    command.set_defaults(do=_experiments, passes_on=True)

    command = commands.add_parser(
        "diff", help="what changed between two commits: inputs, results with intervals, cells, figures"
    )
    command.add_argument("base", metavar="BASE", help="a commit, branch or tag")
    command.add_argument(
        "head", nargs="?", metavar="HEAD", help="likewise (default: this folder with uncommitted changes)"
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
    command.set_defaults(do=_diff)

    command = commands.add_parser(
        "published", help="analyse a folder of the published results with this study's methods"
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder for the results"
    )
    command.add_argument(
        "--keep-going",
        action="store_true",
        help="analyse what is sound all the same, exit with 1",
    )
    command.set_defaults(do=_published)

    command = commands.add_parser(
        "verify", help="read every file of a data set in MSD layout and say all that is wrong with it"
    )
    command.add_argument("name", metavar="TASK|DIR", help="a folder, or a task: data/raw/TASK")
    command.add_argument("--json", type=Path, metavar="FILE", help="the same facts for programs")
    command.set_defaults(do=_verify)

    command = commands.add_parser("prune", help="remove results and lock entries of cells that left the grid")
    command.set_defaults(do=_prune)

    command = commands.add_parser(
        "copy", help="copy the project, as it is now, into an empty folder to try things"
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.set_defaults(do=_copy)

    grid = commands.add_parser("grid", help="many cells at once").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command = grid.add_parser("run", help="bring the study up to date, cells side by side on this machine")
    command.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="cells at once (default: cores / train.threads, or as many as there are GPUs)",
    )
    command.set_defaults(do=_grid_run)
    return root


def _main(arguments: list[str]) -> int | None:
    root = parser()
    options, others = root.parse_known_args(arguments)
    if others and "passes_on" not in options:
        root.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = others
    status: int | None = options.do(options)
    return status


def main() -> None:
    """Entry point of the console script."""
    run(_main)
