"""What X may look like: rows of features, or images, with or without a channel axis, or flat."""

from __future__ import annotations

import math
import warnings

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

# Standard deviations of features that differ by more than this are no accident of standardised data.
LARGEST_RATIO = 1000
VALUES_AT_A_TIME = 2**20


def as_samples(X: np.ndarray, input_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Bring X to the shape in which the network takes it.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), (n, height, width) or (n, n_channels, height, width)
        Samples.
    input_shape : tuple of int, default=None
        Shape of one sample, (n_channels, height, width) or (height, width), if X holds flat rows; it must
        agree with X if not.

    Returns
    -------
    ndarray of shape (n, n_features) or (n, n_channels, height, width)
        The same samples; a view.

    Raises
    ------
    ValueError
        If X has more than four axes, has its channels last, or does not agree with `input_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> as_samples(np.zeros((5, 8, 8))).shape
    (5, 1, 8, 8)
    >>> as_samples(np.zeros((5, 64)), input_shape=(8, 8)).shape
    (5, 1, 8, 8)
    """
    if X.ndim == 3:
        X = X[:, None]
    if X.ndim > 4:
        raise ValueError(
            "X must be of shape (n_samples, n_features), (n_samples, height, width) or (n_samples, "
            f"n_channels, height, width), got {X.shape}."
        )
    if X.ndim == 4 and X.shape[3] in (1, 3, 4) and X.shape[1] > 4 and X.shape[2] > 4:
        raise ValueError(
            f"X of shape {X.shape} seems to have its channels last; the order is (n_samples, n_channels, "
            "height, width). Pass np.moveaxis(X, -1, 1)."
        )
    if input_shape is None:
        return X
    shape = tuple(input_shape) if len(input_shape) != 2 else (1, *input_shape)
    if X.ndim == 2 and X.shape[1] == math.prod(shape):
        return X.reshape(len(X), *shape)
    if X.shape[1:] != shape:
        raise ValueError(
            f"X of shape {X.shape} does not hold samples of input_shape={tuple(input_shape)}, which have "
            f"{math.prod(shape)} values each."
        )
    return X


def feature_variances(X: np.ndarray) -> np.ndarray:
    """Return the variance of each feature, without a copy of X, which may be a memory map.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    """
    scaler = StandardScaler()
    for rows in gen_batches(len(X), max(1, VALUES_AT_A_TIME // X.shape[1])):
        scaler.partial_fit(X[rows])
    return scaler.var_


def warn_of_scales(variances: np.ndarray, stacklevel: int) -> None:
    """Warn if features differ so much in scale that the network, and its noise, see the largest only.

    Parameters
    ----------
    variances : ndarray of shape (n_features,)
        Variance of each feature.
    stacklevel : int
        Whose line the warning names.
    """
    scales = np.sqrt(variances)
    scales = scales[scales > 0]
    if len(scales) and scales.max() > LARGEST_RATIO * scales.min():
        warnings.warn(
            f"The features of X differ in scale: their standard deviations go from {scales.min():.2g} to "
            f"{scales.max():.2g}. Put a StandardScaler in front, "
            "make_pipeline(StandardScaler(), SSLDECClassifier()).",
            stacklevel=stacklevel + 1,
        )
