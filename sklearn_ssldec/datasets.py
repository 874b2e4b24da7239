"""Data sets of the paper's experiments, and labels taken away from them as its protocols do."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch, check_random_state

from sklearn_ssldec.labels import _as_column, labeled_mask, labeled_values

FOLDER_VARIABLE = "SSLDEC_DATA"
MNIST_N_TRAIN = 60_000
SVHN_N_TRAIN = 73_257


def mask_labels(
    y: Any,
    n_labeled: int,
    *,
    per_class: bool = True,
    unlabeled_label: int | str = -1,
    random_state: Any = None,
) -> np.ndarray:
    """Keep a few labels, drawn at random, and mark all other samples as unlabeled.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels. Samples that are unlabeled already stay so, and are not drawn.
    n_labeled : int
        Number of labels to keep: of each class, or in all if `per_class` is False.
    per_class : bool, default=True
        Keep the same number of each class, as the paper's protocols do.
    unlabeled_label : int or str, default=-1
        The mark of an unlabeled sample, in `y` and in what is returned.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw.

    Returns
    -------
    ndarray of shape (n_samples,)
        A copy of `y` with most labels masked; of dtype object if the labels or the mark are strings, and of
        a signed integer dtype if the labels are unsigned or booleans.

    Raises
    ------
    ValueError
        If there are fewer labels, in all or of a class, than are to be kept, or labels are missing (NaN,
        None).
    TypeError
        If `n_labeled` is no integer.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> y = mask_labels(load_digits().target, 10, random_state=0)
    >>> int((y != -1).sum())
    100
    """
    if not isinstance(n_labeled, Integral):
        raise TypeError(f"n_labeled must be an integer, got {n_labeled!r}.")
    labeled = np.flatnonzero(labeled_mask(y, unlabeled_label))
    given = labeled_values(y, unlabeled_label)
    rng = check_random_state(random_state)
    groups = [labeled[given == c] for c in np.unique(given)] if per_class else []
    groups = groups or [labeled]
    y = _as_column(y)
    for rows in groups:
        if not 1 <= n_labeled <= len(rows):
            of_class = f" of class {y[rows[:1]].tolist()[0]!r}" if per_class and len(rows) else ""
            raise ValueError(
                f"n_labeled must be from 1 to the {len(rows)} labels{of_class}, got {n_labeled!r}."
            )
    kept = np.concatenate([rng.choice(rows, n_labeled, replace=False) for rows in groups])
    if y.dtype.kind in "USO" or isinstance(unlabeled_label, str):
        dtype: Any = object
    else:
        dtype = (
            np.int64 if y.dtype.kind in "ub" else np.result_type(y.dtype, np.min_scalar_type(unlabeled_label))
        )
    masked = np.full(len(y), unlabeled_label, dtype=dtype)
    masked[kept] = y[kept]
    return masked


def fetch_mnist(
    *,
    subset: str = "all",
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple:
    """Load MNIST, 70,000 handwritten digits of 28x28 pixels.

    Read from ``mnist.npz`` in the folder that the environment variable ``SSLDEC_DATA`` names, if it is there;
    else fetched from OpenML by scikit-learn, which keeps a copy.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The 60,000 training images, the 10,000 test images, or both, in this order.
    data_home : str or path-like, default=None
        Where scikit-learn keeps its data sets; None is ``~/scikit_learn_data``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Make `data` a pandas DataFrame and `target` a Series.

    Returns
    -------
    Bunch or tuple
        With ``data`` of shape (n_samples, 784), float32 from 0 to 255, ``target`` of shape (n_samples,),
        int64, ``images`` of shape (n_samples, 28, 28), the same numbers, and ``DESCR``.

    Raises
    ------
    ValueError
        If `subset` is none of the three.
    """
    offline = _load("mnist.npz")
    if offline is not None:
        images, target = offline
    else:
        fetched = fetch_openml(
            "mnist_784", version=1, as_frame=False, parser="liac-arff", data_home=data_home
        )
        images, target = fetched.data.reshape(-1, 28, 28), fetched.target.astype(np.int64)
    description = (
        "MNIST (LeCun, Cortes, Burges): handwritten digits, 60,000 for training and 10,000 for testing."
    )
    return _bunch(images, target, subset, MNIST_N_TRAIN, description, return_X_y, as_frame)


def fetch_svhn(
    *,
    subset: str = "all",
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple:
    """Load SVHN, 99,289 colour images of house-number digits of 32x32 pixels.

    Read from ``svhn.npz`` (``x_train``, ``y_train``, ``x_test``, ``y_test``, images as (n, 32, 32, 3)) in the
    folder that the environment variable ``SSLDEC_DATA`` names, if it is there; else fetched from OpenML by
    scikit-learn, which keeps a copy. For non-commercial use.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The 73,257 training images, the 26,032 test images, or both, in this order.
    data_home : str or path-like, default=None
        Where scikit-learn keeps its data sets; None is ``~/scikit_learn_data``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Make `data` a pandas DataFrame and `target` a Series.

    Returns
    -------
    Bunch or tuple
        With ``data`` of shape (n_samples, 3072), float32 from 0 to 255, ``target`` of shape (n_samples,),
        int64 from 0 to 9, ``images`` of shape (n_samples, 3, 32, 32), the same numbers, and ``DESCR``.

    Raises
    ------
    ValueError
        If `subset` is none of the three.
    """
    offline = _load("svhn.npz")
    if offline is not None:
        images, target = offline[0].transpose(0, 3, 1, 2), offline[1]
    else:
        fetched = fetch_openml("SVHN", version=1, as_frame=False, parser="liac-arff", data_home=data_home)
        images, target = _channels_first(fetched.data), fetched.target.astype(np.int64)
    target = target % 10  # the original files call the digit 0 "10"
    description = (
        "SVHN (Netzer et al. 2011): digits of house numbers, 73,257 for training and 26,032 for testing."
    )
    return _bunch(images, target, subset, SVHN_N_TRAIN, description, return_X_y, as_frame)


def load_npz(name: str) -> dict[str, np.ndarray]:
    """Load the arrays of a file in the folder that ``SSLDEC_DATA`` names.

    Parameters
    ----------
    name : str
        File name, such as "svhn_derived.npz".

    Returns
    -------
    dict of str to ndarray
        The arrays.

    Raises
    ------
    FileNotFoundError
        If the variable is not set or the file is not there.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder or ".") / name
    if not folder or not path.exists():
        raise FileNotFoundError(
            f"{name} is read from the folder that the environment variable {FOLDER_VARIABLE} names, "
            f"{folder or 'which is not set'}; it is not there."
        )
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _load(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return images and labels, those for training before those for testing, or None."""
    try:
        arrays = load_npz(name)
    except FileNotFoundError:
        return None
    images = np.concatenate([arrays["x_train"], arrays["x_test"]])
    return images, np.concatenate([arrays["y_train"], arrays["y_test"]])


def _channels_first(flat: np.ndarray) -> np.ndarray:
    """Bring flat colour images to (n, 3, 32, 32), whichever way their channels were laid out.

    The three channels of one pixel are far more alike than pixels a third of the image apart: where feature i
    resembles feature i + 1024, the channels lie one after the other.
    """
    sample = flat[:1000].astype(np.float64)
    apart = np.abs(sample[:, :1024] - sample[:, 1024:2048]).mean()
    beside = np.abs(sample[:, 0::3] - sample[:, 1::3]).mean()
    if apart < beside:
        return flat.reshape(-1, 3, 32, 32)
    return flat.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def _bunch(
    images: np.ndarray,
    target: np.ndarray,
    subset: str,
    n_train: int,
    description: str,
    return_X_y: bool,
    as_frame: bool,
) -> Bunch | tuple:
    parts = {"all": slice(None), "train": slice(0, n_train), "test": slice(n_train, None)}
    if subset not in parts:
        raise ValueError(f"subset must be one of {', '.join(map(repr, parts))}, got {subset!r}.")
    images = np.ascontiguousarray(images[parts[subset]], dtype=np.float32)
    target = target[parts[subset]].astype(np.int64)
    data: Any = images.reshape(len(images), -1)
    bunch = Bunch(data=data, target=target, images=images, DESCR=description)
    if as_frame:
        import pandas as pd

        bunch.data = pd.DataFrame(data, columns=[f"pixel{i}" for i in range(data.shape[1])])
        bunch.target = pd.Series(target, name="class")
        bunch.frame = bunch.data.assign(**{"class": bunch.target})
    return (bunch.data, bunch.target) if return_X_y else bunch
