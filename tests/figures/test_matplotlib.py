"""Figures do not depend on the user's matplotlib: neither on the backend nor on matplotlibrc (E1, E4)."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.figures.style import COLOURS, DASHES, MARKERS, line_style, seed_style

MATPLOTLIBRC = """
lines.linewidth: 9
text.color: white
axes.facecolor: black
font.size: 30
font.family: monospace
savefig.dpi: 10
savefig.facecolor: red
figure.autolayout: True
axes.prop_cycle: cycler(color=["k"])
"""
DRAW = """
import sys
from pathlib import Path
import pandas as pd
import context_fbr.analyze
from context_fbr.figures.dice_by_patch_size import dice_by_patch_size
from context_fbr.figures.learning_curves import learning_curves
root = Path(sys.argv[1])
means, seeds = (pd.read_csv(root / f"plots/spheres/{name}.csv") for name in ("dice_by_patch_size", "dice_by_cell"))
sys.stdout.buffer.write(dice_by_patch_size(means, seeds))
sys.stdout.buffer.write(learning_curves(pd.read_csv(root / "metrics/spheres/history.csv")))
"""


def drawn(**environment: str) -> str:
    values = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    command = [sys.executable, "-W", "error", "-c", DRAW, str(ROOT)]
    done = subprocess.run(command, env=values, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\x89PNG") == 2
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.slow
def test_figures_are_the_same_bytes_under_any_settings_of_the_user(tmp_path: Path) -> None:
    if not (ROOT / "metrics/spheres/history.csv").is_file():
        pytest.skip("this study has no results yet")
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    plain = drawn()
    assert drawn(MATPLOTLIBRC=str(tmp_path)) == plain
    assert drawn(MPLBACKEND="module://matplotlib_inline.backend_inline") == plain


IMPORTS = "import context_fbr.{0}, matplotlib, context_fbr.figures.style"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://no_such_package.backend", "nonsense"])
def test_a_backend_that_is_not_installed_stops_no_command(params: Path, backend: str) -> None:
    """MONAI imports matplotlib, too."""
    for script, *arguments in (
        ("from context_fbr_tools.cli import main; main()", "check"),
        (IMPORTS.format("analyze"),),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=params.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_network_looks_the_same_in_every_study() -> None:
    """U10."""
    for number, model in enumerate(("unet", "attention_unet", "unetr")):
        assert line_style(model) == {
            "color": COLOURS[number],
            "marker": MARKERS[number],
            "linestyle": DASHES[number],
        }
    names = ("segresnet", "swin_unetr", "dynunet", "vnet", "unetplus")
    others = [line_style(name) for name in names]
    assert others == [line_style(name) for name in names]
    assert not {other["color"] for other in others} & set(COLOURS[:3])
    assert len({tuple(map(str, other.values())) for other in others}) == len(others)


def test_a_variant_of_a_published_network_has_its_colour_and_a_hollow_marker() -> None:
    for model, network in (("unet_instance", "unet"), ("attention_unet_batch", "attention_unet")):
        style = line_style(model)
        assert style["color"] == line_style(network)["color"]
        assert style["markerfacecolor"] == "white"
        assert style != line_style(network)


def test_seeds_have_no_colour_of_a_network() -> None:
    seeds = [seed_style(number) for number in range(6)]
    assert not {seed["color"] for seed in seeds} & set(COLOURS)
    assert len({(seed["color"], seed["linestyle"]) for seed in seeds[:3]}) == 3
