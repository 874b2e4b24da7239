"""Measure the CPU seconds of a default fit of 2000 and of 100,000 rows of 50 features, 50 of them labeled.

Other work on the machine slows down fits and a bare torch loop alike. So the loop is timed before and after
each fit of 2000 rows: it takes as many steps, on as many rows each, and does nothing else.
"""

import time
import warnings

import numpy as np
import torch
from sklearn.datasets import make_classification
from torch import nn

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.clustering import ClusteringLayer, kl_divergence
from sklearn_ssldec.networks import MLP

# Steps, and rows in each: pre-training on the labels and in the four folds, iterations with batches that the
# labels join, and those of the trial.
STEPS = ((150, 50), (4 * 150, 38), (320, 178), (4 * 100, 166))


def table(n_rows):
    """Return standardised rows of three classes, and labels of the first 50."""
    X, truth = make_classification(n_rows, 50, n_informative=10, n_classes=3, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X.astype(np.float32), np.where(np.arange(n_rows) < 50, truth, -1)


def bare_seconds(X):
    """Return the CPU seconds of a bare torch loop with the steps of a fit of 2000 rows."""
    torch.manual_seed(0)
    network = nn.Sequential(
        MLP((50,), 3, hidden_units=(128, 128), dropout=0.3), ClusteringLayer(3, 3, alpha=10.0, spread=2.0)
    ).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-2, fused=True)
    X, P, scale = torch.from_numpy(X), torch.full((len(X), 3), 1 / 3), torch.full((50,), 0.35)
    started = time.process_time()
    for n_steps, n_rows in STEPS:
        rows = torch.randperm(len(X))[:n_rows]
        for _ in range(n_steps):
            batch = X[rows]
            optimizer.zero_grad()
            kl_divergence(P[rows], network(batch + torch.randn_like(batch) * scale)).backward()
            optimizer.step()
    return time.process_time() - started


def fit_seconds(X, y, **parameters):
    """Return the CPU seconds of a fit."""
    started = time.process_time()
    SSLDECClassifier(random_state=0, **parameters).fit(X, y)
    return time.process_time() - started


def main():
    """Print a line for each fit."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X, y = table(200)
    SSLDECClassifier(max_iter=1, random_state=0).fit(X, y)  # imports
    X, y = table(2000)
    for _ in range(3):
        before, default, after = bare_seconds(X), fit_seconds(X, y), bare_seconds(X)
        untried = fit_seconds(X, y, cycle__fallback=False)
        print(
            f"2000 rows: {default:.1f} s, {2 * default / (before + after):.2f} times the bare loop; "
            f"without the trial {untried:.1f} s"
        )
    X, y = table(100_000)
    print(f"100000 rows: {fit_seconds(X, y):.1f} s")


if __name__ == "__main__":
    main()
