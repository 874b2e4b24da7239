"""precision="bf16": the network computes in half the digits, everything else in float32."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.baselines import PiModelClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.networks.embedding import EmbeddingNetwork
from sklearn_ssldec.networks.softmax import SoftmaxHead
from sklearn_ssldec.persistence import load, save

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # fits of a moment


def watch(net):
    """Return a list to which the types of each embedding and each log q are added."""
    seen = []
    net.module_.embedding.register_forward_hook(lambda module, args, z: seen.append(("z", z.dtype)))
    net.module_.head.register_forward_hook(lambda module, args, log_q: seen.append(("log q", log_q.dtype)))
    return seen


def test_moons_in_bf16(moons, tmp_path):
    X, y, truth = moons
    exact, clf = (
        SSLDECClassifier(device="cpu", random_state=0, max_iter=40, net__precision=precision).fit(X, y)
        for precision in ("float32", "bf16")
    )
    assert clf.score(X, truth) > 0.9
    seen = watch(clf.nets_[0])
    Q = clf.predict_proba(X)
    assert set(seen) == {("z", torch.bfloat16), ("log q", torch.float32)}
    assert Q.dtype == np.float32
    np.testing.assert_allclose(Q.sum(axis=1), 1, atol=1e-6)
    assert not np.array_equal(Q, exact.predict_proba(X))
    assert clf.transform(X).dtype == np.float32
    assert {p.dtype for p in clf.nets_[0].module_.parameters()} == {torch.float32}
    save(clf, tmp_path / "clf.safetensors")
    assert np.array_equal(load(tmp_path / "clf.safetensors").predict_proba(X), Q)


@pytest.mark.parametrize("kind", [SSLDECClassifier, PiModelClassifier])
def test_training_on_images_computes_in_bf16(kind, monkeypatch):
    X, truth = (array[:96] for array in load_digits(return_X_y=True))
    y = mask_labels(truth, 3, random_state=0)
    seen = []
    step = torch.nn.Conv2d.forward

    def forward(self, x):
        z = step(self, x)
        seen.append((self.training, z.dtype))
        return z

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    settings = {"pretrain_epochs": 1, "max_iter": 1, "min_batches": 1, "module__width": 0.1}
    clf = kind(device="cpu", random_state=0, input_shape=(8, 8), net__precision="bf16", **settings)
    clf.fit(X, y)
    # Counting the operations and finding the size of the embedding come before, in eval mode.
    assert {dtype for training, dtype in seen if training} == {torch.bfloat16}
    assert np.isfinite(clf.label_distributions_).all()


def test_volumes_in_bf16():
    maps = np.zeros((2, 30, 30), dtype=int)
    maps[:, 8:22, 8:22] = 1
    images = maps + 0.2 * np.random.default_rng(0).standard_normal(maps.shape)
    settings = {"pretrain_epochs": 8, "max_iter": 1, "patches_per_epoch": 128, "patch_size": 24}
    seg = SSLDECSegmenter(
        device="cpu", random_state=0, net__precision="bf16", module__width=0.05, min_batches=1, **settings
    )
    seg.fit(images, [maps[0], None])
    seen = watch(seg.nets_[0])
    assert seg.score(images, maps) > 0.7
    assert set(seen) == {("z", torch.bfloat16), ("log q", torch.float32)}


def test_other_precisions_are_refused(moons):
    with pytest.raises(ValueError, match="'net__precision' parameter"):
        SSLDECClassifier(net__precision="float16").fit(*moons[:2])


class Single(nn.Module):
    def forward(self, x):
        return x.float()


def test_the_head_computes_in_float32_whatever_the_network_returns():
    torch.manual_seed(0)
    x = torch.randn(6, 4)
    for last in (nn.Identity(), Single()):
        network = EmbeddingNetwork(nn.Sequential(nn.Linear(4, 8), last), SoftmaxHead(8, 3))
        with torch.autocast("cpu", torch.bfloat16):
            z, log_q = network.embedding(x), network(x)
        assert log_q.dtype == torch.float32
        assert torch.equal(log_q, network.head(z.float()))
    network.to("meta")(x.to("meta"))  # for shapes
