"""Segmentation with targets that are computed where patches are drawn."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_ssldec import SSLDECSegmenter, persistence
from sklearn_ssldec._estimators.methods import hard_labels
from sklearn_ssldec._samples.drawn_patches import (
    DrawnPatches,
    LabeledVolumes,
    move_voxels,
    outer_size,
    two_views,
)
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec.augment import Compose, GaussianNoise, RandomAffine
from sklearn_ssldec.baselines import PseudoLabelSegmenter


def squares(n=6, size=24, seed=0):
    rng = np.random.default_rng(seed)
    maps = np.zeros((n, size, size), dtype=int)
    for labels in maps:
        row, column = rng.integers(2, size // 2 - 2, 2)
        labels[row : row + size // 2, column : column + size // 2] = 1
    return maps + 0.3 * rng.standard_normal(maps.shape), maps


def segmenter(kind=SSLDECSegmenter, **kwargs):
    settings = {
        "module__width": 0.125,
        "cycle__targets": "drawn",
        "pretrain_epochs": 2,
        "max_iter": 2,
        "patches_per_epoch": 160,
        "min_batches": 1,
        "random_state": 0,
    }
    return kind(**{**settings, **kwargs})


@pytest.fixture(scope="module")
def fitted():
    images, maps = squares()
    return segmenter().fit(images, [maps[0], *[None] * 5]), images, maps


def test_learns_from_one_labeled_image(fitted):
    seg, images, maps = fitted
    assert seg.plan_["targets"] == "drawn"
    assert seg.score(images[1:], list(maps[1:])) > 0.9
    assert_array_equal(seg.transduction_[0], maps[0])
    assert_array_equal(seg.transduction_[1], seg.predict(images[1:2])[0])
    assert len(seg.supervised_transduction_) == 6
    assert [record["iteration"] for record in seg.history_] == [0, 1, 2]
    assert 0 <= seg.history_[-1]["share_changed"] < 0.5


def test_images_have_it_by_default_and_volumes_have_not():
    images, maps = squares()
    short = {"cycle__targets": "auto", "pretrain_epochs": 0, "max_iter": 0}
    assert segmenter(**short).fit(images, [maps[0], *[None] * 5]).plan_["targets"] == "drawn"
    volumes, labels = np.stack([images, images]), np.stack([maps, maps])
    assert segmenter(**short).fit(volumes, [labels[0], None]).plan_["targets"] == "all"
    viewed = segmenter(**short, cycle__target_views=1).fit(images, [maps[0], *[None] * 5])
    assert viewed.plan_["targets"] == "all"


def test_same_seed_same_result(fitted):
    seg, images, maps = fitted
    again = segmenter(cycle__transduction=False).fit(images, [maps[0], *[None] * 5])
    assert_array_equal(again.predict_proba(images), seg.predict_proba(images))
    assert not hasattr(again, "transduction_")


def test_pseudo_labeling_has_the_same_aids():
    images, maps = squares()
    seg = segmenter(PseudoLabelSegmenter).fit(images, [maps[0], *[None] * 5])
    assert seg.score(images[1:], list(maps[1:])) > 0.8


def test_scribbles_and_ignored_voxels():
    images, maps = squares(4)
    y = []
    for labels in maps:
        scribble = np.full(labels.shape, -1)
        scribble[2:4], scribble[12:14], scribble[:, :2] = labels[2:4], labels[12:14], 9
        y.append(scribble)
    seg = segmenter(ignore_label=9, pretrain_epochs=4).fit(images, y)
    assert_array_equal(seg.classes_, [0, 1])
    assert seg.score(images, y) > 0.8


def test_an_interrupted_fit_goes_on(fitted, tmp_path):
    _, images, maps = fitted
    y = [maps[0], *[None] * 5]

    class KilledError(Exception):
        pass

    class Bomb(GaussianNoise):
        n_left = 10**9

        def __call__(self, batch, progress=0.0):
            Bomb.n_left -= 1
            if Bomb.n_left == 0:
                raise KilledError
            return super().__call__(batch)

    kwargs = {"augment": Bomb(0.1), "checkpoint_dir": tmp_path / "fit"}
    whole = segmenter(augment=Bomb(0.1)).fit(images, y)
    Bomb.n_left = 2 * 20 + 20 + 5  # in the second iteration
    with pytest.raises(KilledError):
        segmenter(**kwargs).fit(images, y)
    Bomb.n_left = 10**9
    resumed = segmenter(**kwargs).fit(images, y)
    assert_array_equal(resumed.predict_proba(images), whole.predict_proba(images))


def test_memory_maps_stay_on_disk(tmp_path):
    images, maps = squares()
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    y = [maps[0], *[None] * 5]
    one, other = (segmenter(pretrain_epochs=1, max_iter=1).fit(X, y) for X in (mapped, images.astype("f4")))
    assert_array_equal(one.predict(images), other.predict(images))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a few steps only
@pytest.mark.parametrize("shape", [(20, 20, 20), (8, 40, 40)])
@pytest.mark.parametrize("targets", ["auto", "drawn"])
def test_tiny_and_flat_volumes(shape, targets):
    labels = np.zeros(shape, dtype=int)
    labels[2:6, 5:15, 5:15] = 1
    volumes = [labels + 0.3 * np.random.default_rng(i).standard_normal(shape) for i in range(3)]
    seg = segmenter(cycle__targets=targets, pretrain_epochs=1, max_iter=1, patches_per_epoch=8)
    seg.fit(volumes, [labels, None, None])
    assert seg.predict(volumes)[2].shape == shape


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"cycle__targets": "drawn", "cycle__target_views": 2}, "cycle__target_views must be 0"),
        (
            {"cycle__targets": "drawn", "net__data_parallel": True},
            "net__data_parallel=True needs cycle__targets='all'",
        ),
        (
            {"cycle__targets": "all", "cycle__mix": None},
            "cycle__mix has a meaning for cycle__targets='drawn' only",
        ),
        ({"cycle__targets": "none"}, "cycle__targets"),
    ],
)
def test_what_does_not_go_together(kwargs, message):
    images, maps = squares()
    with pytest.raises(ValueError, match=message):
        segmenter(**kwargs).fit(images, [maps[0], *[None] * 5])


# Parts ------------------------------------------------------------------------------------------------------


def source(n_labeled=1):
    images, maps = squares(4)
    volumes = Volumes([torch.from_numpy(image)[None] for image in images])
    known = [labels if i < n_labeled else None for i, labels in enumerate(maps)]
    return LabeledVolumes(volumes, known, [None] * 4), images, maps


def test_patches_and_their_codes_belong_together():
    drawn, _, maps = source()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        volume, corner = drawn.draw_labeled((10, 10), True, generator)
        assert volume == 0
        box = tuple(slice(first, first + 10) for first in corner)
        assert_array_equal(drawn.codes(volume, corner, (10, 10)), maps[0][box])
        volume, corner = drawn.draw_unlabeled((10, 10), generator)
        assert volume in (1, 2, 3)
        assert all(0 <= first <= 14 for first in corner)
        assert (drawn.codes(volume, corner, (10, 10)) == -1).all()
    assert_array_equal(drawn.codes(0, (-2, 20), (4, 10))[:2], np.full((2, 10), -2))  # outside


def test_batches_hold_labels_of_labeled_patches_only():
    drawn, *_ = source()
    patches = DrawnPatches(
        drawn, 2, n_batches=1, n_unlabeled=2, n_labeled=3, size=(10, 10), outer_size=(14, 14), balance=0.5,
        generator=torch.Generator().manual_seed(0), device=torch.device("cpu"),
    )  # fmt: skip
    X, (p, weight, n_own) = patches.draw()
    assert X.shape == (5, 1, 14, 14)
    assert n_own == 2
    assert not p[:2].any()
    assert_array_equal(p[2:].sum(1), weight[2:])
    assert len(patches) == 5


def test_two_views_share_what_moves_voxels():
    affine, noise = RandomAffine(degrees=30, shift=0.0), GaussianNoise(0.1)
    views = two_views(Compose(noise, affine))
    assert (views.weak, views.strong) == ([affine], [noise])
    assert outer_size(views.weak, (100, 100))[0] == pytest.approx(100 * affine.reach, abs=2)
    assert outer_size([], (100, 7)) == (100, 7)
    assert two_views(None) == ([], [])


def test_moving_voxels_moves_their_targets():
    torch.manual_seed(0)
    drawn, *_ = source(4)
    affine = RandomAffine(degrees=30, scale=0.2, shift=0.0)
    size = outer_size([affine], (16, 16))
    patches = DrawnPatches(
        drawn, 2, n_batches=1, n_unlabeled=0, n_labeled=8, size=(16, 16), outer_size=size, balance=1.0,
        generator=torch.Generator().manual_seed(0), device=torch.device("cpu"),
    )  # fmt: skip
    _, targets = patches.draw()
    X = targets.p[:, 1:].clone()  # an image of the labels themselves
    moved, (p, weight, _) = move_voxels([affine], X, targets, (16, 16), 0.0)
    assert moved.shape == (8, 1, 16, 16)
    known = weight > 0
    assert known.float().mean() > 0.5
    assert (moved[:, 0] - p[:, 1])[known].abs().max() < 1e-4


def test_voxels_that_the_network_is_unsure_of_take_no_part(fitted):
    net = copy.copy(fitted[0].nets_[0])
    X = torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    largest = net.taught(X).amax(1)
    net.target_, net.min_confidence = hard_labels, float(largest.median())
    _, weight = net._with_targets(X, torch.zeros(2, 2, 24, 24), torch.ones(2, 24, 24), 2)
    assert_array_equal(weight > 0, largest >= largest.median())


def test_saved_and_loaded(fitted, tmp_path):
    seg, images, _ = fitted
    persistence.save(seg, tmp_path / "seg.ssldec")
    loaded = persistence.load(tmp_path / "seg.ssldec")
    assert loaded.plan_ == seg.plan_
    assert_array_equal(loaded.predict_proba(images), seg.predict_proba(images))
