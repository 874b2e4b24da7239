"""Checks of X: rows of features or images, which may be flat and may have a channel axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.extmath import row_norms
from sklearn.utils.sparsefuncs import mean_variance_axis

from sklearn_ssldec._warnings import warn

# Standard deviations of features that differ by more than this are no accident of standardised data.
LARGEST_RATIO = 1000
# Outside these, a network's first layer hardly sees the features, or nothing else than their offset.
SCALES = (0.05, 20.0)
LARGEST_OFFSET = 10.0
VALUES_AT_A_TIME = 2**20


def as_samples(X: np.ndarray, input_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Bring X to the shape in which the network takes it.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, height, width) or (n, n_channels, height, width), or CSR
        Samples; in CSR format of shape (n, n_features).
    input_shape : tuple of int, default=None
        Shape of one sample, (n_channels, height, width) or (height, width), if X holds flat rows; it must
        agree with X if not.

    Returns
    -------
    ndarray of shape (n, n_features) or (n, n_channels, height, width), or CSR
        The same samples; a view.

    Raises
    ------
    ValueError
        If X has more than four axes, seems to have its channels last, does not agree with `input_shape`, or
        is sparse although there is an `input_shape`; or if `input_shape` does not hold positive integers.

    Examples
    --------
    >>> import numpy as np
    >>> as_samples(np.zeros((5, 8, 8))).shape
    (5, 1, 8, 8)
    >>> as_samples(np.zeros((5, 64)), input_shape=(8, 8)).shape
    (5, 1, 8, 8)
    """
    if issparse(X):
        if input_shape is not None:
            raise ValueError(
                f"X is sparse, and input_shape={tuple(input_shape)} makes images of its rows. Pass "
                "X.toarray(), or leave input_shape at None."
            )
        return X
    if X.ndim == 3:
        X = X[:, None]
    if X.ndim > 4:
        raise ValueError(
            "X must be of shape (n_samples, n_features), (n_samples, height, width) or (n_samples, "
            f"n_channels, height, width), got {X.shape}."
        )
    if input_shape is None:
        _refuse_channels_last(X)
        return X
    if not input_shape or not all(isinstance(n, Integral) and n > 0 for n in input_shape):
        raise ValueError(
            "input_shape must hold positive whole numbers, (height, width) or (n_channels, height, width), "
            f"got {input_shape!r}."
        )
    shape = tuple(input_shape) if len(input_shape) != 2 else (1, *input_shape)
    if X.ndim == 2 and X.shape[1] == math.prod(shape):
        return X.reshape(len(X), *shape)
    if X.shape[1:] != shape:
        raise ValueError(
            f"X of shape {X.shape} does not hold samples of input_shape={tuple(input_shape)}, which have "
            f"{math.prod(shape)} values each."
        )
    return X


def _refuse_channels_last(X: np.ndarray) -> None:
    """Refuse images whose channels seem to be on the last axis."""
    if X.ndim != 4 or X.shape[1] <= 4 or X.shape[2] <= 4:
        return
    if X.shape[3] in (1, 3, 4) or X.shape[1] == X.shape[2] != X.shape[3]:
        raise ValueError(
            f"X of shape {X.shape} seems to have its channels last; the order is (n_samples, n_channels, "
            "height, width). Pass np.moveaxis(X, -1, 1) or, if the channels do come first, "
            f"input_shape={X.shape[1:]}."
        )


class Moments(NamedTuple):
    """Mean and variance of each feature.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_features,)
        The moments.
    """

    mean: np.ndarray
    variance: np.ndarray


def feature_moments(X: np.ndarray) -> Moments:
    """Return mean and variance of each feature, without a copy of X, which may be a memory map.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or CSR
        Samples.
    """
    if issparse(X):
        mean, variance = mean_variance_axis(X, axis=0)
        return Moments(mean.astype(float), variance.astype(float))
    scaler = StandardScaler()
    for rows in _blocks(X):
        scaler.partial_fit(X[rows])
    return Moments(scaler.mean_, scaler.var_)


def warn_of_scales(X: np.ndarray, moments: Moments, names: np.ndarray | None = None) -> None:
    """Warn of features that a network cannot learn from as they are.

    These are features of very different scales, features far from mean 0 and standard deviation 1, and a
    column that only counts the rows. Sparse rows of length 1, as TF-IDF makes them, are as they should be.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or CSR
        Samples.
    moments : Moments
        Mean and variance of each feature.
    names : ndarray of shape (n_features,), default=None
        Names of the features.
    """
    if issparse(X) and _have_length_1(X):
        return
    found = _scale_problem(moments)
    if found:
        scaler = "StandardScaler(with_mean=False)" if issparse(X) else "StandardScaler()"
        warn(
            f"{found} Networks expect a mean near 0 and a standard deviation near 1. Put a StandardScaler in "
            f"front: make_pipeline({scaler}, SSLDECClassifier())."
        )
    if issparse(X):
        return  # a column that counts the rows is dense
    if X.shape[1] > 1 and len(X) > 10:
        first, second = np.diff(X[:3], axis=0)
        for j in np.flatnonzero((first != 0) & (np.abs(second - first) <= 1e-3 * np.abs(first))):
            if _counts_rows(X[:, j]):
                name = f"Column {j}" if names is None else f"Column {str(names[j])!r}"
                warn(
                    f"{name} of X goes up by the same step from row to row, as an index does. Leave it out "
                    "unless the order of the rows means something."
                )


def _have_length_1(X: np.ndarray) -> bool:
    """Return whether all sparse rows have Euclidean length 1, or nothing but zeros."""
    norms = row_norms(X)
    return bool(np.allclose(norms[norms > 0], 1, rtol=1e-3))


def _scale_problem(moments: Moments) -> str:
    """Return a sentence on what is wrong with the scale of the features, if anything is."""
    scales = np.sqrt(moments.variance)
    scales = scales[scales > 0]
    if not len(scales):
        return ""
    smallest, largest = scales.min(), scales.max()
    if largest > LARGEST_RATIO * smallest:
        return (
            "The features of X differ in scale: their standard deviations go from "
            f"{smallest:.2g} to {largest:.2g}."
        )
    typical = float(np.sqrt(moments.variance.mean()))
    if not SCALES[0] <= typical <= SCALES[1]:
        return f"The features of X are not scaled: their standard deviation is {typical:.2g}."
    offset = float(np.abs(moments.mean).max())
    if offset > LARGEST_OFFSET * max(1.0, typical):
        return (
            f"The features of X are far from 0: the mean of one is {offset:.2g} in size, and the typical "
            f"scale (standard deviation) is {typical:.2g}."
        )
    return ""


def _counts_rows(column: np.ndarray) -> bool:
    """Tell whether a column goes up, or down, by the same step from row to row."""
    step = (float(column[-1]) - float(column[0])) / (len(column) - 1)
    expected = float(column[0]) + step * np.arange(len(column))
    return step != 0 and bool(np.allclose(column, expected, rtol=1e-6, atol=1e-3 * abs(step)))


def _blocks(X: np.ndarray) -> Iterator[slice]:
    return gen_batches(len(X), max(1, VALUES_AT_A_TIME // X.shape[1]))
