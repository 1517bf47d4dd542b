"""Where networks run: the CPU with a stated number of threads, or the GPU if there is one."""

import os

import torch

from context_fbr.errors import UserError

DEVICE_VARIABLE = "CONTEXT_FBR_DEVICE"


def prepare_device(threads: int) -> torch.device:
    """Choose the device and make its arithmetic repeatable.

    `threads` decides the bits of a result on the CPU, so it is a parameter and nothing else may set it.
    The environment variable CONTEXT_FBR_DEVICE (cpu, cuda, cuda:1 ...) overrides the choice.

    Raises:
        UserError: if the variable names a device that this machine lacks.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    wanted = os.environ.get(DEVICE_VARIABLE)
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"{DEVICE_VARIABLE}={wanted}: {str(error).splitlines()[0]}; take cpu, cuda, or unset it"
        ) from error
    return device
