"""The steps of a run: read scans, fit, write what was found."""

from __future__ import annotations

import csv
import importlib
import math
import platform
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sklearn_ssldec import SSLDECSegmenter, __version__
from sklearn_ssldec._samples.components import outside_largest, single_component_classes
from sklearn_ssldec._samples.placing import resolve_device
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.command.checks import check_labels, check_names, check_sizes, check_values
from sklearn_ssldec.command.folder import Folder, describe_scans, digest
from sklearn_ssldec.command.grid import Grid, Scan
from sklearn_ssldec.display import OutlineDisplay
from sklearn_ssldec.persistence import load, save
from sklearn_ssldec.scans import (
    find_cases,
    load_label_map,
    load_nifti,
    load_spacing,
    save_nifti,
)

SECONDS_BETWEEN_LINES = 10.0


def segment(args: Namespace) -> None:
    """Learn from a folder of scans of which some have labels, and segment all.

    Parameters
    ----------
    args : Namespace
        The arguments of the command.

    Raises
    ------
    ValueError, OSError, ImportError
        If the input is wrong, for the user to read.
    KeyboardInterrupt
        If Ctrl-C has ended the fit.
    """
    check_packages()
    resolve_device(args.device)  # refused before results are replaced
    cases = find_cases(args.images, args.labels)
    check_apart(args.out, args.images, args.labels)
    settings: dict[str, Any] = {
        "seed": args.seed,
        "max_iter": args.max_iter,
        "pretrain_epochs": args.pretrain_epochs,
    }
    settings |= {"unlabeled": args.unlabeled, "names": {str(key): name for key, name in args.names.items()}}
    folder = Folder(
        args.out, {"command": "segment", **settings, "scans": describe_scans(cases)}, args.overwrite
    )
    if folder.is_finished:
        tell_finished(folder)
        return
    scans = list(read_scans(cases))
    grid = Grid.of(scans)
    check_sizes(scans, grid)
    check_values(scans, grid.slice_axis)
    check_names(args.names, check_labels(scans, args.labels, args.unlabeled))
    folder.start()
    note_scans(folder, scans, grid)
    is_fitted = folder.model_path.exists()
    model = load(folder.model_path) if is_fitted else fit(args, folder, scans, grid)
    write_results(model, scans, folder, args.names)


def predict(args: Namespace) -> None:
    """Segment new scans with a model.

    Parameters
    ----------
    args : Namespace
        The arguments of the command.

    Raises
    ------
    ValueError, OSError, ImportError
        If the input is wrong, for the user to read.
    """
    check_packages()
    model = load(args.model, device=None if args.device == "auto" else args.device)
    if not isinstance(model, SSLDECSegmenter | PseudoLabelSegmenter):
        raise ValueError(f"{args.model} is a {type(model).__name__}, and no model of scans.")
    check_names(args.names, model.classes_.tolist())
    cases = find_cases(args.images, n_channels=model.n_channels_)
    check_apart(args.out, args.images)
    settings = {"model": digest(args.model), "names": {str(key): name for key, name in args.names.items()}}
    folder = Folder(
        args.out, {"command": "predict", **settings, "scans": describe_scans(cases)}, args.overwrite
    )
    if folder.is_finished:
        tell_finished(folder)
        return
    scans = list(read_scans(cases))
    grid = Grid.for_model(model, scans)
    n_channels = count_channels(scans[0])
    n_dims = len(scans[0].shape) - (grid.slice_axis is not None)
    if (n_channels, n_dims) != (model.n_channels_, model.n_dims_):
        raise ValueError(
            f"{scans[0].path!r} has {n_channels} channels and {n_dims} axes; the model was made for "
            f"{model.n_channels_} and {model.n_dims_}."
        )
    check_sizes(scans, grid)
    check_values(scans, grid.slice_axis)
    folder.start()
    note_scans(folder, scans, grid)
    write_results(model, scans, folder, args.names)


def check_packages() -> None:
    """Refuse to start if a package is missing that a later step needs.

    Raises
    ------
    ImportError
        If one is missing, with what to install.
    """
    for name in ("nibabel", "matplotlib"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"The package {name} is missing: python -m pip install 'sklearn-ssldec[plot,scans]'"
            ) from error


def check_apart(out: str, *inputs: str) -> None:
    """Refuse to write into the folder of the scans or of the labels.

    Parameters
    ----------
    out : str
        Folder of the results.
    *inputs : str
        Folders that are read.

    Raises
    ------
    FileExistsError
        If they are the same.
    """
    for each in inputs:
        if Path(out).resolve() == Path(each).resolve():
            raise FileExistsError(f"--out must be another folder than {each!r}, which is read.")


