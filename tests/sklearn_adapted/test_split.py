"""scikit-learn's tests of splitters, on SemiSupervisedSplitter around each of its splitters.

Adapted from sklearn/model_selection/tests/test_split.py (BSD-3-Clause). The labeled rows must be split as
scikit-learn's splitter splits them alone, and the unlabeled rows must be in the training folds.

What does not apply:

- the tests of how each splitter draws its folds (`test_shuffle_*`, `test_stratified_shuffle_split_*`,
  `test_time_series_*`, `test_leave_*`, `test_repeated_*`, `test_*_default_test_size`,
  `test_random_state_shuffle_false`, `test_build_repr`): the splitter inside draws them. That its folds are
  taken over as they are is what `test_folds_are_those_of_the_splitter_inside` says of all of them;
- `test_train_test_split_*`, `test_array_api_*`: of another function;
- `test_2d_y` of several columns: y must be one column;
- `test_stratified_splitter_without_y`: y is always needed, and asked for by a ValueError.
"""

import warnings
from itertools import combinations_with_replacement, permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy.sparse import coo_array, csr_array
from scipy.special import comb
from sklearn import config_context
from sklearn.datasets import load_digits, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    LeavePGroupsOut,
    LeavePOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    check_cv,
    cross_val_score,
)
from sklearn.model_selection._split import _yields_constant_splits as yields_constant_splits
from sklearn.svm import SVC

from sklearn_ssldec._compat import num_samples
from sklearn_ssldec.model_selection import SemiSupervisedSplitter, labeled_scorer

NO_GROUP_SPLITTERS = [
    KFold(),
    StratifiedKFold(),
    TimeSeriesSplit(),
    LeaveOneOut(),
    LeavePOut(p=2),
    ShuffleSplit(random_state=0),
    StratifiedShuffleSplit(test_size=0.5, random_state=0),
    PredefinedSplit([1, 1, 2, 2] * 5),
    RepeatedKFold(random_state=0),
    RepeatedStratifiedKFold(random_state=0),
]
GROUP_SPLITTERS = [
    GroupKFold(),
    LeavePGroupsOut(n_groups=1),
    StratifiedGroupKFold(),
    LeaveOneGroupOut(),
    GroupShuffleSplit(random_state=0),
]
ALL_SPLITTERS = NO_GROUP_SPLITTERS + GROUP_SPLITTERS

# 20 labeled rows of two classes and ten groups, with an unlabeled one after each.
LABELED = np.arange(0, 40, 2)
X = np.arange(80.0).reshape(40, 2)
Y = np.full(40, -1)
Y[LABELED] = np.arange(20) // 10
GROUPS = np.arange(40) // 4

pytestmark = pytest.mark.filterwarnings("error:The groups parameter:UserWarning:sklearn.*")


def split(splitter, X, y, groups):
    inner = splitter.cv if isinstance(splitter, SemiSupervisedSplitter) else splitter
    if any(type(inner) is type(one) for one in GROUP_SPLITTERS):
        return splitter.split(X, y, groups=groups)
    return splitter.split(X, y)


def check_cv_coverage(cv, X, y, groups, expected_n_splits):
    labeled, unlabeled = np.flatnonzero(y != -1), np.flatnonzero(y == -1)
    assert cv.get_n_splits(X, y, groups) == expected_n_splits
    tested = []
    for train, test in cv.split(X, y, groups):
        assert set(train) & set(test) == set()
        assert set(train) | set(test) == set(range(num_samples(X)))
        assert set(unlabeled) <= set(train)
        tested.append(test)
    assert len(tested) == expected_n_splits
    assert_array_equal(np.unique(np.concatenate(tested)), labeled)


@pytest.mark.parametrize("cv", ALL_SPLITTERS, ids=str)
def test_folds_are_those_of_the_splitter_inside(cv):
    inside = list(split(cv, X[LABELED], Y[LABELED], GROUPS[LABELED]))
    around = list(split(SemiSupervisedSplitter(cv), X, Y, GROUPS))
    unlabeled = np.flatnonzero(Y == -1)
    for (train, test), (of_all, tested) in zip(inside, around, strict=True):
        assert_array_equal(tested, LABELED[test])
        assert_array_equal(of_all, np.sort(np.r_[LABELED[train], unlabeled]))
    assert SemiSupervisedSplitter(cv).get_n_splits(X, Y, GROUPS) == len(inside)


