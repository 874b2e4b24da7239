"""save and load: what comes back is equal, what is damaged or hostile is refused, and nothing in it runs."""

import copy
import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochTimer
from torch import nn

from sklearn_ssldec import SSLDECClassifier, augment, baselines
from sklearn_ssldec._estimators.base import BaseSSLDEC
from sklearn_ssldec.networks import MLP
from sklearn_ssldec.persistence import ESTIMATORS, load, save

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # fits of a moment
QUICK = {"device": "cpu", "random_state": 0, "max_iter": 2, "pretrain_epochs": 20, "labeled_threshold": 0.0}
SMALL = {**QUICK, "module__hidden_units": (8, 8)}


def blobs(dtype=np.float64):
    X, truth = make_blobs(60, centers=[[0, 0], [4, 4], [-4, 4]], random_state=0)
    return X.astype(dtype), np.where(np.arange(60) < 20, truth, -1), truth


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = blobs()
    return SSLDECClassifier(**SMALL).fit(X, y)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def saved_and_loaded(estimator, path, **given):
    save(estimator, path)
    return load(path, **given)


def assert_equal(value, expected):
    assert type(value) is type(expected)
    if isinstance(expected, np.ndarray):
        assert value.dtype == expected.dtype.newbyteorder("=")
        assert_array_equal(value, expected)
    elif isinstance(expected, (list, tuple)):
        assert len(value) == len(expected)
        for one, other in zip(value, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, dict):
        assert list(value) == list(expected)
        for key in expected:
            assert_equal(value[key], expected[key])
    elif isinstance(expected, float) and np.isnan(expected):
        assert np.isnan(value)
    elif type(expected).__module__ == "sklearn_ssldec.augment":
        assert repr(value) == repr(expected)
    else:
        assert value == expected


def assert_same_estimator(again, estimator, X, but=()):
    assert type(again) is type(estimator)
    for name, value in estimator.get_params(deep=False).items():
        if name not in but:
            assert_equal(again.get_params()[name], value)
    attributes = {name for name in vars(estimator) if name.endswith("_")}
    assert {name for name in vars(again) if name.endswith("_")} == attributes
    for name in attributes - {"nets_"}:
        assert_equal(getattr(again, name), getattr(estimator, name))
    assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    assert_array_equal(again.predict(X), estimator.predict(X))
    assert_array_equal(again.transform(X), estimator.transform(X))
    assert list(again.get_feature_names_out()) == list(estimator.get_feature_names_out())
    for one, other in zip(again.nets_, estimator.nets_, strict=True):
        assert one.history.to_list() == other.history.to_list()
        assert one.n_operations == other.n_operations


# What comes back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name.endswith("Classifier")])
def test_every_estimator_comes_back(name, path):
    X, y, _ = blobs()
    known = inspect.signature(ESTIMATORS[name]).parameters
    taken = {k: v for k, v in SMALL.items() if k in known or "__" in k}
    estimator = ESTIMATORS[name](**taken).fit(X, y)
    assert_same_estimator(saved_and_loaded(estimator, path), estimator, X)


@pytest.mark.parametrize(
    ("names", "dtype"),
    [
        ([3, 5, 7], object), (["ant", "bee", "çà\U0001f41d"], object), ([0.0, 1.0, 2.0], object),
        ([False, True, True], object), (["ant", "bee", "cat"], "U3"), ([1, 2, 3], np.uint16),
        ([1, 2, 3], ">i4"),
    ],
)  # fmt: skip
def test_labels_of_every_kind(names, dtype, path):
    X, y, truth = blobs()
    if dtype is object:
        labels = np.array([names[c] if c >= 0 else -1 for c in y], dtype=object)
        estimator = SSLDECClassifier(**SMALL).fit(X, labels)
    else:
        estimator = SSLDECClassifier(**SMALL, unlabeled_label=None).fit(X, np.array(names, dtype)[truth])
    assert_same_estimator(saved_and_loaded(estimator, path), estimator, X)


