"""The report as one HTML file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from context_fbr.analysis.display_names import name_of
from context_fbr.config.document import Document
from context_fbr.config.grid import StudyCells
from context_fbr.core.errors import UserError
from context_fbr.overlay import credit
from context_fbr_tools.exchange.report import figures
from context_fbr_tools.exchange.report.assets import Assets, read_assets
from context_fbr_tools.exchange.report.content import Content, Section, read_content
from context_fbr_tools.exchange.report.tables import Copy
from context_fbr_tools.exchange.report.volumes import read_volumes

MAX_BYTES = 8_000_000
"""Size of the file that a mail server takes."""
TITLE = "Context or foreground? Report of the study"


@dataclass(frozen=True)
class Embedded:
    """Volumes of the page, and the texts that belong to them."""

    volumes: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    credits: tuple[str, ...] = ()


def read_page(root: Path, revision: str, lock: Mapping[str, Any]) -> str:
    """Return the page of a project, with as many volumes as its size allows.

    Args:
        root: folder of the project, which is the current one: volumes are read from its data.
        revision: commit of the results.
        lock: entries of dvc.lock by stage.

    Raises:
        UserError: if there are no results, or a file of them is missing, damaged or of another version.
    """
    document = Document.read(root / "params.yaml")
    content, assets = read_content(root, StudyCells.read(document).tasks, lock), read_assets(root)
    if not content.sections:
        raise UserError(f"{root / 'metrics'}: no results; run `make repro`")
    room = MAX_BYTES - len(compose(content, assets, revision, Embedded({})))
    packed: dict[str, str] = {}
    left_out: list[str] = []
    sources: list[str] = []
    for section in content.sections:
        if section.overlays:
            own = read_volumes(section.name, section.overlays, document, room - _length(packed))
            packed |= own.packed
            left_out += own.left_out
            sources += [text] if own.packed and (text := credit(section.name)) else []
    return compose(content, assets, revision, Embedded(packed, tuple(left_out), tuple(sources)))


def compose(content: Content, assets: Assets, revision: str, embedded: Embedded) -> str:
    """Return the page; the same arguments give the same text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    template = (resources.files(__package__) / "assets" / "page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=TITLE,
        revision=revision,
        content=content,
        assets=assets,
        left_out=(*content.left_out, *embedded.left_out),
        credits=embedded.credits,
        data=to_json(data_of(content)),
        volumes=to_json(embedded.volumes),
    )


def data_of(content: Content) -> dict[str, Any]:
    """Return what page.js draws: tables, figures, names of networks and origins."""
    copies: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    models: dict[str, None] = {}
    for section in content.sections:
        for kind, copy in (
            ("cases", section.cases),
            ("cells", section.cells),
            ("overlays", section.overlays),
        ):
            if copy is not None:
                copies[f"{section.name}/{kind}"] = _copy_tree(copy)
        if section.models:
            drawn |= _figures(section)
            models |= dict.fromkeys(section.models)
    return {
        "copies": copies,
        "figures": drawn,
        "names": {model: name_of(model) for model in models},
        "origins": {key: asdict(origin) for key, origin in content.origins.items()},
    }


def _figures(section: Section) -> dict[str, Any]:
    name = section.name
    return {
        f"{name}/size": {
            "task": name,
            "copy": f"{name}/cells",
            "spec": figures.dice_by_patch_size(section.models, section.sizes),
        },
        f"{name}/ratio": {
            "task": name,
            "copy": f"{name}/cases",
            "spec": figures.dice_by_foreground_ratio(section.models, section.sizes),
        },
    }


def _copy_tree(copy: Copy) -> dict[str, Any]:
    columns = [{"name": column.name, "title": column.title} for column in copy.columns]
    return {"file": copy.file, "columns": columns, "rows": copy.rows}


def to_json(tree: Any) -> str:
    """Return JSON that can be inside of a script element."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _length(packed: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) + 6 for name, text in packed.items())
