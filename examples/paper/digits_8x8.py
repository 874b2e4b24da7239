"""The small sibling of figure 5: scikit-learn's 8x8 digits, ten labels a class, ten draws.

70 % of the digits are for training, 100 of these are labeled; the error is on the other 30 %. An ensemble of
five networks, and the first of them alone, with the library's default settings, beside the supervised model
that each starts from and scikit-learn's semi-supervised classifiers. Finished draws are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _protocol import MEMBER, SSLDEC, Draw, image_methods, run
from _results import Results
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ssldec.datasets import mask_labels

SUPERVISED = "supervised only (max_iter=0)"
OUTPUT = Path("docs/results/digits.json")


def load(draw: int) -> Draw:
    """Split the digits and label ten of each class."""
    digits = load_digits()
    X, X_test, y, y_test = train_test_split(
        digits.images, digits.target, test_size=0.3, stratify=digits.target, random_state=draw
    )
    return Draw(X, mask_labels(y, 10, random_state=draw), X_test, y_test)


def main() -> None:
    """Read the command line, run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--n-estimators", type=int, default=5)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--methods", nargs="*", help="only these (default: all)")
    arguments = parser.parse_args()
    methods = image_methods(arguments.n_estimators)
    chosen = arguments.methods or [SUPERVISED, SSLDEC, *list(methods)[-2:]]
    protocol = {"data": "load_digits, 30 % test, 10 labels a class", "networks": arguments.n_estimators}
    results = Results(arguments.output, "Digits 8x8, 10 labels a class: test error in %", protocol)
    run(results, {name: methods[name] for name in chosen}, load, arguments.draws, arguments.n_jobs)
    members = {SSLDEC: MEMBER, SUPERVISED: f"{SUPERVISED}, one network"} if arguments.n_estimators > 1 else {}
    for name, alone in members.items():
        for draw in range(arguments.draws):
            values = results.content["draws"][name][str(draw)]
            one = {"error": values["error_of_first"], "seconds": values["seconds"] / arguments.n_estimators}
            results.add(alone, draw, **one)
    gains = results.values(SUPERVISED, "error") - results.values(SSLDEC, "error")
    gains_of_first = results.values(SUPERVISED, "error_of_first") - results.values(SSLDEC, "error_of_first")
    notes = (
        f"{arguments.n_estimators} network(s), but where the table says one. SSLDEC ends below its own "
        f"supervised model on {np.sum(gains < -1e-9)} of {arguments.draws} draws (one network: "
        f"{np.sum(gains_of_first < -1e-9)}); one test image is {100 / 540:.2f} points."
    )
    rows = [name for method in (SSLDEC, SUPERVISED) for name in (method, members.get(method)) if name]
    rows = [name for name in dict.fromkeys([*rows, *methods]) if name in results.content["draws"]]
    command = "python examples/paper/digits_8x8.py"
    if arguments.n_estimators != 5:
        command += f" --n-estimators {arguments.n_estimators} --output {arguments.output}"
    print(results.write_table(rows, {"error": "test error"}, command, notes, worst=np.max))


if __name__ == "__main__":
    main()
