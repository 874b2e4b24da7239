"""scikit-learn's tests of semi-supervised estimators, on SSLDECClassifier.

Adapted from sklearn/semi_supervised/tests/test_self_training.py and test_label_propagation.py (BSD-3-Clause).

What does not apply:

- `test_warns_k_best`, `test_k_best*`, `test_verbose_k_best`, `test_none_iter`, `test_labeled_iter`: SSLDEC
  labels no samples for good, one batch of them after the other, as self-training does;
- `test_estimator_meta_estimator`, `test_self_training_estimator_attribute_error`,
  `test_routing_passed_metadata_not_supported`: of a meta-estimator; SSLDEC trains a network;
- `test_label_spreading_closed_form`, `test_label_propagation_closed_form`, `*_build_graph_normalized`,
  `*_non_zero_normalizer`, `test_predict_sparse_callable_kernel`: of graphs of neighbours;
- `test_sparse_input_types`: tests/test_sparse.py has more;
- `test_distribution`, `test_predict_proba` at one half: of two labels and one point between them. A network
  is not symmetric in its two classes; probabilities are asked to sum to 1.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssldec import SSLDECClassifier

IRIS = load_iris()
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = train_test_split(
    StandardScaler().fit_transform(IRIS.data), IRIS.target, random_state=0
)
N_LABELED = 50
LABELED = np.arange(len(Y_TRAIN)) < N_LABELED
Y_MISSING = np.where(LABELED, Y_TRAIN, -1)
NAMES = np.array(["A", "B", "C"])
Y_MISSING_STRINGS = np.array([NAMES[c] if c >= 0 else -1 for c in Y_MISSING], dtype=object)

SMALL = SSLDECClassifier(
    module__hidden_units=(16, 16),
    pretrain_epochs=30,
    max_iter=3,
    labeled_threshold=0.9,
    teachers=None,
    random_state=0,
    device="cpu",
)
# Where accuracy counts.
LONGER = clone(SMALL).set_params(pretrain_epochs=100, teachers="auto")
THREE = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 3.0]])


def fitted_on_three(X, **kwargs):
    kwargs = {"module__hidden_units": (16,), "max_iter": 5, "augment": None, "device": "cpu", **kwargs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few samples
        return SSLDECClassifier(random_state=0, **kwargs).fit(X, [0, 1, -1])


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_classification(n_estimators):
    clf = clone(SMALL).set_params(n_estimators=n_estimators)
    of_numbers, of_strings = clone(clf).fit(X_TRAIN, Y_MISSING), clone(clf).fit(X_TRAIN, Y_MISSING_STRINGS)
    assert_array_equal(NAMES[of_numbers.predict(X_TEST)], of_strings.predict(X_TEST))
    assert_array_equal(of_numbers.predict_proba(X_TEST), of_strings.predict_proba(X_TEST))
    assert of_numbers.termination_condition_ == of_strings.termination_condition_
    assert_array_equal(of_numbers.transduction_[LABELED], Y_MISSING[LABELED])
    assert of_numbers.n_iter_ <= 3
    assert of_numbers.transduction_.shape == Y_MISSING.shape
    assert of_numbers.label_distributions_.shape == (len(Y_MISSING), 3)


def test_sanity_classification():
    # Better than what is trained on labels that say nothing of the third class.
    two = SMALL.fit(
        X_TRAIN[Y_TRAIN < 2], np.where(np.arange((Y_TRAIN < 2).sum()) < 20, Y_TRAIN[Y_TRAIN < 2], -1)
    )
    worse = accuracy_score(Y_TEST, two.predict(X_TEST))
    assert accuracy_score(Y_TEST, clone(LONGER).fit(X_TRAIN, Y_MISSING).predict(X_TEST)) > max(worse, 0.9)


@pytest.mark.parametrize("y", [Y_MISSING, Y_MISSING_STRINGS], ids=["numbers", "strings"])
def test_zero_iterations(y):
    # Without iterations unlabeled samples change nothing; the scale of the noise would tell of them.
    clf = clone(SMALL).set_params(max_iter=0, augment=None)
    with_all = clone(clf).fit(X_TRAIN, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "y has no unlabeled sample"
        labeled_only = clone(clf).fit(X_TRAIN[:N_LABELED], y[:N_LABELED])
    assert_array_equal(with_all.predict(X_TEST), labeled_only.predict(X_TEST))
    assert with_all.termination_condition_ == "supervised"


def test_unfitted_throws_error():
    for method in ("predict", "predict_proba", "transform"):
        with pytest.raises(NotFittedError, match="This SSLDECClassifier instance is not fitted yet"):
            getattr(SSLDECClassifier(), method)(X_TRAIN)
    with pytest.raises(NotFittedError):
        SSLDECClassifier().score(X_TRAIN, Y_TRAIN)


def test_no_unlabeled():
    clf = clone(SMALL)
    with pytest.warns(UserWarning, match="y has no unlabeled sample"):
        clf.fit(X_TRAIN, Y_TRAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        on_purpose = clone(SMALL).set_params(unlabeled_label=None).fit(X_TRAIN, Y_TRAIN)
    assert_array_equal(clf.predict_proba(X_TEST), on_purpose.predict_proba(X_TEST))
    assert_array_equal(clf.transduction_, Y_TRAIN)
    assert clf.termination_condition_ == "supervised"


def test_early_stopping():
    clf = clone(SMALL).set_params(tol=1.0, cycle__n_iter_no_change=1, max_iter=50).fit(X_TRAIN, Y_MISSING)
    assert clf.n_iter_ < 50
    assert clf.termination_condition_ == "tol"


def test_strings_dtype():
    X, y = make_blobs(n_samples=30, random_state=0, cluster_std=0.1)
    words = np.take(["one", "two", "three"], y)
    words[10:] = "-1"
    with pytest.raises(ValueError, match=r"y holds the string '-1'.*dtype=object"):
        clone(SMALL).fit(X, words)
    assert_array_equal(
        clone(SMALL).set_params(unlabeled_label="-1").fit(X, words).classes_, ["one", "three", "two"]
    )


@pytest.mark.parametrize("verbose", [0, 1])
def test_verbose(capsys, verbose):
    clone(SMALL).set_params(verbose=verbose).fit(X_TRAIN, Y_MISSING)
    captured = capsys.readouterr()
    assert ("labeled accuracy" in captured.out + captured.err) == bool(verbose)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit_transduction(dtype):
    clf = fitted_on_three(THREE.astype(dtype))
    assert clf.transduction_.tolist() == [0, 1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict(dtype):
    assert fitted_on_three(THREE.astype(dtype)).predict([[0.5, 2.5]]) == [1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype):
    clf = fitted_on_three(THREE.astype(dtype))
    assert_allclose(clf.label_distributions_.sum(axis=1), 1, atol=1e-6)
    assert_allclose(clf.predict_proba(THREE.astype(dtype)).sum(axis=1), 1, atol=1e-6)
    assert_array_equal(clf.label_distributions_.argmax(axis=1), [0, 1, 1])


def test_convergence_warning():
    # Labels that contradict each other cannot all be learned: with the threshold out of reach it is said.
    X, y = np.repeat(X_TRAIN[:30], 2, axis=0), np.repeat(Y_TRAIN[:30], 2)
    y[1] = (y[1] + 1) % 3
    y = np.r_[y, [-1] * 20]
    X = np.r_[X, X_TRAIN[30:50]]
    clf = clone(SMALL).set_params(
        labeled_threshold=1.0, cycle__max_labeled_epochs=2, max_iter=1, augment=None
    )
    with pytest.warns(ConvergenceWarning, match="below labeled_threshold=1.0"):
        clf.fit(X, y)
    assert clf.n_iter_ == clf.max_iter
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf.set_params(labeled_threshold=0.5).fit(X, y)


def test_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), clone(LONGER)).fit(X_TRAIN, Y_MISSING)
    assert pipeline.score(X_TEST, Y_TEST) > 0.9
