"""A network with the head on top of it, and how it is built."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class EmbeddingNetwork(nn.Module):
    """A network that embeds, and the head on top of it.

    Parameters
    ----------
    embedding : Module
        Maps a batch to embeddings of shape (n_samples, n_features).
    head : Module
        Maps embeddings to log q: a ClusteringLayer, or the softmax layer of a baseline.
    """

    def __init__(self, embedding: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        r"""Return log q of a batch; the head computes in float32.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        Tensor of shape (n, n_classes) or (n, n_classes, \*spatial)
            Log q, or the log-probabilities of a baseline.
        """
        z = self.embedding(x)
        # A network of one's own may return float32 in autocast, in which the head would go on in bfloat16.
        # Only of these kinds of device every version of torch can tell.
        kind = z.device.type
        is_cast = kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)
        if z.dtype is not torch.bfloat16 and not is_cast:
            return self.head(z)
        with torch.autocast(kind, enabled=False):
            return self.head(z.float())


def build_network(
    module: type[nn.Module] | nn.Module | Callable[..., nn.Module],
    kwargs: dict[str, Any],
    sample: Tensor,
    n_classes: int,
    head: Callable[[int, int], nn.Module],
    voxelwise: bool = False,
) -> EmbeddingNetwork:
    """Build the embedding network and put the head on top of it.

    Parameters
    ----------
    module : Module class, Module instance or callable
        The network that maps a batch to embeddings. A class (or callable) is called with `kwargs`, and with
        ``input_shape`` and ``n_classes`` if it takes them; an instance is copied.
    kwargs : dict
        The parameters ``module__*``; modules among them are copied.
    sample : Tensor of shape (2, ...)
        Two samples, which show the size of the embedding.
    n_classes : int
        Number of classes.
    head : callable
        ``head(n_features, n_classes)`` returns the head.
    voxelwise : bool, default=False
        Whether each voxel of a sample has an embedding, instead of each sample.

    Returns
    -------
    EmbeddingNetwork
        The network.

    Raises
    ------
    ValueError
        If `module` does not take `kwargs` or does not map samples to embeddings.
    """
    if isinstance(module, nn.Module):
        if kwargs:
            names = ", ".join(f"module__{name}" for name in kwargs)
            raise ValueError(f"{names} cannot be set: module is an instance. Pass its class instead.")
        embedding = copy.deepcopy(module)
    else:
        known = inspect.signature(module).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            for name in kwargs.keys() - known.keys():
                raise ValueError(
                    f"Invalid parameter module__{name} for module {module.__name__}: it takes "
                    f"{', '.join(f'module__{known_name}' for known_name in known)}."
                )
        from_data = {"input_shape": tuple(sample.shape[1:]), "n_classes": n_classes}
        # A fit does not change its parameters, and networks of an ensemble share no weights.
        own = {name: copy.deepcopy(v) if isinstance(v, nn.Module) else v for name, v in kwargs.items()}
        embedding = module(**{name: v for name, v in from_data.items() if name in known} | own)
        if torch.get_default_dtype() != sample.dtype:  # the caller's default; samples are float32
            embedding = embedding.to(sample.dtype)
    embedding = embedding.to(sample.device)
    try:
        with torch.no_grad():
            z = embedding.eval()(sample)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"module failed on two samples of shape {tuple(sample.shape[1:])}: {error}"
        ) from error
    n_axes = sample.ndim if voxelwise else 2
    if not isinstance(z, Tensor) or z.ndim != n_axes or len(z) != len(sample):
        shape = "(n_samples, n_features, *spatial)" if voxelwise else "(n_samples, n_features)"
        got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(
            f"module must map a batch to a tensor of embeddings of shape {shape}; for a batch of shape "
            f"{tuple(sample.shape)} it returned {got}."
        )
    network = EmbeddingNetwork(embedding, head(z.shape[1], n_classes).to(sample))
    made_of = (
        f"{module.__module__}.{module.__qualname__}"
        if hasattr(module, "__qualname__")
        else repr(type(module))
    )
    # From this, persistence rebuilds it.
    vars(network)["recipe"] = {"module": made_of, "kwargs": kwargs, "shape": tuple(sample.shape[1:])}
    return network
