"""Hashes of the modules that each stage imports: data/code/STAGE.json, on which each of its runs depends.

python -m context_fbr.runtime.code_digest

A stage imports some thirty files. As dependencies of each cell they would fill dvc.lock, and DVC reads and
writes all of it for every stage that it runs. git keeps these files: their difference between two commits
names the stages and the modules that changed.

Only what Python runs is hashed: a changed comment, docstring or line break trains nothing again.
"""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.runtime.entry import no_arguments, run_command

SOURCE = Path("src")
PACKAGE = "context_fbr"
FOLDER = Path("data/code")
MAX_NAMED = 5  # modules in one message


def modules(name: str, source: Path = SOURCE) -> set[Path]:
    """Return the files of the package that importing a module runs, by its import statements.

    Imports inside of functions count, too. Files of folders (`__init__.py`) hold a docstring only and do not.

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


LAYOUT = frozenset({"ENCODING", "COMMENT", "NL", "ENDMARKER"})
"""Kinds of tokens that Python does not run."""
DOCSTRING_STARTS = tuple(prefix + quote for prefix in ("", "r", "R", "u", "U") for quote in "\"'")


@cache  # a stage reads each file at its start and at its end
def code_of(content: bytes) -> bytes:
    """Return the tokens of a valid Python file without comments, docstrings, blank lines and spacing.

    A string that is a whole statement counts as a docstring. The same for every version of Python.
    """
    words: list[str] = []
    for statement in _statements(content):
        words += [kind for kind, _ in statement if kind in ("INDENT", "DEDENT")]
        texts = [text for kind, text in statement if kind not in ("INDENT", "DEDENT")]
        if not all(text.startswith(DOCSTRING_STARTS) for text in texts):
            words += [*texts, ""]
    return "\n".join(words).encode()


def _statements(content: bytes) -> Iterator[list[tuple[str, str]]]:
    """Yield the kind and the text of each token of each logical line; an f-string is one token."""
    lines = io.BytesIO(content).readlines()
    statement: list[tuple[str, str]] = []
    depth, start = 0, (0, 0)
    for token in tokenize.tokenize(io.BytesIO(content).readline):
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):  # Python 3.12 and later divide an f-string into tokens
            depth, start = depth + 1, start if depth else token.start
        elif kind.endswith("STRING_END"):
            depth -= 1
            if not depth:
                statement.append(("STRING", _between(lines, start, token.end)))
        elif depth or kind in LAYOUT:
            continue
        elif kind == "NEWLINE":
            yield statement
            statement = []
        else:
            statement.append((kind, token.string))
    yield statement


def _between(lines: list[bytes], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two positions: line from 1, character from 0."""
    text = [line.decode() for line in lines[start[0] - 1 : end[0]]]
    text[-1] = text[-1][: end[1]]
    text[0] = text[0][start[1] :]
    return "".join(text)


def stages() -> list[str]:
    """Return the names of all stages: each is a module of the package's own folder."""
    return sorted(path.stem for path in (SOURCE / PACKAGE).glob("*.py") if path.stem != "__init__")


def digest_file(stage: str) -> Path:
    """Return the path of the file that holds the hashes of a stage's modules."""
    return FOLDER / f"{stage}.json"


def text_of(stage: str) -> str:
    """Return the SHA-256 of each module of a stage's code, as JSON; errors as in `modules`."""
    digests = {
        path.as_posix(): hashlib.sha256(code_of(path.read_bytes())).hexdigest()
        for path in sorted(modules(f"{PACKAGE}.{stage}"))
    }
    return json.dumps(digests, indent=1) + "\n"


def changed_modules(stage: str) -> list[str]:
    """Return the modules of a stage that differ from its file, are new or removed; errors as in `modules`.

    A file that is missing or damaged differs in all of them; one in other formatting is named itself.
    """
    path, text = digest_file(stage), text_of(stage)
    try:
        content = path.read_text(encoding="utf-8")
        before = json.loads(content)
    except (OSError, ValueError):
        content, before = "", {}
    if content == text:
        return []
    now = json.loads(text)
    before = before if isinstance(before, Mapping) else {}
    return sorted(name for name in {*now, *before} if now.get(name) != before.get(name)) or [str(path)]


def problem(stage: str) -> str | None:
    """Return the problem of the file of a stage, in one line; None if it holds this code."""
    changed = changed_modules(stage)
    if not changed:
        return None
    more = f" and {len(changed) - MAX_NAMED} others" if len(changed) > MAX_NAMED else ""
    return (
        f"{digest_file(stage)}: holds the hashes of other code, {', '.join(changed[:MAX_NAMED])}{more} "
        "changed; run `dvc repro code`, then this again"
    )


def main(arguments: list[str]) -> None:
    """Run the stage `code`."""
    no_arguments(arguments)
    texts = {stage: text_of(stage) for stage in stages()}
    if {stage: text_of(stage) for stage in texts} != texts:
        raise UserError(f"{SOURCE}: changed while it was read; run the same command again")
    with atomic.directory(FOLDER) as folder:
        for stage, text in texts.items():
            (folder / f"{stage}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
