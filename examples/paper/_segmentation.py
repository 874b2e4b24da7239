"""Run segmenters on the draws of a protocol, several at a time, and keep what is finished."""

from __future__ import annotations

import argparse
import copy
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import Results
from joblib import Parallel, delayed
from scipy import ndimage
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback
from tqdm import tqdm

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.networks import DenseNet3D

SSLDEC, LOWER, PSEUDO, HIGHER = "SSLDEC", "lower bound (max_iter=0)", "pseudo-labeling", "higher bound"
SOFTMAX = "softmax (max_iter=0)"
WIDE, WIDE_LOWER = "SSLDEC, width 0.64", "lower bound (max_iter=0), width 0.64"
WIDE_PSEUDO, WIDE_SOFTMAX = "pseudo-labeling, width 0.64", "softmax (max_iter=0), width 0.64"
# The supervised training that each method starts from.
START = {SSLDEC: LOWER, PSEUDO: SOFTMAX, WIDE: WIDE_LOWER, WIDE_PSEUDO: WIDE_SOFTMAX}
PIECE = ", largest piece"


class KeepSupervised(Callback):
    """Keep the network as it is after pre-training, which is that of ``max_iter=0`` with the same seed.

    The lower bound then needs no fit of its own.
    """

    def on_epoch_end(self, net: NeuralNet, **kwargs: object) -> None:
        """Copy the weights that the net predicts with."""
        if len(net.history) == net.n_pretrain_epochs_:
            self.weights_ = copy.deepcopy(net.predicting().state_dict())


@dataclass(frozen=True)
class Draw:
    """The volumes of one draw; `truth` has the labels that only the higher bound sees."""

    X: list[np.ndarray]
    y: list[np.ndarray | None]
    truth: list[np.ndarray | None]
    X_test: list[np.ndarray]
    y_test: list[np.ndarray]


After = Callable[[Draw, list[np.ndarray]], list[np.ndarray]]
AS_PREDICTED: dict[str, After] = {"": lambda data, predicted: predicted}


def largest_piece(data: Draw, predicted: list[np.ndarray]) -> list[np.ndarray]:
    """Keep the largest connected piece of what is not background in each label map."""
    kept = []
    for labels in predicted:
        pieces, _ = ndimage.label(labels != 0)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0  # the background
        kept.append(np.where(pieces == sizes.argmax(), labels, 0))
    return kept


def methods(**parameters: object) -> dict[str, SSLDECSegmenter]:
    """Return the segmenters to compare: the same network, the same settings."""
    return {
        PSEUDO: PseudoLabelSegmenter(**parameters),
        SSLDEC: SSLDECSegmenter(**parameters),
        HIGHER: SSLDECSegmenter(**{**parameters, "max_iter": 0}),
    }


def wide_methods(**parameters: object) -> dict[str, SSLDECSegmenter]:
    """Return both methods with figure 3's network at twice the width that `figure_3` has on a CPU."""
    parameters = {**parameters, "module__width": 0.64}
    return {WIDE: SSLDECSegmenter(**parameters), WIDE_PSEUDO: PseudoLabelSegmenter(**parameters)}


def figure_3(device: str) -> dict[str, object]:
    """Return the parameters of training with the paper's network, on a CPU with a third of its filters."""
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    narrow = {"module__width": 0.32, "module__dropout": 0.1} if on_cpu else {}
    return {"module": DenseNet3D, "batch_size": 4, "patches_per_epoch": 128, **narrow}


def row(method: str, n_labeled: int) -> str:
    """Name a row of the table; no labeled volumes is for a higher bound that is the same for all rows."""
    return f"{method}, {n_labeled} labeled" if n_labeled else method


