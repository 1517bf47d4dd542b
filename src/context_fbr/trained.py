"""The network of a trained cell, from a file that is trusted with nothing but numbers."""

import warnings
import zipfile
from pathlib import Path

import torch

from context_fbr import networks
from context_fbr.cells import Cell
from context_fbr.errors import UserError
from context_fbr.study.document import Document

SPARE = 1 << 20  # bytes: names and sizes of the weights


def load_network(document: Document, cell: Cell, device: torch.device) -> torch.nn.Module:
    """Build the cell's network and give it the trained weights.

    Raises:
        UserError: if the weights are missing, damaged, or of another network.
    """
    network = networks.rebuild(document, cell.model, cell.patch_size, cell.seed)
    remedy = f"train it again with `dvc repro -f train@{cell.key}`"
    try:
        _check_archive(cell.weights, network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights = torch.load(cell.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except FileNotFoundError:
        raise UserError(f"{cell.weights}: not found; run `dvc repro train@{cell.key}` first") from None
    except Exception as error:  # unpickling ends in whatever a damaged file leads it to
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(
            f"{cell.weights}: holds no weights of networks.{cell.model} ({reason}); {remedy}"
        ) from error
    broken = [name for name, value in network.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"{cell.weights}: {', '.join(broken[:3])}{' and others' if len(broken) > 3 else ''}: hold NaN or "
            f"infinite weights, with which every prediction is empty; {remedy}"
        )
    return network.to(device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]


def _check_archive(path: Path, network: torch.nn.Module) -> None:
    """Check what torch does not: checksums, and that what is packed fits the network.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: if it is not so.
    """
    expected = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > 2 * expected + SPARE:
            raise ValueError(f"it unpacks to {size:,} bytes, the network has {expected:,}")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
