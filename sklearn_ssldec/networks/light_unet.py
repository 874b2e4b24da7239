"""U-Nets for large images and volumes on a small budget: fewer convolutions, anisotropic steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_ssldec.networks._convolutional import VoxelwiseNetwork

# Filters of the finest level at width 1; each coarser level has twice as many, up to `max_filters`.
FILTERS = 32


class _LightUNet(VoxelwiseNetwork):
    """Two convolutions on each level down, one on each level up."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        width: float = 1.0,
        n_levels: int = 5,
        strides: Sequence[Sequence[int]] | None = None,
        stem: int = 1,
        max_filters: int = 320,
        dropout: float = 0.1,
        kernels: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(input_shape, width, dropout)
        for name, value in (("n_levels", n_levels), ("stem", stem), ("max_filters", max_filters)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}.")
        self.strides = self._as_strides(strides, n_levels)
        self.kernels = self._as_kernels(kernels, n_levels)
        self.stem = stem
        filters = [min(max_filters, max(1, round(width * FILTERS * 2**level))) for level in range(n_levels)]
        n_parts = stem**self.n_dims
        one = (1,) * self.n_dims
        self.first = self._pair(input_shape[0] * n_parts, filters[0], self.kernels[0], one)
        self.down, self.narrow, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, stride in enumerate(self.strides):
            fine, coarse = filters[level], filters[level + 1]
            self.down.append(self._pair(fine, coarse, self.kernels[level + 1], stride))
            # Narrower before it is finer: the convolution on both would else be half of all that is computed.
            self.narrow.insert(0, self._convolution(coarse, fine, one, one))
            self.up.insert(0, self._light_unit(2 * fine, fine, self.kernels[level], one))
        self.dropout = self._dropout(dropout)
        self.last = self._convolution(filters[0], n_classes * n_parts, one, one)
        self.apart = Apart(stem)
        self.norm = (nn.BatchNorm3d if self.n_dims == 3 else nn.BatchNorm2d)(n_classes)
        self._use_fast_layout()

    def _as_strides(
        self, strides: Sequence[Sequence[int]] | None, n_levels: int
    ) -> tuple[tuple[int, ...], ...]:
        if strides is None:
            return ((2,) * self.n_dims,) * (n_levels - 1)
        where = f"{n_levels - 1} steps between the {n_levels} levels"
        return self._for_each_axis("strides", strides, n_levels - 1, where, (1, 2))

    def _as_kernels(
        self, kernels: Sequence[Sequence[int]] | None, n_levels: int
    ) -> tuple[tuple[int, ...], ...]:
        if kernels is None:
            return ((3,) * self.n_dims,) * n_levels
        return self._for_each_axis("kernels", kernels, n_levels, f"{n_levels} levels", (1, 3))

    def _for_each_axis(
        self, name: str, values: Sequence[Sequence[int]], n: int, where: str, allowed: tuple[int, int]
    ) -> tuple[tuple[int, ...], ...]:
        checked = tuple(tuple(int(k) for k in of_axes) for of_axes in values)
        if len(checked) != n or any(
            len(of_axes) != self.n_dims or not set(of_axes) <= set(allowed) for of_axes in checked
        ):
            raise ValueError(
                f"{name} must hold, for each of the {where}, {self.n_dims} numbers that are "
                f"{allowed[0]} or {allowed[1]}, got {values!r}."
            )
        return checked

    def _pair(
        self, channels: int, n_filters: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> nn.Sequential:
        second = self._light_unit(n_filters, n_filters, size, (1,) * self.n_dims)
        return nn.Sequential(*self._light_unit(channels, n_filters, size, stride), *second)

    def _light_unit(
        self, channels: int, n_filters: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> nn.Sequential:
        norm = (nn.BatchNorm3d if self.n_dims == 3 else nn.BatchNorm2d)(n_filters)
        # PReLU's gradient would take an eighth of a step on a CPU.
        return nn.Sequential(
            self._convolution(channels, n_filters, size, stride), norm, nn.LeakyReLU(0.01, inplace=True)
        )

    def _convolution(
        self, channels: int, n_filters: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> nn.Module:
        kind = nn.Conv3d if self.n_dims == 3 else nn.Conv2d
        padding = tuple(n // 2 for n in size)
        # No bias: batch normalisation would take it away again.
        return kind(channels, n_filters, size, stride=stride, padding=padding, bias=False)  # type: ignore[arg-type]

    @property
    def strides_in_all(self) -> tuple[int, ...]:
        """Number of input voxels, along each axis, that are one voxel on the coarsest level."""
        return tuple(
            self.stem * math.prod(steps[axis] for steps in self.strides) for axis in range(self.n_dims)
        )

    @property
    def stride(self) -> int:
        """The largest of `strides_in_all`, a multiple of the others."""
        return max(self.strides_in_all)

    @property
    def context(self) -> int:
        """Number of voxels on each side of a box that influence the embeddings in it, rounded up to `stride`.

        With this margin, a box that starts at a multiple of `stride` has the same embeddings as in the whole
        volume.
        """
        reaches = []
        for axis, whole in enumerate(self.strides_in_all):
            halves = [kernel[axis] // 2 for kernel in self.kernels]
            # Two convolutions on the way down, one on the way up.
            fine, reach = self.stem, 3 * halves[0] * self.stem
            for steps, half in zip(self.strides, halves[1:], strict=True):
                reach += half * fine  # the first convolution of the coarser level looks at the finer one
                fine *= steps[axis]
                reach += 2 * half * fine
            # And the other voxels that are one with the farthest on the coarsest level.
            reaches.append(reach + whole - 1)
        return -(-max(reaches) // self.stride) * self.stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings of the patches `x`, of the same spatial shape."""
        size = x.shape[2:]
        missing = [-n % stride for n, stride in zip(size, self.strides_in_all, strict=True)]
        if any(missing):
            x = functional.pad(x, [side for n in reversed(missing) for side in (0, n)], mode="replicate")
        if self.stem > 1:
            x = put_together(x, self.stem)
        outputs = [self.first(x)]
        for block in self.down:
            outputs.append(block(outputs[-1]))
        z = outputs.pop()
        for narrow, block, stride in zip(self.narrow, self.up, reversed(self.strides), strict=True):
            finer = functional.interpolate(narrow(z), scale_factor=[float(n) for n in stride])
            z = block(torch.cat([outputs.pop(), finer], dim=1))
        z = self.norm(self.apart(self.last(self.dropout(z))))
        for axis, n in enumerate(size, start=2):
            z = z.narrow(axis, 0, n)
        return z


def put_together(x: Tensor, factor: int) -> Tensor:
    """Make the voxels of each block of `factor` a side the channels of one voxel.

    Parameters
    ----------
    x : Tensor of shape (n, n_channels, *spatial)
        Feature maps, whose sides are multiples of `factor`.
    factor : int
        Side of a block.

    Returns
    -------
    Tensor of shape (n, n_channels * factor**n_dims, *coarser)
        All voxels of a block for the first channel, then for the second, and so on.
    """
    n, channels, *sides = x.shape
    n_dims = len(sides)
    if n_dims == 2:
        return functional.pixel_unshuffle(x, factor).contiguous(memory_format=torch.channels_last)
    x = x.reshape(n, channels, *[part for side in sides for part in (side // factor, factor)])
    outer, inner = range(2, 2 + 2 * n_dims, 2), range(3, 3 + 2 * n_dims, 2)
    x = x.permute(0, 1, *inner, *outer).reshape(n, -1, *[side // factor for side in sides])
    return x.contiguous(memory_format=torch.channels_last_3d if n_dims == 3 else torch.channels_last)


class Apart(nn.Module):
    """The way back from `put_together`.

    Parameters
    ----------
    factor : int
        Side of a block.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` at `factor` times the resolution.

        Parameters
        ----------
        x : Tensor of shape (n, n_channels, *spatial)
            A batch.

        Returns
        -------
        Tensor of shape (n, n_channels, *spatial)
            The batch, with `factor` times as many voxels along each axis.
        """
        if self.factor == 1:
            return x
        n, channels, *sides = x.shape
        n_dims = len(sides)
        if n_dims == 2:
            return functional.pixel_shuffle(x, self.factor)
        x = x.reshape(n, -1, *[self.factor] * n_dims, *sides)
        pairs = ((axis + n_dims, axis) for axis in range(2, 2 + n_dims))
        x = x.permute(0, 1, *itertools.chain.from_iterable(pairs))
        return x.reshape(n, channels // self.factor**n_dims, *[side * self.factor for side in sides])


class LightUNet3D(_LightUNet):
    """U-Net [1]_ for large volumes on a small budget, whose shape `SSLDECSegmenter` plans from the data.

    Two 3x3x3 convolutions on each level on the way down, of which the first takes the step to the coarser
    level, and one on the way up, each followed by batch normalisation and a leaky ReLU, as in nnU-Net [2]_;
    filters are doubled from level to level up to `max_filters`, beginning with 32 at `width` 1. The
    embedding, of `n_classes` features, is normalised. Borders are padded, so that a patch of any size has as
    many embeddings as voxels.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, depth, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters.
    n_levels : int, default=5
        Number of resolutions.
    strides : sequence of (n_levels - 1) sequences of int, default=None
        By what each axis is divided from one level to the next, 1 or 2; None halves all axes each time.
    stem : int, default=1
        The finest level works at 1/`stem` of the resolution, on the voxels of each block of `stem` a side as
        channels, and its embeddings are taken apart again in the end. 2 makes a step several times faster.
    max_filters : int, default=320
        No level has more filters.
    dropout : float, default=0.1
        Share of channels left out in training, before the last layer.
    kernels : sequence of `n_levels` sequences of int, default=None
        Size of the kernels of each level along each axis, 1 or 3; None is 3 throughout.

    Raises
    ------
    ValueError
        If `input_shape` has not four entries, or another parameter is out of its range.

    References
    ----------
    .. [1] Ö. Çiçek et al., "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation", MICCAI
       2016, :doi:`10.1007/978-3-319-46723-8_49`.
    .. [2] F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
       segmentation", Nature Methods 18, 2021, :doi:`10.1038/s41592-020-01008-z`.

    Examples
    --------
    >>> import torch
    >>> strides = [(1, 2, 2), (2, 2, 2)]
    >>> network = LightUNet3D((1, 8, 64, 64), n_classes=3, width=0.25, n_levels=3, strides=strides)
    >>> network(torch.zeros(1, 1, 8, 50, 64)).shape
    torch.Size([1, 3, 8, 50, 64])
    """

    n_dims = 3


class LightUNet2D(_LightUNet):
    """The sibling of :class:`LightUNet3D` for images: the same layers in two dimensions.

    Parameters
    ----------
    input_shape : tuple of int, (n_channels, height, width)
        Shape of a patch; only the number of channels matters. Filled in by the estimator.
    n_classes : int
        Number of classes, and size of the embedding. Filled in from y by the estimator.
    width : float, default=1.0
        Multiplies the number of filters.
    n_levels : int, default=5
        Number of resolutions.
    strides : sequence of (n_levels - 1) sequences of int, default=None
        By what each axis is divided from one level to the next, 1 or 2; None halves all axes each time.
    stem : int, default=1
        The finest level works at 1/`stem` of the resolution, on the pixels of each block of `stem` a side as
        channels, and its embeddings are taken apart again in the end. 2 makes a step four times faster.
    max_filters : int, default=320
        No level has more filters.
    dropout : float, default=0.1
        Share of channels left out in training, before the last layer.
    kernels : sequence of `n_levels` sequences of int, default=None
        Size of the kernels of each level along each axis, 1 or 3; None is 3 throughout.

    Raises
    ------
    ValueError
        If `input_shape` has not three entries, or another parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = LightUNet2D(input_shape=(1, 160, 160), n_classes=4, width=0.5, stem=2)
    >>> network(torch.zeros(1, 1, 160, 150)).shape
    torch.Size([1, 4, 160, 150])
    """

    n_dims = 2
