"""Cells that are not done, as one array of jobs of a Slurm cluster."""

import os
import shlex
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from context_fbr.config.study import Study
from context_fbr.core.errors import UserError
from context_fbr.runtime import git, resume
from context_fbr_tools.dvc import lockfile, process, run_cache
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES
from context_fbr_tools.grid import tasks_here
from context_fbr_tools.grid.local import refuse_to_lose_data
from context_fbr_tools.slurm import batches, squeue
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.config import Site
from context_fbr_tools.slurm.job import CellTask

RESULTS = ("dvc.lock", "data/code/", "metrics/", "plots/", "slurm.yaml")
"""Files that jobs do not take from the commit: results, hashes of the code, and the site's settings."""
SUBMISSION_S = 60
MOST_TIME_OUTS = 1000  # a cell that came no further in one is given up sooner, see task.py


def commit() -> str:
    """The commit that jobs will compute, which must be what this folder holds.

    Raises:
        UserError: with the files that are in none; or if this folder is not the top of a git repository.
    """
    top = git.run("rev-parse", "--show-toplevel")
    if top.returncode and not git.is_absent(top):
        raise UserError(f"{Path().resolve()}: git cannot name its commit: {git.reason(top)}")
    if top.returncode or Path(os.fsdecode(top.stdout).rstrip("\n")).resolve() != Path().resolve():
        raise UserError(f"{Path().resolve()}: is not the top folder of a git repository; jobs need a commit")
    revision = git.revision()
    if revision is None:
        raise UserError("there is no commit yet, and jobs compute a commit; make one")
    changed = [name for name in git.changed_files(["."]) if not name.strip('"').startswith(RESULTS)]
    if changed:
        shown = ", ".join(changed[:10]) + (f" and {len(changed) - 10} more" if len(changed) > 10 else "")
        raise UserError(
            f"jobs compute a commit, and these files differ from it: {shown}; commit or stash them"
        )
    return revision


def bring_data(study: Study, site: Site) -> tuple[str, ...]:
    """Make what cells read, here, and bring it to where jobs will look for it; the tasks that have it.

    Raises:
        UserError: if that fails; a task whose data are not here is skipped by name.
    """
    refuse_to_lose_data(study)
    tasks = tasks_here.bring(study, "nothing was submitted")
    stages = [f"{kind}@{task}" for task in tasks for kind in CACHED_INPUT_STAGES]
    if site.remote and process.call("push", "-r", site.remote, *stages):
        raise UserError(
            f"the data could not be pushed to the remote {site.remote}, see above; nothing was submitted"
        )
    return tasks


def submit(study: Study, site: Site, works: Sequence[run_cache.CellStatus], revision: str) -> Batch:
    """Submit cells of a commit, in the order in which they start, while no other process does.

    Raises:
        UserError: if Slurm refuses, or does not answer. In the second case its jobs, if there are any, are
            found by their name, and cells are not submitted again before it answers.
    """
    folder = batches.new_folder()
    batch = Batch(
        folder=folder,
        revision=revision,
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
        keys=tuple(work.cell.key for work in works),
        digests=tuple(work.digest for work in works),
        remote=site.remote,
        scratch=site.scratch,
        resume=str(resume.root().absolute()),
        save_seconds=site.save_seconds,
        time_minutes=site.time_minutes,
    )
    try:
        _snapshot(batch)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    batches.write(batch)
    _hand_over(batch, _executor(study, site, batch))
    return batch


def _snapshot(batch: Batch) -> None:
    """Copy what jobs need of this checkout, which may change: code, dvc.lock, and where DVC finds things."""
    code = batch.folder / "code"
    code.parent.mkdir(parents=True)
    for command in (
        ["clone", "-q", "--no-checkout", str(Path().absolute()), str(code)],
        ["-C", str(code), "checkout", "-q", "--detach", batch.revision],
    ):
        cloned = git.run(*command, folder=batch.folder)
        if cloned.returncode:
            raise UserError(f"{code}: could not be cloned: {git.reason(cloned)}")
    recorded = lockfile.entries()
    lock = {name: recorded[name] for name in recorded if name.partition("@")[0] in CACHED_INPUT_STAGES}
    lockfile.write(lock, batch.folder / lockfile.LOCK)  # DVC reads and writes all of it at each stage
    _write_config(batch)


