import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import nn

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._estimators.defaults import choose_auto
from sklearn_ssldec._samples.reduction import reduced_images
from sklearn_ssldec._samples.rows import as_samples
from sklearn_ssldec.algorithm import SSLDEC
from sklearn_ssldec.augment import RandomAffine, WeakStrong
from sklearn_ssldec.baselines import FixMatchClassifier, PseudoLabelClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.networks import ConvNet
from sklearn_ssldec.persistence import load, save

QUICK = {"device": "cpu", "random_state": 0, "pretrain_epochs": 20, "max_iter": 2, "labeled_threshold": 0}
SMALL_NET = {"module__width": 0.05, "min_batches": 8}
# Enough to compare fits with each other.
SHORT = {**QUICK, **SMALL_NET, "pretrain_epochs": 3, "min_batches": 2}


@pytest.fixture(scope="module")
def digits():
    """Two digits, 120 images of 8x8, 20 labels: images, y with -1, true labels."""
    images, target = load_digits(n_class=2, return_X_y=True)
    images, target = images[:120].reshape(-1, 8, 8), target[:120]
    return images, mask_labels(target, 10, random_state=0), target


@pytest.fixture(scope="module")
def fitted(digits):
    images, y, _ = digits
    return SSLDECClassifier(**QUICK, **SMALL_NET).fit(images, y)


def test_images_without_channels(digits, fitted):
    images, _, truth = digits
    assert isinstance(fitted.nets_[0].module_.embedding, ConvNet)
    assert isinstance(fitted.nets_[0].augment, WeakStrong)
    assert isinstance(fitted.nets_[0].augment.weak, RandomAffine)
    assert fitted.input_shape_ == (1, 8, 8)
    assert fitted.score(images, truth) > 0.9


def test_the_same_images_in_other_shapes(digits):
    images, y, _ = digits
    expected = SSLDECClassifier(**SHORT).fit(images, y).predict_proba(images)
    for X, input_shape in (
        (images[:, None], None),
        (images[:, None], (1, 8, 8)),
        (images.reshape(-1, 64), (1, 8, 8)),
        (images.reshape(-1, 64), (8, 8)),
        (images.reshape(-1, 64), [8, 8]),
        (images.astype(np.uint8), None),
    ):
        clf = SSLDECClassifier(**SHORT, input_shape=input_shape).fit(X, y)
        assert_array_equal(clf.predict_proba(X), expected)


def test_flat_images_behind_a_scaler(digits):
    images, y, truth = digits
    clf = SSLDECClassifier(**QUICK, **SMALL_NET, input_shape=(1, 8, 8))
    assert make_pipeline(MinMaxScaler(), clf).fit(images.reshape(-1, 64), y).score(
        images.reshape(-1, 64), truth
    ) > 0.95  # fmt: skip


def test_colour_images(digits):
    images, y, truth = digits
    X = np.stack([images, 16 - images, 0 * images], axis=1)
    clf = SSLDECClassifier(**QUICK, **SMALL_NET).fit(X, y)
    assert clf.input_shape_ == (3, 8, 8)
    assert clf.score(X, truth) > 0.95


@pytest.mark.parametrize("n", [1, 2, 17, 119])
def test_prediction_does_not_depend_on_the_batch(digits, fitted, n):
    images, _, _ = digits
    np.testing.assert_allclose(fitted.predict_proba(images)[:n], fitted.predict_proba(images[:n]), atol=1e-6)


def test_many_images_are_predicted_as_each_of_them(digits, fitted):
    many = np.tile(digits[0], (3, 1, 1))  # 360: several blocks, of which the last is smaller
    assert_allclose(fitted.predict_proba(many), np.tile(fitted.predict_proba(digits[0]), (3, 1)), atol=1e-6)
    assert_allclose(fitted.transform(many), np.tile(fitted.transform(digits[0]), (3, 1)), atol=1e-6)


def test_own_convolutional_network(digits):
    images, y, truth = digits
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ELU(), nn.Flatten(), nn.Linear(288, 2))
    clf = SSLDECClassifier(network, **QUICK, min_batches=8).fit(images, y)
    assert clf.score(images, truth) > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # nothing is trained
def test_pretraining_of_images_takes_enough_batches(digits, monkeypatch):
    images, y, _ = digits
    epochs = []
    monkeypatch.setattr(SSLDEC, "train_labeled", lambda self: epochs.append(len(self.L)) or 0.0)
    kwargs = {"device": "cpu", "random_state": 0, "max_iter": 0, "batch_size": 4, **SMALL_NET}
    clf = SSLDECClassifier(cycle__targets="all", **kwargs).fit(images, y)
    assert epochs == [20] * 200  # 5 batches an epoch, 1000 in all
    assert clf.history_[0]["labeled_epochs"] == 200


