"""Cross-validation and scores that know unlabeled rows, for every semi-supervised estimator.

scikit-learn's folds take the mark of unlabeled rows, -1, for a class, and its scorers count every unlabeled
row as an error. What is here leaves unlabeled rows in every training fold, and out of every score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.base import clone, is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.parallel import Parallel, delayed

from sklearn_ssldec._samples.volumes import labeled_volumes
from sklearn_ssldec.labels import labeled_mask, labeled_values

# Below this p-value a comparison names a winner.
SIGNIFICANCE = 0.05


class SemiSupervisedSplitter(BaseCrossValidator):
    """Folds of the labeled rows, with every unlabeled row in every training fold.

    Of volumes with label maps, those with a labeled voxel are the labeled rows.

    Parameters
    ----------
    cv : int, cross-validation generator or iterable, default=5
        How the labeled rows are split: a number of folds (stratified by class), a splitter, or pairs of
        training and test positions **among the labeled rows**, the first of which is 0.
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled row in `y`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.semi_supervised import LabelSpreading
    >>> X = np.r_[np.linspace(0, 1, 20), np.linspace(5, 6, 20)][:, None]
    >>> y = np.full(40, -1)
    >>> y[:5], y[-5:] = 0, 1
    >>> cross_val_score(LabelSpreading(), X, y, cv=SemiSupervisedSplitter(5))
    array([1., 1., 1., 1., 1.])
    """

    def __init__(self, cv: Any = 5, *, unlabeled_label: int | str | None = -1) -> None:
        self.cv = cv
        self.unlabeled_label = unlabeled_label

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each training and test fold.

        Parameters
        ----------
        X : array-like or list of length n_samples
            Samples.
        y : array-like of shape (n_samples,), or sequence of (label map or None)
            Labels, and the mark of unlabeled rows.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows, for splitters that want them.

        Yields
        ------
        train : ndarray
            Rows of the training fold, sorted: labeled ones, and all unlabeled ones.
        test : ndarray
            Rows of the test fold: labeled ones.

        Raises
        ------
        ValueError
            If `y` is None or has no labeled row.
        """
        rows, unlabeled, y_labeled, cv = self._of_labeled(y)
        X_labeled = _safe_indexing(X, rows)
        groups_labeled = None if groups is None else _safe_indexing(groups, rows)
        for train, test in cv.split(X_labeled, y_labeled, groups_labeled):
            yield np.sort(np.concatenate([rows[train], unlabeled])), rows[test]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : array-like or list of length n_samples, default=None
            Samples; not used but by splitters that count them.
        y : array-like of shape (n_samples,), default=None
            Labels; needed by splitters that count rows, such as LeaveOneOut.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows.
        """
        if y is None:
            return check_cv(self.cv).get_n_splits(X, y, groups)
        rows, _, y_labeled, cv = self._of_labeled(y)
        groups_labeled = None if groups is None else _safe_indexing(groups, rows)
        return cv.get_n_splits(np.zeros(len(rows)), y_labeled, groups_labeled)

    def _of_labeled(self, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        if y is None:
            raise ValueError("y must be given: SemiSupervisedSplitter splits the labeled rows, got None.")
        volumes = labeled_volumes(y, self.unlabeled_label)
        labeled = labeled_mask(y, self.unlabeled_label) if volumes is None else volumes
        if not labeled.any():
            raise ValueError(
                f"y has no labeled row to split: all {len(labeled)} are {self.unlabeled_label!r}."
            )
        # Volumes have no class to stratify by.
        y_labeled = labeled_values(y, self.unlabeled_label) if volumes is None else np.zeros(labeled.sum())
        cv = self.cv
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):
            # Listed once: a generator of folds would be empty the second time.
            self._folds = getattr(self, "_folds", None) or list(cv)
            cv = self._folds
        cv = check_cv(cv, y_labeled, classifier=volumes is None)
        return np.flatnonzero(labeled), np.flatnonzero(~labeled), y_labeled, cv


class LabeledScorer:
    """A scorer that leaves unlabeled rows out and then does what another scorer does.

    Made by `labeled_scorer`.

    Parameters
    ----------
    scorer : callable
        Scorer with the signature ``scorer(estimator, X, y)``.
    unlabeled_label : int, str or None
        The mark of an unlabeled row in `y`.
    """

    def __init__(self, scorer: Callable[..., float], unlabeled_label: int | str | None = -1) -> None:
        self.scorer = scorer
        self.unlabeled_label = unlabeled_label

    def __call__(self, estimator: Any, X: Any, y: Any, **kwargs: Any) -> float:
        """Return the score of `estimator` on the labeled rows; arrays in `kwargs` are cut to them too."""
        labeled = labeled_mask(y, self.unlabeled_label)
        if not labeled.any():
            raise ValueError(
                f"No row to score on: all {len(labeled)} of y are {self.unlabeled_label!r}. Split with "
                "cv=SemiSupervisedSplitter(), which tests on labeled rows only."
            )
        rows = np.flatnonzero(labeled)
        kwargs = {
            name: _safe_indexing(value, rows) if np.ndim(value) else value for name, value in kwargs.items()
        }
        y_labeled = labeled_values(y, self.unlabeled_label)
        return self.scorer(estimator, _safe_indexing(X, rows), y_labeled, **kwargs)

    def __repr__(self) -> str:
        return f"LabeledScorer({self.scorer!r}, unlabeled_label={self.unlabeled_label!r})"


def labeled_scorer(
    scoring: str | Callable[..., float] | Iterable[str] | dict[str, Any], *, unlabeled_label: Any = -1
) -> LabeledScorer | dict[str, LabeledScorer]:
    """Make a scorer, or several, that leave unlabeled rows out.

    Parameters
    ----------
    scoring : str, callable, list of str or dict
        Any of scikit-learn's: the name of a scorer, a scorer, several names, or a dictionary of them.
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled row in `y`.

    Returns
    -------
    LabeledScorer or dict of str to LabeledScorer
        What goes where scikit-learn has ``scoring``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.semi_supervised import LabelSpreading
    >>> X, y = np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, -1, 1, -1])
    >>> labeled_scorer("accuracy")(LabelSpreading().fit(X, y), X, y)
    1.0
    """
    if isinstance(scoring, str):
        return LabeledScorer(get_scorer(scoring), unlabeled_label)
    if isinstance(scoring, dict):
        return {name: LabeledScorer(get_scorer(one), unlabeled_label) for name, one in scoring.items()}
    if callable(scoring):
        return LabeledScorer(scoring, unlabeled_label)
    return {name: LabeledScorer(get_scorer(name), unlabeled_label) for name in scoring}


def cross_val_predict_labeled(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    method: str = "predict",
    unlabeled_label: Any = -1,
    groups: Any = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each labeled row by an estimator that did not see its label.

    scikit-learn's `cross_val_predict` wants test folds that cover every row, the unlabeled ones too.

    Parameters
    ----------
    estimator : classifier
        Semi-supervised classifier; it is cloned.
    X : array-like of length n_samples
        Samples.
    y : array-like of shape (n_samples,)
        Labels, and the mark of unlabeled rows.
    cv : int, cross-validation generator or iterable, default=5
        How the labeled rows are split, as in `SemiSupervisedSplitter`; its test folds must not overlap.
    method : {"predict", "predict_proba"}, default="predict"
        What is predicted.
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled row in `y`.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows.
    n_jobs : int, default=None
        Folds at a time.

    Returns
    -------
    rows : ndarray of shape (n_labeled,)
        The labeled rows that a test fold holds, sorted.
    predictions : ndarray of shape (n_labeled,) or (n_labeled, n_classes)
        Their predictions. The columns of probabilities are the sorted classes of all labeled rows; a class
        that a training fold does not hold has probability 0 there.

    Raises
    ------
    ValueError
        If `method` is another, or test folds overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.semi_supervised import LabelSpreading
    >>> X, y = np.array([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]]), np.array([0, -1, 0, 1, -1, 1])
    >>> rows, predicted = cross_val_predict_labeled(LabelSpreading(), X, y, cv=2)
    >>> rows, predicted
    (array([0, 2, 3, 5]), array([0, 0, 1, 1]))
    """
    if method not in ("predict", "predict_proba"):
        raise ValueError(f"method must be 'predict' or 'predict_proba', got {method!r}.")
    if not is_classifier(estimator):
        raise ValueError(f"estimator must be a classifier, got {estimator!r}.")
    X, y, groups = indexable(X, y, groups)
    classes = np.unique(labeled_values(y, unlabeled_label))
    folds = list(SemiSupervisedSplitter(cv, unlabeled_label=unlabeled_label).split(X, y, groups))
    rows = np.concatenate([test for _, test in folds])
    if len(np.unique(rows)) != len(rows):
        raise ValueError("cv must hold each labeled row in one test fold at most; its test folds overlap.")
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_predict_fold)(clone(estimator), X, y, train, test, method, classes) for train, test in folds
    )
    order = np.argsort(rows)
    return rows[order], np.concatenate(parts)[order]


