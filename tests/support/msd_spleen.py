"""The archive of MSD Task09 Spleen with its true labels and painted images: what no test may download.

python tests/support/msd_spleen.py LABELS ARCHIVE.tar [--cases N] [--shrink N]

LABELS is a folder with the original's dataset.json and labelsTr. Every grid is the original's; the images are
those of `ct_phantom`. All 41 cases in full size take about a minute on two cores and 1 GB.
"""

import argparse
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
from ct_phantom import ct_image

from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.nifti import GZIP
from context_fbr.core.progress import progress
from context_fbr.core.resources import usable_workers
from context_fbr.datasets.dataset_json import NAME, case_name
from context_fbr.runtime.entry import run_command

__all__ = ["case_names", "ct_image", "pack", "write_dataset"]

TOP = "Task09_Spleen"
TEST_IMAGES = 2  # without label; the original has 20
MEMORY_PER_CASE = 1 << 30  # bytes
RELEASED = 1528000000  # seconds; every file's time, so that equal data sets are equal archives
SHADOW = b"\0\5\x16\7\0\2\0\0Mac OS X        ".ljust(
    212, b"\0"
)  # an AppleDouble file, as macOS tar adds them


def case_names(labels: Path) -> list[str]:
    """All cases that dataset.json lists for training, in the order of their names."""
    return sorted(case_name(pair["image"]) for pair in json.loads((labels / NAME).read_text())["training"])


def write_dataset(labels: Path, folder: Path, cases: Sequence[str] | None = None, shrink: int = 1) -> None:
    """Write imagesTr, labelsTr, imagesTs and dataset.json: the same bytes every time.

    Args:
        labels: the original's dataset.json and labelsTr.
        folder: to make, or to replace.
        cases: names such as `spleen_10`; None: all.
        shrink: take every n-th voxel in-plane, with the affine that belongs to it.

    Raises:
        UserError: if there is no such case, or a file cannot be read or written.
    """
    original = json.loads((labels / NAME).read_text())
    listed = {case_name(pair["image"]): pair for pair in original["training"]}
    chosen = sorted(listed if cases is None else cases)
    raise_problems([f"{labels}: has no case {case}" for case in chosen if case not in listed])
    if not chosen:
        raise UserError(f"{labels}: no case to write; name at least one")
    test = sorted(original["test"])[:TEST_IMAGES]
    # Nobody sees the spleens of the test images: they are those of training cases in other bodies.
    jobs = [(case, case, "imagesTr") for case in chosen]
    jobs += [(chosen[n % len(chosen)], case_name(path), "imagesTs") for n, path in enumerate(test)]
    with atomic.directory(folder) as partial:
        for name in ("imagesTr", "labelsTr", "imagesTs"):
            (partial / name).mkdir()

        def write(job: tuple[str, str, str]) -> None:
            _write_case(labels / "labelsTr" / f"{job[0]}.nii.gz", partial, job[1], job[2], shrink)

        with ThreadPoolExecutor(usable_workers(len(jobs), MEMORY_PER_CASE)) as pool:
            for _ in progress(pool.map(write, jobs), len(jobs), f"paint {TOP}", "case"):
                pass
        training = [pair for case, pair in listed.items() if case in chosen]
        counts = {"numTraining": len(training), "numTest": len(test)}
        description = {**original, **counts, "training": training, "test": test}
        (partial / NAME).write_text(json.dumps(description, indent=1))


def pack(folder: Path, archive: Path, top: str = TOP) -> None:
    """Pack a data set as the Decathlon's archives are: one folder around it, macOS's shadow of every file."""
    partial = archive.with_name(f".{archive.name}.partial")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in (folder, *sorted(folder.rglob("*"))):
            name = Path(top) / path.relative_to(folder)
            if path.is_dir():
                tar.addfile(_member(name, tarfile.DIRTYPE, 0))
                continue
            tar.addfile(
                _member(name.with_name(f"._{name.name}"), tarfile.REGTYPE, len(SHADOW)), BytesIO(SHADOW)
            )
            with path.open("rb") as file:
                tar.addfile(_member(name, tarfile.REGTYPE, path.stat().st_size), file)
    partial.replace(archive)


def _write_case(source: Path, folder: Path, case: str, images: str, shrink: int) -> None:
    label = nibabel.load(source)
    if shrink > 1:
        codes = int(label.header["qform_code"]), int(label.header["sform_code"])
        label = label.slicer[::shrink, ::shrink]
        label.set_qform(label.affine, codes[0])
        label.set_sform(label.affine, codes[1])
    voxels = np.asanyarray(label.dataobj)
    if images == "imagesTr":
        target = folder / "labelsTr" / f"{case}.nii.gz"
        if shrink == 1:
            shutil.copyfile(source, target)
        else:
            _write(target, label)
    image = nibabel.Nifti1Image(ct_image(voxels, label.affine, case), label.affine, label.header)
    image.set_data_dtype(np.int16)
    _write(folder / images / f"{case}.nii.gz", image)


def _write(path: Path, image: nibabel.Nifti1Image) -> None:
    # zlib: its header carries no time, and unlike igzip it always gives the same bytes
    path.write_bytes(zlib.compress(image.to_bytes(), level=1, wbits=GZIP))


def _member(name: Path, kind: bytes, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name.as_posix())
    member.type, member.size, member.mtime = kind, size, RELEASED
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member


def main(arguments: list[str]) -> None:
    """Write a data set next to the archive, pack it, remove it."""
    parser = argparse.ArgumentParser(
        prog="python tests/support/msd_spleen.py", description=__doc__.splitlines()[0]
    )
    parser.add_argument("labels", type=Path, help="folder with dataset.json and labelsTr")
    parser.add_argument("archive", type=Path, help="the .tar to write")
    parser.add_argument("--cases", type=int, help="how many, in the order of their names; default: all")
    parser.add_argument("--shrink", type=int, default=1, help="take every n-th voxel in-plane; default: 1")
    options = parser.parse_args(arguments)
    for name, value in (("--cases", options.cases), ("--shrink", options.shrink)):
        if value is not None and value < 1:
            parser.error(f"{name} is {value}, expected 1 or more")
    if not (options.labels / NAME).is_file():
        raise UserError(f"{options.labels}: holds no {NAME}; name the folder with it and labelsTr")
    options.archive.parent.mkdir(parents=True, exist_ok=True)
    names = case_names(options.labels)
    with tempfile.TemporaryDirectory(dir=options.archive.parent) as scratch:
        folder = Path(scratch) / TOP
        write_dataset(options.labels, folder, names[: options.cases], options.shrink)
        pack(folder, options.archive)
    print(f"{options.archive}: {options.archive.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    run_command(main)
