"""Compare SSLDEC on images with what else could be picked: default parameters, one network, few labels.

Tasks, with the number of images to train on and of labels:

mnist           MNIST, 10,000 and 100
mnist_60000     MNIST, 60,000 and 100 (the paper's figure 5); this and the next only if asked for (--tasks)
mnist_1000      MNIST, 60,000 and 1000
fashion_10      Fashion-MNIST, 10,000 and 100
fashion_100     Fashion-MNIST, 10,000 and 1000
svhn            SVHN-derived (grey digits cut from SVHN's test crops; not the benchmark), 5000 and 500
digits          scikit-learn's 8x8 digits, 1257 and 100
colour          colour digits from SVHN's training crops, 800 and 200
cifar           CIFAR-10, photographs, 10,000 and 1000; only if asked for (--tasks cifar)

CIFAR-10 is read from a folder cifar_10 of image files, train/<class>/* and test/<class>/*, or else from
cifar_10.npz (x_train, y_train, x_test and y_test, with images of shape (3, 32, 32)).
The error is that on test images. The data are read from --data (default: the environment variable
SSLDEC_DATA). Finished fits are kept in a JSON lines file and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits, load_files
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from tqdm import tqdm

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import FOLDER_VARIABLE, load_npz, mask_labels

sys.path.insert(0, str(Path(__file__).parents[1] / "paper"))
from _protocol import SSLDEC, flat, image_methods

START = "supervised start"
BASELINES = ("FixMatch", "UDA", "mean teacher", "pseudo-labeling", "Pi model", "temporal ensembling")
# What is fitted on the labeled images only.
SUPERVISED = ("logistic regression", "random forest")
# Of predictions by the image alone, without its four views.
SINGLE = ", single view"
# Of the defaults of an earlier version, which had no views either.
BEFORE = " (before)"
OUTPUT = Path("docs/results/images.jsonl")
HEAD = """# Images: test error in %

Default parameters, one network of a {size}'s size. Mean, standard error of the mean, and number of draws.
Measured by `{command}`; the script `images.py` says what the tasks are. *Supervised start* is
what SSLDEC starts from (`max_iter=0`). *SSLDEC, no neighbors* has no number where neighbors are not asked: it
is the same. *Single view* is predicted by the image alone, without its four views. *(before)* is an earlier
version with its defaults: a single view, 3600 batches, 8900 for 60,000 images, and dropout of 0.1 in a CPU's
network.

{errors}
{gaps}
Seconds a fit; several fits shared the machine.

{seconds}
"""
GAPS = """
By how many points a method is worse than SSLDEC, in the mean of the same draws, with its standard error.
Others of a *single view* and of *before* are compared with *SSLDEC, single view*:

{gaps}
"""


class Task(NamedTuple):
    """What to load: a file, the number of images to train on, and of labels a class."""

    file: str
    n_train: int
    n_labels: int


TASKS = {
    "mnist": Task("mnist.npz", 10_000, 10),
    "fashion_10": Task("fashion_mnist.npz", 10_000, 10),
    "fashion_100": Task("fashion_mnist.npz", 10_000, 100),
    "svhn": Task("svhn_derived.npz", 5_000, 50),
    "digits": Task("", 1_257, 10),
    "colour": Task("svhn_derived.npz", 800, 20),
    "mnist_60000": Task("mnist.npz", 60_000, 10),
    "mnist_1000": Task("mnist.npz", 60_000, 100),
    "cifar": Task("cifar_10.npz", 10_000, 100),
}
OPTIONAL = ("mnist_60000", "mnist_1000", "cifar")


class Draw(NamedTuple):
    """Images to train on, their labels (-1 for most) and their classes, and test images."""

    X: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def images(task: str) -> tuple[np.ndarray, ...]:
    """Read the images of a task: those for training and for testing, or all together."""
    if task == "digits":
        digits = load_digits()
        return np.float32(digits.images), digits.target
    photographs = Path(os.environ.get(FOLDER_VARIABLE, "")) / "cifar_10"
    if task == "cifar" and photographs.is_dir():
        return *of_folder(photographs / "train"), *of_folder(photographs / "test")
    arrays = load_npz(TASKS[task].file)
    if task == "colour":
        return arrays["x_color"].transpose(0, 3, 1, 2), arrays["y_color"]
    return tuple(arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))


def of_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read colour images of the same size from a folder with a folder for each class."""
    files = load_files(folder, load_content=False, shuffle=False)
    pixels = np.stack([np.asarray(Image.open(name).convert("RGB")) for name in files.filenames])
    return pixels.transpose(0, 3, 1, 2), files.target