@dataclass(frozen=True)
class SupervisedComparison:
    """Whether the unlabeled samples helped, told by held-out labels.

    Printed, it is a sentence that says whether to use SSLDEC.

    Attributes
    ----------
    accuracy, supervised_accuracy : float
        Share of the labeled rows that are predicted right by models that did not see their labels: with the
        unlabeled samples, and after supervised training alone.
    n_labeled : int
        Labeled rows.
    n_gained, n_lost : int
        Rows that only the one, and only the other predicts right.
    p_value : float
        Probability of a difference at least as large if neither were better (exact McNemar test).
    """

    accuracy: float
    supervised_accuracy: float
    n_labeled: int
    n_gained: int
    n_lost: int
    p_value: float

    def __str__(self) -> str:
        if self.p_value < SIGNIFICANCE:
            verdict = "Use SSLDEC" if self.n_gained > self.n_lost else "Use supervised training (max_iter=0)"
        else:
            verdict = "These labels cannot tell which is better"
        return (
            f"{verdict}: on {self.n_labeled} held-out labels SSLDEC has an accuracy of {self.accuracy:.3f}, "
            f"supervised training alone {self.supervised_accuracy:.3f}; {self.n_gained} gained, "
            f"{self.n_lost} lost (p = {self.p_value:.2g})."
        )


