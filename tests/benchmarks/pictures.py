"""Segmentation of pictures, two or three of them labeled, beside a random forest: a table of
docs/experiments/segmentation.md.

    python tests/benchmarks/pictures.py FOLDER --sets drive cracks --max-iter 0 --pretrain-epochs 4

FOLDER has, as their sources hand them out (those that are missing are left out):

- DRIVE/{training,test}/{images,1st_manual}: retinal vessels (Staal et al. 2004)
- CrackForest-dataset/{image,groundTruth}: cracks in pavement (Shi et al. 2016)
- stage1_train: nuclei, the Data Science Bowl 2018 (Caicedo et al. 2019)
- CamVid/{train,trainannot,val,valannot}: streets (Brostow et al. 2009), as the SegNet tutorial has them
- membrane/train/{image,label}: cells in electron microscopy (Arganda-Carreras et al. 2015), as PNG
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.metrics import dice_score

Pair = tuple[np.ndarray, np.ndarray]
# Pictures that are labeled, unlabeled and tested on.
N_LABELED, N_UNLABELED, N_TEST = {"camvid": 3, "nuclei": 3}, 60, 20


def picture(path: Path, mode: str = "RGB") -> np.ndarray:
    """Return a picture with its channels first."""
    pixels = np.asarray(Image.open(path).convert(mode))
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels


def drive(folder: Path) -> Iterator[Iterator[Pair]]:
    """Return training and test pairs of retinal vessels."""
    for part in ("training", "test"):
        images = sorted((folder / "DRIVE" / part / "images").iterdir())
        masks = sorted((folder / "DRIVE" / part / "1st_manual").iterdir())
        yield ((picture(i), (picture(m, "L") > 127).astype(int)) for i, m in zip(images, masks, strict=True))


def cracks(folder: Path) -> Iterator[Iterator[Pair]]:
    """Return training and test pairs of cracks."""
    root = folder / "CrackForest-dataset"
    names = [path.stem for path in sorted((root / "groundTruth").iterdir())]
    order = [names[i] for i in np.random.RandomState(0).permutation(len(names))]
    for some in (order[:62], order[62:]):
        yield ((picture(root / f"image/{name}.jpg"), crack_map(root, name)) for name in some)


def crack_map(root: Path, name: str) -> np.ndarray:
    """Return the label map of a picture of pavement."""
    truth = scipy.io.loadmat(root / f"groundTruth/{name}.mat")["groundTruth"][0, 0]
    return (truth["Segmentation"] > 1).astype(int)


def nuclei(folder: Path) -> Iterator[Iterator[Pair]]:
    """Return training and test pairs of nuclei, of several sizes and stains."""
    paths = sorted((folder / "stage1_train").iterdir())
    order = [paths[i] for i in np.random.RandomState(0).permutation(len(paths))]
    for some in (order[:63], order[63:]):
        yield ((picture(next((path / "images").iterdir())), nuclei_map(path)) for path in some)


def nuclei_map(path: Path) -> np.ndarray:
    """Return where any of the nuclei is."""
    return np.any([picture(mask, "L") > 0 for mask in (path / "masks").iterdir()], axis=0).astype(int)


def camvid(folder: Path) -> Iterator[Iterator[Pair]]:
    """Return training and test pairs of streets, in which void pixels are -1."""
    train, test = (sorted((folder / "CamVid" / part).iterdir()) for part in ("train", "val"))
    order = np.random.RandomState(0).permutation(len(train))
    for some in ([train[i] for i in order], test[::3]):
        yield ((picture(path), street_map(path)) for path in some)


def street_map(path: Path) -> np.ndarray:
    """Return the classes of a street, -1 where nobody could tell."""
    found = picture(path.parents[1] / f"{path.parent.name}annot" / path.name, "L").astype(int)
    return np.where(found == 11, -1, found)


def membrane(folder: Path) -> Iterator[Iterator[Pair]]:
    """Return training and test pairs of the borders of cells."""
    root = folder / "membrane" / "train"
    names = sorted(path.name for path in (root / "image").iterdir())
    order = [names[i] for i in np.random.RandomState(0).permutation(len(names))]
    for some in (order[:20], order[20:]):
        yield (
            (picture(root / "image" / n, "L"), (picture(root / "label" / n, "L") < 128).astype(int))
            for n in some
        )


SETS: dict[str, Callable[[Path], Iterator[Iterator[Pair]]]] = {
    "drive": drive,
    "cracks": cracks,
    "nuclei": nuclei,
    "camvid": camvid,
    "membrane": membrane,
}


def features(image: np.ndarray) -> np.ndarray:
    """Return intensity, edges and curvature of each channel at six scales, a row for each pixel."""
    columns = []
    for channel in np.float32(image.reshape(-1, *image.shape[-2:])):
        for sigma in (0.5, 1, 2, 4, 8, 16):
            smooth = ndimage.gaussian_filter(channel, sigma)
            row, column = np.gradient(smooth)
            (row_row, row_column), column_column = np.gradient(row), np.gradient(column)[1]
            mean, half = (row_row + column_column) / 2, (row_row - column_column) / 2
            root = np.hypot(half, row_column)
            columns += [smooth, np.hypot(row, column), mean + root, mean - root]
    return np.stack(columns, axis=-1).reshape(-1, len(columns))


def forest(images: list[np.ndarray], maps: list[np.ndarray], tested: list[np.ndarray]) -> list[np.ndarray]:
    """Return what a random forest on the labeled pixels predicts."""
    X, y = np.concatenate([features(image) for image in images]), np.concatenate([m.ravel() for m in maps])
    chosen = np.random.RandomState(0).permutation(np.flatnonzero(y >= 0))[:60_000]
    trees = RandomForestClassifier(60, max_samples=0.5, max_depth=20, min_samples_leaf=3, random_state=0)
    trees.fit(X[chosen], y[chosen])
    return [trees.predict(features(image)).reshape(image.shape[-2:]) for image in tested]


def main() -> None:
    """Read the command line, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--pretrain-epochs", type=int, help="instead of the default's, of 100 steps each")
    parser.add_argument("--max-iter", type=int, help="instead of the default's")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    asked = {"pretrain_epochs": arguments.pretrain_epochs, "max_iter": arguments.max_iter}
    print("| set | random forest, Dice | segmenter, Dice | CPU seconds | reduction |\n|---|---|---|---|---|")
    for name in arguments.sets:
        train, test = SETS[name](arguments.folder)
        n = N_LABELED.get(name, 2)
        images, maps = zip(*itertools.islice(train, n + N_UNLABELED), strict=True)
        tested, truth = zip(*itertools.islice(test, N_TEST), strict=True)
        started = time.process_time()
        seg = SSLDECSegmenter(
            device="cpu",
            random_state=arguments.seed,
            cycle__transduction=False,
            **{name: value for name, value in asked.items() if value is not None},
        )
        seg.fit(list(images), [*maps[:n], *[None] * (len(images) - n)])
        seconds = time.process_time() - started
        labels = [code for code in seg.classes_.tolist() if code > 0 or name == "camvid"]
        of_forest = forest(list(images[:n]), list(maps[:n]), list(tested))
        predictions = (of_forest, seg.predict(list(tested)))
        scores = [dice_score(truth, predicted, labels=labels) for predicted in predictions]
        numbers = " | ".join(f"{score:.3f}" for score in scores)
        reduction = " x ".join(map(str, seg.plan_["reduction"]))
        print(f"| {name} | {numbers} | {seconds:.0f} | {reduction} |", flush=True)


if __name__ == "__main__":
    main()
