"""Parts of the mirror of W&B by themselves: the journal, its identity, and what tells it."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from workspace import ROOT

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.runtime import locks
from context_fbr.runtime.locks import HeldError
from context_fbr.training.batches import Volume
from context_fbr.training.history import Epoch
from context_fbr_tools.wandb_sync import backfill, journal, live, media, uploader_process
from context_fbr_tools.wandb_sync.journal import JOURNAL, folder_of, writing
from context_fbr_tools.wandb_sync.run_identity import Identity

UNET = Cell("spheres", "unet", 16, 1)
CONFIG = {"kind": "config", "config": {"provenance_train": {}}}
EPOCH = Epoch(
    number=1, learning_rate=0.1, loss=0.5, step_losses=(0.5,), validation_dice=0.25,
    foreground_ratios=(("a", 0.5),), skipped_steps=0, weights={},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def row(step: int, loss: float) -> journal.Message:
    return {"kind": "row", "step": step, "row": {"train/loss": loss}}


def test_a_journal_is_read_back_with_its_arrays_and_without_a_line_that_a_kill_cut_off() -> None:
    with writing("run") as own:
        own.append(CONFIG)
        own.append(row(1, 0.5), {"x": np.arange(3)})
    path = folder_of("run") / JOURNAL
    with path.open("a") as file:
        file.write('{"kind": "row", "st')
    assert [message["kind"] for message in journal.read(path.parent)[0]] == ["config", "row"]
    with writing("run") as own:
        assert (own.last_step, own.origins) == (1, {"train": {}})
        assert not own.differs(1, {"train/loss": 0.5, "epoch": 1})
        assert own.differs(1, {"train/loss": 0.75})
        own.append(row(2, 0.25))
    messages, end = journal.read(path.parent)
    assert end == path.stat().st_size
    assert journal.read(path.parent, end) == ([], end)
    assert [message.get("step") for message in messages] == [None, 1, 2]
    assert np.array_equal(journal.arrays_of(path.parent, messages[1])["x"], np.arange(3))


def test_a_journal_is_written_by_one_process_alone() -> None:
    with writing("run"), pytest.raises(HeldError), writing("run"):
        pass


def test_a_damaged_journal_is_put_aside() -> None:
    for damage in ("content", "files"):
        with writing("run") as own:
            own.append({**CONFIG, "digest": damage}, {"x": np.arange(3)})
        path = folder_of("run") / JOURNAL
        if damage == "content":
            path.write_bytes(b"\0" * 100 + b"\n")
        else:
            (path.parent / "1.npz").unlink()
        with writing("run") as own:
            assert own.origins == {}
        assert path.with_name(f"{JOURNAL}.damaged").exists()


def test_what_tells_a_journal_loads_no_torch() -> None:
    script = "import sys, context_fbr_tools.wandb_sync.uploader; sys.exit('torch' in sys.modules or 'wandb' in sys.modules)"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0


def test_a_run_is_told_by_one_process_at_a_time() -> None:
    """Those of a killed training and of the one that goes on would write over each other's files."""
    with writing("run") as own:
        own.append({**CONFIG, "run": "run", "name": "cell", "group": "group", "tags": []})
    with locks.hold(own.folder / "telling.lock"):
        process = uploader_process.follow(own.folder, online=False)
        assert process.stdin is not None
        process.stdin.write(b"done\n")
        process.stdin.close()
        time.sleep(4)  # for Python and W&B to begin
        assert process.poll() is None
        assert (own.folder / uploader_process.LOG).read_text() == ""
    assert process.wait(60) == 0
    assert uploader_process.said((own.folder / uploader_process.LOG).read_text(), uploader_process.PLACE)


class Ended:
    """Stands for a process that tells, long after it failed; and for its input."""

    @property
    def stdin(self) -> "Ended":
        return self

    def write(self, _: bytes) -> None:
        raise BrokenPipeError

    def poll(self) -> int:
        return 1

    def wait(self, _: float) -> int:
        return 1


