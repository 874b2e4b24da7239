"""What X may look like, and what is said where a network cannot learn from it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_moons

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._samples.rows import feature_moments, warn_of_scales
from sklearn_ssldec.labels import mark_unlabeled

QUICK = {"device": "cpu", "random_state": 0, "max_iter": 1, "pretrain_epochs": 2, "labeled_threshold": 0.0}


def fit(X, **names):
    y = np.where(np.arange(len(X)) < 20, np.arange(len(X)) % 2, -1)
    SSLDECClassifier(**QUICK).fit(X, y)


@pytest.mark.filterwarnings("ignore:No sample is predicted")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X + 100, r"far from 0: the mean of one is 1e\+02 .*StandardScaler"),
        (lambda X: 48 + X / 100, r"not scaled: their standard deviation is 0.00\d+\..*StandardScaler"),
        (lambda X: X * 1000, r"not scaled: their standard deviation is \d+.*StandardScaler"),
        (lambda X: X * [1, 1e5], "differ in scale.*StandardScaler"),
    ],
)
def test_features_that_are_not_scaled_are_named_with_the_scaler(change, message):
    X, _ = make_moons(200, noise=0.1, random_state=0)
    with pytest.warns(UserWarning, match=message) as caught:
        fit(change(X))
    assert all(warning.filename == __file__ for warning in caught if "StandardScaler" in str(warning.message))


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_features_of_an_ordinary_scale_pass_in_silence(scale):
    rng = np.random.default_rng(0)
    X = scale * rng.standard_normal((200, 4)) + scale
    X[:, 3] = rng.random(200) < 0.1  # a column of a one-hot encoding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scales(X, feature_moments(X))


@pytest.mark.filterwarnings("ignore:No sample is predicted")
@pytest.mark.parametrize("scale", [lambda c: c, lambda c: (c - c.mean()) / c.std(), lambda c: -0.01 * c])
def test_a_column_that_counts_the_rows_is_named(scale):
    X, _ = make_moons(200, noise=0.1, random_state=0)
    count = scale(np.arange(200.0))
    table = pd.DataFrame({"length": X[:, 0], "Unnamed: 0": count, "width": X[:, 1]})
    with pytest.warns(UserWarning, match="Column 'Unnamed: 0' of X goes up by the same step"):
        fit(table)
    with pytest.warns(UserWarning, match="Column 1 of X goes up by the same step"):
        fit(table.to_numpy())


def test_columns_that_only_look_like_a_count_at_first_pass():
    X = np.random.default_rng(0).standard_normal((50, 2))
    X[:20, 1] = np.arange(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scales(X, feature_moments(X))
        warn_of_scales(np.ones((50, 2)), feature_moments(np.ones((50, 2))))


def test_masked_values_are_refused_as_missing_ones_are():
    X, truth = make_moons(60, noise=0.1, random_state=0)
    y = np.ma.array(truth, mask=np.arange(60) >= 20)
    with pytest.raises(ValueError, match=r"y is a masked array: 40 of its 60 labels .*mark_unlabeled"):
        SSLDECClassifier(**QUICK).fit(X, y)
    y = mark_unlabeled(y)
    clf = SSLDECClassifier(**QUICK).fit(np.ma.array(X, mask=False), y)
    masked = np.ma.array(X, mask=np.arange(120).reshape(60, 2) < 3)
    for call in (lambda X: clf.fit(X, y), clf.predict):
        with pytest.raises(ValueError, match="X is a masked array: 3 of its values are masked"):
            call(masked)


@pytest.mark.parametrize("input_shape", [(), (8.0, 8), ("8", 8), (-8, -8), (0, 64)])
def test_shapes_of_images_are_positive_whole_numbers(input_shape):
    with pytest.raises(ValueError, match="input_shape must hold positive whole numbers"):
        SSLDECClassifier(input_shape=input_shape, **QUICK).fit(np.zeros((20, 64)), [0, 1] * 5 + [-1] * 10)
