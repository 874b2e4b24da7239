"""torch's random generators, which are seeded during a fit and restored after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

# torch's default generator belongs to the whole process: two threads that draw from it are not reproducible.
_GENERATOR_LOCK = threading.RLock()


def _renew_lock() -> None:
    """Make a new lock, in a process that was forked while another thread held the old one."""
    global _GENERATOR_LOCK
    _GENERATOR_LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block, and restore the caller's generators after it.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device
        Device whose generator is seeded besides the CPU's. Generators of other GPUs do not change.

    Yields
    ------
    None
        When torch is seeded.
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
    """Set torch's generators to the states that `random_states` returned.

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
    """Return a context in which a GPU is torch's current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
