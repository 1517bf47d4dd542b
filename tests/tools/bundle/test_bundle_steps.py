"""The preprocessing that a bundle lists for MONAI is that of the study, for several channels, too."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose

from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.preprocessing.transforms import prepare_image
from context_fbr_tools.exchange.bundle import configs

ASSETS = Path(configs.__file__).parent / "assets" / "transforms.py"
AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])
WINDOWS = ((-57.0, 164.0), (0.0, 900.0))


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own modules, where MONAI looks for them."""
    spec = importlib.util.spec_from_file_location("scripts.transforms", ASSETS)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package = ModuleType("scripts")
    package.transforms = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scripts", package)
    monkeypatch.setitem(sys.modules, "scripts.transforms", module)


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(
    "settings",
    [
        Preparation(window=WINDOWS),
        Preparation(window=WINDOWS[0]),
        Preparation(window=WINDOWS, crop=True),
        Preparation(z_score=True, crop=True),
    ],
    ids=["a window for each channel", "one window", "cropped", "z-score"],
)
def test_monai_s_steps_give_the_image_of_the_study(settings: Preparation, tmp_path: Path) -> None:
    voxels = np.random.default_rng(3).uniform(-200, 1200, (12, 11, 10, 2)).astype(np.float32)
    voxels[:2] = voxels[:, :, 8:] = -300  # what a crop removes
    if settings.z_score:
        voxels[:2] = voxels[:, :, 8:] = 0
    image = nibabel.Nifti1Image(voxels, AFFINE)
    path = tmp_path / "a.nii.gz"
    nibabel.save(image, path)
    expected, _, _ = prepare_image(image, path, settings)
    training = SimpleNamespace(recipe=SimpleNamespace(preparation=settings))
    steps = json.loads(json.dumps(configs._preprocessing(training, 4)))  # as in the bundle's file
    parser = ConfigParser({"steps": {"_target_": "Compose", "transforms": steps}})
    compose = parser.get_parsed_content("steps")
    assert isinstance(compose, Compose)
    found = compose({"image": str(path)})["image"]
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)
