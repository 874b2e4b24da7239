"""Run classifiers on the draws of an image protocol, several at a time, and keep what is finished."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _results import Results
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from tqdm import tqdm

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.baselines import (
    FixMatchClassifier,
    MeanTeacherClassifier,
    PiModelClassifier,
    PseudoLabelClassifier,
    SupervisedClassifier,
    TemporalEnsemblingClassifier,
    UDAClassifier,
)

SSLDEC = "SSLDEC"
MEMBER = "SSLDEC, one network"


@dataclass(frozen=True)
class Draw:
    """The samples of one draw: X_test and y_test take no part in training."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def flat(images: np.ndarray) -> np.ndarray:
    """Make rows of images, for scikit-learn's classifiers."""
    return images.reshape(len(images), -1)


def image_methods(n_estimators: int, **parameters: object) -> dict[str, BaseEstimator]:
    """Return the classifiers to compare; the networks among them all have the same default settings."""
    networks = {
        SSLDEC: SSLDECClassifier,
        "pseudo-labeling": PseudoLabelClassifier,
        "Pi model": PiModelClassifier,
        "temporal ensembling": TemporalEnsemblingClassifier,
        "mean teacher": MeanTeacherClassifier,
        "FixMatch": FixMatchClassifier,
        "UDA": UDAClassifier,
        "supervised only, softmax": SupervisedClassifier,
    }
    parameters = {"n_estimators": n_estimators, **parameters}
    methods: dict[str, BaseEstimator] = {
        "supervised only (max_iter=0)": SSLDECClassifier(**{**parameters, "max_iter": 0}),
        **{name: network(**_taken_by(network, parameters)) for name, network in networks.items()},
        "LabelSpreading(kernel='knn', n_neighbors=7)": make_pipeline(
            FunctionTransformer(flat), LabelSpreading(kernel="knn", n_neighbors=7)
        ),
        "SelfTrainingClassifier(KNeighborsClassifier(5))": make_pipeline(
            FunctionTransformer(flat), SelfTrainingClassifier(KNeighborsClassifier(5))
        ),
    }
    return methods


def prepare(
    arguments: argparse.Namespace, paper: dict[str, object]
) -> tuple[dict[str, BaseEstimator], int, int]:
    """Return the classifiers, the number of draws and of networks that a command line asks for."""
    if arguments.data:
        os.environ["SSLDEC_DATA"] = str(arguments.data)
    n_draws = arguments.draws or (3 if arguments.quick else 10)
    n_estimators = arguments.n_estimators or (1 if arguments.quick else 5)
    methods = image_methods(n_estimators, device=arguments.device, **({} if arguments.quick else paper))
    return {name: methods[name] for name in arguments.methods or methods}, n_draws, n_estimators


def _taken_by(network: type, parameters: dict[str, object]) -> dict[str, object]:
    """Return the parameters that a method has; the others are another's."""
    taken = {}
    for name, value in parameters.items():
        with contextlib.suppress(TypeError):
            network(**{name: value})
            taken[name] = value
    return taken


def run_one(estimator: BaseEstimator, load: Callable[[int], Draw], draw: int) -> dict[str, float]:
    """Fit one classifier on one draw; return its test error and what it took."""
    data = load(draw)
    if hasattr(estimator, "random_state"):
        estimator.set_params(random_state=draw)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Pi model and others train to no threshold
        warnings.simplefilter("ignore", RuntimeWarning)  # LabelSpreading divides by 0 for unconnected samples
        estimator.fit(data.X, data.y)
    values = {"seconds": time.perf_counter() - start, "threads": torch.get_num_threads()}
    values["error"] = float(np.mean(estimator.predict(data.X_test) != data.y_test))
    if hasattr(estimator, "nets_"):
        first = estimator.estimators_[0].predict(data.X_test)
        values["error_of_first"] = float(np.mean(first != data.y_test))
    return values


def run(
    results: Results,
    methods: dict[str, BaseEstimator],
    load: Callable[[int], Draw],
    n_draws: int,
    n_jobs: int,
) -> None:
    """Run what is not finished yet, `n_jobs` fits at a time."""
    todo = [(method, draw) for draw in range(n_draws) for method in methods if not results.has(method, draw)]
    finished = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_labeled)(method, draw, methods[method], load) for method, draw in todo
    )
    for method, draw, values in tqdm(finished, total=len(todo), unit="fit"):
        results.add(method, draw, **values)
        tqdm.write(f"{method}, draw {draw}: error {values['error']:.2%}, {values['seconds']:.0f} s")


def _labeled(
    method: str, draw: int, estimator: BaseEstimator, load: Callable[[int], Draw]
) -> tuple[str, int, dict[str, float]]:
    return method, draw, run_one(estimator, load, draw)


def parser(description: str, output: str, n_labeled: int, n_draws: int) -> argparse.ArgumentParser:
    """Return the command line that the image protocols have in common."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--labels", type=int, default=n_labeled, help="labels in all, the same number a class")
    made.add_argument("--draws", type=int, default=n_draws)
    made.add_argument("--n-estimators", type=int, default=None, help="networks of an ensemble (the paper: 5)")
    made.add_argument("--data", type=Path, help="folder of the data; default: that of SSLDEC_DATA, or OpenML")
    made.add_argument("--device", default="auto")
    made.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    made.add_argument("--quick", action="store_true", help="a size for CPUs")
    made.add_argument("--methods", nargs="*", help="only these (default: all)")
    made.add_argument("--output", type=Path, default=None, help=f"JSON file (default: {output})")
    return made
