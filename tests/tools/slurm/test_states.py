"""State of a cell from the cache, from the files of its job and from Slurm; and slurm.yaml."""

from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from workspace import Workspace

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr_tools.dvc import run_cache
from context_fbr_tools.dvc.run_cache import CellStatus
from context_fbr_tools.grid.start.processes import Running
from context_fbr_tools.grid.table import State
from context_fbr_tools.slurm import batches, config, monitor, squeue, worker
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.job import is_stuck
from context_fbr_tools.slurm.squeue import Job, SlurmUnavailableError
from context_fbr_tools.slurm.states import CellState, elsewhere, standings
from context_fbr_tools.slurm.worker import TIME

SILENT = SlurmUnavailableError("squeue: no answer in 30 s")
CELL = Cell("spheres", "unet", 16, 1)
WORK = CellStatus(CELL, "a" * 64, done=False)
MINIMAL = "time_minutes: 60\nmemory_gb: 8\ngpus: 1\n"


def batch_at(path: Path, number: int, *, digest: str = WORK.digest, remote: str | None = None) -> Batch:
    """A batch of the cell alone."""
    return Batch(
        path / f"fbr-{number}",
        "0" * 40,
        "2026-01-01T00:00:00+00:00",
        (CELL.key,),
        (digest,),
        remote,
        None,
        "/r",
        60,
        600,
    )


def job(batch: Batch, state: str, reason: str = "None") -> Job:
    return Job(batch.name, 0, "7_0", state, reason, "n1")


def stands(
    known: list[Batch],
    jobs: list[Job] | SlurmUnavailableError,
    work: CellStatus = WORK,
    *,
    trusted: bool = True,
) -> CellState:
    return standings([work], known, jobs, trusted=trusted)[0]


def test_a_cell_that_the_cache_holds_is_done_whatever_became_of_its_job(tmp_path: Path) -> None:
    batch = batch_at(tmp_path, 1)
    batch.write_end(CELL, "failed", "no")
    there = replace(WORK, done=True)
    assert stands([batch], [job(batch, "NODE_FAIL")], there).state is State.DONE
    assert stands([], SILENT, there).state is State.DONE


def test_what_no_job_has_had_is_to_be_submitted_and_so_is_a_cell_whose_work_has_changed(
    tmp_path: Path,
) -> None:
    assert stands([], []).state is State.NOT_SUBMITTED
    other = batch_at(tmp_path, 1, digest="b" * 64)
    standing = stands([other], [job(other, "RUNNING")])
    assert standing.state is State.NOT_SUBMITTED
    assert standing.to_submit
    assert [key for _, key in elsewhere([WORK], [other], [job(other, "RUNNING")])] == [CELL.key]
    assert elsewhere([WORK], [other], [job(other, "COMPLETED")]) == []


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("PENDING", State.WAITING),
        ("REQUEUE_HOLD", State.WAITING),
        ("RUNNING", State.RUNNING),
        ("COMPLETING", State.RUNNING),
        ("SUSPENDED", State.RUNNING),
        ("A_STATE_OF_A_LATER_VERSION", State.RUNNING),
        ("FAILED", State.LOST),
        ("NODE_FAIL", State.LOST),
        ("OUT_OF_MEMORY", State.LOST),
        ("TIMEOUT", State.LOST),
        ("COMPLETED", State.LOST),
    ],
)
def test_a_job_that_may_run_on_is_never_submitted_again(tmp_path: Path, told: str, state: State) -> None:
    batch = batch_at(tmp_path, 1)
    standing = stands([batch], [job(batch, told)])
    assert standing.state is state
    assert standing.to_submit == (state is State.LOST)


def test_a_job_of_which_slurm_knows_nothing_is_lost_but_not_if_slurm_does_not_answer(tmp_path: Path) -> None:
    batch = batch_at(tmp_path, 1)
    assert stands([batch], []).state is State.LOST
    silent = stands([batch], SILENT)
    assert silent.state is State.UNKNOWN
    assert silent.note == "Slurm does not answer (squeue: no answer in 30 s)"
    assert not silent.to_submit


