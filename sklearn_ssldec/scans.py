"""Scans from files: NIfTI in and out, and the data sets of the segmentation experiments. Read by nibabel.

Arrays are oriented to the canonical axes by default: the first axis goes from left to right, the second from
back to front, the third from bottom to top (RAS+), as the file's affine says. Label maps are brought back to
the orientation of their scan's file when they are saved.

Loading does not resample. `load_spacing` reads voxel sizes, `resampled_shape` and `resample_volume` bring
scans of different voxel sizes to one, and `resample_label_map` brings label maps there and back.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from sklearn.utils import Bunch

from sklearn_ssldec._samples.volumes import as_spacing, dtype_with_room

# Labels of iSeg2017's tissues; outside the brain the T1 image is 0.
ISEG_BACKGROUND, ISEG_CSF = 0, 10

# How far a label may be from a whole number. Labels stored as scaled 8-bit integers are off by less.
LABEL_TOLERANCE = 0.1

# How far the same voxel of two files may lie apart, in voxels.
GRID_TOLERANCE = 0.1

# Some systems write the ending in capitals.
NIFTI = re.compile(r"(.+)\.nii(\.gz)?", re.IGNORECASE)
# The end of a scan's name in nnU-Net's layout: the number of its channel.
CHANNEL = re.compile(r"(.+)_(\d{4})")


def load_nifti(
    path: str | os.PathLike | Sequence[str | os.PathLike], *, orientation: str = "canonical"
) -> np.ndarray:
    r"""Load a scan from a file that nibabel can read (NIfTI, Analyze and others).

    Parameters
    ----------
    path : path-like, or sequence of them
        The file. Several files, such as T1 and T2 of one person, become the channels of one scan.
    orientation : {"canonical", "file"}, default="canonical"
        "canonical" permutes and flips the spatial axes to the closest of left to right, back to front, bottom
        to top (nibabel's ``as_closest_canonical``); an image with two axes stays as it is. "file" keeps the
        axes of the file, and does not compare the affines of several files.

    Returns
    -------
    ndarray of shape (\*spatial) or (n_channels, \*spatial)
        The volume in float32, or in its own integers if it is a single file that stores these without a
        scale. A fourth axis of the file holds channels, and comes first. Voxels are not resampled.

    Raises
    ------
    ValueError
        If several files differ in their shape or, with "canonical", in where their voxels lie; if a file does
        not hold real numbers, or has more axes; or if `orientation` is another.
    ImportError
        If nibabel is not installed.

    See Also
    --------
    load_label_map : Load labels, which must be whole numbers.
    load_spacing : Read the voxel size.

    Examples
    --------
    >>> volume = load_nifti("T1.nii.gz")  # doctest: +SKIP
    >>> volume = load_nifti(["T1.nii.gz", "T2.nii.gz"])  # doctest: +SKIP
    """
    if isinstance(path, str | os.PathLike):
        values = _read(path, orientation)[0]
        return values.astype(np.float32 if values.dtype.kind == "f" else values.dtype.newbyteorder("="))
    channels = [_read(each, orientation) for each in path]
    if not channels:
        raise ValueError("path is an empty sequence; it must name at least one file.")
    for _, grid in channels[1:]:
        _check_same_grid(grid, channels[0][1], orientation)
    return np.concatenate([values.reshape(-1, *grid.shape).astype(np.float32) for values, grid in channels])


def load_label_map(
    path: str | os.PathLike,
    *,
    like: str | os.PathLike | None = None,
    orientation: str = "canonical",
) -> np.ndarray:
    r"""Load a label map from a file that nibabel can read.

    Programs often store labels as scaled integers, by saving float labels with the header of a scan. Such a
    file holds 2.99998 for 3. Values are therefore rounded, after a check that they are close to whole
    numbers.

    Parameters
    ----------
    path : path-like
        The file.
    like : path-like, default=None
        File of the scan that the labels belong to; the voxels of both must lie in the same places.
    orientation : {"canonical", "file"}, default="canonical"
        As in `load_nifti`; use the same for the scan. With "file", only the shape is compared with `like`.

    Returns
    -------
    ndarray of shape (\*spatial), int16, int32 or int64
        The smallest of these dtypes that holds the labels.

    Raises
    ------
    ValueError
        If a value is more than 0.1 away from a whole number, as in maps that were resampled by interpolation,
        or not finite; if the file holds several maps; or if its voxels are not those of `like`.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> labels = load_label_map("labels.nii.gz", like="T1.nii.gz")  # doctest: +SKIP
    """
    values, grid = _read(path, orientation)
    if values.shape != grid.shape:
        raise ValueError(f"{os.fspath(path)!r} holds {len(values)} maps, of shape {grid.shape}, and not one.")
    if like is not None:
        _check_same_grid(grid, _grid(_open(like), like, orientation), orientation)
    return _as_labels(values, path)


def load_spacing(path: str | os.PathLike, *, orientation: str = "canonical") -> tuple[float, ...]:
    """Read the voxel size of a scan, without its voxels.

    Parameters
    ----------
    path : path-like
        The file.
    orientation : {"canonical", "file"}, default="canonical"
        As in `load_nifti`; use the same for the scan.

    Returns
    -------
    tuple of float
        Side of a voxel along each spatial axis, in millimeters, in the order of the scan's axes.

    Raises
    ------
    ValueError
        If a side is 0 or not finite, or `orientation` is another.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> load_spacing("T1.nii.gz")  # doctest: +SKIP
    (1.0, 1.0, 6.0)
    """
    image = _open(path)
    grid = _grid(image, path, orientation)
    millimeters = {"meter": 1000.0, "micron": 0.001}.get(_length_unit(image) or "mm", 1.0)
    sides = _nibabel().affines.voxel_sizes(grid.affine)[: len(grid.shape)] * millimeters
    return as_spacing(
        [float(f"{side:.6g}") for side in sides], len(sides), f"The voxel size of {grid.path!r}"
    )


def median_spacing(spacings: Any) -> tuple[float, ...]:
    """Return the median voxel size of several scans, axis by axis.

    Parameters
    ----------
    spacings : array-like of shape (n_scans, n_axes)
        Voxel sizes, as `load_spacing` returns them.

    Returns
    -------
    tuple of float
        The size to which scans are best resampled: half of them, or more, lose no detail.

    Raises
    ------
    ValueError
        If there is none, scans have different numbers of axes, or a size is not positive.

    Examples
    --------
    >>> median_spacing([(1, 1, 6), (1, 1, 5), (0.5, 0.5, 6)])
    (1.0, 1.0, 6.0)
    """
    given = list(spacings)
    if not given:
        raise ValueError("spacings is empty; it must hold the voxel size of at least one scan.")
    checked = [as_spacing(each, np.size(given[0]), "Each of spacings") for each in given]
    return tuple(np.median(checked, axis=0).tolist())


def resampled_shape(shape: Sequence[int], spacing: Any, new_spacing: Any) -> tuple[int, ...]:
    """Return how many voxels of another size a volume has along each axis.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the volume.
    spacing : sequence of float
        Its voxel size.
    new_spacing : sequence of float
        The other voxel size, in the same unit.

    Returns
    -------
    tuple of int
        The spatial shape for `resample_volume` and `resample_label_map`, at least 1 along each axis. It is
        rounded to whole voxels, and resampling keeps the field of view, so voxels are of `new_spacing` within
        half a voxel over the whole side.

    Raises
    ------
    ValueError
        If a size does not hold a positive number for each axis.

    Examples
    --------
    >>> resampled_shape((256, 256, 12), (0.5, 0.5, 6), (1, 1, 6))
    (128, 128, 12)
    """
    sides = as_spacing(spacing, len(shape)), as_spacing(new_spacing, len(shape), "new_spacing")
    return tuple(max(1, round(n * old / new)) for n, old, new in zip(shape, *sides, strict=True))


def resample_volume(volume: Any, shape: Sequence[int]) -> np.ndarray:
    r"""Resample a volume, or a map of probabilities, to another number of voxels, by linear interpolation.

    The volume's outer borders stay where they are. To bring a map back to the grid of its scan, pass the
    shape of the scan.

    Parameters
    ----------
    volume : array-like of shape (\*spatial) or (n_channels, \*spatial)
        Intensities. A voxel that is NaN, or masked in a masked array, makes its neighbors NaN.
    shape : sequence of int
        New spatial shape, for example that of `resampled_shape`.

    Returns
    -------
    ndarray of shape (\*shape) or (n_channels, \*shape), float32
        The volume on the new grid.

    Raises
    ------
    ValueError
        If `shape` has not as many axes as the volume, or a side is not positive.
    TypeError
        If `volume` does not hold real numbers.

    See Also
    --------
    resample_label_map : For labels, which cannot be averaged.

    Examples
    --------
    >>> import numpy as np
    >>> resample_volume(np.array([[0.0, 4.0], [0.0, 4.0]]), (2, 4))
    array([[0., 1., 3., 4.],
           [0., 1., 3., 4.]], dtype=float32)
    """
    values = np.asanyarray(volume)
    if values.dtype.kind not in "iufb":
        raise TypeError(f"volume is an array of {values.dtype}; it must hold real numbers.")
    values = np.ma.filled(values.astype(np.float32), np.nan)
    shape = _as_shape(shape, values.ndim, "volume", may_have_channels=True)
    if len(shape) == values.ndim:
        return _zoomed(values, shape)
    return np.stack([_zoomed(channel, shape) for channel in values])


def resample_label_map(label_map: Any, shape: Sequence[int]) -> np.ndarray:
    r"""Resample a label map to another number of voxels.

    Each voxel gets the label that linear interpolation gives the largest share of it: the argmax of the
    interpolated one-hot maps, whose borders are smoother than those of the nearest label.

    Parameters
    ----------
    label_map : array-like of int, of shape (\*spatial)
        Labels. The mark of unlabeled voxels is a label like others.
    shape : sequence of int
        New spatial shape. To bring a map back to the grid of its scan, pass the shape of the scan.

    Returns
    -------
    ndarray of shape (\*shape), int
        The labels on the new grid, of the same dtype. Of equal shares the smallest label wins.

    Raises
    ------
    ValueError
        If `shape` has not as many axes as the map, or a side is not positive; or if `label_map` has masked
        voxels.
    TypeError
        If `label_map` does not hold integers.

    Examples
    --------
    >>> import numpy as np
    >>> resample_label_map(np.array([[1, 2], [1, 2]]), (4, 2))
    array([[1, 2],
           [1, 2],
           [1, 2],
           [1, 2]])
    """
    values = np.asanyarray(label_map)
    if np.ma.getmaskarray(values).any():
        raise ValueError("label_map has masked voxels. Give them the mark of unlabeled ones, .filled(-1).")
    labels = np.asarray(values)
    if labels.dtype.kind not in "iub":
        raise TypeError(f"label_map is an array of {labels.dtype}; it must hold integers.")
    shape = _as_shape(shape, labels.ndim, "label_map")
    if shape == labels.shape:
        return labels.copy()
    largest = np.full(shape, -1.0, dtype=np.float32)
    resampled = np.empty(shape, dtype=labels.dtype)
    for label in np.unique(labels):
        share = _zoomed((labels == label).astype(np.float32), shape)
        # What rounding does to equal shares is no larger one.
        wins = share > largest + 1e-5
        largest[wins], resampled[wins] = share[wins], label
    return resampled


def save_nifti(
    label_map: Any,
    path: str | os.PathLike,
    like: str | os.PathLike,
    *,
    orientation: str = "canonical",
    dtype: Any = None,
) -> None:
    r"""Save a label map, or another map of one scan, as NIfTI, in the space of the scan's file.

    Parameters
    ----------
    label_map : array-like of shape (\*spatial)
        Labels, of the spatial shape of the scan as `load_nifti` returns it.
    path : path-like
        Where to save it, a name that ends in .nii or .nii.gz.
    like : path-like
        File of the scan. The saved map has its affine, and so its voxel sizes.
    orientation : {"canonical", "file"}, default="canonical"
        How the scan was loaded. A map of a "canonical" scan is brought back to the file's own axes.
    dtype : dtype-like, default=None
        What values are stored as. None is for labels: int16, or int32 if they need it. Pass np.float32 for
        probabilities.

    Raises
    ------
    ValueError
        If shapes differ, `dtype` cannot hold a value, or values are not whole numbers where an integer dtype
        is asked for; if `label_map` has masked voxels, or `orientation` is another.
    TypeError
        If `label_map` does not hold real numbers.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> save_nifti(seg.predict([volume])[0], "labels.nii.gz", like="T1.nii.gz")  # doctest: +SKIP
    >>> probability = seg.predict_proba([volume])[0][1]  # doctest: +SKIP
    >>> save_nifti(probability, "p.nii.gz", like="T1.nii.gz", dtype=np.float32)  # doctest: +SKIP
    """
    nibabel = _nibabel()
    scan = _open(like)
    grid = _grid(scan, like, orientation)
    values = _storable(label_map, dtype)
    if values.shape != grid.shape:
        hint = ""
        if values.shape == scan.shape[:3]:
            hint = ' If the map has the axes of the file, pass orientation="file".'
        raise ValueError(
            f"label_map has shape {values.shape}, but the scan {grid.path!r} has {grid.shape}.{hint}"
        )
    if grid.turn is not None:
        identity = nibabel.orientations.axcodes2ornt("RAS")
        back = nibabel.orientations.ornt_transform(identity, grid.turn)
        values = nibabel.orientations.apply_orientation(values, back)
    image = nibabel.Nifti1Image(values, scan.affine, dtype=values.dtype)
    image.header.set_xyzt_units(xyz=_length_unit(scan) or "mm")
    nibabel.save(image, path)


def find_cases(
    images: str | os.PathLike, labels: str | os.PathLike | None = None, *, n_channels: int | None = None
) -> Bunch:
    """Find the files of scans in a folder, and those of their labels in another; reads none of them.

    A label file has the name of its scan. In nnU-Net's layout, each channel has a file of its own,
    ``case_0000.nii.gz``, ``case_0001.nii.gz`` and so on, and the labels are in ``case.nii.gz``. Which layout
    it is follows from the names of the label files. Without these, names that all end in ``_0000``, or for
    several channels in four digits, are nnU-Net's.

    Parameters
    ----------
    images : path-like
        Folder with the scans, ``.nii`` or ``.nii.gz``, also in capitals. Its sub-folders are not looked into.
    labels : path-like, default=None
        Folder with the label files of some of them.
    n_channels : int, default=None
        Number of channels of the scans, if it is known; it is needed for several without label files.

    Returns
    -------
    Bunch
        ``names`` of the cases, in order; ``files``, for each a list of paths, one a channel; ``labels``, the
        path of the label file of each or None.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or holds no NIfTI file.
    ValueError
        If a label file belongs to no scan, channels of a case are missing, or a file is there as ``.nii`` and
        as ``.nii.gz``.

    Examples
    --------
    >>> cases = find_cases("scans", "labels")  # doctest: +SKIP
    >>> [load_nifti(files) for files in cases.files]  # doctest: +SKIP
    """
    paths, label_paths = _scans_of(images), {} if labels is None else _scans_of(labels)
    if labels is not None:
        apart = _channels_are_files(paths, label_paths)
    else:
        ending = r".+_\d{4}" if (n_channels or 1) > 1 else r".+_0000"
        apart = all(re.fullmatch(ending, name) for name in paths)
    cases = _channels_of_cases(paths) if apart else {name: [path] for name, path in paths.items()}
    if strays := sorted(label_paths.keys() - cases.keys()):
        more = f" (and {len(strays) - 1} more)" if len(strays) > 1 else ""
        raise ValueError(
            f"The label file {os.fspath(label_paths[strays[0]])!r}{more} has no scan of its name in "
            f"{os.fspath(images)!r}; the first scan is {min(cases)!r}."
        )
    names = sorted(cases)
    found = [label_paths.get(name) for name in names]
    return Bunch(
        names=names,
        files=[[os.fspath(path) for path in cases[name]] for name in names],
        labels=[None if path is None else os.fspath(path) for path in found],
    )


def load_decathlon(
    folder: str | os.PathLike,
    subset: str = "train",
    n_volumes: int | None = None,
    *,
    orientation: str = "canonical",
) -> Bunch:
    r"""Load a task of the Medical Segmentation Decathlon, or data in its layout or in nnU-Net's.

    In the Decathlon's layout the labels of ``imagesTr/case.nii.gz`` are in ``labelsTr/case.nii.gz``. In
    nnU-Net's, each channel has a file of its own, ``imagesTr/case_0000.nii.gz``, ``case_0001.nii.gz`` and so
    on; the scan's channels are in this order. Which of the two it is follows from the names of the label
    files or, where there are none, from ``channel_names`` in nnU-Net's ``dataset.json``.

    Parameters
    ----------
    folder : path-like
        The task's folder, with ``imagesTr`` and ``labelsTr``, and perhaps ``imagesTs``.
    subset : {"train", "test"}, default="train"
        Scans in ``imagesTr``, or in ``imagesTs``, which have no labels.
    n_volumes : int, default=None
        The first `n_volumes` scans, in the order of their names; None for all.
    orientation : {"canonical", "file"}, default="canonical"
        As in `load_nifti`, for scans and labels.

    Returns
    -------
    Bunch
        ``images``, a list of arrays of shape (\*spatial), or (n_channels, \*spatial); ``labels``, a list of
        label maps, None for a scan that has none; ``names``, the names of the cases; ``paths``, those of the
        scans' files, of several channels the first, which `save_nifti` takes as `like`. Intensities are as in
        the files, whose scales may differ by orders of magnitude:
        :class:`~sklearn_ssldec.SSLDECSegmenter` scales each volume. Voxel sizes are not changed.

    Raises
    ------
    FileNotFoundError
        If there is no scan.
    ValueError
        If no label file has the name of a scan, channels of a case are missing, two files have one name, a
        label file holds values that are not whole numbers, or the voxels of a case's files do not lie in the
        same places.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> data = load_decathlon("Task04_Hippocampus")  # doctest: +SKIP
    >>> seg.fit(data.images, [*data.labels[:2], *[None] * 258])  # doctest: +SKIP
    """
    folder = Path(folder)
    if subset not in ("train", "test"):
        raise ValueError(f"subset must be 'train' or 'test', got {subset!r}.")
    scans = folder / ("imagesTr" if subset == "train" else "imagesTs")
    paths = _by_stem(scans)
    if not paths:
        raise FileNotFoundError(f"There is no *.nii or *.nii.gz in {os.fspath(scans)!r}.")
    label_paths = _by_stem(folder / "labelsTr")
    cases = (
        _channels_of_cases(paths) if _is_nnunet(folder) else {name: [path] for name, path in paths.items()}
    )
    if subset == "train" and label_paths and not cases.keys() & label_paths.keys():
        raise ValueError(
            f"No label file in {os.fspath(folder / 'labelsTr')!r} has the name of a scan: the labels are "
            f"called {min(label_paths)!r} and so on, the scans {min(paths)!r} and so on."
        )
    names = sorted(cases)[:n_volumes]
    images: list[np.ndarray] = []
    labels: list[np.ndarray | None] = []
    for name in names:
        files = cases[name]
        images.append(load_nifti(files[0] if len(files) == 1 else files, orientation=orientation))
        path = label_paths.get(name) if subset == "train" else None
        labels.append(None if path is None else load_label_map(path, like=files[0], orientation=orientation))
    return Bunch(
        images=images, labels=labels, names=names, paths=[os.fspath(cases[name][0]) for name in names]
    )


def load_iseg2017(folder: str | os.PathLike) -> Bunch:
    r"""Load the infant brains of the iSeg2017 challenge, T1 and T2 with tissue labels, from Analyze files.

    The set is given to those who register, at https://iseg2017.web.unc.edu.

    Parameters
    ----------
    folder : path-like
        Folder with ``subject-1-T1.hdr``, ``subject-1-T1.img``, ``subject-1-T2.hdr`` and so on, and
        ``subject-1-label.hdr`` for those subjects that have labels.

    Returns
    -------
    Bunch
        ``images``, a list of arrays of shape (2, \*spatial), float32; ``labels``, a list of label maps with
        10 (CSF), 150 (gray matter) and 250 (white matter), None for a subject without; ``names``. As in the
        paper, the background (0) is merged with CSF; `separate_background` takes it out again. Axes are those
        of the files, since Analyze files do not store an orientation.

    Raises
    ------
    FileNotFoundError
        If there is no subject, or an image is missing.
    ValueError
        If the files of a subject differ in shape, or its labels are not whole numbers.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> data = load_iseg2017("iSeg-2017-Training")  # doctest: +SKIP
    """
    folder = Path(folder)
    names = sorted(_subjects(folder), key=lambda name: int(name.split("-")[1]))
    if not names:
        raise FileNotFoundError(f"There is no subject-*-T1.hdr in {os.fspath(folder)!r}.")
    images: list[np.ndarray] = []
    labels: list[np.ndarray | None] = []
    for name in names:
        t1 = folder / f"{name}-T1.hdr"
        images.append(load_nifti([t1, folder / f"{name}-T2.hdr"], orientation="file"))
        path = folder / f"{name}-label.hdr"
        if not path.exists():
            labels.append(None)
            continue
        merged = load_label_map(path, like=t1, orientation="file")
        merged[merged == ISEG_BACKGROUND] = ISEG_CSF
        labels.append(merged)
    return Bunch(images=images, labels=labels, names=names)


def separate_background(label_map: Any, image: Any, background: int = 0) -> np.ndarray:
    r"""Take the background out of a class that it was merged with: it is where the first channel is 0.

    Parameters
    ----------
    label_map : array-like of int, of shape (\*spatial)
        Labels.
    image : array-like of shape (n_channels, \*spatial)
        The scan; its first channel, the T1 image, is 0 outside the brain.
    background : int, default=0
        Label of the background.

    Returns
    -------
    ndarray of int
        A copy of the labels.

    Examples
    --------
    >>> import numpy as np
    >>> separate_background(np.array([[10, 10], [150, 10]]), np.array([[[0.0, 3.0], [9.0, 0.0]]]))
    array([[  0,  10],
           [150,   0]])
    """
    return np.where(np.asarray(image)[0] == 0, background, np.asarray(label_map))


def mask_slices(label_map: Any, step: int = 5, axis: int = -1, unlabeled_label: int = -1) -> np.ndarray:
    """Keep the labels of one slice in `step`, as the paper's protocol does, and mark the rest as unlabeled.

    Parameters
    ----------
    label_map : array-like of int
        Labels of a whole volume; masked voxels of a masked array are unlabeled.
    step : int, default=5
        One slice in so many keeps its labels; the first is in the middle of the first `step`.
    axis : int, default=-1
        The axis along which slices lie.
    unlabeled_label : int, default=-1
        The mark of an unlabeled voxel.

    Returns
    -------
    ndarray of int
        A copy of the labels, of a dtype that holds the mark too.

    Raises
    ------
    ValueError
        If `step` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> mask_slices(np.array([[1, 2, 3, 4, 5, 6, 7]]), step=3)
    array([[-1,  2, -1, -1,  5, -1, -1]])
    """
    if step < 1:
        raise ValueError(f"step must be positive, got {step!r}.")
    labels = np.asanyarray(label_map)
    dtype = dtype_with_room(labels.dtype, unlabeled_label)
    masked = np.full(labels.shape, unlabeled_label, dtype=dtype)
    kept = (slice(None),) * (axis % labels.ndim) + (slice(step // 2, None, step),)
    masked[kept] = np.ma.filled(labels[kept].astype(dtype), unlabeled_label)
    return masked


def _as_shape(
    shape: Sequence[int], n_dims: int, name: str, may_have_channels: bool = False
) -> tuple[int, ...]:
    """Return the new spatial shape of an array of `n_dims` axes."""
    sides = tuple(int(n) for n in shape)
    allowed = (n_dims, n_dims - 1) if may_have_channels else (n_dims,)
    if len(sides) not in allowed or not sides or min(sides) < 1:
        raise ValueError(
            f"shape must hold a positive number for each spatial axis of {name}, which has {n_dims} axes, "
            f"got {shape!r}."
        )
    return sides


def _zoomed(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return one channel on a grid of another shape, with the same outer borders."""
    if values.shape == shape:
        return values.copy()
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    return ndimage.zoom(values, factors, order=1, mode="nearest", grid_mode=True)


def _length_unit(image: Any) -> str | None:
    """Return "meter", "mm" or "micron", or None if the file does not say."""
    header = image.header
    unit = header.get_xyzt_units()[0] if hasattr(header, "get_xyzt_units") else "unknown"
    return None if unit == "unknown" else unit


def _subjects(folder: Path) -> Iterator[str]:
    """Yield the names of iSeg2017's subjects, "subject-1" and so on."""
    for path in folder.glob("subject-*-T1.hdr"):
        if match := re.fullmatch(r"(subject-\d+)-T1\.hdr", path.name):
            yield match[1]


class _Grid(NamedTuple):
    """Where the voxels of an array lie: its spatial shape and affine, and how to get it from the file's."""

    path: str
    shape: tuple[int, ...]
    affine: np.ndarray
    turn: np.ndarray | None


def _read(path: str | os.PathLike, orientation: str) -> tuple[np.ndarray, _Grid]:
    """Return the values of one file, with its channels first if it has several, and its grid."""
    image = _open(path)
    grid = _grid(image, path, orientation)
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"{os.fspath(path)!r} stores {values.dtype}; values must be integers or floating-point numbers."
        )
    if values.ndim == 5 and values.shape[3] == 1:  # NIfTI's vectors, whose fourth axis is time
        values = values[..., 0, :]
    if values.ndim not in (2, 3, 4):
        raise ValueError(
            f"{os.fspath(path)!r} has shape {values.shape}; a scan has two or three spatial axes, and "
            "possibly one of channels."
        )
    if grid.turn is not None:
        values = _nibabel().orientations.apply_orientation(values, grid.turn)
    if values.ndim == 4:
        values = np.moveaxis(values, -1, 0)
        values = values[0] if len(values) == 1 else values
    return values, grid


