"""Probabilities that mean what they say, where only some rows are labeled.

scikit-learn's `CalibratedClassifierCV` takes the mark of unlabeled rows, -1, for a class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import get_scorer
from sklearn.utils import Bunch, Tags, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from sklearn_ssldec._compat import routing_enabled
from sklearn_ssldec.labels import find_unlabeled_label, labeled_mask, labeled_values
from sklearn_ssldec.model_selection import LabeledScorer, _predict_folds, _splitter_for

# A probability of 0 would ask for an infinite temperature as soon as it is wrong once.
LEAST_PROBABILITY = 1e-7
# Strength of the pull towards T = 1. Of 72 fits (moons, digits, wine; 10 or 30 labels a class; three
# classifiers) 10 % had a worse log-loss than before without it, 3 % with it; the mean gain was no smaller.
PULL = 2.0
# log T is looked for between these: a temperature of 0.007 to 150.
LOG_TEMPERATURES = (-5.0, 5.0)


def fit_temperature(y_true: Any, probabilities: Any, classes: Any = None) -> float:
    r"""Find the temperature with which held-out labels are most probable.

    The probabilities become :math:`\mathrm{softmax}(\log p / T)` [1]_: for :math:`T > 1` less sure, for
    :math:`T < 1` surer, and the most probable class stays. T minimises the log-loss plus
    :math:`2 (\log T)^2 / n`: without this weak pull towards 1, a few labels that are all predicted right
    would ask for :math:`T = 0`, that is for being sure of everything.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels of samples that the classifier was not trained on.
    probabilities : array-like of shape (n_samples, n_classes)
        Their predicted probabilities.
    classes : array-like of shape (n_classes,), default=None
        Class of each column, sorted. None takes the classes in `y_true`.

    Returns
    -------
    float
        The temperature.

    Raises
    ------
    ValueError
        If there is not a column for each class, classes are not sorted, a label is none of them, or a
        probability is missing.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> surer_than_right = np.tile([0.99, 0.01], (20, 1))
    >>> y = np.arange(20) % 4 == 0                       # right in 15 of 20
    >>> fit_temperature(y, surer_than_right) > 2
    True
    """
    y_true, probabilities = np.asarray(y_true), np.asarray(probabilities)
    classes = np.unique(y_true) if classes is None else np.asarray(classes)
    if probabilities.shape != (len(y_true), len(classes)):
        raise ValueError(
            f"probabilities must be of shape (n_samples, n_classes), {(len(y_true), len(classes))}, got "
            f"{probabilities.shape}."
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities holds missing or infinite values.")
    if not (classes[1:] > classes[:-1]).all():
        raise ValueError(f"classes must be sorted, without a class twice, got {classes.tolist()}.")
    unknown = np.setdiff1d(y_true, classes)
    if len(unknown):
        raise ValueError(f"y_true holds {unknown.tolist()[0]!r}, which is not among classes.")
    truth = np.searchsorted(classes, y_true)[:, None]
    log_p = _log(probabilities)

    def objective(log_temperature: float) -> float:
        scaled = log_softmax(log_p / np.exp(log_temperature), axis=1)
        return -float(np.take_along_axis(scaled, truth, axis=1).sum()) + PULL * log_temperature**2

    return float(np.exp(minimize_scalar(objective, bounds=LOG_TEMPERATURES, method="bounded").x))


def apply_temperature(probabilities: Any, temperature: float) -> np.ndarray:
    """Make probabilities less sure, or surer.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_classes)
        Probabilities.
    temperature : float
        Above 1 less sure, below 1 surer.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float64
        Probabilities; rows sum to 1.

    Raises
    ------
    ValueError
        If `temperature` is not above 0.

    Examples
    --------
    >>> apply_temperature([[0.9, 0.1]], 2.0)
    array([[0.75, 0.25]])
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature!r}.")
    return softmax(_log(probabilities) / temperature, axis=1)


def _log(probabilities: Any) -> np.ndarray:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY))


class TemperatureScaledClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier whose probabilities are calibrated on held-out labels, out of fold.

    `fit` predicts each labeled row by a clone that did not see its label, finds the temperature with which
    these predictions fit best (`fit_temperature`), and then trains one classifier on all rows. What is
    predicted stays the same; how sure it is changes.

    Parameters
    ----------
    estimator : classifier with `predict_proba`
        Semi-supervised classifier, or a Pipeline that ends with one; it is cloned. To calibrate a fitted one
        on labeled rows that it was not trained on, pass ``FrozenEstimator(fitted)``.
    cv : int, cross-validation generator or iterable, default=5
        How the labeled rows are split, as in `SemiSupervisedSplitter`, or one of these.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled row in `y`. "auto" asks `estimator`.
    n_jobs : int, default=None
        Folds at a time.

    Attributes
    ----------
    estimator_ : classifier
        The classifier trained on all rows.
    temperature_ : float
        Above 1: the classifier was surer than it was right.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features, where `estimator_` tells it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where `estimator_` tells them.

    Notes
    -----
    The clones are trained on fewer labels than the classifier itself, which makes them somewhat less right;
    with few labels a larger `cv` comes closer.

    A held-out row whose class has no other label cannot be predicted right by the clone that did not see it.
    It tells nothing about how sure the classifier may be, and is left out of the calibration.

    With scikit-learn's metadata routing, `fit` passes on what the estimator's `fit` and `cv` request.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sklearn.metrics import log_loss
    >>> from sklearn.semi_supervised import LabelSpreading
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_moons(400, noise=0.35, random_state=0)
    >>> y = mask_labels(truth, 30, random_state=0)
    >>> plain = LabelSpreading(gamma=50, alpha=0.05).fit(X, y)
    >>> calibrated = TemperatureScaledClassifier(plain).fit(X, y)
    >>> log_loss(truth, calibrated.predict_proba(X)) < log_loss(truth, plain.predict_proba(X))
    True
    >>> bool((calibrated.predict(X) == plain.predict(X)).all())
    True
    """

    def __init__(
        self,
        estimator: Any,
        *,
        cv: Any = 5,
        unlabeled_label: int | str | None = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.unlabeled_label = unlabeled_label
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, **params: Any) -> TemperatureScaledClassifier:
        """Find the temperature out of fold, and fit the classifier to all rows.

        Parameters
        ----------
        X : array-like of length n_samples
            Samples, labeled and unlabeled.
        y : array-like of shape (n_samples,)
            Labels, and the mark of unlabeled rows.
        **params
            ``groups``, an array-like of shape (n_samples,), goes to `cv`; all else to the estimator's `fit`,
            cut to the training fold where it has a value for each row. With scikit-learn's metadata routing
            enabled, each goes where it is requested.

        Returns
        -------
        self : TemperatureScaledClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If `y` is None or has no labeled row, the classifier takes the mark for a class, X, y, groups or
            sample_weight differ in length, `unlabeled_label` contradicts the estimator, or no training fold
            holds the class of a held-out row.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X, y, *_ = indexable(X, y, params.get("groups"), params.get("sample_weight"))
        splitter = _splitter_for(self.estimator, self.cv, self.unlabeled_label)
        mark = find_unlabeled_label(splitter.estimator, splitter.unlabeled_label)
        routed = self._route(params)
        estimator = clone(self.estimator).fit(X, y, **routed.estimator.fit)
        labels = labeled_values(y, mark)
        unknown = [name for name in estimator.classes_.tolist() if name not in set(labels.tolist())]
        if unknown:
            raise ValueError(
                f"estimator takes {unknown[0]!r} for a class, which no labeled row has; {estimator!r} must "
                f"know that {mark!r} marks unlabeled rows, or be given labeled rows only."
            )
        rows, probabilities, could_know, _ = _predict_folds(
            self.estimator,
            X,
            y,
            list(splitter.split(X, y, **routed.splitter.split)),
            method="predict_proba",
            unlabeled_label=mark,
            params=routed.estimator.fit,
            n_jobs=self.n_jobs,
        )
        if not could_know.any():
            raise ValueError(
                "No labeled row can be calibrated on: no training fold holds the class of a row that it "
                "holds out. Label more samples of each class, or pass a cv with more folds."
            )
        truth = labels[np.searchsorted(np.flatnonzero(labeled_mask(y, mark)), rows[could_know])]
        self.temperature_ = fit_temperature(truth, probabilities[could_know], np.unique(labels))
        self.estimator_ = estimator
        self.classes_ = estimator.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))
        return self

    def _route(self, params: dict[str, Any]) -> Bunch:
        """Return which of the arguments of `fit` go to the estimator, and which to the splitter."""
        if routing_enabled():
            return process_routing(self, "fit", **params)
        of_splitter = {name: value for name, value in params.items() if name == "groups"}
        of_estimator = {name: value for name, value in params.items() if name != "groups"}
        return Bunch(estimator=Bunch(fit=of_estimator), splitter=Bunch(split=of_splitter))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata are passed on: those that the estimator's `fit` and `cv` request.

        Returns
        -------
        MetadataRouter
            The routing of scikit-learn's metadata.
        """
        return (
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
            .add(
                splitter=_splitter_for(self.estimator, self.cv, self.unlabeled_label),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict calibrated class probabilities.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float64
            Probabilities, in the order of `classes_`.
        """
        check_is_fitted(self)
        return apply_temperature(self.estimator_.predict_proba(X), self.temperature_)

    def predict(self, X: Any) -> np.ndarray:
        """Predict what the classifier predicts.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the labeled rows.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.
        y : array-like of shape (n_samples,)
            True labels, and the mark where unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        float
            Share of the labeled rows that are predicted right.

        Raises
        ------
        ValueError
            If no row is labeled, or X, y and `sample_weight` differ in length.
        """
        scorer = LabeledScorer(get_scorer("accuracy"), self.unlabeled_label)
        return scorer(self, X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: what the classifier takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags
