import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.naive_bayes import GaussianNB

from sklearn_ssldec import SSLDECClassifier

QUICK = {
    "module__hidden_units": (16, 16),
    "pretrain_epochs": 30,
    "max_iter": 2,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted(blobs):
    X, y, _ = blobs
    return SSLDECClassifier(**QUICK).fit(X, y)


# What it learns -----------------------------------------------------------------------------------------


def test_default_parameters_recover_the_half_moons(moons):
    X, y, truth = moons
    clf = SSLDECClassifier(random_state=0).fit(X, y)
    assert np.mean(clf.supervised_transduction_ == truth) < 0.99
    assert np.mean(clf.predict(X) == truth) >= 0.99


def test_max_iter_0_is_the_supervised_model(moons):
    X, y, _ = moons
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0}).fit(X, y)
    assert (clf.n_iter_, clf.termination_condition_) == (0, "supervised")
    labeled = y != -1
    alone = SSLDECClassifier(**QUICK, augment=None, unlabeled_label=None).fit(X[labeled], y[labeled])
    unaugmented = SSLDECClassifier(**{**QUICK, "max_iter": 0}, augment=None).fit(X, y)
    assert_allclose(unaugmented.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_fitted_attributes(blobs, fitted):
    X, _, truth = blobs
    assert_array_equal(fitted.classes_, [0, 1, 2])
    assert fitted.n_features_in_ == 2
    assert fitted.label_distributions_.shape == (150, 3)
    assert fitted.label_distributions_.dtype == np.float32
    assert_allclose(fitted.label_distributions_, fitted.predict_proba(X), atol=1e-6)
    assert fitted.transduction_.shape == (150,)
    assert np.mean(fitted.transduction_ == truth) > 0.98
    assert fitted.cluster_centers_.shape == (3, 3)
    assert len(fitted.nets_) == 1
    assert fitted.n_iter_ == len(fitted.history_) - 1
    assert set(pd.DataFrame(fitted.history_).columns) == {
        "estimator", "iteration", "loss", "labeled_accuracy", "share_changed", "subset_size",
        "labeled_epochs", "n_absent_classes", "seconds",
    }  # fmt: skip


def test_transduction_keeps_the_given_labels(blobs):
    X, y, truth = blobs
    y = y.copy()
    wrong = np.flatnonzero(truth == 0)[:2]
    y[wrong] = 1
    with pytest.warns(ConvergenceWarning, match="labeled_threshold"):
        clf = SSLDECClassifier(**QUICK, cycle__max_labeled_epochs=2).fit(X, y)
    assert_array_equal(clf.transduction_[y != -1], y[y != -1])


def test_transform_is_the_embedding(blobs, fitted):
    X, _, _ = blobs
    Z = fitted.transform(X)
    kernel = 1 / (1 + ((Z[:, None] - fitted.cluster_centers_[None]) ** 2).sum(-1))  # eq. 1, alpha = 1
    assert_allclose(kernel / kernel.sum(1, keepdims=True), fitted.predict_proba(X), rtol=1e-4, atol=1e-6)
    assert_array_equal(fitted.get_feature_names_out(), [f"ssldecclassifier{i}" for i in range(3)])


def test_probabilities_are_finite_and_sum_to_1_far_from_the_data(fitted):
    far = np.array([[1e6, -1e6], [1e12, 0], [-1e30, 1e30], [3e38, -3e38]])
    probabilities = fitted.predict_proba(far)
    assert np.isfinite(probabilities).all()
    assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 9, 15, 17, 149])
def test_prediction_does_not_depend_on_the_batch(blobs, fitted, n):
    X, _, _ = blobs
    assert_array_equal(fitted.predict_proba(X)[:n], fitted.predict_proba(X[:n]))


