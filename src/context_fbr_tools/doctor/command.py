"""`context-fbr doctor`: all checks, one after the other, as a table or as JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from context_fbr.core import atomic
from context_fbr_tools.doctor.check_result import Result, Status, guarded

MODULES = ("packages", "checkout", "machine", "disk", "dvc_cache")
"""Modules of this folder; each has CHECKS, its checks by name."""
STANDARD_OUTPUT = Path("-")


def run(json_file: Path | None) -> int:
    """Run all checks, print and write the report; return the exit status, 1 after an error.

    The file gets the report as JSON, `-` prints that instead of the table; UserError if it cannot be written.
    """
    with redirect_stdout(sys.stderr):  # messages of libraries do not belong to the report
        results = list(examine())
    worst = max((result.status for result in results), key=list(Status).index, default=Status.OK)
    text = json.dumps({"status": worst, "checks": [asdict(result) for result in results]}, indent=1)
    print(text if json_file == STANDARD_OUTPUT else render(results))
    if json_file not in (None, STANDARD_OUTPUT):
        atomic.write_text(json_file, text + "\n")
    return 1 if worst is Status.ERROR else 0


def examine() -> Iterator[Result]:
    """Yield the results of every check; only a terminal shows the progress."""
    for module in tqdm(MODULES, "doctor", disable=None, leave=False, bar_format="{desc} {n}/{total}"):
        yield from guarded(module, partial(_results, module))


def render(results: Sequence[Result]) -> str:
    """Return an aligned table, each fix below its finding; no line is wrapped, so commands can be copied."""
    width = max((len(result.name) for result in results), default=0)
    lines = []
    for result in results:
        lines.append(f"{result.status:<7}  {result.name:<{width}}  {result.found}")
        if result.fix:
            lines.append(f"{'':<{width + 11}}-> {result.fix}")
    counts = [f"{sum(result.status is status for result in results)} {status}" for status in Status]
    return "\n".join([*lines, "", ", ".join(counts)])


def _results(module: str) -> Iterator[Result]:
    # Imported here: a missing package fails only the checks that need it.
    for name, check in import_module(f"context_fbr_tools.doctor.{module}").CHECKS.items():
        yield from guarded(name, check)
