"""A cell of the grid and the paths of its files."""

from dataclasses import dataclass
from pathlib import Path

from context_fbr.core.errors import UserError

TRAINING_FORMAT = 4
"""Version of training.json; cells of another version are trained again."""


@dataclass(frozen=True, order=True)
class Cell:
    """One training and one evaluation. Paths are relative to the repository's root, where stages run."""

    task: str
    model: str
    patch_size: int
    """Edge of the cubic patch in voxels."""
    seed: int

    @property
    def key(self) -> str:
        """For example `spheres-unet-32-1`; DVC names the stage `train@spheres-unet-32-1`."""
        return f"{self.task}-{self.model}-{self.patch_size}-{self.seed}"

    @property
    def item(self) -> dict[str, str]:
        """Values of the matrix of dvc.yaml, by name and in its order."""
        values = (self.task, self.model, str(self.patch_size), str(self.seed))
        return dict(zip(("task", "model", "patch_size", "seed"), values, strict=True))

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> "Cell":
        """Read the command line of a stage: TASK MODEL PATCH_SIZE SEED.

        Raises:
            UserError: if these are not two names and two whole numbers.
        """
        try:
            task, model, patch_size, seed = arguments
            return cls(task, model, int(patch_size), int(seed))
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
        return Path("metrics/train") / f"{self.key}.csv"

    @property
    def foreground_ratios(self) -> Path:
        """One row a training patch."""
        return Path("metrics/foreground_ratios") / f"{self.key}.csv"

    @property
    def scores(self) -> Path:
        """One row a test case."""
        return Path("metrics/test") / f"{self.key}.csv"

    def provenance(self, stage: str) -> Path:
        """Provenance of the results of a stage, see provenance.py."""
        return Path("metrics/provenance") / stage / f"{self.key}.json"

    @property
    def predictions(self) -> Path:
        """One NIfTI file a test case."""
        return Path("data/predictions") / self.key
