"""A trained cell on disk, for tests that need its weights and no training."""

import hashlib
import json

from context_fbr.config.cell import TRAINING_FORMAT, Cell
from context_fbr.config.document import Document
from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.config.training import Model
from context_fbr.core import atomic
from context_fbr.preprocessing.recipe import Recipe

RECIPE = Recipe(Preparation(), ("CT",), -1000.0)


def write(cell: Cell, document: Document, weights: bytes, recipe: Recipe = RECIPE) -> None:
    """Write weights.pt, and the training.json that belongs to these bytes."""
    network = document.section(("models", cell.model), Model).block
    content = {
        "format": TRAINING_FORMAT,
        "cell": cell.key,
        "network": network,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "recipe": recipe.as_json(),
        "core": None,
        "training_spacing_mm": {"least": [1.0, 1.0, 1.0], "greatest": [1.0, 1.0, 1.0]},
    }
    atomic.write_bytes(cell.weights, weights)
    atomic.write_text(cell.training, json.dumps(content, indent=1))
