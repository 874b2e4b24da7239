"""Segment the left atrium in MRI: LA with 4 or 8 labeled volumes of 80, as the literature splits it.

The volumes are those that Yu et al. prepared (https://github.com/yulequan/UA-MT, folder ``data``): 80 for
training, of which the first are labeled, and 20 for testing. SSLDEC with default parameters is measured
beside the supervised model that it starts from, by the Dice score of each test volume. Finished fits are
kept. Reading the volumes needs h5py.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from acdc import SSLDEC, START, KeepSupervised

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.metrics import dice_score

sys.path.insert(0, str(Path(__file__).parents[1] / "paper"))
from _results import Results


def load(folder: Path, names: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return volumes and label maps."""
    import h5py

    images, maps = [], []
    for name in names:
        with h5py.File(folder / "2018LA_Seg_Training Set" / name / "mri_norm2.h5") as file:
            images.append(file["image"][:])
            maps.append(file["label"][:].astype(int))
    return images, maps


def score(segmenter: SSLDECSegmenter, images: list[np.ndarray], maps: list[np.ndarray]) -> float:
    """Return the mean Dice score over volumes."""
    return float(dice_score(maps, segmenter.predict(images), labels=[1], average="macro"))


def main() -> None:
    """Read the command line, run what is not finished, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder data of the repository")
    parser.add_argument("--labels", type=int, nargs="*", default=[8, 4], help="labeled volumes")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--output", type=Path, default=Path("docs/results/left_atrium.json"))
    arguments = parser.parse_args()
    protocol = {"data": "LA", "train volumes": 80, "test volumes": 20}
    results = Results(arguments.output, "Left atrium (LA): Dice in %", protocol)
    train, test = ((arguments.data / f"{kind}.list").read_text().split() for kind in ("train", "test"))
    images, maps = load(arguments.data, train)
    for seed in arguments.seeds:
        for n in arguments.labels:
            if results.has(f"{SSLDEC}, {n} labeled", seed):
                continue
            segmenter = SSLDECSegmenter(
                cycle__transduction=False, callbacks=[KeepSupervised()], random_state=seed, verbose=1
            )
            started = time.process_time()
            segmenter.fit(images, [*maps[:n], *[None] * (len(images) - n)])
            seconds = time.process_time() - started
            test_images, test_maps = load(arguments.data, test)
            end = score(segmenter, test_images, test_maps)
            net = segmenter.nets_[0]
            net.module_.load_state_dict(net.callbacks_[0][1].weights_)
            start = score(segmenter, test_images, test_maps)
            results.add(
                f"{START[SSLDEC]}, {n} labeled",
                seed,
                dice=start,
                seconds=segmenter.history_[0]["seconds"],
            )
            results.add(f"{SSLDEC}, {n} labeled", seed, dice=end, seconds=seconds)
            print(segmenter.plan_, results.content["draws"], flush=True)
    rows = [f"{method}, {n} labeled" for n in (4, 8) for method in (START[SSLDEC], SSLDEC)]
    rows = [row for row in rows if row in results.content["draws"]]
    notes = (
        "A draw is the seed of the networks; the split is the literature's. Seconds are of one core's CPU, "
        "those of a start of the clock."
    )
    print(
        results.write_table(rows, {"dice": "Dice"}, "python examples/benchmarks/left_atrium.py data", notes)
    )


if __name__ == "__main__":
    main()
