"""How training went, iteration by iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssldec.display._drawing import FEW_COLORS, drawing_on, import_pyplot, merge_style, store_axes

TITLES = {
    "labeled_accuracy": "Accuracy on labeled samples",
    "share_changed": "Share of changed predictions",
    "subset_size": "Size of the balanced subset",
    "loss": "Loss",
}


class TrainingHistoryDisplay:
    """Labeled accuracy, share of changed predictions, subset size and loss of each iteration.

    Iteration 0 is the supervised pre-training. Labeled accuracy is what the threshold asks for, and not what
    to expect on new samples: for that see `sklearn_ssldec.model_selection`.

    Parameters
    ----------
    history : list of dict
        The attribute `history_` of an estimator: one record an iteration and network.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes
        One for each of the metrics; a single one is not in an array.
    lines_ : dict of str to list of Line2D
        The lines of each metric, one a network.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_moons(100, noise=0.1, random_state=0)
    >>> clf = SSLDECClassifier(max_iter=5, random_state=0).fit(X, mask_labels(truth, 5, random_state=0))
    >>> display = TrainingHistoryDisplay.from_estimator(clf)
    >>> display.ax_.shape
    (4,)
    """

    def __init__(self, history: list[dict[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        metrics: Sequence[str] = tuple(TITLES),
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> TrainingHistoryDisplay:
        """Draw how the training of an estimator went.

        Parameters
        ----------
        estimator : fitted estimator of this library, or Pipeline that ends with one
            Its `history_` is drawn.
        metrics : sequence of str, default=("labeled_accuracy", "share_changed", "subset_size", "loss")
            What is drawn: any of the numbers that `history_` holds.
        ax : Axes or sequence of Axes, default=None
            One for each of the metrics. None makes a figure.
        line_kwargs : dict, default=None
            Keywords of the lines (``Axes.plot``).

        Returns
        -------
        TrainingHistoryDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it keeps no `history_`.
        ValueError
            If a metric is not in the history, or `ax` holds another number of axes.
        """
        check_is_fitted(estimator)
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        if not hasattr(last, "history_"):
            raise TypeError(f"estimator must have a history_, as those of sklearn_ssldec have, got {last!r}.")
        return cls(last.history_).plot(metrics=metrics, ax=ax, line_kwargs=line_kwargs)

    def plot(
        self,
        *,
        metrics: Sequence[str] = tuple(TITLES),
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> TrainingHistoryDisplay:
        """Draw.

        Parameters
        ----------
        metrics : sequence of str, default=("labeled_accuracy", "share_changed", "subset_size", "loss")
            What is drawn: any of the numbers that the history holds.
        ax : Axes or sequence of Axes, default=None
            One for each of the metrics. None makes a figure.
        line_kwargs : dict, default=None
            Keywords of the lines (``Axes.plot``).

        Returns
        -------
        TrainingHistoryDisplay
            This display.

        Raises
        ------
        ValueError
            If a metric is not in the history, or `ax` holds another number of axes.
        """
        for metric in metrics:
            if metric not in self.history[0]:
                raise ValueError(f"metrics must be of {', '.join(sorted(self.history[0]))}, got {metric!r}.")
        import_pyplot()
        members = sorted({record.get("estimator", 0) for record in self.history})
        self.lines_: dict[str, list[Any]] = {}
        with drawing_on(ax, (1, len(metrics)), (3.2, 2.6)) as panels:
            axes = panels.ravel()
            for one, metric in zip(axes, metrics, strict=True):
                self.lines_[metric] = [self._draw_line(one, metric, m, line_kwargs) for m in members]
                one.set(title=TITLES.get(metric, metric), xlabel="iteration")
                one.xaxis.get_major_locator().set_params(integer=True)
                if metric in ("labeled_accuracy", "share_changed"):
                    one.set_ylim(bottom=0)
            if len(members) > 1:
                axes[0].legend(fontsize="small")
        store_axes(self, axes)
        return self

    def _draw_line(self, ax: Any, metric: str, member: int, line_kwargs: dict[str, Any] | None) -> Any:
        from matplotlib.lines import Line2D

        records = [r for r in self.history if r.get("estimator", 0) == member]
        iterations = np.array([r["iteration"] for r in records])
        values = np.array([r[metric] for r in records], dtype=float)
        style = {
            "color": FEW_COLORS[member % len(FEW_COLORS)],
            # Fits without iterations, and values between two missing ones, are points.
            "marker": "." if len(records) < 30 else None,
            "label": f"network {member}",
        }
        (line,) = ax.plot(iterations, values, **merge_style(Line2D, style, line_kwargs))
        return line
