"""scikit-learn's tests of displays, on the displays of this library.

Adapted from sklearn/metrics/_plot/tests/test_confusion_matrix_display.py, test_common_curve_display.py and
sklearn/inspection/_plot/tests/test_boundary_decision_display.py (BSD-3-Clause).

What does not apply:

- curves (`pos_label`, `from_cv_results`, legends of several curves, `estimator_name`): none of the displays
  here draws a curve of scores;
- `test_check_boundary_response_method*`, `test_class_of_interest_*`, `test_multiclass_*colors*`,
  `test_decision_boundary_display_regressor`, `*_outlier_detector`: BoundaryDisplay draws the regions of the
  predicted classes only, in the colours of its points, and refuses another `response_method`;
- `test_confusion_matrix_contrast`, `test_colormap_max`: of ``ConfusionMatrixDisplay.plot``, which
  LabeledConfusionMatrixDisplay does not touch.
"""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ssldec.display import (
    BoundaryDisplay,
    EmbeddingDisplay,
    LabeledConfusionMatrixDisplay,
    MisclassifiedDisplay,
    SegmentationDisplay,
    TrainingHistoryDisplay,
)

N_CLASSES = 5
X, TRUTH = make_classification(n_samples=150, n_informative=5, n_classes=N_CLASSES, random_state=0)
Y = np.where(np.arange(150) % 3 == 0, -1, TRUTH)
LABELED = Y != -1
CLASSIFIER = SVC().fit(X, TRUTH)
PREDICTED = CLASSIFIER.predict(X)
CONSTRUCTORS = pytest.mark.parametrize("constructor", ["from_estimator", "from_predictions"])


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def drawn(constructor, y=Y, **kwargs):
    if constructor == "from_estimator":
        return LabeledConfusionMatrixDisplay.from_estimator(CLASSIFIER, X, y, **kwargs)
    return LabeledConfusionMatrixDisplay.from_predictions(y, PREDICTED, **kwargs)


def tick_labels(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


# test_confusion_matrix_display.py --------------------------------------------------------------------------


def test_confusion_matrix_display_validation():
    display = LabeledConfusionMatrixDisplay
    with pytest.raises(NotFittedError):
        display.from_estimator(SVC(), X, Y)
    with pytest.raises(
        ValueError, match=r"LabeledConfusionMatrixDisplay\.from_estimator only supports classifiers"
    ):
        display.from_estimator(SVR().fit(X, TRUTH), X, Y)
    with pytest.raises(ValueError, match="Mix type of y not allowed, got types"):
        display.from_predictions(TRUTH + 0.5, PREDICTED)
    with pytest.raises(ValueError, match="Mix type of y not allowed, got types"):
        display.from_predictions(Y, PREDICTED + 0.5)
    with pytest.raises(ValueError, match="Found input variables with inconsistent numbers of samples"):
        display.from_predictions(Y, PREDICTED[::2])
    assert plt.get_fignums() == []


@CONSTRUCTORS
@pytest.mark.parametrize("labels", [[2, 1, 0, 3, 4], None])
@pytest.mark.parametrize("display_labels", [["b", "d", "a", "e", "f"], None])
def test_confusion_matrix_display_custom_labels(constructor, labels, display_labels):
    display = drawn(constructor, ax=plt.gca(), labels=labels, display_labels=display_labels)
    assert_allclose(
        display.confusion_matrix, confusion_matrix(TRUTH[LABELED], PREDICTED[LABELED], labels=labels)
    )
    expected = display_labels or labels or list(range(N_CLASSES))
    assert_array_equal(display.display_labels, expected)
    assert (
        tick_labels(display.ax_.xaxis) == tick_labels(display.ax_.yaxis) == [str(name) for name in expected]
    )


@CONSTRUCTORS
@pytest.mark.parametrize("normalize", ["true", "pred", "all", None])
@pytest.mark.parametrize("include_values", [True, False])
def test_confusion_matrix_display_plotting(constructor, normalize, include_values):
    ax = plt.gca()
    display = drawn(constructor, normalize=normalize, cmap="plasma", ax=ax, include_values=include_values)
    expected = confusion_matrix(TRUTH[LABELED], PREDICTED[LABELED], normalize=normalize)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert_allclose(display.confusion_matrix, expected)
    assert_allclose(display.im_.get_array().data, expected)
    assert display.im_.get_cmap().name == "plasma"
    assert display.ax_.get_ylabel() == "True label"
    assert display.ax_.get_xlabel() == "Predicted label"
    if include_values:
        shown = [text.get_text() for text in display.text_.ravel()]
        assert shown == [format(value, ".2g") for value in expected.ravel()]
    else:
        assert display.text_ is None


@CONSTRUCTORS
def test_confusion_matrix_display(constructor):
    display = drawn(constructor, xticks_rotation=45.0)
    assert_allclose([tick.get_rotation() for tick in display.ax_.get_xticklabels()], 45.0)
    display.plot(cmap="plasma")
    assert display.im_.get_cmap().name == "plasma"
    display.plot(include_values=False)
    assert display.text_ is None
    display.plot(values_format="e")
    assert display.text_[0, 0].get_text() == format(display.confusion_matrix[0, 0], "e")


@pytest.mark.parametrize(
    "clf",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(make_column_transformer((StandardScaler(), [0, 1])), LogisticRegression()),
    ],
    ids=["clf", "pipeline-clf", "pipeline-column_transformer-clf"],
)
def test_confusion_matrix_pipeline(clf):
    clf = clone(clf)
    with pytest.raises(NotFittedError):
        LabeledConfusionMatrixDisplay.from_estimator(clf, X, Y)
    clf.fit(X, TRUTH)
    display = LabeledConfusionMatrixDisplay.from_estimator(clf, X, Y)
    assert_allclose(display.confusion_matrix, confusion_matrix(TRUTH[LABELED], clf.predict(X)[LABELED]))
    assert display.text_.shape == (N_CLASSES, N_CLASSES)


