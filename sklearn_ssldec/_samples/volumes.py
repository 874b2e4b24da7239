"""What volumes and their label maps may look like: lists or arrays, with or without channels and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sklearn_ssldec.labels import UNLABELED_CODE, EncodedLabels

# Values read at a time where a volume is looked through as a whole.
SLAB = 2**22


def is_collection(X: Any) -> Any:
    """Return X, if it can be volumes: something with a length that is not 0.

    Parameters
    ----------
    X : array-like or sequence of volumes
        Volumes.

    Raises
    ------
    TypeError, ValueError
        If it has no length, or none but 0.
    """
    if not hasattr(X, "__len__") or not hasattr(X, "__getitem__") or isinstance(X, str | dict):
        raise TypeError(f"X must be an array or a list of volumes, got {type(X).__name__}.")
    if len(X) == 0:
        raise ValueError("X holds no volume.")
    return X


def as_label_maps(y: Any, n_volumes: int) -> list[np.ndarray | None]:
    """Return label maps as a list of integer arrays, None for a volume without any label.

    Parameters
    ----------
    y : array-like of shape (n_volumes, *spatial), or sequence of (array-like or None)
        Label maps.
    n_volumes : int
        Number of volumes that they belong to.

    Raises
    ------
    ValueError
        If there are not as many as volumes, all are None, or they differ in their number of axes.
    TypeError
        If one is not of integers.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    maps = [None if labels is None else np.asarray(labels) for labels in y]
    if len(maps) != n_volumes:
        raise ValueError(f"X has {n_volumes} volumes and y {len(maps)} label maps; there must be one each.")
    for i, labels in enumerate(maps):
        if labels is not None and labels.dtype.kind not in "iub":
            raise TypeError(
                f"y[{i}] is an array of {labels.dtype}; labels must be integers. Convert it, "
                "y.astype(int), if its values are whole numbers."
            )
    axes = {labels.ndim for labels in maps if labels is not None}
    if not axes:
        raise ValueError("y has no label map: all are None.")
    if len(axes) > 1 or not axes <= {2, 3}:
        raise ValueError(
            f"The label maps in y must all have two axes, or all three; they have {sorted(axes)}."
        )
    return maps


def labeled_volumes(y: Any, unlabeled_label: Any = -1) -> np.ndarray | None:
    """Return a boolean mask of the volumes that have some label, or None if `y` does not hold label maps.

    Parameters
    ----------
    y : array-like
        Labels of samples, or label maps, of which some may be None.
    unlabeled_label : int, default=-1
        Marks unlabeled voxels.
    """
    if not isinstance(y, list | tuple) and np.ndim(y) < 2:
        return None
    if not any(np.ndim(labels) >= 2 for labels in y if labels is not None):
        return None
    return np.array(
        [labels is not None and bool((np.asarray(labels) != unlabeled_label).any()) for labels in y]
    )


def as_volumes(X: Any, n_dims: int, n_channels: int | None = None) -> list[np.ndarray]:
    """Return volumes as a list of arrays with their channels first; nothing is copied.

    Parameters
    ----------
    X : array-like of shape (n, *spatial) or (n, n_channels, *spatial), or sequence of such volumes
        Volumes; those in a sequence may differ in their spatial shapes.
    n_dims : int
        Number of spatial axes.
    n_channels : int, default=None
        The number of channels that they must have; None for that of the first.

    Raises
    ------
    ValueError
        If there is no volume, or one has another number of axes or channels than the others.
    TypeError
        If one is not of real numbers.
    """
    volumes: list[np.ndarray] = []
    for i in range(len(X)):
        volume = X[i] if isinstance(X[i], np.ndarray) else np.asarray(X[i])  # memory maps stay what they are
        if volume.dtype.kind not in "iufb":
            raise TypeError(f"X[{i}] is an array of {volume.dtype}; volumes must be real numbers.")
        if volume.ndim not in (n_dims, n_dims + 1):
            raise ValueError(
                f"X[{i}] has shape {volume.shape}; with label maps of {n_dims} axes it must have {n_dims}, "
                f"or {n_dims + 1} with its channels first. X is a list of volumes, also where there is one."
            )
        if volume.ndim == n_dims:
            volume = volume[None]
        if volume.shape[-1] in (1, 2, 3, 4) and len(volume) > 4:
            raise ValueError(
                f"X[{i}] of shape {volume.shape} seems to have its channels last; they come first. Pass "
                "np.moveaxis(volume, -1, 0)."
            )
        if n_channels is None:
            n_channels = len(volume)
        if len(volume) != n_channels:
            raise ValueError(
                f"X[{i}] has {len(volume)} channels, the others have {n_channels}: its shape is "
                f"{volume.shape}, and channels come first."
            )
        if 0 in volume.shape:
            raise ValueError(f"X[{i}] is empty: its shape is {volume.shape}.")
        volumes.append(volume)
    return volumes


