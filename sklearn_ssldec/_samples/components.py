"""Label maps that are complete, and the connected pieces of their structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

# A structure is one piece if its largest component has this share of its voxels, in this share of the label
# maps that have it, of which there must be so many: slices, which cut bodies, tell less than whole volumes.
# More than MOST_MAPS are not looked at.
MOST = 0.95
LEAST_MAPS = {2: 10, 3: 2}
MOST_MAPS = 200
# A label map of which this share is known counts as labeled everywhere. Void pixels, which many data sets
# have between structures or where nobody could tell, do not make labels partial.
KNOWN = 0.75


def unknown_voxels(codes: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Return the voxels of a label map that are not known, those aside that are ignored.

    Parameters
    ----------
    codes : ndarray of int
        Class of each voxel, -1 where it is not known.
    ignored : ndarray of bool, or None
        Voxels that take part in nothing.
    """
    return codes < 0 if ignored is None else (codes < 0) & ~ignored


def is_complete(codes: np.ndarray, ignored: np.ndarray | None) -> bool:
    """Return whether a label map is labeled everywhere, but for a few voxels, those aside that are ignored.

    Parameters
    ----------
    codes : ndarray of int
        Class of each voxel, -1 where it is not known.
    ignored : ndarray of bool, or None
        Voxels that take part in nothing.

    Examples
    --------
    >>> is_complete(np.array([0, 0, -1, 1, 1]), None), is_complete(np.array([0, -1, -1, 1, 1]), None)
    (True, False)
    """
    n = codes.size if ignored is None else codes.size - np.count_nonzero(ignored)
    return bool(np.count_nonzero(unknown_voxels(codes, ignored)) <= (1 - KNOWN) * n)


def without_gaps(codes: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Return a label map in which each voxel that is not known has the code of the nearest one that is.

    Parameters
    ----------
    codes : ndarray of int
        Class of each voxel, -1 where it is not known; some are.
    ignored : ndarray of bool, or None
        Voxels that take part in nothing, which are left as they are.

    Examples
    --------
    >>> without_gaps(np.array([0, 0, -1, -1, 1]), None)
    array([0, 0, 0, 1, 1])
    """
    unknown = unknown_voxels(codes, ignored)
    if not unknown.any():
        return codes
    nearest = ndimage.distance_transform_edt(codes < 0, return_distances=False, return_indices=True)
    return np.where(unknown, codes[tuple(nearest)], codes)


def single_component_classes(
    maps: Sequence[np.ndarray | None],
    ignored: Sequence[np.ndarray | None],
    n_classes: int,
    most: float = MOST,
) -> tuple[int, ...]:
    """Return the classes that are one connected piece in nearly all label maps; never class 0.

    Parameters
    ----------
    maps : sequence of (ndarray of int, of the volume's spatial shape, or None)
        Class of each voxel, -1 where it is not known, `n_classes` and more where it is one of several. Maps
        that are not complete tell nothing.
    ignored : sequence of (ndarray of bool, or None)
        Voxels that take part in nothing.
    n_classes : int
        Number of classes.
    most : float, default=MOST
        Share of the maps in which they are.
    """
    shares: dict[int, list[float]] = {}
    least = max((LEAST_MAPS[codes.ndim] for codes in maps if codes is not None), default=0)
    for codes, mask in zip(maps, ignored, strict=True):
        if codes is None or not is_complete(codes, mask):
            continue
        for code in np.unique(codes[(codes > 0) & (codes < n_classes)]).tolist():
            of_class = shares.setdefault(code, [])
            if len(of_class) < MOST_MAPS:
                sizes = _component_sizes(codes == code)[0]
                of_class.append(sizes.max() / sizes.sum())
    return tuple(
        code
        for code, of_class in sorted(shares.items())
        if len(of_class) >= least and np.mean(np.array(of_class) >= MOST) >= most
    )


def outside_largest(codes: Tensor, classes: Sequence[int]) -> Tensor:
    r"""Return where a class is that is not in its largest connected component.

    Parameters
    ----------
    codes : Tensor of int of shape (n, \*spatial)
        Class of each voxel of some patches. Voxels are connected by their sides.
    classes : sequence of int
        The classes to look at.

    Returns
    -------
    Tensor of bool of shape (n, \*spatial)
        True at voxels of the smaller components.

    Examples
    --------
    >>> import torch
    >>> outside_largest(torch.tensor([[[1, 1, 0, 1]]]), [1])
    tensor([[[False, False, False,  True]]])
    """
    known = codes.cpu().numpy()
    outside = np.zeros(known.shape, dtype=bool)
    for of_patch, found in zip(known, outside, strict=True):
        for code in classes:
            sizes, components = _component_sizes(of_patch == code)
            if len(sizes) > 1:
                found |= (components > 0) & (components != 1 + sizes.argmax())
    return torch.from_numpy(outside).to(codes.device)


def restrict_to_largest(q: Tensor, classes: Sequence[int]) -> None:
    r"""Take the probability of classes away where a smaller component of one of them is, in place.

    It goes to the other classes, in their proportion; to class 0, if they have none.

    Parameters
    ----------
    q : Tensor of shape (n_classes, \*spatial)
        Probabilities of the classes in a volume.
    classes : sequence of int
        Classes that are one connected piece; not 0.

    Examples
    --------
    >>> import torch
    >>> q = torch.tensor([[0.1, 0.4, 0.6, 0.4], [0.9, 0.6, 0.4, 0.6]])
    >>> restrict_to_largest(q, [1])
    >>> q.argmax(0)
    tensor([1, 1, 0, 0])
    """
    if len(classes) == 0:
        return
    outside = outside_largest(q.argmax(0)[None], classes)[0]
    left = q[:, outside]
    left[list(classes)] = 0
    left[0, left.sum(0) == 0] = 1
    q[:, outside] = left / left.sum(0)


def _component_sizes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of voxels of each component, and the components, numbered from 1."""
    components, _ = ndimage.label(mask)
    return np.bincount(components.ravel())[1:], components
