"""CPU seconds, as shares of the first version's, and errors of fits to 10,000 images of MNIST, 100 labeled.

    OMP_NUM_THREADS=1 python tests/benchmarks/image_time.py --draws 0 1 2

The first version predicted all images four times an iteration, had dropout, and predicted by the image alone.
The fits of a draw run one after the other. mnist.npz is read from the folder that SSLDEC_DATA names.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec import SSLDECClassifier

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))
from images import load

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
    print("| draw | settings | CPU seconds | share of the first fit's | error, % |\n|---|---|---|---|---|")
    for draw in arguments.draws:
        data = load("mnist", draw)
        first = None
        for name in arguments.variants:
            clf = SSLDECClassifier(random_state=draw, device="cpu", **VARIANTS[name])
            started = time.process_time()
            clf.fit(data.X, data.y)
            seconds = time.process_time() - started
            first = first or seconds
            error = np.mean(clf.predict(data.X_test) != data.y_test)
            print(
                f"| {draw} | {name} | {seconds:.0f} | {seconds / first:.2f} | {100 * error:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
