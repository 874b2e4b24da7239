import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from sklearn_ssldec import datasets
from sklearn_ssldec.datasets import fetch_mnist, fetch_svhn, load_npz, mask_labels


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    rng = np.random.RandomState(0)
    arrays = {
        "x_train": rng.randint(0, 256, (6, 28, 28), dtype=np.uint8),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": rng.randint(0, 256, (2, 28, 28), dtype=np.uint8),
        "y_test": np.array([7, 2], dtype=np.uint8),
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("SSLDEC_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST_N_TRAIN", 6)
    return arrays


@pytest.mark.parametrize("per_class", [True, False])
def test_mask_labels_keeps_as_many_as_asked(per_class):
    y = np.repeat([3, 5, 8], [20, 30, 50])
    masked = mask_labels(y, 4, per_class=per_class, random_state=0)
    kept = masked != -1
    assert_array_equal(masked[kept], y[kept])
    if per_class:
        assert_array_equal(np.unique(masked[kept], return_counts=True)[1], [4, 4, 4])
    else:
        assert kept.sum() == 4
    assert_array_equal(masked, mask_labels(y, 4, per_class=per_class, random_state=0))
    assert not np.array_equal(masked, mask_labels(y, 4, per_class=per_class, random_state=1))


def test_mask_labels_keeps_the_marker_apart():
    words = mask_labels(np.array(["a", "b", "b", "a"]), 1, random_state=0)
    assert words.dtype == object
    assert sum(isinstance(v, int) for v in words) == 2
    assert mask_labels(np.array([0, 1, 1], dtype=np.uint8), 1, random_state=0).min() == -1
    assert mask_labels(np.array([True, False, True]), 1, random_state=0).min() == -1


@pytest.mark.parametrize(("n_labeled", "per_class"), [(3, True), (0, True), (6, False)])
def test_mask_labels_refuses_more_labels_than_there_are(n_labeled, per_class):
    with pytest.raises(ValueError, match=r"n_labeled must be from 1 to the [235] labels"):
        mask_labels([0, 0, 0, 1, 1], n_labeled, per_class=per_class)


@pytest.mark.parametrize("mark", [-1, 99])
def test_mask_labels_draws_among_labeled_rows(mark):
    y = np.where(np.arange(120) % 4 == 0, np.arange(120) % 3, mark)
    masked = mask_labels(y, 20, per_class=False, unlabeled_label=mark, random_state=0)
    assert (masked != mark).sum() == 20
    assert_array_equal(masked[masked != mark], y[masked != mark])
    # 10 of each class are labeled; the mark is no class, of which some were to be kept.
    for n_labeled in (4, 10):
        masked = mask_labels(y, n_labeled, unlabeled_label=mark, random_state=0)
        assert_array_equal(np.bincount(masked[masked != mark]), [n_labeled] * 3)
    with pytest.raises(ValueError, match="from 1 to the 10 labels of class 0, got 11"):
        mask_labels(y, 11, unlabeled_label=mark)
    with pytest.raises(ValueError, match="from 1 to the 30 labels, got 31"):
        mask_labels(y, 31, per_class=False, unlabeled_label=mark)


def test_mask_labels_of_partly_labeled_strings_and_of_other_marks():
    words = mask_labels(["a", "b", -1, "b", "a", -1], 1, random_state=0)
    assert sorted(v for v in words.tolist() if v != -1) == ["a", "b"]
    assert words.tolist().count(-1) == 4
    numbers = mask_labels([0, 1, 1, 0], 1, unlabeled_label="?", random_state=0)
    assert sorted(map(str, numbers.tolist())) == ["0", "1", "?", "?"]
    for per_class in (True, False):
        with pytest.raises(ValueError, match="from 1 to the 0 labels, got 1"):
            mask_labels([-1, -1], 1, per_class=per_class)
    with pytest.raises(ValueError, match="labels are missing"):
        mask_labels([0.0, 1.0, np.nan], 1)


@pytest.mark.parametrize(("dtype", "mark"), [(np.int8, 255), (np.int16, 70_000), (np.uint8, -1)])
def test_mask_labels_makes_room_for_the_mark(dtype, mark):
    masked = mask_labels(np.arange(6, dtype=dtype) % 2, 1, unlabeled_label=mark, random_state=0)
    assert sorted(masked.tolist()) == sorted([0, 1] + [mark] * 4)
    with pytest.raises(TypeError, match=r"n_labeled must be an integer, got 2\.5"):
        mask_labels(masked, 2.5)


def test_fetch_mnist_from_a_folder(small_mnist):
    everything = fetch_mnist()
    assert everything.data.shape == (8, 784)
    assert everything.data.dtype == np.float32
    assert everything.target.dtype == np.int64
    assert_array_equal(everything.images[6:], small_mnist["x_test"])
    X, y = fetch_mnist(subset="test", return_X_y=True)
    assert_array_equal(X, small_mnist["x_test"].reshape(2, 784))
    assert_array_equal(y, [7, 2])
    frame = fetch_mnist(subset="train", as_frame=True)
    assert isinstance(frame.data, pd.DataFrame)
    assert isinstance(frame.target, pd.Series)
    assert frame.frame.shape == (6, 785)
    with pytest.raises(ValueError, match=r"subset must be one of 'all', 'train', 'test', got 'valid'"):
        fetch_mnist(subset="valid")


def test_fetch_mnist_from_openml(monkeypatch):
    monkeypatch.delenv("SSLDEC_DATA", raising=False)
    asked = {}

    def fake(name, **kwargs):
        asked.update(kwargs, name=name)
        return Bunch(data=np.full((3, 784), 255), target=np.array(["5", "0", "4"]))

    monkeypatch.setattr(datasets, "fetch_openml", fake)
    bunch = fetch_mnist(data_home="somewhere")
    assert asked["name"] == "mnist_784"
    assert asked["data_home"] == "somewhere"
    assert_array_equal(bunch.target, [5, 0, 4])
    assert bunch.images.shape == (3, 28, 28)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_fetch_svhn_from_openml_in_either_layout(monkeypatch, layout):
    monkeypatch.delenv("SSLDEC_DATA", raising=False)
    rng = np.random.RandomState(0)
    grey = rng.randint(0, 256, (20, 1, 32, 32)).repeat(8, axis=2)[:, :, :32]
    images = np.clip(grey + rng.randint(-9, 9, (20, 3, 32, 32)), 0, 255)
    ordered = images if layout == "channels first" else images.transpose(0, 2, 3, 1)
    fetched = Bunch(data=ordered.reshape(20, -1), target=np.array([str(1 + i % 10) for i in range(20)]))
    monkeypatch.setattr(datasets, "fetch_openml", lambda name, **kwargs: fetched)
    bunch = fetch_svhn()
    assert_array_equal(bunch.images, images)
    assert_array_equal(bunch.target[8:11], [9, 0, 1])


def test_load_npz_tells_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.delenv("SSLDEC_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SSLDEC_DATA names, which is not set"):
        load_npz("svhn_derived.npz")
    monkeypatch.setenv("SSLDEC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_npz("svhn_derived.npz")


@pytest.mark.skipif(
    not (Path(os.environ.get("SSLDEC_DATA", "missing")) / "mnist.npz").exists(),
    reason="needs mnist.npz in the folder that SSLDEC_DATA names",
)
def test_real_mnist():
    _, y = fetch_mnist(subset="test", return_X_y=True)
    assert_array_equal(y[:5], [7, 2, 1, 0, 4])
    assert len(y) == 10_000