def _write_config(batch: Batch) -> None:
    """DVC's settings for the clones: those of this checkout, with absolute paths, and where its cache is."""
    from configobj import ConfigObj  # DVC's own, which itself would write paths relative to this file
    from dvc.repo import Repo

    with Repo() as repo:
        local: dict[str, Any] = {**repo.config.load_one("local"), "remote": {}}
        remotes = repo.config["remote"]  # of all levels: one may have the url, and another the keys
        cache = Path(repo.cache.local.path).parents[1]
    local["core"].pop("site_cache_dir", None)  # each clone has its own
    if batch.remote:
        local |= {"cache": {}, "core": {**local["core"], "remote": batch.remote}}
    else:
        # Links spare a copy of the data for each cell.
        local["cache"] = {**local["cache"], "dir": str(cache), "type": ["reflink", "symlink", "copy"]}
    content = ConfigObj({name: section for name, section in local.items() if section}, interpolation=False)
    content.update({f'remote "{name}"': section for name, section in remotes.items()})
    path = batch.folder / "config.local"
    path.touch(mode=0o600)  # it may hold keys of a remote
    content.filename = str(path)
    content.write()


def _executor(study: Study, site: Site, batch: Batch) -> Any:
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = "USR1"  # which a training hears; read when submitit is imported
    from submitit.slurm.slurm import SlurmExecutor

    try:
        executor = SlurmExecutor(batch.folder / "slurm", max_num_timeout=MOST_TIME_OUTS)
    except RuntimeError:
        raise UserError("srun: not found; `grid submit` needs the programs of a Slurm cluster") from None
    source = batch.folder / "code/src"
    executor.update_parameters(
        job_name=batch.name,
        time=site.time_minutes,
        mem=f"{round(site.memory_gb * 1024)}MB",
        cpus_per_task=site.cpus or study.train.threads,
        partition=site.partition,
        account=site.account,
        gpus_per_node=site.gpus or None,
        array_parallelism=site.max_parallel,
        signal_delay_s=site.save_seconds,
        setup=[
            *site.setup,
            "export SUBMITIT_PREEMPT_SIGNAL=USR1",
            *_device(site),
            f"export PYTHONPATH={shlex.quote(str(source))}",  # the commit's, whatever is edited here
        ],
        # `srun` takes the job's cores by itself only in some versions of Slurm.
        srun_args=["--export=ALL", f"--cpus-per-task={site.cpus or study.train.threads}"],
        additional_parameters={"requeue": True, **site.sbatch},
    )
    return executor


def _device(site: Site) -> list[str]:
    """Pin the requested device, so that a missing GPU fails instead of falling back to the CPU."""
    if site.gpus:
        return ["export CONTEXT_FBR_DEVICE=cuda"]
    return [] if {"gres", "gpus", "gpus-per-task"} & set(site.sbatch) else ["export CONTEXT_FBR_DEVICE=cpu"]


def _command(_: Any, script: Path) -> list[str]:
    """Return a submission with a time limit: submitit's own waits for ever for a controller that is away."""
    return ["timeout", str(SUBMISSION_S), "sbatch", str(script)]


def _hand_over(batch: Batch, executor: Any) -> None:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    # Of the class, not of this object: for an array submitit makes another one.
    usual = type(executor)._make_submission_command
    type(executor)._make_submission_command = _command
    # In a job of Slurm's there are variables that would hold for the new jobs, too, and before their options.
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _is_of_a_job(name)}
    try:
        executor.map_array(CellTask(batch.folder), batch.keys)
    except (FailedJobError, FailedSubmissionError) as error:
        said = next(iter(str(error).strip().splitlines()[-1:]), "") or f"no answer in {SUBMISSION_S} s"
        try:  # jobs that Slurm took without saying so lack their files
            squeue.cancel([job.identity for job in squeue.jobs([batch.name]) if job.alive])
        except squeue.SlurmUnavailableError:
            raise UserError(
                f"sbatch: {said}; `context-fbr grid status` tells whether Slurm took the jobs"
            ) from None
        shutil.rmtree(batch.folder, ignore_errors=True)
        raise UserError(f"sbatch: {said}; none of these {len(batch.keys)} cells was submitted") from None
    finally:
        type(executor)._make_submission_command = usual
        os.environ |= hidden


def _is_of_a_job(name: str) -> bool:
    return name.startswith(("SBATCH_", "SLURM_")) and name != "SLURM_CONF"
