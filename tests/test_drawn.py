"""Segmentation with targets that are computed where patches are drawn."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from sklearn_ssldec import SSLDECSegmenter, persistence
from sklearn_ssldec._estimators.methods import hard_labels
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.components import (
    outside_largest,
    restrict_to_largest,
    single_component_classes,
)
from sklearn_ssldec._samples.drawn_patches import (
    DrawnPatches,
    LabeledVolumes,
    move_voxels,
    outer_size,
    two_views,
)
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec.augment import Compose, GaussianNoise, RandomAffine, RandomFlip
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.clustering import RunningTarget


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
        "device": "cpu",  # where fits are the same bit by bit; test_gpu.py is about GPUs
        "random_state": 0,
    }
    return kind(**{**settings, **kwargs})


# Enough to compare two fits, and too little to learn from.
TWO_STEPS = {"patches_per_epoch": 16, "cycle__labeled_threshold": 0.0, "net__predict_scales": [1]}


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


def test_same_seed_same_result():
    images, maps = squares()
    seg, again = (
        segmenter(**TWO_STEPS, cycle__transduction=kept).fit(images, [maps[0], *[None] * 5])
        for kept in (True, False)
    )
    assert_array_equal(again.predict_proba(images), seg.predict_proba(images))
    assert len(seg.transduction_) == 6
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


def test_an_interrupted_fit_goes_on(tmp_path):
    images, maps = squares()
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

    kwargs = {"augment": Bomb(0.1), **TWO_STEPS, "checkpoint_dir": tmp_path / "fit"}
    whole = segmenter(augment=Bomb(0.1), **TWO_STEPS).fit(images, y)
    assert Bomb.n_left == 10**9 - 4 * 2
    Bomb.n_left = 2 * 2 + 2 + 1  # in the second iteration
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
    one, other = (segmenter(**TWO_STEPS).fit(X, y) for X in (mapped, images.astype("f4")))
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
    X, (p, weight, n_own, is_whole, scribbled) = patches.draw()
    assert X.shape == (5, 1, 14, 14)
    assert n_own == 2
    assert not p[:2].any()
    assert_array_equal(p[2:].sum(1), weight[2:])
    assert len(patches) == 5
    assert_array_equal(is_whole, [False, False, True, True, True])
    assert scribbled is None


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
    moved, (p, weight, *_) = move_voxels([affine], X, targets, (16, 16), 0.0)
    assert moved.shape == (8, 1, 16, 16)
    known = weight > 0
    assert known.float().mean() > 0.5
    assert (moved[:, 0] - p[:, 1])[known].abs().max() < 1e-4


def test_voxels_that_the_network_is_unsure_of_take_no_part(fitted):
    net = copy.copy(fitted[0].nets_[0])
    X = torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    largest = net.taught(X).amax(1)
    net.target_, net.min_confidence = hard_labels, float(largest.median())
    targets = Targets(torch.zeros(2, 2, 24, 24), None, 2)
    _, weight = net._with_targets(X, targets, torch.ones(2, 24, 24))
    assert_array_equal(weight > 0, largest >= largest.median())


def test_saved_and_loaded(fitted, tmp_path):
    seg, images, _ = fitted
    persistence.save(seg, tmp_path / "seg.ssldec")
    loaded = persistence.load(tmp_path / "seg.ssldec")
    assert loaded.plan_ == seg.plan_
    assert_array_equal(loaded.predict_proba(images), seg.predict_proba(images))


# One piece of each structure ---------------------------------------------------------------------------


def test_the_smaller_components_of_each_class():
    codes = torch.tensor(
        [
            [[1, 1, 0, 2], [0, 0, 1, 2], [2, 0, 0, 0]],  # the 1 touches the others at a corner only
            [[0, 0, 0, 0], [0, 2, 0, 2], [0, 2, 0, 0]],
        ]
    )
    smaller = outside_largest(codes, [1, 2])
    assert_array_equal(smaller.nonzero(), [[0, 1, 2], [0, 2, 0], [1, 1, 3]])
    assert_array_equal(outside_largest(codes, [1]).nonzero(), [[0, 1, 2]])
    assert not outside_largest(torch.zeros(1, 3, 3, 3, dtype=torch.int64), [1]).any()


def maps_of_pieces(n):
    """Class 1 is one piece, class 2 two, class 3 one and a crumb."""
    codes = np.zeros((n, 12, 12), dtype=np.int16)
    codes[:, 1:5, 1:5] = 1
    codes[:, 1:3, 7:9] = codes[:, 4:6, 7:9] = 2
    codes[:, 7:11, 1:8] = 3
    codes[:, 7, 10] = 3
    return codes


def test_which_structures_are_of_one_piece():
    codes = maps_of_pieces(10)
    assert single_component_classes(list(codes), [None] * 10, 4) == (1, 3)
    assert single_component_classes(list(codes[:9]), [None] * 9, 4) == ()  # too few to tell
    unknown = codes.copy()
    unknown[0, 11, 11] = -1  # a void pixel does not matter
    assert single_component_classes(list(unknown), [None] * 10, 4) == (1, 3)
    partial = codes.copy()
    partial[0, :, ::2] = -1  # a map that is not whole tells nothing
    assert single_component_classes(list(partial), [None] * 10, 4) == ()
    assert single_component_classes(list(unknown), list(unknown < 0), 4) == (1, 3)
    # Two whole volumes tell as much; one does not.
    assert single_component_classes([codes[:2], codes[2:4]], [None] * 2, 4) == (1, 3)
    assert single_component_classes([codes[:2], None], [None] * 2, 4) == ()
    assert single_component_classes([*codes, None], [None] * 11, 4) == (1, 3)
    codes[0, 1:5, 3] = 0  # one map of ten has two pieces
    assert single_component_classes(list(codes), [None] * 10, 4) == (3,)


def images_of_pieces(n):
    maps = maps_of_pieces(n).repeat(2, axis=1).repeat(2, axis=2)
    return maps + 0.3 * np.random.default_rng(0).standard_normal(maps.shape), list(maps.astype(int))


@pytest.mark.parametrize(("choice", "labels"), [("auto", [1, 3]), (True, [1, 2, 3]), (False, [])])
def test_targets_keep_the_largest_component(choice, labels):
    images, maps = images_of_pieces(11)
    quick = {"pretrain_epochs": 1, "max_iter": 0, "patches_per_epoch": 8, "cycle__transduction": False}
    seg = segmenter(cycle__largest_component=choice, **quick).fit(images, [*maps[:10], None])
    assert seg.plan_["largest_component"] == labels
    net = seg.nets_[0]
    codes = torch.from_numpy(maps[0])[None]
    q = 0.1 + 0.6 * (codes[:, None] == torch.arange(4).view(1, 4, 1, 1)).float()
    net.taught, net.target_ = lambda X: q, hard_labels
    targets = Targets(torch.zeros_like(q), None, 1)
    p, _ = net._with_targets(torch.zeros(1, 1, 24, 24), targets, torch.ones(1, 24, 24))
    expected = codes.clone()
    expected[outside_largest(codes, labels)] = 0
    assert_array_equal(p.argmax(1), expected)
    assert_array_equal(p.sum(1), torch.ones(1, 24, 24))


def test_voxels_outside_the_volume_connect_nothing():
    images, maps = images_of_pieces(11)
    seg = segmenter(pretrain_epochs=1, max_iter=0, patches_per_epoch=8, cycle__transduction=False)
    net = seg.fit(images, [*maps[:10], None]).nets_[0]
    codes = torch.zeros(1, 24, 24, dtype=torch.int64)
    codes[0, 4, 2:12] = 1
    q = 0.1 + 0.6 * (codes[:, None] == torch.arange(4).view(1, 4, 1, 1)).float()
    inside = torch.ones(1, 24, 24)
    inside[0, :, 8] = 0
    net.taught, net.target_ = lambda X: q, hard_labels
    p, _ = net._with_targets(torch.zeros(1, 1, 24, 24), Targets(torch.zeros_like(q), None, 1), inside)
    assert_array_equal(p[0, 1].nonzero()[:, 1], [2, 3, 4, 5, 6, 7])


def test_predictions_keep_the_largest_component(fitted):
    seg, images, _ = fitted
    seg, two = copy.deepcopy(seg), np.concatenate([images[0], images[1][6:]], axis=0)
    found = {}
    for choice in ("auto", True, False):
        seg.set_params(net__largest_component=choice)
        found[choice] = q = seg.predict_proba([two])[0]
        assert_allclose(q.sum(0), np.ones(two.shape), rtol=1e-5)
        assert_array_equal(seg.predict([two])[0], q.argmax(0))
    assert seg.plan_["largest_component"] == []  # one label map tells nothing
    assert_array_equal(found["auto"], found[False])
    n_pieces = {choice: ndimage.label(q.argmax(0) == 1)[1] for choice, q in found.items()}
    assert n_pieces[False] > 1 == n_pieces[True]
    kept = found[True].argmax(0) == 1
    assert_array_equal(found[True][:, kept], found[False][:, kept])
    changed = (found[True] != found[False]).any(0)
    assert_array_equal(changed, (found[False].argmax(0) == 1) & ~kept)
    assert (found[True][:, changed] == [[1], [0]]).all()
    with pytest.raises(
        ValueError, match=r'net__largest_component must be "auto", True or False; got \'all\''
    ):
        seg.set_params(net__largest_component="all").predict([two])


def test_probabilities_of_smaller_components_go_to_the_other_classes():
    q = torch.tensor([[0.1, 0.1, 0.2, 0.4, 0.0], [0.9, 0.8, 0.1, 0.6, 1.0], [0.0, 0.1, 0.7, 0.0, 0.0]])
    expected = q.clone()
    restrict_to_largest(q, ())
    assert_array_equal(q, expected)
    q[2, 3] = 0.2
    restrict_to_largest(q, (1,))
    assert_allclose(q[:, 3], [2 / 3, 0, 1 / 3])
    assert_allclose(q[:, 4], [1, 0, 0])
    assert_array_equal(q[:, :3], expected[:, :3])


@pytest.mark.parametrize("part", ["cycle", "net"])
def test_a_largest_component_needs_a_background(part):
    images, maps = squares(3)
    with pytest.raises(ValueError, match=rf"{part}__largest_component=True needs the label 0, .* \[1, 2\]"):
        segmenter(**{f"{part}__largest_component": True}).fit(images, [maps[0] + 1, None, None])


def test_predictions_keep_the_components_that_targets_keep():
    images, maps = images_of_pieces(11)
    seg = segmenter(pretrain_epochs=4).fit(images, [*maps[:10], None])
    assert seg.plan_["largest_component"] == [1, 3]
    for predicted in (np.stack(seg.predict(images)), np.stack(seg.transduction_[10:])):
        assert not outside_largest(torch.from_numpy(predicted), [1, 3]).any()
    assert_array_equal(seg.transduction_[10], seg.predict(images[10:])[0])


# The shares that eq. 2 pulls towards ------------------------------------------------------------------


def test_without_labels_the_target_only_sharpens():
    q = torch.tensor([[0.8, 0.2], [0.6, 0.4]])
    target = RunningTarget(2, "labeled")
    expected = q.square() / q.square().sum(1, keepdim=True)
    assert torch.allclose(target(q), expected)
    target.see_labels(torch.tensor([[1.0, 0.0]] * 8))
    assert (target(q)[:, 0] > expected[:, 0]).all()


def test_scribbles_tell_nothing_of_the_shares():
    images, maps = squares(4)
    scribbles = [np.where(np.arange(24)[:, None] % 12 == 0, labels, -1) for labels in maps[1:]]
    quick = {
        "pretrain_epochs": 1, "max_iter": 1, "patches_per_epoch": 16, "cycle__transduction": False,
        "cycle__labeled_threshold": 0.0,
    }  # fmt: skip
    only_scribbles = segmenter(**quick).fit(images, [None, *scribbles])
    assert only_scribbles.nets_[0].target_.n_labeled_calls == 0
    one_map = segmenter(**quick).fit(images, [maps[0], *scribbles]).nets_[0].target_
    assert one_map.n_labeled_calls > 0
    assert one_map.labeled_shares[1] > 0.1  # what the map has, and the scribbles have not


# Orientation ------------------------------------------------------------------------------------------------


def bars(upright, n=4, size=32, seed=0):
    """Return noisy images with a bar, three pixels wide, from left to right or from top to bottom."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((n, size, size), dtype=int)
    for labels in maps:
        first = rng.integers(4, size - 8)
        labels[first : first + 3] = 1
    maps = maps.transpose(0, 2, 1) if upright else maps
    return maps + 0.3 * rng.standard_normal(maps.shape), maps


def test_mirrored_patches_show_a_structure_in_any_orientation():
    images, maps = bars(upright=False)
    augment = Compose(
        RandomFlip((-2, -1), turn=True), RandomAffine(degrees=30, shift=0.0, zoom=0.3), GaussianNoise(0.1)
    )
    seg = segmenter(pretrain_epochs=4, max_iter=0, augment=augment).fit(images, [*maps[:2], None, None])
    assert seg.score(*bars(upright=True, seed=1)) > 0.85
