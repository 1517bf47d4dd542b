"""The code of a stage in one small file, on which all of its cells depend: data/code/STAGE.json.

python -m context_fbr.code STAGE

A stage imports some thirty files. Were they dependencies of each cell, dvc.lock would name them in each entry
of it, and DVC reads and writes the whole of it for every stage that it runs: seconds each time.
"""

import ast
import hashlib
import json
from pathlib import Path

from context_fbr import atomic
from context_fbr.errors import UserError, run

SOURCE = Path("src")
PACKAGE = "context_fbr"


def modules(name: str, source: Path = SOURCE) -> set[Path]:
    """The files of the package that importing a module runs, found by reading import statements.

    Those inside of functions count, too. Files of folders (`__init__.py`) hold a docstring only and do not.

    Args:
        name: of the module, `context_fbr.train`.
        source: the folder that holds the package.

    Raises:
        UserError: if there is no such module, or one of them is not valid Python.
    """
    found: set[Path] = set()
    waiting = [name]
    while waiting:
        path = source / (waiting.pop().replace(".", "/") + ".py")
        if path in found or not path.is_file():
            continue
        found.add(path)
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if not found:
        raise UserError(f"{source}: has no module {name}")
    return found


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{path}:{line}: is not valid Python ({error}); repair the file") from error


def text_of(stage: str) -> str:
    """The SHA-256 of every file of a stage's code, as JSON; errors as in `modules`."""
    digests = {
        path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(modules(f"{PACKAGE}.{stage}"))
    }
    return json.dumps(digests, indent=1) + "\n"


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected STAGE, for example `train`, got {arguments}")
    (stage,) = arguments
    text = text_of(stage)
    if text_of(stage) != text:
        raise UserError(f"{SOURCE}: was changed while it was read; run the same command again")
    atomic.write_text(Path("data/code") / f"{stage}.json", text)


if __name__ == "__main__":
    run(main)
