import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, make_moons
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
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
    with pytest.raises(ValueError, match="No row to score on"):
        TemperatureScaledClassifier(LabelSpreading(), cv=2).fit(X, y).score(X, np.full(8, -1))
