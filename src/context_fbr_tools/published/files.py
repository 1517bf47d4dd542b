"""Read one file of the published results: every readable line, and what is wrong with the others."""

import csv
import errno
import io
import math
from pathlib import Path

from context_fbr.core import bounded
from context_fbr.core.errors import on_one_line
from context_fbr.metrics.columns import SCORES

LONGEST_VALUE = 200  # characters of a wrong value that are shown
MOST_PROBLEMS = 50
"""In one table; it is not read beyond them."""
UNDEFINED = {"", "na", "nan", "inf", "+inf"}  # MONAI's words for the distance to an empty mask, and R's


def read_scores(path: Path, problems: list[str]) -> list[tuple[object, ...]]:
    """Return the readable rows of a table of scores; add the others to `problems` with their lines."""
    rows: list[tuple[object, ...]] = []
    names: set[str] = set()
    unreadable: list[str] = []
    line = 1
    try:
        reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
        header = next(reader, [])
        if tuple(header) != SCORES:
            problems.append(f"{path}:1: columns {_cut(header)}, expected {list(SCORES)}")
            return []
        for row in reader:
            line = reader.line_num
            if not row:  # blank lines, as editors leave at the end
                continue
            try:
                name, *numbers = row
                dice, hausdorff, difference, ratio = (_number(text) for text in numbers)
            except ValueError as error:
                unreadable.append(f"{path}:{line}: unreadable row {_cut(row)} ({_cut(error)})")
                continue
            if name in names:
                unreadable.append(f"{path}:{line}: the case {_cut(name)} stands here twice")
            elif dice is not None and not 0 <= dice <= 1:
                unreadable.append(f"{path}:{line}: Dice {dice} is not between 0 and 1")
            elif ratio is None or not 0 <= ratio <= 1:
                unreadable.append(f"{path}:{line}: foreground ratio {ratio}, expected 0 to 1")
            else:
                names.add(name)
                rows.append((name, dice, hausdorff, difference, ratio))
            if len(unreadable) == MOST_PROBLEMS:
                unreadable.append(f"{path}: is not read any further")
                break
    except csv.Error as error:
        unreadable.append(f"{path}:{line + 1}: unreadable row, the file cannot be read to its end ({error})")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_not_read(path, error))
    problems += unreadable
    if not rows:
        problems.append(f"{path}: holds no readable row")
    return rows


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


def _cut(value: object) -> str:
    return on_one_line(str(value)[: LONGEST_VALUE + 1], LONGEST_VALUE)


def _number(text: str) -> float | None:
    if text.strip().lower() in UNDEFINED:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


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
