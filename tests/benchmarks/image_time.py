"""CPU seconds, as shares of the first version's, and errors of fits to 10,000 images of MNIST, 100 labeled.

    OMP_NUM_THREADS=1 python tests/benchmarks/image_time.py --draws 0 1 2

The first version predicted all images four times an iteration, had dropout, and predicted by the image alone.
The fits of a draw run one after the other. mnist.npz is read from the folder that SSLDEC_DATA names.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import load_npz, mask_labels

VARIANTS = {
    "the first version": {
        "cycle__targets": "all",
        "module__dropout": 0.1,
        "net__predict_views": False,
    },
    "default": {},
    "max_iter=40": {"max_iter": 40},
    "max_iter=27": {"max_iter": 27},
    "net__precision='bf16'": {"net__precision": "bf16"},
}


def main() -> None:
    """Read the command line, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, nargs="*", default=[0])
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    arrays = load_npz("mnist.npz")
    print("| draw | settings | CPU seconds | share of the first fit's | error, % |\n|---|---|---|---|---|")
    for draw in arguments.draws:
        rows = np.random.RandomState(draw).permutation(len(arrays["x_train"]))[:10_000]
        y = mask_labels(arrays["y_train"][rows].astype(int), 10, random_state=draw)
        first = None
        for name in arguments.variants:
            clf = SSLDECClassifier(random_state=draw, device="cpu", **VARIANTS[name])
            started = time.process_time()
            clf.fit(arrays["x_train"][rows], y)
            seconds = time.process_time() - started
            first = first or seconds
            error = np.mean(clf.predict(arrays["x_test"]) != arrays["y_test"])
            print(
                f"| {draw} | {name} | {seconds:.0f} | {seconds / first:.2f} | {100 * error:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