def test_what_fails_is_told_once_and_ends_only_its_own_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process that tells has failed, no picture can be made, the curve was another one: rows are written."""
    document = Document.read(ROOT / "tests" / "support" / "study.yaml")
    network = torch.nn.Linear(2, 2)

    def follow(folder: Path, _: bool) -> Ended:
        (folder / uploader_process.LOG).write_text("at: https://there\nfailed: no key\n")
        return Ended()

    def no_room(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(uploader_process, "follow", follow)
    monkeypatch.setattr(media, "example", no_room)
    for shift in (0.0, 0.25):
        with live.of_training(UNET, document, network, Volume.__new__(Volume), []) as tracker:
            for number in (1, 2):
                loss = 1 / number + shift
                tracker.epoch(replace(EPOCH, number=number, step_losses=(loss,), loss=loss))
    said = [line.partition("W&B: ")[2] for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(":")[0].partition(";")[0] for line in said] == [
        "it cannot be shown what the network does", "https", "no key",
        "step 1 was another one in an attempt before, on another device or software", "https", "no key",
    ]  # fmt: skip
    (folder,) = (path.parent for path in Path().glob(f"wandb/context-fbr/*/{JOURNAL}"))
    rows = [message for message in journal.read(folder)[0] if message["kind"] == "row"]
    assert [message["row"]["train/loss"] for message in rows] == [1.0, 0.5]
    assert set(journal.arrays_of(folder, rows[0])) == {
        f"parameters/{name}/{part}" for name in ("weight", "bias") for part in ("counts", "edges")
    }
    assert json.loads((folder / JOURNAL).read_text().splitlines()[0])["name"] == UNET.key


@pytest.fixture
def finished_cell(tables: Path) -> Cell:
    """Tables, weights and summary of a cell; two patches an epoch, four epochs of which two have patches."""
    cell = Cell("spheres", "unet", 16, 1)
    cell.history.write_text("epoch,learning_rate,loss,validation_dice\n1,0.1,0.9,\n2,0.1,0.5,0.7\n")
    cell.weights.parent.mkdir(parents=True)
    cell.weights.write_bytes(b"weights")
    cell.training.write_text(
        json.dumps({"best_epoch": 2, "best_validation_dice": 0.7, "network_parameters": 3, "epochs": 2})
    )
    return cell


def test_what_a_journal_has_of_a_cell_is_not_written_again_and_another_last_step_is_told(
    finished_cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    document = Document.read(ROOT / "tests" / "support" / "study.yaml")
    config = {"network": {}, "data": {"raw": {}, "prepare": {}}, "hashes": {"raw": None, "prepared": None}}
    identity = Identity("run", finished_cell.key, "group", (), config)

    def steps() -> list[int]:
        return [m["step"] for m in journal.read(folder_of("run"))[0] if m["kind"] == "row"]

    for _ in range(2):
        with writing("run") as own:
            backfill.record_files(own, finished_cell, document, identity)
        assert steps() == [1, 2]
        assert "another one" not in capsys.readouterr().err
    with (folder_of("run") / JOURNAL).open() as file:
        assert [json.loads(line)["kind"] for line in file] == [
            "config",
            "config",
            "row",
            "row",
            "trained",
            "tested",
        ]
    finished_cell.history.write_text(finished_cell.history.read_text().replace("0.5,0.7", "0.25,0.7"))
    (folder_of("run") / JOURNAL).write_text("".join(kept_until_rows(folder_of("run") / JOURNAL)))
    with writing("run") as own:
        backfill.record_files(own, finished_cell, document, identity)
    assert steps() == [1, 2]
    assert "step 2 was another one in an attempt before" in capsys.readouterr().err


def kept_until_rows(path: Path) -> list[str]:
    """A journal whose last message is that of its last step."""
    with path.open() as file:
        return [line for line in file if json.loads(line)["kind"] in ("config", "row")]
