"""Check of a network's patch size: it passes without any memory, on the meta device."""

import warnings
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.networks import normalisation

MOST_NUMBERS = 2**32
"""Weights and buffers of a network: sixteen bytes each while Adam trains it are more than any GPU has."""
MOST_NUMBERS_BUILT = 2**28
"""Limit for networks that have to be built to be checked."""
MOST_OPERATIONS = 20_000  # of building a network and passing a patch; UNETR has some hundred


class TooLargeError(Exception):
    """A network grows beyond all bounds while it is built."""


class _Bounded(TorchDispatchMode):
    """Limit that ends the building of a network that would take all memory or never end."""

    def __init__(self, most_numbers: int) -> None:
        super().__init__()
        self._most_numbers = most_numbers
        self._numbers = self._operations = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._operations += 1
        if self._operations > MOST_OPERATIONS:
            raise TooLargeError(f"it takes more than {MOST_OPERATIONS:,} operations, it has too many layers")
        makes = not any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves((args, kwargs)))
        if makes and any(argument.name == "device" for argument in func._schema.arguments):
            # The meta device has the size without allocating anything.
            self._numbers += func(*args, **{**kwargs, "device": torch.device("meta")}).numel()
            if self._numbers > self._most_numbers:
                raise TooLargeError(f"it has more than {self._most_numbers:,} weights")
        return func(*args, **kwargs)


def failure(
    constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: PatchSize
) -> str | None:
    """Return why a patch cannot pass, or None. It passes on the meta device, which has shapes only.

    Raises:
        TooLargeError: if it would never end.
    """
    try:
        with _Bounded(MOST_NUMBERS):
            return _shape_failure(constructor, arguments, patch_size, torch.device("meta"))
    except TooLargeError:
        raise
    except RuntimeError as error:
        if "meta" not in str(error):
            return first_line(error)
    except Exception as error:  # a network of another library can raise anything for its arguments
        return first_line(error)
    try:  # some read numbers while they are built, which the meta device does not hold
        with _Bounded(MOST_NUMBERS_BUILT):
            return _shape_failure(constructor, arguments, patch_size, torch.device("cpu"))
    except TooLargeError:
        raise
    except Exception as error:
        return first_line(error)


def first_line(error: Exception) -> str:
    """Return the first line of a message, or the kind of an error without any."""
    return next(iter(str(error).splitlines()), "") or repr(error)


def _shape_failure(
    constructor: type[torch.nn.Module],
    arguments: dict[str, object],
    patch_size: PatchSize,
    device: torch.device,
) -> str | None:
    channels, edges = int(str(arguments.get("in_channels", 1))), edges_of(patch_size)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with device:
            sized = {"img_size": edges} if "img_size" in arguments else {}
            network = normalisation.build(constructor, {**arguments, **sized})
        # eval: one value a channel is too few for batch norm in training, and that depends on the batch
        network = network.to("meta").eval()
        with torch.device("meta"):
            result = network(torch.empty((1, channels, *edges)))
    expected = (1, arguments.get("out_channels", 2), *edges)
    if not isinstance(result, torch.Tensor):
        return f"it returns {type(result).__name__}, expected one tensor"
    if result.shape != expected:
        return f"it returns the shape {tuple(result.shape)}, expected {expected}"
    return None
