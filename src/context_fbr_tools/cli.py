"""`context-fbr`: the tools around the pipeline. `dvc repro` runs the pipeline itself."""

from collections.abc import Mapping
from importlib.metadata import version
from types import ModuleType

from context_fbr.runtime.entry import run_command
from context_fbr_tools.commands.data import advise, bundle, predict, task_convert, task_init, verify
from context_fbr_tools.commands.results import (
    cost,
    diff,
    docs,
    experiments,
    power,
    published,
    report,
    show,
    verify_report,
    wandb_push,
)
from context_fbr_tools.commands.slurm import cancel, collect, logs, status, submit
from context_fbr_tools.commands.study import (
    check,
    check_lock,
    completion,
    copy,
    doctor,
    grid_run,
    new,
    plan,
    profile,
    prune,
)
from context_fbr_tools.study import project
from context_fbr_tools.study.command_line import CommandLine

GROUPS: Mapping[str, tuple[ModuleType, ...]] = {
    "study": (check, profile, plan, grid_run, check_lock, prune, new, copy, doctor, completion),
    "data": (verify, task_init, task_convert, advise, predict, bundle),
    "results": (show, cost, experiments, diff, power, report, verify_report, published, wandb_push, docs),
    "grid on a Slurm cluster": (submit, status, logs, cancel, collect),
}
"""Every command: a module with `add_parser` and `run`, by group of the help."""
ABOVE = {"grid": "many cells at once", "task": "tasks of params.yaml", "wandb": "Weights & Biases"}
"""Help of the first word of commands with two."""


def command_line() -> CommandLine:
    """Build the command line with all commands."""
    line = CommandLine(str(__doc__), version("context-fbr"), ABOVE)
    for group, commands in GROUPS.items():
        line.group(group)
        for command in commands:
            command.add_parser(line)
    return line


def run(arguments: list[str]) -> int | None:
    """Run a command and return its exit status."""
    root = command_line().finished()
    options, others = root.parse_known_args(arguments)
    if "run" not in options:
        if others:
            options.parser.refuse(others)
        options.parser.print_help()
        return 0
    if others and not options.passes_on:
        options.parser.refuse(others)
    options.others = others
    if options.in_project:
        project.require()
    status: int | None = options.run(options)
    return status


def main() -> None:
    """Entry point of the console script."""
    run_command(run)
