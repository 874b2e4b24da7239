"""The recipe for tables: shares of the classes, teachers, and what the defaults make of them."""

import re
import warnings
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification, make_moons
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from sklearn.tree import DecisionTreeClassifier

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._estimators import ensemble
from sklearn_ssldec._estimators.defaults import FEW_FEATURES, auto_table, choose_auto, pretrain_epochs
from sklearn_ssldec._estimators.guidance import (
    MAX_GRAPH_ROWS,
    MAX_TRIAL_ROWS,
    MIN_LEFT_OUT,
    Guidance,
    GuidedTarget,
    Teacher,
    are_drawn_by_class,
    class_shares,
    doubtful_share,
    mixture_shares,
    smoothed_shares,
    table_teachers,
    teach,
    weighted_gain,
)
from sklearn_ssldec._estimators.methods import prior_target
from sklearn_ssldec.clustering import OneHot
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.model_selection import compare_with_supervised
from sklearn_ssldec.networks import MLP

CPU = torch.device("cpu")
# Fits where it does not matter how well the network learns: it may miss the smaller class.
SHORT = {"pretrain_epochs": 5, "min_batches": 1, "device": "cpu", "cycle__fallback": False}
short_fit = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """The forest among the teachers takes most of the time of a short fit."""
    monkeypatch.setattr("sklearn.ensemble.RandomForestClassifier", partial(RandomForestClassifier, 20))


def table(n=300, weights=(0.9, 0.1), n_labeled=40, seed=0):
    """Rows of six features in two classes of unequal size, and labels of random rows."""
    X, truth = make_classification(
        n,
        6,
        n_informative=4,
        n_redundant=0,
        weights=list(weights),
        class_sep=1.5,
        flip_y=0,
        random_state=seed,
    )
    X = (X - X.mean(0)) / X.std(0)
    rows = np.random.default_rng(seed).permutation(n)[:n_labeled]
    y = np.full(n, -1)
    y[rows] = truth[rows]
    return np.float32(X), y, truth


# The shares of a mixture -----------------------------------------------------------------------------------


def test_mixture_shares_first_step_by_hand():
    # From equal shares r is (3/4, 1/4) and (1/2, 1/2), its mean (5/8, 3/8); two samples that count as 4, and
    # one prior count each: (1 + 4 * 5/8) / 6.
    likelihoods = np.array([[0.6, 0.2], [0.1, 0.1]])
    assert_allclose(mixture_shares(likelihoods, np.ones(2), 4, max_iter=1), [3.5 / 6, 2.5 / 6])


def test_mixture_shares_of_certain_samples_are_their_shares_and_the_prior():
    # Nothing to iterate: three samples of part 0 and one of part 1, prior counts 2 and 1.
    likelihoods = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert_allclose(mixture_shares(likelihoods, np.array([2.0, 1.0]), 4), [5 / 7, 2 / 7])


def test_mixture_shares_are_a_fixed_point():
    likelihoods = np.random.default_rng(0).random((50, 3))
    counts = np.array([3.0, 1.0, 2.0])
    shares = mixture_shares(likelihoods, counts, 20, max_iter=10_000, tol=1e-12)
    r = likelihoods * shares
    r /= r.sum(axis=1, keepdims=True)
    assert_allclose(shares, (counts + 20 * r.mean(axis=0)) / 26, atol=1e-10)


# Shares of the classes -------------------------------------------------------------------------------------


def test_smoothed_shares_by_hand():
    # The estimate is (n_j + a/k) / (n + a) with a on the grid k * 0.1 ... k * 100. Equal counts ask for the
    # largest a, a single class for the smallest.
    assert_allclose(smoothed_shares(np.array([5.0, 5.0])), [0.5, 0.5])
    assert_allclose(smoothed_shares(np.array([20.0, 0.0])), [20.1 / 20.2, 0.1 / 20.2])


def test_smoothed_shares_believe_in_differences_that_chance_does_not_explain():
    chance = np.random.default_rng(0).multinomial(50, np.full(26, 1 / 26)).astype(float)
    assert np.abs(smoothed_shares(chance) - 1 / 26).sum() < 0.2 * np.abs(chance / 50 - 1 / 26).sum()
    true = np.array([46.0, 3.0, 1.0])
    assert_allclose(smoothed_shares(true), true / 50, atol=0.02)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 10, 10], True),
        ([4, 5], True),
        ([10] * 8 + [3, 2], True),  # two classes had fewer than ten
        ([30, 15, 5], False),
        ([1, 9], False),
        ([25, 22, 28, 19, 31], False),
    ],
)
def test_labels_drawn_by_class(counts, expected):
    assert are_drawn_by_class(np.array(counts, dtype=float)) is expected


