"""`context-fbr check`: a network that would take minutes to build is refused in seconds."""

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
