"""The grid on which the network sees scans: voxels of one size, as volumes or as slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_ssldec._estimators.planning import few_slices
from sklearn_ssldec.scans import median_spacing, resample_label_map, resample_volume, resampled_shape

# Voxel sizes that differ by less are taken for the same.
SPACING_TOLERANCE = 0.05


@dataclass
class Scan:
    """A scan in memory.

    Attributes
    ----------
    name : str
        Its name.
    path : str
        Its file, or the one of its first channel.
    image : ndarray
        Its voxels.
    labels : ndarray or None
        Its label map.
    spacing : tuple of float
        Its voxel size in millimeters.
    shape : tuple of int
        Its spatial shape.
    """

    name: str
    path: str
    image: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """What the network sees of a scan.

    Attributes
    ----------
    spacing : tuple of float or None
        Sides of a voxel, or of a pixel of a slice, in millimeters; None if they are not known.
    slice_axis : int or None, default=None
        Across which axis of a volume slices are cut, which are images for the network; None for whole scans.
    """

    spacing: tuple[float, ...] | None
    slice_axis: int | None = None

    @classmethod
    def of(cls, scans: Sequence[Scan]) -> Grid:
        """Choose the grid for these scans: their median voxel size, and slices if they have few.

        Parameters
        ----------
        scans : sequence of Scan
            All scans.

        Returns
        -------
        Grid
            The grid.
        """
        sides = median_spacing([scan.spacing for scan in scans])
        axis = few_slices([scan.shape for scan in scans])
        return cls(sides if axis is None else sides[:axis] + sides[axis + 1 :], axis)

    @classmethod
    def for_model(cls, model: Any, scans: Sequence[Scan]) -> Grid:
        """Return the grid of a fitted model: of slices, if it was made for images and the scans are volumes.

        Parameters
        ----------
        model : fitted segmenter
            The model.
        scans : sequence of Scan
            The scans that it is to segment.

        Returns
        -------
        Grid
            The grid.
        """
        axis = None
        if model.n_dims_ == 2 and len(scans[0].shape) == 3:
            axis = few_slices([scan.shape for scan in scans])
            sides = median_spacing([scan.spacing for scan in scans])
            if axis is None and max(sides) > 2 * sorted(sides)[1]:  # more slices than those of the fit
                axis = int(np.argmax(sides))
        return cls(model.get_params().get("net__spacing"), axis)

    def shape_for(self, scan: Scan) -> tuple[int, ...]:
        """Return the shape to which a scan is resampled; its own if its voxels have the right size.

        Parameters
        ----------
        scan : Scan
            The scan.

        Returns
        -------
        tuple of int
            The shape.
        """
        if self.spacing is None:
            return scan.shape
        axis, aims = self.slice_axis, self.spacing
        if axis is not None:
            aims = (*aims[:axis], scan.spacing[axis], *aims[axis:])
        ratios = [own / aim for own, aim in zip(scan.spacing, aims, strict=True)]
        if all(abs(math.log(ratio)) <= SPACING_TOLERANCE for ratio in ratios):
            return scan.shape
        return resampled_shape(scan.shape, scan.spacing, aims)

    def images(self, scan: Scan) -> list[np.ndarray]:
        """Return what the network sees of a scan: itself, or its slices.

        Parameters
        ----------
        scan : Scan
            The scan.

        Returns
        -------
        list of ndarray
            One image, or one for each slice.
        """
        shape = self.shape_for(scan)
        image = scan.image if shape == scan.shape else resample_volume(scan.image, shape)
        return self._cut(image, image.ndim - len(shape))

    def label_maps(self, scan: Scan) -> list[np.ndarray | None]:
        """Return the labels of `images`; None where there are none.

        Parameters
        ----------
        scan : Scan
            The scan.

        Returns
        -------
        list of (ndarray of int, or None)
            As many as there are images.
        """
        shape = self.shape_for(scan)
        if scan.labels is None:
            return [None] * (1 if self.slice_axis is None else shape[self.slice_axis])
        return [*self._cut(resample_label_map(scan.labels, shape), 0)]

    def restore(self, predicted: list[np.ndarray], scan: Scan) -> np.ndarray:
        """Return the label map of a scan, on its own voxels.

        Parameters
        ----------
        predicted : list of ndarray of int
            The label maps of `images`.
        scan : Scan
            The scan.

        Returns
        -------
        ndarray of int
            The label map.
        """
        labels = predicted[0] if self.slice_axis is None else np.stack(predicted, axis=self.slice_axis)
        return resample_label_map(labels, scan.shape)

    def _cut(self, values: np.ndarray, n_channel_axes: int) -> list[np.ndarray]:
        if self.slice_axis is None:
            return [values]
        return list(np.moveaxis(values, self.slice_axis + n_channel_axes, 0))
