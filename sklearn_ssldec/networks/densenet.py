"""The network of the segmentation experiments (figure 3), in three dimensions and in two."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sklearn_ssldec.networks._convolutional import VoxelwiseNetwork, crop

# Filters of figure 3's three blocks of convolutions, and of the dense layers after them.
BLOCKS = (25, 50, 75)
CONVS_PER_BLOCK = 3
DENSE = (400, 200, 150)


class _DenseNet(VoxelwiseNetwork):
    """Three blocks of valid convolutions, whose outputs are the input of voxel-wise dense layers."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        width: float = 1.0,
        dropout: float = 0.25,
    ) -> None:
        super().__init__(input_shape, width, dropout)
        channels = input_shape[0]
        self.blocks = nn.ModuleList()
        for n in BLOCKS:
            n_filters = max(1, round(width * n))
            units: list[nn.Module] = []
            for _ in range(CONVS_PER_BLOCK):
                units += self._unit(channels, n_filters, size=3)
                channels = n_filters
            self.blocks.append(nn.Sequential(*units))
        channels = sum(max(1, round(width * n)) for n in BLOCKS)
        layers: list[nn.Module] = []
        for n in DENSE:
            n_filters = max(1, round(width * n))
            layers += [*self._unit(channels, n_filters, size=1), self._dropout(dropout)]
            channels = n_filters
        self.dense = nn.Sequential(*layers, *self._unit(channels, n_classes, size=1))
        self._use_fast_layout()

    def forward(self, x: Tensor) -> Tensor:
        r"""Return the embeddings of a batch.

        Parameters
        ----------
        x : Tensor of shape (n, n_channels, \*spatial)
            The batch.

        Returns
        -------
        Tensor of shape (n, n_classes, \*spatial)
            Embeddings, smaller by 9 voxels on each side.
        """
        outputs: list[Tensor] = []
        for block in self.blocks:
            outputs.append(block(outputs[-1] if outputs else x))
        smallest = outputs[-1].shape[2:]
        return self.dense(torch.cat([crop(output, smallest) for output in outputs], dim=1))


class DenseNet3D(_DenseNet):
    """Figure 3's network: three blocks of three valid 3x3x3 convolutions, whose outputs are concatenated.

    Each convolution is followed by batch normalisation and PReLU. The outputs of the three blocks (25, 50 and
    75 filters), cropped to the smallest, are the input of voxel-wise dense layers of 400, 200 and 150 units
    with dropout, and a last one of `n_classes`. A patch of 27x27x27 voxels gives embeddings of 9x9x9. PReLU
    has one weight a channel, so patches of any size fit; the authors' code has one a voxel.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, depth, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last; 1 is the paper's network.
    dropout : float, default=0.25
        Share of channels left out in training, after the dense layers. Narrow networks need less.

    Raises
    ------
    ValueError
        If `input_shape` does not have four entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = DenseNet3D(input_shape=(2, 27, 27, 27), n_classes=3, width=0.2)
    >>> network(torch.zeros(1, 2, 27, 27, 27)).shape
    torch.Size([1, 3, 9, 9, 9])
    """

    n_dims = 3
    training_patch_size = 27  # where the estimator's patch_size is "auto"


class DenseNet2D(_DenseNet):
    """The layers of :class:`DenseNet3D` in two dimensions, for images.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last.
    dropout : float, default=0.25
        Share of channels left out in training, after the dense layers.

    Raises
    ------
    ValueError
        If `input_shape` does not have three entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = DenseNet2D(input_shape=(1, 27, 27), n_classes=2, width=0.2)
    >>> network(torch.zeros(1, 1, 27, 27)).shape
    torch.Size([1, 2, 9, 9])
    """

    n_dims = 2
