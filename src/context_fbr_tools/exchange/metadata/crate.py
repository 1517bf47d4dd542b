"""ro-crate-metadata.json: the results as a research object, by RO-Crate 1.1."""

import hashlib
import json
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from context_fbr_tools.study.findings_text import read_json

FILE = Path("ro-crate-metadata.json")
FOLDERS = (Path("metrics"), Path("plots"))
OF_CELLS = ("provenance", "baselines", "train", "test", "foreground_ratios")
"""Folders of metrics with a file for each cell: git has no scores there, and provenance is summed up."""
KINDS = {".csv": "text/csv", ".json": "application/json", ".png": "image/png", ".yaml": "application/yaml"}
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
LICENCE = "https://spdx.org/licenses/MIT"


def text() -> str:
    """Return the content of the file; raises UserError if a record of provenance is damaged."""
    files = [*_study(), *_results()]
    graph = [
        {
            "@id": FILE.name,
            "@type": "CreativeWork",
            "conformsTo": {"@id": SPECIFICATION},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": "Context against foreground ratio in 3D medical image segmentation: results",
            "description": "Scores, findings and figures; dvc.lock has the hash of everything.",
            "datePublished": _date(),
            "license": {"@id": LICENCE},
            "author": {"@id": "#authors"},
            "mentions": [{"@id": "#run"}],
            "hasPart": [{"@id": own["@id"]} for own in files],
        },
        {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT License"},
        {"@id": "#authors", "@type": "Organization", "name": "the context-fbr authors"},
        {
            "@id": "#software",
            "@type": "SoftwareApplication",
            "name": "context-fbr",
            "softwareVersion": "0.1.0",
        },
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": "make repro",
            "description": "Runs the pipeline of dvc.yaml with params.yaml.",
            "endTime": _date(),
            "instrument": {"@id": "#software"},
            "object": [{"@id": own["@id"]} for own in _study()],
            "result": [{"@id": own["@id"]} for own in _results()],
        },
        *files,
    ]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1) + "\n"


def _study() -> Iterator[dict[str, Any]]:
    """Yield the files that define the study."""
    for name, kind in (
        ("params.yaml", "parameters"),
        ("dvc.yaml", "pipeline"),
        ("dvc.lock", "hashes of all results"),
    ):
        if Path(name).is_file():
            yield {"@id": name, "@type": "File", "name": kind, "encodingFormat": KINDS[".yaml"]}


def _results() -> Iterator[dict[str, Any]]:
    """Yield the tables and figures that git has, with size and SHA-256."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*")):
            of_cells = len(path.parts) > 1 and path.parts[1] in OF_CELLS
            if not path.is_file() or of_cells or path.name == "README.md":
                continue
            content = path.read_bytes()
            kind = KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            yield {
                "@id": path.as_posix(),
                "@type": "File",
                "name": path.stem.replace("_", " "),
                "encodingFormat": kind,
                "contentSize": str(len(content)),
                "sha256": hashlib.sha256(content).hexdigest(),
            }


def _date() -> str:
    """Return the day of the last stage of a cell, by its record of provenance."""
    days = [
        read_json(path)["started"][:10] for path in sorted(Path("metrics/provenance").glob("[et]*/*.json"))
    ]
    return max(days, default="1970-01-01")
