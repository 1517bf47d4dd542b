"""A cell of the grid and the paths of its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize, parse

TRAINING_FORMAT = 5
"""Version of training.json; cells of another version are trained again."""
AXES = {"task": "tasks", "model": "models", "patch_size": "patch_sizes", "seed": "seeds"}
"""Lists of a product by the value of a cell that they hold."""


@dataclass(frozen=True, order=True)
class Cell:
    """One training and one evaluation. Paths are relative to the repository's root, where stages run."""

    task: str
    model: str
    patch_size: PatchSize
    """Edge of a cubic patch in voxels, or three edges."""
    seed: int
    arm: str = field(default="", compare=False, kw_only=True)
    """Name under `arms` in params.yaml; empty: in `grid`, or unknown. It decides the names of stages only."""

    @property
    def key(self) -> str:
        """Return the name of the cell, for example `spheres-unet-32-1`."""
        return f"{self.task}-{self.model}-{self.patch_size}-{self.seed}"

    def stage(self, kind: str) -> str:
        """Return DVC's name of a stage: `train@spheres-unet-32-1`, or `train_ARM@...` in an arm."""
        return f"{kind}{self.arm and '_'}{self.arm}@{self.key}"

    def in_arm(self, arm: str) -> "Cell":
        """Return the cell with its arm's name."""
        return replace(self, arm=arm)

    @property
    def item(self) -> dict[str, str]:
        """Values of the matrix of dvc.yaml, by name and in its order."""
        values = (self.task, self.model, str(self.patch_size), str(self.seed))
        return dict(zip(("task", "model", "patch_size", "seed"), values, strict=True))

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> "Cell":
        """Read the command line of a stage: TASK MODEL PATCH_SIZE SEED.

        Raises:
            UserError: if these are not two names, a size and a whole number.
        """
        try:
            task, model, patch_size, seed = arguments
            return cls(task, model, parse(patch_size), int(seed))
        except ValueError:
            raise UserError(
                f"expected TASK MODEL PATCH_SIZE SEED, for example `spheres unet 32 1`, got {arguments}"
            ) from None

    @classmethod
    def from_key(cls, key: str) -> "Cell":
        """The inverse of `key`; errors as in `from_arguments`."""
        return cls.from_arguments(key.split("-"))

    @property
    def weights(self) -> Path:
        """State dict of the best epoch."""
        return Path("models") / self.key / "weights.pt"

    @property
    def training(self) -> Path:
        """Summary of the training: best epoch, its Dice, number of parameters."""
        return Path("models") / self.key / "training.json"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return Path("metrics/train") / self.task / f"{self.key}.csv"

    @property
    def foreground_ratios(self) -> Path:
        """One row a training patch."""
        return Path("metrics/foreground_ratios") / self.task / f"{self.key}.csv"

    @property
    def scores(self) -> Path:
        """One row a test case."""
        return Path("metrics/test") / self.task / f"{self.key}.csv"

    def provenance(self, stage: str) -> Path:
        """Provenance of the results of a stage, see provenance.py."""
        return Path("metrics/provenance") / stage / f"{self.key}.json"

    @property
    def predictions(self) -> Path:
        """One NIfTI file a test case."""
        return Path("data/predictions") / self.task / self.key


def arm_of(root: Mapping[str, Any], item: Mapping[str, str]) -> str:
    """Return the name of the arm that a cell is in; "" for the grid, and where `arms` is invalid.

    Args:
        root: of params.yaml.
        item: values of the cell, see `Cell.item`.
    """
    arms = root.get("arms")
    for name, lists in arms.items() if isinstance(arms, Mapping) and {*item} == {*AXES} else ():
        try:
            if all(item[value] in [*map(str, lists[axis])] for value, axis in AXES.items()):
                return str(name)
        except (KeyError, TypeError):
            continue  # `context-fbr check` names it
    return ""
