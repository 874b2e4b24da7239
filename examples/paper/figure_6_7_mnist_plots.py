"""Figures 6 and 7 of the paper: what one fit on MNIST does.

Figure 6: the labeled samples, the misclassified samples, the confusion matrix of the test set. Figure 7:
t-SNE of the embeddings of 1000 test images, after supervised training and after SSLDEC.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _protocol import Draw, parser
from figure_5_mnist import PAPER, load
from sklearn.manifold import TSNE
from sklearn.metrics import ConfusionMatrixDisplay

from sklearn_ssldec import SSLDECClassifier


def show_images(ax: plt.Axes, images: np.ndarray, captions: list[str] | None, n_columns: int) -> None:
    """Draw images in rows, each with its caption in the corner."""
    side = images.shape[1]
    n_rows = -(-len(images) // n_columns)
    canvas = np.zeros((n_rows * side, n_columns * side))
    for i, image in enumerate(images):
        row, column = divmod(i, n_columns)
        canvas[row * side : (row + 1) * side, column * side : (column + 1) * side] = image
        if captions:
            ax.text(column * side + 1, row * side + 1, captions[i], color="#E69F00", va="top", fontsize=7)
    ax.imshow(canvas, cmap="gray")
    ax.set(xticks=[], yticks=[])


def figure_6(classifier: SSLDECClassifier, data: Draw, output: Path) -> None:
    """Draw labeled samples, misclassified samples and the confusion matrix."""
    predicted = classifier.predict(data.X_test)
    wrong = np.flatnonzero(predicted != data.y_test)
    labeled = np.flatnonzero(data.y != -1)
    labeled = labeled[np.argsort(data.y[labeled], kind="stable")]
    figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
    show_images(axes[0], data.X[labeled], None, n_columns=len(labeled) // 10)
    axes[0].set_title(f"the {len(labeled)} labeled samples")
    shown = wrong[:100]
    captions = [f"{data.y_test[i]}→{predicted[i]}" for i in shown]
    show_images(axes[1], data.X_test[shown], captions, n_columns=10)
    axes[1].set_title(f"misclassified, true→predicted ({len(shown)} of {len(wrong)})")
    ConfusionMatrixDisplay.from_predictions(
        data.y_test, predicted, ax=axes[2], cmap="Blues", colorbar=False, text_kw={"fontsize": 8}
    )
    axes[2].set_title(f"test set: {np.mean(predicted == data.y_test):.2%} right")
    figure.savefig(output, dpi=120)
    plt.close(figure)


def figure_7(fitted: dict[str, SSLDECClassifier], data: Draw, output: Path) -> None:
    """Draw t-SNE of the embeddings of 1000 test images."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    labels = data.y_test[:1000]
    for ax, (title, classifier) in zip(axes, fitted.items(), strict=True):
        Z = classifier.transform(data.X_test[:1000])[:, : classifier.cluster_centers_.shape[-1]]
        points = TSNE(random_state=0).fit_transform(Z)
        ax.scatter(*points.T, c=labels, cmap="tab10", s=8)
        for digit in range(10):
            # The digit itself, in the middle of its points: colours alone do not tell ten classes apart.
            ax.text(
                *np.median(points[labels == digit], axis=0), str(digit), fontsize=13, weight="bold",
                ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white", "ec": "0.5"},
            )  # fmt: skip
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
    figure.savefig(output, dpi=120)
    plt.close(figure)


def main() -> None:
    """Read the command line, fit and draw."""
    made = parser(__doc__.splitlines()[0], "", 100, 1)
    made.add_argument("--folder", type=Path, default=Path("build"), help="where the figures go")
    arguments = made.parse_args()
    settings = {} if arguments.quick else PAPER
    data = load(0, 10_000 if arguments.quick else 60_000, arguments.labels)
    n_estimators = arguments.n_estimators or (1 if arguments.quick else 5)
    fitted = {}
    for title, changed in (("after supervised training", {"max_iter": 0}), ("after SSLDEC", {})):
        classifier = SSLDECClassifier(
            n_estimators=n_estimators, device=arguments.device, random_state=0, verbose=1,
            **{**settings, **changed},
        )  # fmt: skip
        fitted[title] = classifier.fit(data.X, data.y)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    figure_6(fitted["after SSLDEC"], data, arguments.folder / "figure_6_mnist.png")
    figure_7(fitted, data, arguments.folder / "figure_7_mnist.png")
    print(f"Figures 6 and 7 are in {arguments.folder}")


if __name__ == "__main__":
    main()
