"""`context-fbr grid run`: bring the study up to date, cells side by side on this machine."""

from argparse import Namespace

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError, raise_problems
from context_fbr_tools.commands.study.check import check_networks
from context_fbr_tools.dvc import arm_stages
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine, positive


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "grid run",
        "bring the study up to date, cells side by side on this machine",
        "context-fbr grid run --jobs 2 'spheres-unet-*'",
        run,
    )
    command.add_argument(
        "cells",
        nargs="*",
        metavar="CELLS",
        help="only these: keys, or patterns such as 'spheres-unet-*' (default: the whole study)",
    )
    command.add_argument(
        "--tasks", nargs="+", metavar="TASK", help="only these tasks, then what needs no other task"
    )
    command.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="cells at once (default: cores / train.threads, or as many as there are GPUs)",
    )
    command.add_argument(
        "--gpus", metavar="0,1", help="only these CUDA devices (default: all that are there)"
    )
    command.add_argument(
        "--per-gpu", type=positive, metavar="K", help="cells at once on each GPU (default: 1)"
    )


def run(options: Namespace) -> None:
    """Bring the study, or some of its cells, up to date."""
    study = read_study(Document.read())
    chosen = select_cells.chosen(options.cells, study.cells) if options.cells else None
    if options.tasks and chosen:
        raise UserError("expected --tasks or CELLS, not both")
    unknown = [task for task in options.tasks or () if task not in study.study_cells.tasks]
    raise_problems(
        [f"--tasks: {task}: has no cells; {suggestion(task, study.study_cells.tasks)}" for task in unknown]
    )
    print(f"{len(study.cells)} cells in params.yaml: checking networks, stages and data", flush=True)
    from context_fbr_tools.grid.one_run import one_run

    with one_run():  # refused before the imports below, which take seconds
        from context_fbr_tools.grid import gpus, local

        places = gpus.places(study, options.jobs, options.gpus, options.per_gpu)
        arm_stages.check(study)
        check_networks(study)
        local.run(study, places.jobs, chosen, places.environment, options.tasks)
