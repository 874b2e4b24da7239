"""Scans from files: NIfTI in and out, and the data sets of the segmentation experiments. Read by nibabel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

# Labels of iSeg2017's tissues; outside the brain the T1 image is 0.
ISEG_BACKGROUND, ISEG_CSF = 0, 10


def load_nifti(path: str | os.PathLike | Sequence[str | os.PathLike]) -> np.ndarray:
    r"""Load a scan, or a label map, from a file that nibabel can read (NIfTI, Analyze and others).

    Parameters
    ----------
    path : path-like, or sequence of them
        The file; several (T1 and T2 of one person) are the channels of one scan.

    Returns
    -------
    ndarray of shape (\*spatial) or (n_channels, \*spatial)
        float32; of a single file that stores integers without a scale, these integers, as label maps need. A
        fourth axis of the file holds channels, and comes first.

    Raises
    ------
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> volume = load_nifti("T1.nii.gz")  # doctest: +SKIP
    >>> volume = load_nifti(["T1.nii.gz", "T2.nii.gz"])  # doctest: +SKIP
    """
    if not isinstance(path, str | os.PathLike):
        return np.stack([load_nifti(each).astype(np.float32) for each in path])
    image = _nibabel().load(path)
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "iu":
        values = values.astype(np.float32)
    elif not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.ndim == 4:
        values = np.moveaxis(values, -1, 0)
        values = values[0] if len(values) == 1 else values
    return values


def save_nifti(label_map: Any, path: str | os.PathLike, like: str | os.PathLike) -> None:
    """Save a label map as NIfTI, with the affine of the scan that it belongs to.

    Parameters
    ----------
    label_map : array-like of int, of the spatial shape of the scan
        Labels.
    path : path-like
        Where to save it, a name that ends in .nii or .nii.gz.
    like : path-like
        File of the scan.

    Raises
    ------
    ValueError
        If the shapes differ.
    ImportError
        If nibabel is not installed.

    Examples
    --------
    >>> save_nifti(seg.predict([volume])[0], "labels.nii.gz", like="T1.nii.gz")  # doctest: +SKIP
    """
    nibabel = _nibabel()
    scan = nibabel.load(like)
    labels = np.asarray(label_map)
    if labels.shape != scan.shape[: labels.ndim] or labels.ndim != min(3, len(scan.shape)):
        raise ValueError(
            f"label_map has shape {labels.shape}, but the scan {os.fspath(like)!r} has {scan.shape}."
        )
    smallest = np.result_type(np.min_scalar_type(labels.min()), np.min_scalar_type(labels.max()))
    dtype = np.int16 if smallest.itemsize < 2 else np.int32
    image = nibabel.Nifti1Image(labels.astype(dtype), scan.affine)
    image.header.set_xyzt_units(xyz="mm")
    nibabel.save(image, path)


def load_decathlon(folder: str | os.PathLike, subset: str = "train", n_volumes: int | None = None) -> Bunch:
    r"""Load a task of the Medical Segmentation Decathlon, or data in its layout.

    Parameters
    ----------
    folder : path-like
        The task's folder, with ``imagesTr`` and ``labelsTr``, and perhaps ``imagesTs``.
    subset : {"train", "test"}, default="train"
        Scans in ``imagesTr``, or in ``imagesTs``, which have no labels.
    n_volumes : int, default=None
        The first so many, in the order of their names; None for all.

    Returns
    -------
    Bunch
        ``images``, a list of arrays of shape (\*spatial), or (n_channels, \*spatial); ``labels``, a list of
        label maps, None for a scan that has none; ``names``, the names of the cases; ``paths``, those of the
        scans' files. Intensities are as in the files, whose scales may differ by orders of magnitude:
        :class:`~sklearn_ssldec.SSLDECSegmenter` scales each volume.

    Raises
    ------
    FileNotFoundError
        If there is no scan.
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
    # macOS leaves "._name" beside the files of an archive.
    paths = sorted(p for p in scans.glob("*.nii*") if not p.name.startswith("."))[:n_volumes]
    if not paths:
        raise FileNotFoundError(f"There is no *.nii or *.nii.gz in {os.fspath(scans)!r}.")
    label_paths = [folder / "labelsTr" / path.name for path in paths]
    return Bunch(
        images=[load_nifti(path) for path in paths],
        labels=[load_nifti(path).astype(np.int16) if path.exists() else None for path in label_paths],
        names=[path.name.split(".")[0] for path in paths],
        paths=[os.fspath(path) for path in paths],
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
        paper, the background (0) is merged with CSF; `separate_background` takes it out again.

    Raises
    ------
    FileNotFoundError
        If there is no subject, or an image is missing.
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
        images.append(load_nifti([folder / f"{name}-T1.hdr", folder / f"{name}-T2.hdr"]))
        path = folder / f"{name}-label.hdr"
        if not path.exists():
            labels.append(None)
            continue
        merged = load_nifti(path).astype(np.int16)
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
        Labels of a whole volume.
    step : int, default=5
        One slice in so many keeps its labels; the first is in the middle of the first `step`.
    axis : int, default=-1
        The axis along which slices lie.
    unlabeled_label : int, default=-1
        The mark of an unlabeled voxel.

    Returns
    -------
    ndarray of int
        A copy of the labels; of a signed dtype if `label_map` has an unsigned one.

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
    labels = np.asarray(label_map)
    masked = np.full(labels.shape, unlabeled_label, dtype=np.result_type(labels.dtype, np.int8))
    kept = (slice(None),) * (axis % labels.ndim) + (slice(step // 2, None, step),)
    masked[kept] = labels[kept]
    return masked


def _subjects(folder: Path) -> Iterator[str]:
    """Yield the names of iSeg2017's subjects, "subject-1" and so on."""
    for path in folder.glob("subject-*-T1.hdr"):
        if match := re.fullmatch(r"(subject-\d+)-T1\.hdr", path.name):
            yield match[1]


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            "Reading scans needs nibabel: pip install nibabel, or pip install sklearn-ssldec[scans]."
        ) from error
    return nibabel