def _open(path: str | os.PathLike) -> Any:
    """Return nibabel's image of a file, whose values are not read yet."""
    nibabel = _nibabel()
    image = nibabel.load(path)
    if not isinstance(image, nibabel.spatialimages.SpatialImage):
        raise ValueError(f"{os.fspath(path)!r} holds no image, but a {type(image).__name__}.")
    return image


def _grid(image: Any, path: str | os.PathLike, orientation: str) -> _Grid:
    """Return the grid of an image, in the orientation asked for; with two axes, always in the file's."""
    if orientation not in ("canonical", "file"):
        raise ValueError(f"orientation must be 'canonical' or 'file', got {orientation!r}.")
    path, shape, affine = os.fspath(path), tuple(image.shape[:3]), image.affine
    if orientation == "file" or len(shape) < 3:
        return _Grid(path, shape, affine, None)
    orientations = _nibabel().orientations
    turn = orientations.io_orientation(affine)
    if not np.isfinite(turn).all():
        raise ValueError(
            f"The affine of {path!r} does not say where each axis points: {affine.tolist()}. Pass "
            'orientation="file" to keep the axes of the file.'
        )
    turned = tuple(shape[axis] for axis in np.argsort(turn[:, 0]))
    return _Grid(path, turned, affine @ orientations.inv_ornt_aff(turn, shape), turn)


