"""Labeled samples that are predicted wrong, and the classes that are predicted for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.utils import check_consistent_length

from sklearn_ssldec._compat import safe_indexing
from sklearn_ssldec.display._drawing import (
    as_pictures,
    check_fitted,
    drawing_on,
    import_pyplot,
    merge_style,
    store_axes,
)
from sklearn_ssldec.labels import find_unlabeled_label, labeled_mask, labeled_values


class LabeledConfusionMatrixDisplay(ConfusionMatrixDisplay):
    """Confusion matrix of scikit-learn, for the labeled rows only.

    Predictions of samples whose labels the estimator was trained on look better than they are: pass those of
    `sklearn_ssldec.model_selection.cross_val_predict_labeled` to `from_predictions`.

    Examples
    --------
    >>> display = LabeledConfusionMatrixDisplay.from_predictions([0, 1, -1, 1], [0, 1, 1, 0])
    >>> display.confusion_matrix
    array([[1, 0],
           [1, 1]])
    """

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, unlabeled_label: Any = "auto", **kwargs: Any
    ) -> LabeledConfusionMatrixDisplay:
        """Draw the confusion matrix of the labeled rows.

        Parameters
        ----------
        estimator : fitted classifier
            Any classifier, or a Pipeline that ends with one.
        X : array-like of length n_samples
            Samples.
        y : array-like of shape (n_samples,)
            True labels, and the mark of unlabeled samples.
        unlabeled_label : int, str, None or "auto", default="auto"
            The mark of an unlabeled sample in `y`. "auto" asks the estimator.
        **kwargs
            As in :meth:`sklearn.metrics.ConfusionMatrixDisplay.from_predictions`.

        Returns
        -------
        LabeledConfusionMatrixDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator is no classifier, no row is labeled, X, y and `sample_weight` differ in length,
            or `unlabeled_label` contradicts the estimator.
        """
        check_fitted([estimator])
        if not is_classifier(estimator):
            raise ValueError(f"{cls.__name__}.from_estimator only supports classifiers, got {estimator!r}.")
        check_consistent_length(X, y)
        mark = find_unlabeled_label(estimator, unlabeled_label)
        return cls.from_predictions(y, estimator.predict(X), unlabeled_label=mark, **kwargs)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, *, unlabeled_label: Any = -1, sample_weight: Any = None, **kwargs: Any
    ) -> LabeledConfusionMatrixDisplay:
        """Draw the confusion matrix of the labeled rows of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels, and the mark of unlabeled samples.
        y_pred : array-like of shape (n_samples,)
            Predicted labels.
        unlabeled_label : int, str or None, default=-1
            The mark of an unlabeled sample in `y_true`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        **kwargs
            As in :meth:`sklearn.metrics.ConfusionMatrixDisplay.from_predictions`.

        Returns
        -------
        LabeledConfusionMatrixDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If no row is labeled, or `y_true`, `y_pred` and `sample_weight` differ in length.
        """
        check_consistent_length(y_true, y_pred, sample_weight)
        rows = labeled_rows(y_true, unlabeled_label)
        if sample_weight is not None:
            sample_weight = safe_indexing(sample_weight, rows)
        return super().from_predictions(
            labeled_values(y_true, unlabeled_label),
            safe_indexing(np.asarray(y_pred), rows),
            sample_weight=sample_weight,
            **kwargs,
        )


class MisclassifiedDisplay:
    """Images that are predicted wrong, with their true and their predicted label.

    Parameters
    ----------
    images : ndarray of shape (n_wrong, height, width) or (n_wrong, height, width, n_channels)
        The images.
    y_true, y_pred : ndarray of shape (n_wrong,)
        Their labels.
    n_labeled : int
        How many were looked at.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes
        One an image; a single one is not in an array.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.RandomState(0).rand(4, 8, 8)
    >>> display = MisclassifiedDisplay.from_predictions(images, [0, 1, -1, 1], [0, 1, 1, 0])
    >>> display.ax_.get_title()
    '0, truly 1'
    """

    def __init__(self, images: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, n_labeled: int) -> None:
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.n_labeled = n_labeled

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        unlabeled_label: Any = "auto",
        image_shape: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> MisclassifiedDisplay:
        """Draw the images that an estimator predicts wrong, those of which it is surest first.

        Parameters
        ----------
        estimator : fitted classifier
            Any classifier, or a Pipeline that ends with one.
        X : array-like of shape (n, height, width), (n, n_channels, height, width) or (n, n_pixels)
            Images.
        y : array-like of shape (n_samples,)
            True labels, and the mark of unlabeled samples.
        unlabeled_label : int, str, None or "auto", default="auto"
            The mark of an unlabeled sample in `y`. "auto" asks the estimator.
        image_shape : tuple of int, default=None
            Shape of one image, if X holds flat rows.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        MisclassifiedDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If no row is labeled, X does not hold images, X and y differ in length, or `unlabeled_label`
            contradicts the estimator.
        """
        check_fitted([estimator])
        check_consistent_length(X, y)
        mark = find_unlabeled_label(estimator, unlabeled_label)
        X = safe_indexing(X, labeled_rows(y, mark))
        y_true, y_pred = labeled_values(y, mark), estimator.predict(X)
        confidence = estimator.predict_proba(X).max(axis=1) if hasattr(estimator, "predict_proba") else None
        return cls.from_predictions(
            X, y_true, y_pred, confidence=confidence, unlabeled_label=None, image_shape=image_shape, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        images: Any,
        y_true: Any,
        y_pred: Any,
        *,
        confidence: Any = None,
        unlabeled_label: Any = -1,
        image_shape: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> MisclassifiedDisplay:
        """Draw the images of wrong predictions.

        Parameters
        ----------
        images : array-like of shape (n, height, width), (n, n_channels, height, width) or (n, n_pixels)
            Images.
        y_true : array-like of shape (n_samples,)
            True labels, and the mark of unlabeled samples.
        y_pred : array-like of shape (n_samples,)
            Predicted labels.
        confidence : array-like of shape (n_samples,), default=None
            How sure each prediction is; the surest are drawn first. None keeps the order.
        unlabeled_label : int, str or None, default=-1
            The mark of an unlabeled sample in `y_true`.
        image_shape : tuple of int, default=None
            Shape of one image, if `images` holds flat rows.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        MisclassifiedDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If no row is labeled, `images` does not hold images, or `images`, `y_true`, `y_pred` and
            `confidence` differ in length.
        """
        check_consistent_length(images, y_true, y_pred, confidence)
        rows = labeled_rows(y_true, unlabeled_label)
        truth = labeled_values(y_true, unlabeled_label)
        predicted = np.asarray(y_pred)[rows]
        wrong = np.flatnonzero(truth != predicted)
        if confidence is not None:
            wrong = wrong[np.argsort(-np.asarray(confidence)[rows[wrong]], kind="stable")]
        chosen = np.asarray(safe_indexing(images, rows[wrong]))
        if image_shape is not None:
            chosen = chosen.reshape(len(chosen), *image_shape)
        display = cls(as_pictures(chosen), truth[wrong], predicted[wrong], len(rows))
        return display.plot(**kwargs)

    def plot(
        self,
        *,
        max_images: int = 20,
        n_columns: int = 5,
        ax: Any = None,
        imshow_kwargs: dict[str, Any] | None = None,
        title_kwargs: dict[str, Any] | None = None,
    ) -> MisclassifiedDisplay:
        """Draw.

        Parameters
        ----------
        max_images : int, default=20
            The largest number of images.
        n_columns : int, default=5
            Images a row.
        ax : Axes or sequence of Axes, default=None
            One an image. None makes a figure.
        imshow_kwargs, title_kwargs : dict, default=None
            Keywords of the images (``Axes.imshow``) and of their titles (``Axes.set_title``).

        Returns
        -------
        MisclassifiedDisplay
            This display.
        """
        import_pyplot()
        from matplotlib.image import AxesImage
        from matplotlib.text import Text

        n_images = min(len(self.images), max_images)
        n_columns = max(1, min(n_columns, n_images))
        n_rows = max(1, math.ceil(n_images / n_columns))
        if ax is not None:
            n_rows, n_columns = 1, np.size(ax)
            n_images = min(n_images, n_columns)
        with drawing_on(ax, (n_rows, n_columns), (1.5, 1.7) if n_images else (4, 1)) as axes:
            for one in axes.ravel():
                one.set_axis_off()
            for i, one in zip(range(n_images), axes.ravel(), strict=False):
                one.imshow(self.images[i], **merge_style(AxesImage, {"cmap": "gray"}, imshow_kwargs))
                title = f"{self.y_pred[i]}, truly {self.y_true[i]}"
                one.set_title(title, **merge_style(Text, {"fontsize": "medium"}, title_kwargs))
            if n_images == 0:
                axes[0, 0].text(0.5, 0.5, "No labeled image is predicted wrong.", ha="center", va="center")
            elif ax is None:
                axes[0, 0].figure.suptitle(
                    f"{len(self.images)} of {self.n_labeled} predicted wrong", fontsize="medium"
                )
        store_axes(self, axes)
        return self


def labeled_rows(y: Any, unlabeled_label: Any) -> np.ndarray:
    """Return the positions of the labeled rows.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    unlabeled_label : int, str or None
        The mark of an unlabeled sample.

    Returns
    -------
    ndarray of int
        Their positions.

    Raises
    ------
    ValueError
        If there is none.
    """
    rows = np.flatnonzero(labeled_mask(y, unlabeled_label))
    if not len(rows):
        raise ValueError(f"No row to draw: all of y are {unlabeled_label!r}.")
    return rows
