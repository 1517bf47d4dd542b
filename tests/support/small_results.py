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
    """A cell's table of scores from the published columns of its rows; what is ours is undefined or 0."""
    ours = [column.nullable for column in columns.CASE_SCHEMA[len(columns.SCORES) :]]
    more = "".join("," if nullable else ",0" for nullable in ours) + ",0,16"
    return "\n".join([",".join(columns.CELL_SCORES), *(f"{row}{more}" for row in rows), ""])
