"""Findings whose verdict differs between two snapshots, from the findings of each task and of several."""

from collections.abc import Iterator
from typing import Any

from context_fbr.core import bounded
from context_fbr_tools.diff.snapshot import Snapshot
from context_fbr_tools.study.markdown_text import Line, Name

FINDINGS = ("findings.json", "context.json")
Key = tuple[str, str]
"""Task and id."""


def changed_verdicts(base: Snapshot, head: Snapshot) -> Iterator[Line]:
    """Yield a line for each finding that both sides have, and that has another verdict after.

    A file that is missing, damaged or of another version has no findings: scores decide what is a regression.
    """
    before, after = _verdicts(base), _verdicts(head)
    for key, (statement, verdict) in after.items():
        if key in before and before[key][1] != verdict:
            task, _ = key
            yield Name(task), ": ", Name(statement), ": ", Name(before[key][1]), ", now ", Name(verdict)


def _verdicts(snapshot: Snapshot) -> dict[Key, tuple[str, str]]:
    found = {}
    for path in (path for name in FINDINGS for path in snapshot.tables(name)):
        try:
            tree: Any = bounded.parse_json(snapshot.text(path) or "{}")
        except ValueError:
            continue
        listed = tree.get("findings") if isinstance(tree, dict) else None
        for entry in listed if isinstance(listed, list) else []:
            match entry:
                case {
                    "task": str(task),
                    "id": str(id_),
                    "statement": str(statement),
                    "verdict": str(verdict),
                }:
                    found[task, id_] = (statement, verdict)
    return found
