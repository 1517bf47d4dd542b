"""Counts of the language of README, docs and docstrings.

python -m benchmarks.prose

Forms that readers take for archaic or translated, per 1,000 words of prose; fragments that docstrings open
with; lines and words of README, and the line of its first command.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORMS = (
    *("stands?", "mends?", "anew", "likewise", "whoever", "nobody", "somebody", "lies", "shall", "beside"),
    *("told", "serves", "bears", "in the stead", "tells? of", "go(es)? on", "came to", "at hand"),
    *("for want of", "all the same", "once more", "takes up"),
)
ARCHAIC = re.compile(r"\b(" + "|".join(FORMS) + r")\b", re.IGNORECASE)
FRAGMENT = re.compile(
    r"^(what|whether|how|of|as|likewise|that|those|these|who|whose|where|when|which|why|for|from|in|on|at|by|if|it|they|them|so|and|or|but|not|nothing|nobody)\b",
    re.IGNORECASE,
)
CODE = re.compile(r"```.*?```|<!-- generated.*?<!-- end -->|`[^`]*`|!?\[[^\]]*\]\([^)]*\)", re.DOTALL)


@dataclass(frozen=True)
class Docstring:
    """First line of a docstring, and its place."""

    kind: str
    """module, class, function or attribute."""
    place: str
    text: str


def prose(page: str) -> str:
    """Return the sentences of a page, without code, generated blocks, tables, headings and links."""
    lines = CODE.sub(" ", page).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("|", "#", "![", ">")))


def pages() -> list[Path]:
    """Return README and the pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def archaic(text: str) -> list[str]:
    """Return the rejected forms of a text in their order."""
    return [match[0].lower() for match in ARCHAIC.finditer(text)]


def docstrings(folder: Path) -> Iterator[Docstring]:
    """Yield the first line of every docstring below a folder, also those of attributes."""
    for path in sorted(folder.rglob("*.py")):
        for kind, line, text in _texts(path):
            yield Docstring(kind, f"{path.relative_to(ROOT)}:{line}", text.strip().partition("\n")[0])


def docstring_text(path: Path) -> str:
    """Return all docstrings of a file."""
    return " ".join(text for _, _, text in _texts(path))


def _texts(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield kind, line and text of each docstring."""
    kinds: dict[type, str] = {ast.Module: "module", ast.ClassDef: "class"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for number, statement in enumerate(body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    kind = "attribute" if number else kinds.get(type(node), "function")
                    yield kind, statement.lineno, text


def fragments(folder: Path) -> list[Docstring]:
    """Return the docstrings that open with a fragment instead of a verb or a noun."""
    return [own for own in docstrings(folder) if FRAGMENT.match(own.text)]


def main() -> None:
    """Print the counts."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = readme.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("```"))
    print(f"README.md: {len(lines)} lines, {len(readme.split())} words, first command in line {first}")
    for path in pages():
        text = prose(path.read_text(encoding="utf-8"))
        forms, words = archaic(text), max(len(text.split()), 1)
        rate = f"{1000 * len(forms) / words:.1f} forms per 1,000 of {words} words"
        print(f"{path.relative_to(ROOT)}: {rate} {', '.join(forms)}")
    found = fragments(ROOT / "src")
    for kind in ("module", "class", "function", "attribute"):
        count = sum(docstring.kind == kind for docstring in found)
        print(f"docstrings of src that open with a fragment, {kind}: {count}")


if __name__ == "__main__":
    main()
