"""What tests and stages parse many times, code and parameters, parsed once: half of a tiny study's time."""

import ast
import importlib
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class KnownCode:
    """Modules that were parsed before; a process that forks hands them on."""

    imports: dict[str, ast.Module] = field(default_factory=dict)
    """The import statements of a module by its text."""
    code: dict[bytes, bytes] = field(default_factory=dict)
    """What is hashed of a module by its content."""

    def use(self) -> None:
        """Let the check of the code that this process has imported, or imports now, parse only what is not known."""
        code_digest = importlib.import_module("context_fbr.runtime.code_digest")
        parse, code_of = code_digest._parse, code_digest.code_of

        def known_parse(path: Path) -> ast.Module:
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return parse(path)
            if text not in self.imports:
                self.imports[text] = _imports(parse(path))
            return self.imports[text]

        def known_code_of(content: bytes) -> bytes:
            if content not in self.code:
                self.code[content] = code_of(content)
            return self.code[content]

        code_digest._parse = known_parse  # type: ignore[attr-defined]
        code_digest.code_of = known_code_of  # type: ignore[attr-defined]


def of_this_checkout() -> KnownCode:
    """Parse all modules that stages can import."""
    from context_fbr.runtime import code_digest

    known = KnownCode()
    known.use()
    for path in (SOURCE / "context_fbr").rglob("*.py"):
        code_digest._parse(path)
        code_digest.code_of(path.read_bytes())
    return known


def parse_once() -> None:
    """Let this process parse the same YAML with its places, some 50 ms for params.yaml, only once.

    Each reader gets a tree of its own.
    """
    document = importlib.import_module("context_fbr.config.document")
    parse = document.parse
    known: dict[bytes, bytes] = {}

    def known_parse(content: bytes, place: str, kind: str = "rt") -> Any:
        if kind != "rt":
            return parse(content, place, kind)
        if content not in known:
            known[content] = pickle.dumps(parse(content, place))
        return pickle.loads(known[content])

    document.parse = known_parse  # type: ignore[attr-defined]


def _imports(tree: ast.Module) -> ast.Module:
    return ast.Module(
        [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)], type_ignores=[]
    )
