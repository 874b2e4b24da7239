import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, make_moons
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.model_selection import (
    SemiSupervisedSplitter,
    SupervisedComparison,
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
        SSLDECClassifier(max_iter=30, random_state=0, device="cpu"),
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
        SSLDECClassifier(max_iter=2, pretrain_epochs=15, labeled_threshold=0.9, random_state=0, device="cpu"),
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
    assert comparison == SupervisedComparison(1.0, 0.75, 20, 5, 0, 0.0625)