def _check_same_grid(one: _Grid, other: _Grid, orientation: str) -> None:
    """Refuse two files whose voxels do not lie in the same places; with "file", compare shapes only."""
    if one.shape != other.shape:
        raise ValueError(
            f"{one.path!r} has the spatial shape {one.shape}, but {other.path!r} has {other.shape}."
        )
    if orientation == "file":
        return
    corners = np.array([*itertools.product(*[(0, n - 1) for n in (*one.shape, 1, 1)[:3]])], dtype=float)
    corners = np.column_stack([corners, np.ones(len(corners))]).T
    distance = np.abs(np.linalg.pinv(other.affine) @ one.affine @ corners - corners).max()
    if not distance <= GRID_TOLERANCE:
        raise ValueError(
            f"The affines of {one.path!r} and {other.path!r} differ: the same voxel of both lies up to "
            f"{distance:.3g} voxels apart. Resample one to the other, for example by "
            "nibabel.processing.resample_from_to (order=0 for labels). If an affine is wrong and the arrays "
            'agree, pass orientation="file", which does not compare affines.'
        )


def _as_labels(values: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Return the labels that a file holds as integers."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError(
                f"{os.fspath(path)!r} does not hold labels: it has values that are NaN or infinite. Give "
                "these voxels a label, or -1 if they have none."
            )
        rounded = np.rint(values)
        distance = np.abs(values - rounded).max()
        if distance > LABEL_TOLERANCE:
            raise ValueError(
                f"{os.fspath(path)!r} does not hold labels: values are up to {distance:.2g} away from a "
                "whole number. Was it resampled with interpolation, or is it a map of probabilities?"
            )
        values = rounded
    smallest, largest = int(values.min()), int(values.max())
    for dtype in (np.int16, np.int32, np.int64):
        if np.iinfo(dtype).min <= smallest and largest <= np.iinfo(dtype).max:
            return values.astype(dtype)
    raise ValueError(f"{os.fspath(path)!r} holds labels from {smallest} to {largest}, beyond int64.")


