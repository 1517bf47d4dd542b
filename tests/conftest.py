"""What several test files need."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from context_fbr.study.document import Document

ROOT = Path(__file__).parents[1]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A params.yaml to change."""
    return Path(shutil.copy(ROOT / "tests" / "study.yaml", tmp_path / "params.yaml"))


@pytest.fixture
def change(params: Path) -> Callable[[str, str], Document]:
    """Replace a text that stands once in params.yaml, and read the result."""

    def replace(before: str, after: str) -> Document:
        text = params.read_text()
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in params.yaml"
        params.write_text(text.replace(before, after))
        return Document.read(params)

    return replace
