"""What reaches Slurm's programs, shown by programs in their place: a real controller cannot be made to hang."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.core.errors import UserError
from context_fbr_tools.dvc.run_cache import CellStatus
from context_fbr_tools.grid.table import State
from context_fbr_tools.slurm import batches, command, squeue, submit
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.config import Site
from context_fbr_tools.slurm.states import CellState

KEYS = tuple(Cell("spheres", "unet", 16, seed).key for seed in range(1, 1201))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Slurm's programs are looked for first; the working folder is one without batches."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write(folder / "srun", "exit 0")
    write(folder / "squeue", "exit 0")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.chdir(tmp_path)
    return folder


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def batch(keys: tuple[str, ...]) -> Batch:
    """A record of cells that were not handed to Slurm yet."""
    made = Batch(
        batches.new_folder(), "0" * 40, "2026-01-01T00:00:00+00:00", keys, ("a" * 64,) * len(keys),
        None, None, "/r", 60, 600,
    )  # fmt: skip
    batches.write(made)
    return made


def study() -> Study:
    return read_study(Document.read(Path(__file__).parents[2].joinpath("support", "study.yaml")))


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS[:3]], ids=["one", "array"])
def test_an_sbatch_that_hangs_is_given_up_and_leaves_no_record(
    programs: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    write(programs / "sbatch", "sleep 60; echo Submitted batch job 17")
    monkeypatch.setattr(submit, "SUBMISSION_S", 1)
    made = batch(keys)
    site = Site(time_minutes=10, memory_gb=1, gpus=0)
    with pytest.raises(UserError, match=f"none of these {len(keys)} cells was submitted"):
        submit._hand_over(made, submit._executor(study(), site, made))
    assert batches.every() == []


@pytest.mark.parametrize("looks", [0, 20], ids=["alone", "while another runs"])
def test_a_lost_cell_that_cannot_be_submitted_again_is_tried_while_others_run_and_then_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], looks: int
) -> None:
    """The commit has changed meanwhile, which no waiting heals."""
    first, second = study().cells[:2]
    lost = CellState(CellStatus(first, "d", done=False), State.LOST, None, "NODE_FAIL", 1)
    running = CellState(CellStatus(second, "d", done=False), State.RUNNING, None, "", 0)
    seen = iter([*[[lost, running]] * looks, *[[lost, replace(running, state=State.DONE)]] * 100])
    refused: list[None] = []

    def submission(*_: object, force: bool) -> list[CellState]:
        if submissions.pop():
            return [lost]
        refused.append(None)
        raise UserError("the commit has changed")

    submissions = [False] * 100 + [True]
    seconds = itertools.count(step=60)
    monkeypatch.setattr(command, "_submit_missing", submission)
    monkeypatch.setattr(command.submit, "commit", lambda: "a" * 40)
    monkeypatch.setattr(command.submit, "bring_data", lambda *_: ("spheres",))
    monkeypatch.setattr(command.squeue, "check", lambda: None)
    monkeypatch.setattr(command.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(command.monitor, "look", lambda *_: next(seen))
    monkeypatch.setattr(command.monitor, "_look_again", lambda _: next(seen))
    monkeypatch.setattr(command.monitor.time, "sleep", lambda _: None)
    with pytest.raises(UserError, match=f"{lost.work.cell.key}: lost: NODE_FAIL"):
        command.submit_cells(study(), Site(time_minutes=10, memory_gb=1, gpus=0), [], watched=True)
    assert len(refused) == max(command.MOST_FAILURES, looks)
    assert capsys.readouterr().out.count("not submitted again for now: the commit has changed") == 1


def test_variables_of_the_job_that_submits_do_not_reach_the_new_ones(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(programs / "sbatch", f"env > {tmp_path}/seen; echo Submitted batch job 17")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "9")
    monkeypatch.setenv("SBATCH_PARTITION", "debug")
    monkeypatch.setenv("SLURM_CONF", "/etc/s.conf")
    made = batch(KEYS[:2])
    site = Site(time_minutes=10, memory_gb=1, gpus=0)
    submit._hand_over(made, submit._executor(study(), site, made))
    seen = (tmp_path / "seen").read_text()
    assert "SLURM_CONF=/etc/s.conf" in seen
    assert "SLURM_CPUS_PER_TASK" not in seen
    assert "SBATCH_PARTITION" not in seen


def test_without_names_all_jobs_are_cancelled_and_a_controller_that_goes_away_loses_no_record(
    programs: Path, tmp_path: Path
) -> None:
    made = batch(KEYS)
    lines = "".join(f"{made.name}|{index}|7|PENDING|None|\n" for index in range(len(KEYS)))
    (tmp_path / "jobs").write_text(lines)
    write(programs / "squeue", f"cat {tmp_path}/jobs")
    # The first command is answered, the second not.
    write(
        programs / "scancel",
        f"[ -e {tmp_path}/first ] && {{ echo 'Unable to contact' >&2; exit 1; }}; touch {tmp_path}/first",
    )
    with pytest.raises(UserError, match="Unable to contact; not all jobs are known to be cancelled"):
        command.cancel(None)
    ended = [key for key in KEYS if made.end(Cell.from_key(key)) is not None]
    assert ended == list(KEYS[: squeue.MOST_NAMED])


def test_cells_are_not_watched_where_slurm_can_never_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch: not found; this needs the programs of a Slurm cluster"):
        command.status([Cell.from_key(KEYS[0])], watched=True)


def test_a_cell_is_submitted_again_only_after_a_minute_in_which_it_was_lost_at_every_look() -> None:
    first, second = (Cell.from_key(key) for key in KEYS[:2])

    def look(*lost: Cell, times: int = 1) -> list[CellState]:
        return [
            CellState(
                CellStatus(cell, "a", done=False),
                State.LOST if cell in lost else State.RUNNING,
                None,
                "",
                times,
            )
            for cell in (first, second)
        ]

    lost = command._Lost()
    assert lost.ripe(look(first), 100) == []
    assert lost.ripe(look(first, second), 159) == []
    assert lost.ripe(look(first, second), 160) == [first]
    assert lost.ripe(look(first), 200) == [first]  # the second one's file came late
    assert lost.ripe(look(second), 219) == []
    assert lost.ripe(look(second), 279) == [second]
    assert lost.ripe(look(second, times=3), 300) == []  # someone has to look
    assert lost.since == {}
