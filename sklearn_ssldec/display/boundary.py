"""Where in the plane a classifier changes its mind: the paper's figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.inspection import DecisionBoundaryDisplay

from sklearn_ssldec.display._drawing import (
    before_and_after,
    class_color,
    class_marker,
    import_pyplot,
    make_axes,
    store_axes,
)
from sklearn_ssldec.labels import labeled_mask


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
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled sample in `y`.

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
        unlabeled_label: Any = -1,
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
        unlabeled_label: Any = -1,
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
        unlabeled_label : int, str or None, default=-1
            The mark of an unlabeled sample in `y`.
        ax : Axes or sequence of Axes, default=None
            One a panel. None makes a figure.
        boundary_kwargs, scatter_kwargs, labeled_kwargs : dict, default=None
            Keywords of ``DecisionBoundaryDisplay.from_estimator``, of the points and of the labeled points
            (``Axes.scatter``).

        Returns
        -------
        BoundaryDisplay
            What was drawn.
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
        """
        import_pyplot()
        from matplotlib.colors import ListedColormap

        axes = make_axes(ax, (1, len(self.estimators)), (4.2, 3.4), sharex=True, sharey=True).ravel()
        titles = self.titles or [""] * len(self.estimators)
        points = np.asarray(self.X)
        if self.y is None:
            labeled = np.zeros(len(points), dtype=bool)
        else:
            labeled = labeled_mask(self.y, self.unlabeled_label)
        self.boundaries_: list[DecisionBoundaryDisplay] = []
        for one, estimator, title in zip(axes, self.estimators, titles, strict=True):
            n_classes = len(estimator.classes_)
            drawn = DecisionBoundaryDisplay.from_estimator(
                estimator,
                self.X,
                ax=one,
                response_method="predict",
                plot_method="pcolormesh",
                **{"grid_resolution": 200, "alpha": 0.3, "eps": 0.3, **(boundary_kwargs or {})},
            )
            # Set here, since scikit-learn's versions name their colours differently.
            colors = [class_color(position, n_classes) for position in range(n_classes)]
            drawn.surface_.set_cmap(ListedColormap(colors))
            drawn.surface_.set_clim(-0.5, n_classes - 0.5)
            drawn.surface_.set_rasterized(True)
            self.boundaries_.append(drawn)
            predicted = estimator.predict(self.X)
            for position, name in enumerate(estimator.classes_):
                color, marker = class_color(position, n_classes), class_marker(position)
                style = {"s": 8, "color": color, "marker": marker, "linewidth": 0, **(scatter_kwargs or {})}
                one.scatter(*points[~labeled & (predicted == name)].T, **style)
                if self.y is None:
                    continue
                # Compared one by one: beside strings, the mark -1 makes an object array or a list.
                given = labeled & np.array([value == name for value in self.y], dtype=bool)
                style = {"s": 70, "color": color, "marker": marker, "edgecolor": "black", "linewidth": 1.2}
                one.scatter(
                    *points[given].T, zorder=3, label=str(name), **{**style, **(labeled_kwargs or {})}
                )
            one.set(title=title)
        if self.y is not None:
            axes[0].legend(title="labeled", fontsize="small", loc="upper right")
        store_axes(self, axes)
        return self
