"""On a CUDA GPU, whose sums are added in changing order: results are near, not the same bit by bit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.baselines import PseudoLabelSegmenter

DEVICE = "cuda"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def squares(n, size=24):
    rng = np.random.default_rng(0)
    maps = np.zeros((n, size, size), dtype=int)
    for labels in maps:
        row, column = rng.integers(2, size // 2 - 2, 2)
        labels[row : row + size // 2, column : column + size // 2] = 1
    return maps + 0.3 * rng.standard_normal(maps.shape), maps


@pytest.mark.parametrize("kind", [SSLDECSegmenter, PseudoLabelSegmenter])
@pytest.mark.parametrize("targets", ["drawn", "all"])
def test_segmenters_learn_and_repeat(kind, targets):
    images, maps = squares(6)
    seg = kind(
        cycle__targets=targets, module__width=0.125, batch_size=4, pretrain_epochs=4, max_iter=1,
        patches_per_epoch=80, min_batches=20, device=DEVICE, random_state=0,
    )  # fmt: skip
    labels = [maps[0], *[None] * 5]
    seg.fit(images, labels)
    assert seg.score(images[1:], list(maps[1:])) > 0.7
    again = clone(seg).fit(images, labels)
    assert np.mean(again.predict(images) == seg.predict(images)) > 0.98


def test_tiles_agree():
    images, maps = squares(2, 40)
    seg = SSLDECSegmenter(
        cycle__targets="all", module__width=0.25, pretrain_epochs=1, max_iter=0, device=DEVICE, random_state=0
    ).fit(images, [maps[0], None])
    whole = seg.predict_proba(images)
    seg.nets_[0].tile_size = 16
    # TensorFloat-32 has ten bits behind the point.
    assert_allclose(seg.predict_proba(images), whole, atol=5e-3)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_images_are_classified(precision):
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 3
    X = 0.3 * rng.standard_normal((120, 16, 16))
    for image, c in zip(X, truth, strict=True):
        image[:, 5 * c : 5 * c + 5] += 2
    y = np.where(np.arange(120) < 12, truth, -1)
    clf = SSLDECClassifier(
        module__width=0.125, pretrain_epochs=60, max_iter=1, net__precision=precision, device=DEVICE,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert np.mean(clf.transduction_ == truth) > 0.9
    assert clf.predict_proba(X).dtype == np.float32
