"""Python and the packages against pyproject.toml and constraints.txt of this folder."""

import platform
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.metadata import metadata as metadata_of
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from context_fbr_tools.doctor.check_result import Result, Status

PROJECT = Path("pyproject.toml")
CONSTRAINTS = Path("constraints.txt")
INSTALL = "pip install -c constraints.txt -e ."


def check() -> Iterator[Result]:
    """Python, the packages that this project needs, the versions that its results were made with."""
    python, needed = _declared()
    yield python_result(platform.python_version(), python)
    installed = {requirement.name: _installed(requirement.name) for requirement in needed}
    yield needed_result(needed, installed)
    if not CONSTRAINTS.is_file():
        found = f"{CONSTRAINTS}: not found, so it is not known with which versions the results were made"
        yield Result("versions", Status.DOUBTFUL, found, "run this in the root of the repository")
        return
    pinned = _pinned(CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    yield versions_result(pinned, {name: _installed(name) for name in pinned}, set(installed))


def python_result(running: str, required: str) -> Result:
    """Whether a version of Python is one of the required ones (`>=3.11`)."""
    fits = SpecifierSet(required).contains(running, prereleases=True)
    if fits:
        return Result("Python", Status.OK, f"{running}, needed {required}")
    to_do = (
        "make the environment anew: `rm -r .venv`, then `make repro PYTHON=python3.12` or another that fits"
    )
    return Result("Python", Status.WRONG, f"{running}, needed {required}", to_do)


def needed_result(needed: Sequence[Requirement], installed: Mapping[str, str | None]) -> Result:
    """Whether every requirement is installed, and in a version that it allows.

    Args:
        needed: what pyproject.toml requires.
        installed: version by name; None where it is missing.
    """
    bad = []
    for requirement in needed:
        found = installed[requirement.name]
        if found is None:
            bad.append(f"{requirement.name}: missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            bad.append(f"{requirement.name} {found}: needed {requirement.specifier}")
    if bad:
        return Result("packages", Status.WRONG, "; ".join(bad), f"`{INSTALL}`")
    return Result("packages", Status.OK, f"all {len(needed)} that are needed")


def versions_result(
    pinned: Mapping[str, str], installed: Mapping[str, str | None], needed: Iterable[str]
) -> Result:
    """Whether the versions are those that the results were made with.

    Only what the project itself imports can change a result; the rest is counted. What is not installed is no
    difference. A suffix as in 2.13.0+cpu names a build, not a version.
    """
    own = {canonicalize_name(name) for name in needed}
    differ = {
        name: found
        for name, expected in pinned.items()
        if (found := installed[name]) and Version(found).public != Version(expected).public
    }
    ours = [f"{name} {found}, not {pinned[name]}" for name, found in differ.items() if name in own]
    others = len(differ) - len(ours)
    rest = f"; {others} tools beside them differ" if others else ""
    if ours:
        found = f"{'; '.join(ours)}{rest}: results may differ in bits"
        return Result("versions", Status.DOUBTFUL, found, f"`{INSTALL}`")
    shown = ", ".join(
        f"{name} {installed[name]}" for name in ("torch", "monai", "dvc") if installed.get(name)
    )
    return Result("versions", Status.OK, f"as in {CONSTRAINTS} ({shown}){rest}")


def _declared() -> tuple[str, list[Requirement]]:
    """Python's range and the requirements, of this folder's project, or else of the installed one."""
    if PROJECT.is_file():
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "context-fbr":
            return project["requires-python"], [Requirement(text) for text in project["dependencies"]]
    requirements = [Requirement(text) for text in requires("context-fbr") or ()]
    own = [requirement for requirement in requirements if "extra" not in str(requirement.marker)]
    return str(metadata_of("context-fbr")["Requires-Python"]), own


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pinned(lines: Iterable[str]) -> dict[str, str]:
    """Version by canonical name, of the lines `name==version`."""
    found = {}
    for line in lines:
        text = line.partition("#")[0].strip()
        if text:
            name, _, expected = text.partition("==")
            found[str(canonicalize_name(name.strip()))] = expected.strip()
    return found
