"""First screen of README.md: the answer of the study, every number from a file of metrics/."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.result_files import read_frame
from context_fbr.core.patch_size import parse
from context_fbr.metrics.columns import VOLUME
from context_fbr_tools.study.text_tables import Row, interval_text, table

METRICS, TASK = Path("metrics"), "spheres"
PAIRS = (("unet", "unet_instance"), ("attention_unet_batch", "attention_unet"), ("unetr_batch", "unetr"))
"""(batch norm, instance norm) of each network."""
AS_PUBLISHED = ("unet", "attention_unet", "unetr")


def answer() -> str:
    """Return the table of norms, and a line for each question."""
    cells = read_frame(METRICS / TASK / "cells.csv", text=("patch_size",)).query("task == @TASK")
    return "\n\n".join([_norms(cells), "\n".join(f"* {line}" for line in _lines(cells))])


def _norms(cells: pd.DataFrame) -> str:
    """Return mean test Dice by network, norm and patch size, with the range of the seeds' means."""
    sizes = _sizes(cells)
    rows: list[Row] = [("network", "norm", *(f"patch {size}" for size in sizes))]
    for pair in PAIRS:
        name = name_of(next(model for model in pair if model in AS_PUBLISHED))
        for norm, model in zip(("batch", "instance"), pair, strict=True):
            dice = cells[cells["model"] == model].groupby("patch_size")["dice"].agg(["mean", "min", "max"])
            text = [
                f"{row['mean']:.2f} ({row['min']:.2f} to {row['max']:.2f})"
                for _, row in dice.loc[sizes].iterrows()
            ]
            rows.append((name, f"{norm}, as published" if model in AS_PUBLISHED else norm, *text))
    return table(rows, markdown=True)


def _sizes(cells: pd.DataFrame) -> list[str]:
    """Return the patch sizes by their number of voxels."""
    return sorted(cells["patch_size"].unique(), key=parse)


def _lines(cells: pd.DataFrame) -> Iterator[str]:
    found = {f["id"]: f for f in _findings(METRICS / TASK) if f["task"] == TASK}
    published = pd.read_csv(METRICS / "published/networks.csv").query("task == @TASK").set_index("model")
    detection = pd.read_csv(METRICS / "published/detection.csv").query("task == @TASK")

    norm, outside = found["norm_at_smallest_patch"], found["loss_outside_by_norm"]
    smallest = _sizes(cells)[0]
    yield (
        f"**Normalisation.** At patch {smallest}, batch norm instead of instance norm changes Dice by "
        f"{_text(norm)} (mean of three networks; {_by_network(norm)}). Outside of the training range, "
        f"instance norm loses {_text(outside)} more ({_by_network(outside)})."
    )
    slope, by_norm = found["small_slope"], found["slope_by_norm"]
    yield (
        f"**Patch size.** UNet as published: {_text(slope)} Dice per doubling of the patch. What a larger "
        f"patch gains with instance norm, beyond batch norm: {_text(by_norm)} per doubling "
        f"({by_norm['verdict']})."
    )
    windows = read_frame(METRICS / TASK / "windows.csv", text=("patch_size", "window"))
    windows = windows.query("task == @TASK and patch_size == @smallest and model == 'attention_unet'")
    own = windows.set_index("window")["dice_mean"]
    if len(own) > 1:
        edges = sorted(own.index, key=lambda edge: (edge == VOLUME, parse(edge) if edge != VOLUME else 0))
        yield (
            f"**Window of inference.** The same weights of Attention-UNet, trained at patch {smallest}: Dice "
            f"{own[edges[0]]:.2f} with windows of {edges[0]} voxels, {own[edges[-1]]:.2f} with {edges[-1]}."
        )
    yield _at_published_scale()
    small = detection[(detection["radii"] == "5-9") & (detection["model"] != "unet")]
    labelled = small["false_positive_share_mean"]
    slopes = ", ".join(
        f"{name_of(model)} {interval_text(row.slope, row.slope_low, row.slope_high, '+')}"
        for model, row in published.loc[list(AS_PUBLISHED)].iterrows()
    )
    yield (
        f"**The published results**, with the same code: Dice per doubling of the patch: {slopes}. On "
        f"spheres of radius 5 to 9, Attention-UNet and UNETR find at least "
        f"{small['recall_mean'].min():.1%} of the object, and label "
        f"{labelled.min():.0%} to {labelled.max():.0%} of the background. UNet has batch "
        "norm there, the others instance norm."
    )


def _at_published_scale() -> str:
    """Return the effect of an exchanged norm in the paper profile, cell by cell."""
    means = pd.read_csv(METRICS / "paper_means.csv").query("task == @TASK")
    means = means.assign(patch_size=pd.to_numeric(means["patch_size"], errors="coerce"))  # baselines: all
    smallest = int(means["patch_size"].min())
    own = means[means["patch_size"] == smallest].set_index("model")
    texts = []
    for pair in PAIRS:
        norms = []
        for norm, model in zip(("batch", "instance"), pair, strict=True):
            if model in own.index:
                row = own.loc[model]
                norms.append(f"{norm} {row['dice_mean']:.3f} ({_seeds(int(row['seeds']))})")
            else:
                norms.append(f"{norm} not run here")
        name = name_of(next(model for model in pair if model in AS_PUBLISHED))
        texts.append(f"{name}: {', '.join(norms)}")
    where = f"paper profile, patch {smallest}"
    return f"**At the published scale** ({where}), mean Dice by norm: {'; '.join(texts)}."


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"


def _by_network(finding: dict[str, Any]) -> str:
    """Return the verdict, and that of each network where they differ."""
    verdicts = {part["name"]: part["verdict"] for part in finding["parts"]}
    if len(set(verdicts.values())) == 1:
        return f"{finding['verdict']}, and for each of them"
    return f"{finding['verdict']}: {', '.join(f'{verdict} for {name}' for name, verdict in verdicts.items())}"


def _findings(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "findings.json").read_text())["findings"]
    return found


def _text(finding: dict[str, Any]) -> str:
    estimate, low, high = (finding[name] for name in ("estimate", "low", "high"))
    return interval_text(estimate, low, high, "+")
