"""Where patches are cut: which voxels are drawn, and how often; where tiles begin and end."""

import itertools

import numpy as np
import pytest
import torch

from sklearn_ssldec._samples import patches
from sklearn_ssldec._samples.patches import (
    as_patch_size,
    auto_tile_size,
    find_centers,
    sample_positions,
    tiles,
)

CODES = torch.tensor([2, 0, 2, 0, 0, 0], dtype=torch.int16)  # none of class 1
POSITIONS = torch.tensor([10, 11, 12, 13, 14, 15])


def draw(codes, balance, n=6000):
    torch.manual_seed(balance > 0.5)  # which must not matter
    centers = find_centers(codes, POSITIONS, n, balance, torch.Generator().manual_seed(0))
    return (torch.bincount(centers - 10, minlength=6) / n).tolist()


@pytest.mark.parametrize(
    ("balance", "of_class_2", "of_class_0"),
    # 1: half of the draws to each class; 0: 1/6 to each voxel; 1/2: (1/4 + 1/6) / 2 and (1/8 + 1/6) / 2
    [(1.0, 1 / 4, 1 / 8), (0.0, 1 / 6, 1 / 6), (0.5, 5 / 24, 7 / 48)],
)
def test_share_of_each_voxel(balance, of_class_2, of_class_0):
    shares = draw(CODES, balance)
    expected = [of_class_2, of_class_0, of_class_2, *[of_class_0] * 3]
    assert shares == pytest.approx(expected, abs=0.02)
    assert draw(CODES, balance) == shares


def test_voxels_without_classes_are_drawn_alike():
    assert draw(None, 1.0) == pytest.approx([1 / 6] * 6, abs=0.02)


def test_the_generator_draws():
    draws = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        draws.append(find_centers(CODES, POSITIONS, 50, 0.5, torch.Generator().manual_seed(3)))
    assert torch.equal(*draws)


def test_of_very_many_voxels_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(patches, "MANY_VOXELS", 50)
    assert sample_positions(50).tolist() == list(range(50))
    positions = sample_positions(1000, torch.Generator().manual_seed(0))
    assert len(positions) == 50
    assert 0 <= positions.min() < 250 < 750 < positions.max() < 1000
    assert torch.equal(sample_positions(1000, torch.Generator().manual_seed(0)), positions)


@pytest.mark.parametrize(
    ("side", "size", "stride", "edges"),
    [
        (7, 7, 1, [0, 7]),
        (7, 6, 1, [0, 4, 7]),  # of about the same size, not 6 and 1
        (10, 4, 1, [0, 4, 7, 10]),
        (10, 8, 4, [0, 8, 10]),  # 3 units of 4 in 2 tiles: 2 and 1
        (10, 3, 4, [0, 4, 8, 10]),  # no tile is smaller than the stride
    ],
)
def test_edges_of_tiles_by_hand(side, size, stride, edges):
    cut = [((a, 0), (b - a, 1)) for a, b in itertools.pairwise(edges)]
    assert list(tiles((side, 1), size, stride)) == cut


@pytest.mark.parametrize(
    ("n_voxels", "margin", "n_dims", "side"),
    [(1001, 0, 3, 10), (999, 0, 3, 9), (1001, 2, 3, 6), (101, 1, 2, 8)],
)
def test_the_largest_tile_by_hand(n_voxels, margin, n_dims, side):
    assert (
        auto_tile_size(10, margin, n_dims, n_bytes=4 * 10 * n_voxels) == side
    )  # 10 floats of 4 bytes a voxel


@pytest.mark.parametrize("given", [(5, 5), 5, np.int64(5), [np.int32(5), 5]])
def test_sides_of_a_patch(given):
    sides = as_patch_size(given, 2)
    assert sides == (5, 5)
    assert [type(side) for side in sides] == [int, int]


def test_a_patch_may_be_one_voxel_thin():
    assert as_patch_size((1, 9, 4), 3) == (1, 9, 4)
