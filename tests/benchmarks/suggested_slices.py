"""Dice after so many annotated slices: those that `suggest_slices` suggests, and random ones.

Hippocampus scans (Decathlon, task 4; the environment variable SSLDEC_DATA names the folder above them) at
half the resolution: 8 scans to annotate, 16 to test. Suggested in rounds: the first slices are suggested
without a segmenter, the others by the one fitted on the slices before. Suggested at once: all are suggested
without a segmenter and without labels. The segmenter is a random forest of each voxel's smoothed intensities
and place, so that a fit takes a second and draws are cheap, or with ``--network`` a small `SSLDECSegmenter`,
trained on the slices alone. Prints the rows of the table in docs/how_to/labeling_loop.md, and draws its
figure.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestClassifier

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.query import suggest_slices
from sklearn_ssldec.scans import load_decathlon

AXIS, N_TRAIN, N_TEST = 1, 8, 16
RANDOM, AT_ONCE, IN_ROUNDS = "random", "suggested at once, without labels", "suggested in rounds"
NETWORK = {
    "module__width": 0.25, "patch_size": 16, "patches_per_epoch": 32, "batch_size": 4, "pretrain_epochs": 100,
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


def measure(draw: int, scans: list, budgets: list[int], network: bool) -> dict[str, list[float]]:
    """Return the Dice on other scans after each budget of slices, by how they are chosen."""
    rng = np.random.RandomState(draw)
    order = rng.permutation(len(scans))
    X, truth = zip(*(scans[i] for i in order[:N_TRAIN]), strict=True)
    X_test, truth_test = zip(*(scans[i] for i in order[N_TRAIN : N_TRAIN + N_TEST]), strict=True)
    every = [(scan, i) for scan, image in enumerate(X) for i in range(image.shape[AXIS])]
    shuffled = [every[k] for k in rng.permutation(len(every))]

    def suggested(segmenter: Any, labels: list | None, n: int) -> list[tuple[int, int]]:
        found = suggest_slices(segmenter, X, labels, n, axis=AXIS, random_state=draw)
        return [(each.scan, each.slice) for each in found]

    def curve(how: str) -> list[float]:
        chosen: list[tuple[int, int]] = []
        segmenter, scores = None, []
        for n in budgets:
            if how == RANDOM:
                chosen = shuffled[:n]
            elif how == AT_ONCE or segmenter is None:
                chosen = suggested(None, None, n)
            else:
                chosen = chosen + suggested(segmenter, revealed(truth, chosen), n - len(chosen))
            segmenter = SSLDECSegmenter(**NETWORK, random_state=draw) if network else Forest(draw)
            segmenter.fit(list(X), revealed(truth, chosen))
            predicted = segmenter.predict(list(X_test))
            scores.append(dice_score(list(truth_test), predicted, labels=[1, 2], ignore_label=None))
        print(f"draw {draw}, {how}: {np.round(scores, 4).tolist()}", flush=True)
        return scores

    return {how: curve(how) for how in (RANDOM, AT_ONCE, IN_ROUNDS)}


def draw_figure(table: dict[str, np.ndarray], budgets: list[int], path: Path) -> None:
    """Draw Dice against the number of slices."""
    fig, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    figures.curves(ax, budgets, table)
    n_draws = len(table[RANDOM])
    ax.set(xlabel="annotated slices", ylabel=f"Dice on other scans, mean of {n_draws} draws", xscale="log")
    ax.set_xticks(budgets, [str(n) for n in budgets])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False)
    fig.savefig(path, dpi=120)


def main() -> None:
    """Measure draw after draw, print the table and draw the figure."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--network", action="store_true")
    command_line.add_argument("--draws", type=int, default=5)
    command_line.add_argument("--slices", type=int, nargs="+", default=[4, 8, 16, 32])
    command_line.add_argument("--figure", type=Path, help="where to save the figure")
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    data = load_decathlon(Path(os.environ["SSLDEC_DATA"]) / "hippocampus", n_volumes=80)
    scans = [halved(*each) for each in zip(data.images, data.labels, strict=True)]
    found = defaultdict(list)
    for draw in range(arguments.draws):
        for how, scores in measure(draw, scans, arguments.slices, arguments.network).items():
            found[how].append(scores)
    table = {how: np.array(rows) for how, rows in found.items()}
    for how, values in table.items():
        cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
        n_better = int((values > table[RANDOM]).sum())
        print(f"| {how} | {' | '.join(cells)} |  better than random in {n_better} of {values.size}")
    if arguments.figure is not None:
        draw_figure(table, arguments.slices, arguments.figure)


if __name__ == "__main__":
    main()
