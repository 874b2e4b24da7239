"""Half-moons of different sizes, with and without the class prior.

Prints the table of docs/experiments/class_sizes.md.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

N_DRAWS = 8
PRIOR = "the true shares"
SETTINGS = {
    "supervised only": {"max_iter": 0},
    "default": {},
    "balance=None": {"balance": None},
    "class_prior": {"class_prior": PRIOR},
    "class_prior, balance=0": {"class_prior": PRIOR, "balance": 0.0},
    "class_prior, balance=None": {"class_prior": PRIOR, "balance": None},
}


def measure(n_rare: int, settings: dict) -> np.ndarray:
    """Return accuracy and balanced accuracy, in %, averaged over the draws."""
    if "class_prior" in settings:
        settings = {**settings, "class_prior": [1 - n_rare / 1000, n_rare / 1000]}
    scores = []
    for draw in range(N_DRAWS):
        X, truth = make_moons((1000 - n_rare, n_rare), noise=0.1, random_state=draw)
        y = mask_labels(truth, 4, random_state=draw)
        predicted = SSLDECClassifier(random_state=draw, **settings).fit(X, y).predict(X)
        scores.append([accuracy_score(truth, predicted), balanced_accuracy_score(truth, predicted)])
    return 100 * np.mean(scores, axis=0)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| | 10 % rare: accuracy | balanced accuracy | 3 % rare: accuracy | balanced accuracy |")
    print("|---|---|---|---|---|")
    for name, settings in SETTINGS.items():
        values = np.concatenate([measure(100, settings), measure(30, settings)])
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |", flush=True)