def read_scans(cases: Any) -> Iterator[Scan]:
    """Read scans and label maps, and check that they are alike.

    Parameters
    ----------
    cases : Bunch
        What `find_cases` returns.

    Yields
    ------
    Scan
        One after the other.

    Raises
    ------
    ValueError
        If a file cannot be read, or scans differ in their numbers of axes or channels.
    """
    first: Scan | None = None
    for name, files, label_path in each_with_progress(
        list(zip(cases.names, cases.files, cases.labels, strict=True)), "Reading"
    ):
        image = _read(files[0], lambda: load_nifti(files[0] if len(files) == 1 else files))  # noqa: B023
        spacing = _read(files[0], lambda: load_spacing(files[0]))  # noqa: B023
        labels = None
        if label_path is not None:
            labels = _read(label_path, lambda: load_label_map(label_path, like=files[0]))  # noqa: B023
        scan = Scan(name, files[0], image, labels, spacing, image.shape[image.ndim - len(spacing) :])
        if len(scan.shape) == 3 and 1 in scan.shape:
            raise ValueError(
                f"{scan.path!r} is a single slice, of shape {scan.shape}. Volumes need several slices, and "
                "images are files with two axes."
            )
        first = first or scan
        for what, mine, theirs in (
            ("axes", len(scan.shape), len(first.shape)),
            ("channels", count_channels(scan), count_channels(first)),
        ):
            if mine != theirs:
                raise ValueError(f"{scan.path!r} has {mine} {what}, but {first.path!r} has {theirs}.")
        yield scan


def _read(path: str, how: Any) -> Any:
    try:
        return how()
    except ImportError:
        raise
    except Exception as error:  # there are more ways to damage a file than one can list
        text = str(error) or type(error).__name__
        is_ours = isinstance(error, ValueError) and path in text
        raise ValueError(text if is_ours else f"{path!r} cannot be read: {text}") from error


def count_channels(scan: Scan) -> int:
    """Return the number of channels.

    Parameters
    ----------
    scan : Scan
        The scan.

    Returns
    -------
    int
        The number.
    """
    return len(scan.image) if scan.image.ndim > len(scan.shape) else 1


def fit(args: Namespace, folder: Folder, scans: list[Scan], grid: Grid) -> Any:
    """Fit a model, or resume an interrupted fit.

    Parameters
    ----------
    args : Namespace
        The arguments of the command.
    folder : Folder
        Where checkpoints and the model go.
    scans : list of Scan
        All scans.
    grid : Grid
        What the network sees of them.

    Returns
    -------
    SSLDECSegmenter
        The fitted model.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C has ended the fit.
    """
    n_labeled = sum(scan.labels is not None for scan in scans)
    say(f"Learning from {n_labeled} labeled and {len(scans) - n_labeled} unlabeled scans.")
    if grid.slice_axis is not None:
        say("The scans have few slices: the network sees each as an image.")
    resampled = sum(grid.shape_for(scan) != scan.shape for scan in scans)
    if resampled and grid.spacing is not None:
        size = " x ".join(f"{side:g}" for side in grid.spacing)
        say(f"Voxel sizes differ: resampling {resampled} of {len(scans)} scans to {size} mm for the network.")
    images = [image for scan in scans for image in grid.images(scan)]
    labels = [labels for scan in scans for labels in grid.label_maps(scan)]
    model = SSLDECSegmenter(
        pretrain_epochs="auto" if args.pretrain_epochs is None else args.pretrain_epochs,
        max_iter="auto" if args.max_iter is None else args.max_iter,
        unlabeled_label=args.unlabeled,
        device=args.device,
        checkpoint_dir=folder.checkpoints,
        random_state=args.seed,
        verbose=1,
        net__spacing=grid.spacing,
        cycle__transduction=False,  # the model must not hold the scans' maps
    )
    started = time.perf_counter()
    model.fit(images, labels)
    if model.termination_condition_ == "interrupted":
        raise KeyboardInterrupt
    if grid.slice_axis is not None:
        model.plan_["largest_component_of_volumes"] = single_in_volumes(model, scans)
    facts = {"iterations": model.n_iter_, "ended_by": model.termination_condition_}
    folder.note(plan=model.plan_, **facts, seconds_of_fit=round(time.perf_counter() - started, 1))
    model.set_params(checkpoint_dir=None, verbose=0)
    save(model, folder.model_path)
    return model


def single_in_volumes(model: Any, scans: Sequence[Scan]) -> list[int]:
    """Return the structures that are in one piece in the slices, and in the labeled scans too.

    Parameters
    ----------
    model : fitted segmenter
        The model of the slices.
    scans : sequence of Scan
        All scans.

    Returns
    -------
    list of int
        Their labels.
    """
    maps = []
    for scan in scans:
        if scan.labels is not None:
            codes = np.searchsorted(model.classes_, scan.labels)
            maps.append(np.where(scan.labels == model.unlabeled_label, -1, codes))
    single = single_component_classes(maps, [None] * len(maps), len(model.classes_))
    in_slices = model.plan_.get("largest_component", [])
    return [label for label in model.classes_[list(single)].tolist() if label in in_slices]


def drop_pieces(labels: np.ndarray, model: Any) -> None:
    """Label the smaller pieces of structures that are in one piece in each scan as background, in place.

    Parameters
    ----------
    labels : ndarray of int
        The label map of a scan whose slices were segmented.
    model : fitted segmenter
        The model of the slices.
    """
    single = model.plan_.get("largest_component_of_volumes", [])
    labels[outside_largest(torch.from_numpy(labels)[None], single)[0].numpy()] = 0


