"""Train one cell: data/prepared/TASK -> models/CELL, metrics/{train,foreground_ratios}/CELL.csv.

python -m context_fbr.train TASK MODEL PATCH_SIZE SEED
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
    with stop_requests() as request, locks.alone("train", cell):
        from context_fbr.cell_training import train  # takes seconds, in which a signal is heard already

        train(cell, document, request)


if __name__ == "__main__":
    run(main)
