"""Checkpoints that are not what they should be."""

import io
from pathlib import Path

import pytest
import torch

from context_fbr import atomic, networks
from context_fbr.cells import Cell
from context_fbr.errors import UserError
from context_fbr.study.document import Document
from context_fbr.trained import load_network

CELL = Cell("spheres", "unet", 16, 1)
CPU = torch.device("cpu")


class Sentinel:
    """Pickled code that would leave a file behind."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def document(params: Path, monkeypatch: pytest.MonkeyPatch) -> Document:
    monkeypatch.chdir(params.parent)
    return Document.read(params)


def test_weights_come_back_as_they_were_saved(document: Document) -> None:
    network = networks.build(document, "unet", 16, seed=5)
    atomic.write_bytes(CELL.weights, saved(network.state_dict()))
    loaded = load_network(document, CELL, CPU)
    assert not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", ["cut", "empty", "other network", "no state dict", "code"])
def test_a_checkpoint_that_is_not_the_cell_s_is_refused_with_what_to_do(
    document: Document, kind: str
) -> None:
    whole = saved(networks.build(document, "unet", 16, seed=5).state_dict())
    content = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "other network": saved(networks.build(document, "attention_unet", 16, seed=5).state_dict()),
        "no state dict": saved([1, 2]),
        "code": saved(Sentinel()),
    }[kind]
    atomic.write_bytes(CELL.weights, content)
    with pytest.raises(
        UserError, match=r"weights\.pt: holds no weights of networks\.unet .*dvc repro -f train@"
    ):
        load_network(document, CELL, CPU)
    assert not Path("executed").exists()
