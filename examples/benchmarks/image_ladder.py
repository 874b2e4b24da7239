"""What helps on images, one change at a time: small sets, and draws that no table reports.

Each fit has 3000 training images of half the resolution, 10 labels a class (SVHN-derived: 50), one network
of 1/8 width on one thread, and is tested on 2000 test images. The rungs of a draw share their pre-training,
one for each head. A line of JSON is added for each fit: errors, and CPU seconds of pre-training and of the
fit. Fits in the file are not run again.

    python examples/benchmarks/image_ladder.py --data mnist --draws 1000 --output ladder.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._estimators.methods import clustering_head, softmax_head
from sklearn_ssldec.algorithm import SSLDEC
from sklearn_ssldec.augment import Compose, Cutout, RandAugment, RandomAffine, WeakStrong
from sklearn_ssldec.baselines import FixMatchClassifier, MeanTeacherClassifier, UDAClassifier
from sklearn_ssldec.datasets import load_npz, mask_labels

N_TEST = 2000
FILES = {"mnist": "mnist.npz", "fashion": "fashion_mnist.npz", "svhn": "svhn_derived.npz"}
WEAK = RandomAffine(degrees=15, scale=0.15, shear=0.15, shift=0.12)
STRONG = WeakStrong(WEAK, Compose(WEAK, RandAugment(2, 0.5), Cutout(0.3)))


class WithoutFrequencies(SSLDECClassifier):
    """Targets that are sharpened only: eq. 2 with the same frequency of all clusters."""

    def _method(self) -> Any:
        return replace(super()._method(), target=lambda prior: sharpen)


class ClusteringFixMatch(FixMatchClassifier):
    """FixMatch with the clustering head, where SSLDEC's centroids start."""

    def _method(self) -> Any:
        return replace(super()._method(), head=partial(clustering_head, alpha=10.0, spread=2.0))


class SpreadFixMatch(FixMatchClassifier):
    """FixMatch with softmax weights that start as far apart as SSLDEC's centroids."""

    def _method(self) -> Any:
        return replace(super()._method(), head=partial(softmax_head, spread=2.0))


def sharpen(Q: Tensor) -> Tensor:
    """Square and normalise."""
    return Q.square() / Q.square().sum(1, keepdim=True)


def rungs(max_iter: int) -> dict[str, Any]:
    """Return the estimators of the ladder."""
    drawn = {"cycle__targets": "drawn", "augment": STRONG, "max_iter": max_iter}
    fixmatch = {"augment": STRONG, "max_iter": max_iter}
    return {
        "all": SSLDECClassifier(cycle__targets="all"),
        "drawn, shades": SSLDECClassifier(max_iter=max_iter),
        "drawn, weak": SSLDECClassifier(**{**drawn, "augment": WEAK}),
        "drawn": SSLDECClassifier(**drawn),
        "drawn, no frequencies": WithoutFrequencies(**drawn),
        "drawn, confident": SSLDECClassifier(**drawn, cycle__min_confidence=0.8),
        "drawn, 0 views": SSLDECClassifier(**drawn, cycle__target_views=0),
        "FixMatch": FixMatchClassifier(**fixmatch),
        "FixMatch, spread": SpreadFixMatch(**fixmatch),
        "FixMatch, clustering": ClusteringFixMatch(**fixmatch),
        "UDA": UDAClassifier(**fixmatch),
        "mean teacher": MeanTeacherClassifier(**fixmatch),
    }


@lru_cache
def arrays_of(name: str) -> dict[str, np.ndarray]:
    """Read a file, once."""
    return dict(load_npz(FILES[name]))