def test_cross_validator_with_default_params():
    X = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 9]])
    X_1d = np.array([1, 2, 3, 4, 9])
    y = np.array([1, 1, 2, 2, -1])
    groups = np.array([1, 2, 3, 4, 4])
    expected = [
        (LeaveOneOut(), 4, "LeaveOneOut()"),
        (LeavePOut(2), comb(4, 2), "LeavePOut(p=2)"),
        (KFold(2), 2, "KFold(n_splits=2, random_state=None, shuffle=False)"),
        (StratifiedKFold(2), 2, "StratifiedKFold(n_splits=2, random_state=None, shuffle=False)"),
        (LeaveOneGroupOut(), 4, "LeaveOneGroupOut()"),
        (LeavePGroupsOut(2), comb(4, 2), "LeavePGroupsOut(n_groups=2)"),
        (PredefinedSplit([1, 1, 2, 2]), 2, "PredefinedSplit(test_fold=array([1, 1, 2, 2]))"),
    ]
    for inner, n_splits, shown in expected:
        cv = SemiSupervisedSplitter(inner)
        assert cv.get_n_splits(X, y, groups) == n_splits
        assert_equal(list(split(cv, X, y, groups)), list(split(cv, X_1d, y, groups)))
        for train, test in split(cv, X, y, groups):
            assert train.dtype.kind == "i"
            assert test.dtype.kind == "i"
        assert " ".join(repr(cv).split()) == (
            f"SemiSupervisedSplitter(cv={shown}, drop_test_groups=False, estimator=None, "
            "unlabeled_label='auto')"
        )
    with pytest.raises(ValueError, match="The 'X' parameter should not be None"):
        SemiSupervisedSplitter(LeaveOneOut()).get_n_splits(None, None, groups)


