"""DVC: its links and file systems, dvc.lock, the remote, and the objects of the cache.

DVC checks out an object that is read-only, as all are, without reading it; so all are read here.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dvc.repo import Repo
from dvc_data.hashfile.db import ObjectFormatError
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.tree import Tree
from tqdm import tqdm

from context_fbr.runtime import fetching
from context_fbr_tools.doctor.check_result import Result, Status, shortened
from context_fbr_tools.doctor.disk import needed_bytes, place_result
from context_fbr_tools.dvc import lockfile, process

ANSWER_S = 10.0
"""Timeout of a remote, in seconds, including the start of DVC."""
SHOWN = ("DVC version", "Cache types", "Cache directory", "Workspace directory")
"""Lines of `dvc doctor`."""
PASSWORD = re.compile(r"(?<=//)[^@/ ]*@")
"""User and password in a URL."""
LISTED = 20
"""Objects that one command removes."""


def objects(repo: Repo) -> dict[Path, str]:
    """Return the file of every object that dvc.lock records, and the result that it belongs to."""
    cache, owners = repo.cache.local, {}
    for out in repo.index.outs:
        infos = [out.hash_info] if out.use_cache and out.hash_info else []
        if infos and out.hash_info.isdir:
            with suppress(FileNotFoundError, ObjectFormatError):  # a list that is missing or damaged
                infos += [info for _, _, info in Tree.load(cache, out.hash_info)]
        owners.update({Path(cache.oid_to_path(info.value)): str(out) for info in infos})
    return owners


def objects_results(owners: dict[Path, str], has_remote: bool) -> Iterator[Result]:
    """Check that objects are present and have the MD5 in their paths."""
    missing = {path: name for path, name in owners.items() if not path.exists()}
    if missing:
        found = f"{len(missing)} of {len(owners)} objects are missing, of {shortened(missing.values())}"
        fix = f"{'`dvc pull` or ' if has_remote else ''}`dvc repro`"
        yield Result("cache: complete", Status.WARNING, found, fix)
    present = [path for path in owners if path not in missing]
    progress = tqdm(present, "cache", disable=None, leave=False, unit="object")
    damaged = [path for path in progress if not _is_intact(path)]
    if damaged:
        names = sorted({owners[path] for path in damaged[:LISTED]})
        # Forced: the workspace can hold a copy of the damaged object, or a link to it.
        pull = f"`dvc pull --force {' '.join(names)}` or " if has_remote else ""
        fix = f"`rm -f {' '.join(map(os.path.relpath, damaged[:LISTED]))}`, then {pull}`dvc repro`"
        found = f"{len(damaged)} of {len(present)} objects are damaged, of {shortened(names)}"
        yield Result("cache: undamaged", Status.ERROR, found, fix)
    if not missing and not damaged:
        yield Result("cache", Status.OK, f"{len(owners)} objects of dvc.lock, all undamaged")


def _doctor() -> Iterator[Result]:
    lines = [line for line in process.ask("doctor").splitlines() if line.startswith(SHOWN)]
    yield Result("DVC", Status.OK, "; ".join(lines))


def _lock() -> Iterator[Result]:
    yield Result("dvc.lock", Status.OK, f"{len(lockfile.stages())} stages have run")


def _remote() -> Iterator[Result]:
    with Repo() as repo:
        name = repo.config["core"].get("remote")
    if not name:
        yield Result("DVC remote", Status.OK, "none; to share results: `dvc remote add --default NAME URL`")
        return
    command = [*process.COMMAND, "list-url", f"remote://{name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_S)
        error = done.stderr.removeprefix("ERROR: ").partition("\n")[0] if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"no answer in {ANSWER_S:g} s"
    if error:
        fix = f"correct it (`dvc remote modify --local {name} ...`); the first `dvc push` creates a folder"
        yield Result("DVC remote", Status.WARNING, f"{name}: {PASSWORD.sub('@', error)}", fix)
    else:
        yield Result("DVC remote", Status.OK, f"{name}: answers")


def _cache() -> Iterator[Result]:
    with Repo() as repo:
        yield place_result("disk: DVC cache", Path(repo.cache.local.path), needed_bytes())
        yield from objects_results(objects(repo), fetching.has_remote(Path(repo.root_dir)))


def _is_intact(path: Path) -> bool:
    try:
        return bool(file_md5(str(path)) == (path.parent.name + path.name).removesuffix(".dir"))
    except OSError:  # an unreadable sector
        return False


CHECKS = {"DVC": _doctor, "dvc.lock": _lock, "DVC remote": _remote, "DVC cache": _cache}
