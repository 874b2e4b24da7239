"""Volumes that are too large for patches of their voxels: seen at a lower resolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._estimators.planning import choose_reduction
from sklearn_ssldec._samples.drawn_patches import LabeledVolumes, count_balanced
from sklearn_ssldec._samples.reduction import (
    ReducedVolumes,
    labeled_parts,
    labels_kept,
    reduced_labels,
    reduced_mask,
    restored,
)
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score

SHORT = {
    "module__width": 0.1,
    "pretrain_epochs": 4,
    "max_iter": 1,
    "min_batches": 10,
    "patches_per_epoch": 24,
    "device": "cpu",
    "random_state": 0,
}

# As few voxels as a volume has whose targets are drawn by default.
LARGE = (52, 52, 49)


def balls(n: int, shape: tuple[int, ...], seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return noisy volumes, each with a bright ball, and their label maps."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in shape), indexing="ij"))
    maps = []
    for _ in range(n):
        center = np.array([k * rng.uniform(0.4, 0.6) for k in shape]).reshape(-1, 1, 1, 1)
        maps.append((((grid - center) / np.array(shape).reshape(-1, 1, 1, 1)) ** 2).sum(0) < 0.07)
    return [m + 0.5 * rng.standard_normal(shape).astype("f") for m in maps], [m.astype(int) for m in maps]


def test_blocks_are_means_and_go_on_at_the_border() -> None:
    volumes = Volumes([torch.arange(24.0).reshape(1, 4, 6)])
    reduced = ReducedVolumes(volumes, (2, 3))
    assert reduced.shape(0) == (2, 2)
    means = [[[4.0, 7.0], [16.0, 19.0]]]
    assert reduced.patch(0, (0, 0), (2, 2)).tolist() == means
    assert reduced.patch(0, (-1, 1), (2, 3)).tolist() == [[[7.0] * 3, [7.0] * 3]]


def test_patches_of_kept_and_unkept_volumes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(2, 13, 11, 9)
    boxes = [((0, 0, 0), (7, 6, 5)), ((-2, 3, 1), (4, 6, 9)), ((5, 5, 4), (3, 3, 3))]
    kept = [ReducedVolumes(Volumes([image]), (2, 2, 2)).patch(0, *box) for box in boxes]
    monkeypatch.setattr("sklearn_ssldec._samples.reduction.KEPT_BYTES", 0)
    unkept = [ReducedVolumes(Volumes([image]), (2, 2, 2)).patch(0, *box) for box in boxes]
    for a, b in zip(kept, unkept, strict=True):
        torch.testing.assert_close(a, b)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_constant_values_are_restored(k: int, m: int, height: int, width: int) -> None:
    volumes = Volumes([torch.full((1, height, width), 3.0)])
    reduced = ReducedVolumes(volumes, (k, m))
    again = restored(reduced.patch(0, (0, 0), reduced.shape(0)), (k, m), (height, width))
    assert again.shape == (1, height, width)
    torch.testing.assert_close(again, torch.full_like(again, 3.0))


def test_labels_of_blocks_are_the_most_frequent_known_ones() -> None:
    codes = np.array([[2, 2, -1, -1, 0], [1, 2, -1, 1, 0], [0, 0, 1, 1, -1]])
    assert reduced_labels(codes, (2, 2)).tolist() == [[2, 1, 0], [0, 1, -1]]
    mask = np.array([[True, True, False], [True, True, True]])
    assert reduced_mask(mask, (2, 2)).tolist() == [[True, False]]


def test_thin_structures_do_not_outlast_a_reduction() -> None:
    thick = np.zeros((24, 24), dtype=int)
    thick[6:18, 6:18] = 1
    thin = np.zeros((24, 24), dtype=int)
    thin[:, 11] = 1
    axes = (0, 1)
    assert labels_kept([(thick, axes)], (2, 2), 2) > 0.95
    assert labels_kept([(thin, axes)], (2, 2), 2) < 0.7
    assert labels_kept([(thin, axes)], (3, 1), 2) == 1
    assert labels_kept([(np.zeros((4, 4), dtype=int), axes)], (2, 2), 2) == 1
    assert labels_kept([], (2, 2), 2) == 0  # nothing tells


def test_labeled_slices_tell_what_they_outlast() -> None:
    codes = np.full((6, 24, 24), -1)
    assert labeled_parts(codes, None) == []
    codes[2] = 0
    codes[2, 6:18, 6:18] = 1
    ((found, axes),) = labeled_parts(codes, None)
    assert axes == (1, 2)
    assert (found == codes[2]).all()
    assert labels_kept([(found, axes)], (5, 2, 2), 2) > 0.95  # across slices nothing is known
    ((found, axes),) = labeled_parts(codes, codes < 0)  # ignored voxels need no label
    assert axes == (0, 1, 2)


def test_volumes_with_labeled_slices_are_reduced() -> None:
    images, maps = balls(2, LARGE)
    sparse = np.full(LARGE, -1)
    sparse[::5] = maps[0][::5]
    seg = SSLDECSegmenter(**{**SHORT, "pretrain_epochs": 1, "max_iter": 0}).fit(images, [sparse, None])
    assert seg.plan_["reduction"] == (2, 2, 2)


def test_reduction_stops_where_labels_are_lost_or_a_patch_holds_a_quarter() -> None:
    shapes = [(194, 143, 88)]
    assert choose_reduction(shapes, lambda factors: 1.0) == (3, 3, 3)
    assert choose_reduction(shapes, lambda factors: float(max(factors) < 3)) == (2, 2, 2)
    assert choose_reduction(shapes, lambda factors: 0.0) == (1, 1, 1)
    assert choose_reduction(shapes, lambda factors: 1.0, is_set=True) == (1, 1, 1)
    assert choose_reduction(shapes, lambda factors: 1.0, on_gpu=True) == (3, 3, 3)
    assert choose_reduction([(35, 50, 35)], lambda factors: 1.0) == (1, 1, 1)
    assert choose_reduction([(120, 120, 30)], lambda factors: 1.0, spacing=(1, 1, 4)) == (2, 2, 1)


@pytest.mark.parametrize("kind", [SSLDECSegmenter, PseudoLabelSegmenter])
def test_large_volumes_are_reduced_by_default(kind: type) -> None:
    images, maps = balls(3, LARGE)
    seg = kind(**SHORT).fit(images, [maps[0], maps[1], None])
    assert seg.plan_["targets"] == "drawn"
    assert seg.plan_["reduction"] == (2, 2, 2)
    assert max(seg.plan_["patch_size"]) <= 32
    assert [p.shape for p in seg.transduction_] == [LARGE] * 3
    proba = seg.predict_proba(images[2:])[0]
    assert proba.shape == (2, *LARGE)
    np.testing.assert_allclose(proba.sum(0), 1, rtol=1e-4)
    assert dice_score(maps[2:], [proba.argmax(0)]) > 0.8


def test_small_volumes_and_images_are_not_reduced() -> None:
    images, maps = balls(2, (24, 24, 24))
    settings = {**SHORT, "pretrain_epochs": 1, "max_iter": 0}
    seg = SSLDECSegmenter(**settings).fit(images, [maps[0], None])
    assert (seg.plan_["targets"], seg.plan_["reduction"]) == ("all", (1, 1, 1))
    seg = SSLDECSegmenter(**settings).fit([x[0] for x in images], [maps[0][12], None])
    assert (seg.plan_["targets"], seg.plan_["reduction"]) == ("drawn", (1, 1))


@pytest.mark.parametrize(("gap", "reduction"), [(400, (2, 2)), (4, (1, 1))])
def test_large_images_are_reduced_unless_labels_are_thin(gap: int, reduction: tuple[int, ...]) -> None:
    rows, columns = np.mgrid[:360, :380]
    disc = ((rows - 150) ** 2 + (columns - 200) ** 2 < 90**2) & (rows % gap != gap - 1)
    images = [disc + 0.3 * np.random.default_rng(i).standard_normal(disc.shape) for i in range(2)]
    settings = {**SHORT, "pretrain_epochs": 1, "max_iter": 0, "patches_per_epoch": 4}
    seg = SSLDECSegmenter(**settings).fit(images, [disc.astype(int), None])
    assert seg.plan_["reduction"] == reduction
    assert [labels.shape for labels in seg.predict(images)] == [disc.shape] * 2


def test_a_warm_start_goes_on_at_the_same_resolution() -> None:
    images, maps = balls(3, LARGE)
    settings = {**SHORT, "pretrain_epochs": 1, "max_iter": 0, "patches_per_epoch": 4, "min_batches": 1}
    seg = SSLDECSegmenter(**settings, warm_start=True).fit(images, [maps[0], None, None])
    assert seg.plan_["reduction"] == (2, 2, 2)
    thin = np.zeros(LARGE, dtype=int)
    thin[:, ::7] = 1  # labels that forbid it, had they been there from the start
    seg.fit(images, [thin, None, None])
    assert seg.plan_["reduction"] == seg.nets_[0].reduction == (2, 2, 2)


def test_reduction_can_be_set() -> None:
    images, maps = balls(2, (32, 30, 21))
    settings = {**SHORT, "pretrain_epochs": 1, "max_iter": 0, "cycle__targets": "drawn"}
    seg = SSLDECSegmenter(**settings, net__reduction=(2, 2, 1)).fit(images, [maps[0], None])
    assert seg.plan_["reduction"] == (2, 2, 1)
    assert seg.predict(images)[1].shape == (32, 30, 21)
    seg = SSLDECSegmenter(**settings, net__reduction=1).fit(images, [maps[0], None])
    assert seg.plan_["reduction"] == (1, 1, 1)


@pytest.mark.parametrize("reduction", [0, (2, 2), (1, 1, 1.5), -1])
def test_reduction_that_is_no_block_is_refused(reduction: object) -> None:
    images, maps = balls(2, (20, 20, 20))
    with pytest.raises(
        ValueError, match="net__reduction must be a positive integer or one for each of the 3"
    ):
        SSLDECSegmenter(**SHORT, net__reduction=reduction).fit(images, [maps[0], None])


def test_reduction_needs_drawn_targets() -> None:
    images, maps = balls(2, (20, 20, 20))
    with pytest.raises(
        ValueError, match="net__reduction has a meaning for cycle__targets='drawn' only, got 2"
    ):
        SSLDECSegmenter(**SHORT, net__reduction=2, cycle__targets="all").fit(images, [maps[0], None])


def test_labels_follow_their_voxels() -> None:
    images, maps = balls(1, (12, 12, 12))
    maps[0][:, :, 6:] = -1
    source = LabeledVolumes.reduced(Volumes([torch.from_numpy(images[0])[None]]), maps, [None], (2, 2, 2))
    codes = source.codes(0, (0, 0, 0), (6, 6, 6))
    assert (codes[:, :, 3:] == -1).all()
    assert (codes[:, :, :3] == torch.from_numpy(reduced_labels(maps[0], (2, 2, 2))[:, :, :3])).all()


def test_small_batches_hold_a_balanced_patch() -> None:
    assert [count_balanced(0.25, n) for n in (1, 2, 4, 12)] == [1, 1, 1, 3]
    assert count_balanced(0.0, 4) == 0
