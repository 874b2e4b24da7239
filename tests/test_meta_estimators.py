"""What scikit-learn's meta-estimators make of -1, what of it is noticed, and what works instead."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.labels import encode_labels, warn_if_all_labeled


@pytest.fixture(scope="module")
def blobs():
    """Three blobs, 10 of 80 labeled in each: X, y with -1, true labels."""
    X, truth = make_blobs(240, centers=[[0, 0], [4, 4], [-4, 4]], cluster_std=0.6, random_state=0)
    return X, mask_labels(truth, 10, random_state=0), truth


class Warner(ClassifierMixin, BaseEstimator):
    """Does what SSLDECClassifier.fit does with y, and predicts the largest class."""

    def fit(self, X, y):
        labels = encode_labels(y)
        warn_if_all_labeled(labels, -1)
        self.classes_ = labels.classes
        return self

    def predict_proba(self, X):
        return np.tile(np.eye(len(self.classes_))[0], (len(X), 1))

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def told(estimator, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    return {str(warning.message) for warning in caught}


@pytest.mark.parametrize(
    ("meta", "hint"),
    [
        (VotingClassifier([("a", Warner())]), True),
        (BaggingClassifier(Warner(), 2, random_state=0), True),
        (StackingClassifier([("a", Warner())], cv=2), True),
        (OneVsRestClassifier(Warner()), False),  # sees two classes, as of any binary problem
        (OneVsOneClassifier(Warner()), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_lost_marks_are_noticed(blobs, meta, hint):
    X, y, _ = blobs
    messages = told(meta, X, y)
    assert messages
    for message in messages:
        assert message.startswith("y has no unlabeled sample (none is -1)")
        assert ("Inside one, pass unlabeled_label=0" in message) == hint


def test_warning_names_the_line_of_the_caller(blobs):
    X, y, _ = blobs
    with pytest.warns(UserWarning, match="no unlabeled sample") as caught:
        Warner().fit(X, np.abs(y))
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("y", "unlabeled_label"),
    [
        ([0, 1, 2, 1, 2, 0, 1], -1),  # 0 is not the largest
        ([0, 0, 0, 0, 1], -1),  # two classes: -1 and one other would have been refused
        ([0, 0, 0, 0, 1, 5], -1),  # not numbered
        (["a", "a", "a", "b", "c"], -1),
        ([0, 0, 0, 0, 1, 2], 9),
    ],
)
def test_other_complete_labels_get_no_hint(y, unlabeled_label):
    with pytest.warns(UserWarning, match="no unlabeled sample") as caught:
        warn_if_all_labeled(encode_labels(y, unlabeled_label), unlabeled_label)
    assert "meta-estimator" not in str(caught[0].message)


def test_complete_labels_on_purpose_and_partial_ones_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_all_labeled(encode_labels([0, 0, 0, 1, 2], None), None)
        warn_if_all_labeled(encode_labels([0, -1, 1]), -1)


@pytest.mark.parametrize("kind", ["bagging", "voting"])
def test_what_works_with_the_mark_0(blobs, kind):
    """-1 is the least label, so that those who number the labels make it 0."""
    X, y, truth = blobs
    clf = SSLDECClassifier(unlabeled_label=0, max_iter=2, random_state=0, device="cpu")
    if kind == "bagging":
        meta = BaggingClassifier(clf, 2, max_samples=0.9, random_state=0)
    else:
        meta = VotingClassifier([("one", clf), ("two", clf)], voting="hard")
    assert_array_equal(meta.fit(X, y).predict(X), truth)
