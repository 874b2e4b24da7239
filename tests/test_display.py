import importlib
import sys
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.display import (
    BoundaryDisplay,
    EmbeddingDisplay,
    LabeledConfusionMatrixDisplay,
    MisclassifiedDisplay,
    OutlineDisplay,
    SegmentationDisplay,
    TrainingHistoryDisplay,
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def points():
    """Three groups on a line of the plane; the first two of each are labeled, with strings."""
    rng = np.random.RandomState(0)
    truth = np.repeat(["a", "b", "c"], 20)
    X = rng.normal(size=(60, 2)) * 0.3 + np.repeat([0, 3, 6], 20)[:, None]
    y = truth.astype(object)
    y[np.arange(60) % 20 >= 2] = -1
    return X, y, truth


@pytest.fixture(scope="module")
def fitted(points):
    X, y, _ = points
    clf = SSLDECClassifier(n_estimators=2, max_iter=3, random_state=0, device="cpu")
    return make_pipeline(FunctionTransformer(), clf).fit(X, y)


# Training history -----------------------------------------------------------------------------------------


def test_history_has_a_line_for_each_network(fitted):
    display = TrainingHistoryDisplay.from_estimator(fitted)
    history = fitted[-1].history_
    assert display.ax_.shape == (4,)
    assert display.figure_ is display.ax_[0].figure
    for metric, lines in display.lines_.items():
        assert len(lines) == 2
        for member, line in enumerate(lines):
            expected = [(r["iteration"], r[metric]) for r in history if r["estimator"] == member]
            assert_array_equal(line.get_xydata(), expected)


def test_history_on_axes_of_ones_own(fitted):
    _, ax = plt.subplots()
    display = TrainingHistoryDisplay.from_estimator(
        fitted, metrics=["seconds"], ax=ax, line_kwargs={"linestyle": ":"}
    )
    assert display.ax_ is ax
    assert display.lines_["seconds"][0].get_linestyle() == ":"
    with pytest.raises(ValueError, match="hold 4 axes, one a panel, got 1"):
        display.plot(ax=ax)
    with pytest.raises(ValueError, match=r"metrics must be of .*loss.*, got 'lose'"):
        display.plot(metrics=["lose"])


# Embedding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_embedding_before_and_after(fitted, points, method):
    X, y, _ = points
    before = SSLDECClassifier(max_iter=0, pretrain_epochs=20, random_state=0, device="cpu").fit(X, y)
    display = EmbeddingDisplay.from_estimator(fitted, X, y, before=before, method=method)
    assert [ax.get_title() for ax in display.ax_] == ["before", "after"]
    assert [Z.shape for Z in display.points] == [(60, 2), (60, 2)]
    assert_array_equal(display.labels[1], fitted.predict(X))
    assert_array_equal(display.labeled, y != -1)
    n_drawn = [sum(len(c.get_offsets()) for c in ax.collections) for ax in display.ax_]
    assert n_drawn == [60, 60]
    if method == "pca":
        expected = PCA(2, random_state=0).fit_transform(fitted.transform(X))
        assert_allclose(display.points[1], expected, atol=1e-4)


def test_embedding_of_many_samples_keeps_labeled_ones(fitted, points):
    X, y, truth = points
    display = EmbeddingDisplay.from_estimator(fitted, X, y, y_true=truth, method="pca", max_samples=10)
    assert display.labeled.sum() == 6
    assert 10 <= len(display.points[0]) <= 16
    assert {text.get_text() for text in display.ax_.texts} == {"a", "b", "c"}
    with pytest.raises(ValueError, match="method must be 'tsne' or 'pca', got 'umap'"):
        EmbeddingDisplay.from_estimator(fitted, X, method="umap")


def test_embedding_in_the_plane_is_shown_as_it_is(moons):
    X, y, _ = moons
    clf = SSLDECClassifier(max_iter=1, random_state=0, device="cpu").fit(X, y)
    display = EmbeddingDisplay.from_estimator(clf, X, labeled_kwargs={"s": 99})
    assert_array_equal(display.points[0], clf.transform(X))
    assert not display.labeled.any()


# Decision boundary ----------------------------------------------------------------------------------------


def test_boundary_has_the_colours_of_the_points(fitted, points):
    X, y, _ = points
    supervised = KNeighborsClassifier(1).fit(X[y != -1], y[y != -1].astype(str))
    display = BoundaryDisplay.from_estimator(
        fitted, X, y, before=supervised, boundary_kwargs={"grid_resolution": 30}
    )
    assert [ax.get_title() for ax in display.ax_] == ["before", "after"]
    boundary = display.boundaries_[0]
    grid = np.c_[boundary.xx0.ravel(), boundary.xx1.ravel()]
    surface = boundary.surface_
    for code, name in enumerate("abc"):
        rows = np.flatnonzero(supervised.predict(grid) == name)
        color = surface.to_rgba(boundary.response.ravel()[rows[:1]])[0, :3]
        of_class = display.ax_[0].collections[1 + 2 * code]
        assert_allclose(color, of_class.get_facecolor()[0, :3])
        labeled = display.ax_[0].collections[2 + 2 * code]
        assert_allclose(np.sort(labeled.get_offsets()[:, 0]), np.sort(X[y == name, 0]))
    legend = [text.get_text() for text in display.ax_[0].get_legend().get_texts()]
    assert legend == ["a", "b", "c"]


def test_boundary_without_labels(points):
    X, _, truth = points
    display = BoundaryDisplay.from_estimator(KNeighborsClassifier().fit(X, truth), X)
    assert display.ax_.get_legend() is None
    assert display.boundaries_[0].response.shape == (200, 200)


# Errors ---------------------------------------------------------------------------------------------------


def test_confusion_matrix_of_labeled_rows(fitted, points):
    X, y, truth = points
    display = LabeledConfusionMatrixDisplay.from_estimator(fitted, X, y)
    assert display.confusion_matrix.sum() == 6
    assert list(display.display_labels) == ["a", "b", "c"]
    weights = np.arange(60)
    display = LabeledConfusionMatrixDisplay.from_predictions(y, truth, sample_weight=weights, colorbar=False)
    assert_array_equal(display.confusion_matrix, np.diag([0 + 1, 20 + 21, 40 + 41]))
    with pytest.raises(ValueError, match="No row to draw: all of y are -1"):
        LabeledConfusionMatrixDisplay.from_predictions([-1, -1], [0, 1])


def test_misclassified_images_the_surest_first():
    images = np.arange(6)[:, None, None] * np.ones((6, 4, 5))
    y_true, y_pred = [0, 1, -1, 1, 0, 0], [1, 1, 0, 0, 0, 1]
    confidence = [0.5, 0.9, 0.9, 0.8, 0.6, 0.7]
    display = MisclassifiedDisplay.from_predictions(images, y_true, y_pred, confidence=confidence)
    assert_array_equal(display.images[:, 0, 0], [3, 5, 0])
    titles = [ax.get_title() for ax in display.ax_.ravel()]
    assert titles == ["0, truly 1", "1, truly 0", "1, truly 0"]
    assert "3 of 5" in display.figure_.get_suptitle()
    _, ax = plt.subplots(1, 2)
    assert display.plot(ax=ax).ax_.shape == (1, 2)


@pytest.mark.parametrize("flat", [False, True])
def test_misclassified_images_of_an_estimator(flat):
    images = np.random.RandomState(0).rand(20, 3, 4, 4)
    truth = np.arange(20) % 2
    rows = images.reshape(20, -1)
    clf = make_pipeline(
        FunctionTransformer(lambda X: X.reshape(len(X), -1)),
        KNeighborsClassifier(1).fit(rows, truth),  # KNN of shuffled labels
    ).fit(images, 1 - truth)
    kwargs = {"image_shape": (3, 4, 4)} if flat else {}
    display = MisclassifiedDisplay.from_estimator(
        clf, rows if flat else images, truth, max_images=4, **kwargs
    )
    assert display.images.shape == (20, 4, 4, 3)
    assert display.images.min() >= 0
    assert display.images.max() <= 1
    assert display.ax_.shape == (1, 4)


def test_no_misclassified_image():
    display = MisclassifiedDisplay.from_predictions(np.zeros((2, 4, 4)), [0, 1], [0, 1])
    assert "No labeled image is predicted wrong" in display.ax_.texts[0].get_text()
    with pytest.raises(ValueError, match=r"images must be of shape .* got \(1, 16\).*image_shape"):
        MisclassifiedDisplay.from_predictions(np.zeros((1, 16)), [0], [1])


# Segmentation ---------------------------------------------------------------------------------------------


@pytest.fixture
def label_maps():
    """A box among background, a smaller one of another class; the prediction is shifted by a voxel."""
    y_true = np.zeros((10, 12, 8), dtype=int)
    y_true[2:6, 3:8, 2:6] = 1
    y_true[6:8, 3:8, 2:6] = 2
    return y_true, np.roll(y_true, 1, axis=0)


def legends(axes):
    return [
        [] if ax.get_legend() is None else [text.get_text() for text in ax.get_legend().get_texts()]
        for ax in axes
    ]


def test_segmentation_of_a_volume(label_maps):
    y_true, y_pred = label_maps
    display = SegmentationDisplay.from_predictions(np.stack([y_true, y_pred]), y_true, y_pred, channel=1)
    assert display.ax_.shape == (3, 4)
    assert 2 <= display.slices_[0] < 8
    assert display.slices_[1:] == (3, 2)
    assert [ax.get_title() for ax in display.ax_[0]] == ["image", "truth", "prediction", "disagreement"]
    assert_array_equal(display.ax_[1, 0].images[0].get_array(), y_pred[:, 3])
    chosen = display.plot(slices=(5, 6, 7))
    assert chosen.slices_ == (5, 6, 7)


def test_segmentation_tells_what_is_wrong(label_maps):
    y_true, y_pred = (labels[:, 5] for labels in label_maps)
    display = SegmentationDisplay.from_predictions(y_true, y_true, y_pred)
    assert display.ax_.shape == (1, 4)
    assert display.slices_ == ()
    assert legends(display.ax_[0]) == [[], ["1", "2"], ["1", "2"], ["missed", "added", "another class"]]
    masks = [~image.get_array().mask for image in display.ax_[0, 3].images[1:]]
    assert_array_equal(masks[0], (y_pred == 0) & (y_true > 0))
    assert_array_equal(masks[1], (y_true == 0) & (y_pred > 0))
    assert_array_equal(masks[2], (y_true == 1) & (y_pred == 2) | (y_true == 2) & (y_pred == 1))
    assert_allclose(display.ax_[0, 3].images[1].cmap(0), to_rgba("#E69F00"))


@pytest.mark.parametrize("mark", [-1, None, np.nan, 255])
def test_unlabeled_pixels_are_neither_right_nor_wrong(label_maps, mark):
    y_true, y_pred = (labels[:, 5] for labels in label_maps)
    known = y_true.astype(float if mark is np.nan else object)
    known[:] = y_true
    known[:5] = mark
    display = SegmentationDisplay.from_predictions(
        y_true, known, y_pred, unlabeled_label=255 if mark == 255 else -1
    )
    assert "unlabeled" in legends(display.ax_[0])[1]
    wrong = sum(~image.get_array().mask for image in display.ax_[0, 3].images[1:])
    assert_array_equal(wrong > 0, (y_true != y_pred) & (np.arange(10) >= 5)[:, None])


class Segmenter:
    def predict(self, X):
        return [(image[0] > 0.5).astype(int) for image in X]


def test_segmentation_of_an_estimator(label_maps):
    y_true = label_maps[0][:, 5]
    display = SegmentationDisplay.from_estimator(Segmenter(), y_true[None], y_true)
    assert legends(display.ax_[0])[3] == ["another class"]
    display = SegmentationDisplay.from_estimator(Segmenter(), y_true[None])
    assert [ax.get_title() for ax in display.ax_[0]] == ["image", "prediction"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 4), (4, 4), (4,)), r"y_pred must have two or three dimensions, got shape \(4,\)"),
        (((5, 4), (4, 4), (4, 4)), r"image must be of the shape of y_pred, \(4, 4\).* got \(5, 4\)"),
        (((4, 4), (5, 4), (4, 4)), r"y_true and y_pred must be of one shape, got \(5, 4\) and \(4, 4\)"),
    ],
)
def test_refused_label_maps(shapes, message):
    with pytest.raises(ValueError, match=message):
        SegmentationDisplay.from_predictions(*(np.zeros(shape) for shape in shapes))


