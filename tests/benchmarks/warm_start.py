"""Warm starts: more labels of the same digits, and digits from elsewhere.

Prints the tables of docs/how_to/labeling_loop.md, and draws their figures. The environment variable
SSLDEC_DATA names the folder of mnist.npz. The images are rows of 64 features, so that it takes three minutes
on one core; no teachers.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections import defaultdict
from pathlib import Path

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

FIT = {"teachers": None, "device": "cpu"}
# What "auto" is for these rows with 100 labels, and what it is in a warm start.
QUARTER = {"pretrain_epochs": 38, "max_iter": 5}
N_DRAWS = 5


def eight_by_eight(images: np.ndarray) -> np.ndarray:
    """Return MNIST's images as rows like those of the digits: 8 pixels a side, from 0 to 1."""
    return images[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).reshape(-1, 64) / 255


def transfer(draw: int, source: SSLDECClassifier, mnist: tuple) -> dict[str, float]:
    """Return the accuracy on 1000 images of MNIST: 600 images, 5 labels a class."""
    rng = np.random.RandomState(draw)
    (X_train, y_train), (X_test, y_test) = mnist
    rows, test = rng.permutation(len(X_train))[:600], rng.permutation(len(X_test))[:1000]
    X, truth = eight_by_eight(X_train[rows]), y_train[rows]
    X_test, y_test = eight_by_eight(X_test[test]), y_test[test]
    y = mask_labels(truth, 5, random_state=draw)
    target = SSLDECClassifier(**FIT, random_state=draw).fit(X, y)
    both = copy.deepcopy(source).set_params(unlabeled_label=-1, warm_start=True, random_state=draw)
    both.fit(X, y)
    return {
        name: clf.score(X_test, y_test)
        for name, clf in {"source only": source, "target only": target, "both": both}.items()
    }


def more_labels(draw: int) -> dict[str, float]:
    """Return the accuracy on 500 digits: 1297 others, 5 labels a class and then 50 more."""
    rng = np.random.RandomState(draw)
    X, truth = load_digits(return_X_y=True)
    X, order = X / 16, rng.permutation(len(X))
    X_test, y_test, X, truth = X[order[:500]], truth[order[:500]], X[order[500:]], truth[order[500:]]
    y = mask_labels(truth, 5, random_state=draw)
    clf = SSLDECClassifier(**FIT, random_state=draw, warm_start=True).fit(X, y)
    found = {"before, 50 labels": clf.score(X_test, y_test)}
    more = rng.permutation(np.flatnonzero(y < 0))[:50]
    y[more] = truth[more]
    fits = {
        "new fit, 100 labels, a quarter of the steps": SSLDECClassifier(**FIT, **QUARTER, random_state=draw),
        "warm start, 100 labels, a quarter of the steps": clf,
        "new fit, 100 labels": SSLDECClassifier(**FIT, random_state=draw),
    }
    for name, each in fits.items():
        found[name] = each.fit(X, y).score(X_test, y_test)
    return found


def show(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Print means and standard deviations, in %, and each draw; return the accuracies."""
    print(*rows, sep="\n")
    found = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            found[name].append(100 * value)
    for name, values in found.items():
        print(f"| {name} | {np.mean(values):.1f} ({np.std(values, ddof=1):.1f}) |", flush=True)
    return {name: np.array(values) for name, values in found.items()}


def draw_figure(table: dict[str, np.ndarray], xlabel: str, path: Path) -> None:
    """Draw the accuracies of each draw, and their means."""
    fig, ax = plt.subplots(figsize=(7, 1.1 + 0.4 * len(table)), layout="constrained")
    figures.strips(ax, table)
    ax.set(xlabel=xlabel)
    figures.save(fig, path)


def main() -> None:
    """Measure both tables, and draw a figure of each."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--figures", type=Path, help="the folder of warm_start.png and transfer.png")
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    going_on = show([more_labels(draw) for draw in range(N_DRAWS)])
    mnist = np.load(Path(os.environ["SSLDEC_DATA"]) / "mnist.npz")
    halves = tuple((mnist[f"x_{half}"], mnist[f"y_{half}"]) for half in ("train", "test"))
    X, y = load_digits(return_X_y=True)
    source = SSLDECClassifier(**FIT, random_state=0, unlabeled_label=None)
    source.fit(X / 16, y)
    from_elsewhere = show([transfer(draw, source, halves) for draw in range(N_DRAWS)])
    if arguments.figures is not None:
        from_elsewhere.pop("source only")  # so much lower that the others would lie on top of each other
        for table, xlabel, name in (
            (going_on, "accuracy on other digits, %", "warm_start.png"),
            (from_elsewhere, "accuracy on other images of MNIST, %", "transfer.png"),
        ):
            draw_figure(table, xlabel, arguments.figures / name)


if __name__ == "__main__":
    main()
