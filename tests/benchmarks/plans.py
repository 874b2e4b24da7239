"""Print what the segmenter plans for some data sets, the table of docs/how_to/segmentation.md.

Reads the shapes of real sets from the folder SSLDEC_DATA; a set that is not there is left out.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np

from sklearn_ssldec._estimators.planning import (
    choose_reduction,
    draws_targets,
    name_network,
    plan,
    reduced_spacing,
)
from sklearn_ssldec._samples.reduction import labels_kept, reduced_shape
from sklearn_ssldec.scans import load_nifti, load_spacing, median_spacing

FOLDER = Path(os.environ.get("SSLDEC_DATA", "."))


def hippocampus():
    paths = sorted((FOLDER / "hippocampus" / "imagesTr").glob("hippocampus*.nii.gz"))
    spacing = median_spacing([load_spacing(path) for path in paths]) if paths else None
    return [load_nifti(path).shape for path in paths], spacing


def arrays(file, ending):
    if not (FOLDER / file).exists():
        return []
    with np.load(FOLDER / file) as data:
        return [data[name].shape for name in data.files if ending in name]


SETS = {
    "hippocampus": hippocampus,
    "heart, slices (ACDC)": lambda: ([shape[1:] for shape in arrays("acdc.npz", "/image")], None),
    "brain (BrainWeb)": lambda: (arrays("brainweb_sim_2mm.npz", "t1_"), (2.0, 2.0, 2.0)),
    # The median shape of its 80 training volumes.
    "left atrium (LA)": lambda: ([(194, 143, 88)], None),
    "long voxels (synthetic)": lambda: ([(64, 64, 10)], (1.0, 1.0, 6.0)),
    "small cubes (synthetic)": lambda: ([(20, 20, 20)], (1.0, 1.0, 1.0)),
}


def kept(name, factors):
    """Return how well labels outlast a reduction; they are taken to, but for those of thin tissues."""
    if name != "brain (BrainWeb)":
        return 1.0
    with np.load(FOLDER / "brainweb_sim_2mm.npz") as data:
        labels = data["label_05"].astype(np.int16)
    return labels_kept([(labels, (0, 1, 2))], factors, labels.max() + 1)


def told(numbers):
    return " x ".join(f"{n:g}" for n in numbers)


def main():
    where = "network | patch | blocks | strides"
    print(f"| data | median shape | voxel, mm | on a CPU: {where} | on a GPU: {where} |")
    print("|---" * 11 + "|")
    for name, read in SETS.items():
        shapes, spacing = read()
        if not shapes:
            continue
        cells = []
        for on_gpu in (False, True):
            factors = (1,) * len(shapes[0])
            if len(factors) == 3:
                factors = choose_reduction(shapes, partial(kept, name), on_gpu=on_gpu, spacing=spacing)
            targets = "drawn" if draws_targets(shapes, factors) else "all"
            seen, sides = (
                [reduced_shape(shape, factors) for shape in shapes],
                reduced_spacing(spacing, factors),
            )
            chosen = name_network(plan(seen, on_gpu=on_gpu, spacing=sides), targets, sides, False)
            steps = [*chosen["strides"]]
            if chosen.get("stem", 1) > 1:
                steps.insert(0, (chosen["stem"],) * len(chosen["patch_size"]))
            told_steps = ", ".join("".join(map(str, step)) for step in steps)
            cells += [chosen["network"], told(chosen["patch_size"]), "".join(map(str, factors)), told_steps]
        size = "unknown" if spacing is None else told(spacing)
        row = [name, told(np.median(shapes, axis=0).astype(int)), size, *cells]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
