"""What to label next: which slices of which scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter, zoom
from scipy.special import entr
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state

from sklearn_ssldec._samples.volumes import as_label_maps, as_volumes, is_collection, voxels_outside
from sklearn_ssldec.labels import find_unlabeled_label

# Slices nearer to each other than this share of the axis show much the same.
NEAR = 0.1
# How much a slice of one scan tells of that at the same height in another.
OTHER_SCAN = 0.5
# Sides of the small pictures by which slices are clustered.
SMALL = 8


class SliceSuggestion(NamedTuple):
    """A slice that should be annotated.

    Attributes
    ----------
    scan : int
        Number of the volume.
    axis : int
        Axis of the volume that the slice is taken along.
    slice : int
        Its index along that axis.
    score : float
        How much it is expected to tell, 1 for the first suggestion; see `suggest_slices`.
    """

    scan: int
    axis: int
    slice: int
    score: float


def suggest_slices(
    segmenter: Any,
    volumes: Any,
    labels: Any = None,
    n: int = 10,
    *,
    axis: int | None = -1,
    random_state: Any = None,
) -> list[SliceSuggestion]:
    r"""Suggest which slices of which scans to annotate next.

    Slices are chosen one after the other, the one of the highest score first. The score of a slice :math:`s`
    is the uncertainty of the segmenter in it, in which all structures count alike, whatever their size:

    .. math::
        \sum_j \frac{\sum_{i \in s} q_{ij} H(q_i)}{\sum_i q_{ij}}

    where :math:`H` is the entropy of a voxel's probabilities, and voxels that are labeled do not count. It
    is multiplied by 1 minus the similarity to the nearest slice that is labeled or was chosen before, which
    falls with their distance along the axis, and is half as large between different scans; and divided by 1
    plus the number of such slices of the scan. So suggestions are spread over the scans and along the axis.

    Without a segmenter, slices are clustered by their intensities (k-means of small pictures of them, of all
    channels), and of the clusters without a labeled slice, the largest first, the most central slice is
    suggested [1]_.

    Parameters
    ----------
    segmenter : fitted segmenter or None
        Something with ``predict_proba`` of a list of volumes, as `SSLDECSegmenter` has it; None if there is
        none yet.
    volumes : array-like or sequence of volumes
        The scans, labeled and unlabeled: of shape (\*spatial) or (n_channels, \*spatial). Slices without any
        voxel inside the image, that is with NaN only, are not suggested. Of an image of two dimensions, the
        image is the only slice. Without a segmenter and labels, an array of three axes is a volume.
    labels : array-like or sequence of (label map or None), default=None
        What is labeled so far, as in the segmenter's ``fit``. None: nothing. A slice is labeled if no voxel
        of it is marked as unlabeled.
    n : int, default=10
        Number of slices; there may be fewer if fewer are unlabeled.
    axis : int or None, default=-1
        Axis of the volumes along which annotators go. None takes the most useful slices of any axis.
    random_state : int, RandomState instance or None, default=None
        Seed of k-means.

    Returns
    -------
    list of SliceSuggestion
        The slices, the most useful first; ``pandas.DataFrame(suggestions)`` is a table.

    Raises
    ------
    ValueError
        If `n` is not positive, `axis` is none of the volumes', `labels` do not fit the volumes, or a volume
        lies outside the image as a whole: all its voxels are NaN or masked.
    TypeError
        If `n` or `axis` is no integer.

    See Also
    --------
    sklearn_ssldec.display.SuggestedSlicesDisplay : Shows them.

    References
    ----------
    .. [1] G. Hacohen, A. Dekel, D. Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and
       Low Budgets", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssldec.query import suggest_slices
    >>> rng = np.random.default_rng(0)
    >>> scans = rng.normal(size=(3, 12, 12, 10))
    >>> maps = [np.full((12, 12, 10), -1), None, None]
    >>> maps[0][:, :, 4] = 0                       # one slice is labeled
    >>> first, second = suggest_slices(None, scans, maps, n=2, random_state=0)
    >>> first.axis, first.score
    (2, 1.0)
    """
    _check_number("n", n)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    needless = _needless(segmenter, is_collection(volumes), labels)
    if segmenter is None:
        scans = _pictures(volumes, needless, axis)
        chosen = _central(scans, n, check_random_state(random_state))
    else:
        scans = _uncertainties(segmenter, volumes, needless, axis)
        chosen = _spread(scans, n)
    best = max((score for _, score in chosen), default=1.0)
    found = ((scans.where[row].tolist(), score / best) for row, score in chosen)
    return [SliceSuggestion(scan, axis, i, score) for (scan, axis, i), score in found]


class _Slices(NamedTuple):
    """All slices of all volumes: where they are, whether they are labeled, and what they show."""

    where: np.ndarray  # number of the volume, axis and index, of shape (n_slices, 3)
    position: np.ndarray  # along the axis, from 0 to 1
    labeled: np.ndarray
    features: np.ndarray  # of shape (n_slices, ...)


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}.")


def _needless(segmenter: Any, volumes: Any, labels: Any) -> list[np.ndarray | None]:
    """Return for each volume where its voxels need no label, or None if all need one."""
    if labels is None or all(each is None for each in labels):
        if labels is not None and len(labels) != len(volumes):
            raise ValueError(f"There are {len(volumes)} volumes and {len(labels)} labels; give one each.")
        return [None] * len(volumes)
    mark: Any = find_unlabeled_label(segmenter)
    maps = as_label_maps(labels, len(volumes), mark, getattr(segmenter, "ignore_label", None))
    return [None if each is None else np.asarray(each) != mark for each in maps]


def _axes(axis: int | None, n_dims: int) -> list[int]:
    """Return the axes along which slices are taken; an image is a slice of its own."""
    if n_dims == 2:
        return [0]
    if axis is None:
        return list(range(n_dims))
    _check_number("axis", axis)
    if not -n_dims <= axis < n_dims:
        raise ValueError(f"axis must be None or from {-n_dims} to {n_dims - 1}, got {axis}.")
    return [axis % n_dims]


def _views(shape: Sequence[int], axis: int | None) -> Iterator[tuple[int, int, Any]]:
    """Yield axis, index and numpy index of each slice of a volume of this shape."""
    for each in _axes(axis, len(shape)):
        if len(shape) == 2:
            yield each, 0, ...
            continue
        for i in range(shape[each]):
            yield each, i, (slice(None),) * each + (i,)


def _collect(
    shapes: Sequence[Sequence[int]], needless: list[Any], features: list, axis: int | None
) -> _Slices:
    where, position, labeled = [], [], []
    for scan, (shape, known) in enumerate(zip(shapes, needless, strict=True)):
        for each, i, view in _views(shape, axis):
            where.append((scan, each, i))
            position.append(0.5 if len(shape) == 2 else (i + 0.5) / shape[each])
            labeled.append(known is not None and bool(known[view].all()))
    return _Slices(np.array(where), np.array(position), np.array(labeled), np.array(features))


def _check_shape(needless: np.ndarray | None, shape: Sequence[int], i: int) -> None:
    if needless is not None and needless.shape != tuple(shape):
        raise ValueError(f"labels[{i}] has the shape {needless.shape}, and the volume {tuple(shape)}.")


def _uncertainties(segmenter: Any, volumes: Any, needless: list, axis: int | None) -> _Slices:
    """Return the slices with the uncertainty of each structure, as a share of the structure's size."""
    shapes, found, sizes = [], [], np.zeros(())
    shows: list[bool] = []  # probabilities are 0 outside the image
    for scan, volume in enumerate(volumes):
        q = np.asarray(segmenter.predict_proba([volume])[0], dtype=float)
        shapes.append(q.shape[1:])
        _check_shape(needless[scan], q.shape[1:], scan)
        uncertain = entr(q).sum(axis=0)
        if needless[scan] is not None:
            uncertain[needless[scan]] = 0
        for _, _, view in _views(q.shape[1:], axis):
            shows.append(any(one[view].any() for one in q))
            found.append([(one[view] * uncertain[view]).sum() for one in q])
        sizes = sizes + q.sum(axis=tuple(range(1, q.ndim)))
    slices = _collect(shapes, needless, found, axis)
    features = (slices.features / np.maximum(sizes, 1e-12)).sum(axis=1)
    return _Slices(*(values[shows] for values in slices._replace(features=features)))