def _storable(label_map: Any, dtype: Any) -> np.ndarray:
    """Return what `save_nifti` stores, of the dtype in which it does."""
    values = np.asanyarray(label_map)
    if np.ma.getmaskarray(values).any():
        raise ValueError("label_map has masked voxels. Give them a value, label_map.filled(0).")
    values = np.asarray(values)
    if values.dtype.kind not in "iufb":
        raise TypeError(f"label_map is an array of {values.dtype}; it must hold real numbers.")
    wanted = None if dtype is None else np.dtype(dtype)
    if wanted in (np.float32, np.float64):
        return values.astype(wanted)
    if wanted is not None and wanted.kind not in "iu":
        raise ValueError(f"dtype must be None, an integer dtype, float32 or float64, got {dtype!r}.")
    if values.dtype.kind == "f" and not (values == np.rint(values)).all():
        raise ValueError(
            "label_map holds values that are not whole numbers. Pass dtype=np.float32 to store probabilities."
        )
    smallest, largest = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for each in (np.dtype(np.int16), np.dtype(np.int32)) if wanted is None else (wanted,):
        if np.iinfo(each).min <= smallest and largest <= np.iinfo(each).max:
            return values.astype(each)
    raise ValueError(f"label_map holds values from {smallest} to {largest}, which {each} does not hold.")


