"""The committed aggregates of the published results: recomputed from each other, and from a local copy."""

import json

import numpy as np
import pandas as pd
import pytest
from published_tables import PUBLISHED, needs_published
from scipy import stats
from workspace import ROOT

from context_fbr.core.errors import UserError
from context_fbr_tools.cli import command_line

KEPT = ROOT / "metrics" / "published"
SIZES = (32, 48, 64, 80, 96)


def runs(model: str, size: int) -> list[pd.DataFrame]:
    folder = PUBLISHED / f"synthetic-{model}"
    return [pd.read_csv(folder / f"synthetic-{model}-{size}-{run}.csv") for run in (1, 2, 3)]


def network(name: str) -> pd.Series:
    table = pd.read_csv(KEPT / "networks.csv").set_index(["task", "model"])
    return table.loc[("spheres", name)]


def test_slopes_are_those_of_the_committed_means_and_the_magnitudes_those_of_the_findings() -> None:
    summary = json.loads((KEPT / "summary.json").read_text())["spheres"]
    slopes = {}
    for model, leaves in summary.items():
        means = [leaves[str(size)]["dice_mean"] for size in SIZES]
        slopes[model] = np.polyfit(np.log2(SIZES), means, 1)[0]
        assert network(model)["slope"] == pytest.approx(slopes[model], abs=2e-6)
    found = json.loads((KEPT / "findings.json").read_text())["findings"]
    spheres = {finding["id"]: finding for finding in found if finding["task"] == "spheres"}
    difference = (slopes["attention_unet"] + slopes["unetr"]) / 2 - slopes["unet"]
    assert spheres["slope_by_norm"]["estimate"] == pytest.approx(difference, abs=2e-6)
    kept = json.loads((KEPT / "magnitudes.json").read_text())
    assert {(f["task"], f["id"]) for f in found} == {(task, name) for task in kept for name in kept[task]}
    for finding in found:
        of_kept = kept[finding["task"]][finding["id"]]
        assert [of_kept[k] for k in ("estimate", "low", "high")] == [
            finding[k] for k in ("estimate", "low", "high")
        ]


def test_the_kept_files_hold_no_score_of_a_case() -> None:
    """Aggregates alone: the published tables belong to others."""
    for path in KEPT.iterdir():
        text = path.read_text()
        assert "filename" not in text
        assert '"img' not in text
        assert len(text) < 50_000


@needs_published
def test_slope_loss_and_background_recompute_from_the_published_tables() -> None:
    slopes = []
    for run in range(3):
        means = [runs("unet", size)[run]["dsc"].mean() for size in SIZES]
        slopes.append(np.polyfit(np.log2(SIZES), means, 1)[0])
    row = network("unet")
    assert row["slope"] == pytest.approx(np.mean(slopes), abs=2e-6)
    # The patch sizes' variances are pooled by Welch and Satterthwaite, ten degrees of freedom at most.
    errors = [np.var([frame["dsc"].mean() for frame in runs("unet", size)], ddof=1) / 3 for size in SIZES]
    x = np.log2(SIZES) - np.mean(np.log2(SIZES))
    variances = (x / (x**2).sum()) ** 2 * np.array(errors)
    freedom = variances.sum() ** 2 / (variances**2 / 2).sum()
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    assert row["slope_high"] - row["slope"] == pytest.approx(reach, abs=2e-6)

    detection = pd.read_csv(KEPT / "detection.csv")
    rows = pd.concat(runs("atunet", 48))
    radius = np.cbrt(3 * rows["fg_ratio"] * 96**3 / (4 * np.pi)).round()
    rows = rows[radius <= 9]
    both = rows["abs_diff"] / (1 - rows["dsc"])  # (|P| + |L|) / |L|
    found = rows["dsc"] * both / 2
    share = ((both - 1 - found) * rows["fg_ratio"] / (1 - rows["fg_ratio"])).mean()
    kept = detection.query("model == 'attention_unet' and patch_size == 48 and radii == '5-9'").iloc[0]
    assert (kept["scores"], kept["recall_mean"]) == (len(rows), pytest.approx(found.mean(), abs=2e-6))
    assert kept["false_positive_share_mean"] == pytest.approx(share, abs=2e-6)


def test_without_a_local_copy_the_command_names_the_source_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    before = {path: path.read_bytes() for path in KEPT.iterdir()}
    for arguments in ([], ["absent"]):
        options = command_line().finished().parse_args(["published", *arguments])
        with pytest.raises(UserError, match=r"is not a folder; .*NOTICE\.md"):
            options.run(options)
    assert {path: path.read_bytes() for path in KEPT.iterdir()} == before
