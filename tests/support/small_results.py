"""Result tables of a few cells, and the limits by which tests judge them."""

from context_fbr.config.analysis import Analysis
from context_fbr.config.cell import Cell
from context_fbr.metrics import columns

SETTINGS = Analysis(
    convergence_tolerance=0.02,
    minimum_validation_dice=0.6,
    confidence=0.95,
    small_loss=0.05,
    exchanged_norms=(("unet", "attention_unet"),),
)
CELLS = [
    Cell("spheres", model, size, seed) for model in ("unet", "unetr") for size in (8, 16) for seed in (1, 2)
]


def score_table(*rows: str) -> str:
    """A cell's table of scores from the published columns of its rows; what is ours is undefined."""
    ours = len(columns.CASE_SCORES) - len(columns.SCORES)
    return "\n".join([",".join(columns.CELL_SCORES), *(f"{row}{',' * ours},0" for row in rows), ""])