def test_ema_decay(digits):
    images, y, _ = digits
    averaged, last = (SSLDECClassifier(**SHORT, net__ema_decay=decay).fit(images, y) for decay in (0.9, 0))
    assert not np.allclose(averaged.predict_proba(images), last.predict_proba(images), atol=1e-3)
    assert_array_equal(averaged.label_distributions_, averaged.predict_proba(images))


def test_alpha_is_10_for_small_images_unless_set(digits, fitted):
    images, y, _ = digits
    quick = {**QUICK, **SMALL_NET, "pretrain_epochs": 2}
    for clf, alpha in ((fitted, 10), (SSLDECClassifier(**quick, alpha=2.5).fit(images, y), 2.5)):
        Z = clf.transform(images)
        squared = ((Z[:, None] - clf.cluster_centers_) ** 2).sum(-1)
        kernel = (1 + squared / alpha) ** (-(alpha + 1) / 2)  # eq. 1
        expected = kernel / kernel.sum(1, keepdims=True)
        single = copy.deepcopy(clf).set_params(net__predict_views=False)
        np.testing.assert_allclose(single.predict_proba(images), expected, atol=1e-5)


@pytest.mark.parametrize(("side", "drawn", "alpha"), [(16, True, 3), (15, True, 10), (16, False, 10)])
def test_alpha_is_3_for_larger_images_with_drawn_targets(side, drawn, alpha):
    X = np.zeros((20, 1, side, side), dtype=np.float32)
    assert choose_auto(X, torch.device("cpu"), drawn=drawn).alpha == alpha


def test_target_views(digits):
    """Where targets are those of all images, each is augmented four times for them, and with 0 not."""
    images, y, _ = digits
    auto, none, four, unaugmented, unaugmented_four = (
        SSLDECClassifier(**SHORT, cycle__targets="all", **changes).fit(images, y)
        for changes in (
            {},
            {"cycle__target_views": 0},
            {"cycle__target_views": 4},
            {"cycle__target_views": 0, "augment": None},
            {"cycle__target_views": 4, "augment": None},
        )
    )
    assert_array_equal(four.predict_proba(images), auto.predict_proba(images))
    assert not np.allclose(none.predict_proba(images), four.predict_proba(images), atol=1e-4)
    assert_array_equal(four.label_distributions_, four.predict_proba(images))  # of the images themselves
    assert_array_equal(unaugmented_four.predict_proba(images), unaugmented.predict_proba(images))


def test_views_are_made_with_the_averaged_weights_in_eval_mode(fitted, digits):
    net, samples = fitted.nets_[0], torch.zeros(40, 1, 8, 8)  # blank images, which no augmentation changes
    torch.testing.assert_close(net.augmented_assignment(samples), net.soft_assignment(samples))
    images = torch.from_numpy(np.float32(digits[0][:, None]))
    assert not torch.allclose(net.augmented_assignment(images), net.soft_assignment(images), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "input_shape", "message"),
    [
        ((6, 8, 8, 3), None, r"channels last.*np.moveaxis\(X, -1, 1\)"),
        ((6, 8, 8, 13), None, r"channels last.*np.moveaxis\(X, -1, 1\).*input_shape=\(8, 8, 13\)"),
        ((6, 1, 8, 8, 8), None, "X must be of shape"),
        ((6, 63), (1, 8, 8), r"does not hold samples of input_shape=\(1, 8, 8\), which have 64 values"),
        ((6, 1, 8, 9), (1, 8, 8), "does not hold samples of input_shape"),
        ((6, 3, 3), None, r"at least 4 pixels a side, got \(1, 3, 3\)"),
    ],
)
def test_refused_shapes(shape, input_shape, message):
    with pytest.raises(ValueError, match=message):
        SSLDECClassifier(**QUICK, input_shape=input_shape).fit(np.zeros(shape), [0, 1, 0, 1, -1, -1])


def test_other_sizes_at_prediction_are_refused(fitted):
    with pytest.raises(
        ValueError, match=r"samples of shape \(1, 8, 9\).*fitted with samples of shape \(1, 8, 8\)"
    ):
        fitted.predict(np.zeros((3, 8, 9)))
    with pytest.raises(ValueError, match="features"):
        fitted.predict(np.zeros((3, 9, 9)))