def test_a_lost_cell_is_submitted_again_twice_and_then_someone_has_to_look(tmp_path: Path) -> None:
    known: list[Batch] = []
    for number in range(1, 4):
        known.insert(0, batch_at(tmp_path, number))
        standing = stands(known, [])
        assert standing.lost == number
        assert standing.to_submit == (number < 3)
    assert f"grid submit {CELL.key}" in standing.note
    known[1].write_end(CELL, "cancelled")  # someone was here: counted again
    assert stands(known, []).lost == 1


def test_a_failed_cell_is_final_and_a_cancelled_one_is_not(tmp_path: Path) -> None:
    batch = batch_at(tmp_path, 1)
    batch.write_end(CELL, "failed", "the loss is not finite")
    failed = stands([batch], [job(batch, "COMPLETED")])
    assert (failed.state, failed.note, failed.to_submit) == (State.FAILED, "the loss is not finite", False)
    batch.write_end(CELL, "cancelled")
    assert stands([batch], []).to_submit
    assert not stands([batch], [job(batch, "COMPLETING")]).to_submit  # it still saves itself
    newer = batch_at(tmp_path, 2)
    newer.write_end(CELL, "cancelled")
    assert stands([newer, batch], [job(batch, "RUNNING")]).state is State.RUNNING


def test_a_job_that_says_done_is_believed_only_while_its_remote_was_not_looked_at(tmp_path: Path) -> None:
    shared, pushed = batch_at(tmp_path, 1), batch_at(tmp_path, 2, remote="storage")
    shared.write_end(CELL, "done")
    pushed.write_end(CELL, "done")
    assert stands([shared], []).state is State.LOST
    assert stands([pushed], []).state is State.DONE
    torn = stands([pushed], [], trusted=False)
    assert torn.state is State.LOST
    assert "the remote storage does not hold its results" in torn.note


def test_an_end_that_cannot_be_read_is_no_success(tmp_path: Path) -> None:
    batch = batch_at(tmp_path, 1)
    batch.write_end(CELL, "done")
    next((batch.folder / "ends").iterdir()).write_text("{")
    assert stands([batch], []).state is State.FAILED


def test_batches_are_read_as_they_were_written_newest_first_and_a_damaged_record_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [replace(batch_at(tmp_path, n), folder=batches.ROOT.absolute() / f"fbr-{n}") for n in (1, 2)]
    for batch in made:
        batches.write(batch)
    (batches.ROOT / "fbr-3").mkdir()  # a submission that was cut off before its record was written
    assert batches.every() == made[::-1]
    for name, text in (("fbr-4", '{"keys": []'), ("fbr-5", "{}")):
        (batches.ROOT / name).mkdir()
        (batches.ROOT / name / batches.RECORD).write_text(text)
    with pytest.raises(UserError) as damaged:  # its jobs may be alive
        batches.every()
    assert len(damaged.value.problems) == 2


def test_cells_are_done_only_while_every_object_of_theirs_is_in_the_cache(
    finished: Workspace, tmp_path: Path
) -> None:
    workspace = finished.copy(tmp_path / "study")
    cells = read_study(Document.read(workspace.path / "params.yaml")).grid.cells
    with chdir(workspace.path):
        first = run_cache.find_results(cells)
        assert [work.done for work in first] == [True, True]
        assert len({work.digest for work in first}) == 2
        # Workspace and dvc.lock are of no matter: only the cache counts.
        workspace.run("rm", "-r", "models", "metrics/test", "dvc.lock")
        assert run_cache.find_results(cells) == first
        lost = next(Path(".dvc/cache/files/md5").glob("*/*.dir"))
        listed = [p for p in Path(".dvc/cache/files/md5").glob("*/*.dir") if "weights.pt" in p.read_text()]
        assert lost.is_file()
        listed[0].unlink()
        assert sorted(work.done for work in run_cache.find_results(cells)) == [False, True]
        workspace.edit("params.yaml", "learning_rate: 0.005", "learning_rate: 0.004")
        changed = run_cache.find_results(cells)
        assert not any(work.done for work in changed)
        assert not {work.digest for work in changed} & {work.digest for work in first}
        workspace.run("rm", "-r", "data/prepared")
        with pytest.raises(UserError, match="data/prepared/spheres: is missing"):
            run_cache.find_results(cells)


