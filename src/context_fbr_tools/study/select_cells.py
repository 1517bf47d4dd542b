"""Cells by what a person types: keys, or patterns of keys."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError, raise_problems

NO_KEY = "is no cell: its key is TASK-MODEL-PATCH_SIZE-SEED, such as spleen-unet-96-1"


def chosen(names: Sequence[str], cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells of a grid that the names mean, each once, in the grid's order.

    Args:
        names: keys, or patterns as a shell has them: spheres-unet-*.
        cells: of the grid.

    Raises:
        UserError: with every name that means none, and the nearest keys.
    """
    found: set[Cell] = set()
    problems: list[str] = []
    for name in dict.fromkeys(names):
        matched = [cell for cell in cells if fnmatchcase(cell.key, name)]
        found.update(matched)
        if matched:
            continue
        if set(name) & set("*?["):
            problem = "matches no cell of the grid of params.yaml"
        else:
            problem = NO_KEY if _parsed(name) is None else "is not in the grid of params.yaml"
        problems.append(_with_nearest(name, problem, cells))
    raise_problems(problems)
    return tuple(cell for cell in cells if cell in found)


def planned_or_trained(key: str, cells: Sequence[Cell]) -> Cell:
    """The cell of a key, one of the grid or one that is trained.

    Raises:
        UserError: with the nearest keys of the grid.
    """
    cell = _parsed(key)
    if cell is None:
        raise UserError(_with_nearest(key, NO_KEY, cells))
    if cell not in cells and not cell.training.is_file():
        problem = "is neither in the grid of params.yaml nor trained"
        raise UserError(_with_nearest(key, problem, cells))
    return cell


def _parsed(key: str) -> Cell | None:
    try:
        return Cell.from_key(key)
    except UserError:
        return None


def _with_nearest(name: str, problem: str, cells: Sequence[Cell]) -> str:
    near = difflib.get_close_matches(name, [cell.key for cell in cells], n=3, cutoff=0)
    return f"{name}: {problem}; nearest of the {len(cells)} in the grid: {', '.join(near)}"
