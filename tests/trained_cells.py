"""A trained cell on disk, for tests that need its weights and no training."""

import hashlib
import json

from context_fbr import atomic
from context_fbr.cells import TRAINING_FORMAT, Cell
from context_fbr.recipe import Recipe
from context_fbr.study.document import Document
from context_fbr.study.preparation import Preparation
from context_fbr.study.training import Network

RECIPE = Recipe(Preparation(), ("CT",), -1000.0)


def write(cell: Cell, document: Document, weights: bytes, recipe: Recipe = RECIPE) -> None:
    """Write weights.pt, and the training.json that belongs to these bytes."""
    network = document.section(("networks", cell.model), Network).model_dump(mode="json")
    content = {
        "format": TRAINING_FORMAT,
        "cell": cell.key,
        "network": network,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "recipe": recipe.as_json(),
        "training_spacing_mm": {"least": [1.0, 1.0, 1.0], "greatest": [1.0, 1.0, 1.0]},
    }
    atomic.write_bytes(cell.weights, weights)
    atomic.write_text(cell.training, json.dumps(content, indent=1))
