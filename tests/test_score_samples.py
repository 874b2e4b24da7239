"""How far samples lie from the known classes."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.clustering import log_density, log_soft_assignment
from sklearn_ssldec.persistence import load, save

QUICK = {"device": "cpu", "random_state": 0, "module__hidden_units": (16, 16), "max_iter": 2}


@pytest.fixture(scope="module")
def fitted(blobs):
    X, y, _ = blobs
    return SSLDECClassifier(**QUICK).fit(X, y)


def test_log_density_is_what_eq_1_divides_by():
    z, centers = torch.randn(5, 3, 4), torch.randn(2, 3)
    kernel = (1 + (z[:, None] - centers[:, :, None]).square().sum(2) / 7) ** -4
    assert_allclose(log_density(z, centers, 7.0, axis=1), kernel.mean(1).log(), rtol=1e-5)
    q = log_soft_assignment(z, centers, 7.0, axis=1).exp()
    assert_allclose(q * kernel.sum(1, keepdim=True), kernel, rtol=1e-4)


def test_it_is_the_density_around_the_mean_of_each_class(blobs, fitted):
    X, y, _ = blobs
    Z = fitted.transform(X)
    means = np.stack([Z[y == c].mean(0) for c in range(3)])
    assert_allclose(fitted.class_means_, means, rtol=1e-5)
    kernel = 1 / (1 + ((Z[:, None] - means) ** 2).sum(-1))  # alpha = 1
    scores = fitted.score_samples(X)
    assert scores.shape == (150,)
    assert scores.dtype == np.float32
    assert_allclose(scores, np.log(kernel.mean(1)), rtol=1e-4, atol=1e-5)


def test_an_unknown_class_has_lower_scores():
    centers = [[0, 0], [4, 4], [-4, 4], [4, -4]]
    X, truth = make_blobs(200, centers=centers, cluster_std=0.5, random_state=0)
    y = np.full(200, -1)
    for c in range(3):
        y[np.flatnonzero(truth == c)[:5]] = c
    known = truth < 3
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0}, alpha=10.0).fit(X, y)
    assert roc_auc_score(known, clf.score_samples(X)) > 0.9


def test_scores_are_finite_far_from_the_data(blobs, fitted):
    X, _, _ = blobs
    far = np.array([[1e6, -1e6], [1e12, 0], [-1e30, 1e30], [3e38, -3e38]])
    scores = fitted.score_samples(far)
    assert np.isfinite(scores).all()
    assert scores.max() < fitted.score_samples(X).min()


def test_several_networks_have_the_mean_of_theirs(blobs):
    X, y, _ = blobs
    clf = SSLDECClassifier(**QUICK, n_estimators=2).fit(X, y)
    assert clf.class_means_.shape == (2, 3, 3)
    each = [one.score_samples(X) for one in clf.estimators_]
    assert not np.allclose(*each)
    assert_allclose(clf.score_samples(X), np.mean(each, axis=0), rtol=1e-6)


def test_a_saved_estimator_scores_the_same(blobs, fitted, tmp_path):
    X, _, _ = blobs
    save(fitted, tmp_path / "model.safetensors")
    assert_array_equal(load(tmp_path / "model.safetensors").score_samples(X), fitted.score_samples(X))


def test_it_needs_a_fit(blobs):
    with pytest.raises(NotFittedError):
        SSLDECClassifier().score_samples(blobs[0])
