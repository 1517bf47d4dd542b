"""NIfTI files with anything in them: read, or refused with a UserError, in bounded time and memory."""

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from damaged_nifti import EXTREMES, FIELDS, IMAGE, LABEL, mutants, with_fields
from hypothesis import strategies as st
from msd_dataset import Dataset
from mutations import efforts, fuzz

from context_fbr.config.prepare.preprocessing import Preparation, Prepare, Split
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import verify
from context_fbr.datasets.volume_facts import Damage, inspect
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.preprocessing.splits import Source
from context_fbr_tools.study import predict

MOST_BYTES = 64 << 20  # that a file of some kilobytes may take in memory
SETTINGS = Prepare(split=Split(train=1, validation=1, test=1), window=(-57.0, 164.0), crop=True, spacing_mm=(1.5, 1.5, 2.0))  # fmt: skip
KEPT = Preparation(foreground=(1,))


def one_line_each(error: UserError, path: Path) -> None:
    for problem in error.problems:
        assert str(path.parent) in problem, problem
        assert "\n" not in problem, problem


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Fail if the block takes more than MOST_BYTES."""
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_BYTES, f"{peak:,} bytes"


def read(path: Path) -> None:
    image = nifti.read(path)
    assert len(image.shape) == 3
    assert min(image.shape) > 0
    assert image.get_fdata(dtype=np.float32).dtype == np.float32


def look(path: Path, is_label: bool) -> None:
    try:
        facts = inspect(path.parent, path.name, is_label)
    except UserError as error:
        raise AssertionError("inspect raises nothing") from error
    if isinstance(facts, Damage):
        assert facts.text
        assert facts.remedy
        raise UserError(f"{path}: {facts.text}")


def verify_in_data_set(path: Path) -> None:
    """Verify a data set with this image."""
    dataset = (
        Dataset(path.parent / "set") if (path.parent / "set").exists() else Dataset.make(path.parent / "set")
    )
    content = path.read_bytes()
    packed = content if path.suffix == ".gz" else gzip.compress(content, 1)
    dataset.file("imagesTr", "b").write_bytes(packed)
    dataset.file("labelsTr", "b").write_bytes(gzip.compress(LABEL, 1))
    problems = verify(dataset.path, workers=1).problems
    if errors := [f"{path}: {p.text}" for p in problems if p.severity is Severity.ERROR]:
        raise UserError(*errors)


def check_to_predict(path: Path, modality: str) -> None:
    predict.check_image(nifti.read_volume(path), path, Recipe(KEPT, (modality,), -1000.0))


@efforts(25, 1_000)
@pytest.mark.parametrize(
    ("use", "content"),
    [
        pytest.param(read, IMAGE, id="read"),
        pytest.param(partial(look, is_label=False), IMAGE, id="inspect an image"),
        pytest.param(partial(look, is_label=True), LABEL, id="inspect a label"),
        pytest.param(verify_in_data_set, IMAGE, id="verify"),
        pytest.param(partial(check_to_predict, modality="CT"), IMAGE, id="predict CT"),
        pytest.param(partial(check_to_predict, modality="MRI"), IMAGE, id="predict MRI"),
    ],
)
def test_a_damaged_file_is_read_or_refused_in_bounded_memory(
    tmp_path: Path, examples: int, use: Callable[[Path], None], content: bytes
) -> None:
    def use_mutant(mutant: tuple[str, bytes]) -> None:
        path = tmp_path / f"a{mutant[0]}"
        path.write_bytes(mutant[1])
        with bounded_memory():
            use(path)

    tally = fuzz(
        "a damaged file",
        examples,
        mutants(content),
        use_mutant,
        lambda _, error: one_line_each(error, tmp_path / "a"),
    )
    assert min(tally.refused, tally.accepted) > 0


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
        with bounded_memory():
            return prepare_case(source, tmp_path, settings, {0, 1})

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
