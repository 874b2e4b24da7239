"""Images, volumes and label maps at a lower resolution, for networks that have to see more at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sklearn_ssldec._samples.components import KNOWN, is_complete, unknown_voxels, without_gaps
from sklearn_ssldec._samples.placing import place
from sklearn_ssldec._samples.voxels import Corner, Volumes, clipped, cut

# Reduced volumes are kept, for the next patch, as long as all together take no more memory than this.
KEPT_BYTES = 2**26
# As many labeled slices of a label map tell how well it outlasts a reduction.
MOST_SLICES = 10


class ReducedVolumes:
    """The means of blocks of voxels, in the place of the voxels.

    Parameters
    ----------
    volumes : Volumes
        The voxels.
    factors : tuple of int
        Sides of a block.
    """

    def __init__(self, volumes: Volumes, factors: Corner) -> None:
        self.volumes, self.factors = volumes, tuple(factors)
        self.images, self.n_dims = volumes.images, volumes.n_dims
        self._kept: dict[int, Tensor] = {}
        self._n_bytes = 0

    def shape(self, volume: int) -> tuple[int, ...]:
        """Return the number of blocks along each axis; the last one may be cut off.

        Parameters
        ----------
        volume : int
            Which volume.
        """
        return reduced_shape(self.volumes.shape(volume), self.factors)

    def patch(self, volume: int, corner: Corner, size: Corner) -> Tensor:
        """Return a box of blocks; outside the volume its border is repeated.

        Parameters
        ----------
        volume : int
            Which volume.
        corner, size : tuple of int
            First block of the box, possibly outside the volume, and its sides.

        Returns
        -------
        Tensor of shape (n_channels, *size), float32
            The box.
        """
        shape = self.shape(volume)
        if volume not in self._kept:
            n_bytes = 4 * len(self.images[volume]) * int(np.prod(shape))
            if self._n_bytes + n_bytes <= KEPT_BYTES:
                self._n_bytes += n_bytes
                self._kept[volume] = self._blocks(volume, (0,) * self.n_dims, shape)
        start, inner_size, padding = clipped(corner, size, shape)
        if volume in self._kept:
            box = cut(self._kept[volume], start, inner_size)
        else:
            box = self._blocks(volume, start, inner_size)
        return functional.pad(box, padding, mode="replicate") if any(padding) else box

    def _blocks(self, volume: int, corner: Corner, size: Corner) -> Tensor:
        """Return blocks that lie in the volume; a block that is cut off goes on as the border."""
        first = tuple(i * k for i, k in zip(corner, self.factors, strict=True))
        whole = tuple(n * k for n, k in zip(size, self.factors, strict=True))
        return block_means(self.volumes.patch(volume, first, whole), self.factors)


def reduced_shape(shape: Sequence[int], factors: Corner) -> tuple[int, ...]:
    """Return the number of blocks along each axis.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of a volume.
    factors : tuple of int
        Sides of a block.
    """
    return tuple(-(-n // k) for n, k in zip(shape, factors, strict=True))


def block_means(x: Tensor, factors: Corner) -> Tensor:
    """Return the mean of each block.

    Parameters
    ----------
    x : Tensor of shape (n_channels, *spatial)
        Values, of which blocks leave none over.
    factors : tuple of int
        Sides of a block.
    """
    pool = functional.avg_pool3d if len(factors) == 3 else functional.avg_pool2d
    return pool(x[None], factors)[0]


def reduced_images(X: np.ndarray, k: int) -> np.ndarray:
    """Return smaller images, whose pixels are the means of blocks of pixels.

    Parameters
    ----------
    X : ndarray of shape (n, n_channels, height, width), float32
        Images.
    k : int
        Side of a block; 1 returns X itself. Blocks at the lower and right border may be smaller.

    Examples
    --------
    >>> import numpy as np
    >>> reduced_images(np.float32([[[[0, 2, 5], [4, 6, 7]]]]), 2)
    array([[[[3., 6.]]]], dtype=float32)
    """
    if k == 1:
        return X
    images = place(X, torch.device("cpu"))
    return functional.avg_pool2d(images, k, ceil_mode=True, count_include_pad=False).numpy()


def restored(x: Tensor, factors: Corner, shape: Sequence[int]) -> Tensor:
    """Return the values of voxels, between those of the blocks.

    Parameters
    ----------
    x : Tensor of shape (n_channels, *blocks)
        Values of the blocks.
    factors : tuple of int
        Sides of a block.
    shape : sequence of int
        Spatial shape of the volume.

    Returns
    -------
    Tensor of shape (n_channels, *shape)
        Linear between the middles of neighboring blocks.
    """
    mode = "trilinear" if len(factors) == 3 else "bilinear"
    x = functional.interpolate(x[None], scale_factor=[float(k) for k in factors], mode=mode)[0]
    return x[(slice(None), *(slice(n) for n in shape))]


def reduced_labels(codes: np.ndarray, factors: Corner) -> np.ndarray:
    """Return the most frequent known code of each block, -1 where none is known.

    Parameters
    ----------
    codes : ndarray of int
        Code of each voxel's class, -1 where it is not known.
    factors : tuple of int
        Sides of a block.

    Returns
    -------
    ndarray of int64
        Of codes that are equally frequent the smallest.

    Examples
    --------
    >>> import numpy as np
    >>> reduced_labels(np.array([[0, 1, -1, -1], [1, 1, -1, 2]]), (2, 2))
    array([[1, 2]])
    """
    found = np.full(reduced_shape(codes.shape, factors), -1, dtype=np.int64)
    most = np.zeros(found.shape, dtype=np.float32)
    for code in np.unique(codes[codes >= 0]).tolist():
        share = _share(codes == code, factors, fill=False)
        found[share > most] = code
        most = np.maximum(most, share)
    return found


def reduced_mask(mask: np.ndarray, factors: Corner) -> np.ndarray:
    """Return the blocks of which all voxels are marked.

    Parameters
    ----------
    mask : ndarray of bool
        Which voxels are marked.
    factors : tuple of int
        Sides of a block.
    """
    return _share(mask, factors, fill=True) == 1


def labeled_parts(codes: np.ndarray, ignored: np.ndarray | None) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """Return what of a label map is labeled everywhere, with its axes: the whole, or else some slices.

    A few voxels of it may be unknown; they get the code of the nearest known one.

    Parameters
    ----------
    codes : ndarray of int
        Code of each voxel's class, -1 where it is not known.
    ignored : ndarray of bool, or None
        Voxels that take part in nothing.

    Returns
    -------
    list of (ndarray, tuple of int)
        The map and all axes; or at most `MOST_SLICES` slices across one axis and the other axes; empty if
        there are none.
    """
    axes = tuple(range(codes.ndim))
    if is_complete(codes, ignored):
        return [(without_gaps(codes, ignored), axes)]
    unknown = unknown_voxels(codes, ignored)
    for axis in axes if codes.ndim > 2 else ():
        others = tuple(i for i in axes if i != axis)
        is_labeled = unknown.mean(axis=others) <= 1 - KNOWN
        slices = np.flatnonzero(is_labeled & (codes > 0).any(axis=others))
        if len(slices) > 0:
            chosen = slices[np.linspace(0, len(slices) - 1, min(MOST_SLICES, len(slices))).astype(int)]
            masks = [None if ignored is None else ignored.take(i, axis=axis) for i in chosen]
            of_slices = [codes.take(i, axis=axis) for i in chosen]
            return [(without_gaps(*each), others) for each in zip(of_slices, masks, strict=True)]
    return []


def labels_kept(
    parts: Sequence[tuple[np.ndarray, tuple[int, ...]]], factors: Corner, n_classes: int
) -> float:
    """Return how well label maps outlast a reduction: the least Dice score of a class other than 0.

    The score is that of the class's voxels and what is restored of the share that it has in each block, of
    all parts together.

    Parameters
    ----------
    parts : sequence of (ndarray of int, tuple of int)
        Codes of the voxels' classes, and along which axes of the volume they lie (`labeled_parts`).
    factors : tuple of int
        Sides of a block.
    n_classes : int
        Number of classes.

    Returns
    -------
    float
        Between 0 and 1; 0 if there is no part.
    """
    both, all_in_all = np.zeros(n_classes), np.zeros(n_classes)
    for codes, axes in parts:
        own_factors = tuple(factors[axis] for axis in axes)
        for code in np.unique(codes[(codes > 0) & (codes < n_classes)]).tolist():
            of_class, again = _outlasting(codes == code, own_factors)
            both[code] += (again & of_class).sum()
            all_in_all[code] += again.sum() + of_class.sum()
    scores = 2 * both[all_in_all > 0] / all_in_all[all_in_all > 0]
    return float(scores.min()) if len(scores) > 0 else float(len(parts) > 0)


def _outlasting(of_class: np.ndarray, factors: Corner) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of a class, and those that are restored of it, around them only."""
    box = []
    for axis, k in enumerate(factors):
        others = tuple(i for i in range(of_class.ndim) if i != axis)
        where = np.flatnonzero(of_class.any(axis=others))
        # From the first voxel of a block on.
        box.append(slice(max(0, where[0] // k - 1) * k, (where[-1] // k + 2) * k))
    of_class = of_class[tuple(box)]
    share = torch.from_numpy(_share(of_class, factors, fill=False))
    return of_class, (restored(share[None], factors, of_class.shape)[0] >= 0.5).numpy()


def _share(mask: np.ndarray, factors: Corner, *, fill: bool) -> np.ndarray:
    """Return the share of each block's voxels that are marked; those beyond the border are `fill`."""
    missing = [(0, -n % k) for n, k in zip(mask.shape, factors, strict=True)]
    whole = np.pad(mask, missing, constant_values=fill)
    return block_means(torch.from_numpy(whole)[None].float(), factors)[0].numpy()