def test_score_counts_labeled_rows_only(blobs, fitted):
    X, y, truth = blobs
    labeled = y != -1
    assert fitted.score(X, y) == np.mean(fitted.predict(X[labeled]) == truth[labeled])
    y = y.copy()
    y[np.flatnonzero(labeled)[:5]] = (truth[labeled][:5] + 1) % 3
    assert fitted.score(X, y) == pytest.approx(10 / 15)
    assert fitted.score(X, y, sample_weight=(y == truth).astype(float)) == 1
    with pytest.raises(ValueError, match=r"score needs at least one labeled sample.*-1"):
        fitted.score(X[~labeled], y[~labeled])


# Labels and input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "kind"), [(["ant", "bee", "cat"], "U"), ([10, 20, 30], "i"), ([0.0, 1.0, 2.0], "f")]
)
def test_labels_of_any_kind(blobs, names, kind):
    X, y, truth = blobs
    y = np.array([names[c] if c >= 0 else -1 for c in y], dtype=object)
    clf = SSLDECClassifier(**QUICK).fit(X, y)
    assert clf.predict(X).dtype.kind == kind
    assert np.mean(clf.predict(X) == np.array(names)[truth]) > 0.98
    assert clf.score(X, y) == 1
    assert clf.score(X, np.array(names)[truth]) > 0.98


def test_bool_labels():
    X, truth = make_blobs(60, centers=[[0, 0], [4, 4]], random_state=0)
    y = np.array([bool(c) if i < 10 else -1 for i, c in enumerate(truth)], dtype=object)
    clf = SSLDECClassifier(**QUICK).fit(X, y)
    assert clf.predict(X).dtype == bool
    assert clf.score(X, y) == 1


def test_unlabeled_label_none_takes_minus_1_as_a_class():
    X, truth = make_blobs(60, centers=[[0, 0], [4, 4]], random_state=0)
    clf = SSLDECClassifier(**QUICK, unlabeled_label=None).fit(X, 2 * truth - 1)
    assert_array_equal(clf.classes_, [-1, 1])
    assert clf.score(X, 2 * truth - 1) == 1
    assert (clf.n_iter_, clf.termination_condition_) == (1, "supervised")


def test_no_unlabeled_sample_warns_and_trains_supervised(blobs):
    X, _, truth = blobs
    with pytest.warns(UserWarning, match=r"no unlabeled sample.*unlabeled_label=None"):
        clf = SSLDECClassifier(**QUICK).fit(X, truth)
    assert clf.termination_condition_ == "supervised"
    assert clf.score(X, truth) > 0.98


def test_pandas_in(blobs):
    X, y, _ = blobs
    frame = pd.DataFrame(X, columns=["width", "height"])
    clf = SSLDECClassifier(**QUICK).fit(frame, pd.Series(y))
    assert_array_equal(clf.feature_names_in_, ["width", "height"])
    assert_array_equal(clf.predict(frame), SSLDECClassifier(**QUICK).fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame[["height", "width"]])


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (np.zeros((4, 2)), [0, 1, -1], ValueError, "inconsistent numbers of samples"),
        (np.zeros((0, 2)), [], ValueError, "0 sample"),
        (np.zeros((4, 0)), [0, 1, -1, -1], ValueError, "0 feature"),
        (np.zeros(4), [0, 1, -1, -1], ValueError, "Expected 2D array"),
        ([[0.0], [np.nan], [1.0]], [0, 1, -1], ValueError, "Input X contains NaN"),
        ([[0.0], [np.inf], [1.0]], [0, 1, -1], ValueError, "Input X contains infinity"),
        ([[0.0], [1e200], [1.0]], [0, 1, -1], ValueError, "too large for dtype"),
        ([["a"], ["b"], ["c"]], [0, 1, -1], ValueError, "could not convert"),
        (np.zeros((3, 1)), [-1, -1, -1], ValueError, "no labeled sample"),
        (np.zeros((3, 1)), [1, 1, -1], ValueError, "one class"),
        (np.zeros((3, 1)), None, ValueError, "requires y"),
    ],
)
def test_refused_input(X, y, error, message):
    with pytest.raises(error, match=message):
        SSLDECClassifier(**QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0}, "'alpha' parameter .* must be .*float in the range"),
        ({"n_estimators": 0}, "'n_estimators'"),
        ({"max_iter": -1}, "'max_iter'"),
        ({"tol": 2.0}, "'tol'"),
        ({"batch_size": 1}, "'batch_size'"),
        ({"balance": 1.5}, "'balance'"),
        ({"augment": "noise"}, "'augment'"),
        ({"lr": (1e-2,)}, r"lr must be a positive number or a tuple of two.*got \(0.01,\)"),
        ({"pretrain_lr": (1e-2, 0.0)}, "pretrain_lr must be a positive number or a tuple of two"),
        ({"device": "toaster"}, "device must be 'auto' or a torch device.*'toaster'"),
        ({"class_prior": [0.5, 0.5]}, "positive share for each of the 3 classes"),
        ({"class_prior": [0.5, 0.5, 0.0]}, r"positive share.*got \[0.5, 0.5, 0.0\]"),
        ({"module__depth": 3}, "Invalid parameter module__depth for module MLP.*module__hidden_units"),
    ],
)
def test_refused_parameters(blobs, parameters, message):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=message):
        SSLDECClassifier(**{**QUICK, **parameters}).fit(X, y)


