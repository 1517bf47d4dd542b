"""Tables and trees of results with anything in them: the same study, or a UserError that names the file."""

import json
from pathlib import Path

import numpy as np
import published_tables
import pytest
from hypothesis import strategies as st
from mutations import efforts, fuzz, mutated_bytes, mutated_json, mutated_table
from result_repository import LEVELS, Repository, scores
from small_results import CELLS, SETTINGS

from context_fbr.analysis import foreground_ranges, run_records, summary
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.result_files import FOREGROUND_RATIOS, HISTORY, read_table
from context_fbr.analysis.results import read_results
from context_fbr.config.cell import TRAINING_FORMAT
from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import geometry
from context_fbr.metrics.columns import CELL_SCORES
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.training import weights
from context_fbr_tools.diff.inputs import compare_inputs
from context_fbr_tools.diff.results import read_results as read_compared
from context_fbr_tools.diff.snapshot import snapshot
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.exchange.published.results import read_published

CELL = CELLS[0]
RECIPE = Recipe(Preparation(window=(-57.0, 164.0), spacing_mm=(1.5, 1.5, 2.0)), ("CT",), -1024.0)
TRAINED = {
    "format": TRAINING_FORMAT,
    "cell": CELL.key,
    "network": {"network": "UNet"},
    "weights_sha256": "0" * 64,
    "recipe": RECIPE.as_json(),
    "core": None,
    "training_spacing_mm": {"least": [1.0, 1.0, 1.0], "greatest": [1.0, 2.0, 1.0]},
}
WHERE = geometry((4, 5, 6), np.diag([1.0, 1.0, 2.0, 1.0]))
CASE = Case("a", "test", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", (1,), WHERE, 0.0, 7, 7 / 120, -5.0)
LOCK = """schema: '2.0'
stages:
  train@spheres-unet-16-1:
    cmd: python -m x
    deps:
    - path: src/a.py
      hash: md5
      md5: a0123
      size: 1
    outs:
    - path: data/raw/spheres
      hash: md5
      md5: a4567
      size: 1
"""


def names(error: UserError, *files: object) -> None:
    """Every problem begins with one of the files and is one line."""
    for problem in error.problems:
        assert any(str(file) in problem for file in files), problem
        assert "\n" not in problem.strip(), problem


@efforts(15, 300)
@pytest.mark.parametrize("kind", ["history", "foreground_ratios", "scores", "baselines"])
def test_a_result_table_is_read_or_refused_with_its_name(tables: Path, examples: int, kind: str) -> None:
    path = Path("metrics/baselines/spheres.csv") if kind == "baselines" else getattr(CELL, kind)

    def analyse(content: bytes) -> None:
        path.write_bytes(content)
        results = read_results(CELLS)
        cells = summary.cell_table(results, SETTINGS)
        evidence = from_results(results, summary.convergence(cells))
        assert cells["dice"].dropna().between(0, 1).all()
        foreground_ranges.assign_range_group(evidence)
        summary.thresholds(results.baselines)

    fuzz(
        f"metrics: {kind}",
        examples,
        mutated_table(path.read_text()),
        analyse,
        lambda _, e: names(e, "metrics/"),
    )


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        ("scores", "a,0.18", "a,1.7", r":2: dsc is 1\.7, expected 0 to 1"),
        ("scores", ",1,0.5,0.1,", ",-1,0.5,0.1,", r":2: hausdorff is -1\.0, expected 0 or more"),
        ("scores", "1.0,0.01,", "1.0,1.01,", r":3: fg_ratio is 1\.01, expected 0 to 1"),
        ("scores", "b,0.0", "a,0.0", r":3: a, 16 is there twice"),
        ("scores", ",1.0,0.01", ",inf,0.01", r":3: abs_diff is inf"),
        ("scores", "b,0.0", "b,zero", r":3: dsc is 'zero', expected a number"),
        ("foreground_ratios", "c,0.5", "c,1.5", r":3: foreground_ratio is 1\.5, expected 0 to 1"),
        ("foreground_ratios", "c,0.5", "c,", r":3: foreground_ratio is ''"),
        ("history", "3,0.1", "2.5,0.1", r":4: epoch is 2.5"),
        ("history", "3,0.1", "2,0.1", r":4: 2, 0.1 is there twice"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_line(
    tables: Path, kind: str, before: str, after: str, expected: str
) -> None:
    path = getattr(CELL, kind)
    assert path.read_text().count(before) == 1
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UserError, match=expected):
        read_results(CELLS)


def test_a_table_cut_at_any_length_is_never_taken_for_a_whole_one(tables: Path) -> None:
    for kind, columns in (
        ("history", HISTORY),
        ("foreground_ratios", FOREGROUND_RATIOS),
        ("scores", CELL_SCORES),
    ):
        path = getattr(CELL, kind)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            problems: list[str] = []
            read_table(path, columns, problems)
            assert len(problems) == 1 or whole[length - 1 : length] == b"\n", whole[:length]
        path.write_bytes(whole)


def test_a_table_cut_at_the_end_of_a_line_lacks_a_case_that_others_have(tables: Path) -> None:
    CELL.scores.write_text("\n".join(CELL.scores.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(UserError, match=rf"{CELL.key}\.csv: is without b, which other cells have"):
        read_results(CELLS)


@efforts(30, 2_000)
def test_a_published_folder_is_read_as_far_as_it_goes_and_every_fault_named(
    tmp_path: Path,
    examples: int,
) -> None:
    folder = published_tables.write(tmp_path / "published")
    place = folder / "synthetic-unet"
    tables = {
        name: (place / name).read_text() for name in ("synthetic-unet-32-1.csv", "foreground_ratios-32.csv")
    }

    def read(drawn: tuple[str, bytes]) -> None:
        name, content = drawn
        for other, text in tables.items():
            (place / other).write_text(text)
        (place / name).write_bytes(content)
        found = read_published(folder)
        assert found.evidence.scores["dsc"].dropna().between(0, 1).all()
        assert found.evidence.scores["fg_ratio"].between(0, 1).all()
        assert not (found.evidence.scores["hausdorff"] < 0).any()
        foreground_ranges.published_ranges(found.evidence)
        if found.problems:
            raise UserError(*found.problems)

    drawn = st.sampled_from(list(tables)).flatmap(lambda n: st.tuples(st.just(n), mutated_table(tables[n])))
    fuzz("published", examples, drawn, read, lambda *_: None)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared cases, a training and a lock file."""
    monkeypatch.chdir(tmp_path)
    prepared.write_cases(prepared.folder("spheres"), "spheres", [CASE], RECIPE.as_json())
    prepared.write_volume(
        prepared.folder("spheres"), CASE, np.zeros(CASE.shape, np.float32), np.zeros(CASE.shape, np.uint8)
    )
    CELL.training.parent.mkdir(parents=True)
    CELL.training.write_text(json.dumps(TRAINED))
    lockfile.LOCK.write_text(LOCK)
    return tmp_path


@efforts(100, 8_000)
def test_prepared_voxels_are_read_or_refused(study: Path, examples: int) -> None:
    path = prepared.folder("spheres") / "images" / "a.npy"
    whole = path.read_bytes()
    long = whole.replace(b"(4, 5, 6), }       ", b"(4, 5, 99999999), }")
    assert long != whole

    def read(content: bytes) -> None:
        path.write_bytes(content)
        image, _ = prepared.read_volume("spheres", CASE)
        assert image.shape == CASE.shape

    header = mutated_bytes(whole[:128]).map(lambda start: start + whole[128:])
    contents = (
        mutated_bytes(whole) | header | st.sampled_from([long, b"PK\3\4", b"PK\5\6" + bytes(18), b"\x80\4."])
    )
    fuzz("volumes.npy", examples, contents, read, lambda _, e: names(e, path))


@efforts(100, 8_000)
def test_a_training_s_recipe_is_read_or_refused(study: Path, examples: int) -> None:
    def read(content: bytes) -> None:
        CELL.training.write_bytes(content)
        recipe = weights.read_training(CELL).recipe
        assert all(isinstance(name, str) for name in recipe.modality)
        assert np.isfinite(recipe.lowest_intensity)

    fuzz(
        "training.json",
        examples,
        mutated_json(CELL.training.read_text()),
        read,
        lambda _, e: names(e, CELL.training),
    )


@efforts(100, 5_000)
def test_a_lock_file_is_read_or_refused(study: Path, examples: int) -> None:
    def read(content: bytes) -> None:
        lockfile.LOCK.write_bytes(content)
        for path in lockfile.outputs(lockfile.stages()):
            assert not path.is_absolute()
            assert ".." not in path.parts

    swapped = st.tuples(
        st.sampled_from(["a4567", "data/raw/spheres", "path", "outs", "deps", "stages", "md5", "train@spheres-unet-16-1", "- path: src/a.py"]),
        st.sampled_from(["", "1", "../..", "/", ".", "[]", "{}", "~", "a: 1", "&a", "*a", "é", "x" * 5000]),
    ).map(lambda pair: LOCK.replace(*pair).encode())  # fmt: skip
    fuzz(
        "dvc.lock",
        examples,
        mutated_bytes(LOCK.encode()) | swapped,
        read,
        lambda _, e: names(e, lockfile.LOCK),
    )


@efforts(30, 1_000)
def test_what_diff_compares_is_read_or_refused_with_its_file(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    examples: int,
) -> None:
    monkeypatch.chdir(repository.path)
    Path("dvc.lock").write_text(LOCK)
    Path("dvc.yaml").write_text("stages:\n  raw:\n    cmd: a\n    deps: [src/a.py, {src/b.py: {x: 1}}]\n")
    repository.commit(scores(LEVELS))
    files = {
        name: Path(name).read_text()
        for name in (
            "metrics/spheres/cases.csv",
            "metrics/spheres/cells.csv",
            "dvc.lock",
            "dvc.yaml",
            "params.yaml",
        )
    }
    base, head = snapshot("HEAD"), snapshot(None)

    def compare(drawn: tuple[str, bytes]) -> None:
        for name, text in files.items():
            Path(name).write_text(text)
        Path(drawn[0]).write_bytes(drawn[1])
        if drawn[0].endswith(".csv"):
            read_compared(head, SETTINGS).cells  # noqa: B018
        else:
            compare_inputs(base, head)

    drawn = st.sampled_from(list(files)).flatmap(
        lambda n: st.tuples(
            st.just(n),
            (mutated_table if n.endswith(".csv") else lambda t: mutated_bytes(t.encode()))(files[n]),
        )
    )
    fuzz("diff", examples, drawn, compare, lambda d, e: names(e, d[0]))


@efforts(40, 300)
def test_a_record_of_a_paper_cell_is_trusted_only_as_it_was_written(
    tmp_path: Path, params: Path, examples: int
) -> None:
    from context_fbr.config.document import Document

    document = Document.read(params)
    place = tmp_path / CELL.key
    place.mkdir()
    (place / "scores.csv").write_text("a\n")
    tables = {"scores.csv": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"}
    digest = run_records.digest(document, CELL.key)
    record = run_records.Record(
        1, CELL.key, digest, "d", tables, "abc", "cpu", 1, {"torch": "2"}, "2026", {"all": 1.0}
    )
    (place / "record.json").write_text(run_records.record_text(record))
    assert run_records.read_record(place, document) == record

    def read(content: bytes) -> None:
        (place / "record.json").write_bytes(content)
        found = run_records.read_record(place, document)
        assert (found.name, found.parameters) == (record.name, record.parameters)

    fuzz(
        "record.json",
        examples,
        mutated_json(run_records.record_text(record)),
        read,
        lambda _, e: names(e, place),
    )
