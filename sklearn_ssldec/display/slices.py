"""The slices that should be annotated next, and where a segmenter is unsure in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import entr

from sklearn_ssldec.display._drawing import drawing_on, import_pyplot, merge_style, store_axes


class SuggestedSlicesDisplay:
    """The slices that `suggest_slices` returned, one a panel.

    Parameters
    ----------
    suggestions : sequence of (scan, axis, slice, score)
        The slices, as `sklearn_ssldec.query.suggest_slices` returns them.
    pictures : list of ndarray of shape (height, width)
        Intensities of each slice.
    uncertainty : list of ndarray of shape (height, width), or None
        Entropy of the probabilities in each slice, as a share of the largest possible one. None: there is no
        segmenter.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes of shape (n_rows, n_columns)
        The panels; those that no slice is left for are empty.

    Examples
    --------
    >>> import numpy as np
    >>> scans = np.random.default_rng(0).normal(size=(2, 8, 8, 6))
    >>> display = SuggestedSlicesDisplay.from_suggestions([(0, 2, 3, 1.0), (1, 2, 0, 0.4)], scans)
    >>> [ax.get_title() for ax in display.ax_.ravel()]
    ['scan 0, slice 3', 'scan 1, slice 0']
    """

    def __init__(
        self, suggestions: Sequence[Any], pictures: list[np.ndarray], uncertainty: list[np.ndarray] | None
    ) -> None:
        self.suggestions = suggestions
        self.pictures = pictures
        self.uncertainty = uncertainty

    @classmethod
    def from_suggestions(
        cls, suggestions: Any, volumes: Any, segmenter: Any = None, *, channel: int = 0, **kwargs: Any
    ) -> SuggestedSlicesDisplay:
        """Draw suggested slices.

        Parameters
        ----------
        suggestions : sequence of (scan, axis, slice, score)
            The slices, as `sklearn_ssldec.query.suggest_slices` returns them.
        volumes : array-like or sequence of volumes
            The scans that they are slices of.
        segmenter : fitted segmenter, default=None
            If given, the uncertainty of its predictions is painted on the slices.
        channel : int, default=0
            The channel that is shown, of volumes with channels.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        SuggestedSlicesDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there are no suggestions.
        """
        suggestions = list(suggestions)
        if not suggestions:
            raise ValueError("There are no suggestions to draw.")
        pictures, uncertainty = [], []
        entropies: dict[int, np.ndarray] = {}
        for scan, axis, i, _ in suggestions:
            volume = np.asarray(volumes[scan])
            n_dims = 3 if volume.ndim > 2 and (volume.ndim == 4 or segmenter is None) else 2
            if segmenter is not None:
                if scan not in entropies:
                    q = np.asarray(segmenter.predict_proba([volumes[scan]])[0], dtype=float)
                    entropies[scan] = entr(q).sum(axis=0) / math.log(len(q))
                n_dims = entropies[scan].ndim
                uncertainty.append(_cut(entropies[scan], axis, i))
            pictures.append(_cut(volume[channel] if volume.ndim > n_dims else volume, axis, i))
        return cls(suggestions, pictures, uncertainty if segmenter is not None else None).plot(**kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        n_columns: int = 5,
        imshow_kwargs: dict[str, Any] | None = None,
        overlay_kwargs: dict[str, Any] | None = None,
    ) -> SuggestedSlicesDisplay:
        """Draw.

        Parameters
        ----------
        ax : array of Axes, default=None
            One a panel, as many as the rows and columns have. None makes a figure.
        n_columns : int, default=5
            Largest number of panels in a row.
        imshow_kwargs, overlay_kwargs : dict, default=None
            Keywords of the slice and of the uncertainty painted on it (``Axes.imshow``).

        Returns
        -------
        SuggestedSlicesDisplay
            This display.

        Raises
        ------
        ValueError
            If `ax` holds another number of axes.
        """
        import_pyplot()
        from matplotlib.image import AxesImage

        n = len(self.suggestions)
        n_columns = min(n_columns, n)
        painted = None
        with drawing_on(ax, (-(-n // n_columns), n_columns), (2.0, 2.2)) as axes:
            for k, one in enumerate(axes.flat):
                one.set(xticks=[], yticks=[])
                if k >= n:
                    one.set_axis_off()
                    continue
                scan, axis, i, score = self.suggestions[k]
                shown = {"cmap": "gray"}
                one.imshow(self.pictures[k], **merge_style(AxesImage, shown, imshow_kwargs))
                if self.uncertainty is not None:
                    # Transparent where the segmenter is sure.
                    values = self.uncertainty[k]
                    style = {"cmap": "inferno", "vmin": 0, "vmax": 1, "alpha": np.clip(values, 0, 0.8)}
                    painted = one.imshow(values, **merge_style(AxesImage, style, overlay_kwargs))
                one.set_title(f"scan {scan}, slice {i}", fontsize="medium")
                one.set_xlabel(f"axis {axis}, score {score:.2f}", fontsize="small")
            if painted is not None:
                axes.flat[0].figure.colorbar(painted, ax=axes, label="uncertainty", shrink=0.6)
        store_axes(self, axes)
        return self


def _cut(volume: np.ndarray, axis: int, i: int) -> np.ndarray:
    """Return a slice of a volume, or an image as it is."""
    return volume if volume.ndim == 2 else np.take(volume, i, axis=axis)