def _spread(slices: _Slices, n: int) -> list[tuple[int, float]]:
    """Choose slices of high scores, far from each other and from labeled ones."""
    scan = slices.where[:, 0]
    similarity = np.zeros(len(scan))  # to the nearest that is labeled or chosen
    taken = np.zeros(scan.max() + 1)
    free = ~slices.labeled

    def take(row: int) -> None:
        near = np.exp(-(((slices.position - slices.position[row]) / NEAR) ** 2) / 2)
        near[slices.where[:, 1] != slices.where[row, 1]] = 0
        np.maximum(similarity, np.where(scan == scan[row], near, OTHER_SCAN * near), out=similarity)
        taken[scan[row]] += 1

    for row in np.flatnonzero(slices.labeled).tolist():
        take(row)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(n, int(free.sum()))):
        # Where the segmenter is sure of everything, spread alone decides.
        gain = (slices.features + 1e-12) * (1 - similarity) / (1 + taken[scan])
        row = int(np.where(free, gain, -1).argmax())
        chosen.append((row, float(gain[row])))
        free[row] = False
        take(row)
    return chosen


def _pictures(volumes: Any, needless: list, axis: int | None) -> _Slices:
    """Return the slices as small pictures, with their position along the axis."""
    n_dims = next((each.ndim for each in needless if each is not None), None)
    if n_dims is None:
        n_dims = min(3, np.ndim(volumes[0]))
    shapes, found = [], []
    images = as_volumes(volumes, n_dims, n_channels=_channels(volumes[0], n_dims))
    shows: list[bool] = []  # what lies outside the image as a whole needs no annotation
    for scan, (volume, outside) in enumerate(zip(images, voxels_outside(images), strict=True)):
        shapes.append(volume.shape[1:])
        _check_shape(needless[scan], shapes[-1], scan)
        channels = [_scaled(channel) for channel in volume]
        for each, _, view in _views(shapes[-1], axis):
            shows.append(outside is None or not outside[view].all())
            pictures = np.concatenate([_small(channel[view]).ravel() for channel in channels])
            # Slices along different axes are never in one cluster.
            of_axis = [4 * SMALL * (each == k) for k in range(n_dims)]
            found.append([*pictures / np.sqrt(len(channels)), *of_axis])
    slices = _collect(shapes, needless, found, axis)
    # Along the axis, the two ends are as far from each other as pictures that differ by 1 everywhere.
    features = np.column_stack([slices.features, SMALL * slices.position])
    return _Slices(*(values[shows] for values in slices._replace(features=features)))


