"""Published magnitudes of findings: metrics/published/magnitudes.json, written by `context-fbr published`."""

from pathlib import Path
from typing import Any

from context_fbr.analysis.findings.assembly import Published
from context_fbr.analysis.findings.finding import Findings
from context_fbr.analysis.result_files import DIGITS
from context_fbr.core import bounded
from context_fbr.core.errors import UserError

PATH = Path("metrics/published/magnitudes.json")
KEYS = ("estimate", "low", "high", "statistic")


def magnitudes(found: Findings) -> dict[str, dict[str, dict[str, Any]]]:
    """Return estimate, limits and statistic of each finding, by task and hypothesis."""
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for finding in found.findings:
        values = (getattr(finding, key) for key in KEYS)
        tree.setdefault(finding.task, {})[finding.id] = {
            key: round(value, DIGITS) if isinstance(value, float) else value
            for key, value in zip(KEYS, values, strict=True)
        }
    return tree


def published_magnitudes(path: Path = PATH) -> dict[str, Published]:
    """Read the file that `magnitudes` is written to; nothing if it is not there.

    Raises:
        UserError: if it is damaged.
    """
    if not path.exists():
        return {}
    try:
        tree = bounded.read_json(path)
        return {
            str(task): {str(name): {key: values[key] for key in KEYS} for name, values in of_task.items()}
            for task, of_task in tree.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is damaged ({error}); bring it back with `git checkout {path}`") from error