def load(name: str, draw: int, n_train: int, full_size: bool) -> tuple[np.ndarray, ...]:
    """Return training images, their labels (-1 for most), the true ones, test images and labels."""
    rng = np.random.RandomState(draw)
    if name == "digits":
        digits = load_digits()
        order = rng.permutation(len(digits.target))
        X, y = np.float32(digits.images)[order], digits.target[order]
        return X[540:], mask_labels(y[540:], 10, random_state=draw), y[540:], X[:540], y[:540]
    arrays = arrays_of(name)
    rows = rng.choice(len(arrays["x_train"]), n_train, replace=False)
    X, truth = np.float32(arrays["x_train"][rows]), arrays["y_train"][rows].astype(int)
    chosen = rng.choice(len(arrays["x_test"]), N_TEST, replace=False)
    X_test, y_test = np.float32(arrays["x_test"][chosen]), arrays["y_test"][chosen].astype(int)
    if not full_size:
        X, X_test = (x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).mean((2, 4)) for x in (X, X_test))
    y = mask_labels(truth, 50 if name == "svhn" else 10, random_state=draw)
    return X, y, truth, X_test, y_test


class SharedPretraining:
    """Pre-training that is done once for each key, and copied afterwards."""

    def __init__(self) -> None:
        self.key: Any = None
        self.states: dict[Any, tuple[Any, float]] = {}
        self.pretrain, self.seconds = SSLDEC.pretrain, 0.0

    def __call__(self, algorithm: SSLDEC) -> float:
        """Pre-train the model, or copy what was pre-trained."""
        key = self.key, type(algorithm.M.module_.head).__name__, algorithm.M.module_.head.extra_repr()
        spread = [tuple(p.shape) for p in algorithm.M.module_.head.parameters()]
        key = *key, str(spread), float(next(algorithm.M.module_.head.parameters()).detach().abs().max()) == 2
        if key not in self.states:
            start = time.process_time()
            self.pretrain(algorithm)
            self.states[key] = algorithm.M.get_state(), time.process_time() - start
        state, self.seconds = self.states[key]
        algorithm.M.set_state(state)
        return float("nan")


def main() -> None:
    """Read the command line and run what is not in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=["digits", *FILES], choices=["digits", *FILES])
    parser.add_argument("--draws", nargs="*", type=int, default=[1000])
    parser.add_argument("--rungs", nargs="*", default=None)
    parser.add_argument("--train", type=int, default=3000, help="training images")
    parser.add_argument("--iterations", type=int, default=8, help="where targets are drawn")
    parser.add_argument("--pretrain", type=int, default=600, help="steps of pre-training")
    parser.add_argument("--full-size", action="store_true", help="images of full resolution")
    parser.add_argument("--output", type=Path, default=Path("ladder.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    shared = SharedPretraining()
    SSLDEC.pretrain = lambda self: shared(self)  # type: ignore[method-assign]
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    chosen = rungs(arguments.iterations)
    settings = {k: getattr(arguments, k) for k in ("train", "iterations", "pretrain", "full_size")}
    done = [{k: v for k, v in json.loads(line).items() if k != "result"} for line in lines]
    SSLDECClassifier(max_iter=0).fit([[0.0], [1.0], [0.5]], [0, 1, -1])  # imports what optimizers need
    for draw in arguments.draws:
        for rung in arguments.rungs or chosen:
            for name in arguments.data:
                X, y, truth, X_test, y_test = load(name, draw, arguments.train, arguments.full_size)
                shared.key = name, draw
                key = {"data": name, "draw": draw, "rung": rung, **settings}
                if key in done:
                    continue
                n_batches = -(-int((y >= 0).sum()) // 32)
                estimator = chosen[rung].set_params(
                    random_state=draw,
                    device="cpu",
                    module__width=0.125,
                    pretrain_epochs=-(-arguments.pretrain // n_batches),
                )
                shared.seconds, start = 0.0, time.process_time()
                estimator.fit(X, y)
                seconds = time.process_time() - start
                result = {
                    "test": float(np.mean(estimator.predict(X_test) != y_test)),
                    "unlabeled": float(np.mean((estimator.transduction_ != truth)[y < 0])),
                    "supervised": float(np.mean((estimator.supervised_transduction_ != truth)[y < 0])),
                    "pretrain_seconds": shared.seconds,
                    "fit_seconds": seconds,
                    "n_iter": estimator.n_iter_,
                }
                print(key, result, flush=True)
                with arguments.output.open("a") as file:
                    file.write(json.dumps({**key, "result": result}) + "\n")


if __name__ == "__main__":
    main()
