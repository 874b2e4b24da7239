"""Time and memory of an iteration as the number of samples grows: the table of docs/benchmarks.md.

X is a memory map of float32 rows on disk. Each size is fitted in a process of its own, and what that process
allocates (its peak of anonymous memory, above what it has after imports) is set against Q and P.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

N_FEATURES, N_CLASSES, N_LABELED = 32, 10, 10
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MIB = 2**20


def anonymous() -> float:
    """Return the memory of this process that no file stands behind, in MiB (Linux)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def fit(path: Path, n_samples: int) -> None:
    """Fit to a memory map; print the seconds of an iteration and the peak of memory."""
    X = np.memmap(path, dtype=np.float32, mode="r", shape=(n_samples, N_FEATURES))
    y = mask_labels(np.arange(n_samples) % N_CLASSES, N_LABELED, random_state=0)
    settings = {"pretrain_epochs": 2, "balance": None, "labeled_threshold": 0.0, "tol": 0.0, "min_batches": 1}
    clf = SSLDECClassifier(device="cpu", random_state=0, **settings)
    few = np.arange(500)
    clf.set_params(max_iter=2).fit(X[:500], np.where(few < 100, few % N_CLASSES, -1))  # warms up
    before, peak, finished = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not finished.wait(0.005):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    clf.set_params(max_iter=3 if n_samples > 10_000 else 10).fit(X, y)
    finished.set()
    watcher.join()
    seconds = np.median([record["seconds"] for record in clf.history_[1:]])
    print(seconds, peak[0] - before)


def main() -> None:
    """Fit all sizes, and print the table."""
    print("| samples | an iteration, s | us a sample | X, MiB | Q and P, MiB | allocated at most, MiB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for n in SIZES:
            path = Path(folder) / "X"
            X = np.memmap(path, dtype=np.float32, mode="w+", shape=(n, N_FEATURES))
            rng = np.random.default_rng(0)
            centers = 2 * rng.standard_normal((N_CLASSES, N_FEATURES))
            for rows in np.array_split(np.arange(n), max(1, n // 100_000)):
                X[rows] = centers[rows % N_CLASSES] + rng.standard_normal((len(rows), N_FEATURES))
            X.flush()
            command = [sys.executable, __file__, str(path), str(n)]
            result = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, memory = map(float, result.split())
            both = 2 * 4 * n * N_CLASSES / MIB
            print(
                f"| {n:,} | {seconds:.3f} | {1e6 * seconds / n:.1f} | {4 * n * N_FEATURES / MIB:.1f} | "
                f"{both:.1f} | {memory:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        fit(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
