"""Chest X-rays at several resolutions, 20 labels a class: a table of docs/experiments/images.md.

    python tests/benchmarks/large_images.py FOLDER --reductions 4 8

FOLDER has train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA with images of one size (Kermany et
al. 2018, https://data.mendeley.com/datasets/rscbjbr9sj; the table is of a copy at 224 x 224 pixels).
"""

import argparse
import time
from pathlib import Path

import matplotlib.image
import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

CLASSES = ("NORMAL", "PNEUMONIA")


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return gray images and their classes."""
    images, truth = [], []
    for k, name in enumerate(CLASSES):
        for path in sorted((folder / name).iterdir()):
            image = matplotlib.image.imread(path)
            images.append(image if image.ndim == 2 else image[..., :3].mean(axis=2))
            truth.append(k)
    return np.stack(images).astype(np.float32), np.array(truth)


def main() -> None:
    """Read the command line, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reductions", type=int, nargs="*", default=[4, 8], help="sides of blocks of pixels")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--max-iter", type=int, help="instead of the default's")
    arguments = parser.parse_args()
    (X, truth), (X_test, truth_test) = load(arguments.folder / "train"), load(arguments.folder / "test")
    longest = "auto" if arguments.max_iter is None else arguments.max_iter
    print(
        "| draw | pixels | iterations | CPU seconds | test | ROC | unlabeled |\n|---|---|---|---|---|---|---|"
    )
    for draw in range(arguments.draws):
        y = mask_labels(truth, 20, random_state=draw)
        for k in arguments.reductions:
            for max_iter in (0, longest):
                started = time.process_time()
                clf = SSLDECClassifier(net__reduction=k, max_iter=max_iter, random_state=draw, device="cpu")
                clf.fit(X, y)
                seconds = time.process_time() - started
                probability = clf.predict_proba(X_test)[:, 1]
                test = balanced_accuracy_score(truth_test, clf.predict(X_test))
                unlabeled = balanced_accuracy_score(truth[y < 0], clf.transduction_[y < 0])
                roc = roc_auc_score(truth_test, probability)
                numbers = " | ".join(f"{number:.3f}" for number in (test, roc, unlabeled))
                pixels = X.shape[1] // k
                print(f"| {draw} | {pixels} | {clf.n_iter_} | {seconds:.0f} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
