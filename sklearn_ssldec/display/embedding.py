"""The embeddings of samples: the paper's figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_consistent_length, check_random_state

from sklearn_ssldec._compat import safe_indexing
from sklearn_ssldec.display._drawing import (
    before_and_after,
    check_fitted,
    class_color,
    class_marker,
    drawing_on,
    import_pyplot,
    merge_style,
    store_axes,
)
from sklearn_ssldec.labels import find_unlabeled_label, labeled_mask


class EmbeddingDisplay:
    """Embeddings of samples in the plane, after training, or before and after it.

    Each class has a colour, and its name at its median; labeled samples are drawn large, with a black edge.

    Parameters
    ----------
    points : list of ndarray of shape (n_samples, 2)
        The embeddings in the plane, one array a panel.
    labels : list of ndarray of shape (n_samples,)
        Classes by which the points are coloured, one array a panel.
    labeled : ndarray of shape (n_samples,), bool, default=None
        True where a sample is labeled. None marks none.
    titles : list of str, default=None
        Title of each panel.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes
        One a panel; a single one is not in an array.
    """

    def __init__(
        self,
        points: list[np.ndarray],
        labels: list[np.ndarray],
        *,
        labeled: np.ndarray | None = None,
        titles: Sequence[str] | None = None,
    ) -> None:
        self.points = points
        self.labels = labels
        self.labeled = labeled
        self.titles = titles

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        before: Any = None,
        y_true: Any = None,
        method: str = "tsne",
        max_samples: int = 2000,
        unlabeled_label: Any = "auto",
        random_state: Any = 0,
        ax: Any = None,
        scatter_kwargs: dict[str, Any] | None = None,
        labeled_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> EmbeddingDisplay:
        """Embed samples by ``estimator.transform``, bring them to the plane, and draw them.

        Parameters
        ----------
        estimator : fitted classifier with `transform` and `predict`
            SSLDECClassifier, or a Pipeline that ends with one.
        X : array-like of length n_samples
            Samples.
        y : array-like of shape (n_samples,), default=None
            Labels, and the mark of unlabeled samples: labeled ones are marked in the figure.
        before : fitted classifier, default=None
            Drawn to the left, such as the same estimator at ``max_iter=0``.
        y_true : array-like of shape (n_samples,), default=None
            Classes by which the points are coloured. None colours by what each estimator predicts.
        method : {"tsne", "pca"}, default="tsne"
            What brings the embeddings to the plane. Those of two dimensions are shown as they are.
        max_samples : int, default=2000
            With more samples, so many are drawn at random, and all labeled ones.
        unlabeled_label : int, str, None or "auto", default="auto"
            The mark of an unlabeled sample in `y`. "auto" asks the estimator.
        random_state : int, RandomState instance or None, default=0
            Seed of t-SNE and of the choice of samples.
        ax : Axes or sequence of Axes, default=None
            One a panel. None makes a figure.
        scatter_kwargs, labeled_kwargs, text_kwargs : dict, default=None
            Keywords of the points, of the labeled points (``Axes.scatter``) and of the classes' names
            (``Axes.text``).

        Returns
        -------
        EmbeddingDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If `method` is another, X, y and `y_true` differ in length, `unlabeled_label` contradicts the
            estimator, or `ax` holds another number of axes.
        """
        if method not in ("tsne", "pca"):
            raise ValueError(f"method must be 'tsne' or 'pca', got {method!r}.")
        random_state = check_random_state(random_state)
        estimators, titles = before_and_after(before, estimator)
        check_fitted(estimators)
        check_consistent_length(X, y, y_true)
        n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
        labeled = np.zeros(n_samples, dtype=bool)
        if y is not None:
            labeled = labeled_mask(y, find_unlabeled_label(estimator, unlabeled_label))
        if n_samples > max_samples:
            chosen = labeled.copy()
            chosen[random_state.choice(n_samples, max_samples, replace=False)] = True
            rows = np.flatnonzero(chosen)
            X, labeled = safe_indexing(X, rows), labeled[rows]
            y_true = None if y_true is None else safe_indexing(y_true, rows)
        points, labels = [], []
        for one in estimators:
            points.append(to_plane(np.asarray(one.transform(X)), method, random_state))
            labels.append(one.predict(X) if y_true is None else np.asarray(y_true))
        return cls(points, labels, labeled=labeled, titles=titles).plot(
            ax=ax, scatter_kwargs=scatter_kwargs, labeled_kwargs=labeled_kwargs, text_kwargs=text_kwargs
        )

    def plot(
        self,
        *,
        ax: Any = None,
        scatter_kwargs: dict[str, Any] | None = None,
        labeled_kwargs: dict[str, Any] | None = None,
        text_kwargs: dict[str, Any] | None = None,
    ) -> EmbeddingDisplay:
        """Draw.

        Parameters
        ----------
        ax : Axes or sequence of Axes, default=None
            One a panel. None makes a figure.
        scatter_kwargs, labeled_kwargs, text_kwargs : dict, default=None
            Keywords of the points, of the labeled points (``Axes.scatter``) and of the classes' names
            (``Axes.text``).

        Returns
        -------
        EmbeddingDisplay
            This display.
        """
        import_pyplot()
        classes = np.unique(np.concatenate(self.labels))
        titles = self.titles or [""] * len(self.points)
        with drawing_on(ax, (1, len(self.points)), (4.2, 3.8)) as panels:
            axes = panels.ravel()
            for one, Z, labels, title in zip(axes, self.points, self.labels, titles, strict=True):
                marked = np.zeros(len(Z), dtype=bool) if self.labeled is None else self.labeled
                for position, name in enumerate(classes):
                    of_class = labels == name
                    if not of_class.any():
                        continue
                    own = {"color": class_color(position, len(classes)), "marker": class_marker(position)}
                    draw_class(
                        one, Z[of_class], marked[of_class], str(name), own,
                        (scatter_kwargs, labeled_kwargs, text_kwargs),
                    )  # fmt: skip
                one.set(xticks=[], yticks=[], title=title)
        store_axes(self, axes)
        return self


def draw_class(
    ax: Any, Z: np.ndarray, marked: np.ndarray, name: str, own: dict[str, Any], kwargs: tuple
) -> None:
    """Draw the points of one class, the labeled ones larger, and its name at their median.

    Parameters
    ----------
    ax : Axes
        Where.
    Z : ndarray of shape (n_samples, 2)
        The points.
    marked : ndarray of shape (n_samples,), bool
        True where a point is labeled.
    name : str
        Name of the class.
    own : dict
        Its color and marker.
    kwargs : tuple of three (dict or None)
        The caller's keywords of points, labeled points and names.
    """
    from matplotlib.collections import PathCollection
    from matplotlib.text import Text

    of_points, of_labeled, of_text = kwargs
    style = {"s": 8, "alpha": 0.7, "linewidth": 0, **own}
    ax.scatter(*Z[~marked].T, **merge_style(PathCollection, style, of_points))
    style = {"s": 30, "edgecolor": "black", "linewidth": 0.8, "zorder": 3, **own}
    ax.scatter(*Z[marked].T, **merge_style(PathCollection, style, of_labeled))
    text = {
        "horizontalalignment": "center",
        "verticalalignment": "center",
        "fontweight": "bold",
        "bbox": {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": own["color"]},
        "zorder": 4,
    }
    ax.text(*np.median(Z, axis=0), name, **merge_style(Text, text, of_text))


def to_plane(Z: np.ndarray, method: str, random_state: np.random.RandomState) -> np.ndarray:
    """Project embeddings to the plane.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, embedding_size)
        Embeddings.
    method : {"tsne", "pca"}
        By what.
    random_state : RandomState
        Seed of t-SNE.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Points.
    """
    if Z.shape[1] == 2:
        return Z
    if Z.shape[1] == 1:
        return np.column_stack([Z, np.zeros(len(Z))])
    if len(Z) == 1:  # a point alone has no neighbours and no variance
        return np.zeros((1, 2))
    # Whatever scikit-learn is set to return from transformers, points are an array.
    if method == "pca":
        return PCA(2, random_state=random_state).set_output(transform="default").fit_transform(Z)
    # t-SNE's perplexity must be below the number of samples; 30 is its default.
    tsne = TSNE(perplexity=min(30, (len(Z) - 1) / 3), random_state=random_state)
    return tsne.set_output(transform="default").fit_transform(Z)
