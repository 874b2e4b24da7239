"""How well a segmentation agrees with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def dice_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Sequence[int] | None = None,
    ignore_label: int | Sequence[int] | None = -1,
    average: str | None = "macro",
) -> float | np.ndarray:
    r"""Compute the Dice score of label maps, :math:`2 |A \cap B| / (|A| + |B|)` for each label.

    Parameters
    ----------
    y_true, y_pred : array-like of int, or sequence of such arrays
        True and predicted label maps, of one volume, or lists of those of several volumes. An array of any
        shape is one volume; stacked volumes are passed as ``list(maps)``.
    labels : sequence of int, default=None
        The labels that count. None: all that occur in `y_true`, but 0, which is the background by the
        convention of label maps.
    ignore_label : int, sequence of int or None, default=-1
        Voxels with this label (or one of these) in `y_true` do not count.
    average : {"macro", None}, default="macro"
        "macro" is the mean over labels of the mean over volumes; None returns each label's mean.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        Score(s) between 0 and 1. A volume that has a label neither in the truth nor in the prediction does
        not count for it; a label that no volume has is NaN, and left out of the mean.

    Raises
    ------
    ValueError
        If the numbers or shapes of the maps differ, or no label counts.

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
    true_maps, predicted_maps = _as_list(y_true), _as_list(y_pred)
    if len(true_maps) != len(predicted_maps):
        raise ValueError(
            f"y_true holds {len(true_maps)} label maps and y_pred {len(predicted_maps)}; there must be one "
            "each."
        )
    ignored = np.atleast_1d([] if ignore_label is None else ignore_label)
    pairs = []
    for i, (truth, predicted) in enumerate(zip(true_maps, predicted_maps, strict=True)):
        if truth.shape != predicted.shape:
            raise ValueError(
                f"y_true[{i}] has shape {truth.shape}, but y_pred[{i}] has shape {predicted.shape}."
            )
        counts = ~np.isin(truth, ignored)
        pairs.append((truth[counts], predicted[counts]))
    if labels is None:
        occurring = np.unique(np.concatenate([np.unique(truth) for truth, _ in pairs]))
        labels = [int(label) for label in occurring if label != 0]
    if len(labels) == 0:
        raise ValueError(
            "There is no label to score: y_true holds nothing but background (0) and ignored voxels. Pass "
            "labels to score 0 too."
        )
    scores = np.full((len(pairs), len(labels)), np.nan)
    for i, (truth, predicted) in enumerate(pairs):
        for j, label in enumerate(labels):
            a, b = truth == label, predicted == label
            if total := a.sum() + b.sum():
                scores[i, j] = 2 * (a & b).sum() / total
    present = ~np.isnan(scores)
    n_volumes = present.sum(axis=0)
    per_label = np.where(n_volumes > 0, np.nansum(scores, axis=0) / np.maximum(n_volumes, 1), np.nan)
    if average is None:
        return per_label
    return float(np.nanmean(per_label)) if present.any() else float("nan")


def _as_list(maps: Any) -> list[np.ndarray]:
    """Return one label map, or several, as a list."""
    is_several = isinstance(maps, list | tuple) and len(maps) > 0 and np.ndim(maps[0]) > 0
    return [np.asarray(each) for each in maps] if is_several else [np.asarray(maps)]