def test_import_without_matplotlib():
    """The whole package can be imported; drawing says what to install."""
    with patch.dict(sys.modules):
        for name in list(sys.modules):
            if name.partition(".")[0] in ("matplotlib", "sklearn_ssldec"):
                del sys.modules[name]
        sys.modules["matplotlib"] = None
        display = importlib.import_module("sklearn_ssldec.display")
        assert display.TrainingHistoryDisplay is not TrainingHistoryDisplay
        history = display.TrainingHistoryDisplay([{"iteration": 0, "loss": 1.0}])
        with pytest.raises(ImportError, match=r"need matplotlib: pip install 'sklearn-ssldec\[plot\]'"):
            history.plot(metrics=["loss"])


# What all displays have in common --------------------------------------------------------------------------


SQUARES = np.random.RandomState(0).rand(60, 4, 4)


def draw_boundary(fitted, points, **kwargs):
    X, y = points[:2]
    return BoundaryDisplay.from_estimator(
        fitted, X, y, **{"boundary_kwargs": {"grid_resolution": 9}, **kwargs}
    )


def draw_embedding(fitted, points, **kwargs):
    return EmbeddingDisplay.from_estimator(fitted, *points[:2], method="pca", **kwargs)


def draw_history(fitted, points, **kwargs):
    return TrainingHistoryDisplay.from_estimator(fitted, metrics=["loss"], **kwargs)


