"""`context-fbr`: the tools around the pipeline. `dvc repro` runs the pipeline itself."""

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

from context_fbr.runtime.entry import run_command
from context_fbr_tools.study import commands as actions
from context_fbr_tools.study import project
from context_fbr_tools.study.command_parser import Parser, add_examples


def _label_values(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers, such as 1,2, got {text!r}") from None


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def _add(commands: Any, name: str, help: str, **options: Any) -> argparse.ArgumentParser:  # noqa: A002
    """Add a command, whose own help begins with its line in the list."""
    added: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help, **options)
    return added


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    root = Parser(prog="context-fbr", description=__doc__, usage="context-fbr COMMAND ...")
    root.add_argument("--version", action="version", version=f"context-fbr {version('context-fbr')}")
    commands = root.add_subparsers(prog="context-fbr", metavar="COMMAND", help=argparse.SUPPRESS)

    command = _add(commands, "check", help="validate params.yaml, networks and patch sizes included")
    command.set_defaults(do=actions.check)

    command = _add(
        commands,
        "doctor",
        help="check this machine and this folder: OK, warning or error, each with a fix",
    )
    command.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=Path("-"),
        metavar="FILE",
        help="the same facts for programs (without FILE: on standard output, no table)",
    )
    command.set_defaults(do=actions.doctor)

    command = _add(
        commands,
        "check-lock",
        help="whether dvc.lock describes the code, parameters and committed results; needs no data",
    )
    command.set_defaults(do=actions.check_lock)

    command = _add(commands, "profile", help="write profiles/NAME.yaml into params.yaml, comments kept")
    command.add_argument("name", metavar="NAME", help="smoke, desk or paper")
    command.set_defaults(do=actions.profile)

    command = _add(commands, "show", help="print the results and the findings as tables")
    command.add_argument(
        "metrics",
        nargs="?",
        type=Path,
        default=Path("metrics"),
        metavar="DIR",
        help="folder of summary.json and findings.json (default: metrics)",
    )
    command.add_argument("--markdown", action="store_true", help="as in the README")
    command.set_defaults(do=actions.show)

    command = _add(
        commands,
        "experiments",
        help="the experiments of DVC: scores, and the parameters that differ",
        epilog="Options of `dvc exp show` are passed on: --all-commits, -n 3, --csv, --json ...",
    )
    command.set_defaults(do=actions.experiments, passes_on=True)

    command = _add(
        commands,
        "diff",
        help="what changed between two commits: inputs, results with intervals, cells, figures",
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
    command.set_defaults(do=actions.diff)

    command = _add(
        commands, "published", help="analyse a folder of the published results with this study's methods"
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
    command.set_defaults(do=actions.published)

    command = _add(
        commands,
        "verify",
        help="read every file of a data set in MSD layout and say all that is wrong with it",
    )
    command.add_argument("name", metavar="TASK|DIR", help="a folder, or a task: data/raw/TASK")
    command.add_argument("--json", type=Path, metavar="FILE", help="the same facts for programs")
    command.set_defaults(do=actions.verify)

    task = _add(commands, "task", help="tasks of params.yaml").add_subparsers(metavar="COMMAND")
    command = _add(
        task,
        "init",
        help="look at a data set in MSD layout and propose its block of params.yaml",
        epilog="The block goes to standard output, indented as below `tasks:`, for you to paste there.\n"
        "The report of `verify` goes to standard error. With --write the block goes into params.yaml,\n"
        "after the last task; other values and all comments are kept. A data set with errors gets\n"
        "no block.",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="holds dataset.json, imagesTr and labelsTr")
    command.add_argument(
        "--name", metavar="NAME", help="of the task (default: from dataset.json, else from the folder)"
    )
    command.add_argument(
        "--foreground",
        type=_label_values,
        metavar="1,2",
        help="label values, segmented together as one class (default: the first that a case has)",
    )
    command.add_argument("--write", action="store_true", help="into params.yaml")
    command.add_argument(
        "--write-dataset-json",
        action="store_true",
        help="first write DIR/dataset.json, which must not be there, from what the files tell",
    )
    command.add_argument("--modality", metavar="NAME", help="for that dataset.json: CT, MRI, ...")
    command.set_defaults(do=actions.task_init)

    command = _add(commands, "predict", help="segment images with a trained cell, each on its own grid")
    command.add_argument("cell", metavar="CELL", help="for example spleen-unet-96-1")
    command.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="a .nii or .nii.gz file, or a folder of them"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the masks, NAME.nii.gz")
    command.add_argument("--overwrite", action="store_true", help="replace masks that are there already")
    command.set_defaults(do=actions.predict)

    command = _add(commands, "prune", help="remove results and lock entries of cells that left the grid")
    command.add_argument("--dry-run", action="store_true", help="list what would be removed, remove nothing")
    command.set_defaults(do=actions.prune)

    command = _add(
        commands, "copy", help="copy the project, as it is now, into an empty folder to try things"
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.set_defaults(do=actions.copy)

    wandb = _add(commands, "wandb", help="Weights & Biases, a mirror of results").add_subparsers(
        metavar="COMMAND"
    )
    command = _add(
        wandb, "push", help="upload finished cells to W&B from their files; skips what it has already"
    )
    command.add_argument(
        "cells", nargs="*", metavar="CELL", help="keys, or patterns such as 'spheres-unet-*' (default: all)"
    )
    command.set_defaults(do=actions.wandb_push)

    grid = _add(commands, "grid", help="many cells at once").add_subparsers(metavar="COMMAND")
    command = _add(grid, "run", help="bring the study up to date, cells side by side on this machine")
    command.add_argument(
        "cells",
        nargs="*",
        metavar="CELLS",
        help="only these: keys, or patterns such as 'spheres-unet-*' (default: the whole study)",
    )
    command.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="cells at once (default: cores / train.threads, or as many as there are GPUs)",
    )
    command.add_argument(
        "--gpus", metavar="0,1", help="only these CUDA devices (default: all that are there)"
    )
    command.add_argument(
        "--per-gpu", type=_positive, metavar="K", help="cells at once on each GPU (default: 1)"
    )
    command.set_defaults(do=actions.grid_run)

    command = _add(
        grid, "submit", help="submit the cells that are not done to a Slurm cluster, see grid.toml"
    )
    command.add_argument("cells", nargs="*", metavar="CELL", help="only these; those that failed, too")
    command.add_argument(
        "--watch", action="store_true", help="stay until they have ended, submit again what is lost"
    )
    command.set_defaults(do=actions.grid_submit)

    command = _add(grid, "status", help="how the cells stand on the cluster")
    command.add_argument("cells", nargs="*", metavar="CELL")
    command.add_argument("--watch", action="store_true", help="until they have ended")
    command.set_defaults(do=actions.grid_status)

    command = _add(grid, "logs", help="what a cell's last job said")
    command.add_argument("cell", metavar="CELL")
    command.add_argument("-f", "--follow", action="store_true", help="go on while it runs")
    command.set_defaults(do=actions.grid_logs)

    command = _add(grid, "cancel", help="end the jobs of cells; what they have computed is kept")
    command.add_argument("cells", nargs="*", metavar="CELL", help="default: all")
    command.set_defaults(do=actions.grid_cancel)

    command = _add(grid, "collect", help="bring the cluster's results here and analyse them")
    command.set_defaults(do=actions.grid_collect)
    add_examples(root)
    return root


def _main(arguments: list[str]) -> int | None:
    root = parser()
    options, others = root.parse_known_args(arguments)
    if others and "passes_on" not in options:
        options.parser.refuse(others)
    if "do" not in options:
        options.parser.print_help()
        return 0
    options.others = others
    if options.do in actions.IN_PROJECT:
        project.require()
    status: int | None = options.do(options)
    return status


def main() -> None:
    """Entry point of the console script."""
    run_command(_main)