def test_ensemble_of_images_with_averaged_weights(path):
    rng = np.random.RandomState(0)
    X = rng.rand(24, 8, 8).astype(np.float32)
    y = np.array([0, 1, -1] * 8)
    X[y == 1] += 1
    estimator = SSLDECClassifier(**QUICK, n_estimators=2, module__width=0.05).fit(X, y)
    again = saved_and_loaded(estimator, path)
    assert_same_estimator(again, estimator, X)
    assert again.input_shape_ == (1, 8, 8)
    for net in (*estimator.nets_, *again.nets_):
        for weight in net.module_.state_dict().values():
            assert weight.ndim != 4 or weight.is_contiguous(memory_format=torch.channels_last)


def test_frame_with_feature_names_and_set_output(path):
    X, y, _ = blobs()
    X = pd.DataFrame(X, columns=["width", "größe"])
    estimator = SSLDECClassifier(**SMALL).set_output(transform="pandas").fit(X, y)
    again = saved_and_loaded(estimator, path)
    assert_same_estimator(again, estimator, X)
    assert isinstance(again.transform(X), pd.DataFrame)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X[["größe", "width"]])


def test_a_loaded_estimator_is_a_usual_one(fitted, path):
    X, y, _ = blobs()
    again = saved_and_loaded(fitted, path)
    assert_array_equal(pickle.loads(pickle.dumps(again)).predict_proba(X), fitted.predict_proba(X))
    assert_array_equal(clone(again).fit(X, y).predict_proba(X), fitted.predict_proba(X))
    groups = [
        {key: group[key] for key in ("weight_decay", "betas")}
        for group in fitted.nets_[0].optimizer_.param_groups
    ]
    assert [
        {key: group[key] for key in ("weight_decay", "betas")}
        for group in again.nets_[0].optimizer_.param_groups
    ] == groups
    save(again, path.with_name("twice"))
    assert path.read_bytes() == path.with_name("twice").read_bytes()


def test_parameters_changed_after_fit_do_not_change_predictions(path):
    X, y, _ = blobs()
    estimator = SSLDECClassifier(**SMALL, alpha=2.0).fit(X, y)
    expected = estimator.predict_proba(X)
    estimator.set_params(alpha=5.0, module__hidden_units=(3,))
    again = saved_and_loaded(estimator, path)
    assert_array_equal(again.predict_proba(X), expected)
    assert again.alpha == 5.0


@pytest.mark.parametrize("way", ["pickle", "joblib"])
def test_pickle_and_joblib(way, tmp_path):
    rng = np.random.RandomState(0)
    X, y = rng.rand(24, 1, 8, 8).astype(np.float32), np.array([0, 1, -1] * 8)
    estimator = SSLDECClassifier(**QUICK, n_estimators=2, module__width=0.05).fit(X, y)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(estimator))
    else:
        joblib.dump(estimator, tmp_path / "model")
        again = joblib.load(tmp_path / "model")
    assert_same_estimator(again, estimator, X)


# Parameters that are no data --------------------------------------------------------------------------------


def test_own_augmentations_optimizers_and_module_classes_are_written(path):
    X, y, _ = blobs()
    noise = augment.Compose(
        augment.GaussianNoise(torch.tensor([0.1, 0.2]), final_share=0.5), augment.GaussianNoise(0.1)
    )
    estimator = SSLDECClassifier(
        **SMALL, module=MLP, augment=noise, optimizer=torch.optim.SGD, optimizer__momentum=0.5, lr=1e-3,
        pretrain_lr=(1e-2, 1e-3), class_prior=np.array([0.2, 0.3, 0.5]),
    ).fit(X, y)  # fmt: skip
    again = saved_and_loaded(estimator, path)
    assert_same_estimator(again, estimator, X)
    assert_array_equal(again.fit(X, y).predict_proba(X), estimator.predict_proba(X))


def test_what_is_no_data_is_named_and_can_be_passed_again(path):
    X, y, _ = blobs()
    others = {"augment": torch.nn.functional.relu, "callbacks": [("timer", EpochTimer())]}
    estimator = SSLDECClassifier(**SMALL, **others).fit(X, y)
    estimator.note_ = object()
    with pytest.warns(
        UserWarning, match="written without augment, callbacks, note_, which have no form as data"
    ):
        save(estimator, path)
    with pytest.warns(UserWarning, match="written without augment, callbacks.*fit has the default"):
        again = load(path)
    assert (again.augment, again.callbacks) == ("auto", None)
    assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    assert load(path, **others).get_params()["augment"] is others["augment"]


