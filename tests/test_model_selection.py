import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits, make_moons
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.baselines import SupervisedClassifier
from sklearn_ssldec.calibration import TemperatureScaledClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.labels import find_unlabeled_label
from sklearn_ssldec.model_selection import (
    SemiSupervisedSplitter,
    SupervisedComparison,
    _splitter_for,
    compare_with_supervised,
    cross_val_predict_labeled,
    labeled_scorer,
)


@pytest.fixture(scope="module")
def moons():
    """400 points, 40 of them labeled: X, y with -1, true labels."""
    X, truth = make_moons(400, noise=0.15, random_state=0)
    return X, mask_labels(truth, 20, random_state=0), truth


SPREADING = LabelSpreading(gamma=20)


# Folds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cv", [2, 5, StratifiedKFold(4, shuffle=True, random_state=0), None])
def test_folds_test_labeled_rows_once_and_train_on_all_unlabeled_ones(moons, cv):
    X, y, _ = moons
    splitter = SemiSupervisedSplitter(cv)
    folds = list(splitter.split(X, y))
    assert len(folds) == splitter.get_n_splits(X, y)
    labeled, unlabeled = np.flatnonzero(y != -1), np.flatnonzero(y == -1)
    assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), labeled)
    for train, test in folds:
        assert not set(train) & set(test)
        assert_array_equal(np.union1d(train, test), np.arange(400))
        assert set(unlabeled) <= set(train)
        assert abs(np.mean(y[test]) - 0.5) <= 0.25  # stratified


def test_iterable_of_folds_counts_labeled_rows(moons):
    X, y, _ = moons
    labeled = np.flatnonzero(y != -1)
    generator = ((np.arange(10, 40), np.arange(10)) for _ in range(1))
    splitter = SemiSupervisedSplitter(generator)
    for _ in range(2):
        ((train, test),) = splitter.split(X, y)
        assert_array_equal(test, labeled[:10])
        assert len(train) == 390
    assert splitter.get_n_splits(X, y) == 1


def test_groups_pass_through(moons):
    X, y, _ = moons
    groups = np.arange(400) % 7
    for train, test in SemiSupervisedSplitter(GroupKFold(3)).split(X, y, groups):
        labeled_train = train[y[train] != -1]
        assert not set(groups[labeled_train]) & set(groups[test])


def test_splitters_that_count_rows_count_labeled_ones(moons):
    X, y, _ = moons
    assert SemiSupervisedSplitter(LeaveOneOut()).get_n_splits(X, y) == 40
    assert SemiSupervisedSplitter(ShuffleSplit(6, random_state=0)).get_n_splits() == 6


@pytest.mark.parametrize("as_strings", [False, True])
def test_pandas_lists_and_strings(moons, as_strings):
    X, y, _ = moons
    if as_strings:
        y = np.array(["ab"[c] if c >= 0 else -1 for c in y], dtype=object)
    expected = list(SemiSupervisedSplitter(3).split(X, y))
    for data, labels in ((pd.DataFrame(X), pd.Series(y)), (X.tolist(), y.tolist())):
        for (train, test), fold in zip(SemiSupervisedSplitter(3).split(data, labels), expected, strict=True):
            assert_array_equal(train, fold[0])
            assert_array_equal(test, fold[1])


@pytest.mark.parametrize(
    ("y", "message"),
    [(None, "y must be given"), (np.full(400, -1), "no labeled row to split: all 400 are -1")],
)
def test_refused_labels(moons, y, message):
    with pytest.raises(ValueError, match=message):
        list(SemiSupervisedSplitter().split(moons[0], y))


