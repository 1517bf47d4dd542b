"""`dvc plots show` and `dvc plots diff` in a real browser, without a network."""

import importlib.util
import json
import re
import shutil
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser
from workspace import ROOT, Workspace

from context_fbr.analysis.display_names import NAMES
from context_fbr.figures.style import COLOURS, GREY, MARKERS

PLOTS = ("Dice by patch size", "Dice by foreground ratio", "Learning curves")
TEMPLATES = sorted((ROOT / ".dvc" / "plots").glob("*.json"))
# Of each plot the number of marks by revision that can be seen, as Vega bound them to rows of data.
MARKS = """() => Object.fromEntries([...document.querySelectorAll("section:has(.plot)")].map(section => {
    const counts = {};
    for (const path of section.querySelectorAll(".mark-symbol.role-mark path")) {
        const rev = path.__data__.datum.rev, box = path.getBoundingClientRect();
        if (rev && box.width > 1 && box.height > 1) counts[rev] = (counts[rev] ?? 0) + 1;
    }
    return [section.querySelector("h2").textContent, counts];
}))"""
IMAGES = """() => Object.fromEntries([...document.querySelectorAll("section:has(.images)")].map(section => [
    section.querySelector("code").textContent,
    [...section.querySelectorAll("figure")].map(figure =>
        [figure.querySelector("figcaption").textContent, figure.querySelector("img")?.naturalWidth ?? 0]),
]))"""
# What Vega-Lite has against the templates; as it says much of data that are only absent, the page itself is silent.
WARNINGS = """() => window.drawn.then(results => results.flatMap(({spec}) => {
    const said = [], logger = {};
    for (const level of ["level", "info", "debug"]) logger[level] = () => logger;
    for (const level of ["warn", "error"]) logger[level] = (...words) => { said.push(words.join(" ")); return logger; };
    vegaLite.compile(spec, {logger});
    return said;
}))"""


