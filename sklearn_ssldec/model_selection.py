"""Cross-validation and scores that know unlabeled rows, for every semi-supervised estimator.

scikit-learn's folds take the mark of unlabeled rows, -1, for a class, and its scorers count every unlabeled
row as an error. What is here leaves unlabeled rows in every training fold, and out of every score.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.base import clone, is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_consistent_length, indexable
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
)
from sklearn.utils.parallel import Parallel, delayed

from sklearn_ssldec._compat import safe_indexing, take_params
from sklearn_ssldec._samples.volumes import labeled_volumes
from sklearn_ssldec._warnings import warn
from sklearn_ssldec.labels import find_unlabeled_label, labeled_mask, labeled_values

# Below this p-value a comparison names a winner.
SIGNIFICANCE = 0.05


class SemiSupervisedSplitter(BaseCrossValidator):
    """Folds of the labeled rows, with the unlabeled rows in the training folds.

    In a list of volumes with label maps, the volumes that have a labeled voxel are the labeled rows.

    Parameters
    ----------
    cv : int, cross-validation generator or iterable, default=5
        How the labeled rows are split: a number of folds (stratified by class), a splitter, or pairs of
        training and test positions **among the labeled rows**, the first of which is 0.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks `estimator`, and is -1 without one.
    estimator : estimator, default=None
        The estimator that the folds are for, asked for its `unlabeled_label`; also a Pipeline or a search.
        scikit-learn does not tell a splitter what it splits for, so name it here if its mark is not -1.
    drop_test_groups : bool, default=False
        Which unlabeled rows a training fold holds, where `groups` are given, such as the patient of each row.
        False keeps all of them, also those of the test patients: the score then tells how well further rows
        of **the same patients** are predicted, if their unlabeled rows are there for training. True leaves
        out the unlabeled rows of the test patients: the score then tells about **patients never seen**.

    See Also
    --------
    labeled_scorer : Scores that leave unlabeled rows out, for ordinary folds.

    Notes
    -----
    The metadata that `cv` requests (``groups`` for GroupKFold) are passed on to it, also with scikit-learn's
    metadata routing enabled.

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

    def __init__(
        self,
        cv: Any = 5,
        *,
        unlabeled_label: int | str | None = "auto",
        estimator: Any = None,
        drop_test_groups: bool = False,
    ) -> None:
        self.cv = cv
        self.unlabeled_label = unlabeled_label
        self.estimator = estimator
        self.drop_test_groups = drop_test_groups

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each training and test fold.

        Parameters
        ----------
        X : array-like or list of length n_samples
            Samples.
        y : array-like of shape (n_samples,), or sequence of (label map or None)
            Labels, and the mark of unlabeled rows.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows, for splitters that want them and for `drop_test_groups`.

        Yields
        ------
        train : ndarray of int
            Rows of the training fold, sorted: labeled ones, and unlabeled ones.
        test : ndarray of int
            Rows of the test fold: labeled ones, in the order of `cv`.

        Raises
        ------
        ValueError
            If `y` is None or has no labeled row, if X, y and `groups` differ in length, if `cv` names a
            labeled row that there is not, if `unlabeled_label` contradicts `estimator`, or if `groups` are
            missing for `drop_test_groups`.

        Warns
        -----
        UserWarning
            If no row is unlabeled by the mark -1, and neither `unlabeled_label` nor `estimator` is given.
        """
        X, y, groups = indexable(X, y, groups)
        rows, unlabeled, y_labeled, cv = self._of_labeled(X, y, groups)
        if self.drop_test_groups and groups is None:
            raise ValueError("drop_test_groups=True needs groups, one for each row; got None.")
        if not len(unlabeled) and self._is_guess() and labeled_volumes(y) is None:
            warn(
                "y has no unlabeled row: none is -1. If another value marks unlabeled rows, pass it as "
                "unlabeled_label to SemiSupervisedSplitter, or the estimator as estimator; if all are "
                "labeled, pass unlabeled_label=None."
            )
        groups_labeled = None if groups is None else safe_indexing(groups, rows)
        for train, test in cv.split(safe_indexing(X, rows), y_labeled, groups_labeled):
            try:
                labeled_train, tested = rows[train], rows[test]
            except IndexError as error:
                raise ValueError(
                    f"cv must hold positions among the {len(rows)} labeled rows, from 0 to {len(rows) - 1}; "
                    f"{error}."
                ) from error
            kept = unlabeled
            if self.drop_test_groups:
                of_test = np.isin(np.asarray(groups), np.asarray(groups)[tested])
                kept = unlabeled[~of_test[unlabeled]]
            yield np.sort(np.concatenate([labeled_train, kept])), tested

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : array-like or list of length n_samples, default=None
            Samples; only their number is looked at.
        y : array-like of shape (n_samples,), default=None
            Labels; needed by splitters that count rows, such as LeaveOneOut.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows; needed by splitters that count groups, such as LeaveOneGroupOut.

        Returns
        -------
        int
            Number of folds.

        Raises
        ------
        ValueError
            If `y` has no labeled row, or X, y and `groups` differ in length.
        """
        if y is None:
            return self._check_cv().get_n_splits(X, y, groups)
        rows, _, y_labeled, cv = self._of_labeled(X, y, groups)
        groups_labeled = None if groups is None else safe_indexing(groups, rows)
        return cv.get_n_splits(np.zeros(len(rows)), y_labeled, groups_labeled)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata are passed on: those that `cv` requests, and groups for `drop_test_groups`.

        Returns
        -------
        MetadataRouter
            The routing of scikit-learn's metadata.
        """
        router = MetadataRouter(owner=type(self).__name__).add(
            splitter=get_routing_for_object(self._check_cv()),
            method_mapping=MethodMapping().add(caller="split", callee="split"),
        )
        if self.drop_test_groups:
            request = MetadataRequest(owner=type(self).__name__)
            request.split.add_request(param="groups", alias=True)
            router.add_self_request(request)
        return router

    @property
    def shuffle(self) -> bool:
        """Whether `cv` shuffles; an AttributeError if it does not say.

        HalvingGridSearchCV asks for this and for `random_state`, to refuse folds that change from call to
        call.
        """
        return self._check_cv().shuffle

    @property
    def random_state(self) -> Any:
        """The `random_state` of `cv`; an AttributeError if it has none."""
        return self._check_cv().random_state

    def _is_guess(self) -> bool:
        return (
            self.estimator is None
            and isinstance(self.unlabeled_label, str)
            and (self.unlabeled_label == "auto")
        )

    def _check_cv(self, y_labeled: np.ndarray | None = None, *, stratified: bool = False) -> Any:
        """Return the splitter of the labeled rows; without their labels it tells about itself only."""
        cv = self.cv
        if isinstance(cv, Iterator):
            # Listed once, and again if cv is replaced: a generator of folds is empty the second time.
            listed = getattr(self, "_listed", (None, None))
            if listed[0] is not cv:
                listed = self._listed = (cv, list(cv))
            cv = listed[1]
        return check_cv(cv, y_labeled, classifier=stratified)

    def _of_labeled(self, X: Any, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """Return the labeled rows, the unlabeled rows, the labels of the former, and their splitter."""
        if y is None:
            raise ValueError("y must be given: SemiSupervisedSplitter splits the labeled rows, got None.")
        check_consistent_length(X, y, groups)
        mark = find_unlabeled_label(self.estimator, self.unlabeled_label)
        volumes = labeled_volumes(y, mark)
        labeled = labeled_mask(y, mark) if volumes is None else volumes
        if not labeled.any():
            raise ValueError(f"y has no labeled row to split: all {len(labeled)} are {mark!r}.")
        # Volumes have no class to stratify by.
        y_labeled = labeled_values(y, mark) if volumes is None else np.zeros(labeled.sum())
        cv = self._check_cv(y_labeled, stratified=volumes is None)
        return np.flatnonzero(labeled), np.flatnonzero(~labeled), y_labeled, cv


class LabeledScorer:
    """A scorer that leaves unlabeled rows out and then does what another scorer does.

    Made by `labeled_scorer`.

    Parameters
    ----------
    scorer : callable
        Scorer with the signature ``scorer(estimator, X, y)``.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks the estimator that is scored.

    Examples
    --------
    >>> from sklearn.metrics import get_scorer
    >>> LabeledScorer(get_scorer("accuracy"), unlabeled_label=99)
    LabeledScorer(make_scorer(accuracy_score, ...), unlabeled_label=99)
    """

    def __init__(self, scorer: Callable[..., float], unlabeled_label: int | str | None = "auto") -> None:
        self.scorer = scorer
        self.unlabeled_label = unlabeled_label

    def __call__(self, estimator: Any, X: Any, y: Any, **kwargs: Any) -> float:
        """Return the score of `estimator` on the labeled rows.

        Parameters
        ----------
        estimator : fitted estimator
            What is scored.
        X : array-like of length n_samples
            Samples.
        y : array-like of shape (n_samples,)
            Labels, and the mark of unlabeled rows.
        **kwargs
            Passed on to the scorer; what has a value for each row, such as `sample_weight`, is cut to the
            labeled rows.

        Returns
        -------
        float
            The score.

        Raises
        ------
        ValueError
            If no row is labeled, if X, y and `sample_weight` differ in length, or if `unlabeled_label`
            contradicts the estimator.
        """
        mark = find_unlabeled_label(estimator, self.unlabeled_label)
        X, y, _ = indexable(X, y, kwargs.get("sample_weight"))
        rows = np.flatnonzero(labeled_mask(y, mark))
        if not len(rows):
            raise ValueError(
                f"No row to score on: all {len(y)} of y are {mark!r}. Split with "
                "cv=SemiSupervisedSplitter(), which tests on labeled rows only."
            )
        kwargs = take_params(X, kwargs, indices=rows)
        return self.scorer(estimator, safe_indexing(X, rows), labeled_values(y, mark), **kwargs)

    def get_metadata_routing(self) -> Any:
        """Return what metadata the scorer requests.

        Returns
        -------
        MetadataRequest or MetadataRouter
            Those of the scorer that does the work.
        """
        return get_routing_for_object(self.scorer)

    def set_score_request(self, **requests: Any) -> LabeledScorer:
        """Say which metadata the scorer takes, as the scorers of scikit-learn do.

        Parameters
        ----------
        **requests : bool, str or None
            For each name, such as `sample_weight`: True to pass it, False to leave it out, None to refuse it,
            or the name under which it is given.

        Returns
        -------
        LabeledScorer
            A scorer with these requests; this one stays as it was.

        Raises
        ------
        TypeError
            If the scorer is a plain function, which makes no requests.
        """
        if not hasattr(self.scorer, "set_score_request"):
            raise TypeError(
                f"{self.scorer!r} makes no requests for metadata; make a scorer of a metric with "
                "sklearn.metrics.make_scorer."
            )
        scorer = clone(self.scorer, safe=False).set_score_request(**requests)
        return LabeledScorer(scorer, self.unlabeled_label)

    def _accept_sample_weight(self) -> bool:
        """Tell scikit-learn, which asks where several scorers are given, if weights may be passed."""
        if hasattr(self.scorer, "_accept_sample_weight"):
            return self.scorer._accept_sample_weight()
        return "sample_weight" in inspect.signature(self.scorer).parameters

    def __repr__(self) -> str:
        return f"LabeledScorer({self.scorer!r}, unlabeled_label={self.unlabeled_label!r})"


def labeled_scorer(
    scoring: str | Callable[..., float] | Iterable[str] | dict[str, Any], *, unlabeled_label: Any = "auto"
) -> LabeledScorer | dict[str, LabeledScorer]:
    """Make a scorer, or several, that leave unlabeled rows out.

    Parameters
    ----------
    scoring : str, callable, list of str or dict
        Any of scikit-learn's: the name of a scorer, a scorer, several names, or a dictionary of them.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks the estimator.

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
    unlabeled_label: Any = "auto",
    groups: Any = None,
    params: dict[str, Any] | None = None,
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
        How the labeled rows are split, as in `SemiSupervisedSplitter`, or one of these; the test folds must
        not overlap.
    method : {"predict", "predict_proba"}, default="predict"
        What is predicted.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks the estimator.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows.
    params : dict, default=None
        Further arguments of the estimator's `fit`; what has a value for each row is cut to the training fold.
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
        If `method` is another, test folds overlap, X, y and `groups` differ in length, or `unlabeled_label`
        contradicts the estimator.

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
    splitter = _splitter_for(estimator, cv, unlabeled_label)
    folds = list(splitter.split(X, y, groups))
    rows, predictions, _, _ = _predict_folds(
        estimator,
        X,
        y,
        folds,
        method=method,
        unlabeled_label=find_unlabeled_label(splitter.estimator, splitter.unlabeled_label),
        params=params,
        n_jobs=n_jobs,
    )
    return rows, predictions


