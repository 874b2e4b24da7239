"""The network of the segmentation experiments (figure 3), and its sibling for two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

# Filters of figure 3's three blocks of convolutions, and of the dense layers on top of them.
BLOCKS = (25, 50, 75)
CONVS_PER_BLOCK = 3
DENSE = (400, 200, 150)


class _DenseNet(nn.Module):
    """Three blocks of valid convolutions whose outputs meet in voxel-wise dense layers."""

    n_dims: ClassVar[int]
    _conv: ClassVar[type[nn.Module]]
    _norm: ClassVar[type[nn.Module]]
    _dropout: ClassVar[type[nn.Module]]

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        width: float = 1.0,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        if len(input_shape) != self.n_dims + 1:
            raise ValueError(
                f"{type(self).__name__} takes patches of shape (n_channels, "
                f"{', '.join(['side'] * self.n_dims)}), got {tuple(input_shape)}."
            )
        if width <= 0:
            raise ValueError(f"width must be positive, got {width!r}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout!r}.")
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
        # The fast layout of oneDNN: a step takes a twentieth less time, and so does a prediction.
        self.to(memory_format=torch.channels_last_3d if self.n_dims == 3 else torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings of the patches `x`, smaller by 9 voxels on each side."""
        outputs: list[Tensor] = []
        for block in self.blocks:
            outputs.append(block(outputs[-1] if outputs else x))
        smallest = outputs[-1].shape[2:]
        return self.dense(torch.cat([crop(output, smallest) for output in outputs], dim=1))

    def _unit(self, channels: int, n_filters: int, size: int) -> tuple[nn.Module, ...]:
        """Return a valid convolution with batch normalisation and PReLU.

        Kernels are initialised as Keras, the authors' library, does; PReLU as its inventors and torch do, at
        0.25. Keras' 0 would leave the half of the embedding's space that a centroid starts in out of reach.
        """
        convolution = self._conv(channels, n_filters, size)
        nn.init.xavier_uniform_(convolution.weight)  # type: ignore[arg-type]
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        return convolution, self._norm(n_filters), nn.PReLU(n_filters)


class DenseNet3D(_DenseNet):
    """Figure 3's network: three blocks of three valid 3x3x3 convolutions, whose outputs are concatenated.

    Each convolution is followed by batch normalisation and PReLU. The outputs of the three blocks (25, 50 and
    75 filters), cropped to the smallest, meet in voxel-wise dense layers of 400, 200 and 150 units, with
    dropout, and a last one of `n_classes`. A patch of 27x27x27 voxels gives embeddings of 9x9x9. PReLU has a
    weight a channel, where the authors' code has one a voxel: so patches of any size fit.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, depth, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last; 1 is the paper's network.
    dropout : float, default=0.25
        Share of channels left out in training, behind the dense layers. Narrow networks want less.

    Raises
    ------
    ValueError
        If `input_shape` has not four entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = DenseNet3D(input_shape=(2, 27, 27, 27), n_classes=3, width=0.2)
    >>> network(torch.zeros(1, 2, 27, 27, 27)).shape
    torch.Size([1, 3, 9, 9, 9])
    """

    n_dims, _conv, _norm, _dropout = 3, nn.Conv3d, nn.BatchNorm3d, nn.Dropout3d


class DenseNet2D(_DenseNet):
    """The sibling of :class:`DenseNet3D` for images: the same layers in two dimensions.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters of every layer but the last.
    dropout : float, default=0.25
        Share of channels left out in training, behind the dense layers.

    Raises
    ------
    ValueError
        If `input_shape` has not three entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = DenseNet2D(input_shape=(1, 27, 27), n_classes=2, width=0.2)
    >>> network(torch.zeros(1, 1, 27, 27)).shape
    torch.Size([1, 2, 9, 9])
    """

    n_dims, _conv, _norm, _dropout = 2, nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d


def crop(z: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the middle of a batch of feature maps.

    Parameters
    ----------
    z : Tensor of shape (n, n_channels, ...)
        Feature maps.
    shape : sequence of int
        Their spatial shape afterwards.
    """
    for axis, size in enumerate(shape, start=2):
        z = z.narrow(axis, (z.shape[axis] - size) // 2, size)
    return z
