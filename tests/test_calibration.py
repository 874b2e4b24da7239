import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.calibration import TemperatureScaledClassifier, apply_temperature, fit_temperature
from sklearn_ssldec.datasets import mask_labels


@parametrize_with_checks([TemperatureScaledClassifier(LogisticRegression(), cv=2, unlabeled_label=None)])
def test_sklearn_contract(estimator, check):
    check(estimator)


def drawn_labels(probabilities, seed=0):
    """Draw a label from each row of probabilities."""
    draws = np.random.RandomState(seed).rand(len(probabilities), 1)
    return (draws > probabilities.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_that_made_the_probabilities_is_found(temperature):
    right = np.random.RandomState(0).dirichlet(np.full(4, 3.0), size=20_000)
    y = drawn_labels(right)
    distorted = apply_temperature(right, 1 / temperature)
    assert fit_temperature(y, distorted) == pytest.approx(temperature, rel=0.03)
    assert_allclose(apply_temperature(distorted, temperature), right, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 7.0])
def test_most_probable_class_stays(temperature):
    probabilities = np.random.RandomState(0).dirichlet(np.ones(5), size=100)
    scaled = apply_temperature(probabilities, temperature)
    assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    assert_allclose(scaled.sum(axis=1), 1)


def test_few_labels_that_are_all_right_do_not_make_sure_of_everything():
    probabilities = np.tile([0.7, 0.3], (6, 1))
    temperature = fit_temperature([0] * 6, probabilities, classes=[0, 1])
    assert 0.2 < temperature < 1
    assert apply_temperature([[0.7, 0.3]], temperature)[0, 0] < 0.99


SELF_TRAINING = SelfTrainingClassifier(KNeighborsClassifier(5))


@pytest.mark.parametrize(
    "estimator", [SELF_TRAINING, SelfTrainingClassifier(GaussianNB())], ids=["neighbours", "naive Bayes"]
)
@pytest.mark.parametrize("data", ["moons", "digits"])
@pytest.mark.parametrize("draw", [0, 1])
def test_log_loss_falls_and_accuracy_stays(estimator, data, draw):
    if data == "moons":
        X, truth = make_moons(600, noise=0.3, random_state=0)
    else:
        X, truth = load_digits(return_X_y=True)
        X = X / 16 + np.random.RandomState(0).normal(scale=0.05, size=X.shape)  # naive Bayes: no constants
    y = mask_labels(truth, 20, random_state=draw)
    hidden = y == -1
    plain = estimator.fit(X, y)
    calibrated = TemperatureScaledClassifier(estimator).fit(X, y)
    assert_array_equal(calibrated.predict(X), plain.predict(X))
    assert calibrated.score(X, truth) == plain.score(X, truth)
    before, after = (log_loss(truth[hidden], e.predict_proba(X[hidden])) for e in (plain, calibrated))
    if calibrated.temperature_ > 1.2:
        assert after < before
    else:
        assert after < before + 0.02
    assert estimator is not SELF_TRAINING or after < 0.7 * before


def test_strings_pipelines_and_searches():
    X, truth = make_moons(200, noise=0.1, random_state=0)
    y = np.array(["ab"[c] if c >= 0 else -1 for c in mask_labels(truth, 10, random_state=0)], dtype=object)
    clf = TemperatureScaledClassifier(
        make_pipeline(StandardScaler(), SSLDECClassifier(max_iter=2, random_state=0, device="cpu")), cv=2
    )
    clf.fit(X, y)
    assert_array_equal(clf.classes_, ["a", "b"])
    assert_array_equal(clf.predict(X), clf.estimator_.predict(X))
    assert clf.n_features_in_ == 2
    numbers = np.where(truth & (y != -1), 1, np.where(y != -1, 0, -1))
    assert cross_val_score(TemperatureScaledClassifier(LabelSpreading(), cv=2), X, numbers, cv=2).min() > 0.5


def test_fitted_classifier_on_rows_it_did_not_see():
    X, truth = make_moons(400, noise=0.3, random_state=0)
    fitted = KNeighborsClassifier(3).fit(X[:100], truth[:100])
    y = np.where(np.arange(300) < 150, truth[100:], -1)
    clf = TemperatureScaledClassifier(FrozenEstimator(fitted), cv=2).fit(X[100:], y)
    expected = fit_temperature(y[:150], fitted.predict_proba(X[100:250]))
    assert clf.temperature_ == pytest.approx(expected)
    assert log_loss(truth[250:], clf.predict_proba(X[250:])) < log_loss(
        truth[250:], fitted.predict_proba(X[250:])
    )


