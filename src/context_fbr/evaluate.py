"""Evaluate one cell on the test volumes: models/CELL -> metrics/test/CELL.csv, data/predictions/CELL.

python -m context_fbr.evaluate TASK MODEL PATCH_SIZE SEED
"""

from context_fbr import locks
from context_fbr.cells import Cell
from context_fbr.errors import run
from context_fbr.stopping import stop_requests
from context_fbr.study.document import Document


def main(arguments: list[str]) -> None:
    """Run the stage."""
    cell = Cell.from_arguments(arguments)
    document = Document.read()
    with stop_requests() as request, locks.alone("evaluate", cell):
        from context_fbr.cell_evaluation import evaluate  # takes seconds, in which a signal is heard already

        evaluate(cell, document, request)


if __name__ == "__main__":
    run(main)
