"""Dice where half of the labeled scans have one structure annotated, and half the other.

Hippocampus scans (Decathlon, task 4; the environment variable SSLDEC_DATA names the folder above them) at
half the resolution, a small network and a short cycle: 6 labeled scans, of which 3 have the anterior part
annotated and 3 the posterior, 20 unlabeled scans, 30 to test. Prints the table of
docs/how_to/segmentation.md, and draws its figure; five draws take half an hour on one core.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from suggested_slices import halved

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.scans import load_decathlon

N_LABELED, N_UNLABELED, N_TEST = 6, 20, 30
SETTINGS = {
    "module__width": 0.25, "patch_size": 16, "patches_per_epoch": 32, "batch_size": 4, "pretrain_epochs": 40,
    "min_batches": 32, "device": "cpu",
}  # fmt: skip
METHODS = {"supervised": 0, "SSLDEC": 4}  # max_iter


def measure(draw: int, scans: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Return the Dice of both parts, without and with the cycle, for each way to give the labels."""
    order = np.random.RandomState(draw).permutation(len(scans))
    X, truth = zip(*(scans[i] for i in order[: N_LABELED + N_UNLABELED]), strict=True)
    X_test, truth_test = zip(*(scans[i] for i in order[-N_TEST:]), strict=True)
    annotated = [{1}] * 3 + [{2}] * 3 + [None] * N_UNLABELED
    bare = [None] * N_UNLABELED
    partial = [
        *(np.where(np.isin(labels, list(given)), labels, 0)
          for labels, given in zip(truth, annotated[:N_LABELED], strict=False)),
        *bare,
    ]  # fmt: skip
    tasks = {
        "background taken at its word": (partial, None),
        "`annotated_classes`": (partial, annotated),
        "both parts annotated in all 6 scans": ([*truth[:N_LABELED], *bare], None),
    }
    found = defaultdict(list)
    for name, (y, classes) in tasks.items():
        for method, max_iter in METHODS.items():
            seg = SSLDECSegmenter(**SETTINGS, max_iter=max_iter, random_state=draw)
            seg.fit(list(X), y, annotated_classes=classes)
            predicted = seg.predict(list(X_test))
            scores = dice_score(list(truth_test), predicted, labels=[1, 2], ignore_label=None, average=None)
            found[name].append(scores)
            print(f"draw {draw}, {name}, {method}: {scores.round(4).tolist()}", flush=True)
    return found


def draw_figure(table: dict[str, np.ndarray], path: Path) -> None:
    """Draw the mean Dice of both parts."""
    fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    means = {name.replace("`", ""): values.mean(axis=2) for name, values in table.items()}
    figures.strips(ax, means, list(METHODS))
    ax.set(xlabel="Dice on other scans, mean of both parts")
    figures.save(fig, path)


def main() -> None:
    """Measure draw after draw, print the table and draw the figure."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--draws", type=int, default=5)
    command_line.add_argument("--figure", type=Path, help="where to save the figure")
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    data = load_decathlon(Path(os.environ["SSLDEC_DATA"]) / "hippocampus")
    scans = [halved(*each) for each in zip(data.images, data.labels, strict=True)]
    found = defaultdict(list)
    for draw in range(arguments.draws):
        for name, scores in measure(draw, scans).items():
            found[name].append(scores)
    table = {name: np.array(rows) for name, rows in found.items()}
    print("| background | | Dice | anterior | posterior |\n|---|---|---|---|---|")
    for name, values in table.items():
        for method, parts in zip(METHODS, values.swapaxes(0, 1), strict=True):
            columns = [parts.mean(axis=1), *parts.T]
            cells = [f"{each.mean():.2f} ({each.std(ddof=1):.2f})" for each in columns]
            print(f"| {name} | {method} | {' | '.join(cells)} |")
    if arguments.figure is not None:
        draw_figure(table, arguments.figure)


if __name__ == "__main__":
    main()
