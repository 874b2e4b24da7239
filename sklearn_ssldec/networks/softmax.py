"""The softmax layer, with which the baselines replace the clustering layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SoftmaxHead(nn.Module):
    """Dense layer and log-softmax, the paper's figure 1a, in place of the clustering layer.

    It works on embeddings of samples and of voxels, both with the features along the second axis.

    Parameters
    ----------
    n_features : int
        Size of the embedding.
    n_classes : int
        Number of classes.
    spread : float, default=None
        Scale of the initial weights, which are unit vectors times this value; biases are 0. Needs at least as
        many features as classes; with fewer, and if it is None, the initialisation is torch's.
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
        r"""Return the logarithm of the class probabilities of embeddings.

        Parameters
        ----------
        z : Tensor of shape (n, n_features, \*spatial)
            Embeddings.

        Returns
        -------
        Tensor of shape (n, n_classes, \*spatial)
            Log-probabilities.
        """
        return torch.log_softmax(self.dense(z.movedim(1, -1)), dim=-1).movedim(-1, 1)
