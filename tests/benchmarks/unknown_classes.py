"""Unlabeled digits of two classes that no label names: are they told from the others, and do they do harm?

It takes three minutes on one core, with a small network and a short cycle. Rows that are left out of the
targets are those of the lowest scores of `score_samples`, computed anew in each iteration; their share, 20
%, is the true one, which users do not know. "unknown classes" leaves out the rows of the two classes, which
is the best that can be done. Prints the table of docs/how_to/unknown_classes.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from sklearn_ssldec import SSLDECClassifier, algorithm
from sklearn_ssldec.clustering import log_density
from sklearn_ssldec.datasets import mask_labels

SETTINGS = {"module__width": 0.125, "pretrain_epochs": 80, "max_iter": 6, "cycle__target_views": 1}
N_DRAWS, N_TEST, N_UNKNOWN = 5, 500, 2

Rule = Callable[[algorithm.SSLDEC], torch.Tensor]


def lowest_scores(algorithm: algorithm.SSLDEC, share: float = 0.2) -> torch.Tensor:
    """Return the rows that remain when those of the lowest scores are left out."""
    Z = algorithm.M.embed(algorithm.X)
    known = Z[algorithm.L]
    means = torch.stack([known[algorithm.labels == j].mean(0) for j in range(algorithm.n_classes)])
    scores = log_density(Z, means, alpha=10.0)
    return scores >= scores.quantile(share)


class Chosen:
    """Algorithm 1's `subset`, without the rows that a rule leaves out."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.subset = rule, algorithm.SSLDEC.subset

    def __enter__(self) -> None:
        of_all, rule = self.subset, self.rule

        def subset(self: algorithm.SSLDEC, counted_as: torch.Tensor) -> torch.Tensor:
            rows = of_all(self, counted_as)
            return rows[rule(self)[rows]]

        algorithm.SSLDEC.subset = subset  # type: ignore[method-assign, assignment]

    def __exit__(self, *error: object) -> None:
        algorithm.SSLDEC.subset = self.subset  # type: ignore[method-assign]


def measure(draw: int) -> dict[str, tuple[float, ...]]:
    """Return accuracy and areas under the ROC of one draw, by what is left out."""
    digits, rng = load_digits(), np.random.RandomState(draw)
    unknown = rng.choice(10, N_UNKNOWN, replace=False)
    test = rng.permutation(len(digits.target))[:N_TEST]
    train = np.setdiff1d(np.arange(len(digits.target)), test)
    X, truth = digits.images[train], digits.target[train]
    y = mask_labels(truth, 10, random_state=draw)
    y[np.isin(y, unknown)] = -1
    known, known_test = ~np.isin(truth, unknown), ~np.isin(digits.target[test], unknown)

    def fit(**params: object) -> tuple[float, ...]:
        clf = SSLDECClassifier(**{**SETTINGS, **params}, random_state=draw).fit(X, y)
        rows = known & (y < 0)
        accuracy = np.mean(clf.predict(X[rows]) == truth[rows])
        q = clf.predict_proba(digits.images[test]).max(axis=1)
        scores = clf.score_samples(digits.images[test])
        return accuracy, roc_auc_score(known_test, scores), roc_auc_score(known_test, q)

    results = {"supervised": fit(max_iter=0), "nothing": fit()}
    rules: dict[str, Rule] = {
        "20 % of lowest scores": lowest_scores,
        "unknown classes": lambda algorithm: torch.from_numpy(known),
    }
    for name, rule in rules.items():
        with Chosen(rule):
            results[name] = fit()
    return results


def main() -> None:
    """Measure all draws and print the table."""
    torch.set_num_threads(1)
    found = defaultdict(list)
    for draw in range(N_DRAWS):
        for name, values in measure(draw).items():
            found[name].append(values)
    print("| left out of the targets | accuracy | ROC, score_samples | ROC, largest q |\n|---|---|---|---|")
    for name, rows in found.items():
        mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
        cells = [
            f"{100 * mean[0]:.1f} ({100 * sd[0]:.1f})",
            *(f"{m:.3f} ({s:.3f})" for m, s in zip(mean[1:], sd[1:], strict=True)),
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
