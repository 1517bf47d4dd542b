"""NIfTI files with anything in them: read, or refused with a UserError, in bounded time and memory."""

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msd_dataset import Dataset
from mutations import efforts, fuzz, mutated_bytes

from context_fbr.config.preprocessing import Preparation, Prepare, Split
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import verify
from context_fbr.datasets.volume_facts import Damage, Facts, inspect
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.preprocessing.splits import Source
from context_fbr_tools.study import predict

MOST_BYTES = 64 << 20  # that a file of some kilobytes may take in memory
FIELDS = {"dim": (40, "h", 8), "datatype": (70, "h", 1), "bitpix": (72, "h", 1), "pixdim": (76, "f", 8), "vox_offset": (108, "f", 1),
          "scl_slope": (112, "f", 1), "scl_inter": (116, "f", 1), "qform_code": (252, "h", 1), "sform_code": (254, "h", 1),
          "quatern": (256, "f", 6), "srow": (280, "f", 12), "sizeof_hdr": (0, "i", 1), "xyzt_units": (123, "b", 1), "extension": (348, "i", 3)}  # fmt: skip
EXTREMES = {
    "b": (0, 1, 2, 127, -1),
    "h": (0, 1, -1, 2, 3, 7, 8, 12, 255, 512, 32767, -32768, 4, 16, 32, 64, 128, 256, 768, 1024, 1536, 1792, 2048, 2304),
    "i": (0, 1, -1, 348, 540, 2**31 - 1, -(2**31), 16, 7),
    "f": (0.0, -0.0, 1.0, -1.0, 1e-38, 1e-45, 3e38, -3e38, float("nan"), float("inf"), float("-inf"), 1e10, 351.5, 352.0, 353.0, 1000.0, 0.001, 30.0),
}  # fmt: skip
SETTINGS = Prepare(split=Split(train=1, validation=1, test=1), window=(-57.0, 164.0), crop=True, spacing_mm=(1.5, 1.5, 2.0))  # fmt: skip
KEPT = Preparation(foreground=(1,))


def volume(voxels: np.ndarray) -> bytes:
    return nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 5.0, 1.0])).to_bytes()


_generator = np.random.default_rng(1)
IMAGE = volume(_generator.normal(0, 300, (9, 8, 7)).astype(np.int16))
LABEL = volume((_generator.random((9, 8, 7)) < 0.3).astype(np.uint8))


def with_fields(content: bytes, changes: list[tuple[str, int, object]]) -> bytes:
    changed = bytearray(content)
    for name, index, value in changes:
        start, kind, count = FIELDS[name]
        size = struct.calcsize(kind)
        struct.pack_into(f"<{kind}", changed, start + index % count * size, value)
    return bytes(changed)


@st.composite
def fields(draw: st.DrawFn, content: bytes) -> bytes:
    names = draw(st.lists(st.sampled_from(list(FIELDS)), min_size=1, max_size=4))
    changes = [(n, draw(st.integers(0, 11)), draw(st.sampled_from(EXTREMES[FIELDS[n][1]]))) for n in names]
    return with_fields(content, changes)


def headers(content: bytes) -> SearchStrategy[bytes]:
    """The volume as it is below a header with bytes overwritten."""
    return mutated_bytes(content[:352]).map(lambda header: header + content[352:])


def mutants(content: bytes) -> SearchStrategy[tuple[str, bytes]]:
    """Ending and content of a file."""
    unpacked = fields(content) | headers(content) | mutated_bytes(content)
    packed = gzip.compress(content, mtime=0)
    return st.one_of(
        st.tuples(st.just(".nii"), unpacked),
        st.tuples(st.just(".nii.gz"), unpacked.map(lambda inner: zlib.compress(inner, 1, wbits=31))),
        st.tuples(st.just(".nii.gz"), mutated_bytes(packed)),
        st.tuples(st.just(".nii.gz"), unpacked),
    )


def one_line_each(error: UserError, path: Path) -> None:
    for problem in error.problems:
        assert str(path.parent) in problem, problem
        assert "\n" not in problem, problem


@efforts(200, 10_000)
def test_a_damaged_file_is_read_or_refused_in_bounded_memory(tmp_path: Path, examples: int) -> None:
    def read(mutant: tuple[str, bytes]) -> nibabel.Nifti1Image:
        suffix, content = mutant
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            image = nifti.read(path)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MOST_BYTES, f"{peak:,} bytes"
        assert len(image.shape) == 3
        assert min(image.shape) > 0
        assert image.get_fdata(dtype=np.float32).dtype == np.float32
        return image

    tally = fuzz(
        "nifti.read", examples, mutants(IMAGE), read, lambda _, error: one_line_each(error, tmp_path / "a")
    )
    assert min(tally.refused, tally.accepted) > tally.examples // 20


@efforts(100, 5_000)
@pytest.mark.parametrize("is_label", [False, True])
def test_inspection_gives_facts_or_a_damage_and_never_an_error(
    tmp_path: Path, examples: int, is_label: bool
) -> None:
    def look(mutant: tuple[str, bytes]) -> Facts:
        suffix, content = mutant
        (tmp_path / f"a{suffix}").write_bytes(content)
        try:
            found = inspect(tmp_path, f"a{suffix}", is_label)
        except UserError as error:
            raise AssertionError("inspect raises nothing") from error
        if isinstance(found, Damage):
            assert found.text
            assert found.remedy
            raise UserError(found.text)
        return found

    fuzz("inspect", examples, mutants(LABEL if is_label else IMAGE), look, lambda *_: None)


