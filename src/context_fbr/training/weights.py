"""A trained cell: training.json, and the network with the weights of weights.pt.

training.json holds the network's block of params.yaml and the SHA-256 of the weights, so that weights are
only used with the network that they were trained in. Weights come from other people's caches and remotes:
only numbers are read from them.
"""

import hashlib
import io
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ruamel.yaml.comments import CommentedMap

from context_fbr.config.cell import TRAINING_FORMAT, Cell
from context_fbr.config.document import Document
from context_fbr.config.training import Model
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import edges_of
from context_fbr.networks import factory
from context_fbr.networks.memory_format import memory_format
from context_fbr.preprocessing.recipe import Recipe, from_json
from context_fbr.runtime import fetching

SPARE = 1 << 20  # bytes: names and sizes of the weights


@dataclass(frozen=True, eq=False)
class Training:
    """Content of training.json of a trained cell."""

    cell: Cell
    network: dict[str, Any]
    """Block of params.yaml that the network was built from."""
    weights_sha256: str
    core: int | None
    """Edge in voxels of the core of a patch that it was trained on; None: the whole patch."""
    recipe: Recipe
    """Preprocessing of the images that it was trained with."""
    spacings_mm: np.ndarray
    """(2, 3): least and greatest edges of voxels of the prepared training cases, in mm."""

    @property
    def remedy(self) -> str:
        """Commands that restore the model."""
        stage = self.cell.stage("train")
        return f"restore it with `dvc checkout {stage}`, or train it again with `dvc repro -f {stage}`"


def read_training(cell: Cell) -> Training:
    """Read training.json of a cell.

    Raises:
        UserError: if the cell is not trained, or the file is damaged, of another version or of another cell.
    """
    path = cell.training
    again = f"train it again with `dvc repro -f {cell.stage('train')}`"
    try:
        content = bounded.read_json(path)
        if content["format"] != TRAINING_FORMAT:
            raise UserError(f"{path}: format {content['format']!r}, expected {TRAINING_FORMAT}; {again}")
        if content["cell"] != cell.key:
            raise UserError(f"{path}: belongs to the cell {content['cell']!r}, not to {cell.key}; {again}")
        network, weights = content["network"], content["weights_sha256"]
        if not isinstance(network, dict) or not isinstance(weights, str):
            raise ValueError("network or weights_sha256 is missing")
        core = content["core"]
        if core is not None and not (
            type(core) is int and 1 <= core <= min(edges_of(cell.patch_size)) and core != cell.patch_size
        ):
            raise ValueError(f"core is {core!r}")
        spacing = content["training_spacing_mm"]
        spacings = np.array([spacing["least"], spacing["greatest"]], dtype=np.float64)
        if spacings.shape != (2, 3) or not np.isfinite(spacings).all():
            raise ValueError(f"training_spacing_mm is {spacing!r}")
        return Training(cell, network, weights, core, from_json(content["recipe"]), spacings)
    except FileNotFoundError:
        remedy = fetching.remedy(cell.stage("train"))
        raise UserError(f"{path}: not found: the cell is not trained; {remedy}") from None
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: is damaged, or of another version ({error!r}); {again}") from error


def check_network(training: Training, model: Model) -> None:
    """Check that the network of a model of params.yaml is the one that the cell was trained with.

    Raises:
        UserError: naming the arguments that differ.
    """
    now = model.block
    names = [name for name in {**training.network, **now} if training.network.get(name) != now.get(name)]
    if names:
        cell = training.cell
        raise UserError(
            *(
                f"params.yaml: models.{cell.model}.{name}: is {now.get(name)!r}, but {cell.key} was "
                f"trained with {training.network.get(name)!r}"
                for name in names
            ),
            f"{cell.key}: its weights belong to another network; undo the change, or run "
            f"`dvc repro {cell.stage('train')}`",
        )


def load_network(training: Training, device: torch.device) -> torch.nn.Module:
    """Build the network of a trained cell and give it the trained weights.

    Raises:
        UserError: if the weights are missing, damaged, or of another training.
    """
    cell, path = training.cell, training.cell.weights
    block = CommentedMap({"models": CommentedMap({cell.model: CommentedMap(training.network)})})
    ends = 1 + len(training.recipe.preparation.groups), training.recipe.channels
    network = factory.rebuild(Document(cell.training, block), cell.model, cell.patch_size, cell.seed, *ends)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro {cell.stage('train')}` first") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; {training.remedy}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != training.weights_sha256:
        raise UserError(
            f"{path}: has the SHA-256 {digest[:16]}..., but {cell.training} was written with weights of "
            f"{training.weights_sha256[:16]}...: it is damaged, or of another training; {training.remedy}"
        )
    try:
        _check_archive(content, network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except Exception as error:  # unpickling a damaged file can raise anything
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(
            f"{path}: holds no weights of models.{cell.model} ({reason}); {training.remedy}"
        ) from error
    broken = [name for name, value in network.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"{path}: {', '.join(broken[:3])}{' and others' if len(broken) > 3 else ''}: hold NaN or "
            f"infinite weights, with which every prediction is empty; {training.remedy}"
        )
    network.to(device)
    return network.to(memory_format=memory_format(network)).eval()  # type: ignore[call-overload]


def _check_archive(content: bytes, network: torch.nn.Module) -> None:
    """Check what torch does not: checksums, and that what is packed fits the network.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: if it does not.
    """
    expected = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > 2 * expected + SPARE:
            raise ValueError(f"it unpacks to {size:,} bytes, the network has {expected:,}")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
