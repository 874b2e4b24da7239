"""Prediction of volumes at several sizes."""

import copy
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec import SSLDECSegmenter, persistence
from sklearn_ssldec._samples.views import resized


def short(**kwargs):
    settings = {"module__width": 0.1, "pretrain_epochs": 2, "max_iter": 0, "patches_per_epoch": 40}
    return SSLDECSegmenter(**{**settings, **kwargs}, device="cpu", random_state=0)


@pytest.fixture(scope="module")
def disks():
    rng = np.random.default_rng(0)
    row, column = np.indices((40, 36))
    maps = np.stack([((row - a) ** 2 + (column - b) ** 2 < 100).astype(int) for a, b in ((16, 14), (22, 20))])
    return maps + 0.3 * rng.standard_normal(maps.shape), maps


@pytest.fixture(scope="module")
def fitted(disks):
    return short(pretrain_epochs=4).fit(disks[0], [disks[1][0], None])


def test_probabilities_are_the_mean_of_those_at_each_size(fitted, disks):
    assert fitted.plan_["predict_scales"] == (0.87, 1.0, 1.15, 1.3)
    net, image = fitted.nets_[0], torch.from_numpy(np.float32(disks[0][1]))[None]
    image = (image - image.mean()) / image.std(correction=0)
    expected = 0
    for size in ((35, 31), (40, 36), (46, 41), (52, 47)):
        with torch.no_grad():
            q = net.predicting().eval()(resized(image, size)[None])[0].exp()
        expected = expected + resized(q, (40, 36)) / 4
    found = fitted.predict_proba(disks[0])[1]
    assert_allclose(found, expected.numpy(), atol=1e-5)
    assert_allclose(found.sum(0), 1, atol=1e-5)
    assert_array_equal(fitted.transduction_[1], fitted.predict(disks[0])[1])


def test_sizes_may_be_set_after_the_fit_and_are_saved(fitted, disks, tmp_path):
    persistence.save(fitted, tmp_path / "model")
    again = persistence.load(tmp_path / "model")
    several = fitted.predict_proba(disks[0])
    assert_array_equal(again.predict_proba(disks[0]), several)
    plain = again.set_params(net__predict_scales=[1]).predict_proba(disks[0])
    assert np.abs(plain - several).max() > 0.01
    # Sizes that come to the same number of pixels are the same prediction.
    assert_array_equal(again.set_params(net__predict_scales=[1.001, 1]).predict_proba(disks[0]), plain)


def test_auto_after_the_fit_is_the_default_whatever_was_set_in_fit(fitted, disks):
    seg = short(pretrain_epochs=4, net__predict_scales=[1]).fit(disks[0], [disks[1][0], None])
    assert seg.plan_["predict_scales"] == (1.0,)
    seg.set_params(net__predict_scales="auto")
    assert_array_equal(seg.predict_proba(disks[0]), fitted.predict_proba(disks[0]))


def test_volumes_have_their_own_size_only_unless_asked(disks):
    image, labels = (np.stack([each[0][:24, :24]] * 16) for each in disks)
    volumes, maps = [image, image], [labels, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seg = short(pretrain_epochs=0).fit(volumes, maps)
        assert seg.plan_["predict_scales"] == (1.0,)
        plain = seg.predict_proba(volumes[:1])[0]
        several = seg.set_params(net__predict_scales=(1, 1.25)).predict_proba(volumes[:1])[0]
        assert np.abs(plain - several).max() > 1e-3
        drawn = short(cycle__targets="drawn", net__reduction=2, pretrain_epochs=0).fit(volumes, maps)
    assert drawn.plan_["predict_scales"] == (1.0,)
    plain = drawn.predict_proba(volumes[:1])[0]
    drawn.set_params(net__predict_scales=[0.8, 1])
    assert np.abs(plain - drawn.predict_proba(volumes[:1])[0]).max() > 1e-4
    assert drawn.predict(volumes[:1])[0].shape == (16, 24, 24)


def test_thin_axes_keep_their_size_and_volumes_are_one_tile():
    volume = np.random.default_rng(0).standard_normal((4, 44, 44))
    maps = np.zeros(volume.shape, dtype=int)
    maps[:, 10:30, 10:30] = 1
    seg = short(cycle__targets="drawn", net__reduction=1, net__spacing=(4, 1, 1), pretrain_epochs=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seg.fit([volume, volume], [maps, None])
    seen = []
    seg.nets_[0].predicting().register_forward_pre_hook(
        lambda network, inputs: seen.append(tuple(inputs[0].shape[2:]))
    )
    seg.set_params(net__predict_scales=[0.5, 1]).predict([volume])
    assert seen[-2:] == [(4, 22, 22), (4, 44, 44)]
    assert len(seen) <= 3  # the first may be a patch by which memory is measured


@pytest.mark.parametrize("given", [[], [0], ["a"], [1, 20], [[1, 1.2]], [np.nan]])
def test_other_sizes_are_refused(given, fitted, disks):
    with pytest.raises(ValueError, match="net__predict_scales must be"):
        copy.copy(fitted).set_params(net__predict_scales=given).predict(disks[0])
    with pytest.raises(
        ValueError, match=r'net__predict_scales must be "auto" or hold numbers from 0.1 to 10'
    ):
        short(net__predict_scales=given).fit(disks[0], [disks[1][0], None])


def test_another_text_after_the_fit_is_refused(fitted, disks):
    with pytest.raises(ValueError, match=r"net__predict_scales must be .*got 'four'"):
        copy.copy(fitted).set_params(net__predict_scales="four").predict(disks[0])
