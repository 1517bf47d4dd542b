"""`context-fbr advise TASK|DIR`: what patches of each size hold, and by a pilot, which network to train."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.core.patch_size import PatchSize, parse
from context_fbr_tools.data.label_values import label_values
from context_fbr_tools.study.command_line import CommandLine, positive


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "advise",
        "say what patches of each size hold of a data set; with --pilot, which cells to train",
        "context-fbr advise hippocampus --pilot 10",
        run,
        epilog="A pilot trains one seed of every cell of the task up to its first validation, keeps the\n"
        "best third, trains these three times as long, and so on, then the two best with another seed. The\n"
        "trainings are the first epochs of the study's own: `grid run` continues from their checkpoints.",
    )
    command.add_argument(
        "data", metavar="TASK|DIR", help="a task of params.yaml, or a data set in MSD layout"
    )
    command.add_argument("--patch-size", type=_size, nargs="+", metavar="N", help="default: of the grid")
    command.add_argument("--foreground", type=label_values, metavar="1,2", help="of DIR, as for `task init`")
    command.add_argument("--structures", action="store_true", help="of DIR, as for `task init`")
    command.add_argument(
        "--pilot", type=float, metavar="MINUTES", help="train for so long at most; TASK only"
    )
    command.add_argument(
        "--jobs", type=positive, metavar="N", help="trainings at once (default: as `grid run`)"
    )


def _size(text: str) -> PatchSize:
    """Read a patch size; raises ArgumentTypeError for anything else."""
    try:
        return parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def run(options: Namespace) -> None:
    """Print the facts, and the recommendation of a pilot."""
    from context_fbr.core.errors import UserError
    from context_fbr_tools.grid import gpus
    from context_fbr_tools.study.planning.advice import labels, patches, report
    from context_fbr_tools.study.planning.forecast import forecast
    from context_fbr_tools.study.text_tables import terminal_width

    study = read_study(Document.read())
    is_task = options.data in study.tasks
    if is_task:
        if options.foreground or options.structures:
            raise UserError(
                "--foreground and --structures go with a folder; a task has its own in params.yaml"
            )
        data = labels.of_task(options.data)
    else:
        if options.pilot is not None:
            raise UserError(
                "--pilot needs a task of params.yaml: `context-fbr task init DIR --write` makes one"
            )
        data = labels.of_folder(Path(options.data), study, options.foreground, options.structures)
    cells = [cell for cell in study.cells if cell.task == options.data]
    if options.pilot is not None and not cells:
        raise UserError(f"--pilot: {options.data} has no cells; add it to grid.tasks or to an arm")
    sizes = sorted({*(options.patch_size or [cell.patch_size for cell in cells] or study.grid.patch_sizes)})
    settings = study.training_of(cells[0]) if cells else study.train
    found = [patches.facts(data.cases, size, settings, data.structures) for size in sizes]
    places = gpus.places(study, options.jobs, None, None)
    known = forecast.known(study, cells, places.jobs, places.environment)
    costs = {size: [own for cell, own in known.items() if cell.patch_size == size] for size in sizes}
    print(report.as_text(data, found, {s: c for s, c in costs.items() if c}, terminal_width()))
    if options.pilot is not None:
        _pilot(study, cells, options.pilot, places.jobs)


def _pilot(study: Study, cells: Sequence[Cell], minutes: float, jobs: int) -> None:
    """Train a pilot and print what it recommends; raises UserError if not even one round ended in time."""
    from context_fbr.core.errors import UserError
    from context_fbr_tools.grid.one_run import one_run
    from context_fbr_tools.study.planning.advice.halving import rungs
    from context_fbr_tools.study.planning.advice.pilot import Pilot

    seeds = sorted({cell.seed for cell in cells})
    candidates = [cell for cell in cells if cell.seed == seeds[0]]
    another = seeds[1] if len(seeds) > 1 else seeds[0] + 1
    task = study.tasks[cells[0].task]

    def every(cell: Cell) -> int:
        return study.training_of(cell).validate_every_epochs

    at = rungs(task.train.epochs, max(map(every, candidates)))
    with one_run():
        found = Pilot(jobs, minutes, every).run(candidates, another, at)
    if found is None:
        raise UserError(f"--pilot {minutes:g}: not even the first round ended in time; give it more minutes")
    for one in found.rounds:
        ranked = ", ".join(f"{cell.model} {cell.patch_size}: {dice:.3f}" for cell, dice in one.dice.items())
        print(f"after {one.epochs} epochs: {ranked}")
    print("\n".join(found.sentences()))
