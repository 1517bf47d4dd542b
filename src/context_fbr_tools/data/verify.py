"""`context-fbr verify TASK|DIR`: the report of a data set as a table, and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import Report, as_json, verify
from context_fbr.datasets.volume_facts import Facts
from context_fbr.runtime import fetching
from context_fbr_tools.study.text_tables import table, visible

STANDARD_OUTPUT = Path("-")


def folder_of(name: str) -> Path:
    """The folder that a name on the command line means: itself if it is one, else that of a task.

    Raises:
        UserError: if it is neither, or the task has no raw data yet.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not PARAMS_FILE.exists():
        raise UserError(f"{folder}: is no folder")
    document = Document.read()
    tasks = document.root.get("tasks") or {}
    if name not in tasks:
        raise UserError(
            f"{name}: is neither a folder nor a task of {PARAMS_FILE}; {suggestion(name, map(str, tasks))}"
        )
    folder = Path("data/raw") / name
    if not folder.is_dir():
        raise UserError(f"{folder}: not found; {fetching.remedy(f'raw@{name}')}")
    return folder


def run(name: str, json_file: Path | None) -> int:
    """Verify, print, write; the exit status: 1 if there are errors.

    Raises:
        UserError: if the folder is not there, or the JSON file cannot be written.
    """
    report = verify(folder_of(name))
    if json_file != STANDARD_OUTPUT:
        print(render(report))
    if json_file:
        # NaN, the range of a volume without a finite voxel, is no JSON
        facts = json.loads(json.dumps(as_json(report)), parse_constant=lambda _: None)
        text = json.dumps(facts, indent=1, allow_nan=False)
        if json_file == STANDARD_OUTPUT:
            print(text)
        else:
            atomic.write_text(json_file, text + "\n")
    return 1 if report.count(Severity.ERROR) else 0


def render(report: Report) -> str:
    """A table of the problems, if there are any, and a summary."""
    rows = [("", "case", "file", "problem", "what to do")]
    rows += [
        (problem.severity.value, problem.case or "-", problem.file, problem.text, problem.remedy)
        for problem in report.problems
    ]
    lines = [table(rows, markdown=False), ""] if report.problems else []
    return "\n".join([*lines, *_summary(report)])


def _summary(report: Report) -> list[str]:
    parts = Counter((case.image is not None, case.label is not None) for case in report.cases)
    names = {
        (True, True): "with image and label",
        (True, False): "with image only",
        (False, True): "with label only",
        (False, False): "unreadable",
    }
    shown = [f"{parts[key]} {name}" for key, name in names.items() if parts[key]]
    folder = visible(str(report.folder))
    lines = [f"{folder}: {report.files} files, {len(report.cases)} cases: {', '.join(shown) or 'none'}"]
    volumes = [volume for case in report.cases if (volume := case.image or case.label)]
    if volumes:
        lines += [f"sizes {_sizes(volumes)} voxels, spacings {_spacings(volumes)} mm"]
    counts = [(severity, report.count(severity)) for severity in Severity]
    found = ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts if count)
    return [*lines, found or "no problems"]


def _sizes(volumes: Sequence[Facts]) -> str:
    return _ranges([volume.shape for volume in volumes], "d")


def _spacings(volumes: Sequence[Facts]) -> str:
    return _ranges([volume.spacing_mm for volume in volumes], ".3g")


def _ranges(values: Sequence[Sequence[float]], form: str) -> str:
    """`512 x 512 x 31..168`: the range of each axis."""
    texts = []
    for axis in zip(*values, strict=True):
        low, high = f"{min(axis):{form}}", f"{max(axis):{form}}"
        texts.append(low if low == high else f"{low}..{high}")
    return " x ".join(texts)
