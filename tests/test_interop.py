"""With the real packages that people use beside scikit-learn; skipped where they are absent."""

import numpy as np
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.model_selection import SemiSupervisedSplitter, cross_val_predict_labeled

QUICK = {"max_iter": 2, "pretrain_epochs": 20, "random_state": 0, "device": "cpu"}


def test_scikit_activeml_queries_the_most_uncertain_rows(moons):
    """Label what is most uncertain, and fit again."""
    reason = "needs scikit-activeml, of the interop extra"
    uncertainty_scores = pytest.importorskip("skactiveml.pool", reason=reason).uncertainty_scores
    X, y, truth = moons
    y = y.copy()
    clf = SSLDECClassifier(**QUICK).fit(X, y)
    before = clf.score(X, truth)
    for _ in range(3):
        unlabeled = np.flatnonzero(y == -1)
        scores = uncertainty_scores(clf.predict_proba(X[unlabeled]), method="margin_sampling")
        queried = unlabeled[np.argsort(scores)[-6:]]
        y[queried] = truth[queried]
        clf.fit(X, y)
    assert np.sum(y != -1) == 8 + 3 * 6
    assert_array_equal(clf.transduction_[y != -1], y[y != -1])
    assert clf.score(X, truth) > max(before, 0.95)


def test_scikit_activeml_queries_by_uncertainty_committee_and_core_set(moons):
    """What docs/how_to/labeling_loop.md shows."""
    reason = "needs scikit-activeml, of the interop extra"
    pool = pytest.importorskip("skactiveml.pool", reason=reason)
    classifier = pytest.importorskip("skactiveml.classifier", reason=reason)
    X, y, _ = moons
    known, settings = {"classes": [0, 1], "missing_label": -1}, {"missing_label": -1, "random_state": 0}
    clf = SSLDECClassifier(**QUICK, n_estimators=2).fit(X, y)

    by_margin = pool.UncertaintySampling(method="margin_sampling", **settings)
    fitted = classifier.SklearnClassifier(clf, **known)
    queried = by_margin.query(X, y, fitted, fit_clf=False, batch_size=5)
    unlabeled, margins = np.flatnonzero(y == -1), np.abs(np.diff(clf.predict_proba(X), axis=1))[:, 0]
    assert set(queried) == set(unlabeled[np.argsort(margins[unlabeled])[:5]])

    committee = [classifier.SklearnClassifier(member, **known) for member in clf.estimators_]
    by_votes = pool.QueryByCommittee(method="vote_entropy", **settings)
    queried = by_votes.query(X, y, committee, fit_ensemble=False, batch_size=5)
    votes = [member.predict(X) for member in clf.estimators_]
    assert (y[queried] == -1).all()
    assert (votes[0] != votes[1])[queried].all()

    Z = clf.transform(X)
    (farthest,) = pool.CoreSet(**settings).query(Z, y)
    distances = np.linalg.norm(Z[:, None] - Z[y != -1], axis=2).min(axis=1)
    assert distances[farthest] == pytest.approx(distances.max())


def test_scikit_activeml_fits_on_the_unlabeled_rows_too(moons):
    reason = "needs scikit-activeml, of the interop extra"
    classifier = pytest.importorskip("skactiveml.classifier", reason=reason)
    X, y, _ = moons
    clf = classifier.SklearnClassifier(
        SSLDECClassifier(**QUICK), classes=[0, 1], missing_label=-1, include_unlabeled_samples=True
    )
    own = SSLDECClassifier(**QUICK).fit(X, y)
    assert_array_equal(clf.fit(X, y).predict_proba(X), own.predict_proba(X))


