"""The paper's figures 9 to 12: brain tissue from T1 and T2, labels on one fifth of 1, 2 or 5 scans.

With --data, a folder of iSeg2017, on its infants; else on simulated images of 12 adult anatomies of BrainWeb,
if brainweb_sim_2mm.npz lies in the folder that SSLDEC_DATA names. Five scans are for testing, all others are
for training: one slice in five of the labeled ones has labels, the others have none. As in the paper the
background is merged with CSF and taken out of the result where T1 is 0, and the higher bound sees all
slices of the labeled scans. Finished draws are kept, so that the run can be interrupted.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _results import Results
from _segmentation import PSEUDO, SSLDEC, Draw, figure_3, methods, parser, run, table
from matplotlib.figure import Figure

from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.scans import load_iseg2017, mask_slices, separate_background

N_TEST, STEP = 5, 5
TISSUES = {"dice_250": "WM", "dice_150": "GM", "dice_10": "CSF"}


def read(folder: Path | None) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Return images of shape (2, *spatial) and their label maps, with the background merged with CSF."""
    if folder is not None:
        data = load_iseg2017(folder)
        return data.images, data.labels
    path = Path(os.environ.get("SSLDEC_DATA", ".")) / "brainweb_sim_2mm.npz"
    images, labels = [], []
    with np.load(path) as data:
        for name in sorted(key.removeprefix("label_") for key in data.files if key.startswith("label_")):
            image = np.stack([data[f"t1_{name}"], data[f"t2_{name}"]])
            tissues = np.array([10, 10, 150, 250], dtype=np.int16)[data[f"label_{name}"]]
            box = head(image[0])
            images.append(image[(slice(None), *box)])
            labels.append(tissues[box])
    return images, labels


def head(t1: np.ndarray) -> tuple[slice, ...]:
    """Return the box that holds everything that is not air."""
    box = []
    for axis in range(t1.ndim):
        rows = np.flatnonzero(t1.any(axis=tuple(a for a in range(t1.ndim) if a != axis)))
        box.append(slice(int(rows[0]), int(rows[-1]) + 1))
    return tuple(box)


def load(folder: Path | None, n_labeled: int, draw: int) -> Draw:
    """Choose the scans of a draw; the test scans are the same however many are labeled."""
    images, labels = read(folder)
    known = [i for i, label_map in enumerate(labels) if label_map is not None]
    order = np.random.RandomState(draw).permutation(known)
    test, labeled = order[:N_TEST], order[N_TEST : N_TEST + n_labeled]
    unlabeled = [i for i in range(len(images)) if i not in order[: N_TEST + n_labeled]]
    train = [*labeled, *unlabeled]
    nothing = [None] * len(unlabeled)
    return Draw(
        [images[i] for i in train],
        [*[mask_slices(labels[i], STEP) for i in labeled], *nothing],
        [*[labels[i] for i in labeled], *nothing],
        [images[i] for i in test],
        [separate_background(labels[i], images[i]) for i in test],
    )


def background_apart(data: Draw, predicted: list[np.ndarray]) -> list[np.ndarray]:
    """Separate the background of the predicted label maps."""
    return [separate_background(p, image) for p, image in zip(predicted, data.X_test, strict=True)]


def draw_figure_12(folder: Path | None, name: str, path: Path, **parameters: object) -> None:
    """Fit SSLDEC and pseudo-labeling to two labeled scans, and draw slices of a test scan."""
    data = load(folder, 2, 0)
    image, truth = data.X_test[0], data.y_test[0]
    segmenters = methods(**parameters)
    predicted = {}
    for method in (SSLDEC, PSEUDO):
        segmenter = segmenters[method].set_params(random_state=0).fit(data.X, data.y)
        predicted[method] = separate_background(segmenter.predict([image])[0], image)
    if folder is None:  # BrainWeb's axes are (z, y, x)
        image, truth = image.transpose(0, 3, 2, 1), truth.T
        predicted = {method: labels.T for method, labels in predicted.items()}
    figure = draw_slices(image, truth, predicted)
    figure.suptitle(
        f"{name}: labels on one fifth of two scans (dark to light: background, CSF, GM, WM; red: wrong)",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"{path} written")


def draw_slices(image: np.ndarray, truth: np.ndarray, predicted: dict[str, np.ndarray]) -> Figure:
    """Draw an axial and a sagittal slice of T1, T2, the truth and label maps; axes (x, y, z)."""
    panels = {"T1": image[0], "T2": image[1], "truth": truth, **predicted}
    figure, axes = plt.subplots(2, len(panels), figsize=(11.5, 4.7), layout="constrained")
    for row, axis in zip(axes, (2, 0), strict=True):
        for ax, (title, volume) in zip(row, panels.items(), strict=True):
            # Beside the middle, where the hemispheres part.
            at = volume.shape[axis] // 2 + (5 if axis == 0 else 0)
            plane = np.take(volume, at, axis=axis).T
            if title in ("T1", "T2"):
                ax.imshow(plane, cmap="gray", origin="lower", interpolation="nearest")
            else:
                tissue = np.searchsorted([0, 10, 150, 250], plane) / 3
                shown = plt.get_cmap("gray")(tissue)
                shown[plane != np.take(truth, at, axis=axis).T] = (0.9, 0.1, 0.1, 1)
                ax.imshow(shown, origin="lower", interpolation="nearest")
            ax.set_axis_off()
    for ax, title in zip(axes[0], panels, strict=True):
        score = f"\nDice {dice_score(truth, predicted[title]):.3f}" if title in predicted else ""
        ax.set_title(title + score, fontsize=10)
    return figure


def main() -> None:
    """Read the command line, run, write the table and the figure."""
    command_line = parser(__doc__.splitlines()[0], "docs/results/")
    command_line.add_argument(
        "--data", type=Path, default=None, help="folder of iSeg2017 (default: BrainWeb)"
    )
    command_line.add_argument("--figure", action="store_true", help="draw figure 12 instead of the table")
    arguments = command_line.parse_args()
    name = "BrainWeb anatomies, simulated T1 and T2" if arguments.data is None else "iSeg2017"
    stem = "brainweb_simulated" if arguments.data is None else "iseg2017"
    parameters = {"device": arguments.device, **figure_3(arguments.device)}
    if arguments.figure:
        path = Path("docs/images") / f"figure_12_{stem}.png"
        draw_figure_12(arguments.data, name, path, **parameters)
        return
    output = arguments.output if arguments.output.suffix else arguments.output / f"{stem}.json"
    protocol = {"data": name, "labeled slices": f"one in {STEP}", "test": N_TEST}
    results = Results(output, f"{name}: Dice in %, labels on one fifth of the slices", protocol)
    chosen = methods(**parameters)
    names = arguments.methods or list(chosen)
    run(
        results,
        chosen,
        partial(load, arguments.data),
        [(n, method) for n in arguments.labels for method in names],
        arguments.draws,
        arguments.n_jobs,
        after={"": background_apart},
    )
    notes = (
        "The paper's network. A draw is the choice of test, labeled and unlabeled scans, and the seed of the "
        "networks. The higher bound sees all slices of the labeled scans."
    )
    command = "python examples/paper/figures_9_10_11_iseg.py"
    command += "" if arguments.data is None else " --data iSeg-2017-Training"
    print(table(results, arguments.labels, TISSUES, command, notes))


if __name__ == "__main__":
    main()
