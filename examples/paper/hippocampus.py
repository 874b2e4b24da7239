"""Segment the hippocampus in real MRI: 1, 2 or 5 labeled scans and 60 bare ones.

Task 4 of the Medical Segmentation Decathlon: T1 scans cropped around the hippocampus, with its anterior and
posterior part as labels. 30 scans are for testing. SSLDEC is measured beside the supervised model that it
starts from (lower bound), pseudo-labeling with the same network and the supervised model that this starts
from (softmax), and supervised training on the labels of all training scans (higher bound), with the default
network, or with that of the paper's figure 3: then from five labeled scans also at twice the width. Each
predicted map is scored as it is, and once more with its largest connected piece only, as a scan shows one
hippocampus. Finished draws are kept, so that the run can be interrupted.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from _results import Results
from _segmentation import (
    AS_PREDICTED,
    HIGHER,
    PIECE,
    Draw,
    figure_3,
    largest_piece,
    methods,
    parser,
    run,
    table,
    wide_methods,
)

from sklearn_ssldec.scans import load_decathlon

N_UNLABELED, N_TEST = 60, 30


def load(folder: Path, n_labeled: int, draw: int) -> Draw:
    """Split the scans; the test scans and the unlabeled ones are the same however many are labeled."""
    data = load_decathlon(folder)
    order = np.random.RandomState(draw).permutation(len(data.images))
    test, rest = order[:N_TEST], order[N_TEST:]
    labeled, unlabeled = rest[:n_labeled], rest[-N_UNLABELED:]
    train = [*labeled, *unlabeled]
    return Draw(
        [data.images[i] for i in train],
        [*[data.labels[i] for i in labeled], *[None] * N_UNLABELED],
        [data.labels[i] for i in train],
        [data.images[i] for i in test],
        [data.labels[i] for i in test],
    )


def main() -> None:
    """Read the command line, run and write the table."""
    command_line = parser(__doc__.splitlines()[0], "docs/results/")
    default = Path(os.environ.get("SSLDEC_DATA", ".")) / "hippocampus"
    command_line.add_argument("--data", type=Path, default=default, help="folder with imagesTr and labelsTr")
    command_line.add_argument("--figure-3", action="store_true", help="the paper's network")
    arguments = command_line.parse_args()
    stem = "hippocampus_figure_3" if arguments.figure_3 else "hippocampus"
    network = "figure 3's network" if arguments.figure_3 else "U-Net"
    output = arguments.output if arguments.output.suffix else arguments.output / f"{stem}.json"
    protocol = {"data": "Decathlon Task04", "unlabeled": N_UNLABELED, "test": N_TEST, "network": network}
    results = Results(output, f"Hippocampus, {network}: Dice in %, 60 unlabeled scans", protocol)
    parameters = {"device": arguments.device}
    if arguments.figure_3:
        parameters |= figure_3(arguments.device)
    chosen = methods(**parameters)
    wide = wide_methods(**parameters) if arguments.figure_3 and 5 in arguments.labels else {}
    rows = [(n, name) for n in arguments.labels for name in chosen if name != HIGHER]
    rows += [*((5, name) for name in wide), (0, HIGHER)]
    rows = [(n, name) for n, name in rows if not arguments.methods or name in arguments.methods]
    after = AS_PREDICTED | {PIECE: largest_piece}
    run(
        results,
        chosen | wide,
        partial(load, arguments.data),
        rows,
        arguments.draws,
        arguments.n_jobs,
        after,
    )
    notes = (
        "A draw is the choice of test, labeled and unlabeled scans, and the seed of the networks. Left and "
        "right hippocampus of one person may be two scans."
    )
    names = {"dice_1": "anterior", "dice_2": "posterior"}
    command = "python examples/paper/hippocampus.py" + (" --figure-3" if arguments.figure_3 else "")
    print(table(results, arguments.labels, names, command, notes))


if __name__ == "__main__":
    main()
