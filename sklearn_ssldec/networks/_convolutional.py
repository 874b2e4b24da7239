"""The base of the networks for voxels: checks of parameters, layers and memory layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class VoxelwiseNetwork(nn.Module):
    """A network of convolutions in two or three dimensions.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, and sides of a patch.
    width : float
        Multiplies the number of filters.
    dropout : float
        Share of channels left out in training.

    Raises
    ------
    ValueError
        If `input_shape` has another number of axes, or a parameter is out of its range.
    """

    n_dims: ClassVar[int]

    def __init__(self, input_shape: tuple[int, ...], width: float, dropout: float) -> None:
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

    def _unit(
        self, channels: int, n_filters: int, size: int, stride: int = 1, padding: int = 0
    ) -> tuple[nn.Module, nn.Module, nn.Module]:
        """Return a convolution with batch normalisation and PReLU.

        Kernels are initialised as in Keras, the authors' library, and PReLU with 0.25 as in its paper and in
        torch. With Keras' 0, embeddings could not reach the half of the space in which a centroid may start.
        """
        kind = nn.Conv3d if self.n_dims == 3 else nn.Conv2d
        convolution = kind(channels, n_filters, size, stride=stride, padding=padding)
        nn.init.xavier_uniform_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        norm = (nn.BatchNorm3d if self.n_dims == 3 else nn.BatchNorm2d)(n_filters)
        return convolution, norm, nn.PReLU(n_filters)

    def _dropout(self, share: float) -> nn.Module:
        return (nn.Dropout3d if self.n_dims == 3 else nn.Dropout2d)(share)

    def _use_fast_layout(self) -> None:
        # The layout of oneDNN: a step takes a twentieth less time, and so does a prediction.
        layout = torch.channels_last_3d if self.n_dims == 3 else torch.channels_last
        self.to(memory_format=layout)  # type: ignore[call-overload]


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
