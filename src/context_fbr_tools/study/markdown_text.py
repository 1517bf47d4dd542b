"""Names and values that others wrote, in Markdown: as code, so that nothing in them is markup.

A task, a file or a value of params.yaml can bear any name, and GitHub renders Markdown: headings, links,
images, HTML, `@mentions`. All of them pass through here. The words of a line are text; what comes from a file
is a `Name`.
"""

import html
import re
from urllib.parse import quote

from context_fbr.analysis.display_names import NAMES
from context_fbr.core.errors import on_one_line

_PLAIN = re.compile(r"[A-Za-z0-9]+([-_][A-Za-z0-9]+)*")
_REFERENCE = re.compile(r"(?i)gh-[0-9]+|[0-9a-f]{7,}")  # GitHub links issues and commits
_PATH = re.compile(r"(?!www)[A-Za-z0-9_]+([-./][A-Za-z0-9_]+)*")


class Name(str):
    """A word that comes from a file: anybody can have written it."""

    __slots__ = ()


Line = tuple[str, ...]
"""Parts of a line, those of type `Name` from files."""


def plain_line(line: Line) -> str:
    """A line for the terminal and for programs."""
    return "".join(on_one_line(part) if isinstance(part, Name) else part for part in line)


def markdown_line(line: Line) -> str:
    """A line in Markdown."""
    return "".join(name(part) if isinstance(part, Name) else part for part in line)


def joined(names: list[str]) -> Line:
    """Names with commas between them."""
    return tuple(part for item in names for part in (", ", Name(item)))[1:]


def name(text: str) -> str:
    """A word that cannot be markup as it is, any other as code."""
    harmless = _PLAIN.fullmatch(text) and not _REFERENCE.fullmatch(text) and len(text) <= 100
    return text if harmless or text in NAMES.values() else code(text)


def code(text: str) -> str:
    """A code span: no markup, link or mention is seen in it; what is long is cut."""
    content = on_one_line(text)
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * (longest + 1)
    # Spaces keep backticks apart from the fence, and an empty span is none.
    pad = " " if longest or not content.strip() or content[0] == content[-1] == " " else ""
    return f"{fence}{pad}{content}{pad or ''}{fence}" if content else "` `"


def html_code(text: str) -> str:
    """Code inside of HTML, as in a `<summary>`."""
    return f"<code>{html.escape(on_one_line(text))}</code>"


def image(description: str, path: str, url: str) -> str:
    """An image; a path that could be markup is left out of its description."""
    words = f"{path}, {description}" if _PATH.fullmatch(path) and len(path) <= 200 else description
    return f"![{words}]({link_target(url)})"


def link_target(url: str) -> str:
    """An address that ends where its link ends; what is quoted already stays."""
    return quote(url, safe=":/?#@!$&'*+,;=%~")
