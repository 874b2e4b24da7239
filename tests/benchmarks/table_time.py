"""Measure the CPU seconds of a default fit of 2000 and of 100,000 rows of 50 features, 50 of them labeled."""

import time
import warnings

import numpy as np
import torch
from sklearn.datasets import make_classification

from sklearn_ssldec import SSLDECClassifier


def table(n_rows):
    """Return standardised rows of three classes, and labels of the first 50."""
    X, truth = make_classification(n_rows, 50, n_informative=10, n_classes=3, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X.astype(np.float32), np.where(np.arange(n_rows) < 50, truth, -1)


def main():
    """Print a line for each size."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X, y = table(200)
    SSLDECClassifier(max_iter=1, random_state=0).fit(X, y)  # imports
    for n_rows in (2000, 100_000):
        X, y = table(n_rows)
        started = time.process_time()
        clf = SSLDECClassifier(random_state=0).fit(X, y)
        seconds = time.process_time() - started
        print(
            f"{n_rows} rows: {seconds:.1f} s, weights of the targets {clf.target_weights_.round(2).tolist()}"
        )


if __name__ == "__main__":
    main()
