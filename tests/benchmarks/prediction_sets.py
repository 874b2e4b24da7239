"""Prediction sets of digits: how often they hold the true class, against how often they should.

Prints the table of docs/how_to/prediction_sets.md and draws its figure. The digits are rows of 64 features,
100 of 1197 are labeled, and the sets are those of 600 others. The fits are short (no teachers, five
iterations), so that it takes a minute on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from crepes import ConformalClassifier
from crepes.extras import hinge
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.calibration import apply_temperature, fit_temperature
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.model_selection import cross_val_predict_labeled

FIT = {"teachers": None, "max_iter": 5, "device": "cpu"}
N_TEST, N_LABELED, N_HELD_OUT = 600, 10, 3
LEVELS = [0.8, 0.85, 0.9, 0.95]
NAIVE, TEMPERATURE = "probabilities summed up", "the same, after temperature scaling"
OUT_OF_FOLD, HELD_OUT = "conformal, out of fold", "conformal, 30 labels held out"


def sum_up(probabilities: np.ndarray, level: float) -> np.ndarray:
    """Return the smallest sets of classes whose probabilities sum up to the level."""
    order = np.argsort(-probabilities, axis=1)
    before = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    before -= np.take_along_axis(probabilities, order, axis=1)
    sets = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(sets, order, before < level, axis=1)
    return sets


def conformal(
    known: np.ndarray, y: np.ndarray, classes: np.ndarray, probabilities: np.ndarray, level: float
) -> np.ndarray:
    """Return the sets of a conformal classifier calibrated on probabilities whose labels are known."""
    calibrated = ConformalClassifier().fit(hinge(known, classes, y))
    return calibrated.predict_set(hinge(probabilities), confidence=level, smoothing=False).astype(bool)


def measure(draw: int) -> tuple[float, dict[str, np.ndarray]]:
    """Return the accuracy, and for each method the coverage and mean size of the sets at each level."""
    X, truth = load_digits(return_X_y=True)
    X, X_test, truth, y_test = train_test_split(X / 16, truth, test_size=N_TEST, random_state=draw)
    y = mask_labels(truth, N_LABELED, random_state=draw)
    clf = SSLDECClassifier(**FIT, random_state=draw).fit(X, y)
    rows, out_of_fold = cross_val_predict_labeled(clf, X, y, method="predict_proba")
    held_out = np.flatnonzero(mask_labels(y, N_HELD_OUT, random_state=draw) >= 0)
    rest = np.setdiff1d(np.arange(len(y)), held_out)
    fewer = SSLDECClassifier(**FIT, random_state=draw).fit(X[rest], y[rest])

    of_all, of_fewer = clf.predict_proba(X_test), fewer.predict_proba(X_test)
    softened = apply_temperature(of_all, fit_temperature(y[rows], out_of_fold, clf.classes_))
    probabilities_held_out = fewer.predict_proba(X[held_out])
    found: dict[str, list] = {NAIVE: [], TEMPERATURE: [], OUT_OF_FOLD: [], HELD_OUT: []}
    for level in LEVELS:
        sets = {
            NAIVE: sum_up(of_all, level),
            TEMPERATURE: sum_up(softened, level),
            OUT_OF_FOLD: conformal(out_of_fold, y[rows], clf.classes_, of_all, level),
            HELD_OUT: conformal(probabilities_held_out, y[held_out], clf.classes_, of_fewer, level),
        }
        for name, each in sets.items():
            found[name].append((each[np.arange(N_TEST), y_test].mean(), each.sum(axis=1).mean()))
    return clf.score(X_test, y_test), {name: np.array(values) for name, values in found.items()}


def draw_figure(found: dict[str, np.ndarray], path: Path) -> None:
    """Draw coverage and size of the sets against the level: means and standard deviations."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    axes[0].plot(LEVELS, LEVELS, color="0.4", linestyle="--", label="as promised")
    for i, (name, marker) in enumerate(zip(found, "osD^", strict=True)):
        mean, sd = found[name].mean(axis=0), found[name].std(axis=0, ddof=1)
        at = np.array(LEVELS) + 0.003 * (i - 1.5)  # side by side
        for k, ax in enumerate(axes):
            ax.errorbar(at, mean[:, k], sd[:, k], marker=marker, markersize=4, capsize=2, label=name)
    axes[0].set(xlabel="level", ylabel="share of sets with the true class", xticks=LEVELS)
    axes[1].set(xlabel="level", ylabel="mean number of classes in a set", xticks=LEVELS)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    fig.savefig(path, dpi=120)


def main() -> None:
    """Measure all draws, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to save the figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    accuracies, draws = [], []
    for draw in range(args.draws):
        accuracy, one = measure(draw)
        accuracies.append(accuracy)
        draws.append(one)
        print(draw, round(accuracy, 3), {k: v.round(3).tolist() for k, v in one.items()}, flush=True)
    found = {name: np.array([one[name] for one in draws]) for name in draws[0]}
    print(f"accuracy {100 * np.mean(accuracies):.1f} ({100 * np.std(accuracies, ddof=1):.1f})")
    for level in (0.9, 0.95):
        print(f"| {100 * level:.0f} % | coverage | classes in a set |")
        for name, values in found.items():
            mean = values.mean(axis=0)[LEVELS.index(level)]
            sd = values.std(axis=0, ddof=1)[LEVELS.index(level)]
            print(
                f"| {name} | {100 * mean[0]:.1f} ({100 * sd[0]:.1f}) | {mean[1]:.2f} ({sd[1]:.2f}) |",
                flush=True,
            )
    if args.figure is not None:
        draw_figure(found, args.figure)


if __name__ == "__main__":
    main()
