"""Test cases with random crops: what is kept, and where it is in the scan."""

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

from context_fbr.core.geometry import geometry, to_original, to_prepared
from context_fbr.preprocessing import shifted_crops


def test_the_structure_and_a_voxel_around_it_stay_and_all_cuts_are_drawn() -> None:
    label = np.zeros((12, 10, 9), np.uint8)
    label[4:7, 3:6, 0:2] = 2
    parts = [shifted_crops.crop(label, f"case_{number}") for number in range(400)]

    before = {tuple(own.start for own in part) for part in parts if part}
    after = {tuple(own.stop for own in part) for part in parts if part}
    assert {axis: {own[axis] for own in before} for axis in range(3)} == {
        0: {*range(4)},
        1: {*range(3)},
        2: {0},
    }
    assert {axis: {own[axis] for own in after} for axis in range(3)} == {
        0: {*range(8, 13)},
        1: {*range(7, 11)},
        2: {*range(3, 10)},
    }
    assert shifted_crops.crop(label, "case_1") == parts[1]
    assert shifted_crops.crop(np.zeros_like(label), "a") is None
    assert shifted_crops.crop(np.ones_like(label), "a") is None


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "PIL"])
def test_the_part_is_in_the_scan_where_its_voxels_were(codes: str) -> None:
    scan = nibabel.Nifti1Image(
        np.arange(11 * 9 * 8, dtype=np.float32).reshape(11, 9, 8), np.diag([1.0, 2.0, 3.0, 1.0])
    )
    scan = scan.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes)))
    voxels = scan.get_fdata(dtype=np.float32)
    where = geometry(scan.shape, scan.affine)
    prepared = to_prepared(voxels, where, linear=False)
    part = slice(2, 9), slice(1, 8), slice(3, 7)

    cropped = shifted_crops.cropped(where, part)

    assert cropped.shape == (7, 7, 4)
    np.testing.assert_array_equal(to_prepared(voxels, cropped, linear=False), prepared[part])
    inside = to_original(np.ones(cropped.shape, np.uint8), cropped)
    np.testing.assert_array_equal(np.sort(voxels[inside > 0]), np.sort(prepared[part].ravel()))