def test_random_labels_seldom_look_as_if_drawn_by_class():
    rng = np.random.default_rng(0)
    draws = rng.multinomial(50, np.full(10, 0.1), size=200)
    assert np.mean([are_drawn_by_class(counts.astype(float)) for counts in draws]) < 0.05


def posterior(n, share, learned, seed=0):
    """Return calibrated probabilities of two classes of normal variables, learned with equal shares."""
    rng = np.random.default_rng(seed)
    of_second = rng.random(n) < share
    x = rng.normal(np.where(of_second, 1.5, -1.5))
    likelihoods = np.exp(-np.square(x[:, None] - np.array([-1.5, 1.5])) / 2) * learned
    return likelihoods / likelihoods.sum(axis=1, keepdims=True)


def test_class_shares_of_labels_drawn_by_class_come_from_the_samples():
    Q = posterior(2000, 0.05, np.array([0.5, 0.5]))
    assert Q.mean(axis=0)[1] > 0.07
    assert_allclose(class_shares(Q, np.array([50.0, 50.0]))[1], 0.05, atol=0.025)


def test_equal_classes_stay_equal():
    Q = posterior(2000, 0.55, np.array([0.5, 0.5]))
    assert_allclose(class_shares(Q, np.array([10.0, 10.0])), [0.5, 0.5], atol=0.02)


def test_class_shares_of_random_labels_lie_between_labels_and_samples():
    learned = np.array([16.0, 6.0]) / 22  # 15 and 5 labels, plus one each
    Q = posterior(5000, 0.05, learned)
    share = class_shares(Q, np.array([15.0, 5.0]))[1]
    assert 0.06 < share < 0.24


