"""Links among the folders of results: DVC refuses what is behind one, and only after the stage has run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from context_fbr.config.document import parse
from context_fbr.core.errors import UserError

PIPELINE = Path("dvc.yaml")
REMEDY = (
    "DVC refuses results behind a link; put the folder back and move DVC's cache to the other disk: "
    "`dvc cache dir --local /OTHER/DISK/cache`, `dvc config --local cache.type symlink`, then `dvc checkout "
    "--relink`"
)


def linked_folders() -> list[Path]:
    """Return the folders of results in dvc.yaml that are links out of this folder, by the shortest path.

    Raises:
        UserError: if dvc.yaml is missing or not YAML.
    """
    root = Path().resolve()
    links = {
        link
        for out in _outs()
        if (link := next((part for part in _parents(out) if part.is_symlink()), None))
        and not Path(os.path.realpath(link)).is_relative_to(root)
    }
    return sorted(links)


def problem(links: list[Path]) -> str:
    """Return what is wrong with links, and the way to another disk."""
    shown = ", ".join(f"{link} -> {link.readlink()}" for link in links)
    return f"{shown}: leads out of the project; {REMEDY}"


def refuse_links() -> None:
    """Check that no folder of results is a link out of the project.

    Raises:
        UserError: naming all that are.
    """
    links = linked_folders()
    if links:
        raise UserError(problem(links))


def _parents(out: str) -> list[Path]:
    """Return the folders above a result, the outermost first, as far as no parameter decides their names."""
    parts = [part for part in Path(out.partition("${")[0] + "x").parts[:-1] if part != "."]
    return [Path(*parts[: count + 1]) for count in range(len(parts))]


def _outs() -> Iterator[str]:
    try:
        stages: Any = parse(PIPELINE.read_bytes(), str(PIPELINE), "safe")["stages"]
        for stage in stages.values():
            for kind in ("outs", "metrics", "plots"):
                for out in stage.get(kind) or ():
                    yield from [out] if isinstance(out, str) else out
    except FileNotFoundError:
        raise UserError(f"{PIPELINE}: not found; run this in the folder of the project") from None
    except OSError as error:
        raise UserError(f"{PIPELINE}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{PIPELINE}: is no pipeline of DVC's; `git checkout {PIPELINE}`") from None
