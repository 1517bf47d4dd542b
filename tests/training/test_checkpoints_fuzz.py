"""Checkpoints and saved states with anything in them: the very same weights, or a refusal; no code runs."""

import io
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from mutations import efforts, fuzz, mutated_bytes
from trained_cells import write

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError
from context_fbr.evaluation import case_cache
from context_fbr.evaluation.case_cache import CaseResult
from context_fbr.networks import factory
from context_fbr.runtime import checksummed_file
from context_fbr.runtime.checksummed_file import CorruptFileError
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.training import checkpoint
from context_fbr.training.weights import load_network, read_training

CELL = Cell("spheres", "net", 8, 1)
CPU = torch.device("cpu")
NETWORK = "    network: UNet\n    channels: [2, 4]\n    strides: [2]\n"
REFUSED = r"weights\.pt: (holds no weights of models\.net|.*hold NaN or infinite).*dvc repro -f train@"


class Code:
    """Pickled code that would leave a file behind."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Document:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"models:\n  net:\n{NETWORK}")
    CELL.weights.parent.mkdir(parents=True)
    return Document.read()


@pytest.fixture
def weights(document: Document) -> dict[str, torch.Tensor]:
    return factory.build(document, "net", 8, seed=5).state_dict()


def test_weights_cut_at_any_of_twenty_lengths_are_refused(
    document: Document, weights: dict[str, torch.Tensor]
) -> None:
    whole = saved(weights)
    for part in range(20):
        write(CELL, document, whole[: len(whole) * part // 20])
        with pytest.raises(UserError, match=REFUSED):
            load_network(read_training(CELL), CPU)


@efforts(60, 2_000)
def test_damaged_weights_are_refused_or_are_the_same(
    document: Document, weights: dict[str, torch.Tensor], examples: int
) -> None:
    def load(content: bytes) -> None:
        write(CELL, document, content)
        loaded = load_network(read_training(CELL), CPU).state_dict()
        assert all(torch.equal(value, loaded[name]) for name, value in weights.items())

    def say(_: bytes, error: UserError) -> None:
        assert all("weights.pt: " in problem and "\n" not in problem for problem in error.problems)

    tally = fuzz("weights.pt", examples, mutated_bytes(saved(weights)), load, say)
    assert tally.refused > tally.examples // 2


def bomb(content: bytes) -> bytes:
    """A zip with the weights and a gigabyte of nothing, packed."""
    buffer = io.BytesIO(content)
    with (
        zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data/x", "w") as member,
    ):
        for _ in range(64):
            member.write(bytes(1 << 20))
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


def first_replaced(weights: dict[str, torch.Tensor], value: object) -> dict[str, object]:
    return {**weights, next(iter(weights)): value}


MALICE: dict[str, Callable[[dict[str, torch.Tensor]], bytes]] = {
    "empty": lambda _: b"",
    "a list": lambda _: saved([1, 2]),
    "a number": lambda _: saved(3),
    "nothing": lambda _: saved(None),
    "names that are numbers": lambda _: saved({1: torch.zeros(1)}),
    "values that are text": lambda w: saved(first_replaced(w, "a")),
    "values that are lists": lambda w: saved(first_replaced(w, [1.0])),
    "values that are missing": lambda w: saved(dict(list(w.items())[1:])),
    "values that are too many": lambda w: saved({**w, "x": torch.zeros(1)}),
    "another shape": lambda w: saved(first_replaced(w, torch.zeros(1))),
    "a sparse tensor": lambda w: saved(first_replaced(w, torch.zeros(2, 2).to_sparse())),
    "NaN": lambda w: saved({name: torch.full_like(value, float("nan")) if value.is_floating_point() else value for name, value in w.items()}),
    "one infinite weight": lambda w: saved(first_replaced(w, next(iter(w.values())).clone().index_fill_(0, torch.tensor([0]), float("inf")))),
    "another network": lambda _: saved(torch.nn.Linear(2, 2).state_dict()),
    "a module": lambda _: saved(torch.nn.Linear(2, 2)),
    "code": lambda _: saved(Code()),
    "code among the weights": lambda w: saved(first_replaced(w, Code())),
    "code in the format of old": lambda _: saved(Code(), _use_new_zipfile_serialization=False),
    "TorchScript": lambda _: scripted(),
    "a zip bomb": lambda w: bomb(saved(w)),
    "a zip of nothing": lambda _: b"PK\5\6" + bytes(18),
    "a gigabyte promised": lambda w: saved(first_replaced(w, torch.zeros(1).expand(1 << 15, 1 << 15))),
}  # fmt: skip


@pytest.mark.parametrize("what", MALICE)
def test_a_file_that_is_no_state_of_the_network_is_refused_and_runs_no_code(
    document: Document, weights: dict[str, torch.Tensor], what: str
) -> None:
    write(CELL, document, MALICE[what](weights))
    with pytest.raises(UserError, match=REFUSED):
        load_network(read_training(CELL), CPU)
    assert not Path("executed").exists()


@efforts(150, 5_000)
def test_a_sealed_file_is_what_was_written_or_unusable(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "state"
    checksummed_file.write(path, "case", 1, "key", b"content\nof a file")
    whole = path.read_bytes()

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            assert bytes(checksummed_file.read(path, "case", 1, "key")) == b"content\nof a file"
        except CorruptFileError as error:
            raise UserError(str(error)) from error

    tally = fuzz("sealed", examples, mutated_bytes(whole), read, lambda *_: None)
    assert tally.refused > tally.examples // 2


@pytest.mark.parametrize("key", [("case", 1, "other"), ("case", 2, "key"), ("training", 1, "key")])
def test_a_sealed_file_of_another_kind_format_or_key_is_unusable(
    tmp_path: Path, key: tuple[str, int, str]
) -> None:
    checksummed_file.write(tmp_path / "state", "case", 1, "key", b"content")
    with pytest.raises(CorruptFileError):
        checksummed_file.read(tmp_path / "state", *key)


@efforts(100, 3_000)
def test_a_damaged_case_is_evaluated_again(tmp_path: Path, examples: int) -> None:
    place = CheckpointDir(tmp_path, "d" * 64)
    result = CaseResult((("a", 0.5, None, 1), ("a", 0.75, None, 0)), b"\x1f\x8b\n\n")
    case_cache.save(place, "a", "data", result)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()

    def load(content: bytes) -> None:
        path.write_bytes(content)
        try:
            assert case_cache.load(place, "a", "data") == result
        except CorruptFileError as error:
            raise UserError(str(error)) from error

    fuzz("case results", examples, mutated_bytes(whole), load, lambda *_: None)


@efforts(60, 1_000)
def test_a_damaged_state_is_reported(tmp_path: Path, examples: int) -> None:
    place = CheckpointDir(tmp_path, "d" * 64)
    path = tmp_path / checkpoint.NEWEST
    state = {"epoch": 1, "epoch_losses": (), "best_validation_dice": 0.5, "network": {}, "optimizer": {}}
    content = saved(state | {"history": [], "steps": []})
    checksummed_file.write(path, checkpoint.KIND, checkpoint.FORMAT, place.digest, content)
    whole = path.read_bytes()

    def load(content: bytes) -> None:
        path.write_bytes(content)
        state, _, problems = checkpoint.load(place)
        assert (state is None) == (content != whole)
        if problems:
            raise UserError(*problems)

    fuzz(
        "training states",
        examples,
        st.one_of(mutated_bytes(whole), st.binary(max_size=100)),
        load,
        lambda *_: None,
    )
