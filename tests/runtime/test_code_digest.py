"""What a module's hash depends on: what Python runs, and nothing else."""

import ast
import hashlib
import random

import pytest
from workspace import ROOT

from context_fbr.runtime.code_digest import code_of

SOURCES = sorted((ROOT / "src").rglob("*.py"))

CODE = '''"""A module."""

import os  # a comment


class Case:
    """A case."""

    edge: int = 16
    """Voxels."""

    def text(self, unit: str = "mm") -> str:
        """Return it.

        Twice.
        """
        return f"{self.edge!r:>{4}} {unit}" "\\n"
'''

SAME = {
    "a comment": ("  # a comment", "  # another"),
    "no comment": ("  # a comment", ""),
    "the module's docstring": ('"""A module."""\n', "# none\n"),
    "an attribute's docstring": ('    """Voxels."""\n', ""),
    "lines of a docstring": ("\n        Twice.\n", "\n        Three\n        times.\n"),
    "a blank line": ("\n\n\nclass", "\nclass"),
    "a line break": ("(self, unit", "(\n        self, unit"),
    "spaces": ("int = 16", "int  =  16"),
}
OTHER = {
    "a number": ("16", "17"),
    "a name": ("unit", "units"),
    "a string": ('"mm"', '"cm"'),
    "text of an f-string": ("} {unit}", "}  {unit}"),
    "a nested format": ("{4}", "{5}"),
    "an escape": ("\\n", "\\t"),
    "indentation": ("    def text", "def text"),
    "a statement": ("import os", "import os; os.sync()"),
    "an operator": ("= 16", "= -16"),
    "a string that is used": ('    """Voxels."""', '    unit = """Voxels."""'),
}


@pytest.mark.parametrize("change", SAME)
def test_comments_docstrings_and_spacing_change_no_hash(change: str) -> None:
    changed = CODE.replace(*SAME[change], 1)
    assert changed != CODE
    ast.parse(changed)
    assert code_of(changed.encode()) == code_of(CODE.encode())


@pytest.mark.parametrize("change", OTHER)
def test_a_change_of_what_runs_changes_the_hash(change: str) -> None:
    changed = CODE.replace(*OTHER[change])
    assert changed != CODE
    assert code_of(changed.encode()) != code_of(CODE.encode())


def test_the_hash_is_the_same_for_every_version_of_python() -> None:
    """Made with Python 3.11; 3.12 and later divide the f-string into tokens."""
    digest = hashlib.sha256(code_of(CODE.encode())).hexdigest()
    assert digest == "16e686eff69d570bfc341ea597d305cb50eb5c854d7ad02ea49d249572a9001d"


def without_docstrings(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [
                part for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str))
            ]  # fmt: skip
    return ast.dump(tree)


def test_two_files_with_one_hash_have_one_syntax_tree() -> None:
    """Random edits of a character in the sources: an edit that keeps the hash keeps what Python parses."""
    generator = random.Random(0)
    kept = 0
    for _ in range(300):
        text = generator.choice(SOURCES).read_text()
        place = generator.randrange(len(text))
        edited = text[:place] + generator.choice('a1 #\n"(') + text[place + 1 :]
        try:
            trees = ast.parse(text), ast.parse(edited)
        except SyntaxError:
            continue
        same = code_of(text.encode()) == code_of(edited.encode())
        kept += same
        assert not same or without_docstrings(trees[0]) == without_docstrings(trees[1]), (edited, place)
    assert kept > 50
