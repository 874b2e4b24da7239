"""How many threads a network is worth."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

# Floating-point operations of a forward pass on a batch, below which threads give nothing or cost
# (tests/benchmarks/threads.py).
FEW_OPERATIONS = 3e7


def estimate_operations(network: nn.Module, sample: Tensor) -> float:
    """Return about how many floating-point operations a forward pass takes for one sample.

    Each weight of a dense layer counts twice, for a product and a sum; each weight of a convolution as often
    as there are places in its output. It decides between one thread and all, for which that is enough.

    Parameters
    ----------
    network : Module
        The network; in eval mode afterwards.
    sample : Tensor of shape (n_samples, ...)
        Samples for which a forward pass is made.
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        places = math.prod(output.shape[2:]) if output.ndim > 2 else 1
        counts.append(2 * places * sum(p.numel() for p in layer.parameters(recurse=False) if p.ndim > 1))

    layers = [
        layer for layer in network.modules() if any(p.ndim > 1 for p in layer.parameters(recurse=False))
    ]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            network.eval()(sample)
    finally:
        for handle in handles:
            handle.remove()
    return float(sum(counts))


def one_thread() -> AbstractContextManager:
    """Return a context in which the calling thread computes on one thread.

    A process that has computed on several of OpenMP's threads hangs when a fork of it does.
    """
    return threadpool_limits(limits=1, user_api="openmp")


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
    return one_thread()
