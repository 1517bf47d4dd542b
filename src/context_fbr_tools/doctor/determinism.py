"""Does a training have the same bits twice on this device?"""

from collections.abc import Callable, Iterator

import torch
from monai.losses import DiceLoss
from monai.networks.nets import UNet

from context_fbr_tools.doctor.check_result import Result, Status, first_line

STEPS = 2
EDGE = 16
BATCH = 4


def tiny_network() -> torch.nn.Module:
    """Convolutions down and up, residual units, batch norm: what this study's UNet is made of."""
    return UNet(3, 1, 2, (4, 8, 16), (2, 2), num_res_units=2, norm="batch")


def trained(device: torch.device, build: Callable[[], torch.nn.Module]) -> list[torch.Tensor]:
    """All weights and running means after a few steps with Adam, from the same start each time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((BATCH, 1, EDGE, EDGE, EDGE), generator=generator).to(device)
    labels = (images > 0.9).long()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        network = build().to(device)
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer, loss = (
            torch.optim.Adam(network.parameters(), lr=1e-2),
            DiceLoss(to_onehot_y=True, softmax=True),
        )
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            optimizer.step()
    return [tensor.cpu() for tensor in network.state_dict().values()]


def uncovered(device: torch.device, build: Callable[[], torch.nn.Module]) -> str | None:
    """What of a training PyTorch cannot do deterministically on the device, in its words; None: nothing."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        trained(device, build)
    except RuntimeError as error:
        return first_line(error)
    finally:
        torch.use_deterministic_algorithms(before)
    return None


def check(device: torch.device, build: Callable[[], torch.nn.Module] = tiny_network) -> Iterator[Result]:
    """Two trainings of a tiny network against each other, to the last bit."""
    pairs = zip(trained(device, build), trained(device, build), strict=True)
    differing = sum(not torch.equal(one, other) for one, other in pairs)
    refused = uncovered(device, build)
    if differing:
        found = f"two trainings of a tiny network differ in {differing} tensors on {device}"
        to_do = "expect other bits from run to run; the CPU repeats them (CONTEXT_FBR_DEVICE=cpu)"
        yield Result("repeatability", Status.DOUBTFUL, found, to_do)
    elif refused:
        found = f"the same bits twice on {device}, but PyTorch does not promise it: {refused}"
        to_do = "expect results that may differ in bits; the CPU repeats them (CONTEXT_FBR_DEVICE=cpu)"
        yield Result("repeatability", Status.DOUBTFUL, found, to_do)
    else:
        found = f"two trainings of a tiny network have the same bits on {device}, by deterministic algorithms"
        yield Result("repeatability", Status.OK, found)
