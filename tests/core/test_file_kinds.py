"""Formats by first bytes, on files that other programs write."""

import gzip
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from context_fbr.core import file_kinds

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def itk(path: Path) -> None:
    """Write in the format of the name."""
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(path))


def dicom(path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS[:1].astype(np.uint16)), str(path))


def save(image: type) -> Callable[[Path], None]:
    return lambda path: nibabel.save(image(VOXELS, np.eye(4)), path)


def twice(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.compress(nibabel.Nifti1Image(VOXELS, np.eye(4)).to_bytes())))


def swapped(path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    path.write_bytes(nibabel.Nifti1Image(VOXELS, np.eye(4), header).to_bytes())


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")


def tarred(path: Path) -> None:
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as archive:
        archive.add(__file__, "a")


def text(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
FILES: list[tuple[str, Callable[[Path], object], str, bool]] = [
    ("a.nii", itk, "nifti-1", False),
    ("a.nii.gz", itk, "nifti-1", True),
    ("big-endian.nii", swapped, "nifti-1", False),
    ("a.hdr", itk, "nifti-1-pair", False),
    ("n2.nii.gz", save(nibabel.Nifti2Image), "nifti-2", True),
    ("analyze.hdr", save(nibabel.Spm2AnalyzeImage), "analyze", False),
    ("a.nrrd", itk, "nrrd", False),
    ("a.nhdr", itk, "nrrd", False),
    ("a.mha", itk, "metaimage", False),
    ("a.mhd", itk, "metaimage", False),
    ("a.dcm", dicom, "dicom", False),
    ("old.dcm", text(bytes([8, 0, 5, 0]) + b"CS\x0a\0ISO_IR 100"), "dicom", False),
    ("a.mgh", save(nibabel.MGHImage), "mgh", False),
    ("a.mgz", save(nibabel.MGHImage), "mgh", True),
    ("a.tif", itk, "picture", False),
    ("a.npy", lambda path: np.save(path, VOXELS), "numpy", False),
    ("a.zip", zipped, "zip", False),
    ("a.tar", tarred, "tar", False),
    ("a.tar.gz", tarred, "tar", True),
    ("a.tar.xz", tarred, "xz", False),
    ("a.tar.bz2", tarred, "bzip2", False),
    ("twice.nii.gz", twice, "gzip", True),
    (
        "cut.nii",
        lambda path: text(nibabel.Nifti1Image(VOXELS, np.eye(4)).to_bytes()[:200])(path),
        "cut",
        False,
    ),
    ("half.nii.gz", text(gzip.compress(bytes(1000))[:10]), "damaged-gzip", True),
    ("lfs", text(LFS), "git-lfs", False),
    ("annex", text("/annex/objects/SHA256E-s12--4d7a.nii.gz\n"), "git-annex", False),
    ("annex link as text", text("../.git/annex/objects/zX/kQ/SHA256E-s1.nii.gz"), "git-annex", False),
    ("page", text("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"), "html", False),
    ("page with byte order mark", text("\ufeff<HTML>"), "html", False),
    ("denied", text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), "xml", False),
    ("note", text("Not Found"), "text", False),
    ("empty", text(""), "empty", False),
    ("packed nothing", text(gzip.compress(b"")), "empty", True),
    ("zeros", text(bytes(5000)), "zeros", False),
    ("noise", text(np.random.default_rng(1).bytes(5000)), "unknown", False),
    ("dangling", lambda path: path.symlink_to("nowhere"), "dangling", False),
    ("loop", lambda path: path.symlink_to(path.name), "dangling", False),
    ("annexed", lambda path: path.symlink_to("../.git/annex/objects/a/b/SHA256E-s1"), "git-annex", False),
    ("folder", lambda path: path.mkdir(), "no-file", False),
    ("pipe", lambda path: os.mkfifo(path), "no-file", False),
]


@pytest.mark.parametrize(("name", "write", "key", "packed"), FILES, ids=[file[0] for file in FILES])
def test_the_first_bytes_tell_what_a_file_is_whatever_its_name(
    tmp_path: Path, name: str, write: Callable[[Path], object], key: str, packed: bool
) -> None:
    write(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "b.nii.gz")
    start = file_kinds.look(tmp_path / "b.nii.gz")
    assert (start.kind.key, start.packed) == (key, packed)
    assert start.kind.text
    assert start.kind.remedy or key == "nifti-1"


def test_every_format_of_the_table_is_tried() -> None:
    untried = {"minc", "zstd", "7z", "rar"}  # no program here writes them
    assert {kind.key for _, kind in file_kinds.KINDS} - untried == {file[2] for file in FILES} - {
        "damaged-gzip",
        "dangling",
        "no-file",
        "unknown",
    }


def test_the_voxels_of_a_pair_are_found_by_their_header(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOXELS * 0, np.eye(4)), tmp_path / "a.img")
    assert file_kinds.look(tmp_path / "a.img").kind.key == "nifti-1-pair"
    (tmp_path / "a.hdr").unlink()
    assert file_kinds.look(tmp_path / "a.img").kind.key == "zeros"


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_kinds.look(tmp_path / "a.nii")
