"""Advice of neighbors for targets that are drawn (``cycle__neighbors``)."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._estimators import classifier
from sklearn_ssldec._estimators.defaults import choose_auto
from sklearn_ssldec._estimators.neighbors import neighbor_advice, neighbor_graph, sharpness, spread_labels
from sklearn_ssldec._training.drawn_rows import advised
from sklearn_ssldec.baselines import UDAClassifier
from sklearn_ssldec.datasets import mask_labels

QUICK = {"device": "cpu", "random_state": 0, "pretrain_epochs": 30, "max_iter": 3, "module__width": 0.125}


@pytest.fixture
def groups():
    """Three far groups of points, with two labels each; the last group has no label."""
    rng = np.random.default_rng(0)
    X = np.float32(np.repeat(10 * np.eye(3), 30, axis=0) + rng.normal(size=(90, 3)))
    codes = np.full(90, -1)
    codes[[0, 1]], codes[[30, 31]] = 0, 1
    return X, codes


def test_labels_spread_along_links_only():
    # 0 - 1 - 2    3 - 4    5
    graph = np.zeros((6, 6))
    for i, j in ((0, 1), (1, 2), (3, 4)):
        graph[i, j] = graph[j, i] = 1
    shares = np.exp(spread_labels(csr_matrix(graph), np.array([0, -1, -1, -1, 1, -1]), n_classes=3))
    assert_array_equal(shares[:5].argmax(1), [0, 0, 0, 1, 1])
    assert shares[:5].max(1).min() > 0.9
    assert_allclose(shares[5], 1 / 3)  # no label reaches it
    assert 0 < shares[:5, 2].max() < 0.01  # a class without a label is improbable, but not impossible


def test_links_go_both_ways(groups):
    graph = neighbor_graph(groups[0])
    assert (graph != graph.T).nnz == 0
    assert set(graph.data) == {1.0}
    near = graph.toarray().reshape(3, 30, 3, 30).any(axis=(1, 3))
    assert_array_equal(near, np.eye(3, dtype=bool))


def test_samples_that_are_all_the_same_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert neighbor_advice(np.ones((20, 3), np.float32), np.repeat([0, 1, -1], [5, 5, 10]), 2) is None


def test_sharpness_is_that_of_the_left_out_labels():
    sure = np.log([[0.9, 0.1], [0.1, 0.9]])
    assert sharpness(sure, np.array([0, 1])) == pytest.approx((5, 1), abs=1e-3)  # right: as sharp as may be
    assert sharpness(sure, np.array([1, 0])) == pytest.approx((0, 0), abs=1e-3)  # wrong: no advice
    # One of three wrong: (2/3) / (1/3) = (0.8 / 0.2) ** 0.5
    shares = np.log([[0.8, 0.2]] * 3)
    assert sharpness(shares, np.array([0, 0, 1])) == pytest.approx((0.5, 0), abs=1e-3)
    assert sharpness(shares, np.array([0, 0, 0])) == (0, 0)  # a class without a second one
    assert sharpness(shares[:0], np.array([], dtype=int)) == (0, 0)


def test_information_is_a_share_of_the_entropy_of_the_classes():
    # Four classes, two of which are told apart from the others, but not from each other: 1 of 2 bits.
    halves = np.log([[0.5, 0.5, 1e-9, 1e-9]] * 2 + [[1e-9, 1e-9, 0.5, 0.5]] * 2)
    assert sharpness(halves, np.arange(4))[1] == pytest.approx(0.5, abs=1e-3)
    # Of classes of 3 : 1, the shares tell the frequencies only.
    frequencies = np.log([[0.75, 0.25]] * 8)
    assert sharpness(frequencies, np.repeat([0, 1], [6, 2])) == pytest.approx((1, 0), abs=1e-3)


def test_advice_is_the_class_of_the_group(groups):
    X, codes = groups
    advice = np.exp(neighbor_advice(X, codes, 2))
    assert advice.dtype == np.float32
    assert_allclose(advice.sum(1), 1, rtol=1e-5)
    assert advice[:30, 0].min() > 0.9
    assert advice[30:60, 1].min() > 0.9
    assert_allclose(advice[60:], 0.5)  # no neighbor of theirs has a label


def test_advice_follows_the_names_of_classes(groups):
    X, codes = groups
    other = np.where(codes < 0, -1, 1 - codes)
    assert_allclose(neighbor_advice(X, other, 2), neighbor_advice(X, codes, 2)[:, ::-1], atol=1e-5)


def test_neighbors_that_say_nothing_do_not_advise():
    rng = np.random.default_rng(0)
    X, codes = np.float32(rng.normal(size=(300, 20))), rng.integers(0, 2, 300)
    assert neighbor_advice(X, codes, 2) is None


def test_neighbors_that_know_half_do_not_advise(groups):
    """They tell one pair of classes from the other, but the classes of a pair not from each other."""
    X, codes = groups[0], np.full(90, -1)
    codes[:8], codes[30:38] = [0, 1] * 4, [2, 3] * 4
    assert neighbor_advice(X, codes, 4) is None
    codes[:8], codes[30:38] = 0, 2
    assert neighbor_advice(X, codes, 4) is not None


def test_a_single_label_a_class_is_not_left_out(groups):
    """Nothing can tell whether neighbors are right, so they say nothing."""
    X, codes = groups
    codes[[1, 31]] = -1
    assert neighbor_advice(X, codes, 2) is None


def test_neighbors_are_found_in_small_images(groups):
    """Pixels of large images take memory, and single ones of them tell little."""
    rng = np.random.default_rng(0)
    small = np.float32(rng.normal(size=(90, 1, 24, 24))) + groups[0][:, 0, None, None, None]
    large = np.repeat(np.repeat(small, 3, axis=2), 3, axis=3)
    assert_allclose(neighbor_advice(large, groups[1], 2), neighbor_advice(small, groups[1], 2), atol=1e-4)


def test_advised_probabilities():
    q, advice = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.8, 0.1]]).log()
    # 0.05 : 0.24 : 0.02
    assert_allclose(advised(q, advice, 1.0), torch.tensor([[5, 24, 2]]) / 31, rtol=1e-6)
    assert_allclose(advised(q, advice, 0.0), q, rtol=1e-6)


def test_neighbors_help_where_images_of_a_class_look_alike():
    digits = load_digits()
    y = mask_labels(digits.target, 4, random_state=1)
    errors = [
        np.mean(
            SSLDECClassifier(**QUICK, cycle__neighbors=asked).fit(digits.images, y).transduction_
            != digits.target
        )
        for asked in (False, True)
    ]
    assert errors[1] < errors[0] - 0.02


@pytest.fixture
def fitted_probabilities():
    """Fit to images of two shades and noise, and return the probabilities."""

    def fit_predict(difference, **params):
        images = np.random.default_rng(0).normal(size=(40, 8, 8))
        images[::2] += difference
        y = np.r_[0, 1, 0, 1, np.full(36, -1)]
        return SSLDECClassifier(**{**QUICK, "max_iter": 2, **params}).fit(images, y).predict_proba(images)

    return fit_predict


@pytest.mark.parametrize("max_iter", [0, 2])
def test_the_same_seed_gives_the_same_network(max_iter, fitted_probabilities):
    first, second = (fitted_probabilities(3.0, cycle__neighbors=True, max_iter=max_iter) for _ in range(2))
    assert_array_equal(first, second)


def test_neighbors_of_images_are_asked_by_default(fitted_probabilities):
    default, *told = (
        fitted_probabilities(3.0, **{"cycle__neighbors": asked}) for asked in ("auto", True, False)
    )
    assert_array_equal(default, told[0])
    assert np.any(default != told[1])
    assert_array_equal(fitted_probabilities(3.0), default)


def test_neighbors_that_know_nothing_change_nothing(fitted_probabilities):
    asked, not_asked = (fitted_probabilities(0.0, cycle__neighbors=value) for value in (True, False))
    assert_array_equal(asked, not_asked)


def test_neighbors_of_very_many_images_are_not_asked_by_default():
    few, many = (np.broadcast_to(np.float32(0), (n, 1, 28, 28)) for n in (100_000, 100_001))
    cpu = torch.device("cpu")
    assert choose_auto(few, cpu, drawn=True).neighbors
    assert not choose_auto(many, cpu, drawn=True).neighbors


def test_baselines_do_not_ask_neighbors(fitted_probabilities, monkeypatch):
    """They are what they are elsewhere."""

    def refuse(*args):
        raise AssertionError("asked")

    monkeypatch.setattr(classifier, "neighbor_advice", refuse)
    images = np.random.default_rng(0).normal(size=(40, 8, 8))
    y = np.r_[0, 1, 0, 1, np.full(36, -1)]
    UDAClassifier(**{**QUICK, "max_iter": 1}).fit(images, y)
    with pytest.raises(AssertionError, match="asked"):
        fitted_probabilities(3.0)


@pytest.mark.parametrize("asked", ["auto", False])
def test_targets_of_all_images_take_no_advice(asked, fitted_probabilities):
    default = fitted_probabilities(3.0, cycle__targets="all", cycle__neighbors=asked)
    assert_array_equal(default, fitted_probabilities(3.0, cycle__targets="all"))


def test_neighbors_need_drawn_targets(blobs):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=r"cycle__neighbors has a meaning for cycle__targets='drawn' only"):
        SSLDECClassifier(cycle__neighbors=True).fit(X, y)
    SSLDECClassifier(cycle__neighbors=False, max_iter=0, device="cpu").fit(X, y)


def test_neighbors_advise_rows_too(blobs):
    X, y, truth = blobs
    clf = SSLDECClassifier(cycle__targets="drawn", cycle__neighbors=True, device="cpu", random_state=0)
    assert clf.fit(X, y).score(X, truth) > 0.9


def test_sparse_samples_are_refused(blobs):
    X, y, _ = blobs
    clf = SSLDECClassifier(cycle__targets="drawn", cycle__neighbors=True, device="cpu")
    with pytest.raises(ValueError, match="cycle__neighbors=True takes dense samples"):
        clf.fit(csr_matrix(X), y)
