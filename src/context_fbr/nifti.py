"""NIfTI files: read with one clear error, written with the same bytes every time."""

import zlib
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip

from context_fbr import atomic
from context_fbr.errors import UserError

GZIP = 31  # zlib's wbits: the largest window, in a gzip file


def read(path: Path) -> nibabel.Nifti1Image:
    """Read a 3D volume to its last byte.

    Raises:
        UserError: if the file is missing, cut, damaged, or does not hold one 3D volume of numbers.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = igzip.decompress(content)  # checks length and checksum, which nibabel does not
        image = nibabel.Nifti1Image.from_bytes(content)
        image.get_fdata(dtype=np.float32, caching="fill")
    except FileNotFoundError:
        raise UserError(f"{path}: not found; bring it back with `dvc checkout` or `dvc repro`") from None
    except Exception as error:  # gzip and nibabel have a dozen words for a damaged file
        raise UserError(f"{path}: is no readable NIfTI file ({error}); replace it") from error
    if len(image.shape) != 3:
        raise UserError(f"{path}: expected a 3D volume, got the shape {image.shape}")
    return image


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a `.nii.gz` file atomically; `affine` is voxel to world in mm.

    zlib's own gzip header carries no time, so equal volumes are equal files. igzip would be faster, but once
    in some thousand files its output is not the same for the same input.

    Raises:
        UserError: if it cannot be written.
    """
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    atomic.write_bytes(path, zlib.compress(image.to_bytes(), level=1, wbits=GZIP))
