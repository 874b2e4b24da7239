"""Dice after so many annotated slices: those that `suggest_slices` suggests, and random ones.

Hippocampus scans (Decathlon, task 4; the environment variable SSLDEC_DATA names the folder above them) at
half the resolution: 8 scans to annotate, 16 to test. The first slices are suggested without a segmenter,
the others by the one fitted on the slices before. The segmenter is a random forest of each voxel's smoothed
intensities and place, so that a fit takes a second and draws are cheap, or with ``--network`` a small
`SSLDECSegmenter`, trained on the slices alone. Prints the rows of the table in
docs/how_to/labeling_loop.md.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestClassifier

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.query import suggest_slices
from sklearn_ssldec.scans import load_decathlon

AXIS, N_TRAIN, N_TEST = 1, 8, 16
NETWORK = {
    "module__width": 0.25, "patch_size": 16, "patches_per_epoch": 32, "batch_size": 4, "pretrain_epochs": 25,
    "max_iter": 0, "device": "cpu",
}  # fmt: skip


class Forest:
    """A random forest of voxels, with as much of a segmenter as this needs."""

    def __init__(self, random_state: int) -> None:
        self.forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=random_state)

    def features(self, image: np.ndarray) -> np.ndarray:
        """Return the features of each voxel, of shape (n_voxels, 7)."""
        image = (image - image.mean()) / image.std()
        smooth = [image, *(gaussian_filter(image, sigma) for sigma in (1, 2, 4))]
        place = [grid / n for grid, n in zip(np.indices(image.shape), image.shape, strict=True)]
        return np.stack([*smooth, *place], axis=-1).reshape(-1, 7)

    def fit(self, images: list, labels: list) -> Forest:
        """Fit to the labeled voxels."""
        pairs = [(self.features(x), y.ravel()) for x, y in zip(images, labels, strict=True) if y is not None]
        X, y = (np.concatenate(each) for each in zip(*pairs, strict=True))
        self.forest.fit(X[y >= 0], y[y >= 0])
        return self

    def predict_proba(self, images: list) -> list[np.ndarray]:
        """Return probabilities of shape (n_classes, *spatial)."""
        found = [self.forest.predict_proba(self.features(x)) for x in images]
        return [q.T.reshape(-1, *x.shape) for q, x in zip(found, images, strict=True)]

    def predict(self, images: list) -> list[np.ndarray]:
        """Return label maps."""
        return [self.forest.classes_[q.argmax(axis=0)] for q in self.predict_proba(images)]


def halved(image: Any, label_map: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return image and label map at half the resolution."""
    box = tuple(slice(0, n // 2 * 2) for n in image.shape)
    sides = [k for n in image.shape for k in (n // 2, 2)]
    small = np.asarray(image, dtype=float)[box].reshape(sides).mean(axis=(1, 3, 5))
    return small.astype(np.float32), np.asarray(label_map)[box][::2, ::2, ::2].astype(int)


def revealed(truth: list[np.ndarray], chosen: list[tuple[int, int]]) -> list[np.ndarray | None]:
    """Return label maps that hold the chosen slices."""
    maps: list[np.ndarray | None] = [None] * len(truth)
    for scan, i in chosen:
        view = (slice(None),) * AXIS + (i,)
        known = maps[scan]
        if known is None:
            known = maps[scan] = np.full(truth[scan].shape, -1)
        known[view] = truth[scan][view]
    return maps


def main() -> None:
    """Measure draw after draw, and print the table."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--network", action="store_true")
    command_line.add_argument("--draws", type=int, default=5)
    command_line.add_argument("--slices", type=int, nargs="+", default=[4, 8, 16, 32])
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    data = load_decathlon(Path(os.environ["SSLDEC_DATA"]) / "hippocampus", n_volumes=80)
    scans = [halved(*each) for each in zip(data.images, data.labels, strict=True)]
    found = defaultdict(list)
    for draw in range(arguments.draws):
        rng = np.random.RandomState(draw)
        order = rng.permutation(len(scans))
        X, truth = zip(*(scans[i] for i in order[:N_TRAIN]), strict=True)
        X_test, truth_test = zip(*(scans[i] for i in order[N_TRAIN : N_TRAIN + N_TEST]), strict=True)
        every = [(scan, i) for scan, image in enumerate(X) for i in range(image.shape[AXIS])]
        shuffled = [every[k] for k in rng.permutation(len(every))]
        for how in ("random", "suggested"):
            chosen: list[tuple[int, int]] = []
            segmenter = None
            for n in arguments.slices:
                if how == "random":
                    chosen = shuffled[:n]
                else:
                    labels = revealed(truth, chosen) if chosen else None
                    new = suggest_slices(segmenter, X, labels, n - len(chosen), axis=AXIS, random_state=draw)
                    chosen = chosen + [(each.scan, each.slice) for each in new]
                segmenter = (
                    SSLDECSegmenter(**NETWORK, random_state=draw) if arguments.network else Forest(draw)
                )
                segmenter.fit(list(X), revealed(truth, chosen))
                predicted = segmenter.predict(list(X_test))
                found[how, n].append(
                    dice_score(list(truth_test), predicted, labels=[1, 2], ignore_label=None)
                )
                print(f"draw {draw}, {n} {how} slices: {found[how, n][-1]:.3f}", flush=True)
    for how in ("random", "suggested"):
        cells = [
            f"{np.mean(found[how, n]):.3f} ({np.std(found[how, n], ddof=1):.3f})" for n in arguments.slices
        ]
        print(f"| {how} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
