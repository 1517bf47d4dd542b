"""Studies of data that no code knows, run once for all tests: MRI with three structures, and a real CT."""

from pathlib import Path

import mri_dataset
import msd_spleen
import pytest
import real_ct
from workspace import ROOT, Workspace

OVERLAYS = ROOT / "tests/support/overlays"
CT = ROOT.parent / "shared/data/real_ct"


def structures(path: Path) -> Workspace:
    """Run the study of overlays/structures.yaml."""
    made = Workspace.make(path, OVERLAYS / "structures.yaml")
    mri_dataset.make(made.path / "incoming/blobs")
    made.context_fbr("grid", "run", "--jobs", "2")
    return made


def ct(path: Path) -> Workspace:
    """Run the study of overlays/ct.yaml; a test that needs it is skipped where the CT is not."""
    if not CT.is_dir():
        pytest.skip("the real CT is not here")
    made = Workspace.make(path, OVERLAYS / "ct.yaml")
    real_ct.make(CT, path.with_name("real_ct"))
    msd_spleen.pack(path.with_name("real_ct"), made.path / "data/incoming/ct.tar", top="Task99_CT")
    made.context_fbr("grid", "run")
    return made
