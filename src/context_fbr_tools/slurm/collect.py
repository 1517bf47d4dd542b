"""Collection of the cluster's results into this checkout: `dvc repro`, which finds every cell done."""

import shutil
from collections.abc import Sequence

from context_fbr.config.cell import Cell
from context_fbr.config.study import Study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems
from context_fbr_tools.dvc import lockfile, process
from context_fbr_tools.dvc.run_cache import CellStatus
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES, groups
from context_fbr_tools.grid import tasks_here
from context_fbr_tools.grid.local import refuse_to_lose_data
from context_fbr_tools.grid.tasks_here import computed_elsewhere, last_stages
from context_fbr_tools.slurm import batches, monitor
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.config import Site
from context_fbr_tools.slurm.squeue import SlurmUnavailableError
from context_fbr_tools.slurm.states import ask_slurm, undone


def collect(study: Study, site: Site) -> None:
    """Check that every cell is done, then bring all results here and analyse them.

    Raises:
        UserError: naming every cell that is not done, and why; only the data may have changed then.
    """
    refuse_to_lose_data(study)
    tasks = tasks_here.bring(study, "nothing was collected")
    cells = [cell for cell in study.cells if cell.task in tasks]
    if site.remote:
        fetch_run_cache(site.remote)
    standings = monitor.look(cells, site.remote)
    raise_problems(undone(standings))
    entries = {name: entry for standing in standings for name, entry in standing.work.entries.items()}
    # `dvc repro` would take the cells up, too, but writes all of dvc.lock after each stage: with a thousand
    # cells that takes hours (benchmarks/grid_scale.csv).
    lockfile.put(entries)
    names = groups(CELL_STAGES, cells)  # DVC is slow at a thousand names
    if len(cells) < len(study.cells):  # a group would name cells without results, too
        names = tuple(cell.stage(kind) for kind in CELL_STAGES for cell in cells)
    if process.call("checkout", "--force", *names):
        raise UserError("dvc checkout failed, see above")
    known = batches.every()
    _bring_provenance([standing.work for standing in standings], known)
    without = [task for task in study.study_cells.tasks if task not in tasks]
    if not process.repro(*last_stages(tasks, bool(without), not computed_elsewhere(without))):
        raise UserError("dvc repro failed, see above")
    lockfile.sort(process.stage_names())
    _clear(known)


def fetch_run_cache(remote: str) -> None:
    """Bring what a remote says of computed stages; their files are brought one by one, when asked for.

    Raises:
        UserError: if the remote cannot be read.
    """
    if process.call("fetch", "-r", remote, "--run-cache", *CACHED_INPUT_STAGES):
        raise UserError(f"the remote {remote} could not be read, see above")


def _bring_provenance(works: Sequence[CellStatus], known: Sequence[Batch]) -> None:
    """Return the provenance of each stage of the cells, by the newest job that computed it for this work.

    Nothing is there if it was not the cluster: then it is here already.
    """
    digests = {work.cell.key: work.digest for work in works}
    for batch in reversed(known):  # the newest last, over the others
        for key, digest in zip(batch.keys, batch.digests, strict=True):
            for stage in CELL_STAGES if digests.get(key) == digest else ():
                made = batch.provenance(Cell.from_key(key), stage)
                if made.exists():
                    atomic.write_bytes(Cell.from_key(key).provenance(stage), made.read_bytes())


def _clear(known: Sequence[Batch]) -> None:
    """Remove the clones of batches of which no job is left; records and logs stay."""
    jobs = ask_slurm(known)
    if isinstance(jobs, SlurmUnavailableError):  # another time
        return
    busy = {job.name for job in jobs if job.alive}
    for batch in known:
        if batch.name not in busy:
            for name in ("code", "clones"):
                shutil.rmtree(batch.folder / name, ignore_errors=True)
