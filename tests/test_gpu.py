"""On a CUDA GPU, whose sums are added in changing order: results are near, not the same bit by bit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec._training.recorded import RecordedStep
from sklearn_ssldec.baselines import FixMatchClassifier, MeanTeacherClassifier, PseudoLabelSegmenter
from sklearn_ssldec.clustering import ClusteringLayer

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


def bars(n=1000, size=16):
    """Return images of a bright bar in one of three places, and which."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    X = 0.3 * rng.standard_normal((n, size, size))
    for image, c in zip(X, truth, strict=True):
        image[:, 5 * c : 5 * c + 5] += 2
    return X, truth


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
    X, truth = bars(120)
    y = np.where(np.arange(120) < 12, truth, -1)
    clf = SSLDECClassifier(
        module__width=0.125, pretrain_epochs=60, max_iter=1, net__precision=precision, device=DEVICE,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert np.mean(clf.transduction_ == truth) > 0.9
    assert clf.predict_proba(X).dtype == np.float32


def test_gradients_of_eq_1_are_those_of_a_cpu():
    torch.manual_seed(0)
    layer = ClusteringLayer(5, 4, alpha=10.0, axis=1, spread=2.0)
    z = torch.randn(2, 4, 9, 9)
    gradients = []
    for device in ("cpu", DEVICE):
        there, mine = layer.to(device), z.clone().to(device).requires_grad_()
        there.zero_grad()
        (there(mine) ** 2).sum().backward()
        gradients.append([g.cpu().clone() for g in (mine.grad, there.centers.grad)])
    for cpu, gpu in zip(*gradients, strict=True):
        torch.testing.assert_close(cpu, gpu, rtol=1e-4, atol=1e-4)


def test_images_are_predicted_at_several_sizes():
    images, maps = squares(4, 48)
    seg = SSLDECSegmenter(
        module__width=0.25, batch_size=4, pretrain_epochs=2, max_iter=1, patches_per_epoch=40, min_batches=5,
        net__predict_scales=[0.87, 1, 1.15], device=DEVICE, random_state=0,
    ).fit(images, [maps[0], None, None, None])  # fmt: skip
    several = seg.predict_proba(images)
    seg.set_params(device="cpu")
    seg.nets_[0].module_.cpu()
    seg.nets_[0].set_params(device="cpu")
    assert_allclose(seg.predict_proba(images), several, atol=5e-3)


def test_scribbles_are_completed_by_what_the_gpu_predicts():
    images, maps = squares(6, 32)
    scribbles = np.full(maps.shape, -1)
    for marks, labels in zip(scribbles, maps, strict=True):
        rows, columns = np.nonzero(labels)
        marks[rows.mean().astype(int), columns.min() + 2 : columns.max() - 2] = 1
        marks[1, 2:-2] = marks[-2, 2:-2] = 0
    seg = SSLDECSegmenter(
        module__width=0.25, batch_size=4, pretrain_epochs=4, max_iter=2, patches_per_epoch=80,
        cycle__scribbles=True, device=DEVICE, random_state=0,
    ).fit(images, list(scribbles))  # fmt: skip
    assert seg.score(images, list(maps)) > 0.8


@pytest.mark.parametrize("kind", [SSLDECClassifier, FixMatchClassifier, MeanTeacherClassifier])
def test_recorded_steps_do_what_steps_do(kind, monkeypatch):
    """Without dropout and augmentation, nothing is random but the order of the batches."""
    X, truth = bars()
    y = np.where(np.arange(len(X)) < 12, truth, -1)
    played = []
    play = RecordedStep.__call__
    monkeypatch.setattr(RecordedStep, "__call__", lambda *a, **k: played.append(1) or play(*a, **k))
    results = []
    for is_recorded in (False, True):
        clf = kind(
            module__width=0.125, module__dropout=0.0, module__convs_per_block=1, augment=None,
            pretrain_epochs=150, max_iter=8, lr=1e-3, net__ema_decay=0.9,
            net__cuda_graphs=is_recorded, device=DEVICE, random_state=0,
        )  # fmt: skip
        with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            clf.fit(X, y)
        results.append((clf.predict_proba(X), [record["loss"] for record in clf.history_]))
        assert len(played) > 100 if is_recorded else not played
    (eager, losses), (recorded, its_losses) = results
    assert_allclose(its_losses, losses, rtol=1e-3)
    assert_allclose(recorded, eager, atol=1e-3)


def test_what_waits_for_the_device_cannot_be_recorded():
    def waits(batch):
        return batch + batch.mean().item() * 0

    X, truth = bars()
    y = np.where(np.arange(len(X)) < 12, truth, -1)
    clf = SSLDECClassifier(
        module__width=0.125, augment=waits, pretrain_epochs=400, max_iter=12, net__cuda_graphs=True,
        net__ema_decay=0.9, device=DEVICE, random_state=0,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="net__cuda_graphs=False"):
        clf.fit(X, y)
    clf.set_params(net__cuda_graphs=False).fit(X, y)
    assert np.mean(clf.transduction_ == truth) > 0.9
