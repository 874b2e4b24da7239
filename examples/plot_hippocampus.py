"""
Segmenting the hippocampus with two labeled scans
=================================================

Real T1 scans, cropped around the hippocampus: two are labeled, ten are not. The network first learns from
the two labeled scans, then from all twelve. Training is short, so that the example takes two minutes on a
CPU. ``examples/paper/hippocampus.py`` uses sixty unlabeled scans and the default settings.

The data is task 4 of the `Medical Segmentation Decathlon <http://medicaldecathlon.com>`_. Name its folder
(with ``imagesTr`` and ``labelsTr``) ``hippocampus``, and set the environment variable ``SSLDEC_DATA`` to the
folder that contains it. Without the data, this example generates scans with a bean in them, and says so.
"""

# %%
# The scans
# ---------
# The volumes are a list of arrays, which may differ in shape. A scan without labels has None as label map.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.display import SegmentationDisplay, TrainingHistoryDisplay
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.scans import load_decathlon

N_LABELED, N_UNLABELED, N_TEST = 2, 10, 6


def beans(n_scans, rng):
    """Generate scans: an ellipsoid in two parts, in noise; size, contrast and shading vary."""
    images, labels = [], []
    for _ in range(n_scans):
        shape = rng.integers([30, 40, 30], [38, 52, 38])
        grid = np.indices(shape) - (shape / 2 + rng.uniform(-4, 4, 3))[:, None, None, None]
        radii = np.array([6, 14, 5]) * rng.uniform(0.85, 1.15, 3)
        inside = ((grid / radii[:, None, None, None]) ** 2).sum(axis=0) < 1
        label_map = np.where(inside, np.where(grid[1] < 0, 1, 2), 0)
        shading = gaussian_filter(rng.standard_normal(shape), 4)
        noise = 20 * shading / shading.std() + 30 * rng.standard_normal(shape)
        images.append(rng.uniform(0.7, 1.3) * (100 * inside + 10 * label_map) + noise)
        labels.append(label_map)
    return images, labels


folder = Path(os.environ.get("SSLDEC_DATA", ".")) / "hippocampus"
if folder.exists():
    data = load_decathlon(folder, n_volumes=N_LABELED + N_UNLABELED + N_TEST)
    images, truth = data.images, data.labels
else:
    print(f"{folder} does not exist: these scans are generated.")
    images, truth = beans(N_LABELED + N_UNLABELED + N_TEST, np.random.default_rng(0))

n_train = N_LABELED + N_UNLABELED
labels = [*truth[:N_LABELED], *[None] * N_UNLABELED]

# %%
# Fitting
# -------
# Pre-training takes a quarter of the default number of epochs: 10 epochs of 64 patches.

segmenter = SSLDECSegmenter(pretrain_epochs=10, max_iter=3, random_state=0)
segmenter.fit(images[:n_train], labels)

# %%
# What the unlabeled scans changed
# --------------------------------
# ``supervised_transduction_`` holds the label maps that the network predicted for the training scans before
# it learned from the unlabeled ones, ``transduction_`` those at the end. Here the truth is known, so both can
# be scored. With your own scans, look at where the two differ.

unlabeled = slice(N_LABELED, n_train)
before = dice_score(truth[unlabeled], segmenter.supervised_transduction_[unlabeled], average=None)
after = dice_score(truth[unlabeled], segmenter.transduction_[unlabeled], average=None)
print("Dice of the unlabeled scans, anterior and posterior part")
print(f"before: {before.round(3)}, after: {after.round(3)}")
print(f"Dice of {N_TEST} other scans: {segmenter.score(images[n_train:], truth[n_train:]):.3f}")

# %%
# A scan that took no part in training
# ------------------------------------
# Three slices through it: the image, the truth, the prediction, and where they differ.

SegmentationDisplay.from_estimator(segmenter, images[n_train], truth[n_train])
plt.show()

# %%
# The history of training
# -----------------------

TrainingHistoryDisplay.from_estimator(segmenter)
plt.show()
