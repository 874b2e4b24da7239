"""Steps a second and memory of the segmenter with 10, 100 and 1000 unlabeled scans: docs/benchmarks.md.

Synthetic scans of 96 slices of 128x128 pixels (uint8) lie in a memory map on disk; one is labeled. Each
number is fitted in a process of its own, and what that process allocates (its peak of anonymous memory, above
what it has after imports) does not count the pages of the map, which the system drops when it needs them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from scaling import anonymous
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec import SSLDECSegmenter

SHAPE = (96, 128, 128)
NUMBERS = (10, 100, 1000)
N_STEPS = 30


def labels_of_one() -> np.ndarray:
    """Return the label map of the labeled scan: a ball."""
    axes = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2
    return (np.square(axes).sum(0) < 30**2).astype(np.int64)


def write(path: Path, n_scans: int) -> None:
    """Write scans one by one: the ball, brighter than what is around it, and noise."""
    scans = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n_scans, *SHAPE))
    ball = 100 + 50 * labels_of_one()
    noise = np.random.default_rng(0).integers(-40, 40, SHAPE)
    for i in range(n_scans):
        scans[i] = ball + np.roll(noise, i)


def fit(path: Path, n_scans: int) -> None:
    """Fit to some of the scans; print CPU and wall seconds a step, seconds before, and the peak of memory."""
    scans = np.load(path, mmap_mode="r")[: n_scans + 1]
    before, peak, finished = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not finished.wait(0.01):
            peak[0] = max(peak[0], anonymous())

    settings = {"cycle__targets": "drawn", "cycle__labeled_threshold": 0.0, "tol": 0.0, "min_batches": 1}
    seg = SSLDECSegmenter(
        device="cpu", random_state=0, pretrain_epochs=0, cycle__transduction=False, **settings
    )
    y = [labels_of_one(), *[None] * n_scans]
    watcher = threading.Thread(target=watch)
    watcher.start()
    spent = []
    for max_iter in (1, 2):  # what the second iteration adds is what steps take
        started = time.process_time()
        seg.set_params(max_iter=max_iter, patches_per_epoch=4 * N_STEPS).fit(scans, y)
        spent.append(time.process_time() - started)
    finished.set()
    watcher.join()
    print(N_STEPS / (spent[1] - spent[0]), 2 * spent[0] - spent[1], peak[0] - before)


def main() -> None:
    """Fit all numbers, and print the table."""
    print("| unlabeled scans | on disk, GiB | steps a second of CPU | before the first, s | allocated, MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scans.npy"
        write(path, max(NUMBERS) + 1)
        for n in NUMBERS:
            command = [sys.executable, __file__, str(path), str(n)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            steps, seconds, memory = map(float, run.stdout.split())
            size = n * np.prod(SHAPE) / 2**30
            print(f"| {n} | {size:.2f} | {steps:.2f} | {seconds:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
