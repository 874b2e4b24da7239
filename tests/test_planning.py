import math

import numpy as np
import pytest

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._estimators.planning import COARSEST, plan


@pytest.mark.parametrize(
    ("shapes", "spacing", "patch", "n_levels", "stem"),
    [
        ([(256, 216), (224, 154), (512, 428)], None, (160, 160), 5, 2),
        ([(35, 50, 35)], None, (32, 32, 32), 3, 1),
        ([(20, 20, 20)], None, (20, 20, 20), 3, 1),
        ([(24, 28)], None, (24, 28), 3, 1),
        # voxels six times as long in one axis: few of them in the patch, and halved last
        ([(40, 192, 192)], (6, 1, 1), (10, 56, 56), 4, 1),
    ],
)
def test_patch_and_levels(shapes, spacing, patch, n_levels, stem):
    chosen = plan(shapes, spacing=spacing)
    assert chosen["patch_size"] == patch
    assert (chosen["n_levels"], chosen["stem"]) == (n_levels, stem)


def test_long_voxels_and_few_slices_are_halved_last():
    strides = ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert plan([(40, 192, 192)], spacing=(6, 1, 1))["strides"] == strides
    assert plan([(12, 256, 256)])["strides"] == strides


@pytest.mark.parametrize("shape", [(1000, 30), (7, 300, 300), (64, 64), (5, 5), (200, 512, 512)])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_what_holds_for_any_shape(shape, on_gpu):
    chosen = plan([shape], on_gpu=on_gpu)
    coarsest = [
        n / (chosen["stem"] * math.prod(step[axis] for step in chosen["strides"]))
        for axis, n in enumerate(chosen["patch_size"])
    ]
    assert all(n == int(n) and n <= COARSEST for n in coarsest)
    assert len(chosen["strides"]) == chosen["n_levels"] - 1
    # what the budget allows, but for rounding to whole voxels of the coarsest level
    largest = {2: 160**2, 3: 40**3 if on_gpu else 32**3}
    assert math.prod(chosen["patch_size"]) <= 1.5 * largest[len(shape)]


def test_few_slices_warn():
    rng = np.random.default_rng(0)
    maps = np.zeros((2, 3, 40, 36), dtype=int)
    maps[:, :, 10:25, 8:20] = 1
    images = maps + 0.3 * rng.standard_normal(maps.shape)
    settings = {"pretrain_epochs": 1, "max_iter": 0, "patches_per_epoch": 4, "module__width": 0.1}
    with pytest.warns(UserWarning, match=r"few slices \(median shape 3 x 40 x 36, slices along axis 0\)"):
        SSLDECSegmenter(**settings).fit(list(images), [maps[0], None])


def test_what_the_user_chose_is_kept():
    chosen = plan([(256, 216)], patch_size=(64, 96), batch_size=7)
    assert (chosen["patch_size"], chosen["batch_size"]) == ((64, 96), 7)
    assert chosen["stem"] == 1  # for a patch of this size, full resolution is affordable