def check_shapes(volumes: Sequence[np.ndarray], maps: Sequence[np.ndarray | None]) -> None:
    """Refuse label maps that have not the spatial shape of their volume.

    Parameters
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        Volumes.
    maps : sequence of ndarray or None
        Label maps.

    Raises
    ------
    ValueError
        If one has another shape.
    """
    for i, (volume, labels) in enumerate(zip(volumes, maps, strict=True)):
        if labels is not None and labels.shape != volume.shape[1:]:
            raise ValueError(
                f"X[{i}] has spatial shape {volume.shape[1:]}, but y[{i}] has shape {labels.shape}."
            )


def encode_label_maps(
    maps: Sequence[np.ndarray | None],
    shapes: Sequence[tuple[int, ...]],
    unlabeled_label: int = -1,
    ignore_label: int | None = None,
) -> tuple[EncodedLabels, list[np.ndarray | None]]:
    """Encode the labels of all voxels that take part, one volume behind the other.

    Parameters
    ----------
    maps : sequence of ndarray of int, or None
        Label maps; None for a volume without any label.
    shapes : sequence of tuple of int
        Spatial shapes of the volumes.
    unlabeled_label : int, default=-1
        Marks unlabeled voxels.
    ignore_label : int, default=None
        Marks voxels that take part in nothing.

    Returns
    -------
    labels : EncodedLabels
        The classes, and their codes (int16) of all voxels that are not ignored.
    ignored : list of (ndarray of bool, or None)
        The ignored voxels of each volume; None for none.

    Raises
    ------
    ValueError
        If a label is negative, no voxel is labeled, there is one class only, or one of a single voxel.
    """
    if ignore_label is not None and ignore_label == unlabeled_label:
        raise ValueError(
            f"ignore_label and unlabeled_label are both {ignore_label}; they mean different things."
        )
    found: dict[int, int] = {}
    for labels in maps:
        if labels is not None:
            values, counts = np.unique(labels, return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                found[value] = found.get(value, 0) + count
    for special in (unlabeled_label, ignore_label):
        found.pop(special, None)  # type: ignore[arg-type]
    if negative := sorted(value for value in found if value < 0):
        raise ValueError(
            f"y holds the labels {negative}: negative labels other than unlabeled_label={unlabeled_label} "
            f"and ignore_label={ignore_label} are refused, since they are often another tool's mark for "
            "voxels without a label."
        )
    if not found:
        raise ValueError(
            f"y has no labeled voxel: all are {unlabeled_label!r}, which marks unlabeled voxels, or ignored."
        )
    if len(found) < 2:
        raise ValueError(
            f"y must have labels of at least 2 classes, got one class only: {next(iter(found))}."
        )
    if single := sorted(value for value, count in found.items() if count < 2):
        raise ValueError(
            f"Class {single[0]} labels a single voxel in all of y, which nothing can be learned from. Label "
            f"more voxels of it, or mark this one as unlabeled ({unlabeled_label})."
        )
    classes = np.array(sorted(found))
    codes: list[np.ndarray] = []
    ignored: list[np.ndarray | None] = []
    for labels, shape in zip(maps, shapes, strict=True):
        if labels is None:
            codes.append(np.full(int(np.prod(shape)), UNLABELED_CODE, dtype=np.int16))
            ignored.append(None)
            continue
        mask = labels == ignore_label if ignore_label is not None else np.zeros(shape, dtype=bool)
        flat = labels[~mask]
        encoded = np.searchsorted(classes, flat).astype(np.int16)
        encoded[flat == unlabeled_label] = UNLABELED_CODE
        codes.append(encoded)
        ignored.append(mask if mask.any() else None)
    return EncodedLabels(classes, np.concatenate(codes)), ignored


def statistics(volumes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel of each volume, read a part at a time.

    Parameters
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        Volumes.

    Returns
    -------
    mean, deviation : ndarray of shape (n_volumes, n_channels), float32
        The deviation of a constant channel is 1.

    Raises
    ------
    ValueError
        If a volume holds NaN or infinity.
    """
    means, deviations = [], []
    for i, volume in enumerate(volumes):
        total, squares, count = np.zeros(len(volume)), np.zeros(len(volume)), 0
        # Around a value of the channel, so that squares of large intensities do not swallow their spread.
        origin = volume[(slice(None), *[slice(1)] * (volume.ndim - 1))].astype(float)
        for rows in _slabs(volume):
            with np.errstate(invalid="ignore"):  # infinite values are found below
                part = volume[:, rows].astype(float) - origin
            axes = tuple(range(1, part.ndim))
            total += part.sum(axis=axes)
            squares += np.square(part).sum(axis=axes)
            count += part[0].size
        if not np.isfinite(total).all() or not np.isfinite(squares).all():
            raise ValueError(
                f"X[{i}] contains NaN, infinity or values too large. Replace them, "
                "np.nan_to_num(volume), and mark these voxels with ignore_label if they mean nothing."
            )
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        means.append(mean + origin.ravel())
        deviations.append(np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1))
    return np.array(means, dtype=np.float32), np.array(deviations, dtype=np.float32)


def _slabs(volume: np.ndarray) -> Iterator[slice]:
    """Yield slices of the first spatial axis that hold about `SLAB` values."""
    side = volume.shape[1]
    n_rows = max(1, SLAB * side // volume.size)
    for start in range(0, side, n_rows):
        yield slice(start, start + n_rows)
