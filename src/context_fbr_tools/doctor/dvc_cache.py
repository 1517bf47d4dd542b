"""DVC: its repository, remote, and whether the cache holds what dvc.lock records, undamaged."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.tree import Tree
from dvc_objects.fs.generic import test_links
from tqdm import tqdm

from context_fbr.runtime import fetching
from context_fbr_tools.doctor.check_result import Result, Status, first_line, guarded
from context_fbr_tools.dvc import lockfile

SAMPLE_BYTES = 200_000_000
SAMPLE_S = 5.0
ANSWER_S = 5.0
"""How long a remote may take to answer."""
SHOWN = 3
LISTED = 20


@dataclass(frozen=True)
class Objects:
    """What the cache should hold: the file of each object, and the result that it belongs to."""

    present: dict[Path, str]
    missing: dict[Path, str]
    damaged_lists: dict[Path, str]
    """Of the files of a folder, whose own objects are therefore not known."""
    unrecorded: int
    """Results of dvc.yaml that dvc.lock does not have."""


def check(full: bool) -> Iterator[Result]:
    """Everything about DVC; `full` reads every object of the cache, not the newest alone."""
    try:
        repo = Repo()
    except NotDvcRepoError:
        found = f"{Path.cwd()}: neither it nor a folder above is a DVC repository"
        yield Result("DVC", Status.WRONG, found, "run this in a clone of the repository")
        return
    with repo:
        yield from guarded("DVC", lambda: [_repository(repo)])
        yield from guarded("dvc.lock", lambda: [_lock()])
        yield from guarded("DVC remote", lambda: [remote_result(repo)])
        yield from guarded("DVC cache", lambda: _cache(repo, full))


def objects(repo: Repo) -> Objects:
    """Look for every object of the recorded results; those of a missing folder list are not known."""
    cache = repo.cache.local
    found = Objects({}, {}, {}, sum(out.use_cache and not out.hash_info for out in repo.index.outs))
    for out in repo.index.outs:
        if not out.use_cache or not out.hash_info:
            continue
        hashes = [out.hash_info]
        listing = Path(cache.oid_to_path(out.hash_info.value))
        if out.hash_info.isdir and listing.exists():
            if not _is_intact(listing):
                found.damaged_lists[listing] = str(out)
                continue
            hashes += [info for _, _, info in Tree.load(cache, out.hash_info) if info]
        for info in hashes:
            path = Path(cache.oid_to_path(info.value))
            (found.present if path.exists() else found.missing)[path] = str(out)
    return found


def damaged(paths: list[Path], full: bool) -> tuple[list[Path], int]:
    """The objects whose content is not what their name says, and how many were read.

    DVC trusts a file that is read-only, and checks it out as it is.

    Args:
        paths: of objects.
        full: read all; otherwise the newest, up to SAMPLE_BYTES and SAMPLE_S.
    """
    sizes = {path: path.stat() for path in paths}
    newest = sorted(paths, key=lambda path: (-sizes[path].st_mtime, path))
    bad: list[Path] = []
    read, start = 0, time.monotonic()
    for number, path in enumerate(tqdm(newest, "cache", disable=None, leave=False, unit="object")):
        read += sizes[path].st_size
        if not full and (read > SAMPLE_BYTES or time.monotonic() - start > SAMPLE_S) and number:
            return bad, number
        if not _is_intact(path):
            bad.append(path)
    return bad, len(newest)


def remote_result(repo: Repo) -> Result:
    """Whether the default remote answers."""
    remotes, name = repo.config["remote"], repo.config["core"].get("remote")
    if not name:
        others = f"; there are {', '.join(remotes)}, none is the default" if remotes else ""
        to_do = "to share results: `dvc remote add --default NAME URL`, then `dvc push`"
        return Result("DVC remote", Status.OK, f"none{others}", to_do)
    secret = str(remotes.get(name, {}).get("url", "no url"))
    url = _without_password(secret)
    try:
        is_there = _in_time(lambda: _exists(repo, name))
    except Exception as error:  # every kind of server has errors of its own
        found = f"{name} ({url}): cannot be reached: {first_line(error).replace(secret, url)}"
        to_do = (
            f"look at credentials and url (`dvc remote modify --local {name} ...`); try `dvc status --cloud`"
        )
        return Result("DVC remote", Status.DOUBTFUL, found, to_do)
    if not is_there:
        found = f"{name} ({url}): is not there, or does not answer"
        to_do = (
            "if it should be: bring the folder or bucket back, or correct its url "
            f"(`dvc remote modify --local {name} url URL`); the first `dvc push` makes a folder; "
            "try `dvc status --cloud`"
        )
        return Result("DVC remote", Status.DOUBTFUL, found, to_do)
    return Result("DVC remote", Status.OK, f"{name} ({url}): answers")


def _repository(repo: Repo) -> Result:
    cache = repo.cache.local
    links = "no cache yet"
    if Path(cache.path).is_dir():
        # DVC tries in the folder above what it is given.
        inside = str(Path(repo.root_dir) / "file")
        able = {*test_links(list(cache.cache_types), cache.fs, cache.path, repo.fs, inside), "copy"}
        links = next((link for link in cache.cache_types if link in able), "copy")
    found = f"{repo.root_dir}, cache {cache.path}, files come from it by: {links}"
    if Path(repo.root_dir) != Path.cwd().resolve():
        to_do = f"`cd {repo.root_dir}`, and run this there"
        return Result("DVC", Status.DOUBTFUL, f"{found}; this folder is not its root", to_do)
    return Result("DVC", Status.OK, found)


def _lock() -> Result:
    if not lockfile.LOCK.exists():
        return Result("dvc.lock", Status.OK, "none: nothing has run here yet", "`make repro`")
    return Result("dvc.lock", Status.OK, f"{len(lockfile.stages())} stages")


def _cache(repo: Repo, full: bool) -> Iterator[Result]:
    found = objects(repo)
    total = len(found.present) + len(found.missing) + len(found.damaged_lists)
    has_remote = fetching.has_remote(Path(repo.root_dir))
    unrecorded = f"; {found.unrecorded} results have not been made yet" if found.unrecorded else ""
    if found.missing:
        text = f"{len(found.missing)} of {total} objects of dvc.lock are missing, of {_some(found.missing)}"
        yield Result("cache: complete", Status.DOUBTFUL, text + unrecorded, _again(has_remote, "dvc pull"))
    else:
        yield Result("cache: complete", Status.OK, f"{total} objects of dvc.lock{unrecorded}")
    bad, read = damaged(list(found.present), full)
    bad = [*found.damaged_lists, *bad]
    if not found.present and not bad:
        yield Result("cache: undamaged", Status.OK, "nothing there to read")
        return
    what = f"{read} of {len(found.present)} objects read" + ("" if full else ", the newest (--full: all)")
    if not bad:
        yield Result("cache: undamaged", Status.OK, what)
        return
    owners = {**found.present, **found.damaged_lists}
    text = f"{len(bad)} objects are damaged, of {_some({path: owners[path] for path in bad})}; {what}"
    listed = bad[:LISTED]
    files = " ".join(os.path.relpath(path) for path in listed)
    # Forced, because a copy or link of the damaged file may lie in the workspace; for its results alone.
    pull = " ".join(["dvc pull --force", *sorted({owners[path] for path in listed})])
    more = f"; then this again for {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    yield Result(
        "cache: undamaged", Status.WRONG, text, f"`rm -f {files}`, then {_again(has_remote, pull)}{more}"
    )


def _again(has_remote: bool, pull: str) -> str:
    """How results come back: from the remote, if there is one, or made anew."""
    return f"`{pull}` or `dvc repro`" if has_remote else "`dvc repro`"


def _is_intact(path: Path) -> bool:
    """Whether an object's content has the MD5 that its folder's name and its own make up."""
    try:
        return bool(file_md5(str(path)) == (path.parent.name + path.name).removesuffix(".dir"))
    except OSError:  # a disk that cannot give back what it took
        return False


def _some(owners: dict[Path, str]) -> str:
    names = sorted(set(owners.values()))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _exists(repo: Repo, name: str) -> bool:
    remote = repo.cloud.get_remote(name)
    return bool(remote.fs.exists(remote.path))


def _in_time(ask: Callable[[], bool]) -> bool:
    """The answer, or TimeoutError after ANSWER_S; what `ask` raises.

    Not an executor: Python would wait for its thread when it ends.
    """
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(ask())
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if not answers:
        raise TimeoutError(f"no answer in {ANSWER_S:.0f} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return bool(answers[0])


def _without_password(url: str) -> str:
    """`https://user:secret@host` is nobody's business."""
    head, at, tail = url.rpartition("@")
    scheme, colon, user = head.partition("://")
    return f"{scheme}{colon}{user.partition(':')[0]}@{tail}" if at and colon else url
