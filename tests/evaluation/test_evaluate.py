"""Checkpoints that are not what they should be, and cases that are scored while the next one is segmented."""

import io
import re
from pathlib import Path

import pytest
import torch
from trained_cells import write
from workspace import Workspace

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import StoppedError, UserError
from context_fbr.evaluation import cell
from context_fbr.networks import factory
from context_fbr.preprocessing import prepared
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training.weights import load_network, read_training

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
    network = factory.build(document, "unet", 16, seed=5)
    write(CELL, document, saved(network.state_dict()))
    loaded = load_network(read_training(CELL), CPU)
    assert not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", ["cut", "empty", "other network", "no state dict", "code"])
def test_a_checkpoint_that_is_not_the_cell_s_is_refused_with_what_to_do(
    document: Document, kind: str
) -> None:
    whole = saved(factory.build(document, "unet", 16, seed=5).state_dict())
    content = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "other network": saved(factory.build(document, "attention_unet", 16, seed=5).state_dict()),
        "no state dict": saved([1, 2]),
        "code": saved(Sentinel()),
    }[kind]
    write(CELL, document, content)
    with pytest.raises(
        UserError, match=r"weights\.pt: holds no weights of models\.unet .*dvc repro -f train@"
    ):
        load_network(read_training(CELL), CPU)
    assert not Path("executed").exists()


def test_scoring_a_case_while_the_next_one_is_segmented_changes_no_result(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU; three at once, so that some are still waiting when the last one is begun."""
    workspace = finished.copy(tmp_path / "study")
    monkeypatch.chdir(workspace.path)
    results = [CELL.scores, *sorted(CELL.predictions.iterdir())]
    before = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()
    monkeypatch.setattr(cell, "AHEAD", {"cpu": 2})
    cell.evaluate(CELL, stage_inputs.read("evaluate", CELL.item), StopRequest())
    assert [path.read_bytes() for path in results] == before


def test_a_request_to_stop_keeps_the_cases_that_wait_for_their_scores(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = finished.copy(tmp_path / "study")
    monkeypatch.chdir(workspace.path)
    before = CELL.scores.read_bytes()
    monkeypatch.setattr(cell, "AHEAD", {"cpu": 2})
    request, segment = StopRequest(), cell.segment

    def stopping(*arguments: object) -> torch.Tensor:
        request.reason = "SIGTERM"
        return segment(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cell, "segment", stopping)
    cases = len(prepared.read_cases(CELL.task, "test"))
    with pytest.raises(StoppedError, match=f"1 of {cases} cases are evaluated and kept"):
        cell.evaluate(CELL, stage_inputs.read("evaluate", CELL.item), request)
    cell.evaluate(CELL, stage_inputs.read("evaluate", CELL.item), StopRequest())
    assert f"1 of {cases} cases were evaluated before" in capsys.readouterr().out
    assert CELL.scores.read_bytes() == before


@pytest.mark.slow
def test_several_windows_are_scored_at_once_and_the_first_makes_the_predictions(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 16 voxels are the patch's and the volume's, too: they are computed once and named apart."""
    workspace = finished.copy(tmp_path / "study")
    monkeypatch.chdir(workspace.path)
    published, tables, masks = CELL.scores.read_text().splitlines(), {}, {}
    for windows in ("[patch, 8, volume, 16]", "[8, patch]", "[8]"):
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text(re.sub(r"windows: \[.*?\]", f"windows: {windows}", text, count=1))
        cell.evaluate(CELL, stage_inputs.read("evaluate", CELL.item), StopRequest())
        tables[windows] = CELL.scores.read_text().splitlines()
        masks[windows] = [path.read_bytes() for path in sorted(CELL.predictions.iterdir())]
    both, turned, alone = tables.values()
    count = len(published)
    assert both[:count] == published
    assert [row.rsplit(",", 1)[1] for row in both[count:]] == ["8"] * (count - 1) + ["volume"] * (count - 1)
    volume = [row.rpartition(",")[0] for row in both[-(count - 1) :]]
    assert volume == [row.rpartition(",")[0] for row in published[1:]]
    assert len(turned) == 2 * count - 1
    assert turned[:count] == alone
    assert {*turned} == {row for row in both if not row.endswith(",volume")}
    first, second, third = masks.values()
    assert second == third != first


def test_a_window_that_the_network_cannot_take_is_refused_with_its_line(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = finished.copy(tmp_path / "study")
    monkeypatch.chdir(workspace.path)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("windows: [patch]", "windows: [patch, 10]", 1))
    with pytest.raises(
        UserError, match=r"params\.yaml:\d+: tasks\.spheres\.evaluate\.windows\.1: .*10 voxels"
    ):
        cell.evaluate(CELL, stage_inputs.read("evaluate", CELL.item), StopRequest())
