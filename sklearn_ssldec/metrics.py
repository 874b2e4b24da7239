"""How well a segmentation agrees with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def dice_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: int | Sequence[int] | np.ndarray | None = None,
    ignore_label: int | Sequence[int] | None = -1,
    average: str | None = "macro",
) -> float | np.ndarray:
    r"""Compute the Dice score of label maps, :math:`2 |A \cap B| / (|A| + |B|)` for each label.

    Parameters
    ----------
    y_true, y_pred : array-like of int, or sequence of such arrays
        True and predicted label maps, of one volume, or lists of those of several volumes. An array of
        numbers, of any shape, is one volume; pass stacked volumes as ``list(maps)``. Masked voxels of a
        masked array do not count.
    labels : int, sequence of int or None, default=None
        The labels to score. None: all that occur in `y_true` or `y_pred`, except 0, which is the background
        by the convention of label maps.
    ignore_label : int, sequence of int or None, default=-1
        Voxels with this label (or one of these) in `y_true` do not count.
    average : {"macro", None}, default="macro"
        "macro" is the mean over labels of the mean over volumes; None returns each label's mean.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        Score(s) between 0 and 1. A label that no volume has, and that is predicted for none, is NaN and left
        out of the mean; if there is no other label, the mean is NaN.

    Raises
    ------
    ValueError
        If the numbers or shapes of the maps differ, a map holds values that are not whole numbers, or no
        label is left to score.
    TypeError
        If a map is None, or no array of numbers.

    Notes
    -----
    A label that is absent from a volume's truth scores 0 if it is predicted there, and the volume does not
    count for this label if it is not. This is nnU-Net's rule, which reports NaN for the latter and takes
    ``nanmean``. MONAI's ``DiceMetric`` differs: with ``ignore_empty=True``, its default, an absent label
    never counts, even if it is predicted; with ``ignore_empty=False`` it scores 1 if it is not predicted and
    0 if it is.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[0, 1, 1], [0, 2, -1]])
    >>> predicted = np.array([[0, 1, 0], [0, 2, 2]])
    >>> dice_score(truth, predicted, average=None)   # 2/3 for label 1, 1 for label 2
    array([0.66666667, 1.        ])
    """
    if average not in ("macro", None):
        raise ValueError(f"average must be 'macro' or None, got {average!r}.")
    ignored = np.atleast_1d(np.array([], dtype=int) if ignore_label is None else ignore_label)
    labels = None if labels is None else np.atleast_1d(labels)
    pairs = _counted_voxels(_as_list(y_true, "y_true"), _as_list(y_pred, "y_pred"), ignored)
    if labels is None:
        found = [np.unique(each) for pair in pairs for each in pair]
        labels = np.setdiff1d(np.concatenate(found), [0, *ignored])
    if len(labels) == 0:
        raise ValueError(
            "There is no label to score: y_true and y_pred hold nothing but background (0) and ignored "
            "voxels. Pass labels to score 0 too."
        )
    scores = np.array([_scores(truth, predicted, labels) for truth, predicted in pairs])
    n_volumes = (~np.isnan(scores)).sum(axis=0)
    per_label = np.where(n_volumes > 0, np.nansum(scores, axis=0) / np.maximum(n_volumes, 1), np.nan)
    if average is None:
        return per_label
    return float(np.nanmean(per_label)) if n_volumes.any() else float("nan")


def _scores(truth: np.ndarray, predicted: np.ndarray, labels: Sequence[int] | np.ndarray) -> list[float]:
    """Return the score of each label in one volume, NaN where it is in neither map.

    scikit-learn's ``f1_score(average=None, zero_division=nan)`` returns the same numbers, but it sorts and
    encodes all voxels first, and takes ten times as long (0.38 s and 0.04 s for a million voxels).
    """
    scores = []
    for label in labels:
        a, b = truth == label, predicted == label
        total = np.count_nonzero(a) + np.count_nonzero(b)
        scores.append(2 * np.count_nonzero(a & b) / total if total else np.nan)
    return scores


def _counted_voxels(
    true_maps: list[np.ndarray], predicted_maps: list[np.ndarray], ignored: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return truth and prediction of the voxels of each volume that count, in one dimension."""
    if len(true_maps) != len(predicted_maps):
        raise ValueError(
            f"y_true holds {len(true_maps)} label maps and y_pred {len(predicted_maps)}; there must be one "
            "each."
        )
    pairs = []
    for i, (truth, predicted) in enumerate(zip(true_maps, predicted_maps, strict=True)):
        if truth.shape != predicted.shape:
            raise ValueError(
                f"y_true[{i}] has shape {truth.shape}, but y_pred[{i}] has shape {predicted.shape}."
            )
        masked = np.ma.getmaskarray(truth) | np.ma.getmaskarray(predicted)
        counts = ~(masked | np.isin(np.ma.getdata(truth), ignored))
        pairs.append((np.ma.getdata(truth)[counts], np.ma.getdata(predicted)[counts]))
    return pairs


def _as_list(maps: Any, name: str) -> list[np.ndarray]:
    """Return one label map, or several, as a list."""
    if hasattr(maps, "dtype") and maps.dtype.kind == "O" and maps.ndim == 1:  # an array or a Series of maps
        maps = list(maps)
    is_listed = isinstance(maps, list | tuple) and len(maps) > 0
    is_several = is_listed and (any(each is None for each in maps) or np.ndim(maps[0]) > 0)
    arrays = [np.asanyarray(each) for each in (maps if is_several else [maps])]
    for i, labels in enumerate(arrays):
        if labels.dtype.kind == "O" and labels.ndim == 0:
            is_none = labels.item() is None
            what = "None: leave out volumes without a label map" if is_none else "no array of numbers"
            raise TypeError(f"{name}[{i}] is {what}.")
        if labels.dtype.kind == "f" and (np.ma.compressed(labels) % 1 != 0).any():
            raise ValueError(
                f"{name}[{i}] holds values that are not whole numbers, but labels must be. If they are whole "
                "up to rounding, pass np.rint(labels)."
            )
    return arrays