def _splitter_for(estimator: Any, cv: Any, unlabeled_label: Any = "auto") -> SemiSupervisedSplitter:
    """Return the splitter of an estimator's labeled rows; all helpers that take `cv` make theirs here.

    Parameters
    ----------
    estimator : estimator
        What is trained on the folds.
    cv : int, cross-validation generator, iterable or SemiSupervisedSplitter
        How the labeled rows are split.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row. "auto" asks the estimator.

    Returns
    -------
    SemiSupervisedSplitter
        One whose `unlabeled_label` is known.

    Raises
    ------
    ValueError
        If the estimator, `unlabeled_label` and that of `cv` contradict each other.

    Examples
    --------
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> _splitter_for(SSLDECClassifier(unlabeled_label=99), 3).unlabeled_label
    99
    """
    mark = find_unlabeled_label(estimator, unlabeled_label)
    if not isinstance(cv, SemiSupervisedSplitter):
        return SemiSupervisedSplitter(cv, unlabeled_label=mark)
    if not cv._is_guess():
        own = find_unlabeled_label(cv.estimator, cv.unlabeled_label)
        mark = find_unlabeled_label(estimator, own)
        if unlabeled_label != "auto" and unlabeled_label != mark:
            raise ValueError(
                f"unlabeled_label={unlabeled_label!r} contradicts cv, whose unlabeled_label is {mark!r}."
            )
    cv._check_cv()  # lists a generator of folds, for the copy and for cv itself
    known = copy(cv)
    known.unlabeled_label = mark
    return known


