"""Print what the segmenter plans for five data sets, the table of docs/how_to/voxel_sizes.md.

Reads the shapes of real sets from the folder SSLDEC_DATA; a set that is not there is left out.
"""

import os
from pathlib import Path

import numpy as np

from sklearn_ssldec._estimators.planning import name_network, plan
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
    "long voxels (synthetic)": lambda: ([(64, 64, 10)], (1.0, 1.0, 6.0)),
    "small cubes (synthetic)": lambda: ([(20, 20, 20)], (1.0, 1.0, 1.0)),
}


def told(numbers):
    return " x ".join(f"{n:g}" for n in numbers)


def main():
    print("| data | median shape | voxel, mm | network | patch on a CPU | strides | on a GPU | strides |")
    print("|---|---|---|---|---|---|---|---|")
    for name, read in SETS.items():
        shapes, spacing = read()
        if not shapes:
            continue
        cells = []
        targets = "drawn" if len(shapes[0]) == 2 else "all"
        for on_gpu in (False, True):
            chosen = name_network(plan(shapes, on_gpu=on_gpu, spacing=spacing), targets, spacing, False)
            steps = [*chosen["strides"]]
            if chosen.get("stem", 1) > 1:
                steps.insert(0, (chosen["stem"],) * len(chosen["patch_size"]))
            cells += [told(chosen["patch_size"]), ", ".join("".join(map(str, step)) for step in steps)]
        size = "unknown" if spacing is None else told(spacing)
        row = [name, told(chosen["median_shape"]), size, chosen["network"], *cells]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