def test_refused():
    X, y = np.arange(8.0)[:, None], np.array([0, 0, 1, 1, -1, -1, -1, -1])
    with pytest.raises(ValueError, match=r"estimator takes -1 for a class.*must know that -1 marks"):
        TemperatureScaledClassifier(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="y_true holds 2, which is not among classes"):
        fit_temperature([0, 2], np.full((2, 2), 0.5), classes=[0, 1])
    with pytest.raises(ValueError, match=r"must be of shape .*\(2, 2\), got \(2, 3\)"):
        fit_temperature([0, 1], np.full((2, 3), 1 / 3))
    with pytest.raises(ValueError, match="probabilities holds missing"):
        fit_temperature([0, 1], np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"classes must be sorted, without a class twice, got \['b', 'a'\]"):
        fit_temperature(["b", "a"], np.full((2, 2), 0.5), classes=["b", "a"])
    with pytest.raises(ValueError, match="No row to score on"):
        TemperatureScaledClassifier(LabelSpreading(), cv=2).fit(X, y).score(X, np.full(8, -1))


def test_temperature_is_that_of_the_mark_minus_one():
    X, truth = make_moons(200, noise=0.3, random_state=0)
    y = mask_labels(truth, 15, random_state=0)
    clf = SSLDECClassifier(
        module__hidden_units=(8,),
        pretrain_epochs=20,
        max_iter=1,
        labeled_threshold=0.7,
        random_state=0,
        device="cpu",
    )
    expected = TemperatureScaledClassifier(clf, cv=2).fit(X, y)
    asked = TemperatureScaledClassifier(
        make_pipeline(
            StandardScaler(with_mean=False, with_std=False), clone(clf).set_params(unlabeled_label=99)
        ),
        cv=2,
    ).fit(X, np.where(y == -1, 99, y))
    assert asked.temperature_ == expected.temperature_
    assert_array_equal(asked.classes_, [0, 1])
    assert asked.score(X, np.where(y == -1, 99, y)) == expected.score(X, y)


@pytest.mark.parametrize("cv", [5, LeaveOneOut()], ids=["stratified", "leave one out"])
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_a_class_with_one_label_takes_no_part_in_calibration(cv):
    X, truth = make_blobs(330, centers=[[0, 0], [2, 0], [40, 40]], cluster_std=1.0, random_state=0)
    labeled = np.r_[
        np.flatnonzero(truth == 0)[:20], np.flatnonzero(truth == 1)[:20], np.flatnonzero(truth == 2)[:1]
    ]
    estimator = GaussianNB(var_smoothing=1e-2)
    alone = TemperatureScaledClassifier(estimator, cv=cv).fit(X[labeled], truth[labeled])
    hidden = np.setdiff1d(np.arange(330), labeled)
    before = log_loss(truth[hidden], estimator.fit(X[labeled], truth[labeled]).predict_proba(X[hidden]))
    after = log_loss(truth[hidden], alone.predict_proba(X[hidden]))
    assert after < before + 0.01
    assert 0.3 < alone.temperature_ < 3  # the row that cannot be predicted would ask for more than 20
    rows = labeled[:-1]
    if cv == 5:
        return
    # By hand: every row but the lonely one, predicted by a classifier of all other rows.
    probabilities = np.vstack(
        [
            estimator.fit(X[rest], truth[rest]).predict_proba(X[[row]])
            for row in rows
            for rest in [np.setdiff1d(labeled, row)]
        ]
    )
    assert alone.temperature_ == pytest.approx(fit_temperature(truth[rows], probabilities, [0, 1, 2]))


def test_nothing_to_calibrate_on_is_said():
    X, y = np.arange(3.0)[:, None], [0, 1, 2]
    with pytest.raises(ValueError, match="No labeled row can be calibrated on"):
        TemperatureScaledClassifier(KNeighborsClassifier(1), cv=LeaveOneOut()).fit(X, y)


@pytest.mark.parametrize("temperature", [0, -1, np.nan])
def test_refused_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0"):
        apply_temperature([[0.5, 0.5]], temperature)
