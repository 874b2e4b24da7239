"""What a classifier is made of: own modules, optimizers, augmentations and callbacks."""

import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from sklearn_ssldec import SSLDECClassifier

QUICK = {"device": "cpu", "random_state": 0, "module__hidden_units": (16, 16), "max_iter": 2}


class Embedding(nn.Module):
    def __init__(self, n_hidden=8):
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(n_hidden), nn.BatchNorm1d(n_hidden), nn.Tanh())

    def forward(self, x):
        return self.layers(x)


def test_own_module_class(blobs):
    X, y, truth = blobs
    clf = SSLDECClassifier(Embedding, module__n_hidden=5, random_state=0, device="cpu").fit(X, y)
    assert clf.cluster_centers_.shape == (3, 5)
    assert clf.transform(X).shape == (150, 5)
    assert clf.score(X, truth) > 0.98


def test_module_instance_is_copied(blobs):
    X, y, _ = blobs
    instance = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    clf = SSLDECClassifier(instance, random_state=0, device="cpu", max_iter=1)
    first = clf.fit(X, y).predict_proba(X)
    assert clf.get_params()["module"] is instance
    assert all(torch.equal(before[name], value) for name, value in instance.state_dict().items())
    assert_array_equal(clone(clf).fit(X, y).predict_proba(X), first)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(3, 2), "module failed on two samples of shape .2,."),
        (nn.Sequential(nn.Flatten(0)), "embeddings of shape .n_samples, n_features.*returned .4,."),
        (nn.LSTM(2, 2), "returned tuple"),
    ],
)
def test_module_that_does_not_embed(blobs, module, message):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=message):
        SSLDECClassifier(module, device="cpu").fit(X, y)


class Sequence(nn.Module):
    """Features in a row, read by a layer that returns a tuple."""

    def __init__(self, n_classes, kind):
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Linear(1, 4), nn.Linear(4, n_classes)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x):
        z = self.first(x[:, :, None])
        if self.kind == "lstm":
            z = self.lstm(z)[0]
        elif self.kind == "attention":
            z = self.attention(query=z, key=z, value=z)[0]
        else:
            z = self.encoder(z)
        return self.last(z.mean(1))


@pytest.mark.parametrize("kind", ["lstm", "attention", "encoder"])
def test_layers_may_return_tuples(blobs, kind):
    X, y, _ = blobs
    params = {"device": "cpu", "random_state": 0, "pretrain_epochs": 2, "max_iter": 1}
    clf = SSLDECClassifier(Sequence, module__kind=kind, **params).fit(X, y)
    assert clf.predict_proba(X).shape == (150, 3)


def test_module_parameters_of_an_instance_are_refused(blobs):
    X, y, _ = blobs
    with pytest.raises(ValueError, match="module__p cannot be set: module is an instance"):
        SSLDECClassifier(nn.Linear(2, 2), module__p=1, device="cpu").fit(X, y)


def test_weight_decay_is_for_kernels_only(blobs):
    X, y, _ = blobs
    fitted = SSLDECClassifier(**QUICK).fit(X, y)
    network = fitted.nets_[0].module_
    decay = {id(p): g["weight_decay"] for g in fitted.nets_[0].optimizer_.param_groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        is_kernel = name.endswith("weight") and parameter.ndim > 1
        assert decay[id(parameter)] == (2e-4 if is_kernel else 0)
    assert decay[id(network.head.centers)] == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # SGD at Adam's learning rates
def test_optimizer_parameters_are_passed_through(blobs):
    X, y, _ = blobs
    parameters = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5, "optimizer__weight_decay": 0.25}
    clf = SSLDECClassifier(**QUICK, **parameters, labeled_threshold=0).fit(X, y)
    groups = clf.nets_[0].optimizer_.param_groups
    assert [group["momentum"] for group in groups] == [0.5, 0.5]
    assert [group["weight_decay"] for group in groups] == [0.25, 0]


def test_augment_none_a_callable_and_auto(blobs):
    X, y, _ = blobs
    seen = []

    def double(batch):
        seen.append(batch.shape)
        return 2 * batch

    SSLDECClassifier(**QUICK, labeled_threshold=0, augment=double).fit(X, y)
    assert len(seen) > 0
    assert all(shape[1] == 2 for shape in seen)
    assert SSLDECClassifier(**QUICK, labeled_threshold=0, augment=None).fit(X, y).nets_[0].augment is None
    one, ten = (SSLDECClassifier(**QUICK).fit(s * X, y).nets_[0].augment.scale for s in (1, 10))
    assert_allclose(ten, 10 * one, rtol=1e-5)


def test_callbacks_see_every_epoch_and_are_not_changed(blobs):
    from skorch.callbacks import Callback

    class Counter(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    X, y, _ = blobs
    mine = Counter()
    clf = SSLDECClassifier(**QUICK, callbacks=[("counter", mine)], min_batches=1).fit(X, y)
    counted = dict(clf.nets_[0].callbacks_)["counter"].n_epochs
    assert counted == sum(record["labeled_epochs"] for record in clf.history_) + clf.n_iter_
    assert mine.n_epochs == 0
