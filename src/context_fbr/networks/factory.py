"""Networks by name: any class of monai.networks.nets, with its keyword arguments from params.yaml."""

import inspect
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from monai.networks import nets
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from context_fbr.config.complaints import suggestion
from context_fbr.config.document import Document
from context_fbr.config.training import Model
from context_fbr.core.errors import UserError
from context_fbr.networks import normalisation
from context_fbr.networks.convolutions import guard
from context_fbr.networks.windows import CHANNELS

CLASSES = 2
"""Background and foreground; a task with several structures has more."""
MOST_NUMBERS = 2**32
"""Weights and buffers of a network: sixteen bytes each while Adam trains it are more than any GPU has."""
MOST_NUMBERS_BUILT = 2**28
"""Limit for networks that have to be built to be checked."""
LOADS = re.compile(r"pretrained.*|(.*_)?(url|path|filename|weights)|path_or_.*")
"""Arguments of MONAI's classes that download or read weights: these would be in no hash of the study."""
MOST_OPERATIONS = 20_000  # of building a network and passing a patch; UNETR has some hundred


class _TooLargeError(Exception):
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
            raise _TooLargeError(f"it takes more than {MOST_OPERATIONS:,} operations, it has too many layers")
        makes = not any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves((args, kwargs)))
        if makes and any(argument.name == "device" for argument in func._schema.arguments):
            # The meta device has the size without allocating anything.
            self._numbers += func(*args, **{**kwargs, "device": torch.device("meta")}).numel()
            if self._numbers > self._most_numbers:
                raise _TooLargeError(f"it has more than {self._most_numbers:,} weights")
        return func(*args, **kwargs)


def build(
    document: Document, model: str, patch_size: int, seed: int, classes: int = CLASSES, channels: int = 1
) -> torch.nn.Module:
    """Build `models.<model>`: (batch, channels, p, p, p) -> (batch, classes, p, p, p).

    The weights are drawn from `seed`; the global random state is left as it was.

    Raises:
        UserError: if the class or an argument is unknown or wrong, or the network cannot take the patch.
    """
    check(document, model, patch_size, classes, channels)
    return rebuild(document, model, patch_size, seed, classes, channels)


