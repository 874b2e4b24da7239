"""The voxels of several volumes as one sequence, the patches cut from them, and the tiles that cover them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Corner = tuple[int, ...]

# How many voxels are looked at to find some of each class.
MANY_VOXELS = 2**20


class Volumes:
    """Volumes of any shapes, whose voxels are counted through from the first volume to the last.

    The voxels that take part in nothing are left out of the count. Patches are cut where they are asked for,
    and scaled; nothing is copied before.

    Parameters
    ----------
    images : sequence of Tensor of shape (n_channels, ...)
        The volumes; on the CPU or a GPU, of any real dtype; memory maps are read where patches are cut.
    ignored : sequence of (ndarray of bool, of the spatial shape, or None), default=None
        Voxels that take part in nothing; None for none.
    shift, scale : Tensor of shape (n_volumes, n_channels), default=None
        What is subtracted from each channel of each volume, and by what it is divided then.

    Attributes
    ----------
    offsets : ndarray of shape (n_volumes + 1,)
        Position of each volume's first voxel; the last is the number of voxels.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        ignored: Sequence[np.ndarray | None] | None = None,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        self.images = list(images)
        self.shift, self.scale = shift, scale
        self._members: list[Tensor | None] = []
        self._ranks: list[Tensor | None] = []
        counts = []
        for i, image in enumerate(self.images):
            mask = None if ignored is None else ignored[i]
            if mask is None or not mask.any():
                self._members.append(None)
                self._ranks.append(None)
                counts.append(math.prod(image.shape[1:]))
                continue
            takes_part = torch.from_numpy(~mask)
            members = takes_part.flatten().nonzero().squeeze(1)
            ranks = torch.full(takes_part.shape, -1, dtype=torch.int32)
            ranks.view(-1)[members] = torch.arange(len(members), dtype=torch.int32)
            self._members.append(members)
            self._ranks.append(ranks)
            counts.append(len(members))
        self.offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of voxels that take part."""
        return int(self.offsets[-1])

    @property
    def n_dims(self) -> int:
        """The number of spatial axes."""
        return self.images[0].ndim - 1

    def shape(self, volume: int) -> tuple[int, ...]:
        """Return the spatial shape of a volume.

        Parameters
        ----------
        volume : int
            Which.
        """
        return tuple(self.images[volume].shape[1:])

    def locate(self, positions: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the volume of each position, and its coordinates there.

        Parameters
        ----------
        positions : Tensor of shape (n,), int64
            Positions in the count of voxels.

        Returns
        -------
        volumes : ndarray of shape (n,)
            Which volume.
        coordinates : ndarray of shape (n, n_dims)
            Where in it.
        """
        flat = positions.cpu().numpy()
        volumes = np.searchsorted(self.offsets, flat, side="right") - 1
        coordinates = np.empty((len(flat), self.n_dims), dtype=np.int64)
        for volume in np.unique(volumes):
            chosen = volumes == volume
            inside = flat[chosen] - self.offsets[volume]
            members = self._members[volume]
            if members is not None:
                inside = members[torch.from_numpy(inside)].numpy()
            coordinates[chosen] = np.stack(np.unravel_index(inside, self.shape(volume)), axis=1)
        return volumes, coordinates

    def take(self, volume: int, values: Tensor) -> Tensor:
        """Return what a volume's voxels that take part have, in the order in which they are counted.

        Parameters
        ----------
        volume : int
            Which volume.
        values : Tensor of shape (n_values, *spatial)
            What each voxel of the volume has.

        Returns
        -------
        Tensor of shape (n_voxels, n_values)
            One row a voxel.
        """
        flat = values.flatten(1).T
        members = self._members[volume]
        return flat if members is None else flat[members.to(flat.device)]

    def voxels(self, volume: int, corner: Corner, size: Corner) -> Tensor:
        """Return the positions of the voxels in a box, -1 outside the volume and for those ignored.

        Parameters
        ----------
        volume : int
            Which volume.
        corner, size : tuple of int
            First voxel of the box, possibly outside the volume, and its sides.

        Returns
        -------
        Tensor of shape `size`, int64
            Positions in the count of voxels.
        """
        shape = self.shape(volume)
        axes = [torch.arange(first, first + n) for first, n in zip(corner, size, strict=True)]
        grids = torch.meshgrid(*axes, indexing="ij")
        flat = torch.zeros(size, dtype=torch.int64)
        inside = torch.ones(size, dtype=torch.bool)
        for grid, n in zip(grids, shape, strict=True):
            inside &= (grid >= 0) & (grid < n)
            flat = flat * n + grid.clamp(0, n - 1)
        ranks = self._ranks[volume]
        if ranks is not None:
            flat = ranks.view(-1)[flat].long()
            inside &= flat >= 0
        return torch.where(inside, flat + int(self.offsets[volume]), -1)

    def patch(self, volume: int, corner: Corner, size: Corner) -> Tensor:
        """Return a box of a volume, scaled; outside the volume its border is repeated.

        Parameters
        ----------
        volume : int
            Which volume.
        corner, size : tuple of int
            First voxel of the box, possibly outside the volume, and its sides.

        Returns
        -------
        Tensor of shape (n_channels, *size), float32
            The box.
        """
        image = self.images[volume]
        padding: list[int] = []
        for axis, (first, n) in enumerate(zip(corner, size, strict=True), start=1):
            side = image.shape[axis]
            start = min(max(first, 0), side - 1)
            stop = max(min(first + n, side), 1)
            image = image.narrow(axis, start, stop - start)
            padding = [max(0, start - first), max(0, first + n - stop), *padding]
        box = image.to(torch.float32)
        if self.shift is not None and self.scale is not None:
            per_channel = (-1, *[1] * self.n_dims)
            box = (box - self.shift[volume].view(per_channel)) / self.scale[volume].view(per_channel)
        return functional.pad(box, padding, mode="replicate") if any(padding) else box


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
    codes : Tensor of shape (n_positions,), integer, or None
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


def as_patch_size(patch_size: Any, n_dims: int) -> Corner:
    """Return the sides of a patch.

    Parameters
    ----------
    patch_size : int or tuple of int
        One side for all axes, or one for each.
    n_dims : int
        Number of spatial axes.

    Raises
    ------
    ValueError
        If it does not have one positive integer for each axis.
    """
    sizes = (patch_size,) * n_dims if isinstance(patch_size, int | np.integer) else tuple(patch_size)
    if len(sizes) != n_dims or not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
        raise ValueError(
            f"patch_size must be a positive integer or one for each of the {n_dims} axes, got {patch_size!r}."
        )
    return tuple(int(n) for n in sizes)
