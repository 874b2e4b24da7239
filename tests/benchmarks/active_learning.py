"""What to label next: queries of scikit-activeml against random choice, on digits, from 10 labels to 100.

Prints the table of docs/how_to/labeling_loop.md and draws its figure. All strategies begin with the same
label of each class, and label ten digits a round. The digits are rows of 64 features, and the fits are short
(no teachers, five iterations), so that five draws take a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import CoreSet, QueryByCommittee, RandomSampling, UncertaintySampling
from sklearn.datasets import load_digits

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

FIT = {"n_estimators": 3, "teachers": None, "max_iter": 5, "device": "cpu"}
N_TEST, A_ROUND = 600, 10
BUDGETS = range(10, 101, A_ROUND)
CORE_SET, KL_DIVERGENCE = "core-set", "committee, KL divergence"
STRATEGIES = ["random", "uncertainty", "committee", CORE_SET, KL_DIVERGENCE]


def query(name: str, clf: SSLDECClassifier, X: np.ndarray, y: np.ndarray, draw: int) -> np.ndarray:
    """Return the rows that a strategy wants labeled."""
    wrapping = {"classes": clf.classes_, "missing_label": -1}
    settings = {"missing_label": -1, "random_state": draw}
    if name == "random":
        return RandomSampling(**settings).query(X, y, batch_size=A_ROUND)
    if name == CORE_SET:
        return CoreSet(**settings).query(clf.transform(X), y, batch_size=A_ROUND)
    if name == "uncertainty":
        wrapped = SklearnClassifier(clf, **wrapping)
        strategy = UncertaintySampling(method="margin_sampling", **settings)
        return strategy.query(X, y, wrapped, fit_clf=False, batch_size=A_ROUND)
    committee = [SklearnClassifier(member, **wrapping) for member in clf.estimators_]
    method = "KL_divergence" if name == KL_DIVERGENCE else "vote_entropy"
    strategy = QueryByCommittee(method=method, **settings)
    return strategy.query(X, y, committee, fit_ensemble=False, batch_size=A_ROUND)


def learning_curve(name: str, draw: int) -> list[float]:
    """Return the accuracy on the test digits, in %, after each round."""
    X, truth = load_digits(return_X_y=True)
    order = np.random.RandomState(draw).permutation(len(X))
    X, truth = X[order] / 16, truth[order]
    X, X_test, truth, y_test = X[N_TEST:], X[:N_TEST], truth[N_TEST:], truth[:N_TEST]
    y = mask_labels(truth, 1, random_state=draw)
    accuracies: list[float] = []
    while True:
        clf = SSLDECClassifier(**FIT, random_state=draw).fit(X, y)
        accuracies.append(100 * clf.score(X_test, y_test))
        if len(accuracies) == len(BUDGETS):
            return accuracies
        rows = query(name, clf, X, y, draw)
        y[rows] = truth[rows]


def draw_figure(curves: dict[str, np.ndarray], path: Path) -> None:
    """Draw means and standard errors against the number of labels."""
    fig, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    figures.curves(ax, BUDGETS, curves)
    ax.set(xlabel="labels", ylabel="accuracy on other digits, %")
    ax.legend(frameon=False)
    fig.savefig(path, dpi=120)


def main() -> None:
    """Measure all strategies, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to save the figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[list[float]]] = {name: [] for name in STRATEGIES}
    for draw in range(args.draws):
        for name in STRATEGIES:
            found[name].append(learning_curve(name, draw))
            print(draw, name, np.round(found[name][-1], 1).tolist(), flush=True)
    curves = {name: np.array(rows) for name, rows in found.items()}
    shown = [BUDGETS.index(n) for n in (10, 20, 40, 60, 80, 100)]
    print(f"| labels | {' | '.join(str(BUDGETS[i]) for i in shown)} |")
    for name, values in curves.items():
        mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
        print(f"| {name} | {' | '.join(f'{mean[i]:.1f} ({sd[i]:.1f})' for i in shown)} |")
    if args.figure is not None:
        draw_figure(curves, args.figure)


if __name__ == "__main__":
    main()