class Embedding(nn.Module):
    def __init__(self, n_hidden=8, activation=nn.ReLU, scale=None):
        super().__init__()
        self.scale = scale
        self.layers = nn.Sequential(nn.LazyLinear(n_hidden), nn.BatchNorm1d(n_hidden), activation())
        self.register_buffer("unsaved", torch.ones(1), persistent=False)

    def forward(self, x):
        z = self.layers(x) * self.unsaved
        return z if self.scale is None else self.scale(z)


def test_own_module_class_is_passed_or_named_by_the_caller(path):
    X, y, _ = blobs()
    estimator = SSLDECClassifier(Embedding, **QUICK, module__n_hidden=5, module__activation=nn.Tanh).fit(X, y)
    save(estimator, path)
    with pytest.raises(ValueError, match=r"networks are made of .*test_persistence\.Embedding; pass"):
        load(path)
    assert_same_estimator(load(path, module=Embedding), estimator, X)
    assert_same_estimator(load(path, module=f"{__name__}.Embedding"), estimator, X)
    with pytest.raises(ValueError, match=r"weights are not those of the module: .* shape"):
        load(path, module=Embedding, module__n_hidden=6)
    with pytest.raises(ValueError, match="module must be an import path"):
        load(path, module="Embedding")


def test_parameters_of_a_module_that_are_no_data_are_asked_for(path):
    X, y, _ = blobs()
    estimator = SSLDECClassifier(Embedding, **QUICK, module__scale=torch.tanh).fit(X, y)
    with pytest.warns(UserWarning, match="written without module__scale"):
        save(estimator, path)
    with pytest.raises(ValueError, match="could not hold module__scale; pass it again"):
        load(path, module=Embedding)
    assert_same_estimator(load(path, module=Embedding, module__scale=torch.tanh), estimator, X)


def test_module_instance(path):
    X, y, _ = blobs()
    instance = MLP((2,), 3, hidden_units=(5,))
    estimator = SSLDECClassifier(instance, **QUICK).fit(X, y)
    save(estimator, path)
    with pytest.raises(ValueError, match="MLP"):
        load(path)
    before = copy.deepcopy(instance.state_dict())
    again = load(path, module=instance)
    assert_same_estimator(again, estimator, X)
    assert all(torch.equal(instance.state_dict()[name], value) for name, value in before.items())


def test_what_cannot_be_saved(fitted, path):
    class Own(SSLDECClassifier):
        pass

    with pytest.raises(NotFittedError):
        save(SSLDECClassifier(), path)
    with pytest.raises(TypeError, match="got Pipeline"):
        save(make_pipeline(fitted), path)
    with pytest.raises(TypeError, match="got Own"):
        save(Own(), path)
    assert not path.exists()


def test_callers_world_is_untouched(fitted, path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    saved_and_loaded(fitted, path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.tensor(0.0).device.type == "cpu"


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name.endswith("Segmenter")])
def test_every_segmenter_comes_back(name, path):
    maps = np.zeros((3, 24, 22), dtype=int)
    maps[:, 6:16, 8:18] = 4
    images = [m + 0.3 * np.random.default_rng(i).standard_normal(m.shape) for i, m in enumerate(maps)]
    small = {"module__width": 0.1, "pretrain_epochs": 1, "max_iter": 1, "patches_per_epoch": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = ESTIMATORS[name](**small, min_batches=1, patch_size=(23, 25), random_state=0)
        estimator.fit(images, [maps[0], None, None])
    loaded = saved_and_loaded(estimator, path)
    assert_array_equal(loaded.predict_proba(images), estimator.predict_proba(images))
    for name in ("margin", "context", "stride"):  # by which tiles are cut
        assert getattr(loaded.nets_[0], name) == getattr(estimator.nets_[0], name)
    assert loaded.nets_[0].context > 0
    for name in ("transduction_", "supervised_transduction_"):
        assert_array_equal(getattr(loaded, name), getattr(estimator, name))
    assert loaded.get_params() == estimator.get_params()


def test_baselines_are_all_there():
    public = {
        name
        for name, value in vars(baselines).items()
        if isinstance(value, type) and issubclass(value, BaseSSLDEC) and not name.startswith(("_", "Base"))
    }
    assert public == set(ESTIMATORS) - {"SSLDECClassifier", "SSLDECSegmenter"}
