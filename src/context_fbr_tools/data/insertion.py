"""Put a task's block into params.yaml as text: nothing else of the file changes, comments least of all."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from context_fbr.config import profiles
from context_fbr.config.document import Document, plain
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError


def indentation(document: Document) -> int:
    """By how many spaces the names of tasks are indented.

    Raises:
        UserError: if the tasks stand in `{ }`, where no block fits.
    """
    tasks = document.root["tasks"]
    if tasks.fa.flow_style():
        raise UserError(
            document.problem(("tasks",), "stands in { }; write one task a block, indented below it")
        )
    return int(tasks.lc.col)


def insert(params: Path, name: str, block: str) -> tuple[int, int]:
    """Write a block behind the last task; the numbers of its first and last line.

    Raises:
        UserError: if the result is no valid study, or is more than the old one and the block; `params` is
            then untouched.
    """
    content = params.read_bytes().decode("utf-8")
    newline = profiles.line_ending(content.encode())
    lines = content.replace("\r\n", "\n").splitlines()
    before = Document.read(params)
    end = _end_of_tasks(before.root, lines)
    added = ["", *block.splitlines()]
    text = newline.join([*lines[:end], *added, *lines[end:]]) + newline
    try:
        after = Document(params, YAML().load(text))
    except MarkedYAMLError as error:
        raise UserError(
            f"{params}: {name} does not fit behind its last task; paste the block by hand ({error.problem})"
        ) from error
    read_study(after)  # refuses before anything is written
    rest = plain(after.root)
    rest["tasks"].pop(name, None)
    if rest != plain(before.root):
        raise UserError(f"{params}: the block of {name} would change more than its task; paste it by hand")
    atomic.write_text(params, text)
    return end + 2, end + len(added)


def _end_of_tasks(root: CommentedMap, lines: list[str]) -> int:
    """The number of lines up to the end of the tasks; comments at the margin belong to what follows."""
    start = root.lc.key("tasks")[0]
    later = [line for key in root if (line := root.lc.key(key)[0]) > start]
    end = min(later, default=len(lines))
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    return end