def test_squeue_is_read_with_arrays_single_jobs_and_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squeue"
    program.write_text(
        "#!/bin/sh\necho 'fbr-1|3|17|PENDING|Resources|'\necho 'fbr-2|N/A|18|RUNNING|None|n1'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert squeue.jobs(["fbr-1", "fbr-2"]) == [
        Job("fbr-1", 3, "17_3", "PENDING", "Resources", ""),
        Job("fbr-2", 0, "18", "RUNNING", "None", "n1"),
    ]
    assert squeue.jobs([]) == []


def test_a_program_of_slurm_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(squeue, "PATIENCE_S", 0.3)
    with pytest.raises(squeue.SlurmUnavailableError, match="no answer"):
        squeue.jobs(["fbr-1"])
    program.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(squeue.SlurmUnavailableError, match="Unable to contact"):
        squeue.jobs(["fbr-1"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "partitoin: a\n", r"slurm.yaml:4: partitoin: .*did you mean partition\?"),
        ("time_minutes: 60\nmemory_gb: 8\n", "slurm.yaml:1: gpus: is missing"),
        (MINIMAL.replace("60", "1 day"), "slurm.yaml:1: time_minutes: .*'1 day'"),
        (MINIMAL.replace("gpus: 1", "gpus: 2"), "slurm.yaml:3: gpus: .*2"),
        (MINIMAL + "setup: module load cuda\n", "slurm.yaml:4: setup: .*'module load cuda'"),
        (
            MINIMAL + "sbatch:\n  signal: B:USR1\n",
            "slurm.yaml:5: sbatch.signal: is set by `grid submit` itself",
        ),
        (MINIMAL + "sbatch:\n  time: '1:00'\n", "slurm.yaml:5: sbatch.time: is set by"),
        (MINIMAL + "save_seconds: 3000\n", "slurm.yaml:4: save_seconds: is 3000, more than half"),
        (MINIMAL + "account: [\n", "slurm.yaml:5: is not valid YAML"),
    ],
)
def test_what_is_wrong_in_slurm_yaml_is_reported_with_its_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "slurm.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=expected):
        config.read(path)


def test_without_slurm_yaml_one_is_shown_that_works(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="time_minutes: 720") as error:
        config.read(tmp_path / "slurm.yaml")
    lines = str(error.value).partition("the lines ")[2].split(", ")
    (tmp_path / "slurm.yaml").write_text("\n".join(line.strip("`") for line in lines))
    assert config.read(tmp_path / "slurm.yaml").gpus == 1