# Teachers ---------------------------------------------------------------------------------------------------


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that keeps what it was fitted on, in a list that its clones share."""

    calls: ClassVar[list] = []

    def fit(self, X, y):
        self.calls.append((np.array(X), np.array(y)))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.fixture
def recorder():
    Recorder.calls.clear()
    return Recorder()


def ignorant(X, codes):
    """Stand in for a network that has learned nothing, of two classes."""
    return np.full((len(X), 2), 0.5)


class Pretrained:
    """A stand-in for a pre-trained network, whose iterations add to the probability of class 0."""

    def __init__(self, Q, added=0.0):
        self.Q, self.added = Q, added

    def go_on(self, taught):
        return self.Q + np.array([self.added, -self.added])


def taught_by(X, codes, *teachers, n_classes=2, network=ignorant):
    guidance = Guidance(tuple(map(Teacher, teachers)))
    return teach(X, codes, n_classes, guidance, 0, lambda X, codes: Pretrained(network(X, codes)))


@short_fit
def test_a_teacher_sees_the_labeled_rows_only(recorder):
    X, y, _ = table()
    SSLDECClassifier(**SHORT, teachers=recorder, max_iter=1, random_state=0).fit(X, y)
    labeled = {tuple(row) for row in X[y >= 0]}
    assert all(tuple(row) in labeled for seen, _ in recorder.calls for row in seen)
    seen, labels = recorder.calls[-1]
    assert_array_equal(seen, X[y >= 0])
    assert_array_equal(labels, y[y >= 0])


@short_fit
def test_teachers_are_not_asked_where_there_are_no_iterations(recorder):
    X, y, _ = table()
    SSLDECClassifier(**SHORT, teachers=recorder, max_iter=0, random_state=0).fit(X, y)
    assert not recorder.calls


def test_each_label_is_left_out_once(recorder):
    X, y, _ = table()
    taught_by(X, y, recorder, DummyClassifier())
    labeled = {tuple(row) for row in X[y >= 0]}
    left_out = [labeled - {tuple(row) for row in seen} for seen, _ in recorder.calls[:-1]]
    assert len(left_out) == 4
    assert set().union(*left_out) == labeled
    assert sum(map(len, left_out)) == len(labeled)
    assert len(recorder.calls[-1][0]) == len(labeled)


def test_the_only_label_of_a_class_is_not_left_out(recorder):
    X, y, _ = table()
    y[:] = -1
    y[:9] = [0, 0, 0, 0, 1, 1, 1, 1, 2]
    network = lambda X, codes: np.full((len(X), 3), 1 / 3)  # noqa: E731
    taught = taught_by(X, y, recorder, DummyClassifier(), n_classes=3, network=network)
    assert all(2 in labels for _, labels in recorder.calls)
    assert taught.probabilities.shape == (300, 3)
    assert_allclose(taught.probabilities.sum(axis=1), 1 - taught.weights[0], rtol=1e-5)


def test_weights_follow_what_is_left_out_not_what_is_known():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.full(200, -1)
    # Nothing to learn: the neighbour knows its own label, and errs elsewhere.
    y[:80] = rng.integers(2, size=80)
    _, neighbour, constant = taught_by(X, y, KNeighborsClassifier(1), DummyClassifier()).weights
    assert neighbour < 0.15 < constant
    y[:80] = X[:80, 0] > 0
    _, tree, constant = taught_by(X, y, DecisionTreeClassifier(), DummyClassifier()).weights
    assert tree > 0.8


def test_the_network_is_fitted_to_what_is_left_and_earns_its_weight():
    X, y, truth = table()
    given = []

    def omniscient(rows, codes):
        given.append(codes)
        assert_array_equal(rows, X[y >= 0])
        return np.eye(2)[truth[y >= 0]] * 0.98 + 0.01

    weights = taught_by(X, y, DummyClassifier(), network=omniscient).weights
    assert weights[0] > 0.85
    labels = y[y >= 0]
    assert len(given) == 4
    assert sum((codes == -1).sum() for codes in given) == len(labels)
    assert all((codes[codes >= 0] == labels[codes >= 0]).all() for codes in given)


def test_weights_of_a_fit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8)).astype(np.float32)
    truth = (X @ rng.normal(size=8) > 0).astype(int)  # linear: a tree of one question cannot see it
    y = np.where(np.arange(300) < 60, truth, -1)
    clf = SSLDECClassifier(
        pretrain_epochs=60,
        teachers=DecisionTreeClassifier(max_depth=1),
        max_iter=1,
        random_state=0,
        device="cpu",
    )
    network, teacher = clf.fit(X, y).target_weights_
    assert network > 0.8
    assert network + teacher == pytest.approx(1)
    assert not hasattr(clone(clf).set_params(teachers=None).fit(X, y), "target_weights_")


def test_a_semi_supervised_teacher_sees_all_rows():
    X, y, _ = table(n=200, n_labeled=10)
    teacher = LabelSpreading(kernel="knn", n_neighbors=7)
    taught, weights, _ = taught_by(X, y, teacher)
    alone = teacher.fit(X, y).label_distributions_ + 0.05
    assert_allclose(taught, weights[1] * alone / alone.sum(axis=1, keepdims=True), rtol=1e-5)


def test_a_graph_is_for_few_rows():
    assert len(table_teachers(MAX_GRAPH_ROWS)) == 2
    assert len(table_teachers(MAX_GRAPH_ROWS + 1)) == 1


@pytest.mark.parametrize("n_rows", [2, 3, 6, 7, 8])
def test_tables_of_few_rows_are_fitted(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 5)) + np.arange(n_rows)[:, None] % 2 * 4
    y = np.arange(n_rows) % 2
    y[2:-1] = -1
    clf = SSLDECClassifier(**SHORT, random_state=0, max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of two rows, both are labeled
        assert clf.fit(X, y).predict(X).shape == (n_rows,)


@pytest.mark.parametrize("wrong", [[3], [DummyClassifier], [DummyClassifier(), LabelSpreading]])
def test_teachers_must_be_classifiers(wrong):
    X, y, _ = table()
    with pytest.raises(TypeError, match="teachers must be classifiers with fit and predict_proba"):
        SSLDECClassifier(teachers=wrong, device="cpu").fit(X, y)


@short_fit
def test_teachers_are_cloned_and_stay_unfitted():
    X, y, _ = table()
    clf = SSLDECClassifier(**SHORT, teachers=[DecisionTreeClassifier(max_depth=2)], max_iter=1)
    twin = clone(clf).set_params(random_state=0).fit(X, y)
    assert twin.teachers[0].max_depth == 2
    assert not hasattr(twin.teachers[0], "tree_")


# Whether to iterate at all ----------------------------------------------------------------------------------


def gain_of(added, y, *, estimate_shares=False, prior=None, seen=None):
    """Return the gain of iterations that add to the probability of class 0, on left-out labels of `y`."""

    def pretrain(X, codes):
        if seen is not None:
            seen.append((X, codes))
        return Pretrained(np.full((len(X), 2), 0.5), added)

    X = np.arange(2.0 * len(y)).reshape(-1, 2)
    guidance = Guidance((), estimate_shares, fallback=True)
    return teach(X, y, 2, guidance, 0, pretrain, prior).gain


def two_to_one(n=1000):
    """Return 40 labels of class 0 and 20 of class 1, and -1."""
    return np.repeat([0, 1, -1], [40, 20, n - 60])


def test_weighted_gain_by_hand():
    # Weights 1/2, 1/4, 1/4: the mean is .15, deviations from it are .05, -.15 and .05, so the error is
    # the root of .025 ** 2 + .0375 ** 2 + .0125 ** 2.
    gain = weighted_gain(np.array([0.2, 0.0, 0.2]), np.array([2.0, 1.0, 1.0]))
    assert gain.mean == pytest.approx(0.15)
    assert gain.error == pytest.approx(np.sqrt(0.025**2 + 0.0375**2 + 0.0125**2))
    assert gain.n_labels == 3
    assert not gain.is_loss
    assert weighted_gain(np.array([0.2, 0.0, -0.25]), np.ones(3)).is_loss


def test_the_gain_is_that_of_left_out_labels():
    # .3 is added for 40 labels and taken from 20, so .1 is gained on average.
    gain = gain_of(0.3, two_to_one())
    assert gain.mean == pytest.approx(0.1)
    assert gain.n_labels == 60
    assert not gain.is_loss
    assert gain_of(-0.3, two_to_one()).is_loss


def test_labels_drawn_by_class_count_by_the_share_of_their_class():
    y = np.repeat([0, 1, -1], [30, 30, 940])
    assert gain_of(0.3, y).mean == pytest.approx(0)
    assert gain_of(0.3, y, prior=np.array([0.9, 0.1])).mean == pytest.approx(0.9 * 0.3 - 0.1 * 0.3)
    assert gain_of(0.3, y, estimate_shares=True).mean == pytest.approx(0)  # the network says half and half
    at_random = gain_of(0.3, two_to_one(), prior=np.array([0.9, 0.1]))
    assert at_random.mean == pytest.approx(0.1)  # these have the shares of the classes already


def test_a_trial_sees_all_labels_but_the_fold_and_some_unlabeled_samples():
    y, seen = two_to_one(2 * MAX_TRIAL_ROWS), []
    gain_of(0.3, y, seen=seen)
    assert len(seen) == 4
    for X, codes in seen:
        assert len(X) == len(codes) == 60 + MAX_TRIAL_ROWS
        assert (codes >= 0).sum() == 45
        places = (X[:, 0] // 2).astype(int)
        assert_array_equal(codes[codes >= 0], y[places][codes >= 0])


def test_too_few_labels_tell_nothing():
    few = np.repeat([0, 1, -1], [MIN_LEFT_OUT - 20, 19, 100])
    assert gain_of(-0.3, few) is None
    few[-1] = 1
    assert gain_of(-0.3, few) is not None


def misleading_shares(n_labeled=60):
    """Return a fit in which iterations pull to a class that is rare, and its rows."""
    X, y, truth = table(n=600, weights=(0.9, 0.1), n_labeled=n_labeled)
    wrong = {"class_prior": [0.02, 0.98], "teachers": None, "pretrain_epochs": 60, "max_iter": 10}
    return SSLDECClassifier(**wrong, random_state=0, device="cpu"), X, y, truth


def test_the_supervised_start_is_kept_where_iterations_do_harm():
    clf, X, y, truth = misleading_shares()
    with pytest.warns(UserWarning, match=r"so the supervised start is kept: .* 60 left-out labels by -0"):
        clf.fit(X, y)
    assert clf.fallback_ is True
    assert (clf.n_iter_, clf.termination_condition_, len(clf.history_)) == (0, "supervised", 1)
    assert clf.history_[0]["left_out_gain"] < 0 < clf.history_[0]["left_out_error"]
    assert clf.history_[0]["fallback"] is True
    assert "fallback" not in repr(clf)  # parameters only, from which an estimator can be made anew
    if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9):
        row = re.search(r">\s*fallback_\s*<.*?</tr>", clf._repr_html_(), re.DOTALL)
        assert row is not None
        assert "True" in row.group()
    start = clone(clf).set_params(max_iter=0).fit(X, y)
    assert_array_equal(clf.predict_proba(X), start.predict_proba(X))
    assert start.fallback_ is False  # nothing was tried
    harmed = clone(clf).set_params(cycle__fallback=False).fit(X, y)
    assert harmed.n_iter_ == 10
    assert harmed.score(X, truth) < clf.score(X, truth) - 0.03


def test_iterations_that_help_are_not_changed_by_the_trial():
    X, y, _ = table(n=600, weights=(0.5, 0.5), n_labeled=60)
    clf = SSLDECClassifier(pretrain_epochs=60, max_iter=5, random_state=0, device="cpu").fit(X, y)
    assert clf.fallback_ is False
    assert clf.history_[0]["left_out_gain"] > 0
    without = clone(clf).set_params(cycle__fallback=False).fit(X, y)
    assert_array_equal(clf.predict_proba(X), without.predict_proba(X))
    assert "left_out_gain" not in without.history_[0]


def test_the_comparison_tells_of_folds_that_kept_the_start():
    clf, X, y, _ = misleading_shares(n_labeled=100)
    with pytest.warns(UserWarning, match="supervised start is kept"):
        comparison = compare_with_supervised(clf, X, y, cv=2)
    assert (comparison.n_fallbacks, comparison.n_folds) == (2, 2)
    assert comparison.accuracy == comparison.supervised_accuracy
    assert "In 2 of 2 folds the unlabeled samples did not seem to help" in str(comparison)


def test_drawn_targets_cannot_fall_back():
    X, y, _ = table()
    with pytest.raises(ValueError, match="cycle__fallback needs cycle__targets='all'"):
        SSLDECClassifier(cycle__targets="drawn", cycle__fallback=True, device="cpu").fit(X, y)


# The target -------------------------------------------------------------------------------------------------


def test_guided_target_by_hand():
    # Q/2 + T is ((3/4, 1/4), (1/4, 3/4)); squares 9 : 1; f = (1, 1); shares 3/4, 1/4: 27 : 1 and 3 : 9.
    Q = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    taught = torch.tensor([[0.25, 0.25], [0.0, 0.5]])
    target = GuidedTarget(prior_target, torch.tensor([0.75, 0.25]), None, taught, 0.5)
    assert_allclose(target(Q), [[27 / 28, 1 / 28], [3 / 12, 9 / 12]], rtol=1e-6)


def test_shares_are_estimated_once_and_kept_in_the_state():
    Q = torch.from_numpy(posterior(500, 0.1, np.array([0.5, 0.5]))).float()
    target = GuidedTarget(prior_target, None, np.array([20.0, 20.0]), None)
    target(Q)
    first = target.shares
    target(Q.flip(1))
    assert target.shares is first
    resumed = GuidedTarget(prior_target, None, np.array([20.0, 20.0]), None)
    resumed.set_state(target.get_state())
    assert_array_equal(resumed(Q), target(Q))


# Smoothed labels, and the numbers of batches ----------------------------------------------------------------


def test_smoothed_labels_by_hand():
    Y = OneHot(torch.tensor([1, -1]), n_classes=4, smoothing=0.2)
    assert_allclose(Y[torch.tensor([0])], [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6)


@pytest.mark.parametrize(
    ("n_labeled", "epochs"), [(50, 150), (200, 100), (3840, 100), (6400, 60), (10**6, 10)]
)
def test_pretraining_counts_batches(n_labeled, epochs):
    auto = auto_table(2000, np.ones(5), CPU)
    assert pretrain_epochs(n_labeled, 128, auto) == epochs


@short_fit
def test_an_iteration_has_at_most_max_rows():
    X, y, _ = table()
    clf = SSLDECClassifier(**SHORT, max_iter=2, cycle__max_rows=100, random_state=0)
    assert [record["subset_size"] for record in clf.fit(X, y).history_[1:]] == [100, 100]
    balanced = clf.set_params(balance=0.5).fit(X, y)
    assert [record["subset_size"] for record in balanced.history_[1:]] == [100, 100]


# The defaults ----------------------------------------------------------------------------------------------


def test_few_features_are_no_table():
    few, table_ = (choose_auto(np.zeros((50, n)), CPU, np.ones(n)) for n in (FEW_FEATURES, FEW_FEATURES + 1))
    assert not few.guidance.teachers
    assert table_.guidance.teachers
    assert table_.guidance.estimate_shares


def test_noise_follows_the_scale_of_each_feature():
    augment = auto_table(50, np.array([1.0, 0.25, 0.0, 4.0]), CPU).augment
    batch = augment(torch.zeros(20_000, 4))
    assert_allclose(batch.std(0), [0.35, 0.175, 0, 0.7], rtol=0.05)


def test_classes_of_unequal_size_keep_it():
    X, y, truth = table(n=600, weights=(0.85, 0.15), n_labeled=50, seed=1)
    clf = SSLDECClassifier(pretrain_epochs=60, max_iter=10, random_state=0, device="cpu").fit(X, y)
    rest = y < 0
    accuracy = np.mean(clf.transduction_[rest] == truth[rest])
    assert accuracy >= np.mean(clf.supervised_transduction_[rest] == truth[rest]) - 0.01
    equal = clone(clf).set_params(class_prior=None, teachers=None).fit(X, y)
    share, equal_share = np.mean(clf.transduction_), np.mean(equal.transduction_)
    assert abs(share - truth.mean()) < abs(equal_share - truth.mean())
    assert share < equal_share


def test_labels_drawn_by_class_of_unequal_classes():
    X, _, truth = table(n=600, weights=(0.9, 0.1))
    y = mask_labels(truth, 10, random_state=0)
    clf = SSLDECClassifier(pretrain_epochs=60, max_iter=10, random_state=0, device="cpu").fit(X, y)
    equal = clone(clf).set_params(class_prior=None).fit(X, y)
    rest = y < 0
    assert np.mean(clf.transduction_[rest] == truth[rest]) > np.mean(equal.transduction_[rest] == truth[rest])


def test_without_guidance_the_target_is_the_papers():
    X, y, _ = table()
    given = {"pretrain_epochs": 40, "max_iter": 2, "random_state": 0, "device": "cpu", "teachers": None}
    uniform = SSLDECClassifier(class_prior=[0.5, 0.5], **given).fit(X, y)
    paper = SSLDECClassifier(class_prior=None, **given).fit(X, y)
    assert_allclose(paper.predict_proba(X), uniform.predict_proba(X), atol=1e-6)
    assert np.abs(SSLDECClassifier(**given).fit(X, y).predict_proba(X) - paper.predict_proba(X)).max() > 1e-3


@short_fit
def test_same_seed_same_result_on_a_table():
    X, y, _ = table()
    one, two = (SSLDECClassifier(**SHORT, max_iter=2, random_state=3).fit(X, y) for _ in range(2))
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@short_fit
def test_a_fit_on_a_table_resumes(tmp_path, monkeypatch):
    X, y, _ = table()
    clf = SSLDECClassifier(**SHORT, max_iter=4, random_state=0)
    whole = clone(clf).fit(X, y).predict_proba(X)
    clf.set_params(checkpoint_dir=tmp_path)
    soft_assignment, n_calls = GuidedTarget.__call__, 0

    def fails(self, Q):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise MemoryError
        return soft_assignment(self, Q)

    with monkeypatch.context() as patch:
        patch.setattr(GuidedTarget, "__call__", fails)
        with pytest.raises(MemoryError):
            clf.fit(X, y)
    assert_array_equal(clf.fit(X, y).predict_proba(X), whole)


# Training that ends in doubt --------------------------------------------------------------------------------


def moons(draw):
    """Return two half-moons with four labels each at random, and the truth."""
    X, truth = make_moons(1000, noise=0.1, random_state=draw)
    rng = np.random.RandomState(draw)
    y = np.full(len(X), -1)
    for moon in (0, 1):
        y[rng.choice(np.flatnonzero(truth == moon), 4, replace=False)] = moon
    return X, y, truth


def test_doubtful_share():
    Q = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.4, 0.04, 0.04], [0.6, 0.3, 0.1]])
    assert doubtful_share(Q, np.array([-1, -1, -1, -1])) == 0.5  # the second and the last
    assert doubtful_share(Q, np.array([-1, 0, -1, -1])) == pytest.approx(1 / 3)
    assert doubtful_share(Q, np.array([0, 0, 0, 0])) == 0


def test_a_network_that_crosses_a_cluster_asks_label_propagation():
    X, y, truth = moons(501)
    alone = SSLDECClassifier(random_state=501, teachers=None, device="cpu").fit(X, y)
    clf = clone(alone).set_params(teachers="auto").fit(X, y)
    assert np.mean(alone.transduction_ == truth) < 0.9
    assert np.mean(clf.transduction_ == truth) > 0.98
    assert clf.target_weights_.shape == (2,)
    assert clf.score(X, truth) > 0.98


def test_a_network_without_doubt_asks_nobody():
    X, y, _ = moons(502)
    alone = SSLDECClassifier(random_state=0, teachers=None, device="cpu").fit(X, y)
    clf = clone(alone).set_params(teachers="auto").fit(X, y)
    assert_array_equal(clf.predict_proba(X), alone.predict_proba(X))
    assert not hasattr(clf, "target_weights_")


def test_the_networks_in_less_doubt_are_kept():
    rng = np.random.default_rng(0)  # one cloud: nobody can tell
    X, y = rng.normal(size=(200, 2)), np.full(200, -1)
    y[:8] = np.arange(8) % 2
    short = {"max_iter": 3, "pretrain_epochs": 20, "random_state": 0, "device": "cpu"}
    alone = SSLDECClassifier(teachers=None, **short).fit(X, y)
    clf = SSLDECClassifier(**short).fit(X, y)
    before, after = (doubtful_share(each.label_distributions_, y) for each in (alone, clf))
    assert before > 0.05
    is_first = np.array_equal(clf.predict_proba(X), alone.predict_proba(X))
    assert after == before if is_first else after < before
    assert is_first != hasattr(clf, "target_weights_")


def test_a_fit_in_doubt_resumes(tmp_path):
    X, y, _ = moons(501)
    clf = SSLDECClassifier(max_iter=20, pretrain_epochs=30, random_state=501, device="cpu", n_estimators=2)
    whole = clone(clf).set_params(checkpoint_dir=tmp_path).fit(X, y)
    assert {path.name for path in tmp_path.glob("*_taught*")} == {
        "network_0_taught.safetensors",
        "network_1_taught.safetensors",
    }
    (tmp_path / "network_1_taught.safetensors").unlink()
    again = clone(clf).set_params(checkpoint_dir=tmp_path).fit(X, y)
    assert_array_equal(again.predict_proba(X), whole.predict_proba(X))


def test_ctrl_c_while_the_teacher_is_weighed_keeps_the_first_fit(monkeypatch):
    X, y, _ = moons(501)
    clf = SSLDECClassifier(max_iter=10, pretrain_epochs=30, random_state=501, device="cpu")
    alone = clone(clf).set_params(teachers=None).fit(X, y)
    asked = []

    def press(task, seed):
        if task.guidance.teachers:
            asked.append(seed)
            raise KeyboardInterrupt

    monkeypatch.setattr(ensemble, "taught_by", press)
    assert_array_equal(clf.fit(X, y).predict_proba(X), alone.predict_proba(X))
    assert len(asked) == 1


@pytest.mark.parametrize("own", ["module", "callbacks", "warm_start"])
def test_what_is_trained_once_only(own, monkeypatch):
    X, y, _ = moons(501)
    clf = SSLDECClassifier(max_iter=3, pretrain_epochs=30, random_state=501, device="cpu")
    clf.fit(X, y)
    clf.set_params(
        **{"module": {"module": MLP}, "callbacks": {"callbacks": []}, "warm_start": {"warm_start": True}}[own]
    )
    monkeypatch.setattr(
        ensemble, "taught_by", lambda task, seed: pytest.fail("asked") if task.guidance.teachers else None
    )
    clf.fit(X, y)
    assert doubtful_share(clf.label_distributions_, y) > 0.05
