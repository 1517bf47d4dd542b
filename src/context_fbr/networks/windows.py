"""Windows of inference by name: the shape that each has for a network and a volume.

`patch` is as large as the patch of the training, a number is a cube of that edge, three edges are a box, and
`volume` is one window that covers the volume, with edges rounded up to the least that the network takes.
"""

import inspect
from collections.abc import Iterable, Sequence

import torch

from context_fbr.config.training import Window
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize, edges_of

Shape = tuple[int, int, int]
"""Edges of a window in voxels."""
CHANNELS = "input_channels"
"""Attribute of a network: the number of channels of an image; 1 if it has none."""
MOST_DIVIDED = 256
"""The greatest divisor of a volume's edges that is tried; networks of eight levels halve seven times."""


def has_fixed_size(network: torch.nn.Module | type[torch.nn.Module]) -> bool:
    """Return whether a network takes windows of its patch size alone: its class takes `img_size`."""
    kind = network if isinstance(network, type) else type(network)
    return "img_size" in inspect.signature(kind).parameters


def resolve(
    windows: Sequence[Window], patch_size: PatchSize, fixed_size: bool
) -> tuple[PatchSize | str, ...]:
    """Return the different windows of a cell: sizes in voxels, and perhaps `volume`, in the given order.

    A network of fixed size keeps its patch size alone; nothing is left if that is not among the windows.
    """
    sizes = (patch_size if window == "patch" else window for window in windows)
    return tuple(size for size in dict.fromkeys(sizes) if not fixed_size or size == patch_size)


def shapes_of(
    network: torch.nn.Module, windows: Sequence[PatchSize | str], volumes: Iterable[Sequence[int]]
) -> dict[tuple[int, ...], tuple[Shape, ...]]:
    """Return the windows' shapes for each different volume, by the volume's edges; errors as `shape_of`."""
    return {
        edges: tuple(shape_of(network, window, edges) for window in windows)
        for edges in dict.fromkeys(map(tuple, volumes))
    }


def shape_of(network: torch.nn.Module, window: PatchSize | str, volume: Sequence[int]) -> Shape:
    """Return the edges of a window of `resolve` for a volume of the given edges.

    Raises:
        UserError: if the network takes no window that covers the volume.
    """
    if not isinstance(window, str):
        return edges_of(window)
    reason = None
    for divisor in range(1, MOST_DIVIDED + 1):
        x, y, z = (-(-edge // divisor) * divisor for edge in volume)
        failure = failure_of(network, (x, y, z))
        if failure is None:
            return x, y, z
        reason = reason or failure
    text = " x ".join(map(str, volume))
    raise UserError(f"the network takes no window that covers a volume of {text} voxels ({reason})")


def failure_of(network: torch.nn.Module, window: Shape) -> str | None:
    """Return the reason for which a network cannot take a window; None if it can.

    The window passes on the meta device, which has shapes alone, or on the network's own if it needs values.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    channels = getattr(network, CHANNELS, 1)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            try:
                result = torch.func.functional_call(
                    network, meta, torch.empty((1, channels, *window), device="meta")
                )
            except RuntimeError as error:
                if "meta" not in str(error):
                    raise
                result = network(
                    torch.zeros((1, channels, *window), device=next(network.parameters()).device)
                )
    except Exception as error:  # whatever a network of another library raises
        return next(iter(str(error).splitlines()), "") or repr(error)
    finally:
        network.train(training)
    if not isinstance(result, torch.Tensor) or result.shape[2:] != window:
        return f"it returns the shape {tuple(getattr(result, 'shape', ()))}"
    return None
