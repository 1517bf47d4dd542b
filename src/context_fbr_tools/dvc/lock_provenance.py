"""Comparison of dvc.lock with metrics/provenance: each cell was computed from what dvc.lock records.

A stage writes its provenance from what it read at its start, DVC writes dvc.lock from the files at its end.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from context_fbr.config.cell import Cell
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr.runtime import code_digest
from context_fbr_tools.dvc.stages import CELL_STAGES, kind_of


def contradictions(recorded: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a problem for each result that dvc.lock records for inputs that it was not computed from.

    A cell without provenance, as one that DVC took from its run-cache, is passed over.

    Args:
        recorded: entries of dvc.lock by stage.
    """
    problems = [problem for stage in code_digest.stages() if (problem := code_digest.problem(stage))]
    for name, entry, path in _cells(recorded):
        try:
            content = bounded.read_json(path)
            if not _other_results(entry, content):
                problems += [f"{name}: {path}: {text}" for text in _differences(name, entry, content)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{name}: {path}: is damaged, or of another version ({error!r}); remove it")
    return problems


def outdated(recorded: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a problem for each provenance of a cell that describes other results than dvc.lock.

    They are left when DVC takes results from its cache instead of running a stage.
    """
    problems: list[str] = []
    for name, entry, path in _cells(recorded):
        try:
            differs = _other_results(entry, bounded.read_json(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # `contradictions` names it
        if differs:
            problems.append(
                f"{name}: {path}: describes other results than dvc.lock ({', '.join(differs)}); restore it "
                "with git, or remove it if DVC took the results from its cache"
            )
    return problems


def _cells(
    recorded: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Yield name, entry and provenance of the stages of cells that have one."""
    for name, entry in recorded.items():
        stage, key = kind_of(name), name.partition("@")[2]
        with suppress(UserError):  # no cell of this program: `dvc status` names it
            if stage in CELL_STAGES and (path := Cell.from_key(key).provenance(stage)).is_file():
                yield name, entry, path


def _other_results(entry: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    """Return the outputs in dvc.lock that are not those of a provenance."""
    written = {path: digests["md5"] for path, digests in content["results"].items()}
    return [
        out["path"]
        for out in entry.get("outs", ())
        if (written.get(out["path"]) or folder_hash(out["path"], written)) != out["md5"]
    ]


def folder_hash(path: str, written: Mapping[str, str]) -> str | None:
    """Return the hash that DVC gives a folder of these files; None without files, or with a folder in it."""
    inside = {name: md5 for name, md5 in written.items() if name.startswith(f"{path}/")}
    if not inside or any(md5.endswith(".dir") for md5 in inside.values()):
        return None
    tree = Tree()
    for name, md5 in inside.items():
        tree.add(tuple(name.removeprefix(f"{path}/").split("/")), None, HashInfo("md5", md5))
    tree.digest()
    return str(tree.hash_info.value)


def _differences(name: str, entry: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the inputs that dvc.lock and the provenance of the same results record differently."""
    again = f"the result was not computed from what is recorded; run `dvc repro -f {name}`"
    parameters = json.loads(json.dumps((entry.get("params") or {}).get("params.yaml") or {}))
    names = [key for key, value in parameters.items() if content["parameters"].get(key) != value]
    if names:
        yield f"computed with other values of {', '.join(names)} than dvc.lock records: {again}"
    path = f"data/code/{kind_of(name)}.json"
    md5 = next((dep["md5"] for dep in entry.get("deps", ()) if dep["path"] == path), None)
    if content["code"] != md5:
        yield f"computed with other code than dvc.lock records ({path}): {again}"