def load(task: str, draw: int) -> Draw:
    """Draw training images, and label the same number of each class."""
    X, truth, *test = images(task)
    rows = np.random.RandomState(draw).permutation(len(X))
    chosen, rest = np.split(rows, [TASKS[task].n_train])
    X_test, y_test = test or (X[rest], truth[rest])
    X, truth = X[chosen], truth[chosen].astype(int)
    return Draw(X, mask_labels(truth, TASKS[task].n_labels, random_state=draw), truth, X_test, y_test)


def of_rows(estimator: BaseEstimator) -> BaseEstimator:
    """Return a pipeline from images to a classifier of rows."""
    return make_pipeline(FunctionTransformer(flat), MinMaxScaler(), estimator)


def estimators(parameters: dict[str, Any]) -> dict[str, BaseEstimator]:
    """Return all methods: networks with these parameters, and scikit-learn's classifiers."""
    networks = image_methods(1, **parameters)
    return {
        SSLDEC: networks[SSLDEC],
        START: networks["supervised only (max_iter=0)"],
        **{name: networks[name] for name in BASELINES},
        "SSLDEC, no neighbors": SSLDECClassifier(**parameters, cycle__neighbors=False),
        "SSLDEC, targets of all": SSLDECClassifier(**parameters, cycle__targets="all"),
        "LabelSpreading (7 neighbours)": of_rows(LabelSpreading(kernel="knn", n_neighbors=7)),
        "self-training (5 neighbours)": of_rows(SelfTrainingClassifier(KNeighborsClassifier(5))),
        "logistic regression": of_rows(LogisticRegression(max_iter=1000)),
        "random forest": of_rows(RandomForestClassifier(random_state=0)),
    }


def parameters(draw: int, task: str, device: str, cpu_network: bool) -> dict[str, Any]:
    """Return the parameters of networks: defaults, but for the seed, the device and the size of a CPU's."""
    chosen: dict[str, Any] = {"random_state": draw, "device": device}
    if cpu_network:
        width, dropout = (0.25, 0.1) if task == "digits" else (0.125, 0.0)
        chosen |= {"module__width": width, "module__convs_per_block": 2, "module__dropout": dropout}
    return chosen


def fit(task: str, draw: int, method: str, device: str, cpu_network: bool) -> dict[str, Any]:
    """Fit one method to one draw, and return its errors and seconds."""
    torch.set_num_threads(1)
    data = load(task, draw)
    estimator = estimators(parameters(draw, task, device, cpu_network))[method]
    known = data.y >= 0 if method in SUPERVISED else slice(None)
    start, cpu_start = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # methods that train to no threshold
        warnings.simplefilter("ignore", RuntimeWarning)  # LabelSpreading divides by 0 for unconnected samples
        estimator.fit(data.X[known], data.y[known])
    result = {
        "task": task,
        "draw": draw,
        "method": method,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
        "error": float(np.mean(estimator.predict(data.X_test) != data.y_test)),
        "hardware": torch.cuda.get_device_name() if device == "cuda" else "CPU",
    }
    nets = getattr(estimator, "nets_", [])
    if nets and nets[0].predict_views:
        estimator.set_params(net__predict_views=False)
        result["single_view_error"] = float(np.mean(estimator.predict(data.X_test) != data.y_test))
    if hasattr(estimator, "transduction_") and method != START:
        hidden = data.y < 0
        result["unlabeled"] = float(np.mean((estimator.transduction_ != data.truth)[hidden]))
        result["start_unlabeled"] = float(np.mean((estimator.supervised_transduction_ != data.truth)[hidden]))
    return result


