"""Pictures of a cell's cases for its model card."""

import pandas as pd

from context_fbr.config.analysis import OverlayConfig
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import raise_problems
from context_fbr.figures.overlays import overlays
from context_fbr.overlay import choose, credit, panel_of
from context_fbr.preprocessing import prepared


def draw(cell: Cell, own: pd.DataFrame, document: Document) -> bytes:
    """Draw the median and the worst test case of a cell.

    Args:
        cell: that is evaluated.
        own: rows of its test cases, of `columns.CELL_SCORES`.
        document: params.yaml.

    Raises:
        UserError: if no case has a Dice, or a volume is missing or does not fit.
    """
    window = OverlayConfig.read(document, cell.task).window
    cases = {case.name: case for case in prepared.read_cases(cell.task, "test")}
    chosen = choose(own)
    raise_problems(
        [
            f"{cell.scores}: {name} is no test case of {cell.task}; run `dvc repro`"
            for name in chosen["filename"]
            if name not in cases
        ]
    )
    panels = [
        panel_of(cell, cases[row["filename"]], row, window)[1] for row in chosen.to_dict(orient="records")
    ]
    return overlays(panels, credit(cell.task))
