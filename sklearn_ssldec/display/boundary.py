"""The decision regions of a classifier in the plane: the paper's figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.utils import check_consistent_length

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


class BoundaryDisplay:
    """Regions of the predicted classes of samples with two features, after training, or before and after it.

    The regions are drawn by scikit-learn's
    :class:`~sklearn.inspection.DecisionBoundaryDisplay`; labeled samples are drawn large, with a black edge.

    Parameters
    ----------
    estimators : list of fitted classifiers
        One a panel.
    X : array-like of shape (n_samples, 2)
        Samples.
    y : array-like of shape (n_samples,), default=None
        Labels, and the mark of unlabeled samples. None marks none as labeled.
    titles : list of str, default=None
        Title of each panel.
    unlabeled_label : int, str, None or "auto", default="auto"
        The mark of an unlabeled sample in `y`. "auto" asks the last of the estimators.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes
        One a panel; a single one is not in an array.
    boundaries_ : list of DecisionBoundaryDisplay
        scikit-learn's displays, one a panel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.semi_supervised import LabelSpreading
    >>> X, y = np.array([[0.0, 0], [0, 1], [3, 0], [3, 1]]), np.array([0, -1, 1, -1])
    >>> display = BoundaryDisplay.from_estimator(LabelSpreading().fit(X, y), X, y)
    >>> display.boundaries_[0].response.shape
    (200, 200)
    """

    def __init__(
        self,
        estimators: list[Any],
        X: Any,
        y: Any = None,
        *,
        titles: Sequence[str] | None = None,
        unlabeled_label: Any = "auto",
    ) -> None:
        self.estimators = estimators
        self.X = X
        self.y = y
        self.titles = titles
        self.unlabeled_label = unlabeled_label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        before: Any = None,
        unlabeled_label: Any = "auto",
        ax: Any = None,
        boundary_kwargs: dict[str, Any] | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        labeled_kwargs: dict[str, Any] | None = None,
    ) -> BoundaryDisplay:
        """Draw the regions of the classes that an estimator predicts.

        Parameters
        ----------
        estimator : fitted classifier
            Any classifier, or a Pipeline that ends with one.
        X : array-like of shape (n_samples, 2)
            Samples.
        y : array-like of shape (n_samples,), default=None
            Labels, and the mark of unlabeled samples: labeled ones are marked in the figure.
        before : fitted classifier, default=None
            Drawn to the left, such as the same estimator at ``max_iter=0``.
        unlabeled_label : int, str, None or "auto", default="auto"
            The mark of an unlabeled sample in `y`. "auto" asks the estimator.
        ax : Axes or sequence of Axes, default=None
            One a panel. None makes a figure.
        boundary_kwargs, scatter_kwargs, labeled_kwargs : dict, default=None
            Keywords of ``DecisionBoundaryDisplay.from_estimator``, of the points and of the labeled points
            (``Axes.scatter``).

        Returns
        -------
        BoundaryDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If X does not have two features, y is of another length, `unlabeled_label` contradicts the
            estimator, `ax` holds another number of axes, or `boundary_kwargs` ask for another response than
            "predict".
        """
        estimators, titles = before_and_after(before, estimator)
        return cls(estimators, X, y, titles=titles, unlabeled_label=unlabeled_label).plot(
            ax=ax,
            boundary_kwargs=boundary_kwargs,
            scatter_kwargs=scatter_kwargs,
            labeled_kwargs=labeled_kwargs,
        )

    def plot(
        self,
        *,
        ax: Any = None,
        boundary_kwargs: dict[str, Any] | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        labeled_kwargs: dict[str, Any] | None = None,
    ) -> BoundaryDisplay:
        """Draw.

        Parameters
        ----------
        ax : Axes or sequence of Axes, default=None
            One a panel. None makes a figure.
        boundary_kwargs, scatter_kwargs, labeled_kwargs : dict, default=None
            Keywords of ``DecisionBoundaryDisplay.from_estimator``, of the points and of the labeled points
            (``Axes.scatter``).

        Returns
        -------
        BoundaryDisplay
            This display.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If X does not have two features, y is of another length, `unlabeled_label` contradicts the
            estimator, `ax` holds another number of axes, or `boundary_kwargs` ask for another response than
            "predict".
        """
        import_pyplot()
        points, labeled = self._check()
        boundary = {"grid_resolution": 200, "alpha": 0.3, "eps": 0.3, "plot_method": "pcolormesh"}
        boundary |= boundary_kwargs or {}
        if boundary.pop("response_method", "predict") != "predict":
            raise ValueError("boundary_kwargs must not hold another response_method than 'predict'.")
        titles = self.titles or [""] * len(self.estimators)
        self.boundaries_: list[DecisionBoundaryDisplay] = []
        shape, size = (1, len(self.estimators)), (4.2, 3.4)
        with drawing_on(ax, shape, size, sharex=True, sharey=True) as panels:
            axes = panels.ravel()
            for one, estimator, title in zip(axes, self.estimators, titles, strict=True):
                self.boundaries_.append(self._draw_regions(one, estimator, boundary))
                self._draw_points(one, estimator, points, labeled, scatter_kwargs, labeled_kwargs)
                one.set(title=title)
            if self.y is not None:
                axes[0].legend(title="labeled", fontsize="small", loc="upper right")
        store_axes(self, axes)
        return self

    def _check(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the points and which are labeled, or refuse what cannot be drawn."""
        check_fitted(self.estimators)
        points = np.asarray(self.X)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"X must be of shape (n_samples, 2), got {points.shape}.")
        if self.y is None:
            return points, np.zeros(len(points), dtype=bool)
        check_consistent_length(points, self.y)
        mark = find_unlabeled_label(self.estimators[-1], self.unlabeled_label)
        return points, labeled_mask(self.y, mark)

    def _draw_regions(self, ax: Any, estimator: Any, boundary: dict[str, Any]) -> DecisionBoundaryDisplay:
        from matplotlib.colors import ListedColormap

        n_classes = len(estimator.classes_)
        # Set here, since scikit-learn's versions name their colours differently.
        colors = [class_color(position, n_classes) for position in range(n_classes)]
        cmap = boundary.get("cmap", ListedColormap(colors))
        drawn = DecisionBoundaryDisplay.from_estimator(
            estimator,
            self.X,
            ax=ax,
            response_method="predict",
            **{name: value for name, value in boundary.items() if name != "cmap"},
        )
        drawn.surface_.set_cmap(cmap)
        drawn.surface_.set_clim(-0.5, n_classes - 0.5)
        drawn.surface_.set_rasterized(True)
        return drawn

    def _draw_points(
        self,
        ax: Any,
        estimator: Any,
        points: np.ndarray,
        labeled: np.ndarray,
        scatter_kwargs: dict[str, Any] | None,
        labeled_kwargs: dict[str, Any] | None,
    ) -> None:
        from matplotlib.collections import PathCollection

        predicted = estimator.predict(self.X)
        # Compared one by one: beside strings, the mark -1 makes an object array or a list.
        given = [] if self.y is None else list(self.y)
        for position, name in enumerate(estimator.classes_):
            own = {
                "color": class_color(position, len(estimator.classes_)),
                "marker": class_marker(position),
            }
            style = merge_style(PathCollection, {"s": 8, "linewidth": 0, **own}, scatter_kwargs)
            ax.scatter(*points[~labeled & (predicted == name)].T, **style)
            if self.y is None:
                continue
            of_class = labeled & np.array([value == name for value in given], dtype=bool)
            style = {"s": 70, "edgecolor": "black", "linewidth": 1.2, "zorder": 3, "label": str(name), **own}
            ax.scatter(*points[of_class].T, **merge_style(PathCollection, style, labeled_kwargs))
