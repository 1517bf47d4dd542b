"""When a training is saved, and what keeps a saved state apart from another one's."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from context_fbr import resume, training_state
from context_fbr.resume import Place
from context_fbr.stopping import StopRequest

STATE = SimpleNamespace(epoch=1, steps=())


class Clock:
    """Seconds that pass only when a test or a save says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float, float, list[float]], list[bool]]:
    """What `pause` answers at these seconds after the start; each save takes `cost` seconds."""

    def run(every_s: float, cost: float, seconds: list[float]) -> list[bool]:
        clock = Clock()
        monkeypatch.setattr(training_state, "time", clock)

        def save(*_: object) -> None:
            clock.now += cost

        monkeypatch.setattr(training_state, "save", save)
        place = Place(tmp_path, "d" * 64)
        keeper = training_state.Keeper(place, "cell", every_s, StopRequest(), [])
        start, found = clock.now, []
        for second in seconds:
            clock.now = max(clock.now, start + second)
            found.append(keeper.pause(lambda: STATE))  # type: ignore[arg-type,return-value]
        return found

    return run


@pytest.mark.parametrize(
    ("every_s", "cost", "seconds", "expected"),
    [
        (60, 0.0, [0, 59, 60, 61, 119, 120], [False, False, True, False, False, True]),
        (60, 3.0, [59, 60, 150, 212, 213], [False, True, False, False, True]),  # 50 times the cost is longer
        (60, 1.0, [60, 110, 120, 121], [True, False, False, True]),  # here the minute is
        (0, 9.0, [0, 1, 2], [True, True, True]),  # 0: at every call
    ],
)
def test_a_training_is_saved_when_both_the_time_and_fifty_times_the_cost_have_passed(
    saves: Callable[..., list[bool]], every_s: float, cost: float, seconds: list[float], expected: list[bool]
) -> None:
    assert saves(every_s, cost, seconds) == expected


VOLUME = ("a", np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8), 0.0)
OTHERS = {
    "another name": ("b", *VOLUME[1:]),
    "another shape of the same bytes": ("a", VOLUME[1].reshape(3, 2, 4), *VOLUME[2:]),
    "another kind of number of the same bytes": ("a", VOLUME[1].view(np.int32), *VOLUME[2:]),
    "another kind of label of the same bytes": (*VOLUME[:2], VOLUME[2].view(np.int8), 0.0),
    "another background": (*VOLUME[:3], -1.0),
    "a background of another sign": (*VOLUME[:3], -0.0),
    "one voxel": ("a", VOLUME[1] + np.float32(1e-45), *VOLUME[2:]),
    "one voxel of the label": (*VOLUME[:2], VOLUME[2] + np.uint8(1), 0.0),
}


def test_volumes_that_differ_in_anything_have_digests_of_their_own() -> None:
    digests = {resume.volume_digest(*volume) for volume in (VOLUME, *OTHERS.values())}  # type: ignore[arg-type]
    assert len(digests) == 1 + len(OTHERS)
    fortran = ("a", np.asfortranarray(VOLUME[1]), *VOLUME[2:])
    assert resume.volume_digest(*fortran) == resume.volume_digest(*VOLUME)  # type: ignore[arg-type]
