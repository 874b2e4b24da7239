"""What scikit-learn's tools make of -1 in y, and what this library puts in their place.

Prints the table of docs/how_to/meta_estimators.md; with names of estimators, their columns only.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.calibration import TemperatureScaledClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.model_selection import SemiSupervisedSplitter, cross_val_predict_labeled, labeled_scorer

X, TRUTH = make_blobs(240, centers=[[0, 0], [3, 3], [-3, 3]], cluster_std=1.2, random_state=0)
Y = mask_labels(TRUTH, 20, random_state=0)
HIDDEN = Y == -1
# One class against the two others, for thresholds.
TRUTH_OF_TWO = (TRUTH == 1).astype(int)
Y_OF_TWO = np.where(HIDDEN, -1, TRUTH_OF_TWO)
QUICK = {"max_iter": 10, "pretrain_epochs": 30, "module__hidden_units": (16, 16), "random_state": 0}
ESTIMATORS = {
    "LabelSpreading": LabelSpreading(gamma=5),
    "SelfTrainingClassifier": SelfTrainingClassifier(KNeighborsClassifier(5)),
    "SSLDECClassifier": SSLDECClassifier(**QUICK),
}


def score(scoring: str | None, ours: bool) -> Callable[[Any], float]:
    """Return what cross-validates an estimator, with scikit-learn's folds and scorers or with ours."""
    cv = SemiSupervisedSplitter(5) if ours else 5
    scoring = labeled_scorer(scoring) if ours else scoring
    return lambda estimator: cross_val_score(estimator, X, Y, cv=cv, scoring=scoring).mean()


def search(ours: bool) -> Callable[[Any], float]:
    """Return what tells the best score of a grid search of one candidate."""
    cv, scoring = (SemiSupervisedSplitter(5), None) if ours else (5, "accuracy")
    return lambda estimator: GridSearchCV(estimator, {}, cv=cv, scoring=scoring).fit(X, Y).best_score_


def accuracy(make: Callable[[Any], Any]) -> Callable[[Any], float]:
    """Return what fits a meta-estimator and tells its accuracy on the hidden labels."""
    return lambda estimator: accuracy_score(
        TRUTH[HIDDEN], make(clone(estimator)).fit(X, Y).predict(X[HIDDEN])
    )


def loss(make: Callable[[Any], Any]) -> Callable[[Any], float]:
    """Return what fits a calibrated classifier and tells its log-loss on the hidden labels."""

    def measured(estimator: Any) -> float:
        fitted = make(clone(estimator)).fit(X, Y)
        return log_loss(TRUTH[HIDDEN], fitted.predict_proba(X[HIDDEN])[:, -3:])

    return measured


def columns(estimator: Any) -> str:
    """Count the columns of scikit-learn's out-of-fold probabilities."""
    return f"{cross_val_predict(estimator, X, Y, cv=5, method='predict_proba').shape[1]} columns"


def labeled_columns(estimator: Any) -> str:
    """Count the columns of our out-of-fold probabilities."""
    return f"{cross_val_predict_labeled(estimator, X, Y, method='predict_proba')[1].shape[1]} columns"


