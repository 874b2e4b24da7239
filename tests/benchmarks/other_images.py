"""SSLDEC and UDA on images of your own: tables of docs/experiments/images.md and class_sizes.md.

    python tests/benchmarks/other_images.py FILE --labels 10 --draws 2

FILE is an .npz with x_train (images), y_train (classes from 0 on) and, unless seven of ten of these are to be
trained on and the others tested on, x_test and y_test. Labels are drawn class by class. `--sizes` are those
of the classes in training, in random order.

The tables have the 10,000 test images of KMNIST (http://codh.rois.ac.jp/kmnist), USPS (7291 images of 16 x 16
pixels, values from 0 to 1), and training and validation images of PneumoniaMNIST (https://medmnist.com).
Resized to 32 x 32 pixels: 10,000 training images of GTSRB (traffic signs, https://benchmark.ini.rub.de) and
of Intel's scenes, the Sign Language Digits Dataset
(https://github.com/ardamavi/Sign-Language-Digits-Dataset), flowers of five classes, and NEU-DET (defects of
steel, gray).

Of other sizes, or resized to 32 x 32 as well: faces are 10,000 of the training images of FER 2013 (gray,
48 x 48); brains the training slices of Brain Tumor Classification (MRI) (Bhuvaji et al. 2020; gray, 64 x 64,
one of four classes without tumors); spoken digits the first 0.75 s of the recordings of
https://github.com/Jakobovski/free-spoken-digit-dataset, as logarithms of power (`scipy.signal.stft`, 256
values a window), of which four at a time are averaged to 32 bands.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.baselines import UDAClassifier
from sklearn_ssldec.datasets import mask_labels

METHODS = {
    "default": (SSLDECClassifier, {}),
    "neighbors": (SSLDECClassifier, {"cycle__neighbors": True}),
    "no neighbors": (SSLDECClassifier, {"cycle__neighbors": False}),
    "equal shares": (SSLDECClassifier, {"class_prior": None}),
    "without doubt": (SSLDECClassifier, {"class_prior": None, "cycle__min_confidence": 0.8}),
    "UDA": (UDAClassifier, {}),
}


def load(file: Path, draw: int) -> tuple[np.ndarray, ...]:
    """Return images and classes to train on, and those to test on."""
    arrays = np.load(file)
    X, truth = arrays["x_train"], arrays["y_train"].astype(int).ravel()
    if "x_test" in arrays:
        return X, truth, arrays["x_test"], arrays["y_test"].astype(int).ravel()
    chosen, rest = np.split(np.random.RandomState(draw).permutation(len(X)), [len(X) * 7 // 10])
    return X[chosen], truth[chosen], X[rest], truth[rest]


def thinned(truth: np.ndarray, sizes: list[int], draw: int) -> np.ndarray:
    """Return samples with so many of each class, classes and samples in random order."""
    rng = np.random.RandomState(draw)
    of_class = np.array(sizes)[rng.permutation(len(sizes))]
    chosen = [rng.choice(np.flatnonzero(truth == j), n, replace=False) for j, n in enumerate(of_class)]
    rows = np.concatenate(chosen)
    rng.shuffle(rows)
    return rows


def errors(truth: np.ndarray, predicted: np.ndarray) -> str:
    """Return the error and the balanced error, in %."""
    scores = accuracy_score(truth, predicted), balanced_accuracy_score(truth, predicted)
    return "{:.2f} ({:.2f})".format(*(100 * (1 - score) for score in scores))


def main() -> None:
    """Read the command line, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--labels", type=int, default=10, help="labels a class")
    parser.add_argument("--sizes", nargs="*", type=int, help="number of images of each class")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--methods", nargs="*", default=["default", "UDA"], choices=METHODS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "Errors in %, in brackets balanced ones\n\n"
        "| draw | method | start, unlabeled | unlabeled | test | CPU seconds |\n|---|---|---|---|---|---|"
    )
    for draw in range(arguments.first_draw, arguments.first_draw + arguments.draws):
        X, truth, X_test, truth_test = load(arguments.file, draw)
        if arguments.sizes:
            rows = thinned(truth, arguments.sizes, draw)
            X, truth = X[rows], truth[rows]
        y = mask_labels(truth, arguments.labels, random_state=draw)
        hidden = y < 0
        for name in arguments.methods:
            method, params = METHODS[name]
            started = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                clf = method(random_state=draw, device="cpu", **params).fit(X, y)
            seconds = time.process_time() - started
            start, end = clf.supervised_transduction_, clf.transduction_
            cells = [errors(truth[hidden], found[hidden]) for found in (start, end)]
            cells.append(errors(truth_test, clf.predict(X_test)))
            print(f"| {draw} | {name} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