def test_the_site_of_the_documentation_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how_to" / "slurm.md").read_text()
    (tmp_path / "slurm.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    read = config.read(tmp_path / "slurm.yaml")
    assert set(config.Site.model_fields) == read.model_fields_set
    assert read.sbatch == {"constraint": "a100"}


@pytest.mark.parametrize(
    ("saved", "starts_min", "expected"),
    [
        (["epoch 3 after step 1", "epoch 3 after step 1"], [25, 12], True),
        (["epoch 3 after step 1", "epoch 9 after step 0"], [25, 12], False),  # it came further
        ([None, None], [25, 12], True),  # it cannot even save
        (["epoch 3 after step 1", None], [25, 12], True),
        ([None, "epoch 3 after step 1"], [25, 12], False),
        (["epoch 3 after step 1", "epoch 3 after step 1"], [25, 1], False),  # pre-empted soon
        (["epoch 3 after step 1", "epoch 3 after step 1"], [13, 12], False),  # the one before was
        (["epoch 3 after step 1"], [12], False),
    ],
)
def test_a_cell_is_stuck_if_two_jobs_had_their_time_and_the_second_saved_nothing_new(
    tmp_path: Path, saved: list[str | None], starts_min: list[int], expected: bool
) -> None:
    batch = batch_at(tmp_path, 1)  # jobs of 20 minutes
    batch = replace(batch, time_minutes=20)
    now = 1_800_000_000.0
    said = ""
    for mark, minutes in zip(saved, starts_min, strict=True):
        begun = datetime.fromtimestamp(now - 60 * minutes, UTC).strftime(TIME)
        said += f"{CELL.key}: job 7 on n1, {begun}\n{CELL.key}: epoch 1/9, loss 0.5\n"
        said += f"{CELL.key}: saved in {mark}, stopped by SIGUSR1; the same command resumes\n" if mark else ""
    assert is_stuck(said, batch, now) == expected


@pytest.mark.parametrize("begun_again", [False, True])
def test_of_two_starts_of_a_cell_only_the_newest_may_say_that_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun_again: bool
) -> None:
    batch = batch_at(tmp_path, 1)

    def fail(job: worker._Job) -> str:
        if begun_again:  # on another node, while this one was cut off
            job.say(f"{CELL.key}: job 8 on n2, 2026-01-01 00:00:00 +0000")
        return "broken"

    monkeypatch.setattr(worker, "_compute_in_clone", fail)
    if begun_again:
        with pytest.raises(worker.LostError, match="was begun again"):
            worker.work(batch, CELL, Running())
        assert batch.end(CELL) is None
        note = stands([batch], [job(batch, "FAILED")]).note
        assert note.startswith("its job ended as FAILED: broken; but the cell was begun again since")
        batch.log_error(CELL, OSError("of two\nlines"))
        assert stands([batch], []).note.startswith("Slurm knows no job of it any more: of two lines (log: ")
        with batch.log(CELL).open("a") as log:
            log.write(f"{CELL.key}: job 9 on n1, 2026-01-01 00:01:00 +0000\n")
        assert stands([batch], [job(batch, "TIMEOUT")]).note.startswith("its job ended as TIMEOUT (log: ")
    else:
        worker.work(batch, CELL, Running())
        assert batch.end(CELL) == batches.End("failed", f"broken (log: {batch.log(CELL)})")


def test_a_job_that_ends_well_while_someone_looks_does_not_seem_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = Cell("spheres", "unet", 16, 2)
    batch = batch_at(batches.ROOT.absolute(), 1)
    batch = replace(batch, keys=(CELL.key, other.key), digests=(WORK.digest, WORK.digest))
    batches.write(batch)
    alive = [Job(batch.name, index, f"7_{index}", "RUNNING", "None", "n1") for index in range(2)]
    monkeypatch.setattr(squeue, "jobs", lambda _: alive)
    looks: list[list[Cell]] = []
    ending: list[Cell] = []

    def look(cells: list[Cell], _: str | None = None) -> list[CellStatus]:
        looks.append(cells)
        found = [CellStatus(cell, WORK.digest, batch.end(cell) is not None) for cell in cells]
        if ending:  # just behind the look
            batch.write_end(ending.pop(), "done")
        return found

    monkeypatch.setattr(run_cache, "find_results", look)
    remote = "storage"  # looked at, so that a job's word is not enough
    ending.append(CELL)
    seen = monitor.look([CELL, other], remote)
    assert [standing.state for standing in seen] == [State.DONE, State.RUNNING]
    assert looks == [[CELL, other], [CELL]]
    (batch.folder / "ends" / f"{CELL.key}.json").unlink()
    before = [
        CellState(CellStatus(cell, WORK.digest, done=False), State.RUNNING, batch, "", 0)
        for cell in (CELL, other)
    ]
    batch.write_end(CELL, "done")
    ending.append(other)  # while the first one is looked at
    seen = monitor._look_again(before)
    assert [standing.state for standing in seen] == [State.DONE, State.RUNNING]
    assert [standing.state for standing in monitor._look_again(seen)] == [State.DONE, State.DONE]
