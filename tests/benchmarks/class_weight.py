"""Digits with rare classes, and digits with few labels of some classes: class weights and class shares.

The digits are rows of 64 features, without teachers, which no weights reach. "Rare classes": of five classes,
drawn at random, one image in five is kept, and 100 images are labeled, at random, but at least one of each
class. "Few labels": all images are kept, five classes have 18 labels each, and five have 2. Scores are those
of the unlabeled images. Prints the tables of docs/how_to/class_sizes.md and draws their figure.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from pathlib import Path

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sklearn_ssldec import SSLDECClassifier

FIT = {"teachers": None, "cycle__fallback": False, "device": "cpu"}
N_LABELED, KEPT, MANY, FEW = 100, 5, 18, 2
START = "supervised start"
METHODS = {
    "neither": {},
    "`cycle__class_weight`": {"cycle__class_weight": "balanced"},
    "`class_prior`": {"class_prior": "the true shares"},
    "both": {"cycle__class_weight": "balanced", "class_prior": "the true shares"},
}


def rare_classes(draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, their classes, and labels of a random sample; five classes are rare."""
    X, truth = load_digits(return_X_y=True)
    rng = np.random.RandomState(draw)
    is_rare = np.isin(truth, rng.choice(10, 5, replace=False))
    kept = rng.permutation(np.flatnonzero(~is_rare | (rng.rand(len(truth)) < 1 / KEPT)))
    X, truth = X[kept] / 16, truth[kept]
    y = np.full(len(truth), -1)
    y[:N_LABELED] = truth[:N_LABELED]
    for label in range(10):  # at least one of each class
        y[np.flatnonzero(truth == label)[0]] = label
    return X, truth, y


def few_labels(draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, their classes, and labels; five classes have few."""
    X, truth = load_digits(return_X_y=True)
    rng = np.random.RandomState(draw)
    has_few = set(rng.choice(10, 5, replace=False))
    y = np.full(len(truth), -1)
    for label in range(10):
        n = FEW if label in has_few else MANY
        y[rng.choice(np.flatnonzero(truth == label), n, replace=False)] = label
    return X / 16, truth, y


TASKS = {"rare classes": rare_classes, "few labels": few_labels}


def measure(task: str, draw: int) -> dict[str, tuple[float, float]]:
    """Return accuracy and balanced accuracy of each method, in %."""
    X, truth, y = TASKS[task](draw)
    unlabeled = y < 0
    shares = np.bincount(truth, minlength=10) / len(truth)
    found = {}

    def score(name: str, predicted: np.ndarray) -> None:
        both = truth[unlabeled], predicted[unlabeled]
        found[name] = 100 * accuracy_score(*both), 100 * balanced_accuracy_score(*both)

    for name, params in METHODS.items():
        prior = {"class_prior": dict(enumerate(shares))} if "class_prior" in params else {}
        begin = time.process_time()
        clf = SSLDECClassifier(**{**FIT, **params, **prior}, random_state=draw).fit(X, y)
        score(name, clf.transduction_)
        if not prior:
            score(f"{START}, {name}", clf.supervised_transduction_)
        print(f"  {name}: {time.process_time() - begin:.0f} s", flush=True)
    return found


def draw_figure(tables: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw the balanced accuracy of each task and method."""
    fig, axes = plt.subplots(1, len(tables), figsize=(8, 3), sharey=True, layout="constrained", squeeze=False)
    for ax, (task, table) in zip(axes[0], tables.items(), strict=True):
        figures.strips(ax, {name.replace("`", ""): values[:, 1] for name, values in table.items()})
        ax.set(title=task, xlabel="balanced accuracy, %")
    figures.save(fig, path)


def main() -> None:
    """Measure draw after draw, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--figure", type=Path, help="where to save the figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    tables = {}
    for task in args.tasks:
        found = defaultdict(list)
        for draw in range(args.draws):
            for name, scores in measure(task, draw).items():
                found[name].append(scores)
                print(f"{task}, draw {draw}, {name}: {np.round(scores, 1).tolist()}", flush=True)
        tables[task] = {name: np.array(rows) for name, rows in found.items()}
        print(f"| {task} | accuracy | balanced accuracy |\n|---|---|---|")
        for name, values in tables[task].items():
            cells = [f"{m:.1f} ({s:.1f})" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if args.figure is not None:
        draw_figure(tables, args.figure)


if __name__ == "__main__":
    main()
