"""How many threads a network is worth."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# Floating-point operations of a forward pass on a batch, below which threads give nothing or cost
# (tests/benchmarks/threads.py).
FEW_OPERATIONS = 3e7


def count_operations(network: nn.Module, sample: Tensor) -> float:
    """Return the floating-point operations of a forward pass on one sample.

    Parameters
    ----------
    network : Module
        The network.
    sample : Tensor of shape (n_samples, ...)
        Samples to count on.
    """
    with _Counter() as counter, torch.no_grad():
        network.eval()(sample)
    return counter.n_operations / len(sample)


class _Counter(TorchDispatchMode):
    """Counts the operations of the calling thread.

    torch's own FlopCounterMode hooks into all modules of the process, and disturbs forward passes of others.
    """

    n_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, and add what it takes."""
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.n_operations += formula(*args, **(kwargs or {}), out_val=result)
        return result


def suitable_threads(operations: float, device: torch.device) -> AbstractContextManager:
    """Return a context with one thread for networks so small that a second one would slow them down.

    The limit is for the calling thread and ends with the block.

    Parameters
    ----------
    operations : float
        Floating-point operations of a forward pass on a batch.
    device : torch.device
        Where the network runs.
    """
    if device.type != "cpu" or operations > FEW_OPERATIONS:
        return nullcontext()
    return threadpool_limits(limits=1, user_api="openmp")
