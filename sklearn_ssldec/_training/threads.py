"""The number of threads for a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

# Floating-point operations of a forward pass on a batch. With fewer, several threads are no faster than one
# (tests/benchmarks/threads.py).
FEW_OPERATIONS = 3e7


def estimate_operations(network: nn.Module, sample: Tensor) -> float:
    """Estimate the number of floating-point operations of a forward pass on one sample.

    Each weight of a dense layer counts twice, for a product and a sum, and each weight of a convolution twice
    for each place in its output. The estimate only decides between one thread and several.

    Parameters
    ----------
    network : Module
        The network. It is in eval mode afterwards.
    sample : Tensor of shape (n_samples, ...)
        Samples for a forward pass.
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        places = max((math.prod(each.shape[2:]) for each in tensors_in(output)), default=1)
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


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among the inputs or outputs of a layer, which may be nested.

    Parameters
    ----------
    value : Tensor, or sequence or dict of such
        What a layer takes or returns: of a recurrent layer, a tuple. Other values are left out.

    Yields
    ------
    Tensor
        One after the other.
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(each)


@cache
def thread_pools() -> ThreadpoolController:
    """Return the thread pools of this process.

    Looking for them takes 6 ms, more than a small prediction. Those of torch and scikit-learn are loaded with
    this package, so once is enough.
    """
    return ThreadpoolController()


def one_thread() -> AbstractContextManager:
    """Return a context in which the calling thread computes with one thread.

    If a process has computed with several threads of OpenMP, computing with several in a fork of it hangs.
    """
    return thread_pools().limit(limits=1, user_api="openmp")


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
