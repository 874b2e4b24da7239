"""Scribbles as labels: what is told from the data, what is drawn, and which targets there are."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._estimators.methods import hard_labels
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.components import MOST_MAPS
from sklearn_ssldec._samples.drawn_patches import DrawnPatches, LabeledVolumes, move_voxels
from sklearn_ssldec._samples.scribbles import (
    are_scribbles,
    completed,
    pieces_without_label,
    single_component_of_scribbles,
)
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training import drawn_net
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score


def scribbled(n=8, size=32, seed=0):
    """Return images of a disc among three decoys of its brightness, label maps, and scribbles on the disc."""
    rng = np.random.default_rng(seed)
    maps, images = np.zeros((n, size, size), dtype=int), np.zeros((n, size, size))
    scribbles = np.full(maps.shape, -1)
    rows, columns = np.ogrid[:size, :size]
    for labels, image, marks in zip(maps, images, scribbles, strict=True):
        row, column = rng.integers(11, size - 11, 2)
        distance = np.hypot(rows - row, columns - column)
        labels[distance < 6] = 1
        image[:] = labels + 0.1 * rng.standard_normal(labels.shape)
        marks[row - 3 : row + 4, column] = 1
        marks[np.abs(distance - 9) < 0.5] = 0
    return list(images), list(maps), list(scribbles)


def segmenter(kind=SSLDECSegmenter, **kwargs):
    settings = {
        "module__width": 0.125,
        "pretrain_epochs": 2,
        "max_iter": 2,
        "patches_per_epoch": 80,
        "min_batches": 1,
        "device": "cpu",
        "random_state": 0,
    }
    return kind(**{**settings, **kwargs})


# Enough to look at the plan or at a net.
SHORTEST = {"pretrain_epochs": 1, "max_iter": 0, "patches_per_epoch": 8, "cycle__transduction": False}


# What are scribbles ---------------------------------------------------------------------------------------


def test_scribbles_keep_away_from_borders():
    _, maps, scribbles = scribbled()
    none = [None] * len(maps)
    assert are_scribbles(scribbles, none, 2)
    assert are_scribbles([*scribbles, None], [*none, None], 2)
    boxes = [np.where(np.arange(32) < 20, labels, -1) for labels in maps]
    assert not are_scribbles(boxes, none, 2)
    assert not are_scribbles(maps, none, 2)
    assert not are_scribbles([None], [None], 2)
    assert not are_scribbles([*scribbles, maps[0]], [*none, None], 2)  # one is labeled everywhere
    assert not are_scribbles([*scribbles, scribbles[0] + 3], [*none, None], 2)  # partial labels
    everywhere_else = [marks < 0 for marks in scribbles]
    assert not are_scribbles(scribbles, everywhere_else, 2)  # what is not labeled takes part in nothing


def test_single_voxels_are_no_scribbles():
    points = np.full((9, 9), -1)
    points[2, 2], points[2, 3], points[6, ::2], points[8, ::2], points[0, ::3] = 0, 0, 1, 1, 0
    assert not are_scribbles([points], [None], 2)
    points[2, 3:] = 0
    assert are_scribbles([points], [None], 2)


def test_only_some_maps_are_looked_at():
    _, maps, scribbles = scribbled(1)
    many = scribbles * MOST_MAPS
    assert are_scribbles([*many, maps[0]], [None] * (MOST_MAPS + 1), 2)


@pytest.mark.parametrize("choice", ["auto", True, False])
def test_the_plan_says_so(choice):
    images, maps, scribbles = scribbled()
    fitted = segmenter(**SHORTEST, cycle__scribbles=choice).fit(images, scribbles)
    assert fitted.plan_["scribbles"] is (choice is not False)
    whole = segmenter(**SHORTEST, cycle__scribbles=choice).fit(images, [*maps[:2], *[None] * 6])
    assert whole.plan_["scribbles"] is (choice is True)


@pytest.mark.parametrize(
    ("shift", "annotated"), [(1, None), (0, [[], *[None] * 7])], ids=["no background", "partial labels"]
)
def test_they_need_a_background(shift, annotated):
    images, _, scribbles = scribbled()
    if annotated:
        annotated[0] = [1]
        scribbles = [np.where(marks >= 0, 2 * marks, -1) for marks in scribbles]
        scribbles[0] = np.where(scribbles[0] > 0, 1, scribbles[0])
    marks = [np.where(marks >= 0, marks + shift, -1) for marks in scribbles]
    with pytest.raises(ValueError, match="cycle__scribbles=True needs voxels labeled 0"):
        segmenter(**SHORTEST, cycle__scribbles=True).fit(images, marks, annotated_classes=annotated)


def test_volumes_need_drawn_targets():
    images, _, scribbles = scribbled()
    with pytest.raises(ValueError, match="cycle__scribbles has a meaning for cycle__targets='drawn' only"):
        segmenter(cycle__targets="all", cycle__scribbles=True).fit(images, scribbles)


# What is drawn --------------------------------------------------------------------------------------------


def test_scribbles_are_completed_along_the_borders_of_the_image():
    images, maps, scribbles = scribbled()
    for image, labels, marks in zip(images, maps, scribbles, strict=True):
        found = completed(marks, image[None])
        assert_array_equal(found[marks >= 0], marks[marks >= 0])
        assert (found == labels).mean() > 0.96
        in_two_channels = completed(marks, np.stack([np.zeros_like(image), 100 * image]))
        assert_array_equal(in_two_channels, found)


def test_volumes_are_completed_too():
    labels = np.zeros((12, 12, 12), dtype=int)
    labels[3:9, 3:9, 3:9] = 1
    marks = np.full(labels.shape, -1)
    marks[5, 5, 4:8], marks[1, 1, :], marks[11, :, 10], marks[:, 11, 0] = 1, 0, 0, 0
    image = labels + 0.05 * np.random.default_rng(0).standard_normal(labels.shape)
    assert (completed(marks, image[None]) == labels).mean() > 0.97


def test_without_a_border_the_voxel_size_decides():
    marks = np.full((9, 9), -1)
    marks[:, 0], marks[0, 4] = 0, 1
    flat = np.zeros((1, 9, 9))
    assert completed(marks, flat)[8, 4] == completed(marks, flat, spacing=(1, 1))[8, 4] == 0
    long_rows = completed(marks, flat, spacing=(1, 9))  # the other column is far
    assert (long_rows == 1).sum() > (completed(marks, flat) == 1).sum()


def test_what_no_walker_can_tell_remains_unknown():
    marks = np.full((6, 6), -1)
    marks[2, 2] = 1
    assert_array_equal(completed(marks, np.zeros((1, 6, 6))), marks)  # no background
    assert (completed(np.where(marks > 0, 0, marks), np.zeros((1, 6, 6))) == 0).all()  # nothing else
    marks[4, 1] = 0
    wall = np.zeros((6, 6), dtype=bool)
    wall[:, 4] = True
    found = completed(marks, np.zeros((1, 6, 6)), ignored=wall)
    assert_array_equal(found[:, 4:], np.full((6, 2), -1))
    assert (found[:, :4] >= 0).any()


def test_what_a_network_expects_counts_where_the_image_shows_nothing():
    marks = np.full((200, 200), -1)
    marks[100, 100], marks[:, 0], marks[:, -1] = 1, 0, 0
    flat = np.zeros((1, 200, 200))
    box, elsewhere = np.zeros((2, 200, 200), dtype=bool)
    box[40:160, 55:145] = elsewhere[:30, 60:140] = True
    expected = np.where([~box & ~elsewhere, box, elsewhere], 0.98, 0.01)
    found = completed(marks, flat, expected=expected)
    assert (found == 2).sum() == 0  # it has no scribble in this image
    assert dice_score([box.astype(int)], [found], labels=[1]) > 0.9
    assert dice_score([box.astype(int)], [completed(marks, flat)], labels=[1]) < 0.1
    contradicted = completed(marks, flat, expected=np.where([~elsewhere, elsewhere, box], 0.98, 0.01))
    assert_array_equal(contradicted[marks >= 0], marks[marks >= 0])
    assert contradicted[12, 100] == 1


def test_intensities_of_scribbles_decide_between_what_is_expected():
    marks = np.full((8, 24), -1)
    marks[4, 2:6], marks[4, 18:22] = 0, 1
    image = np.repeat(np.arange(24) >= 9, 8).reshape(24, 8).T[None].astype(float)
    unsure = np.full((2, 8, 24), 0.5)
    for channels in (image, np.concatenate([image, np.zeros_like(image)])):
        assert_array_equal(completed(marks, channels, expected=unsure), image[0].astype(int))


def source_of(maps, images=None, **kwargs):
    images = np.zeros((len(maps), 32, 32)) if images is None else images
    placed = [torch.from_numpy(image)[None].float() for image in images]
    volumes = Volumes(placed, [None] * len(placed), None, None)
    return LabeledVolumes(volumes, maps, [None] * len(placed), **kwargs)


def patches_of(source, n_unlabeled, n_labeled, size=(16, 16)):
    return DrawnPatches(
        source,
        2,
        n_batches=1,
        n_unlabeled=n_unlabeled,
        n_labeled=n_labeled,
        size=size,
        outer_size=size,
        balance=0.0,
        generator=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
    )


def test_patches_are_drawn_anywhere():
    far = np.full((64, 32), -1)
    far[:4, :4] = 1
    far[6, :4] = 0
    images = [torch.zeros(1, 64, 32)]
    generator = torch.Generator().manual_seed(0)
    rows = {}
    for scribbles in (False, True):
        source = LabeledVolumes(Volumes(images, [None], None, None), [far], [None], scribbles=scribbles)
        drawn = [source.draw_labeled((16, 16), False, generator)[1][0] for _ in range(100)]
        rows[scribbles] = max(drawn)
    assert rows[False] < 16
    assert rows[True] > 40


def test_pre_training_learns_completed_scribbles():
    images, _, scribbles = scribbled()
    source = source_of(scribbles, scribbles=True, images=images)
    _, targets = patches_of(source, 0, 40).draw()
    assert_array_equal(targets.p.sum(1), targets.weight)  # a target where it counts, and nowhere else
    assert targets.weight.mean() == 1 > 0.2 > np.mean(np.stack(scribbles) >= 0)
    codes = source.codes(0, (0, 0), (32, 32), True)
    assert_array_equal(codes, completed(scribbles[0], images[0][None].astype(np.float32)))
    assert_array_equal(source.codes(0, (0, 0), (32, 32)), scribbles[0])


def test_later_unlabeled_patches_show_scribbles_as_they_are():
    images, _, scribbles = scribbled()
    source = source_of([*scribbles, None], images=[*images, images[0]], scribbles=True)
    X, targets = patches_of(source, 20, 20).draw()
    marked = targets.p.sum(1)
    assert_array_equal(targets.weight[:20], torch.ones(20, 16, 16))
    assert 0 < marked[:20].mean() < 0.2
    assert_array_equal(marked[20:], targets.weight[20:])
    assert marked[20:].mean() > 0.8
    assert targets.scribbled[20:].all()
    assert not targets.scribbled[:20].all()
    assert not marked[~targets.scribbled].any()
    moved = move_voxels([], X, targets, (8, 8), 1.0)[1]
    assert_array_equal(moved.p, targets.p[:, :, 4:-4, 4:-4])


def test_scribbles_are_completed_anew_with_what_is_expected():
    images, maps, scribbles = scribbled()
    source = source_of(scribbles, scribbles=True, images=images)
    before = source.codes(0, (0, 0), (32, 32), True)
    asked = []

    def expect(volume):
        asked.append(volume)
        return torch.from_numpy(np.stack([maps[volume] == 0, maps[volume] == 1])).float()

    source.complete_with(expect)
    for _ in range(2):
        after = source.codes(0, (0, 0), (32, 32), True)
    assert asked == [0]  # computed when they are needed, and kept
    truth = torch.from_numpy(maps[0])
    assert (after == truth).float().mean() > (before == truth).float().mean()


def test_completed_scribbles_tell_nothing_of_the_shares():
    images, _, scribbles = scribbled()
    source = source_of(scribbles, images=images, scribbles=True)
    assert not patches_of(source, 1, 8).draw()[1].is_whole.any()


# Targets --------------------------------------------------------------------------------------------------


def test_pieces_that_touch_the_border_are_kept():
    codes = torch.zeros(2, 8, 8, dtype=torch.int64)
    codes[0, 1:3, 1:3] = 1  # labeled
    codes[0, 5:7, 5:7] = 1  # not
    codes[0, 5:7, 0:2] = 2  # at the border
    codes[1, 1:3, 1:3] = 2  # another patch
    labeled = torch.zeros(2, 8, 8, dtype=torch.bool)
    labeled[0, 1, 1] = True
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[0, 5:7, 5:7] = expected[1, 1:3, 1:3] = True
    assert_array_equal(pieces_without_label(codes, labeled), expected)


def test_scribbles_stand_among_targets():
    images, _, scribbles = scribbled()
    net = segmenter(**SHORTEST).fit(images, scribbles).nets_[0]
    predicted = torch.zeros(4, 12, 12, dtype=torch.int64)
    predicted[:, 2:6, 2:6] = 1
    predicted[:, 8:10, 8:10] = 1
    q = 0.1 + 0.8 * torch.stack([predicted == 0, predicted == 1], 1).float()
    labels = torch.zeros_like(q)
    labels[:3, 1, 3, 3] = labels[:3, 0, 3, 5] = 1  # at (3, 5) the label contradicts the prediction
    targets = Targets(labels, None, 4, None, torch.tensor([True, True, True, False]))
    inside = torch.ones(4, 12, 12)
    inside[:, 11] = 0
    net.taught, net.target_ = lambda X: q, hard_labels
    found, weight = net._with_targets(torch.zeros(4, 1, 12, 12), targets, inside)
    expected = predicted.clone()
    expected[:3, 3, 5] = 0
    expected[:3, 8:10, 8:10] = 0  # a piece without a scribble, where there are scribbles
    assert_array_equal(found.argmax(1)[inside > 0], expected[inside > 0])
    assert_array_equal(weight, inside)


def test_a_scribble_takes_part_where_the_network_is_unsure():
    images, _, scribbles = scribbled()
    net = segmenter(**SHORTEST, cycle__min_confidence=0.9).fit(images, scribbles).nets_[0]
    q, labels = torch.full((1, 2, 8, 8), 0.5), torch.zeros(1, 2, 8, 8)
    q[0, 0, 0], q[0, 1, 0] = 0.95, 0.05
    labels[0, 1, 4, 4] = 1
    net.taught, net.target_ = lambda X: q, hard_labels
    targets = Targets(labels, None, 1, None, torch.tensor([True]))
    _, weight = net._with_targets(torch.zeros(1, 1, 8, 8), targets, torch.ones(1, 8, 8))
    expected = torch.zeros(1, 8, 8)
    expected[0, 0] = expected[0, 4, 4] = 1
    assert_array_equal(weight, expected)


# Fits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SSLDECSegmenter, PseudoLabelSegmenter])
def test_scribbles_are_enough(kind):
    images, maps, scribbles = scribbled(10)
    seg = segmenter(kind, pretrain_epochs=6, max_iter=3, patches_per_epoch=80)
    seg.fit(images[:8], scribbles[:8])
    assert seg.plan_["scribbles"]
    assert dice_score(maps, seg.predict(images), labels=[1]) > 0.8
    assert (seg.transduction_[0][scribbles[0] >= 0] == scribbles[0][scribbles[0] >= 0]).all()


def test_what_is_one_piece_is_told_from_completed_scribbles():
    images, _, scribbles = scribbled(20)
    found = single_component_of_scribbles(scribbles, [i[None] for i in images], [None] * 20, 2)
    assert found == (1,)
    beside = [np.concatenate(pair, axis=1) for pair in zip(images[::2], images[1::2], strict=True)]
    both = [np.concatenate(pair, axis=1) for pair in zip(scribbles[::2], scribbles[1::2], strict=True)]
    assert single_component_of_scribbles(both, [i[None] for i in beside], [None] * 10, 2) == ()
    assert single_component_of_scribbles([None], [images[0][None]], [None], 2) == ()
    seg = segmenter(**SHORTEST).fit(images, [*scribbles[:15], *[None] * 5])
    assert seg.plan_["largest_component"] == [1]
    assert seg.nets_[0].single_component == ()
    seg = segmenter(**SHORTEST, cycle__largest_component=False).fit(images, scribbles)
    assert seg.plan_["largest_component"] == []


def test_some_scribbled_some_unlabeled():
    images, maps, scribbles = scribbled(10)
    seg = segmenter(pretrain_epochs=6, max_iter=3, patches_per_epoch=80)
    seg.fit(images[:8], [*scribbles[:4], *[None] * 4])
    assert seg.score(images, maps) > 0.8


def test_the_average_says_how_scribbles_are_completed(monkeypatch):
    monkeypatch.setattr(drawn_net, "RENEWED_AFTER", 2)
    advised, weights = [], []
    complete_with = LabeledVolumes.complete_with

    def spy(self, expect):
        advised.append(int(self._expect is not None))
        weights.append(next(expect.keywords["network"].parameters()).clone())
        q = expect(0)
        assert q.shape == (2, 32, 32)
        assert_allclose(q.sum(0), np.ones((32, 32)), rtol=1e-5)
        complete_with(self, expect)

    monkeypatch.setattr(LabeledVolumes, "complete_with", spy)
    images, maps, scribbles = scribbled(10)
    seg = segmenter(max_iter=5, tol=0).fit(images, scribbles)
    assert advised == [0, 1, 1]
    assert not torch.equal(weights[0], weights[1])
    assert not hasattr(seg.nets_[0], "adviser_")
    advised.clear()
    segmenter(max_iter=2).fit(images, [*maps[:2], *[None] * 8])
    assert not advised