@pytest.mark.parametrize("data", ["rows", "images"])
def test_onnx_export_gives_the_same_probabilities(data, moons, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx, of the interop extra")
    pytest.importorskip("onnxscript", reason="needs onnxscript, of the interop extra")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime, of the interop extra")
    if data == "rows":
        X, y, _ = moons
    else:
        digits, y = load_digits(n_class=2, return_X_y=True)
        X, y = digits.reshape(-1, 8, 8), np.where(np.arange(len(y)) < 20, y, -1)
    clf = SSLDECClassifier(**{**QUICK, "pretrain_epochs": 5}).fit(X, y)
    clf.set_params(net__predict_views=False)  # which the network does not have
    network = clf.nets_[0].module_.eval()
    samples = np.ascontiguousarray(X[:7], dtype=np.float32).reshape(7, *clf.input_shape_)
    path = str(tmp_path / "network.onnx")
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        network,
        (torch.from_numpy(samples[:2]),),
        path,
        input_names=["x"],
        output_names=["log_q"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (log_q,) = session.run(["log_q"], {"x": samples})
    assert_allclose(np.exp(log_q), clf.predict_proba(X[:7]), atol=1e-5)


@pytest.fixture(scope="module")
def dask_client():
    distributed = pytest.importorskip("distributed", reason="needs dask, of the interop extra")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.usefixtures("dask_client")
def test_dask_trains_the_networks_of_an_ensemble(moons):
    X, y, _ = moons
    here = SSLDECClassifier(n_estimators=2, **QUICK).fit(X, y)
    with parallel_config("dask"):
        there = SSLDECClassifier(n_estimators=2, n_jobs=2, **QUICK).fit(X, y)
    assert_array_equal(there.predict_proba(X), here.predict_proba(X))


# Fits in threads of one process share Python's warning filters: one may undo what another ignores.
@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("dask_client")
def test_dask_runs_a_grid_search(moons):
    X, y, _ = moons
    grid = {"alpha": [1.0, 3.0]}
    search = GridSearchCV(SSLDECClassifier(**QUICK), grid, cv=SemiSupervisedSplitter(2))
    here = search.fit(X, y).cv_results_["mean_test_score"]
    with parallel_config("dask"):
        there = search.fit(X, y).cv_results_["mean_test_score"]
    assert_array_equal(there, here)


def test_prediction_sets_of_crepes_hold_the_true_class_as_often_as_they_should():
    """What docs/how_to/prediction_sets.md shows."""
    crepes = pytest.importorskip("crepes", reason="needs crepes, of the interop extra")
    hinge = pytest.importorskip("crepes.extras").hinge
    X, truth = make_blobs(500, centers=[[0, 0], [2, 2]], random_state=0)
    y = np.where(np.arange(500) < 100, truth, -1)
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0}).fit(X, y)
    rows, out_of_fold = cross_val_predict_labeled(clf, X, y, cv=3, method="predict_proba")
    conformal = crepes.ConformalClassifier().fit(hinge(out_of_fold, clf.classes_, y[rows]))
    sets = conformal.predict_set(hinge(clf.predict_proba(X[100:])), confidence=0.95, smoothing=False)
    assert 0.91 < sets[np.arange(400), truth[100:]].mean() < 0.99
    assert sets.sum(axis=1).mean() < 1.5


def test_prediction_sets_of_mapie_are_those_of_crepes_on_held_out_labels(moons):
    crepes = pytest.importorskip("crepes", reason="needs crepes, of the interop extra")
    hinge = pytest.importorskip("crepes.extras").hinge
    mapie = pytest.importorskip("mapie.classification", reason="needs MAPIE, of the interop extra")
    X, y, truth = moons
    held_out = np.flatnonzero(y == -1)[:50]
    clf = SSLDECClassifier(**QUICK).fit(np.delete(X, held_out, axis=0), np.delete(y, held_out))
    split = mapie.SplitConformalClassifier(FrozenEstimator(clf), confidence_level=0.9)
    split.conformalize(X[held_out], truth[held_out])
    known = hinge(clf.predict_proba(X[held_out]), clf.classes_, truth[held_out])
    conformal = crepes.ConformalClassifier().fit(known)
    others = np.delete(X, held_out, axis=0)
    sets = conformal.predict_set(hinge(clf.predict_proba(others)), confidence=0.9, smoothing=False)
    assert_array_equal(split.predict_set(others)[1][:, :, 0], sets.astype(bool))
