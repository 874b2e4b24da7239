"""Weights of the labeled samples of each class."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.metrics import recall_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._samples.batches import SoftTargetRows, TensorSlices
from sklearn_ssldec.clustering import OneHot

QUICK = {"device": "cpu", "random_state": 0, "module__hidden_units": (16, 16), "pretrain_epochs": 30}

# Without weights, the class with few labels is hardly predicted.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def overlapping():
    """Two blobs that overlap, with 60 labels of one and 6 of the other."""
    X, truth = make_blobs(400, centers=[[0, 0], [1.5, 0]], cluster_std=1.0, random_state=0)
    y = np.full(400, -1)
    y[np.flatnonzero(truth == 0)[:60]] = 0
    y[np.flatnonzero(truth == 1)[:6]] = 1
    return X, y, truth


def of_class_1(X, y, truth, **params):
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0, **params}).fit(X, y)
    return recall_score(truth, clf.predict(X))


def test_a_class_with_few_labels_is_predicted_more_often(overlapping):
    plain = of_class_1(*overlapping)
    balanced = of_class_1(*overlapping, cycle__class_weight="balanced")
    assert balanced > plain + 0.2
    assert of_class_1(*overlapping, cycle__class_weight={0: 66 / 120, 1: 66 / 12}) == balanced
    assert of_class_1(*overlapping, cycle__class_weight={0: 0.1}) == balanced  # up to a factor


@pytest.mark.parametrize("targets", ["all", "drawn"])
def test_labels_that_join_batches_are_weighted_too(overlapping, targets):
    params = {"max_iter": 3, "cycle__labeled_weight": 20.0, "labeled_threshold": 0.0, "pretrain_epochs": 0}
    params["cycle__targets"] = targets
    plain = of_class_1(*overlapping, **params)
    assert of_class_1(*overlapping, **params, cycle__class_weight={1: 50.0}) > plain + 0.05


def test_weights_hold_in_pre_training_for_drawn_targets(overlapping):
    X, y, _ = overlapping
    params = {**QUICK, "max_iter": 0, "cycle__class_weight": "balanced"}
    drawn, of_all = (
        SSLDECClassifier(**params, net__ema_decay=0.0, cycle__targets=each).fit(X, y)
        for each in ("drawn", "all")
    )
    assert_array_equal(drawn.predict_proba(X), of_all.predict_proba(X))


def test_equal_weights_change_nothing(overlapping):
    X, y, _ = overlapping
    plain, weighted = (
        SSLDECClassifier(**QUICK, max_iter=2, labeled_threshold=0.0, cycle__class_weight=each).fit(X, y)
        for each in (None, {0: 3.0, 1: 3.0})
    )
    assert_allclose(plain.predict_proba(X), weighted.predict_proba(X), atol=1e-4)


def test_weights_of_a_batch():
    y = torch.tensor([0, 1, 1, -1, -1, -1])
    Y = OneHot(y, 2, class_weight=(2.0, 0.5))
    rows = SoftTargetRows(torch.arange(6.0)[:, None], Y, torch.tensor([0, 1, 2]))
    for X, targets in TensorSlices(rows, 3):
        assert_array_equal(targets.weight, [2.0 if x == 0 else 0.5 for x in X])
    rows = SoftTargetRows(torch.arange(6.0)[:, None], torch.full((6, 2), 0.5), None)
    rows.labeled_rows, rows.labeled_weight = SoftTargetRows(rows.X, Y, torch.tensor([0, 1, 2])), 10.0
    for X, targets in TensorSlices(rows, 6):
        assert_array_equal(targets.weight[:6], np.ones(6))
        # 3 rows with 10 times the weight of 6, by class
        assert_array_equal(targets.weight[6:], [40.0 if x == 0 else 10.0 for x in X[6:]])


@pytest.mark.parametrize("given", [{2: 1.0}, {0: 0.0}, {0: -1}, {0: "much"}, {1: np.inf}])
def test_weights_that_are_refused(overlapping, given):
    X, y, _ = overlapping
    with pytest.raises(ValueError, match=r"cycle__class_weight must hold positive numbers .* \[0, 1\], got"):
        SSLDECClassifier(**QUICK, cycle__class_weight=given).fit(X, y)
