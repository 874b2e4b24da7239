"""Warm starts: the weights of networks that were trained before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_ssldec.networks.embedding import EmbeddingNetwork

_OTHER_NETWORK = (
    "warm_start=True goes on from the network of the last fit, but this fit makes another one: its samples "
    "or its parameters differ. clone(estimator) starts anew."
)


@dataclass(frozen=True)
class Start:
    """The weights that a network starts from.

    Attributes
    ----------
    embedding : dict of str to Tensor
        State of the embedding.
    centers : Tensor of shape (n_classes_before, n_features_before)
        Centroids.
    rows : tuple of (int or None)
        For each class of the new fit the row of its centroid; None if the class is new.
    """

    embedding: Mapping[str, Tensor]
    centers: Tensor
    rows: tuple[int | None, ...]

    def arrays(self) -> list[np.ndarray]:
        """Return the weights as arrays, by which a checkpoint recognizes its fit."""
        return [value.numpy() for value in (*self.embedding.values(), self.centers)]

    def load_into(self, network: EmbeddingNetwork) -> None:
        """Copy the weights into a network for the new classes.

        With more classes, the embedding may have more features (by default, as many as classes). The first
        ones are those from before; centroids of old classes lie at 0 in the others, of which each new class
        gets one. Without such a feature, a new class has the centroid of a new network.

        Parameters
        ----------
        network : EmbeddingNetwork
            The network, changed in place.

        Raises
        ------
        ValueError
            If its weights have other shapes, for another reason than the number of features.
        """
        centers: Any = network.head.centers
        n_before, n_features = self.centers.shape[1], centers.shape[1]
        with torch.no_grad():
            state = network.embedding.state_dict()
            if unknown := sorted(state.keys() ^ self.embedding.keys()):
                raise ValueError(f"{_OTHER_NETWORK} {unknown[0]} is in one of the two only.")
            for name, values in state.items():
                _copy(name, self.embedding[name], values, n_before, n_features)
            scale = centers.norm(dim=1).mean()
            own_feature = iter(range(n_before, n_features))
            n_kept = min(n_before, n_features)
            for row, before in zip(centers, self.rows, strict=True):
                feature = None if before is not None else next(own_feature, None)
                if before is not None:
                    row.zero_()[:n_kept] = self.centers[before, :n_kept]
                elif feature is not None:
                    row.zero_()[feature] = scale


def _copy(name: str, before: Tensor, values: Tensor, n_before: int, n_features: int) -> None:
    """Copy a weight; of one with a row for each embedding feature, as many rows as both have."""
    if before.shape == values.shape:
        values.copy_(before)
    elif before.shape[1:] == values.shape[1:] and (len(before), len(values)) == (n_before, n_features):
        n_kept = min(n_before, n_features)
        values[:n_kept] = before[:n_kept]
    else:
        raise ValueError(
            f"{_OTHER_NETWORK} {name} has the shape {tuple(values.shape)} and had {tuple(before.shape)}."
        )


def starts_from(
    networks: Sequence[Any], before: np.ndarray, classes: np.ndarray, n_networks: int
) -> tuple[Start, ...]:
    """Return what networks for `classes` start from.

    Parameters
    ----------
    networks : sequence of EmbeddingNetwork
        The networks of the last fit.
    before : ndarray of shape (n_classes_before,)
        Their classes.
    classes : ndarray of shape (n_classes,)
        The classes of the new fit.
    n_networks : int
        Number of networks; if it is larger than before, some start from the same one.
    """
    place = {name: i for i, name in enumerate(before.tolist())}
    rows = tuple(place.get(name) for name in classes.tolist())
    starts = []
    for i in range(n_networks):
        network = networks[i % len(networks)]
        state = {name: value.detach().cpu().clone() for name, value in network.embedding.state_dict().items()}
        starts.append(Start(state, network.head.centers.detach().cpu().clone(), rows))
    return tuple(starts)
