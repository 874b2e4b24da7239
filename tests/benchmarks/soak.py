"""Many fits in one process: does memory stay flat? The figure of docs/benchmarks.md."""

from __future__ import annotations

import gc
import resource
import sys
import warnings

import numpy as np
from sklearn.datasets import make_moons

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

N_WARM = 20  # the first fits fill caches: imports, kernels, the allocator's arenas
MIB = 2**20


def resident() -> float:
    """Return the memory that this process has now, in MiB (Linux)."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


def main(n_fits: int) -> None:
    """Fit, predict, and print the memory on the way."""
    rng = np.random.RandomState(0)
    images, digit = rng.rand(100, 8, 8), np.arange(100) % 2
    images[digit == 1] += 0.5
    X, truth = make_moons(200, noise=0.1, random_state=0)
    tables = {
        "rows": (X, mask_labels(truth, 5, random_state=0), {"module__hidden_units": (16, 16)}),
        "images": (images, mask_labels(digit, 5, random_state=0), {"module__width": 0.05}),
    }
    for name, (data, y, parameters) in tables.items():
        memory = []
        for i in range(N_WARM + n_fits):
            clf = SSLDECClassifier(
                max_iter=2, pretrain_epochs=5, n_estimators=2, device="cpu", random_state=i, **parameters
            )
            clf.fit(data, y).predict(data)
            memory.append(resident())
        after_warming = np.array_split(memory[N_WARM:], 4)
        quarters = ", ".join(f"{quarter[-1]:.1f}" for quarter in after_warming)
        print(
            f"{name}: {memory[N_WARM]:.1f} MiB after {N_WARM + 1} fits; at the quarters {quarters}",
            flush=True,
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
