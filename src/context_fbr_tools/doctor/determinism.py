"""Bits of a training on this device: the same twice, and by deterministic algorithms of PyTorch."""

from collections.abc import Callable, Iterator

import torch
from monai.losses import DiceLoss
from monai.networks.nets import UNet

from context_fbr_tools.doctor.check_result import Result, Status, first_line

STEPS, BATCH, EDGE = 2, 4, 16


def tiny_network() -> torch.nn.Module:
    """Build convolutions down and up, residual units and batch norm, as in this study's UNet."""
    return UNet(3, 1, 2, (4, 8, 16), (2, 2), num_res_units=2, norm="batch")


def trained(device: torch.device, build: Callable[[], torch.nn.Module]) -> list[torch.Tensor]:
    """Return all weights and running means after a few steps with Adam, from the same start each time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((BATCH, 1, EDGE, EDGE, EDGE), generator=generator).to(device)
    labels = (images > 0.9).long()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        network = build().to(device)
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        loss = DiceLoss(to_onehot_y=True, softmax=True)
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            optimizer.step()
    return [tensor.cpu() for tensor in network.state_dict().values()]


def refusal(device: torch.device, build: Callable[[], torch.nn.Module]) -> str | None:
    """Return PyTorch's words for a step that it cannot compute deterministically on the device, if any."""
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
    """Compare two trainings of a tiny network, to the last bit."""
    pairs = zip(trained(device, build), trained(device, build), strict=True)
    differing = sum(not torch.equal(one, other) for one, other in pairs)
    problem = f"{differing} tensors differ" if differing else refusal(device, build)
    if problem:
        fix = "results may differ in bits from run to run; the CPU repeats them (CONTEXT_FBR_DEVICE=cpu)"
        yield Result("repeatability", Status.WARNING, f"two trainings on {device}: {problem}", fix)
    else:
        yield Result("repeatability", Status.OK, f"same bits twice on {device}, by deterministic algorithms")
