"""`context-fbr check`: a network that would take minutes to build is refused in seconds."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr.networks import factory
from context_fbr_tools.commands.study import check


def test_a_network_that_takes_too_long_is_named_once_and_the_others_are_checked(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[str, int]] = []

    def build(document: Document, model: str, patch_size: int) -> None:
        checked.append((model, patch_size))
        while model == "attention_unet":
            try:
                sum(range(1000))
            except Exception:  # as the factory does with whatever a network raises
                continue

    monkeypatch.setattr(factory, "check", build)
    monkeypatch.setattr(check, "MAX_CPU_S", 0.2)
    before = signal.getsignal(signal.SIGVTALRM)
    study = read_study(Document.read(params))
    with pytest.raises(UserError) as error:
        check.check_networks(study)
    (problem,) = error.value.problems
    line = next(n for n, text in enumerate(params.read_text().splitlines(), 1) if "  attention_unet:" in text)
    assert problem.startswith(f"{params}:{line}: models.attention_unet: ")
    sizes = study.grid.patch_sizes
    others = [model for model in study.grid.models if model != "attention_unet"]
    assert sorted(checked) == sorted(
        [("attention_unet", sizes[0]), *((model, size) for model in others for size in sizes)]
    )
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_network_in_time_is_checked_as_ever(change: Callable[[str, str], Document]) -> None:
    document = change("models: [unet, attention_unet, unetr]", "models: [unet]")
    check.check_networks(read_study(document))


WINDOWS = """      surface_tolerance_mm: 1.0        # of the surface Dice: a surface no further away than this is right
      windows: """


@pytest.mark.parametrize(
    ("models", "windows", "validation", "places"),
    [
        ("unet", "[20, 16]", "patch", ["tasks.spheres.evaluate.windows.0"]),
        ("unet", "[patch]", "12", ["train.validation_window"]),
        ("unet, unetr", "[patch, 24, volume]", "24", []),
        ("unetr", "[volume, 24]", "patch", ["tasks.spheres.evaluate.windows"]),
        ("unetr", "[16, 32]", "patch", ["tasks.spheres.evaluate.windows"]),  # not 48
    ],
)
def test_a_window_that_a_network_cannot_take_is_named_with_its_line(
    params: Path, models: str, windows: str, validation: str, places: list[str]
) -> None:
    text = params.read_text()
    for before, after in (
        ("models: [unet, attention_unet, unetr]", f"models: [{models}]"),
        (f"{WINDOWS}[patch, 16, 32, 48]", f"{WINDOWS}{windows}"),
        ("validation_window: patch", f"validation_window: {validation}"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    params.write_text(text)
    study = read_study(Document.read(params))
    if not places:
        check.check_windows(study)
        return
    with pytest.raises(UserError) as error:
        check.check_windows(study)
    lines = [
        n
        for n, line in enumerate(text.splitlines(), 1)
        if re.search(r"^ +windows: \[(?!patch\])|validation_window: \d", line)
    ]
    assert [problem.split(": ")[:2] for problem in error.value.problems] == [
        [f"{params}:{line}", place] for line, place in zip(lines, places, strict=True)
    ]