def _is_nnunet(folder: Path) -> bool:
    """Tell whether the channels of a scan are files of their own, as in nnU-Net's layout."""
    labels = _by_stem(folder / "labelsTr")
    if labels:
        return _channels_are_files(_by_stem(folder / "imagesTr"), labels)
    description = folder / "dataset.json"
    return description.exists() and "channel_names" in json.loads(description.read_text())


def _channels_are_files(scans: dict[str, Path], labels: dict[str, Path]) -> bool:
    """Tell whether the names of label files are those of scans without the number of a channel."""
    matches = [CHANNEL.fullmatch(name) for name in scans]
    return not scans.keys() & labels.keys() and any(match and match[1] in labels for match in matches)


def _scans_of(folder: str | os.PathLike) -> dict[str, Path]:
    """Return the NIfTI files of a folder by their names without ending; there must be some."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder {os.fspath(folder)!r}.")
    paths = _by_stem(Path(folder))
    if not paths:
        raise FileNotFoundError(f"There is no *.nii or *.nii.gz in {os.fspath(folder)!r}.")
    return paths


def _channels_of_cases(paths: dict[str, Path]) -> dict[str, list[Path]]:
    """Return the files of each case, one a channel, from files named case_0000, case_0001 and so on."""
    cases: dict[str, dict[str, Path]] = {}
    for name, path in paths.items():
        match = CHANNEL.fullmatch(name)
        if match is None:
            raise ValueError(f"{os.fspath(path)!r} does not end in the number of its channel, such as _0000.")
        cases.setdefault(match[1], {})[match[2]] = path
    expected = sorted({channel for case in cases.values() for channel in case})
    for name, case in cases.items():
        if sorted(case) != expected:
            raise ValueError(f"The case {name!r} has the channels {sorted(case)}; the scans have {expected}.")
    return {name: [case[channel] for channel in expected] for name, case in cases.items()}


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the NIfTI files of a folder by their names without ending, in order."""
    # macOS leaves "._name" beside the files of an archive.
    files = [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]
    found: dict[str, Path] = {}
    for path in files:
        if match := NIFTI.fullmatch(path.name):
            if other := found.get(match[1]):
                raise ValueError(
                    f"{os.fspath(other)!r} and {path.name!r} are files of one name. Remove one of them."
                )
            found[match[1]] = path
    return found


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            "Reading scans needs nibabel: pip install nibabel, or pip install sklearn-ssldec[scans]."
        ) from error
    return nibabel
