"""Networks by name: any class of monai.networks.nets, with its keyword arguments from params.yaml."""

import inspect
import warnings

import torch
from monai.networks import nets

from context_fbr.errors import UserError
from context_fbr.study.document import Document, suggestion
from context_fbr.study.training import Network

CLASSES = 2  # background and foreground


def build(document: Document, model: str, patch_size: int, seed: int) -> torch.nn.Module:
    """Build `networks.<model>`: (batch, 1, p, p, p) -> (batch, 2, p, p, p), weights drawn from `seed`.

    The global random state is left as it was.

    Raises:
        UserError: if the class or an argument is unknown or wrong, or the network cannot take the patch.
    """
    constructor, arguments = check(document, model, patch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _construct(constructor, arguments)


def check(document: Document, model: str, patch_size: int) -> tuple[type[torch.nn.Module], dict[str, object]]:
    """Check without computing anything that `build` will work; class and arguments.

    Raises:
        UserError: as `build`.
    """
    spec = document.section(("networks", model), Network)
    constructor = _constructor(document, model, spec)
    arguments = {**_provided(constructor, patch_size), **spec.arguments}
    failure = _failure(constructor, arguments, patch_size)
    if failure is None:
        return constructor, arguments
    taken = [size for size in range(8, 129, 8) if _failure(constructor, arguments, size) is None]
    near = sorted(sorted(taken, key=lambda size: abs(size - patch_size))[:4])
    if near:
        remedy = f"it takes for example {', '.join(map(str, near))}: change grid.patch_sizes"
    else:
        remedy = "it takes no other size either: look at its arguments"
    text = f"{spec.network} cannot take a patch of {patch_size} voxels ({failure}); {remedy}"
    raise UserError(document.problem(("networks", model), text))


def _provided(constructor: type, patch_size: int) -> dict[str, object]:
    """What the program fills in, as far as the class takes it."""
    known = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": CLASSES,
        "img_size": (patch_size,) * 3,
    }
    accepted = inspect.signature(constructor).parameters
    return {name: value for name, value in known.items() if name in accepted}


def _constructor(document: Document, model: str, spec: Network) -> type[torch.nn.Module]:
    """The class, after a look at the names of its arguments."""
    here = ("networks", model)
    classes = {name for name, item in vars(nets).items() if inspect.isclass(item)}
    if spec.network not in classes:
        text = f"{spec.network!r} is no class of monai.networks.nets; {suggestion(spec.network, classes)}"
        raise UserError(document.problem((*here, "network"), text))
    constructor: type[torch.nn.Module] = getattr(nets, spec.network)
    parameters = inspect.signature(constructor).parameters
    provided = _provided(constructor, 0)
    accepted = set(parameters) - set(provided)
    problems = []
    for name in spec.arguments:
        if name in provided:
            problems.append(document.problem((*here, name), "is filled in by the program; take it out"))
        elif name not in accepted:
            text = f"{spec.network} has no such argument; {suggestion(name, accepted)}"
            problems.append(document.problem((*here, name), text))
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


def _construct(constructor: type[torch.nn.Module], arguments: dict[str, object]) -> torch.nn.Module:
    with warnings.catch_warnings():  # deprecations inside of monai are not the user's
        warnings.simplefilter("ignore")
        return constructor(**arguments)


def _failure(constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int) -> str | None:
    """Why a patch cannot pass, or None."""
    try:
        # On the meta device shapes pass and nothing is computed.
        return _shape_failure(constructor, arguments, patch_size, torch.device("meta"))
    except RuntimeError as error:
        if "meta" not in str(error):
            return _first_line(error)
    except Exception as error:  # whatever a network of another library says about its own arguments
        return _first_line(error)
    try:  # some read numbers while they are built, which the meta device does not hold
        return _shape_failure(constructor, arguments, patch_size, torch.device("cpu"))
    except Exception as error:
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)


def _shape_failure(
    constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int, device: torch.device
) -> str | None:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        with device:
            network = _construct(constructor, {**arguments, **_provided(constructor, patch_size)})
            patch = torch.empty((1, 1) + (patch_size,) * 3)
        # eval: one value a channel is too few for batch norm in training, and that depends on the batch
        result = network.eval()(patch)
    expected = (1, CLASSES) + (patch_size,) * 3
    if not isinstance(result, torch.Tensor):
        return f"it returns {type(result).__name__}, expected one tensor"
    if result.shape != expected:
        return f"it returns the shape {tuple(result.shape)}, expected {expected}"
    return None
