"""Processes: forked ones, worker processes, and networks of classes that only the parent knows."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._training.seeds import seeded

QUICK = {"device": "cpu", "random_state": 0, "max_iter": 1, "pretrain_epochs": 5, "labeled_threshold": 0.0}

# Threads of OpenMP are what hangs in a fork, so this runs in a process that has several; the neighbors of the
# teacher have some too. Afterwards it trains a network of a class that worker processes know from it only.
SCRIPT = """
import multiprocessing, os
import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import cross_validate
from sklearn.semi_supervised import LabelSpreading
from torch import nn
from sklearn_ssldec import SSLDECClassifier

X = np.random.default_rng(0).standard_normal((600, 200)).astype("float32")
y = np.where(np.arange(600) < 20, np.arange(600) % 2, -1)
settings = dict(device="cpu", random_state=0, max_iter=1, pretrain_epochs=5, labeled_threshold=0.0)
teacher = LabelSpreading(kernel="knn", n_neighbors=7)

def fit(i):
    return SSLDECClassifier(**settings, teachers=teacher).fit(X, y).predict_proba(X[:2])

class Net(nn.Module):
    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.layer = nn.Linear(input_shape[0], n_classes)

    def forward(self, x):
        return self.layer(x)

def fork():
    here = fit(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (there,) = pool.map_async(fit, [0]).get(timeout=60)
    assert (here == there).all()
    both = Parallel(n_jobs=2, backend="multiprocessing", timeout=60)(delayed(fit)(i) for i in range(2))
    assert (here == both[0]).all()
    print("forks ended", flush=True)

def send_network():
    X = np.random.default_rng(0).standard_normal((60, 3))
    y = (X[:, 0] > 0).astype(int)
    y[30:] = -1
    clf = SSLDECClassifier(Net, n_estimators=2, n_jobs=2, **settings).fit(X, y)
    alone = SSLDECClassifier(Net, n_estimators=2, **settings).fit(X, y)
    assert (clf.predict_proba(X) == alone.predict_proba(X)).all()
    clf = SSLDECClassifier(Net, **settings)
    done = cross_validate(clf, X[:30], y[:30], cv=2, n_jobs=2, return_estimator=True)
    assert done["estimator"][0].predict(X).shape == (60,)
    print("workers ended", flush=True)

if __name__ == "__main__":
    if hasattr(os, "fork"):
        fork()
    send_network()
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script, after it has run."""
    path = tmp_path_factory.mktemp("forks") / "script.py"
    path.write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_a_process_that_has_fitted_can_fit(script):
    assert "forks ended" in script.stdout, script.stderr


def test_networks_of_a_class_from_main_come_back_from_worker_processes(script):
    assert script.stdout.endswith("workers ended\n"), script.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_made_while_another_thread_fits_can_fit():
    inside, may_end = threading.Event(), threading.Event()

    def hold():
        with seeded(0, torch.device("cpu")):
            inside.set()
            may_end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = multiprocessing.get_context("fork").Process(target=_enter)
    child.start()
    child.join(timeout=30)
    code = child.exitcode
    child.kill()
    may_end.set()
    thread.join()
    assert code == 0


def _enter():
    with seeded(0, torch.device("cpu")):
        pass


def test_worker_threads_and_this_one_get_the_same(blobs):
    X, y, _ = blobs
    here = SSLDECClassifier(**QUICK).fit(X, y).predict_proba(X)
    fits = (delayed(SSLDECClassifier(**QUICK).fit)(X, y) for _ in range(2))
    for clf in Parallel(n_jobs=2, backend="threading")(fits):
        np.testing.assert_array_equal(clf.predict_proba(X), here)
