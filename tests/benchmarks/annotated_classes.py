"""Dice where half of the labeled scans have one structure annotated, and half the other.

Hippocampus scans (Decathlon, task 4; the environment variable SSLDEC_DATA names the folder above them) at
half the resolution, a small network and a short cycle: 6 labeled scans, of which 3 have the anterior part
annotated and 3 the posterior, 20 unlabeled scans, 30 to test. Prints the table of
docs/how_to/segmentation.md; it takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

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


def main() -> None:
    """Measure draw after draw, and print the table."""
    command_line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command_line.add_argument("--draws", type=int, default=3)
    arguments = command_line.parse_args()
    torch.set_num_threads(1)
    data = load_decathlon(Path(os.environ["SSLDEC_DATA"]) / "hippocampus")
    scans = [halved(*each) for each in zip(data.images, data.labels, strict=True)]
    annotated = [{1}] * 3 + [{2}] * 3 + [None] * N_UNLABELED
    found = defaultdict(list)
    for draw in range(arguments.draws):
        order = np.random.RandomState(draw).permutation(len(scans))
        X, truth = zip(*(scans[i] for i in order[: N_LABELED + N_UNLABELED]), strict=True)
        X_test, truth_test = zip(*(scans[i] for i in order[-N_TEST:]), strict=True)
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
        for name, (y, classes) in tasks.items():
            for method, max_iter in (("supervised", 0), ("SSLDEC", 4)):
                seg = SSLDECSegmenter(**SETTINGS, max_iter=max_iter, random_state=draw)
                seg.fit(list(X), y, annotated_classes=classes)
                scores = dice_score(
                    list(truth_test),
                    seg.predict(list(X_test)),
                    labels=[1, 2],
                    ignore_label=None,
                    average=None,
                )
                found[name, method].append([scores.mean(), *scores])
                print(f"draw {draw}, {name}, {method}: {scores.round(3)}", flush=True)
    for (name, method), rows in found.items():
        cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(np.mean(rows, 0), np.std(rows, 0, ddof=1), strict=True)]
        print(f"| {name} | {method} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
