"""Writing of a bundle: everything is read and checked before the folder appears."""

import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from context_fbr.analysis.result_files import read_frame
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.evaluation import read_windows
from context_fbr.config.training import SlidingWindow
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize
from context_fbr.networks import normalisation, windows
from context_fbr.training.weights import Training, load_network, read_training
from context_fbr_tools.exchange.bundle import configs, pictures
from context_fbr_tools.exchange.bundle.card import Evidence, card
from context_fbr_tools.exchange.bundle.metadata import metadata
from context_fbr_tools.study.findings_text import read_json

METRICS = Path("metrics")
PICTURE = "cases.png"


def write(cell: Cell, out: Path, document: Document) -> None:
    """Write the bundle of a trained and evaluated cell into a new folder.

    Args:
        cell: of the study.
        out: the folder, which does not exist.
        document: params.yaml.

    Raises:
        UserError: if the folder exists; if the cell is not trained or evaluated, its results are damaged, or
            it was trained on cores, which MONAI's inferer cannot slide.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; name another folder, or remove it")
    training = read_training(cell)
    if training.core is not None:
        raise UserError(
            f"{cell.key}: was trained on cores of {training.core} voxels, which MONAI's sliding window "
            "cannot use; choose a cell without `core`, or use `context-fbr predict`"
        )
    network = load_network(training, torch.device("cpu"))
    window = _window(cell, document, network)
    settings = document.section(("sliding_window",), SlidingWindow)
    evidence = _evidence(cell)
    data, provenance = _data_set(cell), read_json(METRICS / f"provenance/train/{cell.key}.json")
    own = evidence.cases[evidence.cases["seed"] == cell.seed]
    drawn = pictures.draw(cell, own, document)
    described = metadata(training, window, data, str(provenance.get("revision")))
    described["eval_metrics"] = {"mean_dice": round(float(own["dsc"].mean()), 6)}
    text = card(training, evidence, data, provenance, window, [PICTURE])
    with atomic.directory(out) as folder:
        _json(folder / "configs/metadata.json", described)
        _json(folder / "configs/inference.json", configs.inference(training, window, settings))
        _json(folder / "configs/evaluate.json", configs.evaluate(training))
        _write(folder / "models/model.pt", _packed(configs.state_dict(network)))
        _write(folder / "docs/README.md", text.encode())
        _write(folder / f"docs/{PICTURE}", drawn)
        _write(folder / "LICENSE", Path("LICENSE").read_bytes() if Path("LICENSE").is_file() else b"")
        for name, content in _scripts(training).items():
            _write(folder / "scripts" / name, content.encode())


def _window(cell: Cell, document: Document, network: torch.nn.Module) -> PatchSize:
    """Return the size of the primary window; raises UserError for a window of the whole volume."""
    resolved = windows.resolve(
        read_windows(document, cell.task), cell.patch_size, windows.has_fixed_size(network)
    )
    if not resolved or isinstance(resolved[0], str):
        raise UserError(
            f"{cell.key}: its primary window is the whole volume, which differs by image; put a number or "
            f"`patch` first in tasks.{cell.task}.evaluate.windows"
        )
    return resolved[0]


def _evidence(cell: Cell) -> Evidence:
    """Read the rows of the cell's configuration; raises UserError if a table is missing or damaged."""
    folder = METRICS / cell.task
    frames = {}
    for name in ("cases", "cells", "sizes", "cell_ranges", "structures"):
        path = folder / f"{name}.csv"
        if name == "structures" and not path.is_file():
            frames[name] = pd.DataFrame()
            continue
        try:
            every = read_frame(path, text=("patch_size",))
            own = (
                (every["task"] == cell.task)
                & (every["model"] == cell.model)
                & (every["patch_size"] == str(cell.patch_size))
            )
            frames[name] = every[own].reset_index(drop=True)
        except FileNotFoundError:
            raise UserError(f"{path}: not found; run `dvc repro analyze@{cell.task}`") from None
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}); run `dvc repro analyze@{cell.task}`"
            ) from error
    cells = frames["cells"]
    trained = cells[cells["seed"] == cell.seed]
    if trained.empty:
        raise UserError(f"{folder / 'cells.csv'}: has no row of {cell.key}; run `dvc repro`")
    ratio = float(trained["training_ratio_min"].iloc[0]), float(trained["training_ratio_max"].iloc[0])
    cases = frames["cases"].assign(patch_size=cell.patch_size).astype({"seed": int})
    return Evidence(cases, frames["structures"], frames["sizes"], frames["cell_ranges"], ratio)


def _data_set(cell: Cell) -> dict[str, Any]:
    """Return dataset.json of the raw data, with the SHA-256 of its files if it is known."""
    path = Path(f"data/raw/{cell.task}/dataset.json")
    try:
        tree = dict(bounded.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run `dvc checkout raw@{cell.task}`") from error
    record = METRICS / f"provenance/raw/{cell.task}.json"
    if record.is_file():
        tree["sha256"] = read_json(record).get("sha256")
    return tree


def _scripts(training: Training) -> dict[str, str]:
    """Return the bundle's own modules: transforms, and the exchange of norms where the network needs it."""
    folder = resources.files(__package__) / "assets"
    scripts = {
        "__init__.py": '"""Modules of this bundle that MONAI has not."""\n',
        "transforms.py": (folder / "transforms.py").read_text(encoding="utf-8"),
    }
    if configs.needs_scripts(training):
        scripts["normalisation.py"] = Path(normalisation.__file__).read_text(encoding="utf-8")
    return scripts


def _packed(weights: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def _json(path: Path, tree: dict[str, Any]) -> None:
    _write(path, (json.dumps(tree, indent=2) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
