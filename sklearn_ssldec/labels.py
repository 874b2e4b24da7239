"""What is labeled: which rows of y carry a label, encoding labels as codes and decoding them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sklearn_ssldec._warnings import warn

UNLABELED_CODE = -1
# What missing values become when a column is converted to strings.
MISSING_AS_STRINGS = frozenset({"", "nan", "NaN", "None", "<NA>", "NaT"})


@dataclass(frozen=True)
class EncodedLabels:
    """Labels as integers.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted class labels.
    codes : ndarray of shape (n_samples,), int64
        Position of each sample's label in `classes`; -1 where it has none.
    """

    classes: np.ndarray
    codes: np.ndarray

    @property
    def labeled(self) -> np.ndarray:
        """Boolean mask of the labeled samples."""
        return self.codes != UNLABELED_CODE

    @property
    def known(self) -> np.ndarray:
        """Codes of the labeled samples."""
        return self.codes[self.labeled]

    @property
    def is_complete(self) -> bool:
        """Whether all samples are labeled."""
        return bool(self.labeled.all())


def encode_labels(y: Any, unlabeled_label: int | str | None = -1) -> EncodedLabels:
    """Encode labels as the positions of their classes, and unlabeled samples as -1.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: integers, booleans, strings (an object array or a list where they stand beside the integer
        -1), or floats with integer values.
    unlabeled_label : int, str or None, default=-1
        The value that marks an unlabeled sample. None: every sample is labeled.

    Returns
    -------
    EncodedLabels
        The classes and the codes.

    Raises
    ------
    ValueError
        If `y` is not one-dimensional, holds missing values or continuous targets, has no labeled sample or
        only one class, or looks as if its unlabeled marker was lost in a conversion.

    Warns
    -----
    UserWarning
        If a class is called as missing values are after a conversion to strings: "nan", "None", "" and the
        like.

    Examples
    --------
    >>> encode_labels(["cat", "dog", -1])
    EncodedLabels(classes=array(['cat', 'dog'], dtype='<U3'), codes=array([ 0,  1, -1]))
    """
    y = _as_column(y)
    labeled = labeled_mask(y, unlabeled_label)
    if not labeled.any():
        raise ValueError(
            f"y has no labeled sample: all {len(y)} are {unlabeled_label!r}, which marks unlabeled samples "
            "(parameter unlabeled_label). Label at least one sample of each class."
        )
    given = _of_one_kind(y[labeled])
    _refuse_targets_of_regression(given)
    classes, positions = np.unique(given, return_inverse=True)
    _warn_of_missing_as_strings(classes, [] if labeled.all() else [unlabeled_label])
    if len(classes) < 2:
        hint = ""
        if unlabeled_label == -1 and not labeled.all() and classes.dtype.kind in "iuf" and classes[0] == 1:
            hint = " If -1 is a class and every sample is labeled, pass unlabeled_label=None."
        raise ValueError(
            f"y must have labels of at least 2 classes, got one class only: {classes.tolist()[0]!r}.{hint}"
        )
    codes = np.full(len(y), UNLABELED_CODE, dtype=np.int64)
    codes[labeled] = positions
    return EncodedLabels(classes, codes)


def labeled_mask(y: Any, unlabeled_label: int | str | None = -1) -> np.ndarray:
    """Tell which samples are labeled.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, as for `encode_labels`.
    unlabeled_label : int, str or None, default=-1
        The value that marks an unlabeled sample. None: every sample is labeled.

    Returns
    -------
    ndarray of shape (n_samples,), bool
        True where the sample has a label.

    Raises
    ------
    ValueError
        If `y` is not one-dimensional, holds missing values, or looks as if its unlabeled marker was lost in
        a conversion to strings or to unsigned integers.

    Examples
    --------
    >>> labeled_mask([0, 1, -1])
    array([ True,  True, False])
    """
    y = _as_column(y)
    _refuse_missing(y)
    if unlabeled_label is None:
        return np.ones(len(y), dtype=bool)
    _refuse_lost_marker(y, unlabeled_label)
    if y.dtype == object:
        return np.array([not _equal(value, unlabeled_label) for value in y], dtype=bool)
    if (y.dtype.kind in "US") != isinstance(unlabeled_label, str):
        return np.ones(len(y), dtype=bool)
    return y != unlabeled_label


def labeled_values(y: Any, unlabeled_label: int | str | None = -1) -> np.ndarray:
    """Return the labels of the labeled samples, all of one kind.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, as for `encode_labels`.
    unlabeled_label : int, str or None, default=-1
        The value that marks an unlabeled sample. None: every sample is labeled.

    Returns
    -------
    ndarray of shape (n_labeled,)
        Integers, booleans, strings or floats.

    Raises
    ------
    ValueError
        As `labeled_mask`, or if the labels are of several kinds.

    Examples
    --------
    >>> labeled_values(["cat", -1, "dog"])
    array(['cat', 'dog'], dtype='<U3')
    """
    y = _as_column(y)
    return _of_one_kind(y[labeled_mask(y, unlabeled_label)])


def find_unlabeled_label(estimator: Any, unlabeled_label: Any = "auto") -> int | str | None:
    """Ask an estimator which value of y marks unlabeled samples.

    The question goes through pipelines (to the last step) and through estimators that hand y on to their
    ``estimator``, such as GridSearchCV, FrozenEstimator and TunedThresholdClassifierCV. Those that renumber
    the labels before they hand them on (bagging and boosting, one-vs-rest and the like) are not asked: what
    their estimator sees is not what is in y.

    Parameters
    ----------
    estimator : estimator or None
        Any estimator. None, and those that do not say, go by scikit-learn's convention: -1.
    unlabeled_label : int, str, None or "auto", default="auto"
        What the caller says. "auto" takes the estimator's word.

    Returns
    -------
    int, str or None
        The mark of unlabeled samples; None if all are labeled.

    Raises
    ------
    ValueError
        If the caller and the estimator contradict each other.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> find_unlabeled_label(make_pipeline(StandardScaler(), SSLDECClassifier(unlabeled_label=99)))
    99
    """
    known = _marks_of(estimator)
    if _is_auto(unlabeled_label):
        return known[0] if known else -1
    if known and not _equal(known[0], unlabeled_label):
        raise ValueError(
            f"unlabeled_label={unlabeled_label!r} contradicts the estimator, whose unlabeled_label is "
            f"{known[0]!r}. Leave it out, or give both the same."
        )
    return unlabeled_label


def _marks_of(estimator: Any) -> list:
    """Return the mark that an estimator knows in a list, or an empty list if it does not say."""
    for _ in range(100):  # no chain of meta-estimators is as long; one that contains itself would be endless
        own = getattr(estimator, "unlabeled_label", "auto")
        if not _is_auto(own):
            return [own]
        modules = tuple(base.__module__ for base in type(estimator).__mro__)
        if any(module.startswith("sklearn.semi_supervised") for module in modules):
            return [-1]
        if any(module.startswith(("sklearn.ensemble", "sklearn.multiclass")) for module in modules):
            return []
        steps = getattr(estimator, "steps", None)
        estimator = steps[-1][1] if steps else getattr(estimator, "estimator", None)
        if estimator is None:
            return []
    return []


def _is_auto(unlabeled_label: Any) -> bool:
    return isinstance(unlabeled_label, str) and unlabeled_label == "auto"


def warn_if_all_labeled(labels: EncodedLabels, unlabeled_label: int | str | None) -> None:
    """Warn that no sample is unlabeled, and say so if a meta-estimator seems to have re-encoded the mark.

    VotingClassifier, StackingClassifier and BaggingClassifier number the labels before they fit their
    estimators, and -1, the least, becomes 0: classes 0 to k, of which 0 is the largest.

    Parameters
    ----------
    labels : EncodedLabels
        What `encode_labels` returned.
    unlabeled_label : int, str or None
        The value that marks an unlabeled sample. None: all are labeled on purpose, nothing is warned of.

    Examples
    --------
    >>> warn_if_all_labeled(encode_labels([0, 1, -1]), -1)     # one is unlabeled
    """
    if unlabeled_label is None or not labels.labeled.all():
        return
    message = (
        f"y has no unlabeled sample (none is {unlabeled_label!r}), so that the network is trained on the "
        "labels alone. Pass unlabeled_label=None if this is what you want."
    )
    counts = np.bincount(labels.codes)
    if (
        unlabeled_label == -1
        and len(counts) > 2
        and counts[0] > len(labels.codes) / 2
        and np.array_equal(labels.classes, np.arange(len(counts)))
    ):
        message += (
            f" The classes are 0 to {len(counts) - 1}, and {counts[0]} of {len(labels.codes)} samples are of "
            "class 0: so arrives what was -1, if a meta-estimator such as VotingClassifier, "
            "BaggingClassifier or StackingClassifier numbers the labels. Inside one, pass unlabeled_label=0; "
            "in soft voting and in stacking this does not help."
        )
    warn(message)


def mark_unlabeled(y: Any, *, also: Any = (), unlabeled_label: int | str = -1) -> np.ndarray:
    """Turn a column of a table, in which some labels are missing, into what `fit` takes.

    One rule for pandas, polars, arrow, arrays and lists: **a missing value is an unlabeled sample**, whether
    the table calls it None, NaN, NA, NaT or null; everything else is a label.

    Parameters
    ----------
    y : Series, one-column frame, array or list of length n_samples
        Labels: integers (nullable ones too, and floats with integer values), booleans, strings or categories
        of these.
    also : value or collection of values, default=()
        What else stands for a missing label: one value, such as ``"unknown"`` or ``0``, or several, such as
        ``("", "unknown")``.
    unlabeled_label : int or str, default=-1
        What unlabeled samples are marked with: the estimator's `unlabeled_label`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Of integers where the labels are integers, else of objects: strings or booleans, and the mark.

    Raises
    ------
    ValueError
        If `y` has more than one column, mixes labels of several kinds, or if the mark stands beside missing
        values, so that it may be a class.

    Examples
    --------
    >>> mark_unlabeled([3.0, float("nan"), 7.0])
    array([ 3, -1,  7])
    >>> mark_unlabeled(["cat", None, "dog", "?"], also="?")
    array(['cat', -1, 'dog', -1], dtype=object)
    """
    values = _as_list(y)
    others = [also] if isinstance(also, str) or not isinstance(also, Collection) else list(also)
    missing = np.array(
        [_is_missing(value) or any(_equal(value, other) for other in others) for value in values], dtype=bool
    )
    marked = np.array([_equal(value, unlabeled_label) for value in values], dtype=bool) & ~missing
    if missing.any() and marked.any():
        raise ValueError(
            f"y has {missing.sum()} missing labels, and {marked.sum()} that are {unlabeled_label!r}, the "
            f"mark of unlabeled samples. If {unlabeled_label!r} is a class, pass another unlabeled_label, "
            f"here and to the estimator; if not, pass also=[{unlabeled_label!r}]."
        )
    marked |= missing
    given = np.empty(len(values), dtype=object)
    given[:] = values
    labels = _of_one_kind(given[~marked])
    if labels.dtype.kind == "f" and (labels == np.floor(labels)).all():
        labels = labels.astype(np.int64)  # pandas makes floats of integers beside NaN
    both_numbers = labels.dtype.kind in "iuf" and not isinstance(unlabeled_label, str)
    result = np.full(len(values), unlabeled_label, dtype=labels.dtype if both_numbers else object)
    result[~marked] = labels.tolist()
    return result


def _as_list(y: Any) -> list:
    """Return the values of a column, unchanged by a detour over floats."""
    if getattr(y, "ndim", len(getattr(y, "shape", ())) or 1) == 2:
        if y.shape[1] != 1:
            raise ValueError(f"y must be one column, got {y.shape[1]}.")
        y = y[:, 0] if isinstance(y, np.ndarray) else y[next(iter(y.columns))]
    for method in ("to_list", "to_pylist", "tolist"):  # pandas and polars, arrow, numpy
        if hasattr(y, method):
            return getattr(y, method)()
    return list(y)


def _of_one_kind(given: np.ndarray) -> np.ndarray:
    if given.dtype != object:
        return given
    # scikit-learn's convention for string targets: an object array with the integer -1.
    kinds = {_kind(value) for value in given}
    if len(kinds) > 1:
        raise ValueError(f"y mixes labels of several kinds: {', '.join(sorted(kinds))}. Use one kind.")
    return np.array(given.tolist())


def _refuse_targets_of_regression(given: np.ndarray) -> None:
    """Refuse what are no classes: continuous numbers, dates and the like.

    scikit-learn's check would also warn of regression where there are many classes with a label or two each;
    integers, booleans and strings are classes by what they are.
    """
    if given.dtype.kind in "iubUS" or (given.dtype.kind == "f" and (given == np.floor(given)).all()):
        return
    check_classification_targets(given)


def _warn_of_missing_as_strings(classes: np.ndarray, marks: list) -> None:
    if classes.dtype.kind != "U":
        return
    suspects = sorted(MISSING_AS_STRINGS.intersection(classes.tolist()))
    if suspects:
        of_mark = "".join(f", unlabeled_label={mark!r}" for mark in marks if mark != -1)
        warn(
            f"y has a class called {', '.join(map(repr, suspects))}, as missing values are called after a "
            "conversion to strings. If these samples are unlabeled, pass "
            f"mark_unlabeled(y, also={suspects + marks!r}{of_mark}) of sklearn_ssldec.labels instead of y."
        )


def _as_column(y: Any) -> np.ndarray:
    """Return labels as an array of one dimension in which strings and the integer -1 stay apart.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.

    Returns
    -------
    ndarray of shape (n_samples,)
        Of dtype object where strings and numbers stand side by side.

    Raises
    ------
    ValueError
        If `y` is not one-dimensional, or has masked values.

    Examples
    --------
    >>> _as_column(["cat", -1])
    array(['cat', -1], dtype=object)
    """
    if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
        raise ValueError(
            f"y is a masked array: {np.ma.count_masked(y)} of its {len(y)} labels are masked. Mark "
            "unlabeled samples with -1 instead: sklearn_ssldec.labels.mark_unlabeled(y) does."
        )
    if isinstance(y, (list, tuple)) and len({isinstance(value, str) for value in y}) > 1:
        # np.asarray(["cat", -1]) would make the string "-1" a class.
        y = np.array(y, dtype=object)
    elif not isinstance(y, np.ndarray):
        # Nullable and categorical pandas columns become object arrays here, with pd.NA where they miss.
        y = np.asarray(y)
    return column_or_1d(y, warn=True)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "str"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    return "number" if isinstance(value, (int, float, np.number)) else type(value).__name__


def _equal(value: Any, unlabeled_label: Any) -> bool:
    return _kind(value) == _kind(unlabeled_label) and bool(value == unlabeled_label)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, (float, np.floating)) and value != value)
    )


def _refuse_missing(y: np.ndarray) -> None:
    if y.dtype == object:
        missing = np.array([_is_missing(value) for value in y], dtype=bool)
    else:
        missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)
    if missing.any():
        raise ValueError(
            f"Input y contains NaN: {missing.sum()} of {len(y)} labels are missing (NaN, None or NA). Mark "
            "unlabeled samples with -1 instead: sklearn_ssldec.labels.mark_unlabeled(y) does, for columns of "
            "any table."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains infinity or a value too large for its dtype.")


def _refuse_lost_marker(y: np.ndarray, unlabeled_label: int | str) -> None:
    """Refuse arrays in which a conversion made the unlabeled marker an ordinary value, unnoticed."""
    if isinstance(unlabeled_label, str):
        return
    is_lost = y.dtype.kind == "U" or (y.dtype == object and any(isinstance(value, str) for value in y))
    # As it is written, and as a column of floats writes it.
    suspects = {str(unlabeled_label), str(float(unlabeled_label))}
    found = sorted({value for value in y if isinstance(value, str)} & suspects) if is_lost else []
    if found:
        lost = found[0]
        raise ValueError(
            f"y holds the string {lost!r}, which would be a class; the unlabeled marker is the integer "
            f"{unlabeled_label}. Keep strings and the marker apart in an object array, "
            f"np.array(['cat', 'dog', {unlabeled_label}], dtype=object), or pass unlabeled_label={lost!r}."
        )
    if unlabeled_label == -1 and y.dtype.kind == "u" and (y == np.iinfo(y.dtype).max).any():
        largest = np.iinfo(y.dtype).max
        raise ValueError(
            f"y is {y.dtype} and holds {largest}, which is what -1 becomes in an unsigned array. Convert "
            f"y to a signed dtype before marking samples with -1, or pass unlabeled_label={largest} (or "
            f"None, if {largest} is a class)."
        )