@dataclass
class Seen:
    """What a browser has seen of a page."""

    marks: dict[str, dict[str, int]]
    images: dict[str, list[tuple[str, int]]]
    text: str
    width: int
    requests: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def compared(browser: Browser, changed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three commits: a study, the study changed, and the latter without some files and columns."""
    workspace = changed.copy(tmp_path_factory.mktemp("plots") / "compared")
    workspace.run("git", "tag", "before", "HEAD~1")
    workspace.run("git", "tag", AFTER, "HEAD")
    means = workspace.path / "plots/spheres" / "dice_by_patch_size.csv"
    means.write_text("".join(f"{','.join(line.split(',')[:4])}\n" for line in means.read_text().splitlines()))
    (workspace.path / "plots/spheres" / "scores_by_foreground_ratio.csv").unlink()
    (workspace.path / "plots/spheres" / "learning_curves.png").unlink()
    workspace.commit("Poorer")
    workspace.run("git", "tag", "poorer")
    return workspace


AFTER = "with-a-learning-rate-that-is-five-hundred-times-smaller-than-it-was-before"


def look(browser: Browser, workspace: Workspace, *command: str) -> Seen:
    """Let DVC write the page and open it."""
    folder = workspace.path / "dvc_plots"
    shutil.rmtree(folder, ignore_errors=True)
    workspace.dvc("plots", *command, "-o", str(folder))
    requests: list[str] = []
    complaints: list[str] = []
    with browser.new_page(viewport={"width": 1440, "height": 900}) as page:
        page.on("request", lambda request: requests.append(request.url))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.goto((folder / "index.html").as_uri())
        complaints.extend(page.evaluate(WARNINGS))
        return Seen(
            page.evaluate(MARKS),
            {path: [tuple(image) for image in images] for path, images in page.evaluate(IMAGES).items()},
            page.inner_text("body"),
            page.evaluate("document.documentElement.scrollWidth"),
            requests,
            complaints,
        )


def rows(workspace: Workspace, revision: str, name: str) -> int:
    """Rows of a table of a commit."""
    return len(workspace.run("git", "show", f"{revision}:{name}").stdout.splitlines()) - 1


@pytest.fixture(scope="module")
def difference(browser: Browser, compared: Workspace) -> Seen:
    """The page of two commits."""
    return look(browser, compared, "diff", "before", AFTER)


@pytest.mark.slow
def test_both_revisions_are_drawn_without_a_network_and_without_a_complaint(
    compared: Workspace, difference: Seen
) -> None:
    seen = difference
    assert seen.complaints == []
    assert len(seen.requests) > 1
    assert all(url.startswith(("file:", "data:")) for url in seen.requests)
    assert set(seen.marks) == set(PLOTS)
    assert all(set(marks) == {"before", AFTER} for marks in seen.marks.values()), seen.marks
    for revision in ("before", AFTER):
        # A mark for each mean without the two baselines, one to be white under it, and one for each cell.
        assert seen.marks["Dice by patch size"][revision] == 2 * 2 + 2
        assert seen.marks["Dice by foreground ratio"][revision] == rows(
            compared, revision, "plots/spheres/scores_by_foreground_ratio.csv"
        )
        assert seen.marks["Learning curves"][revision] == rows(
            compared, revision, "metrics/spheres/history.csv"
        )
    assert seen.width == 1440  # nothing sticks out


@pytest.mark.slow
def test_images_are_side_by_side_under_their_revision(compared: Workspace, difference: Seen) -> None:
    tracked = compared.run("git", "ls-files", "plots/*.png", "plots/**/*.png").stdout.split()
    of_main_task = {path for path in tracked if not path.startswith("plots/spheres_wide/")}
    assert set(difference.images) >= of_main_task - {"plots/spheres/learning_curves.png"}
    for images in difference.images.values():
        assert [revision for revision, _ in images] == ["before", AFTER]
        assert all(width > 0 for _, width in images)


@pytest.mark.slow
def test_one_revision_is_drawn(browser: Browser, compared: Workspace) -> None:
    seen = look(browser, compared, "show")
    assert seen.complaints == []
    assert set(seen.marks) == {"Dice by patch size", "Learning curves"}  # the third has no table here
    assert seen.marks["Learning curves"] == {
        "workspace": rows(compared, "HEAD", "metrics/spheres/history.csv")
    }


@pytest.mark.slow
def test_of_a_commit_without_some_files_and_columns_the_rest_is_drawn(
    browser: Browser, compared: Workspace
) -> None:
    seen = look(browser, compared, "diff", "before", AFTER, "poorer")
    assert seen.complaints == []
    marks = seen.marks
    assert marks["Dice by patch size"]["poorer"] == marks["Dice by patch size"]["before"]
    assert marks["Learning curves"]["poorer"] == marks["Learning curves"]["before"]
    assert set(marks["Dice by foreground ratio"]) == {"before", AFTER}
    assert "Not in poorer." in seen.text
    widths = dict(seen.images["plots/spheres/learning_curves.png"])
    assert widths["poorer"] == 0
    assert widths["before"] > 0


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that builds the page."""
    spec = importlib.util.spec_from_file_location("build", ROOT / ".dvc" / "plots" / "page" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_in_git_is_built_from_its_sources_and_the_known_libraries(build: ModuleType) -> None:
    page = build.PAGE.read_text()
    assert len(page) < 1_000_000
    scripts = {
        library: page.partition(f"<script>/* {library} */\n")[2].partition("\n</script>")[0]
        for library in build.LIBRARIES
    }
    assert {library: build.digest(script) for library, script in scripts.items()} == build.LIBRARIES
    assert page == build.compose(scripts), "run `python .dvc/plots/page/build.py`"


@pytest.mark.parametrize("text", ["a {scripts} b", "{plot_divs}", "x = '</SCRIPT>'", "<!-- "])
def test_a_library_that_would_break_the_page_is_refused(build: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match=r"^vega@1: .* cannot stand in the page$"):
        build.compose({"vega@1": text})


def test_plots_and_figures_have_the_same_colours_and_names() -> None:
    script = (ROOT / ".dvc" / "plots" / "page" / "page.js").read_text()
    (category,) = re.findall(r"category: (\[.*?\])", script)
    assert tuple(json.loads(category)) == COLOURS
    (shapes,) = re.findall(r"symbol: (\[.*?\])", script)
    assert len(json.loads(shapes)) == len(MARKERS)
    names = {key: name for key, name in NAMES.items() if key not in ("everything", "threshold")}
    for template in TEMPLATES:
        content: dict[str, Any] = json.loads(template.read_text())
        (expression,) = (step["calculate"] for step in content["transform"] if step.get("as") == "network")
        assert dict(re.findall(r"(\w+): '([^']+)'", expression)) == names
        assert set(re.findall(r"#\w{6}", template.read_text())) <= {GREY}