def _scaled(channel: np.ndarray) -> np.ndarray:
    image = channel.astype(float)
    image = np.where(np.isfinite(image), image, np.nan)
    return np.nan_to_num((image - np.nanmean(image)) / max(float(np.nanstd(image)), 1e-12))


def _small(picture: np.ndarray) -> np.ndarray:
    means = uniform_filter(picture, [max(1, side // SMALL) for side in picture.shape])
    return zoom(means, [SMALL / side for side in picture.shape], order=1, grid_mode=True, mode="nearest")


def _channels(volume: Any, n_dims: int) -> int:
    shape = np.shape(volume)
    return shape[0] if len(shape) > n_dims else 1


def _central(slices: _Slices, n: int, random_state: np.random.RandomState) -> list[tuple[int, float]]:
    """Choose the most central slice of each of the largest clusters that have no labeled one."""
    n_clusters = min(n + int(slices.labeled.sum()), len(np.unique(slices.features, axis=0)))
    means = KMeans(n_clusters, n_init=1, random_state=random_state).fit(slices.features)
    distance = means.transform(slices.features)
    covered = set(means.labels_[slices.labeled].tolist())
    sizes = np.bincount(means.labels_, minlength=n_clusters)
    chosen = []
    for cluster in sorted(set(range(n_clusters)) - covered, key=lambda k: -sizes[k]):
        rows = np.flatnonzero(means.labels_ == cluster)
        row = int(rows[distance[rows, cluster].argmin()])
        chosen.append((row, float(sizes[cluster])))
    return chosen[:n]