def test_single_labeled_sample_a_class_trains(digits):
    images, _, truth = digits
    y = mask_labels(truth, 1, random_state=0)
    assert SSLDECClassifier(**QUICK, **SMALL_NET).fit(images, y).predict(images[:1]).shape == (1,)


def test_as_samples_is_a_view():
    X = np.zeros((5, 64), dtype=np.float32)
    assert np.shares_memory(as_samples(X, (8, 8)), X)
    assert as_samples(X) is X


def test_figure_2_on_a_gpu_is_the_default(monkeypatch):

    assert choose_auto(np.zeros((2, 1, 28, 28)), torch.device("cuda")).module_kwargs == {"width": 1.0}
    assert choose_auto(np.zeros((2, 1, 28, 28)), torch.device("cpu")).module_kwargs["width"] == 0.125
    assert choose_auto(np.zeros((2, 1, 8, 8)), torch.device("cpu")).module_kwargs["width"] == 0.25


def test_bands_that_come_first_are_taken_where_input_shape_says_so():
    X = np.zeros((6, 8, 8, 13))
    assert as_samples(X, input_shape=(8, 8, 13)) is X
    assert as_samples(np.moveaxis(X, -1, 1)).shape == (6, 13, 8, 8)
    assert as_samples(np.zeros((6, 5, 7, 9))).shape == (6, 5, 7, 9)


# --- large images


def test_large_images_are_reduced(digits, tmp_path):
    images, y, _ = digits
    large = np.kron(images, np.ones((1, 13, 12)))  # 104 x 96 pixels
    clf = SSLDECClassifier(**SHORT).fit(large, y)
    assert (clf.reduction_, clf.input_shape_) == (2, (1, 104, 96))
    halved = large.reshape(-1, 52, 2, 48, 2).mean(axis=(2, 4))
    expected = SSLDECClassifier(**SHORT).fit(halved, y)
    assert expected.reduction_ == 1
    assert_array_equal(clf.predict_proba(large), expected.predict_proba(halved))
    assert_array_equal(clf.transform(large[:3]), expected.transform(halved[:3]))
    assert_array_equal(clf.score_samples(large[:3]), expected.score_samples(halved[:3]))
    save(clf, tmp_path / "clf.safetensors")
    assert_array_equal(load(tmp_path / "clf.safetensors").predict_proba(large), clf.predict_proba(large))
    del clf.reduction_  # saved by a version that did not reduce
    with pytest.raises(RuntimeError, match="shape"):
        clf.predict(large)


def test_a_warm_start_keeps_the_resolution(digits):
    images, y, _ = digits
    clf = SSLDECClassifier(**SHORT, warm_start=True, net__reduction=2).fit(images, y)
    clf.set_params(net__reduction="auto").fit(images, y)
    assert clf.reduction_ == 2


@pytest.mark.parametrize("kind", [FixMatchClassifier, PseudoLabelClassifier])
def test_baselines_are_reduced_alike(digits, kind):
    images, y, _ = digits
    settings = {"device": "cpu", "random_state": 0, "pretrain_epochs": 2, "max_iter": 1, **SMALL_NET}
    clf = kind(**settings, net__reduction=2).fit(images, y)
    halved = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    assert_array_equal(clf.predict_proba(images), kind(**settings).fit(halved, y).predict_proba(halved))


def test_blocks_at_the_border_are_smaller():
    X = np.random.default_rng(0).random((3, 2, 7, 5), dtype=np.float32)
    reduced = reduced_images(X, 3)
    assert reduced.shape == (3, 2, 3, 2)
    assert_allclose(reduced[:, :, 2, 1], X[:, :, 6:, 3:].mean(axis=(2, 3)), rtol=1e-6)
    assert reduced_images(X, 1) is X


@pytest.mark.parametrize(
    ("reduction", "message"),
    [
        (0, "got 0 for samples of shape"),
        (3, "at least 4 pixels a side"),
        ([2, 2], "'auto' or a whole number"),
    ],
)
def test_reductions_that_leave_nothing_are_refused(digits, reduction, message):
    images, y, _ = digits
    with pytest.raises(ValueError, match=message):
        SSLDECClassifier(**SHORT, net__reduction=reduction).fit(images, y)


def test_rows_are_not_reduced(moons):
    X, y, _ = moons
    settings = {**QUICK, "max_iter": 0}
    assert SSLDECClassifier(**settings, net__reduction=1).fit(X, y).reduction_ == 1
    with pytest.raises(ValueError, match="1 for rows"):
        SSLDECClassifier(**settings, net__reduction=2).fit(X, y)
