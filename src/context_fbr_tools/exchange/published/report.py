"""Write what the published results say, with the tables and findings of this study."""

from dataclasses import replace
from pathlib import Path

from context_fbr import analyze
from context_fbr.analysis import foreground_ranges
from context_fbr.analysis.findings.assembly import findings
from context_fbr.analysis.findings.finding import Finding, Findings
from context_fbr.analysis.findings.magnitudes import magnitudes
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.result_files import write_csv, write_json
from context_fbr.config.analysis import Analysis
from context_fbr.figures.norms import BATCH, INSTANCE
from context_fbr_tools.exchange.published import tables

PAIRS = (("unet", "attention_unet"), ("unet", "unetr"))
"""UNet has batch norm, the others instance norm before their output; nothing was exchanged."""
NORMS = {"unet": BATCH, "attention_unet": INSTANCE, "unetr": INSTANCE}
CONFOUNDED = " (published networks: norm and architecture differ together)"
OTHERS = "Attention-UNet and UNETR"
STATEMENTS = {
    "norm_at_smallest_patch": f"At the smallest patch UNet has a higher Dice than {OTHERS}",
    "loss_outside_by_norm": f"Outside of the training range Dice of {OTHERS} falls further than that of UNet",
    "slope_by_norm": f"Larger patches raise Dice of {OTHERS} more than that of UNet",
}
"""Ids of findings that this study asks of exchanged norms."""


def published_findings(evidence: Evidence, settings: Analysis) -> Findings:
    """Ask the published results what this study is asked, with different networks for exchanged norms."""
    changed = {"exchanged_norms": PAIRS, "modern_recipe": ()}
    found = findings(evidence, settings.model_copy(update=changed))
    return replace(found, findings=tuple(_marked(finding) for finding in found.findings))


def _marked(finding: Finding) -> Finding:
    if finding.id not in STATEMENTS:
        return finding
    return replace(finding, statement=STATEMENTS[finding.id], statistic=finding.statistic + CONFOUNDED)


def write(evidence: Evidence, settings: Analysis, folder: Path, *, figures: bool) -> None:
    """Write the aggregates into `folder`; if asked to, all other tables, and figures in a folder a task."""
    found = published_findings(evidence, settings)
    write_csv(folder / "ranges.csv", foreground_ranges.published_ranges(evidence))
    write_csv(folder / "networks.csv", tables.networks(evidence, settings))
    write_csv(folder / "detection.csv", tables.detection(evidence))
    write_csv(folder / "decomposition.csv", tables.decomposition(evidence))
    write_json(folder / "magnitudes.json", magnitudes(found))
    means = analyze.write_tables(evidence, found, settings.confidence, folder)
    if not figures:
        return
    write_csv(folder / "cell_ranges.csv", foreground_ranges.cell_ranges(evidence))
    for task in evidence.scores["task"].unique():
        own = replace(found, findings=tuple(f for f in found.findings if f.task == task))
        analyze.draw(evidence.of_task(task), means[means["task"] == task], folder / task, NORMS, own)
