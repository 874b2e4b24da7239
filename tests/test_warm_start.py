"""Going on from the networks of the last fit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Freezer

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.persistence import load, save

QUICK = {
    "module__hidden_units": (16, 16),
    "pretrain_epochs": 30,
    "max_iter": 2,
    "device": "cpu",
    "random_state": 0,
}
# Networks that are hardly trained leave classes out.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NOTHING = {"pretrain_epochs": 0, "max_iter": 0}  # the start itself


@pytest.fixture(scope="module")
def fitted(blobs):
    X, y, _ = blobs
    return SSLDECClassifier(**QUICK, warm_start=True).fit(X, y)


def again(clf, X, y, **params):
    """Fit a copy of a fitted classifier once more."""
    other = clf.estimators_[0]
    return other.set_params(**params).fit(X, y)


def test_it_starts_from_the_weights_of_the_last_fit(blobs, fitted):
    X, y, _ = blobs
    warm = again(fitted, X, y, **NOTHING)
    assert_array_equal(warm.predict_proba(X), fitted.predict_proba(X))
    cold = again(fitted, X, y, **NOTHING, warm_start=False)
    assert not np.allclose(cold.predict_proba(X), fitted.predict_proba(X), atol=0.1)
    assert_array_equal(clone(warm).fit(X, y).predict_proba(X), cold.predict_proba(X))


def test_the_weights_of_the_last_fit_are_not_changed(blobs, fitted):
    X, y, _ = blobs
    before = fitted.predict_proba(X)
    again(fitted, X, y)
    assert_array_equal(fitted.predict_proba(X), before)


def test_it_reaches_what_a_new_fit_reaches_in_a_fraction_of_the_steps(moons):
    X, y, truth = moons
    more = y.copy()
    more[::30] = truth[::30]  # ten more labels
    few = {"pretrain_epochs": 10, "max_iter": 10, "random_state": 0, "device": "cpu"}
    new = SSLDECClassifier(max_iter=60, random_state=0, device="cpu").fit(X, more)
    warm = SSLDECClassifier(max_iter=60, random_state=0, device="cpu", warm_start=True).fit(X, y)
    warm.set_params(**few).fit(X, more)
    assert new.history_[0]["labeled_epochs"] == 100
    assert new.n_iter_ > 10
    assert warm.score(X, truth) >= new.score(X, truth) - 0.005
    alone = SSLDECClassifier(**few, teachers=None)
    assert alone.fit(X, more).score(X, truth) < new.score(X, truth) - 0.03


def test_auto_is_a_quarter(blobs, fitted):
    X, y, _ = blobs
    warm = again(fitted, X, y, pretrain_epochs="auto", max_iter="auto", tol=0.0, cycle__n_iter_no_change=100)
    assert (warm.history_[0]["labeled_epochs"], warm.n_iter_) == (25, 50)
    own = again(fitted, X, y, pretrain_epochs=3)
    assert (own.history_[0]["labeled_epochs"], own.n_iter_) == (3, 2)


def test_centroids_of_new_classes_are_added(blobs):
    X, y, truth = blobs
    names = np.array(["b", "d", "a"])  # the new one comes first
    y = np.where(y < 0, "?", names[y])
    known = np.where(y == "a", "?", y)
    longer = {**QUICK, "pretrain_epochs": 100}
    clf = SSLDECClassifier(**longer, warm_start=True, unlabeled_label="?").fit(X, known)
    before, centers = clf.predict_proba(X), clf.cluster_centers_
    start = again(clf, X, y, **NOTHING)
    assert_array_equal(start.classes_, ["a", "b", "d"])
    assert_allclose(start.cluster_centers_[1:, :2], centers)
    assert_allclose(start.cluster_centers_[1:, 2], 0)
    assert_allclose(start.cluster_centers_[0, :2], 0)
    assert start.cluster_centers_[0, 2] > 0
    assert_allclose(start.transform(X)[:, :2], clf.transform(X), atol=1e-6)
    sure = before.max(1) > 0.9
    assert (
        np.mean(start.classes_[1:][start.predict_proba(X)[sure, 1:].argmax(1)] == clf.predict(X)[sure]) > 0.99
    )
    assert clf.fit(X, y).score(X, names[truth]) > 0.98


def test_new_classes_in_an_embedding_of_fixed_size_have_new_centroids(blobs):
    X, y, _ = blobs
    known = np.where(y == 2, -1, y)
    clf = SSLDECClassifier(**QUICK, warm_start=True, module__embedding_size=5).fit(X, known)
    centers = clf.cluster_centers_
    start = again(clf, X, y, **NOTHING)
    assert_allclose(start.cluster_centers_[:2], centers)
    assert np.linalg.norm(start.cluster_centers_[2]) > 0.1


def test_classes_may_go(blobs, fitted):
    X, y, truth = blobs
    clf = again(fitted, X, np.where(y == 1, -1, y))
    assert_array_equal(clf.classes_, [0, 2])
    assert clf.score(X[truth != 1], truth[truth != 1]) > 0.98


def test_another_network_is_refused(blobs, fitted):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=r"warm_start=True goes on .* shape \(8, 2\) and had \(16, 2\)"):
        again(fitted, X, y, module__hidden_units=(8, 16))
    with pytest.raises(ValueError, match="is in one of the two only"):
        again(fitted, X, y, module__hidden_units=(16,))
    with pytest.raises(ValueError, match=r"shape \(16, 3\) and had \(16, 2\)"):
        again(fitted, np.column_stack([X, X[:, 0]]), y)


def test_a_failed_fit_does_not_change_the_start(blobs, fitted):
    X, y, _ = blobs
    clf = fitted.estimators_[0]
    with pytest.raises(ValueError, match="warm_start=True"):
        clf.set_params(module__hidden_units=(8,)).fit(X, np.where(y == 1, -1, y))
    clf.set_params(module__hidden_units=(16, 16), **NOTHING).fit(X, y)
    assert_array_equal(clf.predict_proba(X), fitted.predict_proba(X))


def test_more_networks_than_before(blobs, fitted):
    X, y, _ = blobs
    clf = again(fitted, X, y, n_estimators=3, **NOTHING)
    assert [one.score(X, y) for one in clf.estimators_] == [1, 1, 1]
    assert not np.array_equal(
        *(one.predict_proba(X) for one in again(fitted, X, y, n_estimators=2).estimators_)
    )


def test_a_loaded_estimator_goes_on(blobs, fitted, tmp_path):
    X, y, _ = blobs
    save(fitted, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors", **NOTHING, warm_start=True).fit(X, y)
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_a_checkpoint_belongs_to_its_start(blobs, fitted, tmp_path):
    X, y, _ = blobs
    one = again(fitted, X, y, checkpoint_dir=tmp_path)
    same = again(fitted, X, y, checkpoint_dir=tmp_path)
    assert_array_equal(one.predict_proba(X), same.predict_proba(X))
    with pytest.raises(ValueError, match="its start was another one"):
        one.fit(X, y)  # it goes on from the result now


def test_what_was_learned_can_be_frozen_or_learn_slowly(blobs, fitted):
    X, y, _ = blobs
    first = "embedding.layers.1.weight"

    def weight(clf):
        return clf.nets_[0].module_.state_dict()[first].clone()

    frozen = again(fitted, X, y, callbacks=[Freezer("embedding.*")])
    assert torch.equal(weight(frozen), weight(fitted))
    assert not np.array_equal(frozen.cluster_centers_, fitted.cluster_centers_)
    free = again(fitted, X, y)
    slow = again(fitted, X, y, optimizer__param_groups=[("embedding.*", {"lr": 1e-5})])
    assert (weight(slow) - weight(fitted)).abs().max() < 0.1 * (weight(free) - weight(fitted)).abs().max()


def test_a_segmenter_goes_on():
    rng = np.random.default_rng(0)
    maps = np.zeros((3, 20, 20), dtype=int)
    maps[:, 4:12, 4:16] = 1
    images = maps + 0.3 * rng.standard_normal(maps.shape)
    seg = SSLDECSegmenter(
        module__width=0.1,
        pretrain_epochs=3,
        max_iter=1,
        patches_per_epoch=16,
        random_state=0,
        warm_start=True,
    )
    before = seg.fit(images, [maps[0], None, None]).predict_proba(images)
    centers = seg.cluster_centers_
    seg.set_params(**NOTHING).fit(images, [maps[0], None, None])
    assert_allclose(seg.predict_proba(images), before, atol=1e-6)
    maps[1, 14:18, 4:16] = 2  # a structure that was not labeled so far
    seg.fit(images, [maps[0], maps[1], None])
    assert_array_equal(seg.classes_, [0, 1, 2])
    n = centers.shape[1]
    assert_allclose(seg.cluster_centers_[:2, :n], centers)


def test_a_fit_that_fails_leaves_the_last_one():
    X = np.random.default_rng(0).standard_normal((40, 3))
    y = np.where(np.arange(40) < 12, (X[:, 0] > 0).astype(int), -1)
    short = {"pretrain_epochs": 2, "max_iter": 1, "device": "cpu", "random_state": 0}
    clf = SSLDECClassifier(**short, warm_start=True)
    with pytest.raises(ValueError, match="no labeled sample"):
        clf.fit(X, np.full(40, -1))
    assert not hasattr(clf, "n_features_in_")
    expected = clf.fit(X, y).predict(X)
    clf.set_params(class_prior={0: 0.5, 1: 0.5})
    with pytest.raises(ValueError, match="class_prior"):
        clf.fit(X, np.where(y == -1, -1, y + 7))
    assert_array_equal(clf.predict(X), expected)
    with pytest.raises(ValueError, match="class_prior"):
        clf.fit(X[:, :2], np.where(y == -1, -1, y + 7))
    assert_array_equal(clf.predict(X), expected)

    images = np.random.default_rng(0).standard_normal((2, 16, 16))
    labels = (images[0] > 0).astype(int)
    patches = {"patch_size": 8, "patches_per_epoch": 4, "module__width": 0.1, "min_batches": 1}
    seg = SSLDECSegmenter(**short, **patches, warm_start=True).fit(images, [labels, None])
    expected, plan = seg.predict(images), seg.plan_
    with pytest.raises(ValueError, match="warm_start"):
        seg.fit([np.stack([image] * 8) for image in images], [np.stack([labels * 3] * 8), None])
    assert seg.plan_ == plan
    assert_array_equal(seg.predict(images), expected)
