"""A scan with the outlines of its structures, in three planes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_ssldec._samples.volumes import as_spacing
from sklearn_ssldec.display._drawing import (
    check_label_map,
    class_color,
    drawing_on,
    import_pyplot,
    store_axes,
)

# What lies at the left and right, and at the bottom and top of each plane, as radiologists look at it.
PLANES = (("sagittal", "AP", "IS"), ("coronal", "RL", "IS"), ("axial", "RL", "PA"))


class OutlineDisplay:
    """A scan in three planes through the structures of its label map, whose outlines are drawn on it.

    Planes lie where most voxels of structures are. Voxels have the shape that `spacing` says. A volume with
    the canonical axes of :func:`~sklearn_ssldec.scans.load_nifti` is shown as radiologists look at it, with
    the patient's right at the left. An image of two dimensions has one panel.

    Parameters
    ----------
    image : ndarray of shape (n_channels, ...) or (...)
        The image, of two or three spatial dimensions.
    label_map : ndarray of shape (...), int
        Its labels.
    spacing : sequence of float, default=None
        Voxel size along each axis; None if all are equal.
    names : dict of label to str, default=None
        Names of structures for the legend; others are called by their label.
    background : label, default=0
        The class that has no outline.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes or ndarray of Axes of shape (1, 3)
        The panels.
    slices_ : tuple of int
        Index of the plane along each axis of a volume; empty for an image.

    See Also
    --------
    SegmentationDisplay : Compares a prediction with the truth.

    Examples
    --------
    >>> import numpy as np
    >>> label_map = np.zeros((8, 10, 12), dtype=int)
    >>> label_map[2:5, 3:8, 4:9] = 1
    >>> display = OutlineDisplay.from_predictions(label_map + 0.5, label_map, spacing=(1, 1, 3))
    >>> display.ax_.shape, display.slices_
    ((1, 3), (2, 3, 4))
    """

    def __init__(
        self,
        image: Any,
        label_map: Any,
        *,
        spacing: Any = None,
        names: Mapping[Any, str] | None = None,
        background: Any = 0,
    ) -> None:
        self.image = image
        self.label_map = label_map
        self.spacing = spacing
        self.names = names
        self.background = background

    @classmethod
    def from_predictions(
        cls,
        image: Any,
        label_map: Any,
        *,
        spacing: Any = None,
        names: Mapping[Any, str] | None = None,
        background: Any = 0,
        **kwargs: Any,
    ) -> OutlineDisplay:
        """Draw a scan with the outlines of its structures.

        Parameters
        ----------
        image : ndarray of shape (n_channels, ...) or (...)
            The image.
        label_map : ndarray of shape (...), int
            Its labels.
        spacing : sequence of float, default=None
            Voxel size along each axis; None if all are equal.
        names : dict of label to str, default=None
            Names of structures for the legend.
        background : label, default=0
            The class that has no outline.
        **kwargs
            Keywords of `plot`.

        Returns
        -------
        OutlineDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the shapes do not fit, there are not two or three spatial dimensions, or `spacing` is not a
            positive number for each of them.
        """
        image, label_map = np.asarray(image), np.asarray(label_map)
        check_label_map("label_map", label_map, image)
        if spacing is not None:
            spacing = as_spacing(spacing, label_map.ndim)
        display = cls(image, label_map, spacing=spacing, names=names, background=background)
        return display.plot(**kwargs)

    def plot(
        self, *, ax: Any = None, channel: int = 0, slices: tuple[int, int, int] | None = None
    ) -> OutlineDisplay:
        """Draw.

        Parameters
        ----------
        ax : array of Axes, default=None
            Three for a volume, one for an image. None makes a figure.
        channel : int, default=0
            The channel that is shown.
        slices : tuple of three int, default=None
            Index of the plane of a volume along each axis. None takes those with the most voxels of
            structures, or the middle ones if there are none.

        Returns
        -------
        OutlineDisplay
            This display.

        Raises
        ------
        ValueError
            If `ax` holds another number of axes.
        """
        import_pyplot()
        labels = self.label_map
        picture = self.image[channel] if self.image.ndim > labels.ndim else self.image
        views: list[tuple[Any, ...]] = [()]
        self.slices_: tuple[int, ...] = ()
        if labels.ndim == 3:
            self.slices_ = tuple(int(i) for i in (slices or self._fullest()))
            views = [(slice(None),) * axis + (i,) for axis, i in enumerate(self.slices_)]
        shown = {"vmin": np.nanpercentile(picture, 0.5), "vmax": np.nanpercentile(picture, 99.5)}
        spacing = (1.0,) * labels.ndim if self.spacing is None else self.spacing
        with drawing_on(ax, (1, len(views)), (3.6, 3.8)) as axes:
            for axis, (one, view) in enumerate(zip(axes[0], views, strict=True)):
                sides = [side for i, side in enumerate(spacing) if labels.ndim == 2 or i != axis]
                one.imshow(picture[view].T, cmap="gray", origin="lower", aspect=sides[1] / sides[0], **shown)
                one.set(xticks=[], yticks=[])
                self._outline(one, labels[view].T)
                if view:
                    _name_sides(one, axis, view[-1])
            self._explain(axes[0][len(views) // 2])
        store_axes(self, axes)
        return self

    def _classes(self) -> list:
        return [label for label in np.unique(self.label_map).tolist() if label != self.background]

    def _fullest(self) -> list[int]:
        """Return the planes with the most voxels of structures."""
        painted = self.label_map != self.background
        if not painted.any():
            return [n // 2 for n in painted.shape]
        return [int(painted.sum(axis=tuple(np.delete(range(3), axis))).argmax()) for axis in range(3)]

    def _outline(self, ax: Any, labels: np.ndarray) -> None:
        classes = self._classes()
        # Around each structure there is something else, also at the border of the image.
        framed = np.pad(labels, 1, constant_values=self.background)
        places = [np.arange(-1, n + 1) for n in reversed(labels.shape)]
        limits = ax.get_xlim(), ax.get_ylim()
        for position, label in enumerate(classes):
            mask = framed == label
            if mask.any():
                ax.contour(
                    *places,
                    mask.astype(float),
                    levels=[0.5],
                    linewidths=1.2,
                    colors=[class_color(position, len(classes))],
                )
        ax.set(xlim=limits[0], ylim=limits[1])

    def _explain(self, ax: Any) -> None:
        """Write the names of the structures below a panel."""
        from matplotlib.lines import Line2D

        classes, names = self._classes(), self.names or {}
        lines = [
            Line2D([], [], color=class_color(position, len(classes)), label=names.get(label, str(label)))
            for position, label in enumerate(classes)
        ]
        if lines:
            ax.legend(
                handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.06), fontsize="small",
                ncols=min(4, len(lines)), frameon=False, handlelength=1.2, columnspacing=1,
            )  # fmt: skip


def _name_sides(ax: Any, axis: int, index: int) -> None:
    """Turn a plane as radiologists look at it, and write down its name and where its sides lie."""
    from matplotlib.patheffects import withStroke

    name, across, upward = PLANES[axis]
    edge = [withStroke(linewidth=2, foreground="black")]
    ax.invert_xaxis()
    ax.set_title(f"{name}, slice {index}", fontsize="medium")
    places = [(0.03, 0.5), (0.97, 0.5), (0.5, 0.03), (0.5, 0.97)]
    for letter, (x, y), h, v in zip(
        across + upward, places, ("left", "right", "center", "center"), ("center", "center", "bottom", "top"),
        strict=True,
    ):  # fmt: skip
        ax.text(
            x,
            y,
            letter,
            transform=ax.transAxes,
            color="yellow",
            fontsize="small",
            ha=h,
            va=v,
            path_effects=edge,
        )
