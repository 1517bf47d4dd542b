"""Order of a batch in memory: the one that was measured to be faster (benchmarks/gpu.csv, `variants`)."""

import torch

from context_fbr.networks.windows import has_fixed_size


def memory_format(network: torch.nn.Module) -> torch.memory_format:
    """Return the order for a network, where its weights are: channels last, but for UNETR on a GPU.

    Networks of a fixed size have a transformer; on a GPU they are faster with contiguous channels.
    """
    weights = next(network.parameters(), None)
    on_gpu = weights is not None and weights.is_cuda
    return torch.contiguous_format if on_gpu and has_fixed_size(network) else torch.channels_last_3d
