"""What scribbles tell about the voxels around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg, splu
from torch import Tensor

from sklearn_ssldec._samples.components import MOST_MAPS, is_complete, single_component_classes

# Label maps are scribbles if of the neighbouring voxels that both have a label at most this share have
# different ones. Maps of whole slices or boxes show borders; scribbles keep away from them.
MOST_BORDERS = 0.002
# They are lines: there are at least so many pairs of labeled neighbours for each labeled voxel.
LEAST_PAIRS = 0.2
# A walker steps from one voxel to the next with exp(-STEEPNESS * difference of the intensities, in standard
# deviations), but at least LEAST.
STEEPNESS, LEAST = 20.0, 1e-4
# So many voxels around those that are nearest to a structure, walkers find the border.
MARGIN = 10
# Structures are scribbled close to their borders, and the background far from them: a voxel belongs to a
# structure if a walker meets its scribble so many times as probably as one of the background. Less is needed
# where a network says what it expects.
IN_DOUBT, IN_DOUBT_EXPECTED = 3.0, 1.5
# What a network predicts at a voxel weighs this much for the walker; an easy step to a neighbor weighs 1.
# Intensities like those of a class's scribbles count with that power.
EXPECTING, RESEMBLING = 0.01, 0.25
N_BINS = 128  # of intensities
# Structures are one piece if they are in this share of the completed scribbles of so many images: completed
# scribbles are less sure than labels.
MOST_COMPLETED, N_COMPLETED = 0.85, 40


def are_scribbles(
    maps: Sequence[np.ndarray | None], ignored: Sequence[np.ndarray | None], n_classes: int
) -> bool:
    """Return whether the label maps are scribbles: lines, in no map all voxels, and never across a border.

    Parameters
    ----------
    maps : sequence of (ndarray of int, of the volume's spatial shape, or None)
        Class of each voxel, -1 where it is not known, `n_classes` and more where it is one of several.
    ignored : sequence of (ndarray of bool, or None)
        Voxels that take part in nothing.
    n_classes : int
        Number of classes.
    """
    n_labeled = n_pairs = n_borders = n_maps = 0
    for codes, mask in zip(maps, ignored, strict=True):
        if codes is None or n_maps == MOST_MAPS:
            continue
        if (codes >= n_classes).any() or is_complete(codes, mask):
            return False
        n_maps += 1
        n_labeled += int((codes >= 0).sum())
        for axis in range(codes.ndim):
            along = np.moveaxis(codes, axis, 0)
            both = (along[1:] >= 0) & (along[:-1] >= 0)
            n_pairs += int(both.sum())
            n_borders += int((both & (along[1:] != along[:-1])).sum())
    return n_pairs > LEAST_PAIRS * n_labeled and n_borders <= MOST_BORDERS * n_pairs


def completed(
    codes: np.ndarray,
    image: np.ndarray,
    ignored: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
    expected: np.ndarray | None = None,
) -> np.ndarray:
    r"""Complete scribbles with the random walker [1]_.

    A voxel gets the class whose scribble a walker who starts there most probably meets first, in doubt class
    0. The walker goes from voxel to voxel, the less likely the more their intensities differ. Voxels that are
    nearest to a scribble of class 0 are background, but for a margin around the others.

    With a network's predictions, a walker may also end where he is, with a class that is expected there [2]_,
    if it has a scribble, the more likely if its scribbles have such intensities.

    Parameters
    ----------
    codes : ndarray of int
        Class of each voxel, -1 where it is not known.
    image : ndarray of shape (n_channels, \*spatial)
        Intensities.
    ignored : ndarray of bool, default=None
        Voxels that take part in nothing, and over which no walker goes.
    spacing : sequence of float, default=None
        Sides of a voxel; None if they are equal.
    expected : ndarray of shape (n_classes, \*spatial), default=None
        Probabilities of the classes as a network predicts them.

    Returns
    -------
    ndarray of int16, of the shape of `codes`
        -1 where it remains unknown: where no scribble can be reached, and everywhere else than in a scribble
        if class 0 has none.

    References
    ----------
    .. [1] L. Grady, "Random Walks for Image Segmentation", IEEE TPAMI 28(11), 2006,
       :doi:`10.1109/TPAMI.2006.233`.
    .. [2] L. Grady, "Multilabel Random Walker Image Segmentation Using Prior Models", CVPR 2005.

    Examples
    --------
    >>> image = np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]])
    >>> completed(np.array([-1, 0, -1, -1, -1, 1]), image)
    array([0, 0, 0, 0, 1, 1], dtype=int16)
    """
    found = codes.astype(np.int16)
    if not (codes == 0).any():
        return found
    places = ndimage.distance_transform_edt(codes < 0, spacing, return_distances=False, return_indices=True)
    nearest = codes[tuple(places)]
    near = ndimage.binary_dilation(nearest > 0, iterations=MARGIN)
    open_ground = np.ones(codes.shape, dtype=bool) if ignored is None else ~ignored
    found[(codes < 0) & ~near] = 0
    unknown = ((found < 0) & open_ground).ravel()
    if unknown.any():
        ends = None if expected is None else _probable(codes, image, expected).reshape(len(expected), -1)
        found.ravel()[unknown] = _walk(found, image, unknown, open_ground.ravel(), spacing, ends)
    found[~open_ground] = codes[~open_ground]
    return found


def single_component_of_scribbles(
    maps: Sequence[np.ndarray | None],
    images: Sequence[np.ndarray],
    ignored: Sequence[np.ndarray | None],
    n_classes: int,
    spacing: Sequence[float] | None = None,
) -> tuple[int, ...]:
    r"""Return the classes that are one connected piece where scribbles are completed; never class 0.

    Parameters
    ----------
    maps : sequence of (ndarray of int, of the volume's spatial shape, or None)
        Class of each voxel, -1 where it is not known.
    images : sequence of ndarray of shape (n_channels, \*spatial)
        Intensities, NaN outside the image.
    ignored : sequence of (ndarray of bool, or None)
        Voxels that take part in nothing.
    n_classes : int
        Number of classes.
    spacing : sequence of float, default=None
        Sides of a voxel; None if they are equal.
    """
    scribbled = [
        (codes, image, mask)
        for codes, image, mask in zip(maps, images, ignored, strict=True)
        if codes is not None and (codes >= 0).any()
    ]
    chosen = scribbled[:: max(1, -(-len(scribbled) // N_COMPLETED))]
    found = [
        completed(codes, np.nan_to_num(np.asarray(image, dtype=np.float32)), mask, spacing)
        for codes, image, mask in chosen
    ]
    return single_component_classes(found, [mask for *_, mask in chosen], n_classes, MOST_COMPLETED)


def _walk(
    codes: np.ndarray,
    image: np.ndarray,
    unknown: np.ndarray,
    open_ground: np.ndarray,
    spacing: Sequence[float] | None,
    ends: np.ndarray | None,
) -> np.ndarray:
    """Return the class that walkers from the unknown voxels meet first, -1 if they meet none."""
    first, second, weight = _steps(image, spacing)
    chosen = (unknown[first] | unknown[second]) & open_ground[first] & open_ground[second]
    first, second, weight = first[chosen], second[chosen], weight[chosen]
    row = np.cumsum(unknown) - 1
    flat = codes.ravel()
    n, n_classes = int(unknown.sum()), int(codes.max()) + 1 if ends is None else len(ends)
    degree = np.bincount(np.r_[first, second], np.r_[weight, weight], unknown.size)[unknown]
    inner = unknown[first] & unknown[second]
    i, j = row[first[inner]], row[second[inner]]
    between = sparse.coo_matrix((weight[inner], (i, j)), shape=(n, n))
    # The little on the diagonal: where no scribble can be reached, the matrix would be singular.
    diagonal = degree + 1e-9 + (0 if ends is None else EXPECTING)
    laplacian = sparse.diags(diagonal) - between - between.T
    arrivals = np.zeros((n, n_classes))
    for here, there in ((first, second), (second, first)):
        arrives = unknown[here] & ~unknown[there]
        np.add.at(arrivals, (row[here[arrives]], flat[there[arrives]]), weight[arrives])
    if ends is not None:
        arrivals += EXPECTING * ends[:, unknown].T
    if codes.ndim == 2:
        chances = splu(laplacian.tocsc()).solve(arrivals)
    else:  # where a factorization would fill the memory
        matrix, scale = laplacian.tocsr(), sparse.diags(1 / laplacian.diagonal())
        solved = [cg(matrix, of_class, atol=0.0, maxiter=1000, M=scale)[0] for of_class in arrivals.T]
        chances = np.stack(solved, axis=1)
    is_met = chances.sum(1) > 0.5
    chances[:, 0] *= IN_DOUBT if ends is None else IN_DOUBT_EXPECTED
    return np.where(is_met, chances.argmax(1), -1)


def _probable(codes: np.ndarray, image: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return how probable each class that has a scribble is at each voxel.

    That is what a network expects, times the share of the class in the scribbles of such an intensity.
    """
    similar = np.ones(expected.shape)
    for channel in image:
        values = channel.astype(np.float64)
        width = float(np.ptp(values)) / N_BINS
        if width == 0:
            continue
        bins = np.minimum((values - values.min()) // width, N_BINS - 1).astype(np.int64)
        for code, of_class in enumerate(similar):
            counts = np.bincount(bins[codes == code], minlength=N_BINS).astype(np.float64)
            density = ndimage.gaussian_filter1d(counts, 0.1 * values.std() / width, mode="nearest")
            of_class *= density[bins] / max(density.sum(), 1.0)
    similar /= np.maximum(similar.sum(0), np.finfo(np.float64).tiny)
    probable = (expected + 1e-6) * (similar + 1e-3) ** RESEMBLING
    has_scribble = np.isin(np.arange(len(expected)), codes)
    probable *= has_scribble.reshape(-1, *[1] * codes.ndim)
    return probable / probable.sum(0)


def _steps(image: np.ndarray, spacing: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return neighboring voxels, and how likely a walker is to step from one to the other."""
    shape = image.shape[1:]
    deviation = image.reshape(len(image), -1).std(1).reshape(-1, *[1] * len(shape))
    scaled = image / np.maximum(deviation, np.finfo(np.float32).tiny)
    numbers = np.arange(np.prod(shape)).reshape(shape)
    first, second, weight = [], [], []
    for axis, side in enumerate((1.0,) * len(shape) if spacing is None else spacing):
        along = np.moveaxis(numbers, axis, 0)
        first.append(along[1:].ravel())
        second.append(along[:-1].ravel())
        change = np.abs(np.diff(scaled, axis=axis + 1)).sum(0)
        likely = np.exp(-STEEPNESS * np.moveaxis(change, axis, 0)) + LEAST
        weight.append(likely.ravel() * (min(spacing or (1.0,)) / side) ** 2)
    return np.concatenate(first), np.concatenate(second), np.concatenate(weight)


def pieces_without_label(codes: Tensor, labeled: Tensor) -> Tensor:
    r"""Return where connected pieces of a class other than 0 are, within which no voxel is labeled.

    A piece that touches the border of its patch may be labeled beyond it, and is left out.

    Parameters
    ----------
    codes : Tensor of int of shape (n, \*spatial)
        Class of each voxel of some patches. Voxels are connected by their sides.
    labeled : Tensor of bool of shape (n, \*spatial)
        Which voxels have a label.

    Returns
    -------
    Tensor of bool of shape (n, \*spatial)
        True at voxels of these pieces.

    Examples
    --------
    >>> codes = torch.tensor([[[0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0]]])
    >>> labeled = torch.zeros(1, 3, 6, dtype=bool)
    >>> labeled[0, 1, 1] = True
    >>> pieces_without_label(codes, labeled)[0, 1]
    tensor([False, False, False,  True, False, False])
    """
    known, marked = codes.cpu().numpy(), labeled.cpu().numpy()
    found = np.zeros(known.shape, dtype=bool)
    inside = np.zeros(known.shape[1:], dtype=bool)
    inside[(slice(1, -1),) * inside.ndim] = True
    for of_patch, of_labels, out in zip(known, marked, found, strict=True):
        for code in np.unique(of_patch[of_patch > 0]).tolist():
            pieces, n = ndimage.label(of_patch == code)
            is_kept = np.zeros(n + 1, dtype=bool)
            is_kept[0] = True
            is_kept[pieces[of_labels | ~inside]] = True
            out |= ~is_kept[pieces]
    return torch.from_numpy(found).to(codes.device)
