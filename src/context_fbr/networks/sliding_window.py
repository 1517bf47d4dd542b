"""Segment a whole volume with a window that slides over it.

Windows and stitching are those of monai.inferers.sliding_window_inference with constant weights. Of a network
that was trained on the cores of its patches, the cores slide, and each is read from the window around it.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import pad

from context_fbr.config.training import SlidingWindow
from context_fbr.core.errors import UserError
from context_fbr.core.padding import Background, Margins, margins, window_corners, windows_around
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.networks.memory_format import memory_format
from context_fbr.networks.precision import autocast
from context_fbr.networks.windows import Shape

Corner = tuple[int, ...]


@torch.inference_mode()
def sliding_window(
    network: torch.nn.Module,
    image: torch.Tensor,
    window: PatchSize | Shape,
    settings: SlidingWindow,
    background: Background = 0.0,
    core: int | None = None,
) -> torch.Tensor:
    """Logits of a volume, averaged where windows, or their cores, overlap.

    Args:
        network: (batch, channels, *window) -> (batch, classes, *window), in eval mode, on the image's device.
        image: (x, y, z) float32, or (channels, x, y, z); a volume smaller than the window is padded on both
            sides.
        window: size of the window in voxels, or its edges.
        settings: overlap, batch size and precision.
        background: the intensity to pad with, of several channels one of each.
        core: edge of the cube in the centre of a window whose logits are used; None: all of them.

    Returns:
        (classes, x, y, z) float32.
    """
    edges = window if isinstance(window, tuple) else edges_of(window)
    whole = image.shape[-3:]
    added = margins(whole, edges)
    padded = _padded(image if image.ndim == 4 else image[None], added, background)
    shape = padded.shape[1:]
    x, y, z = (min(core or edge, edge) for edge in edges)
    inner = x, y, z
    starts = [window_corners(*axis, settings.overlap) for axis in zip(shape, inner, strict=True)]
    served = _windows(starts, inner, edges, shape)
    logits: torch.Tensor | None = None  # (x, y, z, classes), as the networks' channels last
    together = max(settings.voxels_per_batch // math.prod(edges), 1)
    windows_of, layout = [*served.items()], memory_format(network)
    for first in range(0, len(windows_of), together):
        batch = windows_of[first : first + together]
        windows = torch.stack([padded[(slice(None), *_box(corner, edges))] for corner, _ in batch])
        with autocast(image.device, settings.precision):
            outputs = network(windows.contiguous(memory_format=layout)).float()
        if logits is None:
            logits = torch.zeros((*shape, outputs.shape[1]), device=image.device)
        for (corner, cores), output in zip(batch, outputs.movedim(1, -1), strict=True):
            for own in cores:
                place = tuple(start - lowest for start, lowest in zip(own, corner, strict=True))
                logits[_box(own, inner)].add_(output[_box(place, inner)])  # += would copy the sum again
    assert logits is not None  # a volume has at least one window
    shares = (_covered(*axis).to(image.device) for axis in zip(starts, shape, inner, strict=True))
    x_share, y_share, z_share = shares
    logits /= (x_share[:, None, None] * y_share[:, None] * z_share)[..., None]
    inside = tuple(slice(before, before + edge) for (before, _), edge in zip(added, whole, strict=True))
    return logits.movedim(-1, 0)[(slice(None), *inside)]


def _padded(image: torch.Tensor, added: Margins, background: Background) -> torch.Tensor:
    """Return an image (channels, x, y, z) with margins of the background value of each channel."""
    sides = [side for axis in reversed(added) for side in axis]
    if not any(sides):
        return image
    if not isinstance(background, tuple):
        return pad(image, sides, value=background)
    pairs = zip(image, background, strict=True)
    return torch.stack([pad(own, sides, value=nothing) for own, nothing in pairs])


def _windows(
    starts: Sequence[Sequence[int]], core: Shape, window: Shape, shape: Sequence[int]
) -> dict[Corner, list[Corner]]:
    """Return the core of each window, lowest corners all, in the order of the cores."""
    cores = np.array([*itertools.product(*starts)])
    served: dict[Corner, list[Corner]] = {}
    for own, corner in zip(cores, windows_around(cores, core, window, shape), strict=True):
        x, y, z = map(int, corner)
        served.setdefault((x, y, z), []).append(tuple(map(int, own)))
    return served


def _box(corner: Sequence[int], edges: Shape) -> tuple[slice, ...]:
    return tuple(slice(start, start + edge) for start, edge in zip(corner, edges, strict=True))


def _covered(starts: Sequence[int], edge: int, window: int) -> torch.Tensor:
    """Return the number of windows over each voxel of an axis, (edge) float32."""
    counts = torch.zeros(edge)
    for start in starts:
        counts[start : start + window] += 1
    return counts


def too_large(image: torch.Tensor, window: PatchSize | Shape) -> UserError:
    """Return the error of a device with too little memory for a volume."""
    edges = window if isinstance(window, tuple) else edges_of(window)
    shown = " x ".join(map(str, edges if len(set(edges)) > 1 else edges[:1]))
    return UserError(
        f"{image.device} has too little memory for {' x '.join(map(str, image.shape[-3:]))} voxels and "
        f"windows of {shown}; lower sliding_window.voxels_per_batch in params.yaml, "
        "or set CONTEXT_FBR_DEVICE=cpu"
    )


def mask(logits: torch.Tensor) -> torch.Tensor:
    """Return the class with the greatest of the logits (classes, x, y, z): uint8; of a tie the first.

    The same as argmax, for two classes in a hundredth of its time.
    """
    if len(logits) == 2:
        background, foreground = logits
        return (foreground > background).to(torch.uint8)
    best, found = logits[0].clone(), torch.zeros_like(logits[0], dtype=torch.uint8)
    for number, own in enumerate(logits[1:], start=1):
        better = own > best
        found[better] = number
        best = torch.where(better, own, best)
    return found


def segment(
    network: torch.nn.Module,
    image: torch.Tensor,
    window: PatchSize | Shape,
    settings: SlidingWindow,
    background: Background = 0.0,
    core: int | None = None,
) -> torch.Tensor:
    """Class (x, y, z) uint8 with the greatest logit; arguments as in `sliding_window`.

    Raises:
        UserError: if a GPU has too little memory.
    """
    try:
        return mask(sliding_window(network, image, window, settings, background, core))
    except torch.cuda.OutOfMemoryError:
        raise too_large(image, window) from None