def main() -> None:
    """Read the command line, run what is not in the file, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(estimators({}))
    parser.add_argument(
        "--tasks", nargs="*", default=[task for task in TASKS if task not in OPTIONAL], choices=TASKS
    )
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder of the data; default: that of SSLDEC_DATA")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-network", action="store_true", help="on a GPU, the network of a CPU")
    parser.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON lines file")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["SSLDEC_DATA"] = str(arguments.data)
    done = read(arguments.output)
    keys = {(row["task"], row["draw"], row["method"]) for row in done}
    todo = [
        (task, draw, method)
        for draw in range(arguments.first_draw, arguments.first_draw + arguments.draws)
        for task in arguments.tasks
        for method in arguments.methods
        if (task, draw, method) not in keys
    ]
    finished = Parallel(n_jobs=arguments.n_jobs, return_as="generator_unordered")(
        delayed(fit)(*key, arguments.device, arguments.cpu_network) for key in todo
    )
    for row in tqdm(finished, total=len(todo), unit="fit"):
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        with arguments.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
    on_gpu = arguments.device != "cpu" and not arguments.cpu_network
    table = summary(read(arguments.output), on_gpu)
    arguments.output.with_suffix(".md").write_text(table)
    print(table)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the finished fits."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summary(rows: list[dict[str, Any]], on_gpu: bool) -> str:
    """Return the tables: errors, and by how much each method is worse than SSLDEC on the same draws."""
    errors: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        errors.setdefault((row["method"], row["task"]), {})[row["draw"]] = 100 * row["error"]
        if "single_view_error" in row:
            single = errors.setdefault((row["method"] + SINGLE, row["task"]), {})
            single[row["draw"]] = 100 * row["single_view_error"]
    tasks = [task for task in TASKS if any(task == measured for _, measured in errors)]
    measured = {method for method, _ in errors}
    today = list(estimators({}))
    order = [method for method in today if method in measured] + sorted(measured.difference(today))
    cells = {key: list(values.values()) for key, values in errors.items()}
    means = {key: f"{np.mean(v):.2f} ± {spread(v)} ({len(v)})" for key, v in cells.items()}
    gaps = {}
    for (method, task), values in errors.items():
        alike = method.endswith((SINGLE, BEFORE)) and method != SSLDEC + SINGLE
        ours = errors.get((SSLDEC + SINGLE * alike, task), {})
        paired = [values[draw] - ours[draw] for draw in values if draw in ours]
        if paired and method != SSLDEC:
            gaps[method, task] = f"{np.mean(paired):+.2f} ± {spread(paired)}"
    times: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        times.setdefault((row["method"], f"{row['task']}, {row['hardware']}"), []).append(row["seconds"])
    seconds = {key: f"{np.mean(v):.0f}" for key, v in times.items()}
    columns = list(dict.fromkeys(task for _, task in times))
    command = "python examples/benchmarks/images.py --device cuda" if on_gpu else "make results-images"
    return HEAD.format(
        size="GPU" if on_gpu else "CPU",
        command=command,
        errors=table(order, tasks, means),
        gaps=GAPS.format(gaps=table(order[1:], tasks, gaps)) if gaps else "",
        seconds=table(order, columns, seconds),
    )


def spread(values: list[float]) -> str:
    """Return the standard error of a mean."""
    return f"{np.std(values, ddof=1) / np.sqrt(len(values)):.2f}" if len(values) > 1 else "?"


def table(rows: list[str], columns: list[str], cells: dict[tuple[str, str], str]) -> str:
    """Return a table in markdown."""
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
