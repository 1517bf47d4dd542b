"""What each command of `context-fbr` does with its options; each imports only what it needs."""

import sys
from argparse import Namespace
from pathlib import Path

from context_fbr.config.analysis import Analysis
from context_fbr.config.cell import Cell
from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.config.grid import Grid
from context_fbr.config.raw import folder_warnings
from context_fbr.config.study import Study, read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems, visible
from context_fbr_tools.study import project, select_cells


def check_networks(study: Study) -> None:
    """Check that every network of the grid takes its arguments and every patch size.

    Raises:
        UserError: with every combination that does not work.
    """
    from context_fbr.networks import factory  # imports torch and monai, which takes seconds

    problems: list[str] = []
    for model in study.grid.models:
        for patch_size in study.grid.patch_sizes:
            try:
                factory.check(study.document, model, patch_size)
            except UserError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    raise_problems(problems)


def check(_: Namespace) -> None:
    """Validate params.yaml, the networks included."""
    study = read_study(Document.read())
    check_networks(study)
    for name, task in study.tasks.items():
        for warning in folder_warnings(study.document, name, task.raw):
            print(f"warning: {warning}", file=sys.stderr)
    print(f"{PARAMS_FILE}: valid, {len(study.grid.cells)} cells")


def doctor(options: Namespace) -> int:
    """Say what of this machine and checkout is fine, doubtful or wrong."""
    from context_fbr_tools.doctor import command

    return command.run(options.json, options.full)


def check_lock(_: Namespace) -> None:
    """Whether dvc.lock describes this checkout."""
    from context_fbr_tools.dvc import lock_check

    lock_check.check()
    print("dvc.lock: describes this checkout")


def profile(options: Namespace) -> None:
    """Write a profile into params.yaml."""
    from context_fbr.config import profiles

    changes = profiles.apply(options.name, PARAMS_FILE)
    for change in changes:
        print(visible(str(change)))
    print(f"{PARAMS_FILE}: {len(changes) or 'no'} values changed, profile {options.name}")


def prune(options: Namespace) -> None:
    """Remove what left the grid."""
    from context_fbr_tools.dvc import prune

    plan = prune.plan(read_study(Document.read()).grid)
    for line in plan.lines():
        print(line)
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


def wandb_push(options: Namespace) -> None:
    """Upload cells to W&B."""
    document = Document.read()
    cells = read_study(document).grid.cells
    chosen = select_cells.chosen(options.cells, cells) if options.cells else cells
    from context_fbr_tools.wandb_sync import push  # imports torch, which takes seconds

    print(f"{push.push(document, chosen, named=bool(options.cells))} of {len(chosen)} cells are in W&B")


def grid_run(options: Namespace) -> None:
    """Bring the study, or some of its cells, up to date."""
    study = read_study(Document.read())
    chosen = select_cells.chosen(options.cells, study.grid.cells) if options.cells else None
    from context_fbr_tools.grid.one_run import one_run

    with one_run():  # refused before the imports below
        from context_fbr_tools.grid import (
            gpus,
            local,  # imports torch, which takes seconds
        )

        places = gpus.places(study, options.jobs, options.gpus, options.per_gpu)
        check_networks(study)
        local.run(study, places.jobs, chosen, places.environment)


def grid_submit(options: Namespace) -> int:
    """Submit cells to Slurm."""
    from context_fbr_tools.slurm import command, config

    where = config.read()
    study = read_study(Document.read())
    check_networks(study)
    return command.submit_cells(
        study, where, select_cells.chosen(options.cells, study.grid.cells), options.watch
    )


def grid_status(options: Namespace) -> int:
    """How cells stand on the cluster."""
    from context_fbr_tools.slurm import command

    return command.status(_chosen_or_all(options), options.watch)


def grid_logs(options: Namespace) -> None:
    """What a cell's job says."""
    from context_fbr_tools.slurm import command

    cells = read_study(Document.read()).grid.cells
    command.logs(select_cells.planned_or_trained(options.cell, cells), options.follow)


def grid_cancel(options: Namespace) -> None:
    """Cancel cells."""
    from context_fbr_tools.slurm import command

    command.cancel(_chosen_or_all(options) if options.cells else None)