def run_one(
    method: str,
    segmenter: SSLDECSegmenter,
    load: Callable[[int, int], Draw],
    n_labeled: int,
    after: dict[str, After],
    draw: int,
) -> dict[str, dict[str, float]]:
    """Fit a segmenter on one draw; return its Dice scores on test scans, and those of its start.

    The predicted label maps are scored once after each of `after`, whose keys are added to the method's name.
    """
    data = load(n_labeled, draw)
    keep = KeepSupervised()
    segmenter.set_params(callbacks=[keep], random_state=draw)
    y = data.truth if method == HIGHER else data.y
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="y has no unlabeled voxel")
        segmenter.fit(data.X, y)
    seconds = time.perf_counter() - start
    scores = {method + name: {**each, "seconds": seconds} for name, each in _scores(segmenter, data, after)}
    if method in START:
        net = segmenter.nets_[0]
        net.module_.load_state_dict(net.callbacks_[0][1].weights_)
        supervised = segmenter.history_[0]["seconds"]
        for name, each in _scores(segmenter, data, after):
            scores[START[method] + name] = {**each, "seconds": supervised}
    return scores


def _scores(
    segmenter: SSLDECSegmenter, data: Draw, after: dict[str, After]
) -> Iterator[tuple[str, dict[str, float]]]:
    labels = [int(label) for label in segmenter.classes_ if label != 0]
    predicted = segmenter.predict(data.X_test)
    for name, change in after.items():
        scores = dice_score(data.y_test, change(data, predicted), labels=labels, average=None)
        each = {f"dice_{label}": float(score) for label, score in zip(labels, scores, strict=True)}
        yield name, {"dice": float(np.mean(scores)), **each}


def run(
    results: Results,
    segmenters: dict[str, SSLDECSegmenter],
    load: Callable[[int, int], Draw],
    rows: list[tuple[int, str]],
    n_draws: int,
    n_jobs: int,
    after: dict[str, After] = AS_PREDICTED,
) -> None:
    """Run the rows, (n_labeled, method), that are not finished yet, `n_jobs` fits at a time, draw by draw.

    `after` is what to do to predicted label maps before they are scored, and what that adds to a row's name.
    """
    todo = [
        (draw, n, method)
        for draw in range(n_draws)
        for n, method in rows
        if not results.has(row(method, n), draw)
    ]
    finished = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_run_named)(draw, n, method, segmenters[method], load, n, after) for draw, n, method in todo
    )
    for draw, n, scores in tqdm(finished, total=len(todo)):
        for method, values in scores.items():
            results.add(row(method, n), draw, **values)
            listed = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
            tqdm.write(f"{row(method, n)}, draw {draw}: {listed}")


def _run_named(
    draw: int, n: int, method: str, *arguments: Any
) -> tuple[int, int, dict[str, dict[str, float]]]:
    return draw, n, run_one(method, *arguments, draw)


def table(results: Results, n_labeled: list[int], names: dict[str, str], command: str, notes: str) -> str:
    """Write the table of what is finished, with the differences that matter below it."""
    narrow = (LOWER, SSLDEC, SOFTMAX, PSEUDO)
    listed = (*narrow, WIDE_LOWER, WIDE, WIDE_SOFTMAX, WIDE_PSEUDO, HIGHER)
    rows = [row(method + after, n) for n in n_labeled for method in listed for after in ("", PIECE)]
    rows += [HIGHER, HIGHER + PIECE]
    draws = results.content["draws"]
    pairs = [(SSLDEC, PSEUDO), (SSLDEC, HIGHER), (WIDE, WIDE_PSEUDO), *START.items()]
    gains = []
    for n, (method, other) in itertools.product(n_labeled, pairs):
        ours = draws.get(row(method, n), {})
        theirs = draws.get(row(other, n), draws.get(other, {}))
        both = sorted(set(ours) & set(theirs), key=int)
        if both:
            each = [100 * (ours[d]["dice"] - theirs[d]["dice"]) for d in both]
            differences = ", ".join(f"{gain:+.1f}" for gain in each)
            gains.append(f"- {n} labeled: {method} minus {other}, draw by draw: {differences}.")
    finished = [name for name in rows if name in draws]
    below = "\n".join([notes, "", *gains])
    return results.write_table(finished, {"dice": "Dice", **names}, command, below, worst=np.min)


def parser(description: str, output: str) -> argparse.ArgumentParser:
    """Return the command line that the segmentation protocols share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--labels", type=int, nargs="*", default=[1, 2, 5], help="numbers of labeled volumes")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--methods", nargs="*", help="only these (default: all)")
    parser.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=Path(output))
    return parser
