"""calkit.yaml: each finding as a question with hypothesis, answer and evidence, by Calkit's model.

An answer repeats no number: Calkit reads them from the files that the evidence names.
"""

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from context_fbr_tools.study.findings_text import read_json

FILE = Path("calkit.yaml")
METRICS = Path("metrics")
PUBLISHED = "published"
FIGURES = ("dice_by_patch_size.png", "scores_by_foreground_ratio.png", "dice_by_structure.png")
HEAD = "# Written by `context-fbr docs` from metrics/*/findings.json: do not edit.\n"
WIDTH = 10_000
"""Characters of a line, so that none is folded."""


def text() -> str:
    """Return the content of calkit.yaml; raises UserError if a file of findings is damaged."""
    tree = {
        "name": "context-fbr",
        "title": "Context against foreground ratio in 3D medical image segmentation",
        "description": "A data-versioned study of patch size, normalisation and foreground ratio",
        "questions": list(_questions()),
    }
    stream = StringIO()
    yaml = YAML()
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(tree, stream)
    return HEAD + stream.getvalue()


def _questions() -> Iterator[dict[str, Any]]:
    for path in sorted([*METRICS.glob("*/findings.json"), *METRICS.glob("compare/context.json")]):
        if path.parent.name == PUBLISHED:
            continue
        for number, finding in enumerate(read_json(path)["findings"]):
            yield _question(path, number, finding)


def _question(path: Path, number: int, finding: Mapping[str, Any]) -> dict[str, Any]:
    values = [name for name in ("estimate", "low", "high") if finding[name] is not None]
    shown = {"estimate": "{estimate:+.3f}", "low": " [{low:+.3f}, ", "high": "{high:+.3f}]"}
    magnitude = "".join(shown[name] for name in values)
    evidence: list[dict[str, Any]] = [
        {"kind": "value", "path": path.as_posix(), "key": f"findings.{number}.{name}", "name": name}
        for name in values
    ]
    task = finding["task"]
    table = METRICS / task / "cases.csv"
    evidence.append({"kind": "table", "path": table.as_posix(), "explanation": finding["statistic"]})
    evidence += [
        {"kind": "figure", "path": figure.as_posix()}
        for name in FIGURES
        if (figure := Path("plots") / task / name).is_file()
    ][:1]
    return {
        "name": f"{task}-{finding['id']}".replace("_", "-"),
        "question": f"Does the evidence support this on {task}? {finding['statement']}.",
        "hypothesis": f"{finding['statement']} ({finding['role']}).",
        "answer": f"{finding['verdict']}: {magnitude}" if magnitude else finding["verdict"],
        "evidence": evidence,
    }
