"""Weights are used with the network that they were trained in, or not at all (A4)."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trained_cells import write
from workspace import Workspace

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import Model
from context_fbr.core.errors import UserError
from context_fbr.networks import factory
from context_fbr.training.weights import check_network, load_network, read_training

CELL, OTHER = Cell("spheres", "unet", 16, 1), Cell("spheres", "unet", 16, 2)
CPU = torch.device("cpu")
IMAGE = torch.rand((2, 1, 16, 16, 16), generator=torch.Generator().manual_seed(1))
ORDER = ("    norm: batch", "    norm: batch\n    adn_ordering: AND")


def saved(network: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return buffer.getvalue()


@pytest.fixture
def network(params: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The network of a cell that is on disk as if it were trained; next to it another cell of other weights."""
    monkeypatch.chdir(params.parent)
    document = Document.read()
    for cell in (OTHER, CELL):
        network = factory.build(document, cell.model, cell.patch_size, cell.seed)
        network(IMAGE)  # statistics of a batch: before these, norm and activation could change places
        write(cell, document, saved(network))
    return network.eval()


def change(path: Path, name: str, value: object) -> None:
    content = json.loads(path.read_text())
    content[name] = value
    path.write_text(json.dumps(content))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_change_of_params_yaml_does_not_change_a_trained_network(network: torch.nn.Module) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace(*ORDER, 1))
    built = factory.build(Document.read(), "unet", 16, 1).eval()
    built.load_state_dict(network.state_dict())  # same names and shapes: nothing else would notice
    with torch.no_grad():
        expected, other = network(IMAGE), built(IMAGE)
        torch.testing.assert_close(load_network(read_training(CELL), CPU)(IMAGE), expected)
        assert not torch.allclose(other, expected, atol=1e-2)


def test_a_change_of_params_yaml_is_named_by_argument(network: torch.nn.Module) -> None:
    params = Path("params.yaml")
    spec = Document.read().section(("models", "unet"), Model)
    check_network(read_training(CELL), spec)
    params.write_text(params.read_text().replace(*ORDER, 1))
    with pytest.raises(UserError) as raised:
        check_network(read_training(CELL), Document.read().section(("models", "unet"), Model))
    assert raised.value.problems[0].startswith("params.yaml: models.unet.adn_ordering: ")
    assert len(raised.value.problems) == 2


WRONG: dict[str, tuple[Callable[[], object], Path]] = {
    "weights of another cell": (lambda: CELL.weights.write_bytes(OTHER.weights.read_bytes()), CELL.weights),
    "a folder of another cell": (lambda: [getattr(CELL, n).write_bytes(getattr(OTHER, n).read_bytes()) for n in ("weights", "training")], CELL.training),
    "a bit of a weight": (lambda: flip(CELL.weights, CELL.weights.stat().st_size // 2), CELL.weights),
    "a longer file": (lambda: CELL.weights.write_bytes(CELL.weights.read_bytes() + b"x"), CELL.weights),
    "an earlier format": (lambda: change(CELL.training, "format", 3), CELL.training),
    "no hash": (lambda: change(CELL.training, "weights_sha256", None), CELL.training),
    "no network": (lambda: change(CELL.training, "network", "UNet"), CELL.training),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_model_that_is_not_whole_is_refused_by_name(network: torch.nn.Module, case: str) -> None:
    load_network(read_training(CELL), CPU)
    make, place = WRONG[case]
    make()
    with pytest.raises(UserError) as raised:
        load_network(read_training(CELL), CPU)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{place}: ")
    assert f"train@{CELL.key}" in problem


@pytest.mark.slow
def test_evaluate_refuses_a_network_that_was_changed_since(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "study")
    before = (workspace.path / CELL.scores).read_bytes()
    workspace.edit("params.yaml", "    num_res_units: 2\n", "    num_res_units: 2\n    adn_ordering: AND\n")
    arguments = [CELL.task, CELL.model, str(CELL.patch_size), str(CELL.seed)]
    said = workspace.run("python", "-m", "context_fbr.evaluate", *arguments, expect=1).stderr
    assert said.startswith("error: params.yaml: models.unet.adn_ordering: ")
    assert (workspace.path / CELL.scores).read_bytes() == before
