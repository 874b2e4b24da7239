"""Unlabeled digits of two classes that no label names: are they told from the others, and do they do harm?

It takes three minutes on one core, with a small network and a short cycle. "20 % of lowest scores" are
the unlabeled images that `score_samples` of the supervised fit finds least like the labeled ones; the share
is about the true one, which users do not know. To leave out just the images of the two classes is the best
that can be done. Prints the table of docs/how_to/unknown_classes.md, and draws its figure.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances, roc_auc_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

SETTINGS = {"module__width": 0.125, "pretrain_epochs": 80, "max_iter": 6}
N_DRAWS, N_TEST, N_UNKNOWN, SHARE = 5, 500, 2, 0.2


def measure(draw: int) -> dict[str, tuple[float, ...]]:
    """Return accuracy and areas under the ROC of one draw, by what is left out of the unlabeled images."""
    digits, rng = load_digits(), np.random.RandomState(draw)
    unknown = rng.choice(10, N_UNKNOWN, replace=False)
    test = rng.permutation(len(digits.target))[:N_TEST]
    train = np.setdiff1d(np.arange(len(digits.target)), test)
    X, truth = digits.images[train], digits.target[train]
    y = mask_labels(truth, 10, random_state=draw)
    y[np.isin(y, unknown)] = -1
    known, known_test = ~np.isin(truth, unknown), ~np.isin(digits.target[test], unknown)
    unlabeled = y < 0
    results = {}

    def fit(name: str, keep: np.ndarray, **params: object) -> SSLDECClassifier:
        clf = SSLDECClassifier(**{**SETTINGS, **params}, random_state=draw).fit(X[keep], y[keep])
        asked = known & unlabeled
        q = clf.predict_proba(digits.images[test]).max(axis=1)
        scores = clf.score_samples(digits.images[test])
        nearest = pairwise_distances(clf.transform(digits.images[test]), clf.cluster_centers_).min(axis=1)
        results[name] = (
            100 * np.mean(clf.predict(X[asked]) == truth[asked]),
            roc_auc_score(known_test, scores),
            roc_auc_score(known_test, q),
            roc_auc_score(known_test, -nearest),
        )
        print(f"draw {draw}, {name}: {np.round(results[name], 4).tolist()}", flush=True)
        return clf

    every = np.ones(len(y), dtype=bool)
    supervised = fit("all unlabeled images (max_iter=0)", every, max_iter=0)
    fit("nothing", every)
    scores = supervised.score_samples(X)
    fit("20 % of lowest scores", ~unlabeled | (scores >= np.quantile(scores[unlabeled], SHARE)))
    fit("unknown classes", known)
    return results


def draw_figure(table: dict[str, np.ndarray], path: Path) -> None:
    """Draw the areas under the ROC of both scores, and the accuracy."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
    scores = {name: values[:, [2, 1]] for name, values in table.items()}
    figures.strips(left, scores, ["largest probability", "score_samples"])
    left.set(xlabel="ROC area, known against unknown", ylabel="left out")
    figures.strips(right, {name: values[:, 0] for name, values in table.items()})
    right.set(xlabel="accuracy of known classes, %")
    figures.save(fig, path)


def main() -> None:
    """Measure all draws, print the table and draw the figure."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--figure", type=Path, help="where to save the figure")
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    found = defaultdict(list)
    for draw in range(N_DRAWS):
        for name, values in measure(draw).items():
            found[name].append(values)
    print("| left out | accuracy, % | ROC: score_samples | largest probability | nearest centroid |")
    print("|---|---|---|---|---|")
    table = {name: np.array(rows) for name, rows in found.items()}
    for name, values in table.items():
        mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
        cells = [
            f"{mean[0]:.1f} ({sd[0]:.1f})",
            *(f"{m:.3f} ({s:.3f})" for m, s in zip(mean[1:], sd[1:], strict=True)),
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.figure is not None:
        draw_figure(table, arguments.figure)


if __name__ == "__main__":
    main()
