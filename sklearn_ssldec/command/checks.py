"""What is checked before anything is written: scans, label maps and the names of structures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sklearn_ssldec._samples.volumes import encode_label_maps
from sklearn_ssldec.command.grid import Grid, Scan

# Resampling that multiplies the voxels of a scan by more than this points to a wrong header.
LARGEST_GROWTH = 100


def check_sizes(scans: Sequence[Scan], grid: Grid) -> None:
    """Refuse scans whose voxels are so large that resampling would fill the memory.

    Parameters
    ----------
    scans : sequence of Scan
        All scans.
    grid : Grid
        What the network sees of them.

    Raises
    ------
    ValueError
        If a scan is refused; it names the file.
    """
    for scan in scans:
        if math.prod(grid.shape_for(scan)) > LARGEST_GROWTH * math.prod(scan.shape):
            own, aim = (
                " x ".join(f"{side:g}" for side in each) for each in (scan.spacing, grid.spacing or ())
            )
            raise ValueError(
                f"{scan.path!r} has voxels of {own} mm, and the network sees {aim} mm. Is its header right? "
                "If so, leave the scan out, or resample it."
            )


def check_values(scans: Sequence[Scan], slice_axis: int | None) -> None:
    """Refuse scans, or slices that are images of their own, without a value, and infinite values.

    Parameters
    ----------
    scans : sequence of Scan
        All scans.
    slice_axis : int or None
        Across which axis they are cut into images; None for whole scans.

    Raises
    ------
    ValueError
        If a scan is refused; it names the file.
    """
    for scan in scans:
        values = scan.image.reshape(-1, *scan.shape)
        if values.dtype.kind != "f":
            continue
        inside = ~np.isnan(values).any(axis=0)
        axes = tuple(axis for axis in range(inside.ndim) if axis != slice_axis)
        if not inside.any(axis=axes).all():
            what = "has no values" if slice_axis is None else "has a slice without values"
            raise ValueError(f"{scan.path!r} {what}: all its voxels are NaN.")
        if (np.isinf(values).any(axis=0) & inside).any():
            raise ValueError(
                f"{scan.path!r} holds infinity, or values too large for float32. Set these voxels to NaN to "
                "leave them out."
            )


def check_labels(scans: Sequence[Scan], folder: str, unlabeled: int) -> list[int]:
    """Refuse label maps from which nothing can be learned; return their labels.

    Parameters
    ----------
    scans : sequence of Scan
        All scans.
    folder : str
        Where the label maps are.
    unlabeled : int
        Marks voxels without a label.

    Returns
    -------
    list of int
        The labels, in order.

    Raises
    ------
    ValueError
        If no voxel is labeled, all have the same label, or a label is negative or has a single voxel.
    """
    maps = [scan.labels for scan in scans]
    if not any(labels is not None and (labels != unlabeled).any() for labels in maps):
        raise ValueError(f"No voxel in {folder!r} is labeled: all are {unlabeled}.")
    try:
        return encode_label_maps(maps, [scan.shape for scan in scans], unlabeled).classes.tolist()
    except ValueError as error:
        raise ValueError(f"The label maps in {folder!r} cannot be learned from: {error}") from error


def check_names(names: Mapping[int, str], labels: Iterable[int]) -> None:
    """Refuse names of structures that do not exist.

    Parameters
    ----------
    names : mapping of int to str
        Names of structures, by their labels.
    labels : iterable of int
        The labels that exist.

    Raises
    ------
    ValueError
        If a label does not exist.
    """
    known = set(labels)
    if strange := sorted(names.keys() - known):
        raise ValueError(f"--names has a name for label {strange[0]}; the labels are {sorted(known)}.")