def test_misspelt_parameter(blobs):
    X, y, _ = blobs
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'max_iters'.*Did you mean 'max_iter'"):
        SSLDECClassifier(max_iters=3).fit(X, y)


def test_predict_before_fit():
    with pytest.raises(NotFittedError):
        SSLDECClassifier().predict([[0.0]])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # it learns nothing
def test_features_of_different_scales_warn(blobs):
    X, y, _ = blobs
    with pytest.warns(UserWarning, match=r"differ in scale.*from 2.5 to 3e\+03.*StandardScaler"):
        SSLDECClassifier(**QUICK, labeled_threshold=0).fit(X * [1, 2000], y)
    constant = np.c_[X, np.zeros(len(X))]
    assert SSLDECClassifier(**QUICK).fit(constant, y).n_features_in_ == 3


# Rare classes and proportions -------------------------------------------------------------------------------


def imbalanced(share, seed=0):
    """Two touching blobs, of which the second holds `share` of 1000 samples, 10 labels each."""
    n_rare = int(1000 * share)
    X, truth = make_blobs([1000 - n_rare, n_rare], centers=[[0, 0], [3, 0]], random_state=seed)
    y = np.full(1000, -1)
    for c in (0, 1):
        y[np.flatnonzero(truth == c)[:10]] = c
    return X, y, truth


def test_class_prior_keeps_known_proportions():
    X, y, truth = imbalanced(0.05)
    parameters = {**QUICK, "max_iter": 20, "tol": 0.0}
    plain = SSLDECClassifier(**parameters).fit(X, y)
    known = SSLDECClassifier(**parameters, class_prior=[0.95, 0.05]).fit(X, y)
    assert known.predict_proba(X).mean(0)[1] < plain.predict_proba(X).mean(0)[1]
    assert known.score(X, truth) >= plain.score(X, truth)
    assert known.score(X, truth) > 0.95


def test_class_prior_of_the_labeled_samples(blobs):
    X, y, _ = blobs
    by_name = SSLDECClassifier(**QUICK, class_prior="labeled").fit(X, y)
    by_value = SSLDECClassifier(**QUICK, class_prior=[5, 5, 5]).fit(X, y)
    assert_array_equal(by_name.predict_proba(X), by_value.predict_proba(X))


