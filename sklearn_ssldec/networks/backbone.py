"""A network that was trained elsewhere, with a new last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """A network that was trained elsewhere, then a dense layer to the embedding with batch normalisation.

    Its weights go on learning from what they are, or stay as they are. Its batch normalisation keeps the
    means and variances of what it was trained on: a few hundred batches of other images would leave them
    somewhere between both, and predictions would be made with neither.

    Parameters
    ----------
    network : Module
        Maps a batch to features: a model of timm, torchvision or transformers without its last layer. The
        estimators copy it.
    input_shape : tuple of int
        Shape of one sample. Filled in from X by the estimators.
    n_classes : int
        Number of classes. Filled in from y by the estimators.
    frozen : bool, default=False
        Whether the network's weights stay as they are. Its normalisation and dropout then are in evaluation
        mode, also in training.
    frozen_norm : bool, default=True
        Whether the network's batch normalisation keeps its means and variances; its weights and biases
        learn. False lets it normalise by the batch in training, and follow with running means: for a network
        that was not trained, or long training.

    Raises
    ------
    ValueError
        If the network does not map a batch to one tensor with a row for each sample.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    >>> backbone = Backbone(network, input_shape=(3, 16, 16), n_classes=2, frozen=True)
    >>> backbone(torch.zeros(5, 3, 16, 16)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        input_shape: tuple[int, ...],
        n_classes: int,
        frozen: bool = False,
        frozen_norm: bool = True,
    ) -> None:
        super().__init__()
        with torch.no_grad():
            features = network.eval()(torch.zeros(2, *input_shape))
        if not isinstance(features, Tensor) or len(features) != 2:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                "network must map a batch to a tensor of features with a row for each sample; for two "
                f"samples it returned {got}. Wrap one that returns something else in a module of your own."
            )
        self.network = network
        self.frozen, self.frozen_norm = frozen, frozen_norm
        if frozen:
            network.requires_grad_(False)
        self.last = nn.Sequential(nn.Linear(features[0].numel(), n_classes), nn.BatchNorm1d(n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings of a batch.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        Tensor of shape (n, n_classes)
            Embeddings.
        """
        return self.last(self.network(x).flatten(1))

    def train(self, mode: bool = True) -> Backbone:
        """Set training or evaluation mode; what is frozen stays in evaluation mode.

        Parameters
        ----------
        mode : bool, default=True
            Whether it is training mode.

        Returns
        -------
        Backbone
            This module.
        """
        super().train(mode)
        if self.frozen:
            self.network.eval()
        elif self.frozen_norm:
            for module in self.network.modules():
                if getattr(module, "running_mean", None) is not None:
                    module.eval()
        return self
