"""The caller's world is as it was: whatever is called, and also where it fails."""

import copy
import os
import random
import signal
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback
from torch import nn

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter, augment, baselines
from sklearn_ssldec._samples.reduction import ReducedVolumes
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.model_selection import compare_with_supervised
from sklearn_ssldec.networks.embedding import EmbeddingNetwork
from sklearn_ssldec.networks.softmax import SoftmaxHead
from sklearn_ssldec.persistence import load, save

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # fits of a moment
QUICK = {
    "device": "cpu",
    "random_state": 0,
    "max_iter": 2,
    "pretrain_epochs": 5,
    "cycle__max_labeled_epochs": 2,
}
SMALL = {**QUICK, "module__hidden_units": (8,)}


def data():
    X, truth = make_blobs(60, centers=[[0, 0], [4, 4]], random_state=0)
    return X.astype(np.float32), np.where(np.arange(60) < 20, truth, -1)


@pytest.fixture(scope="module")
def fitted():
    return SSLDECClassifier(**SMALL).fit(*data())


def world():
    """Everything global that a fit could reach."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": (kind, keys.tolist(), rest),
        "python generator": random.getstate(),
        "cuda generators": [state.tolist() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device() if hasattr(torch, "get_default_device") else None,
        "gradients": torch.is_grad_enabled(),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark),
        "precision": torch.get_float32_matmul_precision(),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "numpy errors": np.geterr(),
        "numpy printing": np.get_printoptions(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "threads alive": threading.active_count(),
    }


def fail_in_training(batch):
    raise RuntimeError("augmentation failed")


def fit_that_fails(fitted, tmp_path):
    with pytest.raises(RuntimeError, match="augmentation failed"):
        SSLDECClassifier(**SMALL, augment=fail_in_training).fit(*data())


def round_trip(fitted, tmp_path):
    save(fitted, tmp_path / "model")
    load(tmp_path / "model")


ACTIONS = {
    "fit": lambda fitted, _: SSLDECClassifier(**SMALL).fit(*data()),
    "fit an ensemble": lambda fitted, _: SSLDECClassifier(**SMALL, n_estimators=2).fit(*data()),
    "fit a baseline": lambda fitted, _: baselines.PseudoLabelClassifier(**SMALL).fit(*data()),
    "fit with a warning": lambda fitted, _: SSLDECClassifier(**SMALL).fit(data()[0] * [1, 1e5], data()[1]),
    "fit that fails": fit_that_fails,
    "fit with progress": lambda fitted, _: SSLDECClassifier(**SMALL, verbose=1).fit(*data()),
    "predict": lambda fitted, _: (fitted.predict(data()[0]), fitted.transform(data()[0])),
    "score": lambda fitted, _: fitted.score(*data()),
    "compare": lambda fitted, _: compare_with_supervised(SSLDECClassifier(**SMALL), *data(), cv=2),
    "save and load": round_trip,
}


@pytest.mark.filterwarnings("ignore:The features of X")
@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_global_changes(action, fitted, tmp_path):
    ACTIONS[action](fitted, tmp_path)  # what is imported at first use, and starts a thread, is not meant here
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = world()
        ACTIONS[action](fitted, tmp_path)
        after = world()
    finally:
        torch.set_num_threads(threads)
    assert [name for name in before if before[name] != after[name]] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_generators_of_gpus_do_not_change(device):
    before = torch.cuda.get_rng_state_all()
    SSLDECClassifier(**{**SMALL, "device": device}).fit(*data())
    for now, then in zip(torch.cuda.get_rng_state_all(), before, strict=True):
        assert torch.equal(now, then)


def test_gradients_may_be_off_outside():
    X, y = data()
    expected = SSLDECClassifier(**SMALL).fit(X, y).predict_proba(X)
    with torch.no_grad():
        got = SSLDECClassifier(**SMALL).fit(X, y).predict_proba(X)
        assert not torch.is_grad_enabled()
    assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "images", "frame", "list"])
def test_arrays_are_not_changed(kind, fitted):
    X, y = data()
    parameters = SMALL
    if kind == "images":
        X, parameters = (
            np.random.RandomState(0).rand(60, 1, 6, 6).astype(np.float32),
            {**QUICK, "module__width": 0.02},
        )
    elif kind == "frame":
        X, y = pd.DataFrame(X), pd.Series(y)
    elif kind == "list":
        X, y = X.tolist(), y.tolist()
    else:
        X = (X - X.min()).astype(kind)
    prior = np.array([0.4, 0.6])
    before = copy.deepcopy((X, y, prior))
    clf = SSLDECClassifier(**parameters, class_prior=prior).fit(X, y)
    clf.predict(X), clf.transform(X), clf.score(X, y)
    for value, expected in zip((X, y, prior), before, strict=True):
        assert_array_equal(np.asarray(value), np.asarray(expected))


def test_results_are_not_views_of_the_input_or_of_each_other():
    X, y = data()
    clf = SSLDECClassifier(**SMALL).fit(X, y)
    expected = clf.predict_proba(X), clf.transduction_.copy(), clf.cluster_centers_.copy()
    clf.predict_proba(X)[:] = 0
    clf.transform(X)[:] = 0
    X_again, y_again = X.copy(), y.copy()
    X[:], y[:] = 0, 0
    assert_array_equal(clf.predict_proba(X_again), expected[0])
    assert_array_equal(clf.transduction_, expected[1])
    assert_array_equal(clf.cluster_centers_, expected[2])
    assert (clf.transduction_[y_again != -1] == y_again[y_again != -1]).all()


class Counter(Callback):
    n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1


def test_passed_objects_are_not_changed():
    X, y = data()
    instance = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    instance.eval()
    noise, counter = augment.GaussianNoise(torch.tensor([0.1, 0.2])), Counter()
    parameters = {
        "module": instance, "augment": noise, "callbacks": [("counter", counter)], "lr": (1e-2, 1e-3),
        "optimizer__betas": [0.8, 0.9],
    }  # fmt: skip
    given = copy.copy(parameters)
    weights = copy.deepcopy(instance.state_dict())
    clf = SSLDECClassifier(**QUICK, **parameters)
    clf.fit(X, y).predict(X)
    assert all(clf.get_params()[name] is value for name, value in given.items())
    assert all(torch.equal(weights[name], value) for name, value in instance.state_dict().items())
    assert not instance.training
    assert all(p.grad is None and p.requires_grad for p in instance.parameters())
    assert not instance._forward_hooks
    assert torch.equal(noise.scale, torch.tensor([0.1, 0.2]))
    assert (counter.n_epochs, parameters["callbacks"], parameters["optimizer__betas"]) == (
        0,
        [("counter", counter)],
        [0.8, 0.9],
    )
    assert dict(clf.nets_[0].callbacks_)["counter"].n_epochs > 0


def test_parameters_are_as_they_were_given():
    X, y = data()
    clf = SSLDECClassifier(**SMALL)
    before = clf.get_params()
    clf.fit(X, y)
    assert clf.get_params() == before


class InPlace(nn.Module):
    """A network whose first layer may change its input."""

    def __init__(self, n_classes, inplace):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(inplace=inplace), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, n_classes)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (SSLDECClassifier, {}),
        (SSLDECClassifier, {"cycle__targets": "drawn", "cycle__target_views": 0, "net__ema_decay": 0.0}),
        (baselines.PiModelClassifier, {"augment": None}),
    ],
    ids=["all", "drawn", "pi"],
)
def test_networks_that_change_their_input_do_not_change_the_samples(kind, params):
    X, y = (np.repeat(each, 16, axis=0) for each in data())
    X -= X.mean(axis=0)
    before, probabilities = X.copy(), []
    params = {"device": "cpu", "random_state": 0, "pretrain_epochs": 2, "max_iter": 2, **params}
    for inplace in (True, False):
        clf = kind(InPlace, module__inplace=inplace, **params).fit(X, y)
        probabilities.append(clf.predict_proba(X))
        assert_array_equal(X, before)
    assert_array_equal(*probabilities)


def test_augmentations_that_change_their_batch_do_not_change_the_samples():
    X, y = (np.repeat(each, 16, axis=0) for each in data())
    before = X.copy()
    SSLDECClassifier(**SMALL, augment=lambda batch: batch.add_(0.1), cycle__target_views=2).fit(X, y)
    assert_array_equal(X, before)


def test_networks_that_change_their_input_do_not_change_reduced_volumes():
    torch.manual_seed(0)
    volumes = ReducedVolumes(Volumes([torch.randn(1, 8, 8)]), (2, 2))
    network = EmbeddingNetwork(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 1)), SoftmaxHead(2, 2))
    net = VoxelNet(network, patch_size=(4, 4), margin=(0, 0), device="cpu").initialize()
    before = volumes.patch(0, (0, 0), (4, 4)).clone()
    net._from_tiles(volumes, 0)
    assert torch.equal(volumes.patch(0, (0, 0), (4, 4)), before)


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_a_default_of_double_precision(double_precision, tmp_path):
    """Gaussian processes and differential equations have it; networks here compute in float32 still."""
    images = np.random.default_rng(0).standard_normal((3, 16, 16))
    volumes = {"pretrain_epochs": 1, "max_iter": 1, "min_batches": 1, "patch_size": 8, "patches_per_epoch": 4}
    volumes |= {"module__width": 0.1, "cycle__max_labeled_epochs": 0}
    maps = [(images[0] > 0).astype(int), None, None]
    for estimator, (X, y) in (
        (SSLDECClassifier(**SMALL), data()),
        (SSLDECClassifier(**SMALL, cycle__targets="drawn"), data()),
        (SSLDECSegmenter(**volumes, cycle__targets="all"), (images, maps)),
        (SSLDECSegmenter(**volumes, cycle__targets="drawn"), (images, maps)),
    ):
        estimator.fit(X, y)
        probabilities = estimator.predict_proba(X)
        assert probabilities.dtype == np.float32
        save(estimator, tmp_path / "model.safetensors")
        assert_array_equal(load(tmp_path / "model.safetensors").predict_proba(X), probabilities)
    assert torch.get_default_dtype() == torch.float64
