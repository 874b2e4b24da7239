"""An image, its true and its predicted label map, and where they differ: the paper's figure 9."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_ssldec.display._drawing import (
    check_fitted,
    check_label_map,
    class_color,
    drawing_on,
    import_pyplot,
    merge_style,
    store_axes,
)
from sklearn_ssldec.labels import find_unlabeled_label

# What a wrong pixel is: colours far apart for colour-blind readers, and in print.
DISAGREEMENT = {"missed": "#E69F00", "added": "#56B4E9", "another class": "#CC79A7"}
UNLABELED_COLOR = "#999999"


class SegmentationDisplay:
    """An image or volume, its true and predicted label maps, and where they differ.

    An image takes one row of panels; a volume three, one a direction, each a slice.

    Parameters
    ----------
    image : ndarray of shape (n_channels, ...) or (...)
        The image, of two or three spatial dimensions.
    y_true : ndarray of shape (...) or None
        The true label map; the mark of unlabeled pixels, or None in an object array, where it is not known.
        None: there is none, and only the image and the prediction are drawn.
    y_pred : ndarray of shape (...)
        The predicted label map.
    unlabeled_label : int, str or None, default=-1
        The mark of an unlabeled pixel in `y_true`.
    background : label, default=0
        The class that is not painted.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes of shape (n_rows, n_panels)
        The panels.
    slices_ : tuple of int
        Index of the slice along each axis of a volume; empty for an image.

    Examples
    --------
    >>> import numpy as np
    >>> y_true = np.zeros((8, 8), dtype=int)
    >>> y_true[2:6, 2:6] = 1
    >>> y_pred = np.roll(y_true, 1, axis=0)
    >>> SegmentationDisplay.from_predictions(y_true + 0.5, y_true, y_pred).ax_.shape
    (1, 4)
    """

    def __init__(
        self, image: Any, y_true: Any, y_pred: Any, *, unlabeled_label: Any = -1, background: Any = 0
    ) -> None:
        self.image = image
        self.y_true = y_true
        self.y_pred = y_pred
        self.unlabeled_label = unlabeled_label
        self.background = background

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        image: Any,
        y_true: Any = None,
        *,
        unlabeled_label: Any = "auto",
        background: Any = 0,
        **kwargs: Any,
    ) -> SegmentationDisplay:
        """Segment an image and draw it.

        Parameters
        ----------
        estimator : fitted segmenter
            ``estimator.predict([image])[0]`` is the predicted label map.
        image : ndarray of shape (n_channels, ...) or (...)
            The image.
        y_true : ndarray of shape (...), default=None
            The true label map, if known.
        unlabeled_label : int, str, None or "auto", default="auto"
            The mark of an unlabeled pixel in `y_true`. "auto" asks the estimator. Pixels with its
            `ignore_label` are drawn as unlabeled ones.
        background : label, default=0
            The class that is not painted.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        SegmentationDisplay
            What was drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the shapes do not fit, or `unlabeled_label` contradicts the estimator.
        """
        check_fitted([estimator])
        mark = find_unlabeled_label(estimator, unlabeled_label)
        ignored = getattr(estimator, "ignore_label", None)
        if y_true is not None and ignored is not None:
            y_true = np.array(y_true, dtype=object)
            y_true[y_true == ignored] = None
        y_pred = estimator.predict([image])[0]
        return cls.from_predictions(
            image, y_true, y_pred, unlabeled_label=mark, background=background, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        image: Any,
        y_true: Any,
        y_pred: Any,
        *,
        unlabeled_label: Any = -1,
        background: Any = 0,
        **kwargs: Any,
    ) -> SegmentationDisplay:
        """Draw an image with its label maps.

        Parameters
        ----------
        image : ndarray of shape (n_channels, ...) or (...)
            The image.
        y_true : ndarray of shape (...) or None
            The true label map, if known.
        y_pred : ndarray of shape (...)
            The predicted label map.
        unlabeled_label : int, str or None, default=-1
            The mark of an unlabeled pixel in `y_true`.
        background : label, default=0
            The class that is not painted.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        SegmentationDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the shapes do not fit, or there are not two or three spatial dimensions.
        """
        image, y_pred = np.asarray(image), np.asarray(y_pred)
        check_label_map("y_pred", y_pred, image)
        if y_true is not None:
            y_true = np.asarray(y_true)
            if y_true.shape != y_pred.shape:
                raise ValueError(
                    f"y_true and y_pred must be of one shape, got {y_true.shape} and {y_pred.shape}."
                )
        display = cls(image, y_true, y_pred, unlabeled_label=unlabeled_label, background=background)
        return display.plot(**kwargs)

    def plot(
        self,
        *,
        ax: Any = None,
        channel: int = 0,
        slices: tuple[int, int, int] | None = None,
        imshow_kwargs: dict[str, Any] | None = None,
        overlay_kwargs: dict[str, Any] | None = None,
    ) -> SegmentationDisplay:
        """Draw.

        Parameters
        ----------
        ax : array of Axes, default=None
            One a panel: 4 for an image, 12 for a volume; without truth, 2 and 6. None makes a figure.
        channel : int, default=0
            The channel that is shown.
        slices : tuple of three int, default=None
            Index of the slice of a volume along each axis. None takes those with the most painted voxels,
            true or, without truth, predicted.
        imshow_kwargs, overlay_kwargs : dict, default=None
            Keywords of the image and of what is painted on it (``Axes.imshow``).

        Returns
        -------
        SegmentationDisplay
            This display.

        Raises
        ------
        ValueError
            If `ax` holds another number of axes.
        """
        import_pyplot()
        has_channels = self.image.ndim > self.y_pred.ndim
        picture = self.image[channel] if has_channels else self.image
        layers = self._layers()
        painted = self.y_pred != self.background
        if self.y_true is not None:
            of_truth = self._labeled() & (self.y_true != self.background)
            painted = of_truth if of_truth.any() else painted
        if self.y_pred.ndim == 2:
            self.slices_: tuple[int, ...] = ()
            views: list[tuple[Any, ...]] = [()]
        else:
            most = (painted.sum(axis=tuple(np.delete(range(3), axis))).argmax() for axis in range(3))
            self.slices_ = tuple(int(i) for i in (slices or most))
            views = [(slice(None),) * axis + (i,) for axis, i in enumerate(self.slices_)]
        # A few very bright voxels, as vessels are, would leave the rest of a scan dark.
        shown = {
            "cmap": "gray",
            "vmin": np.nanpercentile(picture, 0.5),
            "vmax": np.nanpercentile(picture, 99.5),
        }
        with drawing_on(ax, (len(views), len(layers)), (2.3, 2.4)) as axes:
            for one, title in zip(axes[0], layers, strict=True):
                one.set_title(title)
            for row, view in zip(axes, views, strict=True):
                draw_view(row, picture[view], layers, view, (shown, imshow_kwargs, overlay_kwargs))
            for one, paints in zip(axes[-1], layers.values(), strict=True):
                draw_legend(one, paints)
        store_axes(self, axes)
        return self

    def _labeled(self) -> np.ndarray:
        """Return a mask of the pixels whose truth is known."""
        missing = (self.y_true != self.y_true) | (self.y_true == None)  # noqa: E711
        if self.unlabeled_label is not None:
            missing = missing | (self.y_true == self.unlabeled_label)
        return ~missing.astype(bool)

    def _layers(self) -> dict[str, dict[str, tuple[np.ndarray, str]]]:
        """Return what is painted in each panel: names, masks and colours."""
        y_true, y_pred = self.y_true, self.y_pred
        labeled = None if y_true is None else self._labeled()
        known = np.empty(0) if y_true is None else y_true[labeled]
        classes = sorted({*y_pred.ravel().tolist(), *known.tolist()} - {self.background})

        def paints(labels: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
            return {
                str(name): (labels == name, class_color(position, len(classes)))
                for position, name in enumerate(classes)
            }

        if y_true is None or labeled is None:
            return {"image": {}, "prediction": paints(y_pred)}
        wrong = labeled & (y_true != y_pred)
        missed, added = wrong & (y_pred == self.background), wrong & (y_true == self.background)
        masks = {"missed": missed, "added": added, "another class": wrong & ~missed & ~added}
        return {
            "image": {},
            "truth": {**paints(y_true), "unlabeled": (~labeled, UNLABELED_COLOR)},
            "prediction": paints(y_pred),
            "disagreement": {name: (mask, DISAGREEMENT[name]) for name, mask in masks.items()},
        }


def draw_view(row: Any, picture: np.ndarray, layers: dict, view: tuple, styles: tuple) -> None:
    """Draw one slice in a row of panels, each painted with its layer.

    Parameters
    ----------
    row : ndarray of Axes
        One a layer.
    picture : ndarray of shape (height, width)
        The slice.
    layers : dict of str to dict of str to (mask, color)
        What is painted in each panel.
    view : tuple
        Index of the slice in the volume; empty for an image.
    styles : tuple of three dict
        The display's keywords of the image, the caller's, and the caller's of what is painted on it.
    """
    from matplotlib.image import AxesImage

    shown, imshow_kwargs, overlay_kwargs = styles
    for one, paints in zip(row, layers.values(), strict=True):
        one.imshow(picture, **merge_style(AxesImage, shown, imshow_kwargs))
        for mask, color in paints.values():
            paint(one, mask[view], color, overlay_kwargs)
        one.set(xticks=[], yticks=[])
    if view:
        row[0].set_ylabel(f"axis {len(view) - 1}, slice {view[-1]}")


def draw_legend(ax: Any, paints: dict[str, tuple[np.ndarray, str]]) -> None:
    """Name, below a panel, what is painted in it.

    Parameters
    ----------
    ax : Axes
        The panel.
    paints : dict of str to (mask, color)
        What is painted; empty masks are not named.
    """
    from matplotlib.patches import Patch

    patches = [Patch(color=color, label=name) for name, (mask, color) in paints.items() if mask.any()]
    if patches:
        ax.legend(
            handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize="small",
            ncols=min(3, len(patches)), frameon=False, handlelength=1, columnspacing=0.8,
        )  # fmt: skip


def paint(ax: Any, mask: np.ndarray, color: str, overlay_kwargs: dict[str, Any] | None) -> None:
    """Paint a mask over an image.

    Parameters
    ----------
    ax : Axes
        Where.
    mask : ndarray of shape (height, width), bool
        What.
    color : str
        In which colour.
    overlay_kwargs : dict or None
        Keywords of ``Axes.imshow``.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.image import AxesImage

    style = merge_style(AxesImage, {"cmap": ListedColormap([color]), "alpha": 0.6}, overlay_kwargs)
    ax.imshow(np.ma.masked_where(~mask, mask), **style)
