"""scikit-learn's tools around the classifier give the right answer when y holds -1."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssldec import SSLDECClassifier

QUICK = {
    "module__hidden_units": (16, 16),
    "pretrain_epochs": 30,
    "max_iter": 2,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def blobs():
    """Three blobs on scales of 1 and 1000, 60 of 240 labeled: X, y with -1, true labels."""
    X, truth = make_blobs(240, centers=[[0, 0], [3, 3], [-3, 3]], cluster_std=0.6, random_state=0)
    y = truth.copy()
    y[np.random.RandomState(0).permutation(240)[60:]] = -1
    return X * [1, 1000], y, truth


@pytest.fixture
def pipeline():
    return make_pipeline(StandardScaler(), SSLDECClassifier(**QUICK))


def test_cross_val_score_is_the_accuracy_on_true_labels(blobs, pipeline):
    X, y, truth = blobs
    scores = cross_val_score(pipeline, X, y, cv=4)
    expected = [
        clone(pipeline).fit(X[train], y[train]).score(X[test][y[test] != -1], truth[test][y[test] != -1])
        for train, test in StratifiedKFold(4).split(X, y)
    ]
    assert_allclose(scores, expected)
    assert scores.mean() > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one hidden unit is too few
def test_grid_search_over_routed_and_own_parameters(blobs, pipeline):
    X, y, truth = blobs
    grid = {
        "ssldecclassifier__module__hidden_units": [(1,), (16, 16)],
        "ssldecclassifier__alpha": [1.0, 2.0],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_["ssldecclassifier__module__hidden_units"] == (16, 16)
    assert search.best_score_ > 0.95
    assert np.mean(search.predict(X) == truth) > 0.95
    layers = search.best_estimator_[-1].nets_[0].module_.embedding
    assert [layer.out_features for layer in layers.modules() if hasattr(layer, "out_features")] == [16, 16, 3]


def test_grid_search_in_processes(blobs, pipeline):
    X, y, _ = blobs
    grid = {"ssldecclassifier__alpha": [1.0, 2.0]}
    one = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    two = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_pipeline_scales(blobs, pipeline):
    X, y, truth = blobs
    assert pipeline.fit(X, y).score(X, truth) > 0.97
    assert pipeline.score(X, y) > 0.97


def test_clone_and_parameters():
    clf = SSLDECClassifier(alpha=2.0, module__hidden_units=(3,), optimizer__betas=(0.5, 0.9))
    copied = clone(clf)
    assert copied is not clf
    assert copied.get_params() == clf.get_params()
    copied.set_params(module__hidden_units=(4,), alpha=3.0)
    assert copied.get_params()["module__hidden_units"] == (4,)
    assert copied.alpha == 3.0
    assert clf.get_params()["module__hidden_units"] == (3,)
    with pytest.raises(ValueError, match="Invalid parameter 'beta'"):
        clf.set_params(beta=1)
    assert "module__hidden_units=(3,)" in repr(clf)


def test_decision_boundary_display(moons):
    X, y, _ = moons
    clf = SSLDECClassifier(**QUICK).fit(X, y)
    display = DecisionBoundaryDisplay.from_estimator(clf, X, response_method="predict", grid_resolution=30)
    points = np.c_[display.xx0.ravel(), display.xx1.ravel()]
    assert_array_equal(display.response.ravel(), clf.predict(points))
    assert set(np.unique(display.response)) == {0, 1}


def test_set_output_pandas(blobs):
    X, y, _ = blobs
    frame = pd.DataFrame(X, columns=["a", "b"], index=[f"row{i}" for i in range(240)])
    pipe = make_pipeline(StandardScaler(), SSLDECClassifier(**QUICK)).set_output(transform="pandas")
    embedded = pipe.fit(frame, y).transform(frame)
    assert list(embedded.columns) == ["ssldecclassifier0", "ssldecclassifier1", "ssldecclassifier2"]
    assert list(embedded.index) == list(frame.index)
    assert (embedded.dtypes == np.float32).all()
