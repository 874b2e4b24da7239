"""Segment the heart in cine MRI: ACDC with 1, 3 or 7 labeled patients of 70, as the literature splits it.

The slices of the volumes are images for the segmenter; what it predicts for them is put together and scored
volume by volume: the mean Dice of the right ventricle, the myocardium and the left ventricle over the 40 test
volumes. SSLDEC with default parameters is measured beside the supervised model that it starts from,
pseudo-labeling with the same network, patches, views, mixing and loss, and supervised training on the labels
of all 70 patients. Each is scored as it predicts by default, at several sizes and with the largest piece of
each structure, and at one size with all pieces. Finished fits are kept, and an interrupted one goes on where
it was.

``--scribbles`` measures SSLDEC, and pseudo-labeling, with scribbles of all 70 patients as the only labels.

On a GPU the defaults choose a larger network, patches and batches; ``--cpu-plan`` keeps those of a CPU, so
that the fit is the one that a user without a GPU gets, in minutes instead of an hour.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score

sys.path.insert(0, str(Path(__file__).parents[1] / "paper"))
from _results import Results

SSLDEC, PSEUDO, ALL = "SSLDEC", "pseudo-labeling, same aids", "all labels"
START = {SSLDEC: "supervised start", PSEUDO: "supervised start, softmax"}
# What `plan_` says of these slices on a CPU.
CPU_PLAN = {
    "patch_size": (160, 160),
    "batch_size": 4,
    "module__width": 0.5,
    "module__n_levels": 5,
    "module__strides": ((2, 2),) * 4,
    "module__stem": 2,
    "module__max_filters": 128,
}
# Of rows that are predicted at the images' own size only, with all pieces.
PLAIN = ", one size, all pieces"
# In the place of a number of labeled patients, and what marks an unlabeled voxel of a scribble.
SCRIBBLES, NOT_ANNOTATED = -1, 4
PARTS = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}


class KeepSupervised(Callback):
    """Keep the network as it is after pre-training, which is that of ``max_iter=0`` with the same seed."""

    def on_epoch_end(self, net: object, **kwargs: object) -> None:
        """Copy the weights that the net predicts with."""
        if len(net.history) == net.n_pretrain_epochs_:
            self.weights_ = copy.deepcopy(net.predicting().state_dict())


def load(data: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays of all volumes, by patient, time and kind, and the split."""
    with np.load(data / "acdc.npz") as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads((data / "acdc_splits.json").read_text())


def volumes_of(arrays: dict[str, np.ndarray], patients: list[str]) -> list[str]:
    """Return the names of the patients' volumes."""
    names = {name.split("/")[0] for name in arrays}
    return [name for name in sorted(names) if name.split("_")[0] in patients]


def training_slices(arrays: dict, split: dict, n_labeled: int) -> tuple[list, list]:
    """Return the slices of the training volumes, and their label maps, None without labels.

    With `SCRIBBLES` in the place of the number of labeled patients, the label maps are scribbles.
    """
    labeled = split["train"] if n_labeled in (70, SCRIBBLES) else split["labeled"][str(n_labeled)]
    X, y = [], []
    for name in volumes_of(arrays, split["train"]):
        images = arrays[f"{name}/image"]
        X += list(images)
        if n_labeled == SCRIBBLES:
            scribbles = arrays[f"{name}/scribble"].astype(int)
            y += list(np.where(scribbles == NOT_ANNOTATED, -1, scribbles))
        else:
            y += list(arrays[f"{name}/label"]) if name.split("_")[0] in labeled else [None] * len(images)
    return X, y


def fit(
    method: str,
    arrays: dict,
    split: dict,
    n_labeled: int,
    seed: int,
    checkpoints: Path | None,
    settings: dict,
) -> SSLDECSegmenter:
    """Fit one segmenter, with some settings of its own, to the slices of the training volumes."""
    X, y = training_slices(arrays, split, 70 if method == ALL else n_labeled)
    kind = PseudoLabelSegmenter if method == PSEUDO else SSLDECSegmenter
    parameters = {"cycle__transduction": False, "callbacks": [KeepSupervised()], "random_state": seed}
    parameters |= settings
    if method == ALL:  # as many steps as the others take in all
        parameters |= {"max_iter": 0, "pretrain_epochs": 70}
    if checkpoints is not None:
        folder = checkpoints / f"{method}_{n_labeled}_{seed}".replace(" ", "_").replace(",", "")
        parameters |= {"checkpoint_dir": folder}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="y has no unlabeled voxel")
        return kind(**parameters, verbose=1).fit(X, y)


def score(segmenter: SSLDECSegmenter, arrays: dict, patients: list[str]) -> dict[str, float]:
    """Return the mean Dice of each structure over the patients' volumes, and their mean."""
    truth, predicted = [], []
    for name in volumes_of(arrays, patients):
        truth.append(arrays[f"{name}/label"])
        predicted.append(np.stack(segmenter.predict(list(arrays[f"{name}/image"]))))
    each = dice_score(truth, predicted, labels=list(PARTS), average=None)
    return {"dice": float(np.mean(each)), **{f"dice_{k}": float(v) for k, v in zip(PARTS, each, strict=True)}}