@CONSTRUCTORS
def test_confusion_matrix_with_unknown_labels(constructor):
    display = drawn(constructor, y=np.where(LABELED, TRUTH + 1, -1), labels=None)
    assert tick_labels(display.ax_.xaxis) == [str(i) for i in range(N_CLASSES + 1)]


@CONSTRUCTORS
def test_confusion_matrix_keywords(constructor):
    display = drawn(constructor, text_kw={"fontsize": 15.0}, im_kw={"vmin": 0.0, "vmax": 0.8}, colorbar=False)
    assert {text.get_fontsize() for text in display.text_.ravel()} == {15.0}
    assert display.im_.get_clim() == (0.0, 0.8)
    display.plot(text_kw={"fontsize": 20.0})
    assert {text.get_fontsize() for text in display.text_.ravel()} == {20.0}


# test_boundary_decision_display.py -------------------------------------------------------------------------


PLANE, OF_PLANE = make_classification(
    n_informative=1, n_redundant=1, n_clusters_per_class=1, n_features=2, random_state=42
)
Y_PLANE = np.where(np.arange(100) % 3 == 0, OF_PLANE, -1)


@pytest.fixture(scope="module")
def fitted_clf():
    return LogisticRegression().fit(PLANE, OF_PLANE)


def test_input_data_dimension():
    X, y = make_classification(n_samples=10, n_features=4, random_state=0)
    with pytest.raises(ValueError, match=r"X must be of shape \(n_samples, 2\), got \(10, 4\)"):
        BoundaryDisplay.from_estimator(LogisticRegression().fit(X, y), X)


def test_multiclass_predict():
    X, y = make_classification(n_classes=3, n_informative=3, random_state=0)
    X = X[:, [0, 1]]
    clf = LogisticRegression(random_state=0).fit(X, y)
    chosen = {"grid_resolution": 10, "eps": 1.0}
    boundary = BoundaryDisplay.from_estimator(clf, X, y, boundary_kwargs=chosen).boundaries_[0]
    (low0, low1), (high0, high1) = X.min(axis=0) - 1, X.max(axis=0) + 1
    xx0, xx1 = np.meshgrid(np.linspace(low0, high0, 10), np.linspace(low1, high1, 10))
    assert_allclose(boundary.xx0, xx0)
    assert_allclose(boundary.xx1, xx1)
    assert_allclose(boundary.response, clf.predict(np.c_[xx0.ravel(), xx1.ravel()]).reshape(10, 10))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"plot_method": "hello_world"}, "plot_method must be one of contourf, contour, pcolormesh"),
        ({"grid_resolution": 1}, "grid_resolution must be greater than 1"),
        ({"grid_resolution": -1}, "grid_resolution must be greater than 1"),
        ({"eps": -1.1}, "eps must be greater than or equal to 0"),
        ({"response_method": "predict_proba"}, "another response_method than 'predict'"),
    ],
)
def test_input_validation_errors(fitted_clf, chosen, message):
    with pytest.raises(ValueError, match=message):
        BoundaryDisplay.from_estimator(fitted_clf, PLANE, boundary_kwargs=chosen)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("plot_method", "surface"),
    [("contourf", mpl.contour.QuadContourSet), ("contour", mpl.contour.QuadContourSet),
     ("pcolormesh", mpl.collections.QuadMesh)],
)  # fmt: skip
def test_decision_boundary_display_classifier(fitted_clf, plot_method, surface):
    fig, ax = plt.subplots()
    chosen = {"plot_method": plot_method, "grid_resolution": 5, "eps": 2.0}
    display = BoundaryDisplay.from_estimator(fitted_clf, PLANE, Y_PLANE, ax=ax, boundary_kwargs=chosen)
    boundary = display.boundaries_[0]
    assert isinstance(boundary.surface_, surface)
    assert display.ax_ is ax
    assert display.figure_ is fig
    assert boundary.xx0.min() == pytest.approx(PLANE[:, 0].min() - 2)
    assert boundary.xx1.max() == pytest.approx(PLANE[:, 1].max() + 2)


