"""The voxels of several volumes as one sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Corner = tuple[int, ...]


class Volumes:
    """Volumes of any shapes, whose voxels are numbered consecutively.

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
    fill : Tensor of shape (n_volumes, n_channels), default=None
        What takes the place of NaN in each channel of each volume, before it is scaled. None: nothing does.
    smallest, largest : Tensor of shape (n_volumes, n_channels), default=None
        Limits to which the intensities of volumes with ignored voxels are clipped, before they are scaled.

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
        fill: Tensor | None = None,
        smallest: Tensor | None = None,
        largest: Tensor | None = None,
    ) -> None:
        self.images = list(images)
        self.shift, self.scale, self.fill = shift, scale, fill
        self.smallest, self.largest = smallest, largest
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
        start, inner_size, padding = clipped(corner, size, self.shape(volume))
        image = cut(self.images[volume], start, inner_size)
        box = image.to(torch.float32)
        per_channel = (-1, *[1] * self.n_dims)
        if self.fill is not None and image.is_floating_point():
            box = torch.where(box.isnan(), self.fill[volume].view(per_channel), box)
        if self.smallest is not None and self.largest is not None and self._members[volume] is not None:
            limits = self.smallest[volume].view(per_channel), self.largest[volume].view(per_channel)
            box = box.clamp(*limits)
        if self.shift is not None and self.scale is not None:
            box = (box - self.shift[volume].view(per_channel)) / self.scale[volume].view(per_channel)
        return functional.pad(box, padding, mode="replicate") if any(padding) else box


def clipped(corner: Corner, size: Corner, shape: Corner) -> tuple[Corner, Corner, list[int]]:
    """Return the part of a box that lies in a volume, at least one voxel, and what is missing around it.

    Parameters
    ----------
    corner, size : tuple of int
        First voxel of the box, possibly outside the volume, and its sides.
    shape : tuple of int
        Spatial shape of the volume.

    Returns
    -------
    corner, size : tuple of int
        Those of the part.
    padding : list of int
        Voxels missing before and after it, of the last axis first, as `torch.nn.functional.pad` takes them.

    Examples
    --------
    >>> clipped((-1, 2), (3, 4), (5, 5))
    ((0, 2), (2, 3), [0, 1, 1, 0])
    """
    start, inner_size, padding = [], [], list[int]()
    for first, n, side in zip(corner, size, shape, strict=True):
        begin, end = min(max(first, 0), side - 1), max(min(first + n, side), 1)
        start.append(begin)
        inner_size.append(end - begin)
        padding = [max(0, begin - first), max(0, first + n - end), *padding]
    return tuple(start), tuple(inner_size), padding


def cut(image: Tensor, corner: Corner, size: Corner) -> Tensor:
    """Return a box of an image, which shares its memory.

    Parameters
    ----------
    image : Tensor of shape (n_channels, *spatial)
        The image.
    corner, size : tuple of int
        First voxel of the box and its sides, within the image.
    """
    for axis, (first, n) in enumerate(zip(corner, size, strict=True), start=1):
        image = image.narrow(axis, first, n)
    return image
