"""Evaluate what needs no network on a task's test volumes -> metrics/baselines/TASK.csv.

python -m context_fbr.baseline TASK

The threshold is the one with the best mean Dice on the validation volumes; the masks are scored as those of
the networks are.
"""

from pathlib import Path

from context_fbr import atomic, baselines, prepared
from context_fbr.errors import UserError, run
from context_fbr.progress import progress


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    (task,) = arguments
    validation = [prepared.read_volume(task, case) for case in prepared.read_cases(task, "validation")]
    threshold = baselines.fit_threshold(validation, baselines.candidates(validation))
    cases = prepared.read_cases(task, "test")
    table = baselines.evaluate(
        (
            (case.name, *prepared.read_volume(task, case))
            for case in progress(cases, len(cases), f"baseline {task}", "case")
        ),
        threshold,
    )
    atomic.write_text(Path("metrics/baselines") / f"{task}.csv", table)


if __name__ == "__main__":
    run(main)
