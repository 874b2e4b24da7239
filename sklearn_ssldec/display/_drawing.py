"""What the displays share: colours, axes, and images as matplotlib takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

# Okabe and Ito's colours, told apart by colour-blind readers too; black is left for labeled samples' edges.
FEW_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442"]
# Petroff's ten (arXiv:2107.02270), for more classes than that.
MANY_COLORS = [
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
    "#717581", "#92dadd",
]  # fmt: skip
MARKERS = "osD^vPX*"


def import_pyplot() -> Any:
    """Return matplotlib.pyplot, which is imported only to draw.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib: pip install 'sklearn-ssldec[plot]'.") from error
    return plt


def class_color(position: int, n_classes: int) -> str:
    """Return the colour of a class.

    Parameters
    ----------
    position : int
        Position of the class among the sorted classes.
    n_classes : int
        Number of classes.
    """
    colors = FEW_COLORS if n_classes <= len(FEW_COLORS) else MANY_COLORS
    return colors[position % len(colors)]


def class_marker(position: int) -> str:
    """Return the marker of a class, which tells classes apart without colour.

    Parameters
    ----------
    position : int
        Position of the class among the sorted classes.
    """
    return MARKERS[position % len(MARKERS)]


def make_axes(ax: Any, shape: tuple[int, int], size: tuple[float, float], **kwargs: Any) -> np.ndarray:
    """Return axes of this shape: new ones, or those that the caller brought.

    Parameters
    ----------
    ax : None, Axes or array of Axes
        What the caller passed.
    shape : tuple of two int
        Rows and columns of axes that are needed.
    size : tuple of two float
        Width and height of one of them in a new figure, in inches.
    **kwargs
        For ``plt.subplots``.

    Returns
    -------
    ndarray of Axes of this shape
        The axes.

    Raises
    ------
    ValueError
        If the caller brought another number of axes.
    """
    plt = import_pyplot()
    rows, columns = shape
    if ax is None:
        return plt.subplots(
            rows,
            columns,
            figsize=(columns * size[0], rows * size[1]),
            layout="constrained",
            squeeze=False,
            **kwargs,
        )[1]
    axes = np.array(ax, dtype=object).ravel()
    if len(axes) != rows * columns:
        raise ValueError(f"ax must be None or hold {rows * columns} axes, one a panel, got {len(axes)}.")
    return axes.reshape(shape)


@contextmanager
def drawing_on(ax: Any, shape: tuple[int, int], size: tuple[float, float], **kwargs: Any) -> Iterator:
    """Yield axes of this shape; if drawing fails, close the figure if it is new.

    Parameters
    ----------
    ax : None, Axes or array of Axes
        What the caller passed.
    shape : tuple of two int
        Rows and columns of axes that are needed.
    size : tuple of two float
        Width and height of one of them in a new figure, in inches.
    **kwargs
        For ``plt.subplots``.

    Yields
    ------
    ndarray of Axes of this shape
        The axes.

    Raises
    ------
    ValueError
        If the caller brought another number of axes.
    """
    axes = make_axes(ax, shape, size, **kwargs)
    try:
        yield axes
    except BaseException:
        if ax is None:
            import_pyplot().close(axes.flat[0].figure)
        raise


def merge_style(artist: type, defaults: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
    """Return keywords of a drawing function: the caller's, and defaults for what the caller does not say.

    The caller may use any of matplotlib's names for a property: ``lw`` for ``linewidth``, ``edgecolors`` for
    ``edgecolor``, ``c`` for ``color``.

    Parameters
    ----------
    artist : Artist class
        What is drawn; it knows its aliases.
    defaults : dict
        The display's own style.
    given : dict or None
        The caller's keywords.

    Returns
    -------
    dict
        Properties by one name each.

    Raises
    ------
    TypeError
        If the caller gives a property by two names.
    """
    from matplotlib.cbook import normalize_kwargs

    style = normalize_kwargs(given or {}, artist)
    replaced = set(style)
    if "c" in style:  # of scatter: a keyword of its own, and no alias, but it says what color says
        replaced.add("color")
    if "norm" in style:
        replaced |= {"vmin", "vmax"}
    return {**{name: v for name, v in defaults.items() if name not in replaced}, **style}


def check_fitted(estimators: list[Any]) -> None:
    """Refuse unfitted estimators before anything is drawn; what has no `fit` is taken as it is.

    Parameters
    ----------
    estimators : list of estimators
        Those of the panels.

    Raises
    ------
    NotFittedError
        If one is not fitted.
    """
    for estimator in estimators:
        if hasattr(estimator, "fit"):
            check_is_fitted(estimator)


def before_and_after(before: Any, estimator: Any) -> tuple[list[Any], list[str] | None]:
    """Return the estimators of the panels, and the panels' titles.

    Parameters
    ----------
    before : fitted estimator or None
        The one to the left; None for a single panel.
    estimator : fitted estimator
        The other.
    """
    return ([estimator], None) if before is None else ([before, estimator], ["before", "after"])


def store_axes(display: Any, axes: np.ndarray) -> None:
    """Keep the axes as scikit-learn's displays do: `ax_`, an array if there are several, and `figure_`.

    Parameters
    ----------
    display : object
        The display.
    axes : ndarray of Axes
        What it was drawn on.
    """
    display.ax_ = axes.ravel()[0] if axes.size == 1 else axes
    display.figure_ = axes.ravel()[0].figure


def as_pictures(images: Any) -> np.ndarray:
    """Return images as `imshow` takes them.

    Parameters
    ----------
    images : array-like of shape (n, height, width), (n, n_channels, height, width) or (n, height, width, 3)
        Images; of other than 1, 3 or 4 channels the first is shown.

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, n_channels)
        Colours are brought to [0, 1] by the largest and smallest value of each image.

    Raises
    ------
    ValueError
        If `images` has another number of dimensions.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        return images
    if images.ndim != 4:
        raise ValueError(
            "images must be of shape (n, height, width) or (n, n_channels, height, width), got "
            f"{images.shape}. Give flat rows their image_shape."
        )
    if images.shape[1] not in (3, 4):
        if images.shape[-1] not in (3, 4):
            return images[:, 0]
    else:
        images = images.transpose(0, 2, 3, 1)
    if images.dtype == np.uint8:
        return images
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1)


def check_label_map(name: str, label_map: np.ndarray, image: np.ndarray) -> None:
    """Refuse a label map that is not of the image, or has neither two nor three dimensions.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error.
    label_map : ndarray of shape (...)
        The label map.
    image : ndarray of shape (...) or (n_channels, ...)
        The image.

    Raises
    ------
    ValueError
        If it is.
    """
    if label_map.ndim not in (2, 3):
        raise ValueError(f"{name} must have two or three dimensions, got shape {label_map.shape}.")
    if label_map.shape not in (image.shape, image.shape[1:]):
        raise ValueError(
            f"image must be of the shape of {name}, {label_map.shape}, with or without channels before it, "
            f"got {image.shape}."
        )
