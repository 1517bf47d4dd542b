"""The results as tables for the terminal or for the README, from the files that git keeps."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from context_fbr import bounded
from context_fbr.errors import UserError
from context_fbr.evidence import is_baseline
from context_fbr.names import name_of
from context_fbr.summary import ALL_SIZES
from context_fbr.text_tables import Row, interval_text, table


def render(folder: Path, markdown: bool) -> str:
    """Mean Dice by network and patch size with intervals, and the findings, of the tables in `folder`.

    Raises:
        UserError: if the tables are missing or damaged.
    """
    summary = _read(folder / "summary.json")
    findings = _read(folder / "findings.json")
    try:
        blocks = []
        level = findings["confidence"]
        for task, models in summary.items():
            blocks.append(
                f"**{task}**" if markdown else f"{task}: mean test Dice, with its {level:.0%} interval"
            )
            blocks.append(table(_results(models), markdown))
            own = [finding for finding in findings["findings"] if finding["task"] == task]
            blocks.append(table(_findings(own), markdown))
        paper = folder / "paper_means.csv"
        if paper.is_file():
            if not markdown:
                blocks.append("cells of the paper profile beside the published runs: mean test Dice")
            blocks.append(table(_paper(paper), markdown))
        return "\n\n".join(blocks)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{folder}: its tables are of another version ({error!r}); run `dvc repro`"
        ) from error


def _read(path: Path) -> Any:
    try:
        return bounded.read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro`, or name the folder that holds it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: is damaged ({reason}); run `dvc repro`") from error


def _results(models: dict[str, Any]) -> list[Row]:
    sizes = sorted({int(size) for leaves in models.values() for size in leaves if size != ALL_SIZES})
    rows: list[Row] = [("network", *(f"patch {size}" for size in sizes))]
    for model, leaves in models.items():
        if is_baseline(model):
            rows.append((name_of(model), *[_dice(leaves[ALL_SIZES])] * len(sizes)))
        else:
            rows.append((name_of(model), *(_dice(leaves[str(s)]) if str(s) in leaves else "" for s in sizes)))
    return rows


def _dice(leaf: dict[str, Any]) -> str:
    text = interval_text(leaf["dice_mean"], leaf["dice_mean_low"], leaf["dice_mean_high"])
    failed = leaf["not_converged"]
    return f"{text}; {failed} of {leaf['seeds']} not converged" if failed else text


def _findings(found: Sequence[dict[str, Any]]) -> list[Row]:
    rows: list[Row] = [("statement", "estimate", "not converged", "verdict")]
    for finding in found:
        number = interval_text(finding["estimate"], finding["low"], finding["high"], "+")
        verdict = finding["verdict"] + (f": {finding['reason']}" if finding["reason"] else "")
        if finding["unit"] != "Dice":
            number += f" {finding['unit']}"
        failed = finding["not_converged"]
        counted = "not known" if failed is None else f"{failed} of {finding['cells']}" if failed else ""
        rows.append((finding["statement"], number, counted, verdict))
    return rows


def _paper(path: Path) -> list[Row]:
    rows: list[Row] = [
        ("task", "network", "patch", "seeds", "run here", "published, three runs", "outside of these runs by")
    ]
    for line in csv.DictReader(io.StringIO(_text(path), newline="")):
        number = {key: float(value) for key, value in line.items() if _is_number(value)}
        names = [name_of(line["model"]), "any", "", _of(number, "dice_mean"), "", ""]
        if not is_baseline(line["model"]):
            names[1:3] = [line["patch_size"], line["seeds"]]
            names[4:] = [_of(number, "published"), f"{number['outside_published_range']:.3f}"]
        rows.append((line["task"], *names))
    return rows


def _text(path: Path) -> str:
    try:
        return bounded.read_text(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; run `dvc repro`") from error


def _of(number: dict[str, float], name: str) -> str:
    mean = number[name if name in number else f"{name}_mean"]
    return interval_text(mean, number.get(f"{name}_low"), number.get(f"{name}_high"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