def test_a_series_of_shares_goes_by_its_index(blobs):
    X, y, _ = blobs
    expected = SSLDECClassifier(**QUICK, class_prior=[0.2, 0.3, 0.5]).fit(X, y).predict_proba(X)
    shares = pd.Series([0.5, 0.2, 0.3], index=[2, 0, 1])  # as value_counts(normalize=True) has them
    assert_array_equal(SSLDECClassifier(**QUICK, class_prior=shares).fit(X, y).predict_proba(X), expected)
    texts = np.array(["a", "b", "c", -1], dtype=object)[y]
    for shares in (pd.Series([0.2, 0.3, 0.5]), pd.Series({"c": 0.5, "b": 0.3, "a": 0.2})):
        clf = SSLDECClassifier(**QUICK, class_prior=shares).fit(X, texts)
        assert_array_equal(clf.predict_proba(X), expected)
    with pytest.raises(ValueError, match=r"class_prior must have a share for each class, \[0, 1, 2\]"):
        SSLDECClassifier(**QUICK, class_prior=pd.Series({1: 0.2, 2: 0.3, -1: 0.5})).fit(X, y)


def test_unreachable_threshold_warns_and_ends():
    X, y, _ = imbalanced(0.5)
    X[np.flatnonzero(y == 1)[0]] = X[np.flatnonzero(y == 0)[0]]  # one point with both labels
    message = r"accuracy of 0\.\d+, below labeled_threshold=1.0, .*cycle__max_labeled_epochs=3 epochs.*lower"
    with pytest.warns(ConvergenceWarning, match=message):
        clf = SSLDECClassifier(**QUICK, cycle__max_labeled_epochs=3).fit(X, y)
    assert [record["labeled_epochs"] for record in clf.history_[1:]] == [3, 3]


def test_class_that_is_never_predicted_warns_and_its_label_takes_part():
    X, y, _ = imbalanced(0.5)
    y = np.where(y == 1, -1, y)
    y[np.argmin(np.abs(X).sum(1))] = 1  # one label in the middle of the other class, which nothing repairs
    parameters = {**QUICK, "cycle__labeled_weight": 0, "labeled_threshold": 0.5, "pretrain_epochs": 10}
    with pytest.warns(
        ConvergenceWarning, match=r"No sample is predicted to be of class 1.*cycle__labeled_weight"
    ):
        clf = SSLDECClassifier(**parameters, augment=None).fit(X, y)
    assert clf.history_[-1]["n_absent_classes"] == 1
    assert clf.history_[-1]["subset_size"] == 100  # 10 % of 1000 samples in equal shares


# Ensembles, reproducibility, the caller's world -----------------------------------------------------------


def test_ensemble_averages_networks_of_different_seeds(blobs):
    X, y, _ = blobs
    clf = SSLDECClassifier(**QUICK, n_estimators=3).fit(X, y)
    members = [net.soft_assignment(torch.from_numpy(X).float()).numpy() for net in clf.nets_]
    assert not np.allclose(members[0], members[1], atol=1e-4)
    assert_allclose(clf.predict_proba(X), np.mean(members, axis=0), atol=1e-6)
    assert clf.cluster_centers_.shape == (3, 3, 3)
    assert clf.transform(X).shape == (150, 9)
    assert {record["estimator"] for record in clf.history_} == {0, 1, 2}


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_ensemble_is_the_same_for_any_n_jobs(blobs, backend):
    X, y, _ = blobs
    expected = SSLDECClassifier(**QUICK, n_estimators=2).fit(X, y).predict_proba(X)
    with joblib.parallel_backend(backend):
        got = SSLDECClassifier(**QUICK, n_estimators=2, n_jobs=2).fit(X, y).predict_proba(X)
    assert_array_equal(got, expected)


def test_seeds(blobs):
    X, y, _ = blobs
    one, again, other = (SSLDECClassifier(**{**QUICK, "random_state": s}).fit(X, y) for s in (1, 1, 2))
    assert_array_equal(one.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_callers_world_is_untouched(blobs):
    X, y, _ = blobs
    X, y = X.astype(np.float32), y.copy()
    before = X.copy(), y.copy()
    torch.manual_seed(5)
    np.random.seed(5)
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    clf = SSLDECClassifier(**QUICK).fit(X, y)
    clf.predict(X)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert_array_equal(np.random.get_state()[1], state[1])
    assert torch.get_num_threads() == state[2]
    assert torch.get_default_dtype() == torch.float32
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])