def draw_confusion(fitted, points, **kwargs):
    return LabeledConfusionMatrixDisplay.from_estimator(fitted, *points[:2], **kwargs)


class OfSquares(BaseEstimator):
    """Takes squares, and calls each an "a"."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array(["a"] * len(X))


def draw_wrong(fitted, points, **kwargs):
    return MisclassifiedDisplay.from_predictions(SQUARES, points[1], ["a"] * 60, **kwargs)


def draw_segmentation(fitted, points, **kwargs):
    return SegmentationDisplay.from_predictions(SQUARES[0], SQUARES[0] > 0.5, SQUARES[0] > 0.4, **kwargs)


@pytest.mark.parametrize(
    ("draw", "kwargs", "expected"),
    [
        (draw_boundary, {"scatter_kwargs": {"edgecolors": "red", "lw": 3}}, ((1, 0, 0, 1), 3)),
        (draw_boundary, {"scatter_kwargs": {"c": "red", "ec": "red", "linewidths": 2}}, ((1, 0, 0, 1), 2)),
        (
            draw_embedding,
            {"scatter_kwargs": {"edgecolors": "red", "lw": 3, "alpha": None}},
            ((1, 0, 0, 1), 3),
        ),
        (draw_embedding, {"scatter_kwargs": {"ec": "red", "linewidths": 2, "alpha": 1}}, ((1, 0, 0, 1), 2)),
    ],
)
def test_names_that_matplotlib_gives_a_property_of_points(fitted, points, draw, kwargs, expected):
    ax = draw(fitted, points, **kwargs).ax_
    drawn = next(c for c in ax.collections if isinstance(c, PathCollection) and c.get_sizes() == 8)
    assert_allclose(drawn.get_edgecolor()[0], expected[0])
    assert drawn.get_linewidth()[0] == expected[1]
    other = draw(fitted, points, labeled_kwargs=kwargs["scatter_kwargs"]).ax_.collections
    labeled = [c for c in other if c.get_zorder() == 3]
    assert len(labeled) == 3
    assert_allclose(labeled[0].get_edgecolor()[0], expected[0])


def test_names_that_matplotlib_gives_a_property_of_lines_texts_and_images(fitted, points):
    line = draw_history(fitted, points, line_kwargs={"c": "red", "lw": 5, "ls": ":"}).lines_["loss"][0]
    assert (line.get_color(), line.get_linewidth(), line.get_linestyle()) == ("red", 5, ":")
    name = draw_embedding(
        fitted, points, text_kwargs={"size": 20, "weight": "light", "ha": "left"}
    ).ax_.texts[0]
    assert (name.get_fontsize(), name.get_fontweight(), name.get_ha()) == (20, "light", "left")
    title = draw_wrong(fitted, points, title_kwargs={"size": 20}).ax_.ravel()[0].title
    assert title.get_fontsize() == 20
    norm = plt.Normalize(0, 7)
    image = draw_segmentation(fitted, points, imshow_kwargs={"norm": norm}).ax_[0, 0].images[0]
    assert image.norm is norm
    with pytest.raises(TypeError, match="linewidth"):
        draw_history(fitted, points, line_kwargs={"lw": 5, "linewidth": 2})


def test_boundary_takes_a_colormap_and_another_way_of_drawing(fitted, points):
    chosen = {"grid_resolution": 9, "cmap": "viridis", "plot_method": "contourf"}
    boundary = draw_boundary(fitted, points, boundary_kwargs=chosen).boundaries_[0]
    assert type(boundary.surface_).__name__ == "QuadContourSet"
    assert boundary.surface_.get_cmap().name == "viridis"


@pytest.mark.parametrize(
    ("draw", "kwargs", "error"),
    [
        (draw_boundary, {"scatter_kwargs": {"nonsense": 1}}, AttributeError),
        (draw_boundary, {"boundary_kwargs": {"grid_resolution": -1}}, ValueError),
        (draw_boundary, {"boundary_kwargs": {"response_method": "predict_proba"}}, ValueError),
        (draw_embedding, {"text_kwargs": {"nonsense": 1}}, AttributeError),
        (draw_history, {"line_kwargs": {"nonsense": 1}}, AttributeError),
        (draw_wrong, {"imshow_kwargs": {"nonsense": 1}}, AttributeError),
        (draw_segmentation, {"imshow_kwargs": {"nonsense": 1}}, AttributeError),
        (draw_segmentation, {"overlay_kwargs": {"nonsense": 1}}, AttributeError),
    ],
)
def test_nothing_is_left_of_a_figure_that_fails(fitted, points, draw, kwargs, error):
    with pytest.raises(error):
        draw(fitted, points, **kwargs)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("draw", [draw_boundary, draw_embedding, draw_history, draw_confusion])
def test_unfitted_estimators_are_refused_before_drawing(points, draw):
    for estimator in (SSLDECClassifier(), make_pipeline(FunctionTransformer(), SSLDECClassifier())):
        with pytest.raises(NotFittedError):
            draw(estimator, points)
    assert plt.get_fignums() == []


def test_other_unfitted_estimators_are_refused_before_drawing(fitted, points):
    for draw in (draw_boundary, draw_embedding):
        with pytest.raises(NotFittedError):
            draw(fitted, points, before=SSLDECClassifier())
    with pytest.raises(NotFittedError):
        MisclassifiedDisplay.from_estimator(SSLDECClassifier(), SQUARES, points[1])
    with pytest.raises(NotFittedError):
        SegmentationDisplay.from_estimator(SSLDECSegmenter(), SQUARES[0])
    with pytest.raises(TypeError, match=r"must have a history_.*KNeighborsClassifier\(\)"):
        TrainingHistoryDisplay.from_estimator(KNeighborsClassifier().fit(points[0], points[2]))
    assert plt.get_fignums() == []


def test_boundary_wants_two_features(fitted):
    three = KNeighborsClassifier().fit(np.eye(6)[:, :3], [0, 1] * 3)
    with pytest.raises(ValueError, match=r"X must be of shape \(n_samples, 2\), got \(6, 3\)"):
        BoundaryDisplay.from_estimator(three, np.eye(6)[:, :3])
    assert plt.get_fignums() == []


@pytest.mark.parametrize("draw", [draw_boundary, draw_embedding, draw_confusion])
def test_displays_compare_lengths(fitted, points, draw):
    X, y, _ = points
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(fitted, (X, y[:40]))
    assert plt.get_fignums() == []


def test_other_lengths(fitted, points):
    X, y, truth = points
    for wrong in ({"y_true": truth[:40]}, {"y": y[:40]}):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            EmbeddingDisplay.from_estimator(fitted, X, **{"y": y, **wrong})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LabeledConfusionMatrixDisplay.from_predictions(y, truth, sample_weight=np.ones(61))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MisclassifiedDisplay.from_predictions(SQUARES, y, truth, confidence=np.ones(61))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MisclassifiedDisplay.from_estimator(OfSquares().fit(X, truth), SQUARES, y[:40])


def test_displays_ask_for_the_mark(points):
    X, y, _ = points
    asked = np.array([99 if label == -1 else label for label in y], dtype=object)
    clf = SSLDECClassifier(max_iter=1, unlabeled_label=99, random_state=0, device="cpu")
    fitted = make_pipeline(FunctionTransformer(), clf).fit(X, asked)
    assert draw_embedding(fitted, (X, asked)).labeled.sum() == 6
    assert draw_confusion(fitted, (X, asked)).confusion_matrix.sum() == 6
    labeled = draw_boundary(fitted, (X, asked)).ax_.collections[2::2]
    assert sum(len(c.get_offsets()) for c in labeled) == 6
    for draw in (draw_boundary, draw_embedding, draw_confusion):
        with pytest.raises(ValueError, match=r"unlabeled_label=-1 contradicts the estimator, .* 99"):
            draw(fitted, (X, asked), unlabeled_label=-1)


def test_misclassified_display_asks_for_the_mark(points):
    class Marked(OfSquares):
        unlabeled_label = 99

    y = np.where(points[1] == -1, 99, points[1])
    display = MisclassifiedDisplay.from_estimator(Marked().fit(points[0], points[2]), SQUARES, y)
    assert display.n_labeled == 6
    assert set(display.y_true) == {"b", "c"}


def test_segmentation_display_asks_for_the_mark_and_for_what_is_ignored(label_maps):
    class Marked(Segmenter):
        unlabeled_label = 7
        ignore_label = 9

    y_true = label_maps[0][:, 5].copy()
    y_true[:3], y_true[-1] = 7, 9
    display = SegmentationDisplay.from_estimator(Marked(), label_maps[0][:, 5][None], y_true)
    assert legends(display.ax_[0])[1] == ["1", "2", "unlabeled"]
    assert legends(display.ax_[0])[3] == ["another class"]


@pytest.mark.parametrize("output", ["pandas", "default"])
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_embedding_whatever_transformers_return(fitted, points, method, output):
    X, y, _ = points
    with config_context(transform_output=output):
        display = EmbeddingDisplay.from_estimator(fitted, X, y, method=method)
    assert type(display.points[0]) is np.ndarray
    assert display.points[0].shape == (60, 2)


@pytest.mark.parametrize("n_samples", [1, 2, 3])
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_embedding_of_few_samples(fitted, points, method, n_samples):
    X, y, _ = points
    display = EmbeddingDisplay.from_estimator(fitted, X[:n_samples], y[:n_samples], method=method)
    assert display.points[0].shape == (n_samples, 2)
    assert np.isfinite(display.points[0]).all()
    assert sum(len(c.get_offsets()) for c in display.ax_.collections) == n_samples


def test_outlines_in_three_planes():
    label_map = np.zeros((8, 10, 12), dtype=int)
    label_map[5:7, 2:9, 3:6] = 1
    label_map[5:7, 2:4, 3:6] = 2
    image = np.stack([label_map + 0.5, 7.0 - label_map])
    display = OutlineDisplay.from_predictions(
        image, label_map, spacing=(1, 1, 3), names={1: "body"}, channel=1
    )
    assert display.slices_ == (5, 2, 3)
    assert display.ax_.shape == (1, 3)
    for axis, ax in enumerate(display.ax_[0]):
        shown = ax.images[0].get_array()
        assert_array_equal(shown, np.take(image[1], display.slices_[axis], axis=axis).T)
        assert ax.get_aspect() == (1 if axis == 2 else 3)  # voxels three times as high as wide
        assert ax.xaxis_inverted()  # the patient's right, the end of the first axis, is at the left
        assert not ax.yaxis_inverted()
    # the outline runs between the voxels of the structure and their neighbors
    sagittal = display.ax_[0, 0]
    corners = np.concatenate([path.vertices for line in sagittal.collections for path in line.get_paths()])
    assert_allclose([corners.min(0), corners.max(0)], [(1.5, 2.5), (8.5, 5.5)])
    assert [text.get_text() for text in display.ax_[0, 1].get_legend().get_texts()] == ["body", "2"]
    letters = [[text.get_text() for text in ax.texts] for ax in display.ax_[0]]
    assert letters == [["A", "P", "I", "S"], ["R", "L", "I", "S"], ["R", "L", "P", "A"]]


def test_outlines_of_images_and_of_nothing():
    label_map = np.ones((5, 6), dtype=int)  # up to the border
    display = OutlineDisplay.from_predictions(label_map * 1.0, label_map)
    assert display.slices_ == ()
    assert len(display.ax_.collections) == 1
    empty = OutlineDisplay.from_predictions(np.zeros((1, 4, 5, 6)), np.zeros((4, 5, 6), dtype=int))
    assert empty.slices_ == (2, 2, 3)
    assert all(len(ax.collections) == 0 and ax.get_legend() is None for ax in empty.ax_.ravel())
    with pytest.raises(ValueError, match=r"image must be of the shape of label_map, \(5, 6\)"):
        OutlineDisplay.from_predictions(np.zeros((5, 5)), label_map)
    with pytest.raises(ValueError, match="two or three dimensions"):
        OutlineDisplay.from_predictions(np.zeros(5), np.zeros(5, int))
    for spacing in ((1, 1, 1), (1, 0), "ab"):
        with pytest.raises(
            ValueError, match="spacing must hold a positive number for each of the 2 spatial axes"
        ):
            OutlineDisplay.from_predictions(label_map, label_map, spacing=spacing)
