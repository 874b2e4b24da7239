"""Prediction of images by four views besides."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from sklearn_ssldec import SSLDECClassifier, persistence
from sklearn_ssldec._samples.views import corner_views
from sklearn_ssldec._training.drawn_rows import DrawnRowNet
from sklearn_ssldec.augment import RandomTranslation
from sklearn_ssldec.baselines import FixMatchClassifier, MeanTeacherClassifier, UDAClassifier
from sklearn_ssldec.datasets import mask_labels

QUICK = {
    "device": "cpu",
    "random_state": 0,
    "pretrain_epochs": 30,
    "max_iter": 2,
    "min_batches": 20,
    "module__width": 0.05,
}


@pytest.fixture(scope="module")
def digits():
    """Five digits of 8x8: 300 images to train on, y with -1, and 300 others with their labels."""
    images, target = load_digits(n_class=5, return_X_y=True)
    images = images.reshape(-1, 8, 8)
    return images[:300], mask_labels(target[:300], 5, random_state=0), images[300:600], target[300:600]


@pytest.fixture(scope="module")
def fitted(digits):
    return SSLDECClassifier(**QUICK).fit(*digits[:2])


def test_views_are_moved_towards_the_corners_and_turned():
    row, column = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    coordinates = torch.stack([column, row])[None]  # which pixel each pixel of a view shows
    at = torch.tensor([[10, 19], [30, 21]])  # two pixels, column and row
    shown = [view[0, :, at[:, 1], at[:, 0]] for view in corner_views(coordinates)]
    moves, turns = [], []
    for found in shown:
        moves.append(tuple((found.mean(1) - 20).round().int().tolist()))
        turns.append(math.degrees(torch.atan2(*(found[:, 1] - found[:, 0]).flip(0)) - math.atan2(2, 20)))
    assert moves == [(-2, -2), (-2, 2), (2, -2), (2, 2)]  # a twentieth of 40
    assert_allclose(turns, [6, -6, -6, 6], atol=0.01)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 5), channels=st.integers(1, 3), height=st.integers(4, 20), width=st.integers(4, 20))
def test_a_view_does_not_depend_on_the_other_images(n, channels, height, width):
    images = torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n))
    alone = [torch.cat([list(corner_views(image[None]))[i] for image in images]) for i in range(4)]
    for together, one_by_one in zip(corner_views(images), alone, strict=True):
        assert torch.equal(together, one_by_one)
        assert together.shape == images.shape


def test_half_of_the_weight_is_the_images_own(fitted, digits):
    net = fitted.nets_[0]
    batch = torch.from_numpy(np.float32(digits[2]))[:, None]
    with torch.no_grad():
        own, *views = (net.module_.eval()(x).exp() for x in (batch.clone(), *corner_views(batch)))
    expected = own / 2 + sum(views) / 8
    assert_allclose(fitted.predict_proba(digits[2]), expected, atol=1e-6)


def test_views_of_all_training_images(fitted, digits):
    assert_array_equal(fitted.label_distributions_, fitted.predict_proba(digits[0]))
    start = SSLDECClassifier(**{**QUICK, "max_iter": 0}).fit(*digits[:2])
    assert_array_equal(start.supervised_transduction_, start.predict(digits[0]))
    assert_array_equal(start.supervised_transduction_, fitted.supervised_transduction_)


def test_a_prediction_does_not_depend_on_the_other_images(fitted, digits):
    rows = [17, 3, 250, 90]
    assert_array_equal(fitted.predict_proba(digits[2])[rows], fitted.predict_proba(digits[2][rows]))


def test_predictions_leave_the_generator_as_it_was(fitted, digits):
    before = torch.get_rng_state()
    fitted.predict(digits[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_fewer_images_are_taken_for_another_class():
    """Of all ten digits, on the mean of three fits."""
    images, truth = load_digits(return_X_y=True)
    images, gains = images.reshape(-1, 8, 8), []
    for seed in range(3):
        y = mask_labels(truth[:600], 5, random_state=seed)
        clf = SSLDECClassifier(**{**QUICK, "random_state": seed}).fit(images[:600], y)
        with_views = clf.score(images[600:], truth[600:])
        gains.append(with_views - clf.set_params(net__predict_views=False).score(images[600:], truth[600:]))
    assert np.mean(gains) > 0.01


def test_training_is_the_same_without(fitted, digits):
    single = SSLDECClassifier(**QUICK, net__predict_views=False).fit(*digits[:2])
    assert_array_equal(single.cluster_centers_, fitted.cluster_centers_)
    assert_array_equal(single.label_distributions_, single.predict_proba(digits[0]))
    after = single.set_params(net__predict_views=True)
    assert_array_equal(after.predict_proba(digits[2]), fitted.predict_proba(digits[2]))


def test_saved_and_loaded(fitted, digits, tmp_path):
    persistence.save(fitted, tmp_path / "clf.ssldec")
    loaded = persistence.load(tmp_path / "clf.ssldec")
    assert_array_equal(loaded.predict_proba(digits[2]), fitted.predict_proba(digits[2]))


@pytest.mark.parametrize("baseline", [FixMatchClassifier, UDAClassifier, MeanTeacherClassifier])
def test_baselines_predict_by_views_too(baseline, digits):
    assert baseline(**QUICK).fit(*digits[:2]).nets_[0].predict_views


@pytest.mark.parametrize(
    "kwargs", [{"augment": None}, {"augment": RandomTranslation(1)}, {"cycle__targets": "all"}], ids=repr
)
def test_none_where_nobody_knows_whether_images_may_move(kwargs, digits):
    """With an augmentation of one's own, and in the paper's algorithm."""
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 1}, **kwargs).fit(*digits[:2])
    assert not clf.nets_[0].predict_views
    assert_allclose(clf.predict_proba(digits[0]), clf.label_distributions_, atol=1e-6)


def test_asked_for_with_an_augmentation_of_ones_own(digits):
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0}, augment=None, net__predict_views=True).fit(*digits[:2])
    single = clf.set_params(net__predict_views=False).predict_proba(digits[0])
    assert np.abs(clf.label_distributions_ - single).max() > 0.01


def test_refused_where_there_are_no_views(digits):
    X, y = digits[:2]
    with pytest.raises(ValueError, match=r"net__predict_views must be False.*shape \(64,\), targets of all"):
        SSLDECClassifier(net__predict_views=True).fit(X.reshape(-1, 64), y)
    with pytest.raises(ValueError, match=r"net__predict_views must be False.*\(1, 8, 8\), targets of all"):
        SSLDECClassifier(net__predict_views=True, cycle__targets="all").fit(X, y)
    with pytest.raises(ValueError, match="net__predict_views"):
        SSLDECClassifier(net__predict_views=4).fit(X, y)


def test_refused_after_a_fit_to_rows(moons):
    X, y, _ = moons
    clf = SSLDECClassifier(pretrain_epochs=50, max_iter=0, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="must be False for rows of features, got True"):
        clf.set_params(net__predict_views=True).predict(X)


def test_an_interrupt_in_the_last_prediction_does_not_lose_the_fit(digits, fitted, monkeypatch):
    plain, calls = DrawnRowNet.predicted_assignment, []

    def predict(self, X, *args):
        calls.append(len(X))
        if len(calls) == 2:  # the first is that of the start
            raise KeyboardInterrupt
        return plain(self, X, *args)

    monkeypatch.setattr(DrawnRowNet, "predicted_assignment", predict)
    clf = SSLDECClassifier(**QUICK).fit(*digits[:2])
    assert calls == [300] * 3
    assert clf.n_iter_ == 2
    assert_array_equal(clf.label_distributions_, fitted.label_distributions_)


def test_a_supervised_start_alone_is_predicted_once(digits, monkeypatch):
    plain, calls = DrawnRowNet.predicted_assignment, []

    def predict(self, X, *args):
        calls.append(len(X))
        return plain(self, X, *args)

    monkeypatch.setattr(DrawnRowNet, "predicted_assignment", predict)
    clf = SSLDECClassifier(**QUICK).set_params(max_iter=0).fit(*digits[:2])
    assert calls == [300]
    assert_array_equal(clf.label_distributions_, clf.predict_proba(digits[0]))
    hidden = digits[1] < 0
    assert_array_equal(clf.transduction_[hidden], clf.supervised_transduction_[hidden])
