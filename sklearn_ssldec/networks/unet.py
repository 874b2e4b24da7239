"""U-Nets, in three dimensions and two: convolutions at several resolutions."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_ssldec.networks._convolutional import VoxelwiseNetwork

# Filters of the finest level at width 1; each coarser level has twice as many.
FILTERS = 32


class _UNet(VoxelwiseNetwork):
    """Two convolutions on each level, on the way down to lower resolutions and on the way back up."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        width: float = 1.0,
        n_levels: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(input_shape, width, dropout)
        if n_levels < 1:
            raise ValueError(f"n_levels must be at least 1, got {n_levels!r}.")
        filters = [max(1, round(width * FILTERS * 2**level)) for level in range(n_levels)]
        self.first = self._block(input_shape[0], filters[0])
        self.halvings, self.down, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for fine, coarse in pairwise(filters):
            # Strided convolutions and not max-pooling, whose gradient is not reproducible on GPUs.
            self.halvings.append(nn.Sequential(*self._unit(fine, fine, size=2, stride=2)))
            self.down.append(self._block(fine, coarse))
            self.up.insert(0, self._block(fine + coarse, fine))
        self.last = nn.Sequential(self._dropout(dropout), *self._unit(filters[0], n_classes, size=1))
        self._use_fast_layout()

    @property
    def stride(self) -> int:
        """Number of input voxels, along an axis, that are one voxel on the coarsest level."""
        return int(2 ** len(self.halvings))

    @property
    def context(self) -> int:
        """Number of voxels on each side of a box that influence the embeddings in it, rounded up to `stride`.

        With this margin, a box that starts at a multiple of `stride` has the same embeddings as in the whole
        volume.
        """
        # Two convolutions of size 3 on the way down, and two on the way up but for the coarsest level.
        reach = 2 * self.stride + sum(4 * 2**level for level in range(len(self.halvings)))
        reach += self.stride - 1  # the other voxels that are one with the farthest on the coarsest level
        return -(-reach // self.stride) * self.stride

    def forward(self, x: Tensor) -> Tensor:
        r"""Return the embeddings of a batch.

        Parameters
        ----------
        x : Tensor of shape (n, n_channels, \*spatial)
            The batch.

        Returns
        -------
        Tensor of shape (n, n_classes, \*spatial)
            Embeddings, of the same spatial shape.
        """
        size = x.shape[2:]
        missing = [-n % self.stride for n in size]
        if any(missing):
            x = functional.pad(x, [side for n in reversed(missing) for side in (0, n)], mode="replicate")
        outputs = [self.first(x)]
        for halve, block in zip(self.halvings, self.down, strict=True):
            outputs.append(block(halve(outputs[-1])))
        z = outputs.pop()
        for block in self.up:
            z = block(torch.cat([outputs.pop(), functional.interpolate(z, scale_factor=2.0)], dim=1))
        z = self.last(z)
        for axis, n in enumerate(size, start=2):
            z = z.narrow(axis, 0, n)
        return z

    def _block(self, channels: int, n_filters: int) -> nn.Sequential:
        first = self._unit(channels, n_filters, size=3, padding=1)
        return nn.Sequential(*first, *self._unit(n_filters, n_filters, size=3, padding=1))


class UNet3D(_UNet):
    """U-Net [1]_ for volumes, with the units and the embedding of figure 3's network.

    Each of `n_levels` levels has two 3x3x3 convolutions on the way down and two on the way up, whose input
    includes the output of the way down. Between levels, a convolution halves the resolution, and the number
    of filters doubles: 32, 64 and 128 at `width` 1. Each convolution is followed by batch normalisation and
    PReLU. The last one, 1x1x1, makes embeddings of `n_classes` features. Borders are padded, so that a patch
    of any size has as many embeddings as voxels. An embedding depends on 44 voxels along an axis (19 in
    figure 3's network), with a fraction of the multiplications.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, depth, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last.
    n_levels : int, default=3
        Number of resolutions. Another level doubles the number of voxels that are seen along an axis.
    dropout : float, default=0.1
        Share of channels left out in training, before the last layer.

    Raises
    ------
    ValueError
        If `input_shape` does not have four entries, or another parameter is out of its range.

    References
    ----------
    .. [1] Ö. Çiçek et al., "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation", MICCAI
       2016, :doi:`10.1007/978-3-319-46723-8_49`.

    Examples
    --------
    >>> import torch
    >>> network = UNet3D(input_shape=(2, 32, 32, 32), n_classes=3, width=0.25)
    >>> network(torch.zeros(1, 2, 32, 30, 25)).shape
    torch.Size([1, 3, 32, 30, 25])
    """

    n_dims = 3


class UNet2D(_UNet):
    """The layers of :class:`UNet3D` in two dimensions, for images.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last.
    n_levels : int, default=3
        Number of resolutions. Another level doubles the number of pixels that are seen along an axis.
    dropout : float, default=0.1
        Share of channels left out in training, before the last layer.

    Raises
    ------
    ValueError
        If `input_shape` does not have three entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = UNet2D(input_shape=(1, 64, 64), n_classes=2, width=0.25)
    >>> network(torch.zeros(1, 1, 64, 50)).shape
    torch.Size([1, 2, 64, 50])
    """

    n_dims = 2
