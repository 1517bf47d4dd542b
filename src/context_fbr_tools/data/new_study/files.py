"""Files of a new study: those of the project that it takes, and those of its own."""

import re
from collections.abc import Iterable
from pathlib import Path

from context_fbr.core import atomic

TAKEN = (
    *(".dvc/", ".dvcignore", ".gitattributes", ".gitignore", ".pre-commit-config.yaml"),
    *(".github/scripts/", ".github/workflows/comment.yml", ".github/workflows/results.yml"),
    ".github/workflows/run.yml",
    *("LICENSE", "Makefile", "NOTICE.md", "constraints.txt", "pyproject.toml"),
    *("data/README.md", "models/README.md", "splits/README.md", "src/", "tests/metrics/"),
)
"""Files and, with a slash at the end, folders."""
TEMPLATES = Path(__file__).parent / "templates"
WRITTEN = {
    "README.md": "README.md",
    "study_tests.py": "tests/test_study.py",
    "tests.yml": ".github/workflows/tests.yml",
}
"""Templates and their places in the study."""
TARGETS = ("smoke", "test-slow", "test-long", "bench", "mutants")
"""Targets of the Makefile that need what a new study does not have."""


def taken(names: Iterable[str]) -> list[str]:
    """Return those of the project's files that a new study takes."""
    return [name for name in names if any(_is_of(name, own) for own in TAKEN)]


def _is_of(name: str, own: str) -> bool:
    return name == own or (own.endswith("/") and name.startswith(own))


def write_templates(folder: Path, values: dict[str, str]) -> None:
    """Write the study's own files, with values in place of {{NAME}}."""
    for template, name in WRITTEN.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"{{{{{key}}}}}", value)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(folder / name, text)


def makefile(text: str) -> str:
    """Return the Makefile without the targets that a new study lacks."""
    paragraphs = text.split("\n\n")
    dropped = re.compile(rf"({'|'.join(map(re.escape, TARGETS))}):|ALONE :=")
    kept = "\n\n".join(part for part in paragraphs if not dropped.match(part))
    phony = re.compile(r"^\.PHONY: .*$", re.MULTILINE)
    names = [word for word in phony.findall(kept)[0].split() if word not in TARGETS]
    return phony.sub(" ".join(names), kept).replace(", without the slow ones, two files at once", "")


def workflow(text: str) -> str:
    """Return the workflow that runs a profile; a new study has params.yaml alone."""
    return re.sub(r"options: \[params\.yaml[^]]*\]", "options: [params.yaml]", text)
