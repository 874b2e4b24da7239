"""Patches with their targets, and what augmentation does to both."""

import numpy as np
import pytest
import torch

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.patch_batches import PatchBatches, PatchRows, augment_patches
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec.augment import Compose, GaussianNoise, RandomAffine, RandomIntensity, RandomTranslation
from sklearn_ssldec.clustering import OneHot


def rows(y, n_classes=2, index=None, labeled_rows=False, **kwargs):
    """Patches of 5x5 with targets of 3x3 of an image whose values are the voxels' positions."""
    image = torch.arange(48.0).reshape(1, 6, 8)
    settings = {"n_patches": 10, "patch_size": (5, 5), "margin": (1, 1), "balance": 0.0}
    generator = torch.Generator().manual_seed(0)
    P = OneHot(torch.tensor(y).flatten(), n_classes)
    return PatchRows(Volumes([image]), P, index, generator=generator, **{**settings, **kwargs})


def test_targets_are_those_of_the_middle_of_the_patch():
    y = np.arange(48).reshape(6, 8) % 3
    X, p, weight = rows(y, n_classes=3)[torch.arange(10)]
    assert X.shape == (10, 1, 5, 5)
    assert p.shape == (10, 3, 3, 3)
    inside = weight > 0
    middle = X[:, 0, 1:-1, 1:-1]
    assert torch.equal(p.argmax(1)[inside], (middle[inside].long() % 3))


def test_voxels_outside_and_unlabeled_ones_do_not_count():
    y = np.full((6, 8), -1)
    y[0, 0], y[3, 3] = 0, 1
    patches = rows(y, index=torch.tensor([0, 27]))
    X, _, weight = patches[torch.arange(10)]
    for patch, counts in zip(X, weight, strict=True):
        middle = patch[0, 1:-1, 1:-1]
        assert middle[1, 1] in (0, 27)
        assert middle[counts > 0].tolist() == [middle[1, 1]]


def test_balance_draws_the_centers_by_class():
    y = np.zeros((6, 8), dtype=int)
    y[5, 7] = 1
    patches = rows(y, balance=1.0, n_patches=200)
    assert (patches.centers == 47).float().mean() == pytest.approx(0.5, abs=0.12)


def test_escort_joins_each_batch_with_its_weight():
    y = np.zeros((6, 8), dtype=int)
    y[:, 4:] = 1
    own, other = rows(y), rows(y, index=torch.tensor([27]))
    own.labeled_rows, own.labeled_weight = other, 0.5
    for X, targets in PatchBatches(own, batch_size=4):
        assert targets.n_own == len(X) // 2
        assert (X[targets.n_own :, 0, 2, 2] == 27).all()
        own_weight = targets.weight[: targets.n_own].sum()
        assert targets.weight[targets.n_own :].sum() == pytest.approx(0.5 * own_weight.item())
    assert len(PatchBatches(own, batch_size=4)) == 3


@pytest.mark.parametrize("n_dims", [2, 3])
def test_spatial_augmentation_moves_targets_along(n_dims):
    torch.manual_seed(0)
    shape = (16,) * n_dims
    truth = torch.zeros(8, *shape)
    truth[(slice(None), *[slice(5, 11)] * n_dims)] = 1
    inner = (slice(None), *[slice(2, 14)] * n_dims)
    p = torch.stack([1 - truth, truth], dim=1)[(slice(None), *inner)]
    targets = Targets(p, torch.ones(8, *[12] * n_dims), 8)
    augment = Compose(RandomAffine(degrees=40, scale=0.2, shift=0.1), RandomIntensity(0, 0))
    X, moved = augment_patches(augment, truth[:, None], targets, 0.0)
    known = moved.weight > 0
    assert 0.5 < known.float().mean() < 1  # what entered from outside is not known
    assert not torch.allclose(X, truth[:, None])
    image = X[(slice(None), 0, *inner[1:])]
    torch.testing.assert_close(moved.p[:, 1][known], image[known], atol=1e-4, rtol=0)
    assert moved.n_own == 8


@pytest.mark.parametrize("n_dims", [2, 3])
def test_spatial_augmentation_keeps_slices_labeled(n_dims):
    torch.manual_seed(0)
    truth = torch.zeros(8, *[16] * n_dims)
    truth[..., 6:12] = 1  # along the first axis nothing changes
    weight = torch.zeros(8, *[16] * n_dims)
    weight[:, 2::5] = 1  # one slice in five is labeled
    p = torch.stack([1 - truth, truth], dim=1)
    p[(weight == 0)[:, None].expand_as(p)] = 0.5  # what unlabeled voxels have means nothing
    augment = RandomAffine(degrees=15, scale=0.15, shear=0.1, shift=0)
    X, moved = augment_patches(augment, truth[:, None], Targets(p, weight, 8), 0.0)
    known = moved.weight > 0
    assert known.sum() == pytest.approx(weight.sum().item(), rel=0.25)
    torch.testing.assert_close(moved.p[:, 1][known], X[:, 0][known], atol=1e-4, rtol=0)


def test_a_composition_inside_a_composition_moves_targets_along():
    torch.manual_seed(0)
    truth = torch.zeros(8, 16, 16)
    truth[:, 5:11, 4:10] = 1
    targets = Targets(torch.stack([1 - truth, truth], dim=1), torch.ones(8, 16, 16), 8)
    nested = Compose(Compose(RandomIntensity(0, 0), Compose(RandomTranslation(3))))
    X, moved = augment_patches(nested, truth[:, None], targets, 0.0)
    assert not torch.equal(X[:, 0], truth)
    known = moved.weight > 0
    assert torch.equal(moved.p[:, 1][known], X[:, 0][known])


def test_other_augmentation_leaves_targets_alone():
    targets = Targets(torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4), 2)
    X, after = augment_patches(GaussianNoise(0.1), torch.zeros(2, 1, 6, 6), targets, 0.0)
    assert after is targets
    assert X.std() == pytest.approx(0.1, rel=0.3)


def test_weights_keep_their_size_when_voxels_move():
    weight = torch.ones(2, 4, 4)
    weight[1] = 0.25
    targets = Targets(torch.full((2, 2, 4, 4), 0.5), weight, 1)
    _, moved = augment_patches(RandomTranslation(1), torch.zeros(2, 1, 8, 8), targets, 0.0)
    assert set(moved.weight[0].unique().tolist()) <= {0.0, 1.0}
    assert set(moved.weight[1].unique().tolist()) <= {0.0, 0.25}
    assert moved.weight[1].max() == 0.25