def _predict_folds(
    estimator: Any,
    X: Any,
    y: Any,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    method: str,
    unlabeled_label: Any,
    params: dict[str, Any] | None = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[bool]]:
    """Predict the test rows of each fold by a clone that is trained on its training rows.

    Parameters
    ----------
    estimator : classifier
        It is cloned.
    X : array-like of length n_samples
        Samples.
    y : array-like of shape (n_samples,)
        Labels, and the mark of unlabeled rows.
    folds : sequence of (train, test)
        Rows; the test rows are labeled.
    method : {"predict", "predict_proba"}
        What is predicted.
    unlabeled_label : int, str or None
        The mark of an unlabeled row.
    params : dict, default=None
        Further arguments of `fit`.
    n_jobs : int, default=None
        Folds at a time.

    Returns
    -------
    rows : ndarray of shape (n_tested,)
        The test rows of all folds, sorted.
    predictions : ndarray of shape (n_tested,) or (n_tested, n_classes)
        Their predictions; columns are the sorted classes of all labeled rows.
    could_know : ndarray of shape (n_tested,), bool
        False where the true class is none of those that the clone knows.
    fell_back : list of bool
        For each fold whether the clone kept its supervised start.

    Raises
    ------
    ValueError
        If there is no fold, test folds overlap, or X, y and a `sample_weight` in `params` differ in length.
    """
    check_consistent_length(X, y, (params or {}).get("sample_weight"))
    if not folds:
        raise ValueError("cv must yield at least one fold, got none; a generator yields its folds only once.")
    classes = np.unique(labeled_values(y, unlabeled_label))
    rows = np.concatenate([test for _, test in folds])
    if len(np.unique(rows)) != len(rows):
        raise ValueError("cv must hold each labeled row in one test fold at most; its test folds overlap.")
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_predict_fold)(clone(estimator), X, y, train, test, method, classes, params or {})
        for train, test in folds
    )
    predictions, could_know = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    order = np.argsort(rows)
    return rows[order], predictions[order], could_know[order], [fell_back for _, _, fell_back in parts]


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
    n_fallbacks, n_folds : int
        Folds in which the estimator itself kept its supervised start (`fallback_`), and all folds.
    """

    accuracy: float
    supervised_accuracy: float
    n_labeled: int
    n_gained: int
    n_lost: int
    p_value: float
    n_fallbacks: int = 0
    n_folds: int = 0

    def __str__(self) -> str:
        if self.p_value < SIGNIFICANCE:
            verdict = "Use SSLDEC" if self.n_gained > self.n_lost else "Use supervised training (max_iter=0)"
        else:
            verdict = "These labels cannot tell which is better"
        fallbacks = ""
        if self.n_fallbacks:
            fallbacks = (
                f" In {self.n_fallbacks} of {self.n_folds} folds the unlabeled samples did not seem to help, "
                "and SSLDEC kept its supervised start."
            )
        return (
            f"{verdict}: on {self.n_labeled} held-out labels SSLDEC has an accuracy of {self.accuracy:.3f}, "
            f"supervised training alone {self.supervised_accuracy:.3f}; {self.n_gained} gained, "
            f"{self.n_lost} lost (p = {self.p_value:.2g}).{fallbacks}"
        )


def compare_with_supervised(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    unlabeled_label: Any = "auto",
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
        How the labeled rows are split, as in `SemiSupervisedSplitter`, or one of these.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks the estimator.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows.
    n_jobs : int, default=None
        Folds at a time.

    Returns
    -------
    SupervisedComparison
        Accuracies, a p-value and, printed, a verdict.

    Raises
    ------
    ValueError
        If `estimator` is no classifier with a supervised start, X, y and `groups` differ in length, no row is
        labeled, test folds overlap, or `unlabeled_label` contradicts the estimator.

    Notes
    -----
    With `groups` and ``cv=SemiSupervisedSplitter(GroupKFold(5))``, the unlabeled rows of the test groups are
    trained on; ``drop_test_groups=True`` leaves them out. The first tells what unlabeled samples of the same
    groups are worth, the second whether they help with new groups.

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
    if not is_classifier(estimator):
        raise ValueError(
            "estimator must be a classifier. Compare the cross_val_score of a segmenter with that of the "
            f"same segmenter with max_iter=0. Got {estimator!r}."
        )
    X, y, groups = indexable(X, y, groups)
    splitter = _splitter_for(estimator, cv, unlabeled_label)
    mark = find_unlabeled_label(splitter.estimator, splitter.unlabeled_label)
    supervised = clone(estimator)
    last = supervised.steps[-1][1] if hasattr(supervised, "steps") else supervised
    # scikit-learn's max_iter is that of an optimizer.
    if "max_iter" not in last.get_params(deep=False) or type(last).__module__.startswith("sklearn."):
        raise ValueError(
            "estimator must be a classifier whose supervised start is max_iter=0, as SSLDECClassifier, or a "
            f"Pipeline that ends with one. Of a search, pass best_estimator_. Got {last!r}."
        )
    last.set_params(max_iter=0)
    # Split once: a splitter that shuffles without a seed would give the two other folds.
    folds = list(splitter.split(X, y, groups))
    truth = labeled_values(y, mark)
    labeled = np.flatnonzero(labeled_mask(y, mark))
    right, n_fallbacks = [], []
    for one in (estimator, supervised):
        rows, predicted, _, fell_back = _predict_folds(
            one, X, y, folds, method="predict", unlabeled_label=mark, n_jobs=n_jobs
        )
        n_fallbacks.append(sum(fell_back))
        right.append(predicted == truth[np.searchsorted(labeled, rows)])
    n_gained, n_lost = int(np.sum(right[0] & ~right[1])), int(np.sum(~right[0] & right[1]))
    n_differ = n_gained + n_lost
    p_value = float(binomtest(n_gained, n_differ).pvalue) if n_differ else 1.0
    return SupervisedComparison(
        float(right[0].mean()),
        float(right[1].mean()),
        len(right[0]),
        n_gained,
        n_lost,
        p_value,
        n_fallbacks[0],
        len(folds),
    )


def _predict_fold(
    estimator: Any,
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    method: str,
    classes: np.ndarray,
    params: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return a fold's predictions, whether each true class was known, and whether the estimator fell back."""
    params = take_params(X, params, indices=train)
    estimator.fit(safe_indexing(X, train), safe_indexing(y, train), **params)
    predicted = getattr(estimator, method)(safe_indexing(X, test))
    could_know = np.isin(labeled_values(safe_indexing(y, test), None), estimator.classes_)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    fell_back = bool(getattr(last, "fallback_", False))
    if method == "predict":
        return predicted, could_know, fell_back
    aligned = np.zeros((len(test), len(classes)), dtype=predicted.dtype)
    known = np.isin(estimator.classes_, classes)
    aligned[:, np.searchsorted(classes, estimator.classes_[known])] = predicted[:, known]
    return aligned, could_know, fell_back