def test_dataframe_labels_used():
    frame = pd.DataFrame(PLANE, columns=["col_x", "col_y"])
    clf = LogisticRegression().fit(frame, OF_PLANE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        display = BoundaryDisplay.from_estimator(clf, frame, Y_PLANE, boundary_kwargs={"grid_resolution": 5})
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("col_x", "col_y")


def test_string_target():
    names = np.array(["no", "yes"])[OF_PLANE]
    display = BoundaryDisplay.from_estimator(
        LogisticRegression().fit(PLANE, names), PLANE, names, unlabeled_label=None
    )
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["no", "yes"]


# What is asked of every display ----------------------------------------------------------------------------


class Embedder(LogisticRegression):
    def transform(self, X):
        return np.asarray(X)


IMAGES = np.random.RandomState(0).rand(6, 4, 4)
HISTORY = [{"iteration": i, "loss": 1.0 / (1 + i)} for i in range(3)]


class WithHistory(LogisticRegression):
    history_ = HISTORY


class Segmenter:
    def predict(self, X):
        return [(image > 0.5).astype(int) for image in X]


CONSTRUCTED = [
    (BoundaryDisplay, "from_estimator", lambda: (LogisticRegression().fit(PLANE, OF_PLANE), PLANE), {}),
    (EmbeddingDisplay, "from_estimator", lambda: (Embedder().fit(PLANE, OF_PLANE), PLANE), {}),
    (TrainingHistoryDisplay, "from_estimator", lambda: (WithHistory().fit(PLANE, OF_PLANE),),
     {"metrics": ["loss"]}),
    (LabeledConfusionMatrixDisplay, "from_estimator", lambda: (CLASSIFIER, X, Y), {}),
    (LabeledConfusionMatrixDisplay, "from_predictions", lambda: (Y, PREDICTED), {}),
    (MisclassifiedDisplay, "from_predictions", lambda: (IMAGES, [0, 1, -1, 1, 0, 0], [1, 1, 0, 1, 0, 0]),
     {"n_columns": 1}),
    (SegmentationDisplay, "from_estimator", lambda: (Segmenter(), IMAGES[0]), {}),
    (SegmentationDisplay, "from_predictions", lambda: (IMAGES[0], None, IMAGES[0] > 0.5), {}),
]  # fmt: skip
EACH = pytest.mark.parametrize(
    ("display", "constructor", "arguments", "kwargs"),
    CONSTRUCTED,
    ids=lambda v: getattr(v, "__name__", str(v))[:30],
)


@EACH
def test_subclass_named_constructors_return_type_is_subclass(display, constructor, arguments, kwargs):
    class SubclassOfDisplay(display):
        pass

    drawn = getattr(SubclassOfDisplay, constructor)(*arguments(), **kwargs)
    assert isinstance(drawn, SubclassOfDisplay)
    assert all(ax.figure is drawn.figure_ for ax in np.ravel(drawn.ax_))


@EACH
def test_plotting_again_on_axes_of_ones_own(display, constructor, arguments, kwargs):
    drawn = getattr(display, constructor)(*arguments(), **kwargs)
    n_axes = np.size(drawn.ax_)
    fig, axes = plt.subplots(1, n_axes)
    n_figures = len(plt.get_fignums())
    chosen = {name: value for name, value in kwargs.items() if name == "metrics"}
    again = drawn.plot(ax=axes, **chosen)
    assert again is drawn
    assert drawn.figure_ is fig
    assert np.ravel(drawn.ax_).tolist() == np.ravel(axes).tolist()
    assert len(plt.get_fignums()) == n_figures  # no further figure was made


@pytest.mark.parametrize(
    ("display", "X", "y"),
    [(BoundaryDisplay, PLANE, Y_PLANE), (EmbeddingDisplay, PLANE, Y_PLANE),
     (LabeledConfusionMatrixDisplay, PLANE, Y_PLANE), (MisclassifiedDisplay, PLANE, Y_PLANE)],
)  # fmt: skip
@pytest.mark.parametrize("wrap", [lambda clf: clf, lambda clf: make_pipeline(StandardScaler(), clf)])
def test_not_fitted_errors_and_n_samples_consistency(display, X, y, wrap):
    with pytest.raises(NotFittedError):
        display.from_estimator(wrap(Embedder()), X, y)
    fitted = wrap(Embedder()).fit(X, OF_PLANE)
    message = "Found input variables with inconsistent numbers of samples"
    for wrong in ((X[:-2], y), (X, y[:-2])):
        with pytest.raises(ValueError, match=message):
            display.from_estimator(fitted, *wrong)
    assert plt.get_fignums() == []
