"""Networks by name: any class of monai.networks.nets, with its keyword arguments from params.yaml."""

import inspect
import warnings

import torch
from monai.networks import nets

from context_fbr.errors import UserError
from context_fbr.study.document import suggestion
from context_fbr.study.training import Network

CLASSES = 2  # background and foreground


def build(model: str, spec: Network, patch_size: int, seed: int) -> torch.nn.Module:
    """Build a network (batch, 1, p, p, p) -> (batch, 2, p, p, p) with weights drawn from `seed`.

    The global random state is left as it was. `model` names the network in errors.

    Raises:
        UserError: if the class or an argument is unknown or wrong, or the network cannot take the patch.
    """
    constructor = _constructor(model, spec)
    arguments = {**_provided(constructor, patch_size), **spec.arguments}
    _check_patch(model, constructor, arguments, patch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _construct(constructor, arguments)


def check(model: str, spec: Network, patch_size: int) -> None:
    """Raise what `build` would raise, without computing anything."""
    constructor = _constructor(model, spec)
    _check_patch(model, constructor, {**_provided(constructor, patch_size), **spec.arguments}, patch_size)


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


def _constructor(model: str, spec: Network) -> type[torch.nn.Module]:
    where = f"params.yaml: networks.{model}"
    classes = {name for name, item in vars(nets).items() if inspect.isclass(item)}
    if spec.network not in classes:
        raise UserError(
            f"{where}.network: {spec.network} is no class of monai.networks.nets; "
            f"{suggestion(spec.network, classes)}"
        )
    constructor: type[torch.nn.Module] = getattr(nets, spec.network)
    parameters = inspect.signature(constructor).parameters
    provided = _provided(constructor, 0)
    accepted = set(parameters) - set(provided)
    problems = [
        f"{where}.{name}: {spec.network} has no such argument; {suggestion(name, accepted)}"
        if name not in provided
        else f"{where}.{name}: is filled in by the program; take it out"
        for name in spec.arguments
        if name not in accepted
    ] + [
        f"{where}: {spec.network} needs the argument {name}"
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in provided
        and name not in spec.arguments
    ]
    if problems:
        raise UserError(*problems)
    return constructor


def _construct(constructor: type[torch.nn.Module], arguments: dict[str, object]) -> torch.nn.Module:
    with warnings.catch_warnings():  # deprecations inside of monai are not the user's
        warnings.simplefilter("ignore")
        return constructor(**arguments)


def _failure(
    constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int
) -> str | None:
    """Why a patch cannot pass, or None; on the meta device, where shapes pass and nothing is computed."""
    try:
        with torch.device("meta"):
            network = _construct(constructor, {**arguments, **_provided(constructor, patch_size)})
            patch = torch.empty((1, 1) + (patch_size,) * 3)
        # eval: batch norm of a single value per channel is an error of training alone, with one patch
        result = network.eval()(patch)
    except ImportError as error:  # monai leaves some packages to those who use what needs them
        raise UserError(
            f"{constructor.__name__} needs a package that is not installed: {error.msg}"
        ) from error
    except Exception as error:  # whatever a network of another library says about its own arguments
        return str(error).splitlines()[0] if str(error) else repr(error)
    expected = (1, CLASSES) + (patch_size,) * 3
    if not isinstance(result, torch.Tensor):
        return f"returns {type(result).__name__}, expected one tensor"
    if result.shape != expected:
        return f"returns the shape {tuple(result.shape)}, expected {expected}"
    return None


def _check_patch(
    model: str, constructor: type[torch.nn.Module], arguments: dict[str, object], patch_size: int
) -> None:
    failure = _failure(constructor, arguments, patch_size)
    if failure is None:
        return
    taken = [size for size in range(8, 129, 8) if _failure(constructor, arguments, size) is None]
    near = sorted(sorted(taken, key=lambda size: abs(size - patch_size))[:4])
    if near:
        remedy = f"it takes for example {', '.join(map(str, near))}: change grid.patch_sizes"
    else:
        remedy = "it takes no patch size at all: its arguments are wrong"
    raise UserError(
        f"params.yaml: networks.{model}: {constructor.__name__} cannot take a patch of {patch_size} voxels "
        f"({failure}); {remedy}"
    )