def compare_with_supervised(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    unlabeled_label: Any = -1,
    groups: Any = None,
    n_jobs: int | None = None,
) -> SupervisedComparison:
    """Compare SSLDEC with its own supervised training on held-out labels: the first thing to check.

    Parameters
    ----------
    estimator : SSLDECClassifier, or Pipeline that ends with one
        What to compare with itself at ``max_iter=0``. Give it a `random_state`: then both start from the same
        networks.
    X : array-like of length n_samples
        Samples.
    y : array-like of shape (n_samples,)
        Labels, and the mark of unlabeled rows.
    cv : int, cross-validation generator or iterable, default=5
        How the labeled rows are split, as in `SemiSupervisedSplitter`.
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled row in `y`.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows.
    n_jobs : int, default=None
        Folds at a time.

    Returns
    -------
    SupervisedComparison
        Accuracies, a p-value and, printed, a verdict.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_moons(400, noise=0.1, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = SSLDECClassifier(max_iter=50, random_state=0)
    >>> print(compare_with_supervised(clf, X, y, cv=2))
    These labels cannot tell which is better: on 10 held-out labels ...
    """
    supervised = clone(estimator)
    last = supervised.steps[-1][1] if hasattr(supervised, "steps") else supervised
    last.set_params(max_iter=0)
    labeled = labeled_mask(y, unlabeled_label)
    position = np.cumsum(labeled) - 1  # of a row among the labeled ones
    splitter = SemiSupervisedSplitter(cv, unlabeled_label=unlabeled_label)
    # Split once: a splitter that shuffles without a seed would give the two other folds.
    folds = [
        (position[train[labeled[train]]], position[test]) for train, test in splitter.split(X, y, groups)
    ]
    truth = labeled_values(y, unlabeled_label)
    right = []
    for one in (estimator, supervised):
        rows, predicted = cross_val_predict_labeled(
            one, X, y, cv=folds, unlabeled_label=unlabeled_label, n_jobs=n_jobs
        )
        right.append(predicted == truth[position[rows]])
    n_gained, n_lost = int(np.sum(right[0] & ~right[1])), int(np.sum(~right[0] & right[1]))
    n_differ = n_gained + n_lost
    p_value = float(binomtest(n_gained, n_differ).pvalue) if n_differ else 1.0
    return SupervisedComparison(
        float(right[0].mean()), float(right[1].mean()), len(right[0]), n_gained, n_lost, p_value
    )


def _predict_fold(
    estimator: Any, X: Any, y: Any, train: np.ndarray, test: np.ndarray, method: str, classes: np.ndarray
) -> np.ndarray:
    estimator.fit(_safe_indexing(X, train), _safe_indexing(y, train))
    predicted = getattr(estimator, method)(_safe_indexing(X, test))
    if method == "predict":
        return predicted
    aligned = np.zeros((len(test), len(classes)), dtype=predicted.dtype)
    known = np.isin(estimator.classes_, classes)
    aligned[:, np.searchsorted(classes, estimator.classes_[known])] = predicted[:, known]
    return aligned
