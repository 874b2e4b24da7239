"""Augmented views of volumes, and their predictions brought back to the voxels that they show."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sklearn_ssldec._samples.views import draw_view, put_back, steps
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.augment import Compose, GaussianNoise, RandomAffine, RandomIntensity, RandomTranslation


def smooth(shape):
    """A volume that changes little from a voxel to the next, with values from 0 to 1."""
    axes = torch.meshgrid(*[torch.linspace(0, 2, n) for n in shape], indexing="ij")
    return (1 + torch.stack(axes).sum(0).sin()) / 2


@pytest.mark.parametrize("shape", [(40, 31), (24, 33, 20)])
def test_what_a_view_shows_comes_back_to_its_place(shape):
    torch.manual_seed(0)
    image = smooth(shape)[None]
    affine = RandomAffine(degrees=30, scale=0.2, shear=0.1, shift=0.1)
    view = draw_view(Compose(affine, RandomIntensity(0, 0), RandomAffine(0, 0, 0, shift=0.05)), image)
    assert view.image.shape == (1, *[n + 2 for n in shape])
    assert not torch.allclose(view.image[(0, *[slice(1, -1)] * len(shape))], image[0], atol=0.1)
    q = torch.cat([view.image, 1 - view.image])
    back = put_back(q, view.coordinates, shape)
    shown = back.sum(0) > 0
    assert 0.5 < shown.float().mean() < 1  # corners have left the view
    torch.testing.assert_close(back.sum(0)[shown], torch.ones(shown.sum()))
    error = (back[0] - image[0])[shown].abs()
    assert error.max() < 0.1  # at the border of what is shown, where neighbours lie on one side only
    assert error.mean() < 0.01


@given(st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple))
def test_without_movement_all_comes_back(shape):
    image = torch.rand(2, *shape)
    still = RandomAffine(0, 0, 0, 0)
    view = draw_view(still, image)
    q = torch.stack([view.image[0], 1 - view.image[0]])
    back = put_back(q, view.coordinates, shape)
    torch.testing.assert_close(back, torch.stack([image[0], 1 - image[0]]), atol=1e-4, rtol=0)


def test_half_a_pixel_is_shared_by_neighbours():
    q = torch.tensor([[[0.2, 0.6]], [[0.8, 0.4]]])  # two voxels of a view, in one row
    coordinates = torch.tensor([[[0.0, 0.0]], [[0.5, 1.0]]])
    back = put_back(q, coordinates, (1, 4))
    # Pixel 0 has half of the first voxel; pixel 1 half of it and the whole second: (0.1 + 0.6) / 1.5.
    torch.testing.assert_close(back[0], torch.tensor([[0.2, 0.7 / 1.5, 0.0, 0.0]]))
    torch.testing.assert_close(back.sum(0), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))


def test_what_lies_outside_the_volume_gives_nothing():
    """Half a voxel before the first and after the last, and whole voxels outside."""
    q = torch.tensor([[[0.2, 0.6, 0.9, 0.4, 1.0]]])
    coordinates = torch.tensor([[[0.0] * 5], [[-0.5, 0.0, -1.0, 2.5, 3.0]]])
    q = torch.cat([q, 1 - q])
    back = put_back(q, coordinates, (1, 3))
    # Pixel 0: half of the first voxel and the whole second, (0.1 + 0.6) / 1.5. Pixel 2: half of the fourth.
    torch.testing.assert_close(back[0], torch.tensor([[0.7 / 1.5, 0.0, 0.4]]))
    torch.testing.assert_close(back.sum(0), torch.tensor([[1.0, 0.0, 1.0]]))
    # The same beyond the borders of the other axis.
    torch.testing.assert_close(put_back(q.mT, coordinates.flip(0).mT, (3, 1)), back.mT)


def test_a_composition_inside_a_composition_moves_labels_along():
    torch.manual_seed(0)
    nested = Compose(Compose(GaussianNoise(0.0), Compose(RandomTranslation(2))), RandomIntensity(0, 0))
    assert [is_spatial for _, is_spatial in steps(nested)] == [False, True, False]
    image = torch.arange(48.0).reshape(1, 6, 8)
    view = draw_view(nested, image)
    row, column = view.coordinates.long()
    inside = (row >= 0) & (row < 6) & (column >= 0) & (column < 8)
    assert torch.equal(view.image[0][inside], image[0][row[inside], column[inside]])
    assert not torch.equal(view.image[0, 1:-1, 1:-1], image[0])


def test_what_moves_nothing_needs_no_coordinates():
    view = draw_view(Compose(RandomIntensity(), GaussianNoise(0.1)), torch.zeros(1, 5, 6))
    assert view.coordinates is None
    assert view.image.shape == (1, 5, 6)


class Pixelwise(nn.Module):
    """The probabilities of a voxel are its values."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 1)  # for there must be something to train

    def forward(self, x):
        return x.clamp_min(1e-6).log()


def test_assignment_of_views_is_voxel_by_voxel():
    torch.manual_seed(0)
    images = [smooth((30, 33)), smooth((31, 28))]
    volumes = Volumes([torch.stack([image, 1 - image]) for image in images])
    net = VoxelNet(
        Pixelwise(),
        patch_size=(9, 9),
        margin=(0, 0),
        device="cpu",
        augment=RandomTranslation(3),
        tile_size=100,
    ).initialize()
    Q, plain = net.augmented_assignment(volumes), net.soft_assignment(volumes)
    assert Q.dtype == torch.float16
    shown = Q.sum(1) > 0
    assert 0.7 < shown.float().mean() < 1
    torch.testing.assert_close(Q[shown], plain[shown], atol=2e-3, rtol=0)
    net.augment = None
    assert torch.equal(net.augmented_assignment(volumes), plain)
