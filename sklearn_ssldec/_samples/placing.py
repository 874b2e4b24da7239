"""Where training runs: the device, and the data on it."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device: for "auto" CUDA if there is a GPU, then MPS, then the CPU.

    Parameters
    ----------
    device : str or torch.device
        "auto", or what `torch.device` takes.

    Raises
    ------
    ValueError
        If torch does not know the device, or the machine does not have it.
    """
    if device != "auto":
        try:
            resolved = torch.device(device)
        except RuntimeError as error:
            raise ValueError(
                f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0', got {device!r}."
            ) from error
        _refuse_absent(resolved)
        return resolved
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _refuse_absent(device: torch.device) -> None:
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if device.type in there and there[device.type] <= (device.index or 0):
        names = ["cpu", *(f"{kind}:{i}" for kind, n in there.items() for i in range(n))]
        raise ValueError(
            f"device={str(device)!r} is not there: torch {torch.__version__} finds {', '.join(names)} here "
            "(a GPU needs a torch built for CUDA, and its driver)."
        )


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
    """Return the tensor on the device; copies to a GPU are asynchronous.

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
