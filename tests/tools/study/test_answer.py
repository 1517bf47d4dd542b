"""First screen of the README: each number is one of metrics/, read here by other means."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from workspace import ROOT

from context_fbr.config import profiles
from context_fbr_tools.study.blocks import answer

ROWS = {
    ("UNet", "batch, as published"): "unet",
    ("UNet", "instance"): "unet_instance",
    ("Attention-UNet", "batch"): "attention_unet_batch",
    ("Attention-UNet", "instance, as published"): "attention_unet",
    ("UNETR", "batch"): "unetr_batch",
    ("UNETR", "instance, as published"): "unetr",
}


@pytest.fixture(autouse=True)
def _desk_study(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(ROOT)
    params = tmp_path_factory.mktemp("desk") / "params.yaml"
    params.write_bytes((ROOT / "params.yaml").read_bytes())
    if profiles.apply("desk", params):
        pytest.skip("the results are of another study")


def test_each_mean_of_the_table_is_that_of_the_test_cases() -> None:
    cases = pd.read_csv("metrics/spheres/cases.csv").query("task == 'spheres'")
    seeds = cases.groupby(["model", "patch_size", "seed"])["dsc"].mean()
    table = [line.strip("| ").split(" | ") for line in answer.answer().splitlines() if line.startswith("| ")]
    sizes = [int(name.removeprefix("patch ")) for name in table[0][2:]]
    assert {tuple(row[:2]) for row in table[1:]} == set(ROWS)
    for network, norm, *texts in table[1:]:
        for size, text in zip(sizes, texts, strict=True):
            own = seeds[ROWS[network, norm], size]
            expected = (own.mean(), own.min(), own.max())
            assert [float(number) for number in re.findall(r"\d\.\d\d", text)] == pytest.approx(
                expected, abs=0.0051
            )


def test_the_findings_are_named_with_magnitude_and_verdict() -> None:
    text = answer.answer()
    found = {f["id"]: f for f in json.loads((ROOT / "metrics/spheres/findings.json").read_text())["findings"]}
    for name in ("norm_at_smallest_patch", "loss_outside_by_norm", "small_slope", "slope_by_norm"):
        finding = found[name]
        numbers = (finding["estimate"], finding["low"], finding["high"])
        assert "{:+.3f} [{:+.3f}, {:+.3f}]".format(*numbers) in text
    primary = found["norm_at_smallest_patch"]
    assert f"three networks; {primary['verdict']}" in text
    for part in primary["parts"]:
        assert (
            f"{part['verdict']} for {part['name']}" in text
            or len({p["verdict"] for p in primary["parts"]}) == 1
        )


def test_the_window_and_the_published_scale_are_read_from_their_tables() -> None:
    text = answer.answer()
    windows = pd.read_csv("metrics/spheres/windows.csv").query(
        "model == 'attention_unet' and patch_size == 16"
    )
    for row in windows.query("task == 'spheres' and window in ('16', '48', 16, 48)").itertuples():
        assert f"{row.dice_mean:.2f} with" in text
    means = pd.read_csv("metrics/paper_means.csv").query("patch_size == '32'").set_index("model")
    line = next(line for line in text.splitlines() if "published scale" in line)
    for model, norm in (("unet", "batch"), ("unet_instance", "instance")):
        assert f"{norm} {means['dice_mean'][model]:.3f}" in line.partition("; ")[0]
    assert "UNETR: batch" in line
    assert ("unetr" in means.index) == ("not run here" not in line)


def test_the_headline_of_the_readme_is_true_of_the_committed_results() -> None:
    """Its words are written by hand: verdicts by network, and the least mean Dice with batch norm."""
    trees = [
        json.loads(Path(f"metrics/{name}").read_text())
        for name in ("spheres/findings.json", "compare/context.json")
    ]
    parts = {
        (finding["task"], finding["id"], part["name"]): (part["verdict"], part["reason"])
        for tree in trees
        for finding in tree["findings"]
        for part in finding["parts"]
    }
    norm = {
        name: verdict
        for (task, identity, name), (verdict, _) in parts.items()
        if (task, identity) == ("spheres", "norm_at_smallest_patch")
    }
    assert norm == {"UNet": "supported", "Attention-UNet": "supported", "UNETR": "not decided"}
    too_few = ("not decided", "supported only if cells count that have not converged")
    assert parts["twins", "context_at_equal_core", "UNet"] == too_few
    assert parts["twins", "context_at_equal_core", "Attention-UNet, batch norm"] == ("not decided", "")
    tree = json.loads(Path("metrics/spheres/summary.json").read_text())["spheres"]
    least = min(leaf["dice_mean"] for batch, _ in answer.PAIRS for leaf in tree[batch].values())
    assert f"mean Dice is {least:.2f} or more at every patch size" in Path("README.md").read_text()
