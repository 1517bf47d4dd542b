"""`context-fbr check`: params.yaml is valid, its networks and patch sizes included."""

import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from context_fbr.config.document import PARAMS_FILE, Document, Location
from context_fbr.config.raw.source import folder_warnings
from context_fbr.config.study import Study, read_study
from context_fbr.config.training import Window
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.patch_size import PatchSize
from context_fbr.runtime.stop_signals import handle_signals
from context_fbr_tools.dvc import arm_stages
from context_fbr_tools.study.command_line import CommandLine

MAX_CPU_S = 4.0
"""Seconds for each network and patch size; the published networks take a tenth of a second."""


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    line.add("check", "validate params.yaml, networks and patch sizes included", "context-fbr check", run)


def run(_: Namespace) -> None:
    """Validate params.yaml, and dvc.yaml for its arms; print the number of cells."""
    study = read_study(Document.read())
    arm_stages.check(study)
    check_networks(study)
    check_windows(study)
    for name, task in study.tasks.items():
        for warning in folder_warnings(study.document, name, task.raw):
            print(f"warning: {warning}", file=sys.stderr)
    print(f"{PARAMS_FILE}: valid, {len(study.cells)} cells")


def check_networks(study: Study) -> None:
    """Check that every network of the study takes its arguments and every patch size.

    Raises:
        UserError: with every combination that does not work, or takes more than `MAX_CPU_S` to build.
    """
    from context_fbr.networks import factory  # imports torch and monai, which takes seconds

    problems: list[str] = []
    patch_sizes: dict[str, dict[PatchSize, None]] = {}
    for cell in study.cells:
        patch_sizes.setdefault(cell.model, {})[cell.patch_size] = None
    for model, sizes in patch_sizes.items():
        for patch_size in sizes:
            try:
                with _cpu_limit(MAX_CPU_S):
                    factory.check(study.document, model, patch_size)
            except _TooSlowError:
                text = f"takes more than {MAX_CPU_S:g} s to build: too many layers; look at its arguments"
                problems.append(study.document.problem(("models", model), text))
                break  # other patch sizes have the same layers
            except UserError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    raise_problems(problems)


def check_windows(study: Study) -> None:
    """Check that every network of the grid takes the windows of validation and evaluation.

    Raises:
        UserError: with every window that a network cannot take, and each network of fixed size that has no
            window of its patch size. Networks of fixed size are validated with their patch size alone.
    """
    from monai.networks import nets

    from context_fbr.networks import factory, windows

    document, problems = study.document, dict[str, None]()
    for model in study.grid.models:
        fixed = windows.has_fixed_size(getattr(nets, study.models[model].network))
        places: list[tuple[Location, Window]] = (
            [(("train", "validation_window"), study.train.validation_window)] if not fixed else []
        )
        for task in study.grid.tasks:
            key, values = ("tasks", task, "evaluate", "windows"), study.tasks[task].evaluate.windows
            if not fixed:
                places += [((*key, place), value) for place, value in enumerate(values)]
                continue
            for patch_size in study.grid.patch_sizes:
                if not windows.resolve(values, patch_size, fixed):
                    text = f"models.{model} takes windows of its patch size alone; add `patch`"
                    problems[document.problem(key, text)] = None
        for place, value in places:
            if not isinstance(value, str) and (
                failure := factory.size_problem(document, model, value, "window", "it")
            ):
                problems[document.problem(place, f"models.{model}: {failure}")] = None
    raise_problems(list(problems))


class _TooSlowError(BaseException):
    """The limit has passed; no Exception, which the code in between may handle."""


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise _TooSlowError when the block has taken so much CPU time of this process's main thread."""

    def expire(*_: object) -> None:
        raise _TooSlowError

    with handle_signals((signal.SIGVTALRM,), expire):
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