@pytest.mark.parametrize("cv", ALL_SPLITTERS, ids=str)
def test_2d_y(cv):
    splitter = SemiSupervisedSplitter(cv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "a column-vector y was passed"
        column = list(split(splitter, X, Y.reshape(-1, 1), GROUPS))
    assert_equal(column, list(split(splitter, X, Y, GROUPS)))
    with pytest.raises(ValueError, match="y should be a 1d array"):
        next(split(splitter, X, np.tile([0, 1, 0], (40, 1)).astype(float), GROUPS))


def test_kfold_valueerrors():
    X, y = np.ones((7, 2)), np.array([3, 3, 0, 0, 3, -1, -1])
    cv = SemiSupervisedSplitter(StratifiedKFold(3))
    with pytest.warns(Warning, match="The least populated class"):
        next(cv.split(X, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_cv_coverage(cv, X, y, groups=None, expected_n_splits=3)
    with pytest.raises(ValueError, match="n_splits=3 cannot be greater"):
        next(cv.split(X, np.array([3, 3, 0, 0, 2, -1, -1])))
    for n_splits in (0, 1, 1.5):
        with pytest.raises(ValueError, match=r"k-fold cross-validation|must be an integer|Expected"):
            next(SemiSupervisedSplitter(n_splits).split(X, y))


@pytest.mark.parametrize("n_labeled", [17, 18])
def test_kfold_indices(n_labeled):
    y = np.r_[np.arange(n_labeled) % 2, np.full(5, -1)]
    check_cv_coverage(SemiSupervisedSplitter(KFold(3)), np.ones(len(y)), y, None, 3)
    assert SemiSupervisedSplitter(KFold(5)).get_n_splits(np.ones(len(y))) == 5


def test_kfold_no_shuffle():
    X, y = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], [0, -1, 1, 0, 1]
    splits = SemiSupervisedSplitter(KFold(2)).split(X, y)
    train, test = next(splits)
    assert_array_equal(test, [0, 2])
    assert_array_equal(train, [1, 3, 4])
    train, test = next(splits)
    assert_array_equal(test, [3, 4])
    assert_array_equal(train, [0, 1, 2])


def test_stratified_kfold_no_shuffle():
    X, y = np.ones(8), [1, 1, 1, -1, 0, 0, 0, 0]
    splits = SemiSupervisedSplitter(StratifiedKFold(2)).split(X, y)
    train, test = next(splits)
    assert_array_equal(test, [0, 1, 4, 5])
    assert_array_equal(train, [2, 3, 6, 7])
    train, test = next(splits)
    assert_array_equal(test, [2, 6, 7])
    assert_array_equal(train, [0, 1, 3, 4, 5])
    words = np.array(["1", "1", "1", -1, "0", "0", "0", "0"], dtype=object)
    assert_equal(
        list(SemiSupervisedSplitter(StratifiedKFold(2)).split(X, words)),
        list(SemiSupervisedSplitter(StratifiedKFold(2)).split(X, y)),
    )


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("k", [4, 10])
@pytest.mark.parametrize("kfold", [StratifiedKFold, StratifiedGroupKFold])
def test_stratified_kfold_ratios(k, shuffle, kfold):
    labels = np.repeat([4, 0, 1], [100, 890, 10])
    y = np.full(1500, -1)
    rows = np.sort(np.random.RandomState(0).choice(1500, 1000, replace=False))
    y[rows] = labels
    shares = np.bincount(labels) / 1000
    cv = SemiSupervisedSplitter(kfold(k, random_state=0 if shuffle else None, shuffle=shuffle))
    sizes = []
    for train, test in split(cv, np.ones(1500), y, np.arange(1500)):
        labeled = train[y[train] != -1]
        assert_allclose(np.bincount(y[labeled]) / len(labeled), shares, atol=0.02)
        assert_allclose(np.bincount(y[test]) / len(test), shares, atol=0.02)
        sizes.append(len(test))
    assert np.ptp(sizes) <= 1


@pytest.mark.parametrize("shuffle", [False, True])
def test_stratified_kfold_label_invariance(shuffle):
    y = np.r_[np.repeat([2, 0, 1], [10, 89, 1]), np.full(20, -1)]

    def folds(y):
        cv = StratifiedKFold(4, random_state=0 if shuffle else None, shuffle=shuffle)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one label of a class, four folds
            return list(SemiSupervisedSplitter(cv).split(np.ones(120), y))

    for order in permutations([0, 1, 2]):
        assert_equal(folds(np.r_[np.take(order, y[:100]), y[100:]]), folds(y))


@pytest.mark.parametrize("n_labeled", range(11, 17))
def test_balance(n_labeled):
    y = np.r_[np.repeat([0, 1], [3, n_labeled - 3]), [-1] * 4]
    for cv, n_splits in ((KFold(5), 5), (StratifiedKFold(3), 3)):
        sizes = [len(test) for _, test in SemiSupervisedSplitter(cv).split(np.ones(len(y)), y)]
        assert len(sizes) == n_splits
        assert np.ptp(sizes) <= 1
        assert sum(sizes) == n_labeled


def test_kfold_can_detect_dependent_samples_on_digits():
    # The digits are in the order of their writers: folds that are not shuffled test on writers not seen.
    X, truth = load_digits(return_X_y=True)
    X, truth = X[:600], truth[:600]
    y = np.where(np.arange(600) % 6 == 0, -1, truth)
    model = SVC(C=10, gamma=0.005)
    scorer = labeled_scorer("accuracy")

    def score(cv):
        folds = [(train[y[train] != -1], test) for train, test in SemiSupervisedSplitter(cv).split(X, y)]
        return cross_val_score(model, X, y, cv=folds, scoring=scorer).mean()

    for kfold in (KFold, StratifiedKFold):
        assert score(kfold(3)) + 0.02 < score(kfold(3, shuffle=True, random_state=0))


@pytest.mark.parametrize("kfold", [GroupKFold, StratifiedGroupKFold])
@pytest.mark.parametrize("drop", [False, True])
def test_group_kfold(kfold, drop):
    rng = np.random.RandomState(0)
    groups, y = rng.randint(0, 15, 1000), rng.randint(-1, 2, 1000)
    folds = np.full(1000, -1)
    splitter = SemiSupervisedSplitter(kfold(5), drop_test_groups=drop)
    for i, (train, test) in enumerate(splitter.split(np.ones(1000), y, groups)):
        folds[test] = i
        labeled = train[y[train] != -1]
        assert len(np.intersect1d(groups[labeled], groups[test])) == 0
        assert (len(np.intersect1d(groups[train], groups[test])) == 0) == drop
        assert (
            (y[train] == -1).sum() == (y[~np.isin(groups, groups[test])] == -1).sum()
            if drop
            else (y == -1).sum()
        )
    assert_array_equal(folds == -1, y == -1)
    sizes = np.bincount(folds[folds >= 0])
    assert np.abs(sizes - sizes.mean()).max() < 50
    for group in range(15):
        assert len(np.unique(folds[(groups == group) & (y != -1)])) == 1
    # Groups of strings, in a list.
    words = [f"group {group:02d}" for group in groups]
    assert_equal(
        list(splitter.split(np.ones(1000), y, words)), list(splitter.split(np.ones(1000), y, np.array(words)))
    )


def test_predefinedsplit_with_kfold_split():
    inner = list(KFold(5, shuffle=True, random_state=0).split(LABELED))
    folds = np.full(20, -1)
    for i, (_, test) in enumerate(inner):
        folds[test] = i
    expected = list(SemiSupervisedSplitter(inner).split(X, Y))
    assert_equal(list(SemiSupervisedSplitter(PredefinedSplit(folds)).split(X, Y)), expected)


def test_leave_group_out_changing_groups():
    # Changing the groups after a call of split has no effect on the folds that it goes on to yield.
    groups = GROUPS.copy()
    cv = SemiSupervisedSplitter(LeaveOneGroupOut(), drop_test_groups=True)
    expected = list(cv.split(X, Y, GROUPS))
    folds = cv.split(X, Y, groups)
    got = [next(folds)]
    groups[:] = 0
    got += list(folds)
    assert_equal([test for _, test in got], [test for _, test in expected])


def test_leave_one_p_group_out_error_on_fewer_number_of_groups():
    with pytest.raises(ValueError, match="y has no labeled row to split"):
        next(SemiSupervisedSplitter(LeaveOneGroupOut()).split([], [], []))
    with pytest.raises(ValueError, match="fewer than 2 unique groups"):
        next(SemiSupervisedSplitter(LeaveOneGroupOut()).split(X, Y, np.ones(40)))


def test_empty_trainset():
    with pytest.raises(ValueError, match="Cannot perform LeaveOneOut with n_samples=1"):
        next(SemiSupervisedSplitter(LeaveOneOut()).split([[1], [2]], [0, -1]))
    with pytest.raises(ValueError, match="p=2 must be strictly less than the number of samples=2"):
        next(SemiSupervisedSplitter(LeavePOut(p=2)).split([[1], [2], [3]], [0, 3, -1]))
    with pytest.raises(ValueError, match="the resulting train set will be empty"):
        next(SemiSupervisedSplitter(ShuffleSplit(test_size=0.99)).split([[1], [2]], [0, -1]))


def test_check_cv():
    cv = SemiSupervisedSplitter(3)
    assert check_cv(cv, Y, classifier=True) is cv
    # An int stratifies by the labels of the labeled rows, whatever their kind.
    expected = list(SemiSupervisedSplitter(StratifiedKFold(3)).split(X, Y))
    for y in (Y.astype(float), np.array([-1 if c < 0 else "ab"[c] for c in Y], dtype=object)):
        assert_equal(list(cv.split(X, y)), expected)
    with pytest.raises(ValueError, match=r"Expected .?cv.? as an integer"):
        next(SemiSupervisedSplitter("lolo").split(X, Y))


def test_cv_iterable_wrapper():
    for inner in (KFold(), KFold(shuffle=True, random_state=0)):
        cv = SemiSupervisedSplitter(inner.split(LABELED))
        assert_equal(list(cv.split(X, Y)), list(cv.split(X, Y)))
        assert_equal(list(cv.split(X, Y)), list(SemiSupervisedSplitter(inner).split(X, Y)))


@pytest.mark.parametrize("container", [coo_array, csr_array])
def test_sparse_matrices(container):
    cv = SemiSupervisedSplitter(StratifiedKFold(2))
    assert_equal(list(cv.split(container(X), Y)), list(cv.split(X, Y)))


def test_nested_cv():
    X, y = make_classification(n_samples=40, n_classes=2, random_state=0)
    groups = np.random.RandomState(0).randint(0, 5, 40)
    y[::3] = -1
    cvs = [
        LeaveOneGroupOut(),
        StratifiedKFold(n_splits=2),
        GroupKFold(n_splits=3),
        StratifiedGroupKFold(n_splits=3),
        StratifiedShuffleSplit(n_splits=3, random_state=0),
    ]
    scorer = labeled_scorer("accuracy")
    for inner, outer in combinations_with_replacement([SemiSupervisedSplitter(cv) for cv in cvs], 2):
        search = GridSearchCV(
            DummyClassifier(), {"strategy": ["stratified", "most_frequent"]}, cv=inner, error_score="raise",
            scoring=scorer,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "The groups parameter is ignored by StratifiedKFold"
            scores = cross_val_score(
                search, X, y, groups=groups, cv=outer, params={"groups": groups}, scoring=scorer
            )
        assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("cv", "expected"),
    [
        (3, True),
        (None, True),
        ([([0, 1], [2])], True),
        (KFold(), True),
        (StratifiedKFold(shuffle=True, random_state=123), True),
        (StratifiedGroupKFold(), True),
        (RepeatedStratifiedKFold(random_state=123), True),
        (GroupShuffleSplit(random_state=123), True),
        (TimeSeriesSplit(), True),
        (LeaveOneOut(), True),
        (LeavePGroupsOut(n_groups=2), True),
        (KFold(shuffle=True, random_state=None), False),
        (StratifiedKFold(shuffle=True, random_state=np.random.RandomState(0)), False),
        (RepeatedKFold(random_state=None), False),
        (RepeatedStratifiedKFold(random_state=np.random.RandomState(0)), False),
        (ShuffleSplit(random_state=None), False),
        (StratifiedShuffleSplit(random_state=None), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_yields_constant_splits(cv, expected):
    assert yields_constant_splits(SemiSupervisedSplitter(cv)) == expected


@pytest.mark.parametrize("cv", ALL_SPLITTERS, ids=str)
@pytest.mark.parametrize("drop", [False, True])
def test_splitter_get_metadata_routing(cv, drop):
    routing = SemiSupervisedSplitter(cv, drop_test_groups=drop).get_metadata_routing()
    wanted = {"groups"} if drop or cv in GROUP_SPLITTERS else set()
    assert routing.consumes("split", ["groups", "sample_weight"]) == wanted
    assert routing.consumes("fit", ["groups"]) == set()


@pytest.mark.parametrize("cv", ALL_SPLITTERS, ids=str)
def test_splitter_set_split_request(cv):
    # The requests are those of the splitter inside; the one around has none of its own to set.
    assert not hasattr(SemiSupervisedSplitter(cv), "set_split_request")
    if cv in GROUP_SPLITTERS:
        silent = type(cv)(**({"n_groups": 1} if isinstance(cv, LeavePGroupsOut) else {}))
        with config_context(enable_metadata_routing=True):
            silent.set_split_request(groups=False)
        routing = SemiSupervisedSplitter(silent).get_metadata_routing()
        assert routing.consumes("split", ["groups"]) == set()


@pytest.mark.parametrize("cv", NO_GROUP_SPLITTERS, ids=str)
def test_no_group_splitters_warns_with_groups(cv):
    with pytest.warns(UserWarning, match=f"The groups parameter is ignored by {type(cv).__name__}"):
        list(SemiSupervisedSplitter(cv).split(X, Y, groups=GROUPS))


@pytest.mark.parametrize("cv", [2, *ALL_SPLITTERS], ids=str)
def test_splitter_without_y(cv):
    with pytest.raises(ValueError, match="y must be given"):
        next(SemiSupervisedSplitter(cv).split(X))