@efforts(40, 2_000)
def test_verify_reports_a_damaged_file_whatever_is_wrong_with_it(tmp_path: Path, examples: int) -> None:
    dataset = Dataset.make(tmp_path / "set")
    path = dataset.file("imagesTr", "b")
    original = gzip.decompress(path.read_bytes())

    def look(mutant: tuple[str, bytes]) -> None:
        path.write_bytes(mutant[1])
        report = verify(dataset.path, workers=1)
        errors = [problem for problem in report.problems if problem.severity is Severity.ERROR]
        if errors:
            raise UserError(*(problem.text for problem in errors))

    packed = mutants(original).filter(lambda mutant: mutant[0] == ".nii.gz")
    fuzz("verify", examples, packed, look, lambda *_: None)


@efforts(150, 8_000)
@pytest.mark.parametrize("settings", [SETTINGS, Prepare(split=SETTINGS.split)], ids=["CT", "as it is"])
def test_a_damaged_case_is_prepared_or_refused_in_bounded_memory(
    tmp_path: Path, examples: int, settings: Prepare
) -> None:
    def prepare(pair: tuple[tuple[str, bytes], bytes]) -> tuple[object, ...]:
        (suffix, image), label = pair
        source = Source("a", "train", Path(f"image{suffix}"), Path("label.nii"))
        (tmp_path / source.image).write_bytes(image)
        (tmp_path / source.label).write_bytes(label)
        tracemalloc.start()
        try:
            with np.errstate(all="ignore"):
                return prepare_case(source, tmp_path, settings, {0, 1})
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MOST_BYTES, f"{peak:,} bytes"

    def both(changes: list[tuple[str, int, object]]) -> tuple[tuple[str, bytes], bytes]:
        """The same header for image and label, or they are refused for their difference."""
        return (".nii", with_fields(IMAGE, changes)), with_fields(LABEL, changes)

    same = st.sampled_from(["pixdim", "quatern", "srow", "qform_code", "sform_code"]).flatmap(
        lambda name: st.tuples(
            st.just(name), st.integers(0, 11), st.sampled_from(EXTREMES[FIELDS[name][1]]) | st.just(1)
        )
    )
    examples_of = st.one_of(
        st.tuples(mutants(IMAGE), st.just(LABEL)),
        st.tuples(st.just((".nii", IMAGE)), mutants(LABEL).map(lambda mutant: mutant[1])),
        st.lists(same, min_size=1, max_size=4).map(both),
    )
    fuzz(
        "prepare_case", examples, examples_of, prepare, lambda _, error: one_line_each(error, tmp_path / "a")
    )


@efforts(100, 5_000)
@pytest.mark.parametrize("modality", ["CT", "MRI"])
def test_an_image_to_predict_is_taken_or_refused(tmp_path: Path, examples: int, modality: str) -> None:
    recipe = Recipe(KEPT, (modality,), -1000.0)

    def check(mutant: tuple[str, bytes]) -> None:
        path = tmp_path / f"a{mutant[0]}"
        path.write_bytes(mutant[1])
        with np.errstate(all="ignore"):
            predict.check_image(nifti.read_volume(path), path, recipe)

    fuzz("predict", examples, mutants(IMAGE), check, lambda _, error: one_line_each(error, tmp_path / "a"))


def header(shape: tuple[int, ...], datatype: int = 2) -> bytes:
    dims = [len(shape), *shape, *([1] * (7 - len(shape)))]
    return with_fields(LABEL[:352], [("dim", i, n) for i, n in enumerate(dims)] + [("datatype", 0, datatype)])


BOMBS = {
    "7 axes": (".nii", header((32767,) * 7)),
    "terabytes promised": (".nii", header((32767,) * 3)),
    "terabytes promised, packed": (".nii.gz", gzip.compress(header((32767,) * 3) + bytes(1000))),
    "more packed than promised": (".nii.gz", gzip.compress(header((2, 2, 2)) + bytes(200 << 20))),
    "more than promised": (".nii", header((2, 2, 2)) + bytes(100 << 20)),
    "offset": (".nii", with_fields(header((2, 2, 2)), [("vox_offset", 0, 3e38)])),
    "long double": (".nii.gz", gzip.compress(header((30000, 30000, 100), 1536) + bytes(1000))),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_file_that_promises_or_unpacks_to_much_is_refused_before_it_takes_memory(
    tmp_path: Path, what: str
) -> None:
    suffix, content = BOMBS[what]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a\.nii(\.gz)?: (is no readable NIfTI file|has 7 axes|its voxels)"):
        nifti.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_what_some_programs_leave_behind_a_volume_is_no_damage(tmp_path: Path) -> None:
    for suffix, packed in ((".nii", IMAGE + bytes(512)), (".nii.gz", gzip.compress(IMAGE + bytes(512)))):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(packed)
        assert nifti.read(path).shape == (9, 8, 7)
