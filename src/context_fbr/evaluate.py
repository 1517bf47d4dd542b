"""Evaluate one cell on the test volumes: models/CELL -> metrics/test/TASK, data/predictions/TASK.

python -m context_fbr.evaluate TASK MODEL PATCH_SIZE SEED
"""

from context_fbr.config.cell import Cell
from context_fbr.runtime import locks, stage_inputs
from context_fbr.runtime.entry import run_command
from context_fbr.runtime.stop_signals import stop_requests


def main(arguments: list[str]) -> None:
    """Run the stage."""
    cell = Cell.from_arguments(arguments)
    with (
        stop_requests() as request,
        locks.exclusive_stage("evaluate", cell),
        stage_inputs.unchanged("evaluate", **cell.item) as inputs,
    ):
        from context_fbr.evaluation.cell import (
            evaluate,
        )  # takes seconds, in which a signal is handled already

        inputs.check()  # the modules that were just imported are those that `inputs` describes
        evaluate(cell.in_arm(inputs.arm), inputs, request)


if __name__ == "__main__":
    run_command(main)
