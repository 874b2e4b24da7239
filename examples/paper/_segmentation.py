"""Run segmenters on the draws of a protocol, several at a time, and keep what is finished."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _results import Results
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score

SSLDEC, LOWER, PSEUDO, HIGHER = "SSLDEC", "lower bound (max_iter=0)", "pseudo-labeling", "higher bound"


@dataclass(frozen=True)
class Draw:
    """The volumes of one draw; `truth` has the labels that only the higher bound sees."""

    X: list[np.ndarray]
    y: list[np.ndarray | None]
    truth: list[np.ndarray | None]
    X_test: list[np.ndarray]
    y_test: list[np.ndarray]


def methods(**parameters: object) -> dict[str, SSLDECSegmenter]:
    """Return the segmenters to compare: the same network, the same settings."""
    return {
        LOWER: SSLDECSegmenter(**{**parameters, "max_iter": 0}),
        PSEUDO: PseudoLabelSegmenter(**parameters),
        SSLDEC: SSLDECSegmenter(**parameters),
        HIGHER: SSLDECSegmenter(**{**parameters, "max_iter": 0}),
    }


def row(method: str, n_labeled: int) -> str:
    """Name a row of the table; no labeled volumes is for a higher bound that is the same for all rows."""
    return f"{method}, {n_labeled} labeled" if n_labeled else method


def run_one(
    method: str,
    segmenter: SSLDECSegmenter,
    load: Callable[[int, int], Draw],
    n_labeled: int,
    after: Callable[[Draw, list[np.ndarray]], list[np.ndarray]],
    draw: int,
) -> dict[str, float]:
    """Fit one segmenter on one draw; return its Dice scores on the test volumes."""
    data = load(n_labeled, draw)
    y = data.truth if method == HIGHER else data.y
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="y has no unlabeled voxel")
        segmenter.set_params(random_state=draw).fit(data.X, y)
    seconds = time.perf_counter() - start
    labels = [int(label) for label in segmenter.classes_ if label != 0]
    predicted = after(data, segmenter.predict(data.X_test))
    scores = dice_score(data.y_test, predicted, labels=labels, average=None)
    each = {f"dice_{label}": float(score) for label, score in zip(labels, scores, strict=True)}
    return {"dice": float(np.mean(scores)), **each, "seconds": seconds}


def run(
    results: Results,
    segmenters: dict[str, SSLDECSegmenter],
    load: Callable[[int, int], Draw],
    n_labeled: list[int],
    n_draws: int,
    n_jobs: int,
    after: Callable[[Draw, list[np.ndarray]], list[np.ndarray]] = lambda data, predicted: predicted,
) -> None:
    """Run what is not finished yet, `n_jobs` fits at a time; `after` is done to predicted label maps."""
    todo = {
        (row(method, n), draw): (method, n)
        for draw in range(n_draws)
        for n in n_labeled
        for method in segmenters
        if not results.has(row(method, n), draw)
    }
    finished = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_run_named)(name, draw, method, segmenters[method], load, n, after)
        for (name, draw), (method, n) in todo.items()
    )
    for name, draw, values in tqdm(finished, total=len(todo)):
        results.add(name, draw, **values)
        tqdm.write(f"{name}, draw {draw}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items()))


def _run_named(name: str, draw: int, method: str, *arguments: object) -> tuple[str, int, dict[str, float]]:
    return name, draw, run_one(method, *arguments, draw)


def table(results: Results, n_labeled: list[int], names: dict[str, str], command: str, notes: str) -> str:
    """Write the table of what is finished, with the differences that matter below it."""
    rows = [row(method, n) for n in n_labeled for method in (LOWER, PSEUDO, SSLDEC, HIGHER)]
    rows = [name for name in [*rows, HIGHER] if name in results.content["draws"]]
    gains = []
    for n in n_labeled:
        ours = results.content["draws"].get(row(SSLDEC, n), {})
        for other in (LOWER, PSEUDO, HIGHER):
            theirs = results.content["draws"].get(row(other, n), results.content["draws"].get(other, {}))
            both = sorted(set(ours) & set(theirs), key=int)
            if both:
                each = [100 * (ours[d]["dice"] - theirs[d]["dice"]) for d in both]
                listed = ", ".join(f"{gain:+.1f}" for gain in each)
                gains.append(f"- {n} labeled: SSLDEC minus {other.split(' (')[0]}, draw by draw: {listed}.")
    return results.write_table(
        rows, {"dice": "Dice", **names}, command, "\n".join([notes, "", *gains]), worst=np.min
    )


def parser(description: str, output: str) -> argparse.ArgumentParser:
    """Return the command line that the segmentation protocols share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--labels", type=int, nargs="*", default=[1, 2, 5], help="numbers of labeled volumes")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--methods", nargs="*", help="only these (default: all)")
    parser.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=Path(output))
    return parser
