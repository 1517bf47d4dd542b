"""`context-fbr new DIR`: create a study of your own."""

import os
from pathlib import Path

from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.config.study import Study, read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize
from context_fbr.runtime import git
from context_fbr_tools.data import task_init
from context_fbr_tools.data.new_study import files, params, pipeline
from context_fbr_tools.data.proposal import padded_cases
from context_fbr_tools.dvc.project_copy import copy_files, first_commit, refuse_existing, tracked_files

EXAMPLE = "spheres"
"""Task of a study without a data set."""
MOST_PADDED = 0.5
"""A patch size for which more of the cases are smaller, and padded, is not proposed."""


def create(
    folder: Path,
    data: Path | None,
    name: str | None,
    foreground: tuple[int, ...] | None,
    structures: bool = False,
) -> str:
    """Create a study; the name of its task.

    Args:
        folder: complete afterwards, or not created at all.
        data: data set in MSD layout; None: generated spheres.
        name: of the task; None: from the data set.
        foreground: label values; None: the first that a case has.
        structures: a class for each label of the data set, in place of `foreground`.

    Raises:
        UserError: if the folder is there already, or the data set is not valid.
    """
    refuse_existing(folder)
    study = read_study(Document.read())
    block, task, sizes = None, EXAMPLE, study.grid.patch_sizes
    if data is not None:
        task = task_init.checked_name(data, name, foreground)
        written = _place(data, folder)
        proposed = task_init.propose_block(data, task, foreground, study, written, structures)
        block = proposed.text
        sizes = _patch_sizes(proposed.proposal.shapes, study)
    elif name or foreground or structures:
        raise UserError(
            "--name, --foreground and --structures go with --data; without it, the task is spheres"
        )
    shown = study.grid.tasks[0]
    with atomic.directory(folder) as target:
        copy_files(files.taken(tracked_files()), Path(), target)
        atomic.write_text(target / PARAMS_FILE, params.params(study.document, task, block, sizes))
        for path, rewrite in (
            ("dvc.yaml", lambda text: pipeline.pipeline(text, task, shown)),
            ("Makefile", files.makefile),
            (".github/workflows/run.yml", files.workflow),
        ):
            atomic.write_text(target / path, rewrite(Path(path).read_text(encoding="utf-8")))
        revision = git.revision() or "without git"
        files.write_templates(target, {"TASK": task, "REVISION": revision, "NAME": folder.resolve().name})
        first_commit(target, "A new study", folder)
    return task


def _patch_sizes(shapes: tuple[tuple[int, int, int], ...], study: Study) -> tuple[PatchSize, ...]:
    sizes = study.grid.patch_sizes
    padded = padded_cases(shapes, sizes)
    return tuple(size for size in sizes if padded.get(size, 0) <= MOST_PADDED * len(shapes)) or sizes[:1]


def _place(data: Path, folder: Path) -> str:
    """Return `raw.folder`: relative to the study if the data set was named so, else absolute."""
    if data.is_absolute():
        return data.as_posix()
    return Path(os.path.relpath(data, folder)).as_posix()
