"""Where training runs: the device, its random generators, its threads, and the data on it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# torch's default generator belongs to the whole process: two threads that draw from it are not reproducible.
_GENERATOR_LOCK = threading.RLock()

# Floating-point operations of a forward pass on a batch, below which threads give nothing or cost
# (tests/benchmarks/threads.py).
FEW_OPERATIONS = 3e7


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device: for "auto" CUDA if there is a GPU, then MPS, then the CPU.

    Parameters
    ----------
    device : str or torch.device
        "auto", or what `torch.device` takes.

    Raises
    ------
    ValueError
        If torch does not know the device.
    """
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError as error:
            raise ValueError(
                f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0', got {device!r}."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block and put the caller's generators back behind it.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device
        Device whose generator is seeded besides the CPU's; those of other GPUs are left alone.
    """
    with _GENERATOR_LOCK:
        before = random_states(device)
        try:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all GPUs
            if device.type != "cpu":
                with _current(device):
                    torch.get_device_module(device).manual_seed(seed)
            yield
        finally:
            set_random_states(before, device)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators: the CPU's, and the device's own.

    Parameters
    ----------
    device : torch.device
        The device.
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        with _current(device):
            states["device"] = torch.get_device_module(device).get_rng_state()
    return states


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Bring torch's generators to the states that `random_states` returned.

    Parameters
    ----------
    states : dict of Tensor
        The states.
    device : torch.device
        The device.
    """
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        with _current(device):
            torch.get_device_module(device).set_rng_state(states["device"])


def _current(device: torch.device) -> AbstractContextManager:
    """Return a context in which a GPU is the one that torch's functions without a device are about."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def place(X: np.ndarray, device: torch.device) -> Tensor:
    """Return X as a tensor, on the device if it takes at most half of its free memory.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        Samples; shared, not copied, on a CPU.
    device : torch.device
        Where training runs.
    """
    with warnings.catch_warnings():
        # Read-only arrays (joblib's memory maps): nothing here writes to X.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        samples = torch.from_numpy(X)
    if device.type == "cuda" and X.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return samples
    return samples.to(device)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device, to which a GPU copies it while the program goes on.

    Parameters
    ----------
    tensor : Tensor
        What to move.
    device : torch.device
        Where to.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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
