"""The structure of the packages: imports point down, there are no circles, rooms and modules stay small."""

import ast
from pathlib import Path

import pytest
from workspace import ROOT

STUDY, TOOLS = "context_fbr", "context_fbr_tools"
FLOORS = (
    ("core", "metrics"),
    ("config",),
    ("datasets", "networks"),
    ("preprocessing", "runtime"),
    ("training",),
    ("evaluation",),
    ("analysis",),
    ("figures",),
    ("",),  # the stages
)
"""Rooms of the study, the lowest first. Rooms of one floor know nothing of each other."""
MAX_LINES = 260
MAX_ENTRIES = 12
FILES = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts): path
    for package in (STUDY, TOOLS)
    for path in sorted((ROOT / "src" / package).rglob("*.py"))
    if path.name != "__init__.py"
}


def imports_of(module: str) -> set[str]:
    """Modules of ours that a module imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & FILES.keys()


IMPORTS = {module: imports_of(module) for module in FILES}


def floor_of(module: str) -> tuple[int, str]:
    """Number and name of a module's floor and room; the tools are above all of the study."""
    package, *room = module.split(".")[:-1]
    if package == TOOLS:
        return len(FLOORS), "tools"
    name = room[0] if room else ""
    return next((number, name) for number, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module: str) -> None:
    """To a lower floor, or to the same room; a stage imports no other stage."""
    for imported in IMPORTS[module]:
        here, there = floor_of(module), floor_of(imported)
        assert there == here or there[0] < here[0], f"{module} imports {imported}"
        assert there[1] or here[1] == "tools", f"{module} imports the stage {imported}"


def test_there_are_no_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for imported in IMPORTS[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in FILES:
        visit(module, ())


def test_the_study_names_the_tools_in_two_places() -> None:
    """The tracker loads Weights & Biases by name, so that no stage depends on it; orphans knows commands."""
    study = [module for module in FILES if module.partition(".")[0] == STUDY]
    naming = {module for module in study if TOOLS in FILES[module].read_text()}
    assert naming == {f"{STUDY}.training.tracking", f"{STUDY}.runtime.orphans"}


@pytest.mark.parametrize("module", FILES)
def test_a_module_is_short_enough_to_be_read(module: str) -> None:
    assert len(FILES[module].read_text().splitlines()) <= MAX_LINES


def rooms() -> list[Path]:
    found = [ROOT / "src" / package for package in (STUDY, TOOLS)]
    found += [path.parent for path in (ROOT / "src").rglob("__init__.py") if path.parent not in found]
    return sorted(found)


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.relative_to(ROOT / "src").as_posix())
def test_a_room_has_few_entries(room: Path) -> None:
    """Files and folders next to `__init__.py`, on the floor of the study files alone."""
    entries = [path for path in room.iterdir() if path.name not in ("__init__.py", "__pycache__")]
    if room.name == STUDY:
        assert len([path for path in entries if path.is_file()]) <= 9
        assert {path.name for path in entries if path.is_dir()} == {
            name for names in FLOORS for name in names
        } - {""}
    else:
        assert len(entries) <= MAX_ENTRIES