def both_scores(segmenter: SSLDECSegmenter, arrays: dict, patients: list[str]) -> dict[str, dict]:
    """Return the scores as images are predicted by default, and at one size with all pieces."""
    found = {"": score(segmenter, arrays, patients)}
    segmenter.set_params(net__predict_scales=[1], net__largest_component=False)
    found[PLAIN] = score(segmenter, arrays, patients)
    segmenter.set_params(net__predict_scales="auto", net__largest_component="auto")
    return found


def lengths_of(arguments: argparse.Namespace) -> dict[str, int]:
    """Return the lengths of training that the command line asks for."""
    asked = {"pretrain_epochs": arguments.pretrain_epochs, "max_iter": arguments.max_iter}
    return {name: value for name, value in asked.items() if value is not None}


def numbers_of(arguments: argparse.Namespace, method: str) -> list[int]:
    """Return for which numbers of labeled patients a method is to be measured."""
    if arguments.scribbles:
        return [] if method == ALL else [SCRIBBLES]
    return [0] if method == ALL else arguments.labels


def row(method: str, n_labeled: int) -> str:
    """Name a row of the table."""
    if n_labeled == SCRIBBLES:
        return f"{method}, scribbles"
    return method if method == ALL else f"{method}, {n_labeled} labeled"


def run_one(
    results: Results, arguments: argparse.Namespace, data: tuple, method: str, n: int, seed: int
) -> None:
    """Fit, score and keep one segmenter, and the supervised one that it started from."""
    arrays, split = data
    started = time.process_time()
    settings = {**(CPU_PLAN if arguments.cpu_plan else {}), **lengths_of(arguments)}
    segmenter = fit(method, arrays, split, n, seed, arguments.checkpoints, settings)
    seconds = time.process_time() - started
    scores = both_scores(segmenter, arrays, split["test"])
    print(row(method, n), seed, segmenter.plan_, scores, f"{seconds:.0f} s of CPU", flush=True)
    net = segmenter.nets_[0]
    weights = getattr(net.callbacks_[0][1], "weights_", None) if net.callbacks_ else None
    if method in START and weights is not None:
        net.module_.load_state_dict(weights)
        supervised = both_scores(segmenter, arrays, split["test"])
        print(row(START[method], n), seed, supervised, flush=True)
        until_start = segmenter.history_[0]["seconds"]
        for how, values in supervised.items():
            results.add(row(START[method], n) + how, seed, **values, seconds=until_start)
    for how, values in scores.items():
        results.add(row(method, n) + how, seed, **values, seconds=seconds)


def main() -> None:
    """Read the command line, run what is not finished, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--labels", type=int, nargs="*", default=[3, 7, 1], help="labeled patients: 1, 3 or 7"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--methods", nargs="*", default=[SSLDEC, PSEUDO, ALL], choices=[SSLDEC, PSEUDO, ALL])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SSLDEC_DATA", ".")))
    parser.add_argument(
        "--checkpoints", type=Path, help="folder of checkpoints, to go on after an interruption"
    )
    parser.add_argument("--scribbles", action="store_true", help="scribbles of all patients, nothing else")
    parser.add_argument("--cpu-plan", action="store_true", help="on a GPU, the settings of a CPU")
    parser.add_argument("--pretrain-epochs", type=int, help="instead of the default's")
    parser.add_argument("--max-iter", type=int, help="instead of the default's")
    parser.add_argument("--output", type=Path, default=Path("docs/results/acdc.json"))
    arguments = parser.parse_args()
    protocol = {"data": "ACDC", "train patients": 70, "test volumes": 40}
    options = ["--cpu-plan"] if arguments.cpu_plan else []
    options += [f"--{name.replace('_', '-')} {value}" for name, value in lengths_of(arguments).items()]
    if options:
        protocol["settings"] = " ".join(options)
    title = "ACDC: Dice in %, slices as images"
    title += ", scribbles as labels" if arguments.scribbles else ""
    results = Results(arguments.output, title, protocol)
    data = load(arguments.data)
    for seed in arguments.seeds:
        for method in arguments.methods:
            for n in numbers_of(arguments, method):
                if not results.has(row(method, n), seed):
                    run_one(results, arguments, data, method, n, seed)
    listed = [row(m, n) for n in (1, 3, 7, SCRIBBLES) for k in (SSLDEC, PSEUDO) for m in (START[k], k)]
    listed = [name + how for name in [*listed, ALL] for how in (PLAIN, "")]
    finished = [name for name in listed if name in results.content["draws"]]
    columns = {"dice": "Dice", **{f"dice_{k}": name for k, name in PARTS.items()}}
    notes = (
        "A draw is the seed of the networks; the split is the literature's. Seconds are of one core's CPU, "
        "those of a start of the clock."
    )
    options += ["--scribbles"] if arguments.scribbles else []
    command = " ".join(["python examples/benchmarks/acdc.py", *options])
    print(results.write_table(finished, columns, command, notes))


if __name__ == "__main__":
    main()