# Scores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        SPREADING,
        SelfTrainingClassifier(KNeighborsClassifier(3)),
        SSLDECClassifier(pretrain_epochs=60, max_iter=5, random_state=0, device="cpu"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_cross_val_score_is_the_accuracy_on_hidden_labels(estimator, moons):
    X, y, truth = moons
    without = cross_val_score(estimator, X, y, scoring="accuracy").mean()
    scores = cross_val_score(estimator, X, y, cv=SemiSupervisedSplitter(10))
    hidden = y == -1
    on_hidden = np.mean(estimator.fit(X, y).predict(X[hidden]) == truth[hidden])
    assert without < 0.5
    assert scores.mean() == pytest.approx(on_hidden, abs=0.08)  # 40 labels tell no more closely


@pytest.mark.parametrize("name", ["moons", "digits"])
@pytest.mark.parametrize(
    "estimator",
    [
        LabelSpreading(kernel="knn", n_neighbors=7),
        SelfTrainingClassifier(KNeighborsClassifier(3)),
        SSLDECClassifier(
            max_iter=2, pretrain_epochs=15, labeled_threshold=0.9, teachers=None, random_state=0, device="cpu"
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # LabelSpreading, of samples without labeled neighbours
def test_with_many_labels_it_is_so_within_two_points(estimator, name):
    if name == "moons":
        X, truth = make_moons(1000, noise=0.1, random_state=0)
    else:
        X, truth = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    told, on_hidden = [], []
    # The digits are in the order of their writers: folds that are not shuffled have writers of their own.
    cv = SemiSupervisedSplitter(StratifiedKFold(4, shuffle=True, random_state=0))
    for draw in range(2):
        y = mask_labels(truth, len(X) // 2, per_class=False, random_state=draw)
        told.append(cross_val_score(estimator, X, y, cv=cv).mean())
        hidden = y == -1
        on_hidden.append(np.mean(estimator.fit(X, y).predict(X[hidden]) == truth[hidden]))
    assert np.mean(told) == pytest.approx(np.mean(on_hidden), abs=0.02)


def test_labeled_scorer_by_name_function_and_dictionary(moons):
    X, y, truth = moons
    fitted = SPREADING.fit(X, y)
    labeled = y != -1
    expected = np.mean(fitted.predict(X)[labeled] == truth[labeled])
    assert labeled_scorer("accuracy")(fitted, X, y) == expected
    assert labeled_scorer(make_scorer(accuracy_score))(fitted, X, y) == expected
    assert 0.9 < labeled_scorer("roc_auc")(fitted, X, y) <= 1
    weight = np.where(np.arange(400) % 2, 1.0, 0.0)
    assert 0 <= labeled_scorer("accuracy")(fitted, X, y, sample_weight=weight) <= 1
    results = cross_validate(SPREADING, X, y, cv=3, scoring=labeled_scorer(["accuracy", "roc_auc"]))
    assert results["test_accuracy"].mean() > 0.9
    assert np.isfinite(results["test_roc_auc"]).all()
    named = labeled_scorer({"area": "roc_auc", "loss": "neg_log_loss"})
    results = cross_validate(SPREADING, X, y, cv=SemiSupervisedSplitter(3), scoring=named)
    assert np.isfinite(results["test_area"]).all()
    assert np.isfinite(results["test_loss"]).all()


def test_labeled_scorer_of_string_labels(moons):
    X, y, _ = moons
    words = np.array(["ab"[c] if c >= 0 else -1 for c in y], dtype=object)
    clf = SSLDECClassifier(max_iter=2, random_state=0, device="cpu").fit(X, words)
    assert labeled_scorer("f1_macro")(clf, X, words) > 0.8


def test_labeled_scorer_without_labeled_rows_says_what_to_do(moons):
    X, y, _ = moons
    with pytest.raises(ValueError, match=r"No row to score on.*cv=SemiSupervisedSplitter\(\)"):
        labeled_scorer("accuracy")(SPREADING.fit(X, y), X, np.full(400, -1))


# scikit-learn's searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [GridSearchCV, HalvingGridSearchCV])
def test_searches_find_what_is_best_on_true_labels(search, moons):
    X, y, truth = moons
    grid = {"gamma": [1e-3, 20]}
    found = search(SPREADING, grid, cv=SemiSupervisedSplitter(4), n_jobs=1).fit(X, y)
    assert found.best_params_ == {"gamma": 20}
    assert np.mean(found.predict(X) == truth) > 0.9


def test_learning_curve(moons):
    X, y, _ = moons
    sizes, _, scores = learning_curve(
        SPREADING, X, y, cv=SemiSupervisedSplitter(4), train_sizes=[0.5, 1.0], shuffle=True, random_state=0,
        scoring=labeled_scorer("accuracy"),
    )  # fmt: skip
    assert_array_equal(sizes, [195, 390])
    assert scores[-1].mean() > 0.9


# Out-of-fold predictions ----------------------------------------------------------------------------------


def test_out_of_fold_predictions_of_labeled_rows(moons):
    X, y, truth = moons
    rows, predicted = cross_val_predict_labeled(SPREADING, X, y, cv=5)
    assert_array_equal(rows, np.flatnonzero(y != -1))
    assert np.mean(predicted == truth[rows]) > 0.9
    train, test = next(SemiSupervisedSplitter(5).split(X, y))
    expected = SPREADING.fit(X[train], y[train]).predict_proba(X[test])
    rows, probabilities = cross_val_predict_labeled(SPREADING, X, y, cv=5, method="predict_proba")
    assert_array_equal(probabilities[np.isin(rows, test)], expected)


def test_out_of_fold_probabilities_of_a_class_that_a_fold_does_not_hold():
    X, y = np.arange(8.0)[:, None], np.array([0, 0, 1, 1, 2, -1, -1, -1])
    folds = [([0, 1, 2], [3, 4]), ([1, 2, 3, 4], [0])]
    rows, probabilities = cross_val_predict_labeled(
        KNeighborsClassifier(1), X, y, cv=folds, method="predict_proba"
    )
    assert_array_equal(rows, [0, 3, 4])
    assert probabilities.shape == (3, 3)
    assert_array_equal(probabilities[1:, 2], [0, 0])


def test_refused_out_of_fold_predictions(moons):
    X, y, _ = moons
    with pytest.raises(ValueError, match="method must be 'predict' or 'predict_proba', got 'transform'"):
        cross_val_predict_labeled(SPREADING, X, y, method="transform")
    with pytest.raises(ValueError, match="overlap"):
        cross_val_predict_labeled(SPREADING, X, y, cv=ShuffleSplit(3, test_size=0.5, random_state=0))


# Is the unlabeled data helping? -----------------------------------------------------------------------------


class FirstRowsWrong(KNeighborsClassifier):
    """Knows everything, but is wrong on some rows, by whether it is supervised only; X are row numbers."""

    def __init__(self, max_iter=1, wrong=(), wrong_supervised=()):
        super().__init__(n_neighbors=1)
        self.max_iter, self.wrong, self.wrong_supervised = max_iter, wrong, wrong_supervised

    def predict(self, X):
        wrong = self.wrong if self.max_iter else self.wrong_supervised
        truth = np.asarray(X)[:, 0].astype(int) % 2
        return np.where(np.isin(np.asarray(X)[:, 0], wrong), 1 - truth, truth)


@pytest.mark.parametrize(
    ("wrong", "wrong_supervised", "verdict"),
    [
        ((), range(10), "Use SSLDEC: on 40 held-out labels SSLDEC has an accuracy of 1.000, supervised"),
        (range(10), (), "Use supervised training (max_iter=0): on 40"),
        (range(5), range(3, 8), "These labels cannot tell which is better"),
        ((), (), "These labels cannot tell"),
    ],
)
def test_comparison_with_supervised_training(wrong, wrong_supervised, verdict):
    X, y = np.arange(60.0)[:, None], np.arange(60) % 2
    y[40:] = -1
    clf = FirstRowsWrong(wrong=tuple(wrong), wrong_supervised=tuple(wrong_supervised))
    shuffled = StratifiedKFold(4, shuffle=True)  # without a seed: both must see the same folds all the same
    for estimator in (clf, make_pipeline(FunctionTransformer(), clf)):
        comparison = compare_with_supervised(estimator, X, y, cv=shuffled)
        assert str(comparison).startswith(verdict)
        assert comparison.accuracy == 1 - len(wrong) / 40
        assert comparison.supervised_accuracy == 1 - len(wrong_supervised) / 40
        assert comparison.n_gained == len(set(wrong_supervised) - set(wrong))
        assert comparison.n_lost == len(set(wrong) - set(wrong_supervised))


def test_p_value_by_hand():
    # McNemar, exact: 5 gained, none lost: 2 * (1 / 2) ** 5
    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    comparison = compare_with_supervised(FirstRowsWrong(wrong_supervised=tuple(range(5))), X, y, cv=2)
    assert comparison == SupervisedComparison(1.0, 0.75, 20, 5, 0, 0.0625, 0, 2)


# One mark, asked of the estimator ---------------------------------------------------------------------------


def with_mark(mark):
    return SSLDECClassifier(
        module__hidden_units=(8,),
        pretrain_epochs=10,
        max_iter=1,
        labeled_threshold=0.7,
        unlabeled_label=mark,
        random_state=0,
        device="cpu",
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda clf: clf,
        lambda clf: make_pipeline(StandardScaler(), clf),
        lambda clf: GridSearchCV(make_pipeline(StandardScaler(), clf), {}, cv=2),
        lambda clf: TemperatureScaledClassifier(clf, cv=2),
        FixedThresholdClassifier,
        FrozenEstimator,
    ],
    ids=["itself", "pipeline", "search", "temperature", "threshold", "frozen"],
)
def test_helpers_ask_the_estimator_for_its_mark(moons, wrap):
    X, y, _ = moons
    y99 = np.where(y == -1, 99, y)
    estimator = wrap(with_mark(99))
    assert find_unlabeled_label(estimator) == 99
    assert _splitter_for(estimator, 3).unlabeled_label == 99
    for (train, test), fold in zip(
        SemiSupervisedSplitter(3, estimator=estimator).split(X, y99),
        SemiSupervisedSplitter(3).split(X, y),
        strict=True,
    ):
        assert_array_equal(train, fold[0])
        assert_array_equal(test, fold[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # trained for a moment
def test_scores_and_out_of_fold_predictions_are_those_of_the_mark_minus_one(moons):
    X, y, truth = moons
    y99 = np.where(y == -1, 99, y)
    ours, theirs = with_mark(99), with_mark(-1)
    fitted = ours.fit(X, y99)
    labeled = y != -1
    expected = np.mean(fitted.predict(X)[labeled] == truth[labeled])
    assert labeled_scorer("accuracy")(fitted, X, y99) == expected
    for one, other in zip(
        cross_val_predict_labeled(ours, X, y99, cv=2),
        cross_val_predict_labeled(theirs, X, y, cv=2),
        strict=True,
    ):
        assert_array_equal(one, other)
    assert compare_with_supervised(ours, X, y99, cv=2) == compare_with_supervised(theirs, X, y, cv=2)


@pytest.mark.parametrize(
    "call",
    [
        lambda clf, X, y: cross_val_predict_labeled(clf, X, y, unlabeled_label=-1),
        lambda clf, X, y: compare_with_supervised(clf, X, y, unlabeled_label=-1),
        lambda clf, X, y: labeled_scorer("accuracy", unlabeled_label=-1)(clf.fit(X, y), X, y),
        lambda clf, X, y: next(SemiSupervisedSplitter(2, unlabeled_label=-1, estimator=clf).split(X, y)),
        lambda clf, X, y: TemperatureScaledClassifier(clf, unlabeled_label=-1).fit(X, y),
        lambda clf, X, y: TemperatureScaledClassifier(
            clf, cv=SemiSupervisedSplitter(2, unlabeled_label=-1)
        ).fit(X, y),
        lambda clf, X, y: cross_val_predict_labeled(make_pipeline(clf), X, y, unlabeled_label=None),
    ],
)
def test_marks_that_contradict_each_other_are_refused(moons, call):
    X, y, _ = moons
    with pytest.raises(ValueError, match=r"unlabeled_label=(-1|None) contradicts the estimator, .* is 99"):
        call(with_mark(99), X, np.where(y == -1, 99, y))


def test_mark_of_cv_and_of_the_call_must_agree(moons):
    X, y, _ = moons
    with pytest.raises(ValueError, match="unlabeled_label=-1 contradicts cv, whose unlabeled_label is 99"):
        cross_val_predict_labeled(
            KNeighborsClassifier(), X, y, cv=SemiSupervisedSplitter(2, unlabeled_label=99), unlabeled_label=-1
        )


@pytest.mark.parametrize(
    ("estimator", "mark"),
    [
        (None, -1),
        (KNeighborsClassifier(), -1),
        (SPREADING, -1),
        (SelfTrainingClassifier(KNeighborsClassifier()), -1),
        # These number the labels, so that what their estimator takes for the mark is not in y.
        (BaggingClassifier(SSLDECClassifier(unlabeled_label=0)), -1),
        (VotingClassifier([("one", SSLDECClassifier(unlabeled_label=0))]), -1),
        (OneVsRestClassifier(SSLDECClassifier(unlabeled_label=0)), -1),
        (SSLDECClassifier(unlabeled_label=None), None),
        (SSLDECClassifier(unlabeled_label="?"), "?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_mark_of_other_estimators(estimator, mark):
    assert find_unlabeled_label(estimator) == mark


def test_estimators_that_know_their_mark_contradict_too():
    with pytest.raises(ValueError, match="unlabeled_label=99 contradicts"):
        find_unlabeled_label(SPREADING, 99)
    assert find_unlabeled_label(KNeighborsClassifier(), 99) == 99


def test_splitter_warns_where_its_mark_may_be_wrong(moons):
    X, y, truth = moons
    y99 = np.where(y == -1, 99, y)
    with pytest.warns(UserWarning, match="no unlabeled row: none is -1") as caught:
        list(SemiSupervisedSplitter(2).split(X, y99))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(SemiSupervisedSplitter(2, unlabeled_label=99).split(X, y99))
        list(SemiSupervisedSplitter(2, unlabeled_label=None).split(X, truth))


# Lengths ----------------------------------------------------------------------------------------------------


LENGTHS = "inconsistent numbers of samples"


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: SSLDECClassifier().score(X, y[:60]),
        lambda X, y: SSLDECClassifier().score(X, y, sample_weight=np.ones(401)),
        lambda X, y: TemperatureScaledClassifier(SPREADING).fit(X, y[:60]),
        lambda X, y: TemperatureScaledClassifier(SPREADING).fit(X, y, groups=np.ones(401)),
        lambda X, y: TemperatureScaledClassifier(SPREADING).fit(X, y).score(X, y[:60]),
        lambda X, y: TemperatureScaledClassifier(SPREADING).fit(X, y).score(X, y, sample_weight=np.ones(401)),
        lambda X, y: labeled_scorer("accuracy")(SPREADING.fit(X, y), X, y[:60]),
        lambda X, y: labeled_scorer("accuracy")(SPREADING.fit(X, y), X, y, sample_weight=np.ones(401)),
        lambda X, y: next(SemiSupervisedSplitter().split(X, y[:60])),
        lambda X, y: next(SemiSupervisedSplitter(GroupKFold(2)).split(X, y, np.ones(401))),
        lambda X, y: SemiSupervisedSplitter(LeaveOneOut()).get_n_splits(X, y[:60]),
        lambda X, y: SemiSupervisedSplitter(GroupKFold(2)).get_n_splits(X, y, np.ones(401)),
        lambda X, y: cross_val_predict_labeled(SPREADING, X, y[:60]),
        lambda X, y: cross_val_predict_labeled(SPREADING, X, y, groups=np.ones(401)),
        lambda X, y: cross_val_predict_labeled(SPREADING, X, y, params={"sample_weight": np.ones(401)}),
        lambda X, y: compare_with_supervised(SSLDECClassifier(), X, y[:60]),
        lambda X, y: compare_with_supervised(SSLDECClassifier(), X, y, groups=np.ones(401)),
    ],
)
def test_lengths_are_compared(moons, call):
    X, y, _ = moons
    with pytest.raises(ValueError, match=LENGTHS):
        call(X, y)


def test_positions_that_are_no_labeled_rows_are_refused(moons):
    X, y, _ = moons
    splitter = SemiSupervisedSplitter([(np.arange(30), np.arange(390, 400))])
    with pytest.raises(ValueError, match="positions among the 40 labeled rows, from 0 to 39"):
        next(splitter.split(X, y))


# Folds by hand ----------------------------------------------------------------------------------------------


def test_folds_by_hand():
    # Labeled are the rows 1, 3, 4 and 6, that is positions 0 to 3. Training rows are sorted, with the
    # unlabeled ones among them.
    y = np.array([-1, 0, -1, 1, 0, -1, 1])
    X = np.arange(7.0)[:, None]
    positions = [([3, 0], [2, 1]), ([2, 1], [3, 0])]
    (train, test), (other_train, other_test) = SemiSupervisedSplitter(positions).split(X, y)
    assert train.tolist() == [0, 1, 2, 5, 6]
    assert test.tolist() == [4, 3]
    assert other_train.tolist() == [0, 2, 3, 4, 5]
    assert other_test.tolist() == [6, 1]


GROUPS = np.array(["a", "a", "a", "b", "b", "c", "c", "c"])
OF_GROUPS = np.array([0, -1, 1, 0, -1, 1, 0, -1])


def test_unlabeled_rows_of_the_test_groups_stay_or_go():
    X = np.arange(8.0)[:, None]
    kept = list(SemiSupervisedSplitter(LeaveOneGroupOut()).split(X, OF_GROUPS, GROUPS))
    assert [(train.tolist(), test.tolist()) for train, test in kept] == [
        ([1, 3, 4, 5, 6, 7], [0, 2]),
        ([0, 1, 2, 4, 5, 6, 7], [3]),
        ([0, 1, 2, 3, 4, 7], [5, 6]),
    ]
    splitter = SemiSupervisedSplitter(LeaveOneGroupOut(), drop_test_groups=True)
    dropped = list(splitter.split(X, OF_GROUPS, GROUPS))
    assert [(train.tolist(), test.tolist()) for train, test in dropped] == [
        ([3, 4, 5, 6, 7], [0, 2]),
        ([0, 1, 2, 5, 6, 7], [3]),
        ([0, 1, 2, 3, 4], [5, 6]),
    ]
    with pytest.raises(ValueError, match="drop_test_groups=True needs groups"):
        next(splitter.split(X, OF_GROUPS))


class Recorder(KNeighborsClassifier):
    """Writes down which rows it is trained on."""

    seen: ClassVar[list] = []

    def __init__(self, n_neighbors=1, max_iter=1):
        super().__init__(n_neighbors)
        self.max_iter = max_iter

    def fit(self, X, y, sample_weight=None):
        self.seen.append(
            (np.ravel(X).astype(int).tolist(), None if sample_weight is None else list(sample_weight))
        )
        return super().fit(X, np.where(np.asarray(y) == -1, 0, y))


@pytest.fixture
def recorder():
    Recorder.seen.clear()
    return Recorder()


def test_comparing_a_segmenter_says_what_to_do_instead():
    images = np.random.default_rng(0).random((4, 8, 8))
    labels = [np.eye(8, dtype=int), np.eye(8, dtype=int), None, None]
    with pytest.raises(ValueError, match=r"must be a classifier.*cross_val_score"):
        compare_with_supervised(SSLDECSegmenter(), images, labels, cv=2)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LabelSpreading()),
        GridSearchCV(SSLDECClassifier(), {"alpha": [1.0, 2.0]}),
        SupervisedClassifier(),
    ],
)
def test_what_has_no_supervised_start_is_not_compared(estimator, moons):
    X, y, _ = moons
    with pytest.raises(
        ValueError, match="estimator must be a classifier whose supervised start is max_iter=0"
    ):
        compare_with_supervised(estimator, X, y, cv=2)


@pytest.mark.parametrize("helper", [cross_val_predict_labeled, compare_with_supervised, "calibration"])
def test_helpers_leave_test_groups_out_if_their_cv_does(recorder, helper):
    X = np.arange(8.0)[:, None]
    cv = SemiSupervisedSplitter(LeaveOneGroupOut(), drop_test_groups=True)
    if helper == "calibration":
        TemperatureScaledClassifier(recorder, cv=cv).fit(X, OF_GROUPS, groups=GROUPS)
        assert recorder.seen.pop(0)[0] == list(range(8))
    else:
        helper(recorder, X, OF_GROUPS, cv=cv, groups=GROUPS)
    once = [[3, 4, 5, 6, 7], [0, 1, 2, 5, 6, 7], [0, 1, 2, 3, 4]]
    assert [rows for rows, _ in recorder.seen] == once * (2 if helper is compare_with_supervised else 1)


def test_arguments_of_fit_are_cut_to_the_training_rows(recorder):
    X, weight = np.arange(8.0)[:, None], np.arange(8) * 10
    cross_val_predict_labeled(recorder, X, OF_GROUPS, cv=2, params={"sample_weight": weight})
    assert len(recorder.seen) == 2
    for rows, weights in recorder.seen:
        assert weights == [10 * row for row in rows]


def test_replaced_cv_is_used(moons):
    X, y, _ = moons
    labeled = np.flatnonzero(y != -1)
    splitter = SemiSupervisedSplitter(iter([(np.arange(30), np.arange(30, 40))]))
    assert_array_equal(next(splitter.split(X, y))[1], labeled[30:])
    splitter.cv = iter([(np.arange(10, 40), np.arange(10))])
    assert_array_equal(next(splitter.split(X, y))[1], labeled[:10])
    splitter.cv = [(np.arange(20), np.arange(20, 40))] * 3
    assert splitter.get_n_splits() == 3
    splitter.cv.pop()
    assert splitter.get_n_splits(X, y) == len(list(splitter.split(X, y))) == 2


def test_a_generator_is_not_used_up(moons):
    X, y, _ = moons
    splitter = SemiSupervisedSplitter(iter([(np.arange(30), np.arange(30, 40))]))
    assert splitter.get_n_splits() == 1
    assert splitter.get_n_splits(X, y) == 1
    rows, _ = cross_val_predict_labeled(SPREADING, X, y, cv=splitter)
    assert_array_equal(rows, np.flatnonzero(y != -1)[30:])
    assert len(list(splitter.split(X, y))) == 1
    with pytest.raises(ValueError, match="at least one fold, got none"):
        cross_val_predict_labeled(SPREADING, X, y, cv=iter([]))


# Metadata ---------------------------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("drop", [False, True])
def test_groups_are_routed_to_the_inner_splitter(moons, drop):
    X, y, _ = moons
    groups = np.arange(400) % 7
    cv = SemiSupervisedSplitter(GroupKFold(3), drop_test_groups=drop)
    results = cross_validate(
        SPREADING, X, y, params={"groups": groups}, cv=cv, error_score="raise", return_indices=True
    )
    for train, test in zip(results["indices"]["train"], results["indices"]["test"], strict=True):
        shared = set(groups[train]) & set(groups[test])
        assert bool(shared) != drop  # the unlabeled rows
        assert not set(groups[train[y[train] != -1]]) & set(groups[test])
    search = GridSearchCV(SPREADING, {"gamma": [20]}, cv=cv).fit(X, y, groups=groups)
    assert search.best_score_ == pytest.approx(results["test_score"].mean())


@pytest.mark.usefixtures("routing")
def test_groups_are_routed_to_the_splitter_itself(moons):
    X, y, _ = moons
    cv = SemiSupervisedSplitter(StratifiedKFold(2), drop_test_groups=True)
    cross_validate(SPREADING, X, y, params={"groups": np.arange(400)}, cv=cv, error_score="raise")
    with pytest.raises(TypeError, match="groups"):
        cross_validate(SPREADING, X, y, params={"groups": np.arange(400)}, cv=SemiSupervisedSplitter(2))


def test_weights_reach_the_scorer():
    X, y, weight = np.arange(6.0)[:, None], np.array([0, 0, 1, 1, -1, -1]), np.array([1, 1, 1, 5, 9, 9])
    fitted = KNeighborsClassifier(1).fit(X[:4], [0, 0, 1, 0])  # wrong about the row of weight 5
    scorer = labeled_scorer("accuracy")
    assert scorer(fitted, X, y) == 3 / 4
    assert scorer(fitted, X, y, sample_weight=weight) == 3 / 8


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("several", [False, True])
def test_weights_are_routed_to_the_scorer(several):
    X, y, weight = (
        np.arange(8.0)[:, None],
        np.array([0, 0, 1, 1, 0, 1, -1, -1]),
        np.array([1, 1, 1, 5, 1, 1, 9, 9]),
    )
    scorer = labeled_scorer(get_scorer("accuracy").set_score_request(sample_weight=True))
    same = labeled_scorer("accuracy").set_score_request(sample_weight=True)
    cv = SemiSupervisedSplitter([([0, 1, 4, 5], [2, 3])])
    for one in (scorer, same):
        scoring = {"own": one, "plain": labeled_scorer("accuracy").set_score_request(sample_weight=False)}
        results = cross_validate(
            OfThree(), X, y, params={"sample_weight": weight}, cv=cv, error_score="raise",
            scoring=scoring if several else one,
        )  # fmt: skip
        assert results["test_own" if several else "test_score"] == 1 / 6
        assert not several or results["test_plain"] == 1 / 2
    with pytest.raises(TypeError, match="makes no requests"):
        labeled_scorer(lambda estimator, X, y: 0.0).set_score_request(sample_weight=True)


class OfThree(ClassifierMixin, BaseEstimator):
    """Calls the samples below 3 class 1, all others class 0."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        return (np.ravel(X) < 3).astype(int)


def test_several_scorers_take_weights_without_routing():
    X, y = np.arange(6.0)[:, None], np.array([0, 0, 1, 1, -1, -1])
    weight = np.array([1, 1, 1, 5, 9, 9])
    result = permutation_importance(
        OfThree().fit(X, y), X, y, scoring=labeled_scorer(["accuracy", "balanced_accuracy"]),
        sample_weight=weight, n_repeats=1, random_state=0,
    )  # fmt: skip
    assert set(result) == {"accuracy", "balanced_accuracy"}


@pytest.mark.usefixtures("routing")
def test_groups_and_weights_are_routed_through_calibration(recorder):
    X, weight = np.arange(8.0)[:, None], np.arange(8) * 10
    clf = TemperatureScaledClassifier(
        recorder.set_fit_request(sample_weight=True),
        cv=SemiSupervisedSplitter(LeaveOneGroupOut(), drop_test_groups=True),
    )
    clf.fit(X, OF_GROUPS, groups=GROUPS, sample_weight=weight)
    assert [rows for rows, _ in recorder.seen] == [
        [0, 1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [0, 1, 2, 5, 6, 7], [0, 1, 2, 3, 4]
    ]  # fmt: skip
    assert all(weights == [10 * row for row in rows] for rows, weights in recorder.seen)
    with pytest.raises(TypeError, match="colour"):
        clf.fit(X, OF_GROUPS, colour=1)


def test_halving_search_sees_whether_folds_change(moons):
    X, y, _ = moons
    changing = SemiSupervisedSplitter(StratifiedKFold(3, shuffle=True))
    with pytest.raises(ValueError, match="cv parameter must yield consistent folds"):
        HalvingGridSearchCV(SPREADING, {"gamma": [1, 20]}, cv=changing).fit(X, y)
    seeded = SemiSupervisedSplitter(StratifiedKFold(3, shuffle=True, random_state=0))
    assert HalvingGridSearchCV(SPREADING, {"gamma": [1e-3, 20]}, cv=seeded).fit(X, y).best_params_ == {
        "gamma": 20
    }
    assert (seeded.shuffle, seeded.random_state) == (True, 0)
    assert not hasattr(SemiSupervisedSplitter(ShuffleSplit(3)), "shuffle")
    assert not hasattr(SemiSupervisedSplitter(LeaveOneOut()), "random_state")


def test_a_mark_that_agrees_with_the_splitter_and_the_estimator_passes():
    clf = SSLDECClassifier(unlabeled_label=99)
    splitter = SemiSupervisedSplitter(3, unlabeled_label=99)
    assert _splitter_for(clf, splitter, unlabeled_label=99).unlabeled_label == 99
    with pytest.raises(ValueError, match="contradicts"):
        _splitter_for(clf, splitter, unlabeled_label=7)
