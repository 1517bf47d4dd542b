"""How much memory a look at a data set takes."""

import json
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from msd_dataset import AFFINE, Dataset

from context_fbr.datasets.verify import verify
from context_fbr_tools.data import survey as surveying
from context_fbr_tools.data.survey import BYTES_PER_VOXEL, survey


@pytest.mark.parametrize(
    ("stored", "slope", "foreground"),
    [("int16", 1, 0.02), ("int16", 1, 1.0), ("int16", 2, 0.1), ("float64", 1, 1.0)],
)
def test_the_memory_that_a_survey_takes_is_known_from_the_number_of_voxels(
    tmp_path: Path, stored: str, slope: float, foreground: float
) -> None:
    """Against what numpy and the rest of Python allocate."""
    voxels = np.random.default_rng(0).integers(-100, 300, (120, 100, 110))
    label = np.zeros(voxels.shape)
    label[: int(120 * foreground)] = 1
    for folder, array, slope_of in (("imagesTr", voxels, slope), ("labelsTr", label, 1)):
        kind = stored if folder == "imagesTr" or stored == "float64" else "uint8"
        volume = nibabel.Nifti1Image(array.astype(kind), AFFINE)
        volume.header.set_slope_inter(slope_of, 0)
        (tmp_path / folder).mkdir()
        nibabel.save(volume, tmp_path / folder / "a.nii.gz")
    pair = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    description = {"name": "One", "modality": {"0": "CT"}, "labels": {"0": "b", "1": "s"}, "training": [pair]}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    report = verify(tmp_path, workers=1)
    survey(report, (1,), workers=1)  # what is imported once does not count
    tracemalloc.start()
    survey(report, (1,), workers=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.4 < peak / (BYTES_PER_VOXEL * voxels.size) < 1.25  # the interpreter's own garbage comes and goes


def test_cases_are_looked_at_side_by_side_as_the_memory_of_the_largest_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.make(tmp_path / "zoo")
    dataset.image(lambda v: np.concatenate([v] * 3), "b")
    dataset.label(lambda v: np.concatenate([v] * 3), "b")
    asked = []

    def one(jobs: int, memory_each: int) -> int:
        asked.append((jobs, memory_each))
        return 1

    monkeypatch.setattr(surveying, "usable_workers", one)
    survey(verify(dataset.path, workers=1), (1,))
    assert asked == [(3, 3 * 12 * 11 * 10 * BYTES_PER_VOXEL)]
