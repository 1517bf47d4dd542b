"""How do the study's networks do on designed test sets? Trained cells -> benchmarks/designed_scores.csv.

python -m benchmarks.designed_scores

Each test set has one volume for each radius, and a seed of its own for backgrounds and centres; all cells of
the task `spheres` are scored on the same volumes. Two sets differ by what is random of a case, so that
benchmarks/designed_coverage.py can draw studies from the study's own curves. Takes about twenty minutes on a
core.
"""

from pathlib import Path

import pandas as pd
import torch

from context_fbr.analysis.result_files import write_csv
from context_fbr.config.document import Document
from context_fbr.config.evaluation import EvaluateConfig
from context_fbr.config.grid import Grid
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.core.progress import progress
from context_fbr.datasets import spheres
from context_fbr.metrics.overlap import score
from context_fbr.networks.sliding_window import segment
from context_fbr.training import weights

TASK = "spheres"
TEST_SETS = 6
RADIUS = (2, 23)
PATH = Path("benchmarks/designed_scores.csv")


def table() -> pd.DataFrame:
    """Dice, a row for each test set and radius, a column for each cell: MODEL-PATCH-SEED."""
    document = Document.read()
    device = torch.device("cpu")
    torch.set_num_threads(1)
    recipe = document.section(("tasks", TASK, "raw"), SpheresRaw)
    designed = recipe.test.model_copy(update={"volumes": None, "each": True, "radius": RADIUS})
    recipe = recipe.model_copy(update={"test": designed})
    cells = [cell for cell in document.section(("grid",), Grid).cells if cell.task == TASK]
    networks = [weights.load_network(weights.read_training(cell), device) for cell in cells]
    window = EvaluateConfig.read(document, cells[0]).window
    rows = []
    places = [(number, index) for number in range(1, TEST_SETS + 1) for index in range(designed.count)]
    for number, index in progress(places, len(places), "designed scores", "volume"):
        own = recipe.model_copy(update={"seed": recipe.seed + number})
        image, label = spheres.generate(own, spheres.TEST, index)
        voxels = torch.from_numpy(image)
        row: dict[str, object] = {"test_set": number, "radius": RADIUS[0] + index}
        for cell, network in zip(cells, networks, strict=True):
            mask = segment(network, voxels, cell.patch_size, window, 0.0).numpy()
            row[cell.key.removeprefix(f"{TASK}-")] = score(mask, label).dice
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    write_csv(PATH, table())