def test_random_state_of_the_caller_moves_on(blobs):
    X, y, _ = blobs
    rng = np.random.RandomState(0)
    clf = SSLDECClassifier(**{**QUICK, "random_state": rng})
    assert not np.array_equal(clf.fit(X, y).predict_proba(X), clf.fit(X, y).predict_proba(X))


def test_read_only_input(blobs):
    X, y, _ = blobs
    X = X.astype(np.float32)
    expected = SSLDECClassifier(**QUICK).fit(X, y).predict_proba(X)
    X.flags.writeable = False
    assert_array_equal(SSLDECClassifier(**QUICK).fit(X, y).predict_proba(X), expected)


def test_threads_fit_reproducibly(blobs):
    X, y, _ = blobs
    expected = SSLDECClassifier(**QUICK).fit(X, y).predict_proba(X)
    got = [None] * 3

    def fit(i):
        got[i] = SSLDECClassifier(**QUICK).fit(X, y).predict_proba(X)

    threads = [threading.Thread(target=fit, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for probabilities in got:
        assert_array_equal(probabilities, expected)


def test_pickle_and_joblib(blobs, fitted, tmp_path):
    X, _, _ = blobs
    expected = fitted.predict_proba(X)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), expected)
    joblib.dump(fitted, tmp_path / "model.joblib")
    assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(X), expected)


def test_refit_starts_afresh():
    X, truth = load_iris(return_X_y=True)
    y = np.where(np.arange(150) % 10 == 0, truth, -1)
    clf = SSLDECClassifier(**QUICK, labeled_threshold=0.5, teachers=GaussianNB()).fit(X, y)
    first = clf.predict_proba(X)
    assert_array_equal(clf.fit(X, y).predict_proba(X), first)
    assert clf.fit(X[:100, :2], np.where(y == 2, -1, y)[:100]).n_features_in_ == 2


def test_each_network_of_an_ensemble_is_an_estimator_of_its_own(blobs):
    X, y, _ = blobs
    with pytest.raises(AttributeError, match="not fitted"):
        SSLDECClassifier().estimators_  # noqa: B018
    clf = SSLDECClassifier(**QUICK, n_estimators=3).fit(X, y)
    members = clf.estimators_
    assert len(members) == 3
    assert_allclose(np.mean([m.predict_proba(X) for m in members], axis=0), clf.predict_proba(X), rtol=1e-6)
    assert all(m.nets_[0] is net for m, net in zip(members, clf.nets_, strict=True))
    assert [m.cluster_centers_.shape for m in members] == [clf.cluster_centers_.shape[1:]] * 3
    assert members[1].transform(X).shape == (len(X), clf.transform(X).shape[1] // 3)
    assert {r["estimator"] for r in members[2].history_} == {0}
    assert clf.n_estimators == 3
    assert members[0].estimators_[0].predict(X).shape == (len(X),)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_shares_of_classes_by_name():
    X, y, _ = imbalanced(0.5)
    quick = {**QUICK, "labeled_threshold": 0.5}
    by_order = SSLDECClassifier(**quick, class_prior=[0.8, 0.2]).fit(X, y)
    by_name = SSLDECClassifier(**quick, class_prior={1: 0.2, 0: 0.8}).fit(X, y)
    assert_array_equal(by_order.predict_proba(X), by_name.predict_proba(X))
    with pytest.raises(
        ValueError, match=r"class_prior must have a share for each class, \[0, 1\].*got .*\[0, 2\]"
    ):
        SSLDECClassifier(class_prior={0: 0.3, 2: 0.7}).fit(X, y)
    with pytest.raises(ValueError, match="class_prior must hold a positive share"):
        SSLDECClassifier(class_prior={0: 0.3, 1: "much"}).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_a_device_that_is_not_there_is_named_with_those_that_are(device, blobs):
    with pytest.raises(ValueError, match=r"device=.cuda.* is not there: torch .* finds cpu"):
        SSLDECClassifier(device=device).fit(*blobs[:2])
