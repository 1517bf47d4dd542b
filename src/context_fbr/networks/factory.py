"""Networks by name: any class of monai.networks.nets, with its keyword arguments from params.yaml."""

import inspect
import re
import warnings
from collections.abc import Mapping

import torch
from monai.networks import nets

from context_fbr.config.document import Document
from context_fbr.config.training import Model
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize, edges_of, mean_edge
from context_fbr.networks import normalisation, passing
from context_fbr.networks.convolutions import guard
from context_fbr.networks.windows import CHANNELS

CLASSES = 2
"""Background and foreground; a task with several structures has more."""
LOADS = re.compile(r"pretrained.*|(.*_)?(url|path|filename|weights)|path_or_.*")
"""Arguments of MONAI's classes that download or read weights: these would be in no hash of the study."""


def build(
    document: Document,
    model: str,
    patch_size: PatchSize,
    seed: int,
    classes: int = CLASSES,
    channels: int = 1,
) -> torch.nn.Module:
    """Build `models.<model>`: (batch, channels, *patch) -> (batch, classes, *patch).

    The weights are drawn from `seed`; the global random state is left as it was.

    Raises:
        UserError: if the class or an argument is unknown or wrong, or the network cannot take the patch.
    """
    check(document, model, patch_size, classes, channels)
    return rebuild(document, model, patch_size, seed, classes, channels)


def rebuild(
    document: Document,
    model: str,
    patch_size: PatchSize,
    seed: int,
    classes: int = CLASSES,
    channels: int = 1,
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
            text = f"cannot be built on this machine ({passing.first_line(error)}); make it smaller"
            if not isinstance(error, MemoryError | RuntimeError):
                text = f"cannot be built ({passing.first_line(error)}); look at its arguments"
            raise UserError(document.problem(("models", model), text)) from error
    setattr(network, CHANNELS, channels)
    return network


def check(
    document: Document, model: str, patch_size: PatchSize, classes: int = CLASSES, channels: int = 1
) -> None:
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
    size: PatchSize,
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
        failure = passing.failure(constructor, arguments, size)
    except passing.TooLargeError as error:
        text = f"{constructor.__name__} is too large ({error}); look at its arguments and at grid.patch_sizes"
        raise UserError(document.problem(("models", model), text)) from None
    if failure is None:
        return None
    taken = [edge for edge in range(8, 129, 8) if passing.failure(constructor, arguments, edge) is None]
    near = sorted(sorted(taken, key=lambda edge: abs(edge - mean_edge(size)))[:4])
    if near:
        remedy = f"it takes for example {', '.join(map(str, near))}: change {key}"
    else:
        remedy = "it takes no other size either: look at its arguments"
    return f"{constructor.__name__} cannot take a {kind} of {size} voxels ({failure}); {remedy}"


def _arguments(
    document: Document, model: str, patch_size: PatchSize, classes: int, channels: int
) -> tuple[type[torch.nn.Module], dict[str, object]]:
    """The class of a network and all its arguments."""
    spec = document.section(("models", model), Model)
    constructor = _constructor(document, model, spec)
    return constructor, {**_provided(constructor, patch_size, classes, channels), **spec.arguments}


def _provided(
    constructor: type, patch_size: PatchSize, classes: int = CLASSES, channels: int = 1
) -> dict[str, object]:
    """Return the arguments that this program adds, as far as the class takes them."""
    known = {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "img_size": edges_of(patch_size),
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
