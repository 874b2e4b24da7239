"""Figure 5 of the paper: test error on MNIST with 100 or 1000 labels.

Without ``--quick``, the paper's protocol: 60,000 training images of which 100 (``--labels 1000``: 1000) are
labeled, the network of figure 2, translations of one pixel, its learning rates, batches of 128, an ensemble
of five networks, ten draws. It wants a GPU.

With ``--quick``, for a CPU: 10,000 training images of which 100 are labeled, one network with the library's
default settings, three draws, and the baselines and scikit-learn's semi-supervised classifiers on the same
draws. Finished draws are kept in the JSON file, and not run again.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from _protocol import Draw, parser, prepare, run
from _results import Results

from sklearn_ssldec.augment import RandomTranslation
from sklearn_ssldec.datasets import fetch_mnist, mask_labels

# Section IV-A. The number of iterations is not in the paper.
PAPER = {
    "module__width": 1.0,
    "module__convs_per_block": 3,
    "module__dropout": 0.25,
    "alpha": 1.0,
    "head__spread": None,
    "pretrain_epochs": 100,
    "pretrain_lr": (1e-3, 1e-4),
    "lr": 1e-4,
    "batch_size": 128,
    "cycle__targets": "all",
    "cycle__labeled_weight": 0.0,
    "balance": 0.0,
    "min_batches": 1,
    "cycle__target_views": 0,
    "net__ema_decay": 0.0,
    "max_iter": 100,
    "augment": RandomTranslation(1),
}


@lru_cache(maxsize=1)
def images() -> tuple[np.ndarray, ...]:
    """Load MNIST, once in each process."""
    train, test = fetch_mnist(subset="train"), fetch_mnist(subset="test")
    return train.images, train.target, test.images, test.target


def load(draw: int, n_train: int, n_labeled: int) -> Draw:
    """Draw training images, and label the same number of each class."""
    X, y, X_test, y_test = images()
    rows = np.random.RandomState(draw).choice(len(X), n_train, replace=False)
    masked = mask_labels(y[rows], n_labeled // 10, random_state=draw)
    return Draw(X[rows], masked, X_test, y_test)


def main() -> None:
    """Read the command line, run and write the table."""
    arguments = parser(__doc__.splitlines()[0], "docs/results/mnist_*.json", 100, 0).parse_args()
    methods, n_draws, n_estimators = prepare(arguments, PAPER)
    size, n_train = ("quick", 10_000) if arguments.quick else ("paper", 60_000)
    output = arguments.output or Path(f"docs/results/mnist_{arguments.labels}_{size}.json")
    protocol = {
        "data": f"MNIST, {n_train} training images, {arguments.labels} labels",
        "networks": n_estimators,
        "settings": "defaults" if arguments.quick else "the paper's",
    }
    title = f"MNIST, {n_train:,} training images, {arguments.labels} labels: test error in %"
    results = Results(output, title, protocol)
    draw = partial(load, n_train=n_train, n_labeled=arguments.labels)
    run(results, methods, draw, n_draws, arguments.n_jobs)
    command = f"python examples/paper/figure_5_mnist.py --labels {arguments.labels}"
    if arguments.quick:
        command += f" --quick --draws {n_draws}"
    notes = (
        f"{n_estimators} network(s) a fit. The paper (60,000 images, 5 networks): 0.88 (0.24) with 100 "
        "labels, 0.46 (0.09) with 1000."
    )
    print(results.write_table(methods, {"error": "test error"}, command, notes, worst=np.max))


if __name__ == "__main__":
    main()
