"""Checks of volumes and their label maps: lists or arrays, with or without channels and labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from sklearn_ssldec.labels import UNLABELED_CODE

# Values read at a time where a volume is looked through as a whole.
SLAB = 2**22
# Beyond it, float32 is infinite.
LARGEST = float(np.finfo(np.float32).max)
# JPEG turns the 0 and 255 of a mask into values that are up to so far away.
JPEG_SPREAD = 32
# Label maps with numbers from 0 up to different ones, of which one is at least this, may number objects.
MANY_OBJECTS = 20
# Codes are int16, and partial labels have some behind those of the classes.
MOST_CLASSES = 2**14


@dataclass(frozen=True)
class MapLabels:
    """Label maps as integers: what `EncodedLabels` is for rows.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted class labels.
    maps : list of (ndarray of int16, of a volume's spatial shape, or None)
        Position of each voxel's label in `classes`; -1 where it has none. ``n_classes + i`` for the partial
        label i. None for a volume without labels.
    shapes : list of tuple of int
        Spatial shapes of the volumes.
    ignored : list of (ndarray of bool, or None)
        The voxels of each volume that take part in nothing; None for none.
    candidates : ndarray of shape (n_partial, n_classes), bool
        Candidate classes of each partial label (`with_partial_labels`).
    """

    classes: np.ndarray
    maps: list[np.ndarray | None]
    shapes: list[tuple[int, ...]]
    ignored: list[np.ndarray | None]
    candidates: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=bool))

    @cached_property
    def codes(self) -> np.ndarray:
        """Codes of all voxels that take part, int16, one volume behind the other."""
        codes = []
        for of_volume, shape, mask in zip(self.maps, self.shapes, self.ignored, strict=True):
            if of_volume is not None:
                codes.append(of_volume.ravel() if mask is None else of_volume[~mask])
                continue
            n = math.prod(shape) if mask is None else np.count_nonzero(~mask)
            codes.append(np.full(n, UNLABELED_CODE, dtype=np.int16))
        return np.concatenate(codes)

    @property
    def labeled(self) -> np.ndarray:
        """Boolean mask of the labeled voxels, among those that take part."""
        return self.codes != UNLABELED_CODE

    @property
    def known(self) -> np.ndarray:
        """Codes of the labeled voxels."""
        return np.concatenate([codes[codes >= 0] for codes in self.maps if codes is not None])

    @property
    def is_complete(self) -> bool:
        """Whether all voxels that take part are labeled, and no label is partial."""
        if len(self.candidates):
            return False
        for codes, mask in zip(self.maps, self.ignored, strict=True):
            if codes is None and (mask is None or not mask.all()):
                return False
            if codes is not None and (codes < 0).sum() > (0 if mask is None else mask.sum()):
                return False
        return True

    def completed(self, predicted: np.ndarray) -> np.ndarray:
        """Return the code of the class of each voxel: its label, or what was predicted for it.

        Where a label is partial, that is what was predicted if it is a candidate, else the background.

        Parameters
        ----------
        predicted : ndarray of int of shape (n_voxels,)
            Code of the class that was predicted for each voxel that takes part.
        """
        codes, n_classes = self.codes, len(self.classes)
        found = np.where(self.labeled, codes, predicted)
        partial = np.flatnonzero(codes >= n_classes)
        guess = predicted[partial]
        is_candidate = self.candidates[codes[partial] - n_classes, guess] if len(partial) else guess
        found[partial] = np.where(is_candidate, guess, 0)
        return found


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


def as_label_maps(
    y: Any, n_volumes: int, unlabeled_label: int = -1, ignore_label: int | None = None
) -> list[np.ndarray | None]:
    """Return label maps as a list of integer arrays, None for a volume without any label.

    Masked voxels of a masked array have no label: they are marked as unlabeled.

    Parameters
    ----------
    y : array-like of shape (n_volumes, *spatial), or sequence of (array-like or None)
        Label maps.
    n_volumes : int
        Number of volumes that they belong to.
    unlabeled_label : int, default=-1
        Marks unlabeled voxels.
    ignore_label : int, default=None
        Marks voxels that take part in nothing.

    Returns
    -------
    list of (ndarray of int, or None)
        The label maps; not copied unless they are masked.

    Raises
    ------
    ValueError
        If the number of maps and volumes differ, all are None, they differ in their number of axes, or a mark
        was lost in an unsigned dtype.
    TypeError
        If one is not of integers.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    maps = [
        None if labels is None else _as_label_map(labels, i, unlabeled_label, ignore_label)
        for i, labels in enumerate(y)
    ]
    if len(maps) != n_volumes:
        raise ValueError(f"X has {n_volumes} volumes and y {len(maps)} label maps; there must be one each.")
    axes = {labels.ndim for labels in maps if labels is not None}
    if not axes:
        raise ValueError("y has no label map: all are None.")
    if len(axes) > 1 or not axes <= {2, 3}:
        hint = " y is a list of label maps, also where there is one." if axes <= {0, 1} else ""
        raise ValueError(
            f"The label maps in y must all have two axes, or all three; they have {sorted(axes)}.{hint}"
        )
    return maps


def _as_label_map(labels: Any, i: int, unlabeled_label: int, ignore_label: int | None) -> np.ndarray:
    given = labels if isinstance(labels, np.ndarray) else np.asarray(labels)
    if given.dtype.kind == "f" and np.isnan(np.ma.filled(given, 0)).any():
        raise TypeError(
            f"y[{i}] is an array of {given.dtype} with NaN; labels must be integers. If NaN marks voxels "
            f"without a label, pass np.where(np.isnan(y), {unlabeled_label}, y).astype(int)."
        )
    if given.dtype.kind not in "iub":
        raise TypeError(
            f"y[{i}] is an array of {given.dtype}; labels must be integers. If its values are whole numbers "
            "up to rounding, pass np.rint(y).astype(int). Scaled label files hold 2.99998 for 3, which "
            "astype(int) alone would make 2; sklearn_ssldec.scans.load_label_map reads them right."
        )
    marks = [mark for mark in (unlabeled_label, ignore_label) if mark is not None]
    for mark in marks:
        lost = np.iinfo(given.dtype).max + 1 + mark if given.dtype.kind == "u" else mark
        if mark < 0 and lost not in marks and np.ma.filled(given == lost, False).any():
            raise ValueError(
                f"y[{i}] is an array of {given.dtype} and holds {lost}, which is what the mark {mark} "
                "becomes in an unsigned array. Convert label maps to a signed dtype, y.astype(np.int16), "
                f"before you mark voxels with {mark}. If {lost} is a label, converting is all that is needed."
            )
    if isinstance(given, np.ma.MaskedArray):
        wide = given.astype(dtype_with_room(given.dtype, unlabeled_label))
        given = np.ma.filled(wide, unlabeled_label)
    return given


def dtype_with_room(dtype: np.dtype, mark: int) -> np.dtype:
    """Return an integer dtype that holds the labels of one dtype, and a mark.

    Parameters
    ----------
    dtype : dtype
        That of the labels.
    mark : int
        The mark, such as -1.

    Examples
    --------
    >>> dtype_with_room(np.dtype(np.uint8), -1)
    dtype('int16')
    """
    wide = np.result_type(dtype, np.min_scalar_type(mark))
    return np.dtype(np.int64) if wide.kind == "f" else wide  # uint64 beside a signed dtype


def as_spacing(spacing: Any, n_dims: int, name: str = "spacing") -> tuple[float, ...]:
    """Return the sides of a voxel.

    Parameters
    ----------
    spacing : sequence of float
        One side for each axis.
    n_dims : int
        Number of spatial axes.
    name : str, default="spacing"
        Name of the parameter, for the error.

    Raises
    ------
    ValueError
        If it does not hold one positive finite number for each axis.

    Examples
    --------
    >>> as_spacing([1, 1, 6], 3)
    (1.0, 1.0, 6.0)
    """
    try:
        sides = np.asarray(spacing, dtype=float)
    except (TypeError, ValueError):
        sides = np.empty(0)
    if sides.shape != (n_dims,) or not np.isfinite(sides).all() or not (sides > 0).all():
        raise ValueError(
            f"{name} must hold a positive number for each of the {n_dims} spatial axes, got {spacing!r}."
        )
    return tuple(sides.tolist())


def as_scales(scales: Any) -> tuple[float, ...]:
    """Return the sizes at which volumes are predicted, as multiples of their own.

    Parameters
    ----------
    scales : sequence of float
        The user's argument.

    Raises
    ------
    ValueError
        If it does not hold one or more numbers between 0.1 and 10.

    Examples
    --------
    >>> as_scales([1, 1.25])
    (1.0, 1.25)
    """
    try:
        found = np.asarray(scales, dtype=float)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or len(found) == 0 or not ((found >= 0.1) & (found <= 10)).all():
        raise ValueError(
            'net__predict_scales must be "auto" or hold numbers from 0.1 to 10, as [0.87, 1, 1.15]; '
            f"got {scales!r}."
        )
    return tuple(found.tolist())


def count_axes(maps: Sequence[np.ndarray | None]) -> int:
    """Return the number of spatial axes that the label maps have.

    Parameters
    ----------
    maps : sequence of ndarray or None
        Label maps with the same number of axes; at least one is given.

    Raises
    ------
    ValueError
        If all are single slices with three axes, for which a network in three dimensions is the wrong one.
    """
    given = [labels for labels in maps if labels is not None]
    if given[0].ndim == 3 and all(1 in labels.shape for labels in given):
        raise ValueError(
            f"The label maps in y are single slices with three axes; the first has shape {given[0].shape}. "
            "A network in three dimensions cannot learn from them. Pass label maps of shape (height, width), "
            "for example y[0], and images of shape (height, width) or (n_channels, height, width)."
        )
    return given[0].ndim


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
    return np.array([labels is not None and _has_label(labels, unlabeled_label) for labels in y])


def _has_label(labels: Any, unlabeled_label: Any) -> bool:
    given = labels if isinstance(labels, np.ndarray) else np.asarray(labels)
    return bool(np.ma.filled(given != unlabeled_label, False).any())


def as_volumes(
    X: Any,
    n_dims: int,
    n_channels: int | None = None,
    maps: Sequence[np.ndarray | None] | None = None,
) -> list[np.ndarray]:
    """Return volumes as a list of arrays with their channels first.

    They are copied only if torch cannot read them where they are: arrays with negative strides, of another
    byte order or of extended precision, and masked arrays, whose masked values become NaN.

    Parameters
    ----------
    X : array-like of shape (n, *spatial) or (n, n_channels, *spatial), or sequence of such volumes
        Volumes; those in a sequence may differ in their spatial shapes.
    n_dims : int
        Number of spatial axes.
    n_channels : int, default=None
        The number of channels that they must have; None for that of the first that has a label map.
    maps : sequence of ndarray or None, default=None
        Label maps; their shapes tell which axis holds the channels.

    Returns
    -------
    list of ndarray of shape (n_channels, *spatial)
        The volumes.

    Raises
    ------
    ValueError
        If a volume is empty, has another number of axes or channels than the others, its channels last, or
        not the spatial shape of its label map.
    TypeError
        If one is not of real numbers.
    """
    volumes = [_as_volume(volume, i, n_dims) for i, volume in zip(range(len(X)), X, strict=False)]
    if maps is not None:
        check_shapes(volumes, maps)
    if n_channels is None:
        first = 0 if maps is None else next(i for i, labels in enumerate(maps) if labels is not None)
        n_channels = len(volumes[first])
    for i, volume in enumerate(volumes):
        if len(volume) != n_channels:
            if volume.shape[-1] == n_channels:
                raise ValueError(_channels_last(i, volume))
            raise ValueError(
                f"X[{i}] has {len(volume)} channels, the others have {n_channels}: its shape is "
                f"{volume.shape}, and channels come first."
            )
    return volumes


def _as_volume(given: Any, i: int, n_dims: int) -> np.ndarray:
    volume = given if isinstance(given, np.ndarray) else np.asarray(given)  # memory maps stay what they are
    if volume.dtype.kind not in "iufb":
        raise TypeError(f"X[{i}] is an array of {volume.dtype}; volumes must be real numbers.")
    if volume.ndim not in (n_dims, n_dims + 1):
        raise ValueError(
            f"X[{i}] has shape {volume.shape}; with label maps of {n_dims} axes it must have {n_dims}, "
            f"or {n_dims + 1} with its channels first. X is a list of volumes, also where there is one."
        )
    if 0 in volume.shape:
        raise ValueError(f"X[{i}] is empty: its shape is {volume.shape}.")
    return as_torch_reads(volume if volume.ndim > n_dims else volume[None])


def as_torch_reads(volume: np.ndarray) -> np.ndarray:
    """Return an array that torch can share memory with, copied only if need be.

    Parameters
    ----------
    volume : ndarray of real numbers
        Of any dtype, byte order and strides; of a masked array, masked values become NaN.

    Examples
    --------
    >>> as_torch_reads(np.ma.masked_equal(np.array([5, 0, 7], dtype=">i2"), 0))
    array([ 5., nan,  7.], dtype=float32)
    """
    if isinstance(volume, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(volume)
        volume = np.asarray(volume)
        if masked.any():
            volume = volume.astype(np.result_type(volume.dtype, np.float32))
            volume[masked] = np.nan
    if volume.dtype.kind == "f" and volume.dtype.itemsize > 8:
        volume = volume.astype(np.float64)
    if not volume.dtype.isnative:
        volume = volume.astype(volume.dtype.newbyteorder("="))
    if any(step < 0 or step % volume.itemsize for step in volume.strides):
        volume = volume.copy()
    return volume


def as_given(results: list[np.ndarray], X: Any) -> Any:
    """Return results as one array if the volumes came as one, else as a list.

    Parameters
    ----------
    results : list of ndarray
        One a volume.
    X : array-like or sequence of volumes
        The volumes; an array of objects is a sequence, whose volumes may differ in shape.
    """
    return np.stack(results) if isinstance(X, np.ndarray) and X.dtype != object else results


def check_shapes(volumes: Sequence[np.ndarray], maps: Sequence[np.ndarray | None]) -> None:
    """Refuse label maps whose spatial shape is not that of their volume.

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
        if labels is None or labels.shape == volume.shape[1:]:
            continue
        if labels.shape == volume.shape[:-1]:
            raise ValueError(_channels_last(i, volume))
        hint = ""
        if labels.ndim == 3 and labels.shape[-1] in (3, 4) and labels.shape[:-1] == volume.shape[-2:]:
            hint = (
                " It seems to be an image in colours; a label map has one integer a pixel. Pass "
                f"y[{i}][..., 0] if its channels are equal; otherwise docs/how_to/segmentation.md, "
                '"Pictures and masks", says how to number colours.'
            )
        raise ValueError(
            f"X[{i}] has spatial shape {volume.shape[1:]}, but y[{i}] has shape {labels.shape}.{hint}"
        )


def _channels_last(i: int, volume: np.ndarray) -> str:
    return (
        f"X[{i}] of shape {volume.shape} seems to have its channels last; they come first. Pass "
        "np.moveaxis(volume, -1, 0)."
    )


def voxels_outside(volumes: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Return a mask of the voxels outside the image, those with NaN in any channel.

    Parameters
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        Volumes.

    Returns
    -------
    list of (ndarray of bool, of the spatial shape, or None)
        The voxels of each volume that lie outside; None for none.

    Raises
    ------
    ValueError
        If a volume has no other voxel.
    """
    masks = []
    for i, volume in enumerate(volumes):
        mask = None
        for rows in _slabs(volume) if volume.dtype.kind == "f" else ():
            missing = np.isnan(volume[:, rows]).any(axis=0)
            if missing.any():
                mask = np.zeros(volume.shape[1:], dtype=bool) if mask is None else mask
                mask[rows] = missing
        if mask is not None and mask.all():
            raise ValueError(
                f"X[{i}] has no voxel inside the image: each is NaN, or masked, in at least one channel."
            )
        masks.append(mask)
    return masks


def encode_label_maps(
    maps: Sequence[np.ndarray | None],
    shapes: Sequence[tuple[int, ...]],
    unlabeled_label: int = -1,
    ignore_label: int | None = None,
    outside: Sequence[np.ndarray | None] | None = None,
) -> MapLabels:
    """Encode label maps.

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
    outside : sequence of (ndarray of bool or None), default=None
        Voxels outside the image, which take part in nothing either (`voxels_outside`).

    Returns
    -------
    MapLabels
        The classes, and their codes.

    Raises
    ------
    ValueError
        If a label is negative, no voxel is labeled, or there is one class only, one of a single voxel, or
        more than 16384.
    """
    if ignore_label is not None and ignore_label == unlabeled_label:
        raise ValueError(
            f"ignore_label and unlabeled_label are both {ignore_label}; they mean different things."
        )
    if outside is None:
        outside = [None] * len(maps)
    ignored = [_ignored(labels, mask, ignore_label) for labels, mask in zip(maps, outside, strict=True)]
    taking_part = [
        None if labels is None else labels.ravel() if mask is None else labels[~mask]
        for labels, mask in zip(maps, ignored, strict=True)
    ]
    found = _count_labels(taking_part)
    found.pop(unlabeled_label, None)
    _check_found(found, unlabeled_label, ignore_label)
    classes = np.array(sorted(found))
    if classes.dtype == bool:  # of masks such as y > 0; label maps that are predicted are of integers
        classes = classes.astype(int)
    encoded: list[np.ndarray | None] = []
    for labels, mask in zip(maps, ignored, strict=True):
        if labels is None or (labels == unlabeled_label).all():
            encoded.append(None)
            continue
        codes = np.searchsorted(classes, labels).astype(np.int16)
        codes[labels == unlabeled_label] = UNLABELED_CODE
        if mask is not None:
            codes[mask] = UNLABELED_CODE
        encoded.append(codes)
    return MapLabels(classes, encoded, list(shapes), ignored)


def as_annotated_classes(annotated_classes: Any, n_volumes: int) -> list[frozenset[int] | None]:
    """Return the classes that were annotated in each volume, None for all.

    Parameters
    ----------
    annotated_classes : sequence of (collection of int, or None), or None
        The user's argument.
    n_volumes : int
        Number of volumes.

    Raises
    ------
    TypeError
        If it is no sequence, or an entry neither None nor a collection of integers.
    ValueError
        If the number of entries and volumes differ, or an entry names no class besides the background, 0.

    Examples
    --------
    >>> as_annotated_classes([None, [2, 1]], 2)
    [None, frozenset({1, 2})]
    """
    if annotated_classes is None:
        return [None] * n_volumes
    if not isinstance(annotated_classes, Sequence | np.ndarray) or isinstance(annotated_classes, str):
        raise TypeError(
            "annotated_classes must be a sequence with a collection of classes, or None, for each volume; "
            f"got {annotated_classes!r}."
        )
    if len(annotated_classes) != n_volumes:
        raise ValueError(
            f"X has {n_volumes} volumes and annotated_classes {len(annotated_classes)} entries; there must "
            "be one each."
        )
    found: list[frozenset[int] | None] = []
    for i, given in enumerate(annotated_classes):
        is_listed = isinstance(given, Collection | np.ndarray) and not isinstance(given, str | Mapping)
        if given is not None and not (is_listed and all(isinstance(each, Integral) for each in given)):
            raise TypeError(
                f"annotated_classes[{i}] must be a collection of integers, the classes that were annotated "
                f"in X[{i}], or None for all classes; got {given!r}."
            )
        found.append(None if given is None else frozenset(int(each) for each in given))
        if given is not None and not found[-1] - {0}:  # type: ignore[operator]
            raise ValueError(
                f"annotated_classes[{i}] is {given!r} and names no class besides the background, 0. If "
                f"nothing was annotated in X[{i}], pass None as its label map."
            )
    return found


def with_partial_labels(labels: MapLabels, annotated: Sequence[frozenset[int] | None]) -> MapLabels:
    """Return label maps in which background is a partial label where some class was not annotated.

    What is marked as background there is background or of a class that was not annotated.

    Parameters
    ----------
    labels : MapLabels
        Label maps, whose background is 0.
    annotated : sequence of (frozenset of int, or None)
        Classes that were annotated in each volume (`as_annotated_classes`).

    Raises
    ------
    ValueError
        If there is no background, or a volume has marks of a class that was not annotated in it.
    """
    names = labels.classes.tolist()
    codes_of: dict[frozenset[int], int] = {}
    maps = list(labels.maps)
    for i, (codes, given) in enumerate(zip(labels.maps, annotated, strict=True)):
        missing = frozenset() if codes is None or given is None else frozenset(names) - given - {0}
        if codes is None or not missing:
            continue
        if names[0] != 0:
            raise ValueError(
                "annotated_classes needs label maps in which 0 is the background, which may hold what was "
                f"not annotated; y has the classes {names}."
            )
        if wrong := missing & set(labels.classes[np.unique(codes[codes >= 0])].tolist()):
            raise ValueError(
                f"y[{i}] marks voxels of class {min(wrong)}, which is not in annotated_classes[{i}], "
                f"{sorted(given or ())}."
            )
        partial = codes_of.setdefault(missing, len(names) + len(codes_of))
        maps[i] = np.where(codes == 0, np.int16(partial), codes)
    candidates = [[name == 0 or name in missing for name in names] for missing in codes_of]
    if not candidates:
        return labels
    return replace(labels, maps=maps, candidates=np.array(candidates))


def count_classes(codes: np.ndarray, n_classes: int, candidates: np.ndarray) -> np.ndarray:
    """Return the number of voxels of each class, of those with partial labels the most likely one.

    The most likely shares of the candidates are those that they have of all voxels (expectation
    maximization).

    Parameters
    ----------
    codes : ndarray of int of shape (n_voxels,)
        Their labels, of which some may be partial.
    n_classes : int
        Number of classes.
    candidates : ndarray of shape (n_partial, n_classes), bool
        Candidate classes of each partial label.

    Examples
    --------
    A tenth of two volumes is of class 1, a tenth of class 2; each is annotated in one of the volumes.

    >>> codes = np.repeat([1, 3, 2, 4], [100, 900, 100, 900])
    >>> count_classes(codes, 3, np.array([[True, False, True], [True, True, False]])).round()
    array([1600.,  200.,  200.])
    """
    counts = np.bincount(codes, minlength=n_classes + len(candidates))
    if len(candidates) == 0:
        return counts
    known, partial = counts[:n_classes], counts[n_classes:, None]
    found = known + (partial * candidates / candidates.sum(axis=1, keepdims=True)).sum(axis=0)
    for _ in range(1000):
        within = candidates * found
        found = known + (partial * within / within.sum(axis=1, keepdims=True)).sum(axis=0)
    return found


def _ignored(
    labels: np.ndarray | None, outside: np.ndarray | None, ignore_label: int | None
) -> np.ndarray | None:
    """Return a mask of the voxels of a volume that do not take part, or None if all do."""
    if labels is None or ignore_label is None:
        return outside
    mask = labels == ignore_label
    if outside is not None:
        mask |= outside
    return mask if mask.any() else None


def _count_labels(flat_maps: Sequence[np.ndarray | None]) -> dict[int, int]:
    """Return how many voxels have each label."""
    found: dict[int, int] = {}
    for labels in flat_maps:
        if labels is not None:
            values, counts = np.unique(labels, return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                found[value] = found.get(value, 0) + count
    return found


def _check_found(found: dict[int, int], unlabeled_label: int, ignore_label: int | None) -> None:
    """Refuse labels, counted by `_count_labels`, from which nothing can be learned."""
    if negative := sorted(value for value in found if value < 0):
        raise ValueError(
            f"y holds the labels {negative}: negative labels other than unlabeled_label={unlabeled_label} "
            f"and ignore_label={ignore_label} are refused, since they are often another tool's mark for "
            "voxels without a label."
        )
    if not found:
        raise ValueError(
            f"y has no labeled voxel: all are {unlabeled_label!r}, which marks unlabeled voxels, are "
            "ignored, or lie outside the image, where X is NaN or masked."
        )
    if len(found) < 2:
        raise ValueError(
            f"y must have labels of at least 2 classes, got one class only: {next(iter(found))}."
        )
    if len(found) > MOST_CLASSES:
        raise ValueError(
            f"y has {len(found)} labels; at most {MOST_CLASSES} are possible. If they number objects, as "
            "cells, pass y > 0 instead: the segmenter tells classes apart, not the objects of a class."
        )
    if from_jpeg(found):
        raise ValueError(
            f"y has {len(found)} labels, and nearly all voxels are close to 0 or to 255: it seems to be a "
            "mask that was stored as JPEG, which changes values a little. Pass y > 127. If these are labels "
            "after all, number them from 0 on."
        )
    if single := sorted(value for value, count in found.items() if count < 2):
        raise ValueError(
            f"Class {single[0]} labels a single voxel in all of y, which nothing can be learned from. Label "
            f"more voxels of it, or mark this one as unlabeled ({unlabeled_label})."
        )


def may_number_objects(labels: MapLabels) -> bool:
    """Return whether label maps may have a number for each object instead of each class.

    Numbers of objects begin anew in every map, and end where its objects do.

    Parameters
    ----------
    labels : MapLabels
        Label maps.

    Examples
    --------
    >>> cells = [np.arange(n).repeat(4).reshape(-1, 4) for n in (30, 50)]
    >>> may_number_objects(encode_label_maps(cells, [(30, 4), (50, 4)]))
    True
    >>> may_number_objects(encode_label_maps([cells[0], cells[0]], [(30, 4)] * 2))
    False
    """
    last = []
    for codes in labels.maps:
        if codes is not None:
            found = np.unique(codes[(codes >= 0) & (codes < len(labels.classes))])
            if len(found) == 0 or labels.classes[found[-1]] != len(found) - 1:
                return False
            last.append(len(found))
    return len(set(last)) > 1 and max(last) > MANY_OBJECTS


def from_jpeg(counts: Mapping[int, int]) -> bool:
    """Return whether labels are those of a mask with the values 0 and 255 that was stored as JPEG.

    Parameters
    ----------
    counts : mapping of int to int
        The number of voxels of each label.

    Examples
    --------
    >>> from_jpeg({0: 900, 1: 50, 3: 20, 90: 3, 251: 9, 254: 60, 255: 400})
    True
    >>> from_jpeg({0: 900, 1: 50, 2: 20, 255: 9}) or from_jpeg(dict.fromkeys(range(256), 9))
    False
    """
    near = {value: n for value, n in counts.items() if min(value, 255 - value) <= JPEG_SPREAD}
    for upper in (False, True):
        of_half = [n for value, n in counts.items() if (value > 127) == upper]
        near_end = [n for value, n in near.items() if (value > 127) == upper]
        if len(near_end) < 3 or sum(near_end) < 0.9 * sum(of_half):
            return False
    return max(counts) <= 255


class Statistics(NamedTuple):
    """Statistics of the intensities of volumes.

    Attributes
    ----------
    mean, deviation, smallest, largest : ndarray of shape (n_volumes, n_channels), float32
        Of each channel of each volume. The deviation of a constant channel is 1.
    """

    mean: np.ndarray
    deviation: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray


def statistics(
    volumes: Sequence[np.ndarray], ignored: Sequence[np.ndarray | None] | None = None
) -> Statistics:
    """Return mean, standard deviation and range of each channel of each volume, read a part at a time.

    Parameters
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        Volumes.
    ignored : sequence of (ndarray of bool, of the spatial shape, or None), default=None
        Voxels that do not count; None for none.

    Returns
    -------
    Statistics
        Those of a volume of which no voxel counts are 0, and 1 for the deviation.

    Raises
    ------
    ValueError
        If a volume holds infinity, or values beyond float32, at a voxel that counts.
    """
    found = []
    for i, volume in enumerate(volumes):
        found.append(_moments(volume, None if ignored is None else ignored[i]))
        if not (np.abs(found[-1]) <= LARGEST).all():
            raise ValueError(
                f"X[{i}] contains infinity or values too large for float32. To leave these voxels out, set "
                "them to NaN: np.where(np.abs(volume) < 1e30, volume, np.nan)."
            )
    return Statistics(*np.array(found, dtype=np.float32).swapaxes(0, 1))


def _moments(volume: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Return mean, deviation, smallest and largest value of each channel."""
    if ignored is not None and ignored.all():
        return np.repeat([[0.0], [1.0], [0.0], [0.0]], len(volume), axis=1)
    total, squares, count = np.zeros(len(volume)), np.zeros(len(volume)), 0
    smallest, largest = np.full(len(volume), np.inf), np.full(len(volume), -np.inf)
    # Around a value of the channel, so that squares of large intensities do not swallow their spread.
    first = (0,) * (volume.ndim - 1) if ignored is None else np.unravel_index(ignored.argmin(), ignored.shape)
    origin = volume[(slice(None), *first)].astype(float)
    for rows in _slabs(volume):
        part = volume[:, rows] if ignored is None else volume[:, rows][:, ~ignored[rows]]
        part = part.astype(float)
        axes = tuple(range(1, part.ndim))
        if part[0].size:
            smallest = np.minimum(smallest, part.min(axis=axes))
            largest = np.maximum(largest, part.max(axis=axes))
        with np.errstate(invalid="ignore", over="ignore"):  # the range tells of infinite values
            part -= origin.reshape(-1, *[1] * (part.ndim - 1))
            total += part.sum(axis=axes)
            squares += np.square(part).sum(axis=axes)
        count += part[0].size
    with np.errstate(invalid="ignore", over="ignore"):
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    # What varies by less than rounding is constant, in whatever unit: of values near 0, the largest tells.
    size = np.minimum(1, np.maximum(np.abs(smallest), np.abs(largest)))
    deviation = np.where(deviation > 1e-6 * (size + np.abs(mean)), deviation, 1)
    return np.array([mean + origin, deviation, smallest, largest])


def _slabs(volume: np.ndarray) -> Iterator[slice]:
    """Yield slices of the first spatial axis that hold about `SLAB` values."""
    side = volume.shape[1]
    n_rows = max(1, SLAB * side // volume.size)
    for start in range(0, side, n_rows):
        yield slice(start, start + n_rows)