def grid_collect(_: Namespace) -> None:
    """Bring the cluster's results here."""
    from context_fbr_tools.grid.one_run import one_run
    from context_fbr_tools.slurm import collect, config

    with one_run():
        collect.collect(read_study(Document.read()), config.read())
    print("the study is up to date")


def _chosen_or_all(options: Namespace) -> tuple[Cell, ...]:
    cells = read_study(Document.read()).grid.cells
    return select_cells.chosen(options.cells, cells) if options.cells else cells


def copy(options: Namespace) -> None:
    """Copy the project."""
    from context_fbr_tools.dvc.project_copy import copy_project

    copy_project(options.folder)
    print(f"{visible(str(options.folder))}: a copy of the project with a DVC cache of its own")


def show(options: Namespace) -> None:
    """Print results and findings."""
    from context_fbr_tools.study import show
    from context_fbr_tools.study.text_tables import terminal_width

    print(show.render(options.metrics, options.markdown, terminal_width()))


def experiments(options: Namespace) -> int:
    """Show DVC's experiments."""
    from context_fbr_tools.study import experiments
    from context_fbr_tools.study.text_tables import terminal_width

    return experiments.show(options.others, terminal_width())


def diff(options: Namespace) -> int:
    """What changed between two commits."""
    from context_fbr_tools.diff.command import diff
    from context_fbr_tools.study.markdown_text import plain_line

    analyze = diff(
        options.base,
        options.head,
        markdown_file=options.markdown,
        json_file=options.json,
        figures=options.figures,
        image_url=options.image_url,
    )
    if not options.fail_on_regression:
        return 0
    for line in analyze.regressions:
        print(f"regression: {plain_line(line)}", file=sys.stderr)
    return 1 if analyze.regressions else 0


def published(options: Namespace) -> int:
    """Analyse published results."""
    from context_fbr import analyze
    from context_fbr.analysis import foreground_ranges
    from context_fbr.analysis.results import CELL_COLUMNS
    from context_fbr_tools.study import published

    settings = Document.read().section(("analysis",), Analysis)
    if options.out.exists() and not (options.out.is_dir() and not any(options.out.iterdir())):
        raise UserError(f"{options.out}: is there already; name a new folder")
    found = published.read_published(options.folder)
    for problem in found.problems:
        print(f"error: {visible(problem)}", file=sys.stderr)
    if found.problems and not options.keep_going:
        raise UserError(
            f"{options.folder}: not analysed, see above; mend it, or give --keep-going to analyse the rest"
        )
    with atomic.directory(options.out) as folder:
        analyze.write_csv(folder / "ranges.csv", foreground_ranges.published_ranges(found.evidence))
        analyze.write_report(found.evidence, settings, folder, folder)
    runs = len(found.evidence.cells[CELL_COLUMNS].drop_duplicates())
    print(f"{visible(str(options.out))}: tables, findings and figures of {runs} runs")
    return 1 if found.problems else 0


def verify(options: Namespace) -> int:
    """Verify a data set."""
    from context_fbr_tools.data import verify as command

    if not Path(options.name).is_dir():
        project.require()
    return command.run(options.name, options.json)


def task_init(options: Namespace) -> None:
    """Propose the block of a task."""
    from context_fbr_tools.data import task_init as command

    command.run(
        options.folder,
        options.name,
        options.foreground,
        options.write,
        options.write_dataset_json,
        options.modality,
    )


def predict(options: Namespace) -> None:
    """Segment images."""
    cell = select_cells.planned_or_trained(options.cell, Document.read().section(("grid",), Grid).cells)
    from context_fbr_tools.study import predict  # imports torch and monai, which takes seconds

    for line in predict.predict(cell, options.images, options.out, options.overwrite):
        print(visible(line), flush=True)


IN_PROJECT = frozenset(
    {
        check,
        check_lock,
        profile,
        prune,
        wandb_push,
        grid_run,
        grid_submit,
        grid_status,
        grid_logs,
        grid_cancel,
        grid_collect,
        copy,
        task_init,
        predict,
    }
)
"""Commands that run in the folder of params.yaml only; `verify` does if its argument is no folder."""
