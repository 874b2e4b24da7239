"""Where patches are cut from volumes, and the tiles that cover them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_ssldec._samples.voxels import Corner

# How many voxels are looked at to find some of each class.
MANY_VOXELS = 2**20


def find_centers(
    codes: Tensor | None,
    positions: Tensor,
    n: int,
    balance: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the voxels on which patches are centred.

    Parameters
    ----------
    codes : Tensor of int of shape (n_positions,), or None
        Class of each voxel to choose from.
    positions : Tensor of shape (n_positions,), int64
        The voxels to choose from.
    n : int
        How many to draw, with repetition.
    balance : float in [0, 1]
        Each centre is with this probability drawn from a class that was drawn uniformly from those present;
        otherwise from all voxels.
    generator : torch.Generator, default=None
        CPU generator of the draw.

    Returns
    -------
    Tensor of shape (n,), int64
        Some of `positions`.
    """
    chosen = torch.randint(len(positions), (n,), generator=generator)
    if balance > 0 and codes is not None:
        counts = torch.bincount(codes.long())
        by_class = torch.argsort(codes, stable=True)
        present = counts.nonzero().squeeze(1)
        first = counts.cumsum(0) - counts
        drawn = present[torch.randint(len(present), (n,), generator=generator)]
        within = (torch.rand(n, generator=generator) * counts[drawn]).long().clamp_max(counts[drawn] - 1)
        is_balanced = torch.rand(n, generator=generator) < balance
        chosen = torch.where(is_balanced, by_class[first[drawn] + within], chosen)
    return positions[chosen]


def sample_positions(n_voxels: int, generator: torch.Generator | None = None) -> Tensor:
    """Return all positions, or where there are very many, a random sample of them.

    Parameters
    ----------
    n_voxels : int
        Number of voxels.
    generator : torch.Generator, default=None
        CPU generator of the draw.
    """
    if n_voxels <= MANY_VOXELS:
        return torch.arange(n_voxels)
    return torch.randint(n_voxels, (MANY_VOXELS,), generator=generator)


def tiles(shape: Sequence[int], size: int, stride: int = 1) -> Iterator[tuple[Corner, Corner]]:
    """Cut a volume into boxes that cover it, each voxel once.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the volume.
    size : int
        The largest side of a tile, unless `stride` is larger; the tiles of an axis are of about the same
        size.
    stride : int, default=1
        Tiles begin at multiples of it.

    Yields
    ------
    corner, size : tuple of int
        First voxel and sides of a tile.

    Examples
    --------
    >>> list(tiles((5, 3), 3))
    [((0, 0), (3, 3)), ((3, 0), (2, 3))]
    """
    axes = []
    for side in shape:
        units = -(-side // stride)
        n = -(-units // max(1, size // stride))
        edges = [min(side, -(-i * units // n) * stride) for i in range(n + 1)]
        axes.append([(a, b - a) for a, b in itertools.pairwise(edges)])
    for boxes in itertools.product(*axes):
        yield tuple(first for first, _ in boxes), tuple(n for _, n in boxes)


def auto_tile_size(floats_per_voxel: float, margin: int, n_dims: int, n_bytes: int) -> int:
    """Return the largest side of a tile whose activations fit into so many bytes.

    Parameters
    ----------
    floats_per_voxel : float
        Activations that the network holds at a time, for each voxel of its input.
    margin : int
        Voxels that the network's input is larger than its output, on each side.
    n_dims : int
        Number of spatial axes.
    n_bytes : int
        The memory.
    """
    side = (n_bytes / (4 * floats_per_voxel)) ** (1 / n_dims)
    return max(1, int(side) - 2 * margin)


def tiling(module: Any) -> tuple[int, int]:
    """Return a network's `context` and `stride`, 0 and 1 if it has none.

    Parameters
    ----------
    module : Module
        The network. torch's own layers have a `stride` for each axis, and their output shrinks where it is
        not 1, so that is no matter of tiles.

    Raises
    ------
    ValueError
        If `context` is no integer of at least 0, or `stride` none of at least 1.
    """
    context, stride = getattr(module, "context", 0), getattr(module, "stride", 1)
    if isinstance(stride, tuple):
        stride = 1
    for name, value, least in (("context", context, 0), ("stride", stride, 1)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"module.{name} must be an integer of at least {least}, got {value!r}.")
    return int(context), int(stride)


def as_patch_size(patch_size: Any, n_dims: int, name: str = "patch_size") -> Corner:
    """Return the sides of a patch.

    Parameters
    ----------
    patch_size : int or tuple of int
        One side for all axes, or one for each.
    n_dims : int
        Number of spatial axes.
    name : str, default="patch_size"
        Name of the parameter, for the error.

    Raises
    ------
    ValueError
        If it does not have one positive integer for each axis.
    """
    sizes = (patch_size,) * n_dims if isinstance(patch_size, int | np.integer) else tuple(patch_size)
    if len(sizes) != n_dims or not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
        raise ValueError(
            f"{name} must be a positive integer or one for each of the {n_dims} axes, got {patch_size!r}."
        )
    return tuple(int(n) for n in sizes)
