"""The softmax layer, which the baselines have in place of the clustering layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SoftmaxHead(nn.Module):
    """Dense layer and log-softmax: what the paper's figure 1a has where SSLDEC has the clustering layer.

    It works on embeddings of samples, and of voxels, whose features stand along the second axis too.

    Parameters
    ----------
    n_features : int
        Size of the embedding.
    n_classes : int
        Number of classes.
    spread : float, default=None
        The weights start at so many times the unit vectors, the biases at 0, if `n_features` is at least
        `n_classes`. None is torch's random initialisation.
    """

    def __init__(self, n_features: int, n_classes: int, spread: float | None = None) -> None:
        super().__init__()
        self.n_features = n_features
        self.dense = nn.Linear(n_features, n_classes)
        if spread is not None and n_features >= n_classes:
            nn.init.eye_(self.dense.weight)
            self.dense.weight.data.mul_(spread)
            nn.init.zeros_(self.dense.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logarithm of the class probabilities of the embeddings `z`."""
        return torch.log_softmax(self.dense(z.movedim(1, -1)), dim=-1).movedim(-1, 1)
