"""Comparison of dvc.lock with metrics/provenance: each cell was computed from what dvc.lock records.

A stage writes its provenance from what it read at its start, DVC writes dvc.lock from the files at its end.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from context_fbr import code
from context_fbr.cells import Cell
from context_fbr.errors import UserError

STAGES = ("train", "evaluate")


def contradictions(recorded: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a problem for each statement of dvc.lock that the provenance of a cell contradicts.

    A cell without provenance, as one that DVC took from its run-cache, is passed over.

    Args:
        recorded: entries of dvc.lock by stage.
    """
    problems: list[str] = []
    for name, entry in recorded.items():
        stage, _, key = name.partition("@")
        if stage.removeprefix("code_") in STAGES and not key:
            problems += _code(stage.removeprefix("code_"), name, entry)
        if stage not in STAGES or not key:
            continue
        try:
            path = Cell.from_key(key).provenance(stage)
            content = json.loads(path.read_text(encoding="utf-8"))
            problems += [f"{name}: {path}: {text}" for text in _of_cell(stage, entry, content)]
        except FileNotFoundError:
            continue
        except UserError:
            continue  # no cell of this program: `dvc status` names it
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{name}: {path}: is damaged, or of another version ({error!r}); remove it")
    return problems


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


def _of_cell(stage: str, entry: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the provenance of a cell's stage says otherwise than dvc.lock."""
    written = {path: digests["md5"] for path, digests in content["results"].items()}
    differs = [
        out["path"]
        for out in entry.get("outs", ())
        if (written.get(out["path"]) or folder_hash(out["path"], written)) != out["md5"]
    ]
    if differs:
        yield (
            f"describes other results than dvc.lock ({', '.join(differs)}); restore it with git, or remove "
            "it if DVC took the results from its cache"
        )
        return
    again = f"the result is recorded for inputs it was not computed from: run `dvc repro -f {stage}@..."
    again = again.replace("...", f"{content['cell']}`")
    parameters = json.loads(json.dumps((entry.get("params") or {}).get("params.yaml") or {}))
    names = [name for name, value in parameters.items() if content["parameters"].get(name) != value]
    if names:
        yield f"computed with other values of {', '.join(names)} than dvc.lock records; {again}"
    path = f"data/code/{stage}.json"
    code_md5 = next((dep["md5"] for dep in entry.get("deps", ()) if dep["path"] == path), None)
    if content["code"] != code_md5:
        yield f"computed with other code than dvc.lock records ({path}); {again}"


def _code(stage: str, name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield a problem if the recorded file of a stage's code is not that of this checkout."""
    text = code.text_of(stage).encode()
    md5 = hashlib.md5(text, usedforsecurity=False).hexdigest()
    path = Path("data/code") / f"{stage}.json"
    if any(out["path"] == str(path) and out["md5"] != md5 for out in entry.get("outs", ())):
        yield f"{name}: {path}: describes other code than that of this checkout; run `dvc repro -f {name}`"
