"""The report in a real browser, without a network."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from workspace import Workspace

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def report(finished: Workspace) -> Path:
    finished.context_fbr("report", "--out", "../report.html")
    return finished.path.parent / "report.html"


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Page]:
    """The report; at its end it has requested nothing and complained of nothing."""
    requests: list[str] = []
    complaints: list[str] = []
    with browser.new_page(viewport={"width": 1200, "height": 900}) as page:
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        yield page
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert complaints == []


def test_the_first_figure_is_drawn_with_every_training(opened: Page, finished: Workspace) -> None:
    opened.wait_for_selector(".figure svg")
    marks = opened.locator(".figure").first.locator(".mark-symbol.role-mark path")
    cells = (finished.path / "metrics/spheres/cells.csv").read_text().splitlines()[1:]
    assert marks.count() == len(cells)


def test_a_click_on_a_case_draws_its_volume(opened: Page) -> None:
    opened.locator("button.look").first.click()
    opened.wait_for_function("document.getElementById('viewer').dataset.shown", timeout=60_000)
    canvas = opened.locator("#viewer canvas")
    both = pixels(canvas.screenshot())
    assert both.std() > 10  # not blank
    for number in ("1", "2"):
        opened.locator(f"#viewer input[data-volume='{number}']").uncheck()
    grey = pixels(canvas.screenshot())
    assert colourful(both) > 5 * max(colourful(grey), 1)
    opened.keyboard.press("Escape")
    assert not canvas.is_visible()


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colourful(image: np.ndarray) -> int:
    """Number of pixels that are not grey."""
    return int((image.max(axis=2) - image.min(axis=2) > 20).sum())


def test_a_table_is_sorted_by_its_heading_and_filtered_by_a_text(opened: Page) -> None:
    table = opened.locator("[data-copy='spheres/cases']")
    heading = table.locator("th:nth-child(5) button")
    assert heading.inner_text() == "Dice"
    dice = table.locator("tbody tr td:nth-child(5)")
    orders = []
    for direction in ("ascending", "descending"):
        heading.click()
        assert table.locator(f"th[aria-sort='{direction}']").count() == 1
        orders.append([float(text) for text in dice.all_inner_texts() if text != "-"])
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[1], reverse=True)
    table.get_by_role("searchbox").fill("no such case")
    assert table.locator("tbody tr").count() == 0


def test_a_number_leads_to_its_file_and_command(opened: Page, finished: Workspace) -> None:
    button = opened.locator("button.origin[data-origin='spheres/unet/16']")
    button.focus()
    opened.keyboard.press("Enter")
    text = opened.locator("#origin").inner_text()
    summary = json.loads((finished.path / "metrics/spheres/summary.json").read_text())
    assert f"= {summary['spheres']['unet']['16']['dice_mean']}" in text
    assert "metrics/spheres/summary.json: spheres / unet / 16 / dice_mean" in text
    assert "dvc repro analyze@spheres" in text
    assert "spheres-unet-16-1" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_a_second_scroll_bar_in_both_schemes(opened: Page, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size(PHONE)
    opened.wait_for_selector(".figure svg")
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}[scheme]


def test_every_control_has_a_name(opened: Page) -> None:
    opened.wait_for_selector(".figure svg")
    nameless = opened.evaluate("""() => [...document.querySelectorAll("button, input, select, canvas")].filter(own =>
        !(own.textContent.trim() || own.ariaLabel || own.getAttribute("aria-label") || own.labels?.length)).map(own => own.outerHTML)""")
    assert nameless == []


def test_the_report_is_verified_by_its_command(finished: Workspace, report: Path) -> None:
    assert "are those of this project" in finished.context_fbr("verify-report", str(report)).stdout