def write_results(model: Any, scans: list[Scan], folder: Folder, names: dict[int, str]) -> None:
    """Write label maps, pictures and the table of volumes; skip files that exist.

    Parameters
    ----------
    model : fitted segmenter
        The model.
    scans : list of Scan
        The scans.
    folder : Folder
        Where results go.
    names : dict of int to str
        Names of structures.
    """
    model.set_params(verbose=0)
    grid = Grid.for_model(model, scans)
    structures = [label for label in model.classes_.tolist() if label != 0]
    rows = []
    for scan in each_with_progress(scans, "Segmenting"):
        map_path, picture_path = folder.map_path(scan.name), folder.picture_path(scan.name)
        if map_path.exists():
            labels = load_label_map(map_path, like=scan.path)
        else:
            labels = grid.restore(model.predict(grid.images(scan)), scan)
            if grid.slice_axis is not None:
                drop_pieces(labels, model)
            folder.write(map_path, lambda path: save_nifti(labels, path, like=scan.path))  # noqa: B023
        sizes = [float(np.sum(labels == label) * voxel_size(scan)) for label in structures]
        if not picture_path.exists():
            title = scan.name + (
                " (labeled by you; the outlines are the prediction)" if scan.labels is not None else ""
            )
            folder.write(picture_path, lambda path: draw(scan, labels, names, title, path))  # noqa: B023
        rows.append([scan.name, "no" if scan.labels is None else "yes", *[f"{size:.4f}" for size in sizes]])
    unit = "ml" if len(scans[0].shape) == 3 else "mm2"
    header = ["scan", "labeled", *[f"{names.get(label, label)}_{unit}" for label in structures]]

    def write_table(path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

    folder.write(folder.table_path, write_table)
    folder.finish()
    say(
        f"Done: {folder.path}. Look at the pictures in {folder.path / 'pictures'} before you use the numbers."
    )


def voxel_size(scan: Scan) -> float:
    """Return the volume of a voxel in milliliters, or of a pixel the area in square millimeters.

    Parameters
    ----------
    scan : Scan
        The scan.

    Returns
    -------
    float
        The size.
    """
    return math.prod(scan.spacing) / (1000 if len(scan.shape) == 3 else 1)


def draw(scan: Scan, labels: np.ndarray, names: dict[int, str], title: str, path: Path) -> None:
    """Draw a scan with its outlines.

    Parameters
    ----------
    scan : Scan
        The scan.
    labels : ndarray of int
        Its label map.
    names : dict of int to str
        Names of structures.
    title : str
        What stands above.
    path : Path
        The file.
    """
    from matplotlib.figure import Figure  # without pyplot, so that no window is ever opened

    n_panels = 3 if labels.ndim == 3 else 1
    figure = Figure(figsize=(4 * n_panels, 4.6), layout="constrained")
    panels = figure.subplots(1, n_panels, squeeze=False)
    OutlineDisplay.from_predictions(scan.image, labels, spacing=scan.spacing, names=names, ax=panels)
    figure.suptitle(title if (labels != 0).any() else f"{title}: nothing was found")
    figure.savefig(path, dpi=110)


def note_scans(folder: Folder, scans: list[Scan], grid: Grid) -> None:
    """Record the versions, and the voxel sizes of the scans.

    Parameters
    ----------
    folder : Folder
        The folder of the run.
    scans : list of Scan
        The scans.
    grid : Grid
        What the network sees of the scans.
    """
    versions = {name: version(name) for name in ("torch", "scikit-learn", "skorch", "numpy", "nibabel")}
    geometry = {
        scan.name: {
            "shape": scan.shape,
            "spacing_mm": scan.spacing,
            "resampled": grid.shape_for(scan) != scan.shape,
        }
        for scan in scans
    }
    folder.note(
        versions={"sklearn-ssldec": __version__, "python": platform.python_version(), **versions},
        spacing_mm=grid.spacing,
        slice_axis=grid.slice_axis,
        scans=geometry,
    )


def tell_finished(folder: Folder) -> None:
    """Say that there is nothing to do.

    Parameters
    ----------
    folder : Folder
        The folder of the run.
    """
    when = folder.earlier["finished"] if folder.earlier else ""
    say(f"Nothing to do: {folder.path} holds the results, finished {when}. --overwrite starts anew.")


def each_with_progress(items: Sequence[Any], what: str) -> Iterator[Any]:
    """Yield items, and show the progress and the time that is left.

    Parameters
    ----------
    items : sequence
        What to yield.
    what : str
        What is done with them.

    Yields
    ------
    object
        One item after the other.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, unit="scan", file=sys.stderr)
        return
    started = told = time.perf_counter()
    for i, item in enumerate(items):
        yield item
        now = time.perf_counter()
        if now - told > SECONDS_BETWEEN_LINES:
            left = tqdm.format_interval((now - started) / (i + 1) * (len(items) - i - 1))
            say(f"{what}: {i + 1} of {len(items)} scans, about {left} left")
            told = now


def say(text: str) -> None:
    """Tell the user something.

    Parameters
    ----------
    text : str
        A line.
    """
    print(text, file=sys.stderr, flush=True)
