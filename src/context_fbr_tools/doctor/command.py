"""`context-fbr doctor`: all checks, one after the other, as a table or as JSON."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from context_fbr.core import atomic
from context_fbr_tools.doctor.check_result import Result, Status, guarded

CHECKS = {
    "packages": "installation",
    "params.yaml and git": "checkout",
    "machine": "machine",
    "disks": "disk",
    "DVC": "data",
}
"""Modules by what they look at; each has `check`."""
STANDARD_OUTPUT = Path("-")
MARKS = {Status.OK: "[ok]", Status.DOUBTFUL: "[??]", Status.WRONG: "[!!]"}
WORDS = {Status.OK: "fine", Status.DOUBTFUL: "doubtful", Status.WRONG: "wrong"}


def run(json_file: Path | None, full: bool) -> int:
    """Check, print, write; the exit status: 1 if something is wrong.

    Args:
        json_file: where the facts go for programs; `-`: to standard output, in the stead of the table.
        full: read every object of DVC's cache.

    Raises:
        UserError: if the JSON file cannot be written.
    """
    with redirect_stdout(sys.stderr):  # whatever a library says is no part of the report
        results = list(examine(full))
    text = json.dumps(as_json(results), indent=1)
    if json_file == STANDARD_OUTPUT:
        print(text)
    else:
        print(render(results, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
        if json_file:
            atomic.write_text(json_file, text + "\n")
    return 1 if worst(results) is Status.WRONG else 0


def examine(full: bool) -> Iterator[Result]:
    """The results of every check; progress is shown on a terminal alone."""
    with tqdm(CHECKS.items(), disable=None, leave=False, bar_format="{desc} {n}/{total}") as checks:
        for name, module in checks:
            checks.set_description(f"checking {name}")
            yield from guarded(name, partial(_check, module, full))


def worst(results: Iterable[Result]) -> Status:
    """The worst status."""
    order = list(Status)
    return max((result.status for result in results), key=order.index, default=Status.OK)


def as_json(results: Sequence[Result]) -> dict[str, object]:
    """The report for programs: the worst status, and each line."""
    return {"status": worst(results), "checks": [asdict(result) for result in results]}


def render(results: Sequence[Result], width: int | None) -> str:
    """An aligned table, what to do below what was found.

    What was found is wrapped to `width`, if there is one; what to do is not: its commands are to be copied.
    """
    names = max((len(result.name) for result in results), default=0)
    indent = " " * (names + 7)
    lines = []
    for result in results:
        head = f"{MARKS[result.status]} {result.name.ljust(names)}  "
        lines.append(_wrapped(head, result.found, indent, width))
        if result.to_do:
            lines.append(f"{indent}-> {result.to_do}")
    counts = {status: sum(result.status is status for result in results) for status in Status}
    return "\n".join([*lines, "", ", ".join(f"{counts[status]} {WORDS[status]}" for status in Status)])


def _wrapped(head: str, text: str, indent: str, width: int | None) -> str:
    if width is None or width < len(indent) + 20:
        return head + text
    # Neither paths nor options are broken.
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _check(module: str, full: bool) -> Iterable[Result]:
    # Here, so that a package that is missing fails this check and no other.
    check = import_module(f"context_fbr_tools.doctor.{module}").check
    results: Iterable[Result] = check(full) if module == "data" else check()
    return results