def rebuild(
    document: Document, model: str, patch_size: int, seed: int, classes: int = CLASSES, channels: int = 1
) -> torch.nn.Module:
    """Build a network that was trained, and checked then: the check costs two seconds of imports.

    Raises:
        UserError: as `build`, but not for a patch that does not fit.
    """
    constructor, arguments = _arguments(document, model, patch_size, classes, channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = guard(_construct(constructor, arguments))
        except Exception as error:  # a network of another library can raise anything for its arguments
            text = f"cannot be built on this machine ({_first_line(error)}); make it smaller"
            if not isinstance(error, MemoryError | RuntimeError):
                text = f"cannot be built ({_first_line(error)}); look at its arguments"
            raise UserError(document.problem(("models", model), text)) from error
    setattr(network, CHANNELS, channels)
    return network


def check(document: Document, model: str, patch_size: int, classes: int = CLASSES, channels: int = 1) -> None:
    """Check without computing anything that `build` will work.

    Raises:
        UserError: as `build`.
    """
    problem = size_problem(document, model, patch_size, "patch", "grid.patch_sizes", classes, channels)
    if problem:
        raise UserError(document.problem(("models", model), problem))


def size_problem(
    document: Document,
    model: str,
    size: int,
    kind: str,
    key: str,
    classes: int = CLASSES,
    channels: int = 1,
) -> str | None:
    """Return the reason for which a network cannot take a `kind`, patch or window, of `size` voxels.

    None if it can; `key` is the value to change. Errors as in `build`.
    """
    constructor, arguments = _arguments(document, model, size, classes, channels)
    try:
        failure = _failure(constructor, arguments, size)
    except _TooLargeError as error:
        text = f"{constructor.__name__} is too large ({error}); look at its arguments and at grid.patch_sizes"
        raise UserError(document.problem(("models", model), text)) from None
    if failure is None:
        return None
    taken = [size for size in range(8, 129, 8) if _failure(constructor, arguments, size) is None]
    near = sorted(sorted(taken, key=lambda other: abs(other - size))[:4])
    if near:
        remedy = f"it takes for example {', '.join(map(str, near))}: change {key}"
    else:
        remedy = "it takes no other size either: look at its arguments"
    return f"{constructor.__name__} cannot take a {kind} of {size} voxels ({failure}); {remedy}"


def _arguments(
    document: Document, model: str, patch_size: int, classes: int, channels: int
) -> tuple[type[torch.nn.Module], dict[str, object]]:
    """The class of a network and all its arguments."""
    spec = document.section(("models", model), Model)
    constructor = _constructor(document, model, spec)
    return constructor, {**_provided(constructor, patch_size, classes, channels), **spec.arguments}


def _provided(
    constructor: type, patch_size: int, classes: int = CLASSES, channels: int = 1
) -> dict[str, object]:
    """Return the arguments that this program adds, as far as the class takes them."""
    known = {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "img_size": (patch_size,) * 3,
    }
    accepted = inspect.signature(constructor).parameters
    return {name: value for name, value in known.items() if name in accepted}


def _constructor(document: Document, model: str, spec: Model) -> type[torch.nn.Module]:
    """Return the class, after a check of the names of its arguments."""
    here = ("models", model)
    classes = {name for name, item in vars(nets).items() if inspect.isclass(item)}
    if spec.network not in classes:
        text = f"{spec.network!r} is no class of monai.networks.nets; {suggestion(spec.network, classes)}"
        raise UserError(document.problem((*here, "network"), text))
    constructor: type[torch.nn.Module] = getattr(nets, spec.network)
    parameters = inspect.signature(constructor).parameters
    provided = _provided(constructor, 0)
    accepted = (set(parameters) | normalisation.own_keys(constructor)) - set(provided)
    problems = []
    for name in spec.arguments:
        if name in provided:
            problems.append(document.problem((*here, name), "is filled in by the program; take it out"))
        elif name not in accepted:
            text = f"{spec.network} has no such argument; {suggestion(name, accepted)}"
            problems.append(document.problem((*here, name), text))
    problems += _loading_problems(document, model, spec, parameters)
    for name, parameter in parameters.items():
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if (
            parameter.default is parameter.empty
            and not variable
            and name not in {**provided, **spec.arguments}
        ):
            problems.append(document.problem(here, f"{spec.network} needs the argument {name}"))
    if problems:
        raise UserError(*problems)
    return constructor


def _loading_problems(
    document: Document, model: str, spec: Model, parameters: Mapping[str, inspect.Parameter]
) -> list[str]:
    """Arguments, given or by default, that bring weights from elsewhere."""
    problems = []
    for name, parameter in parameters.items():
        if not LOADS.fullmatch(name):
            continue
        value = spec.arguments.get(name, parameter.default)
        if value is None or value is False or value is parameter.empty:
            continue
        place = ("models", model, name) if name in spec.arguments else ("models", model)
        remedy = f"write `{name}: false`" if isinstance(parameter.default, bool) else f"take {name} out"
        text = (
            f"{spec.network} loads weights with {name}, {value!r}, which no hash of the study covers; "
            f"{remedy}, or take another network"
        )
        problems.append(document.problem(place, text))
    return problems


def _construct(constructor: type[torch.nn.Module], arguments: dict[str, object]) -> torch.nn.Module:
    with warnings.catch_warnings():  # deprecations inside of monai are not the user's
        warnings.simplefilter("ignore")
        return normalisation.build(constructor, arguments)


def _failure(constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int) -> str | None:
    """Return why a patch cannot pass, or None. It passes on the meta device, which has shapes only.

    Raises:
        _TooLargeError: if it would never end.
    """
    try:
        with _Bounded(MOST_NUMBERS):
            return _shape_failure(constructor, arguments, patch_size, torch.device("meta"))
    except _TooLargeError:
        raise
    except RuntimeError as error:
        if "meta" not in str(error):
            return _first_line(error)
    except Exception as error:  # a network of another library can raise anything for its arguments
        return _first_line(error)
    try:  # some read numbers while they are built, which the meta device does not hold
        with _Bounded(MOST_NUMBERS_BUILT):
            return _shape_failure(constructor, arguments, patch_size, torch.device("cpu"))
    except _TooLargeError:
        raise
    except Exception as error:
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or repr(error)


def _shape_failure(
    constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int, device: torch.device
) -> str | None:
    channels = int(str(arguments.get("in_channels", 1)))
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with device:
            sized = {
                name: value
                for name, value in _provided(constructor, patch_size).items()
                if name == "img_size"
            }
            network = normalisation.build(constructor, {**arguments, **sized})
        # eval: one value a channel is too few for batch norm in training, and that depends on the batch
        network = network.to("meta").eval()
        with torch.device("meta"):
            result = network(torch.empty((1, channels, patch_size, patch_size, patch_size)))
    expected = (1, arguments.get("out_channels", CLASSES)) + (patch_size,) * 3
    if not isinstance(result, torch.Tensor):
        return f"it returns {type(result).__name__}, expected one tensor"
    if result.shape != expected:
        return f"it returns the shape {tuple(result.shape)}, expected {expected}"
    return None
