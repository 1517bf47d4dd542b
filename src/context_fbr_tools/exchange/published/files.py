"""Readers of the published results, which keep every readable line of a file and report the others."""

import errno
from pathlib import Path

import pandas as pd

from context_fbr.analysis.result_files import parse_table
from context_fbr.core import bounded
from context_fbr.metrics.columns import SCORES

UNDEFINED = {"", "na", "nan", "inf", "+inf"}  # MONAI's words for the distance to an empty mask, and R's


def read_scores(path: Path, problems: list[str]) -> pd.DataFrame:
    """Return the readable rows of a table of scores; add the other lines to `problems`."""
    try:
        text = _text(path)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_not_read(path, error))
        return parse_table("", SCORES)[0]
    frame, found = parse_table(text, SCORES, lenient=True, undefined=UNDEFINED)
    if frame.empty and not found:
        found = ["1: holds no rows"]
    problems += [f"{path}:{problem}" for problem in found]
    return frame


def _text(path: Path) -> str:
    """Return a table's text, which may begin with a byte order mark.

    Raises:
        OSError: if it is not a regular file of the published folder, or larger than any table.
        UnicodeDecodeError: if it is not UTF-8.
    """
    folder = path.parent.parent
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OSError(errno.EINVAL, f"is a link out of {folder}, put a copy of the file there", str(path))
    return bounded.read_text(path, encoding="utf-8-sig")


def _not_read(path: Path, error: OSError | UnicodeDecodeError) -> str:
    return f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"


def read_ratios(path: Path, problems: list[str]) -> list[float]:
    """Return the readable foreground ratios of a file; add the other lines to `problems`."""
    values: list[float] = []
    wrong: list[int] = []
    try:
        text = _text(path)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_not_read(path, error))
        return []
    if text and not text.endswith("\n"):
        problems.append(f"{path}: its last line is cut")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = float(line)
            if not 0 <= value <= 1:
                raise ValueError(line)
            values.append(value)
        except ValueError:
            wrong.append(number)
    if wrong:
        more = f" and {len(wrong) - 1} more lines" if len(wrong) > 1 else ""
        problems.append(f"{path}:{wrong[0]}{more}: expected a number from 0 to 1")
    elif not values:
        problems.append(f"{path}: is empty")
    return values
