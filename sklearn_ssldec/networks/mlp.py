"""The network of the half-moons experiment (section IV-C)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Dense layers with ReLU, then a dense layer to the embedding, without activation.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample. Filled in from X by the estimators.
    n_classes : int
        Number of classes. Filled in from y by the estimators.
    hidden_units : sequence of int, default=(32, 32, 32, 32)
        Size of each hidden layer. The paper has (10, 10, 10, 10) on the half-moons.
    embedding_size : int, default=None
        Size of the embedding; None is the number of classes, as in the paper.
    dropout : float, default=0.0
        Share of the hidden units left out in training, in [0, 1).

    Examples
    --------
    >>> import torch
    >>> MLP(input_shape=(20,), n_classes=3)(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        hidden_units: Sequence[int] = (32, 32, 32, 32),
        embedding_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        size = math.prod(input_shape)
        for units in hidden_units:
            layers += [nn.Linear(size, units), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            size = units
        layers.append(nn.Linear(size, embedding_size or n_classes))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings of a batch.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        Tensor of shape (n, embedding_size)
            Embeddings.
        """
        return self.layers(x)
