import os

# scikit-learn skips check_array_api_input silently without it; it must be set before scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs, make_moons

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture
def moons():
    """Half-moons with 4 labels each, spread over the moon: X, y with -1, true labels."""
    X, truth = make_moons(300, noise=0.1, random_state=0)
    y = np.full(300, -1)
    for c in (0, 1):
        rows = np.flatnonzero(truth == c)
        rows = rows[np.argsort(X[rows, 0])]
        y[rows[(np.array([0.05, 0.35, 0.65, 0.95]) * len(rows)).astype(int)]] = c
    return X, y, truth


@pytest.fixture(scope="module")
def blobs():
    """Three far blobs, 5 labels each: X, y with -1, true labels."""
    X, truth = make_blobs(150, centers=[[0, 0], [3, 3], [-3, 3]], cluster_std=0.5, random_state=0)
    y = np.full(150, -1)
    for c in range(3):
        y[np.flatnonzero(truth == c)[:5]] = c
    return X, y, truth