def with_mark_0(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what makes the meta-estimator of an SSLDECClassifier that takes 0 for the mark."""

    def measured(estimator: Any) -> Any:
        if not isinstance(estimator, SSLDECClassifier):
            return ""
        return accuracy(make)(clone(estimator).set_params(unlabeled_label=0))

    return measured


def voting(estimator: Any) -> Any:
    """Two of them, by majority."""
    return VotingClassifier([("a", estimator), ("b", clone(estimator))])


def bagging(estimator: Any) -> Any:
    """Three of them, on bootstrap samples."""
    return BaggingClassifier(estimator, 3, random_state=0)


def stacking(estimator: Any) -> Any:
    """Logistic regression on out-of-fold probabilities."""
    return StackingClassifier([("a", estimator)], cv=3)


def threshold(make: Callable[[Any], Any]) -> Callable[[Any], float]:
    """Return what fits a classifier with a threshold and tells its F1 score on the hidden labels."""
    return lambda estimator: f1_score(
        TRUTH_OF_TWO[HIDDEN], make(clone(estimator)).fit(X, Y_OF_TWO).predict(X[HIDDEN])
    )


class ThresholdOfLabeledRows:
    """A threshold of 0.3, or the best for F1 on out-of-fold probabilities of the labeled rows."""

    def __init__(self, estimator: Any, tuned: bool) -> None:
        self.estimator, self.tuned = estimator, tuned

    def fit(self, X: Any, y: Any) -> FixedThresholdClassifier:
        """Fit the classifier to all rows, and the threshold to the labeled ones."""
        chosen = 0.3
        if self.tuned:
            rows, probabilities = cross_val_predict_labeled(self.estimator, X, y, method="predict_proba")
            candidates = np.linspace(0.05, 0.95, 19)
            scores = [f1_score(y[rows], probabilities[:, 1] >= candidate) for candidate in candidates]
            chosen = candidates[np.argmax(scores)]
        fitted = FrozenEstimator(clone(self.estimator).fit(X, y))
        labeled = y != -1
        return FixedThresholdClassifier(fitted, threshold=chosen).fit(X[labeled], y[labeled])


def itself(estimator: Any) -> Any:
    """No meta-estimator."""
    return estimator


TOOLS: list[tuple[str, Callable, str, Callable | None]] = [
    ("accuracy on the hidden labels", accuracy(itself), "", None),
    (
        "`cross_val_score`, accuracy",
        score("accuracy", False),
        "`SemiSupervisedSplitter`",
        score("accuracy", True),
    ),
    (
        "`cross_val_score`, f1_macro",
        score("f1_macro", False),
        "with `labeled_scorer`",
        score("f1_macro", True),
    ),
    (
        "`cross_val_score`, balanced accuracy",
        score("balanced_accuracy", False),
        "the same",
        score("balanced_accuracy", True),
    ),
    ("`cross_val_score`, log-loss", score("neg_log_loss", False), "the same", score("neg_log_loss", True)),
    ("`GridSearchCV`, best accuracy", search(False), "`SemiSupervisedSplitter`", search(True)),
    ("`cross_val_predict`, probabilities", columns, "`cross_val_predict_labeled`", labeled_columns),
    (
        "`CalibratedClassifierCV`, log-loss",
        loss(lambda e: CalibratedClassifierCV(e, cv=3)),
        "`TemperatureScaledClassifier`",
        loss(lambda e: TemperatureScaledClassifier(e, cv=3)),
    ),
    ("`VotingClassifier`", accuracy(voting), "`unlabeled_label=0`", with_mark_0(voting)),
    ("`BaggingClassifier`", accuracy(bagging), "`unlabeled_label=0`", with_mark_0(bagging)),
    ("`StackingClassifier`", accuracy(stacking), "`n_estimators=3`", None),
    (
        "`FixedThresholdClassifier`, F1",
        threshold(lambda e: FixedThresholdClassifier(e, threshold=0.3)),
        "the same, of a `FrozenEstimator`, fitted to the labeled rows",
        threshold(lambda e: ThresholdOfLabeledRows(e, tuned=False)),
    ),
    (
        "`TunedThresholdClassifierCV`, F1",
        threshold(lambda e: TunedThresholdClassifierCV(e, scoring="f1")),
        "the same, its threshold from `cross_val_predict_labeled`",
        threshold(lambda e: ThresholdOfLabeledRows(e, tuned=True)),
    ),
    ("`OneVsRestClassifier`", accuracy(OneVsRestClassifier), "not needed: all are multi-class", None),
]


def shown(measure: Callable, estimator: Any) -> str:
    """Measure, and write the number, or the error."""
    try:
        value = measure(estimator)
    except Exception as error:
        return type(error).__name__
    return value if isinstance(value, str) else f"{value:.2f}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = sys.argv[1:] or list(ESTIMATORS)
    print("| tool | " + " | ".join(chosen) + " | instead | " + " | ".join(chosen) + " |")
    print("|---|" + "---|" * (2 * len(chosen) + 1))
    for tool, theirs, instead, ours in TOOLS:
        cells = [shown(theirs, ESTIMATORS[name]) for name in chosen]
        cells.append(instead)
        cells += [shown(ours, ESTIMATORS[name]) if ours else "" for name in chosen]
        print(f"| {tool} | " + " | ".join(cells) + " |", flush=True)
