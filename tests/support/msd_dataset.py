"""A small data set in MSD layout for tests to break."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

AFFINE = np.diag([0.8, 0.8, 5.0, 1.0])


@dataclass(frozen=True)
class Dataset:
    """A small valid CT data set to break: cases a, b, c with label, a test image t without."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> "Dataset":
        dataset = cls(path)
        for number, case in enumerate("abct"):
            generator = np.random.default_rng(number)
            image = np.full((12, 11, 10), -1024, dtype=np.int16)
            image[2:-2, 2:-2] = generator.normal(60, 80, (8, 7, 10))
            image[5, 5, 5] = 700
            label = np.zeros(image.shape, dtype=np.uint8)
            label[4:8, 4:8, 3 : 6 + number] = 1
            dataset.write("imagesTs" if case == "t" else "imagesTr", case, image)
            if case != "t":
                dataset.write("labelsTr", case, label)
        names = [f"{case}.nii.gz" for case in "abc"]
        description = {
            "name": "Zoo",
            "modality": {"0": "CT"},
            "labels": {"0": "background", "1": "spleen"},
            "numTraining": 3,
            "numTest": 1,
            "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
            "test": ["./imagesTs/t.nii.gz"],
        }
        dataset.describe(description)
        return dataset

    def file(self, folder: str, case: str) -> Path:
        return self.path / folder / f"{case}.nii.gz"

    def write(self, folder: str, case: str, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
        path = self.file(folder, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)

    def voxels(self, folder: str, case: str) -> np.ndarray:
        return np.asarray(nibabel.load(self.file(folder, case)).dataobj)

    def image(self, change: Callable[[np.ndarray], np.ndarray], case: str = "b") -> None:
        self.write("imagesTr", case, change(self.voxels("imagesTr", case).astype(np.float32)))

    def label(self, change: Callable[[np.ndarray], np.ndarray], case: str = "b") -> None:
        self.write("labelsTr", case, change(self.voxels("labelsTr", case).astype(np.float32)))

    def grid(self, affine: np.ndarray, case: str = "b") -> None:
        for folder in ("imagesTr", "labelsTr"):
            self.write(folder, case, self.voxels(folder, case), affine)

    def flatten(self, case: str = "b") -> None:
        """Set the last row of the affine to 0, which nibabel refuses to write."""
        for folder in ("imagesTr", "labelsTr"):
            content = bytearray(gzip.decompress(self.file(folder, case).read_bytes()))
            content[312:328] = bytes(16)  # srow_z
            self.file(folder, case).write_bytes(gzip.compress(content))

    def description(self) -> dict[str, object]:
        return json.loads((self.path / "dataset.json").read_text())

    def describe(self, description: object) -> None:
        (self.path / "dataset.json").write_text(json.dumps(description))

    def cut(self, folder: str, case: str, keep: float = 0.5) -> None:
        content = self.file(folder, case).read_bytes()
        self.file(folder, case).write_bytes(content[: int(len(content) * keep)])
