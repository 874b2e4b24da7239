"""Cutting patches, tiling, and putting volumes together again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import nn

from sklearn_ssldec._samples.patches import as_patch_size, auto_tile_size, find_centers, tiles, tiling
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.networks import DenseNet2D, DenseNet3D, UNet2D, UNet3D
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

shapes = st.lists(st.integers(1, 12), min_size=2, max_size=3).map(tuple)


@given(shapes, st.integers(1, 15), st.sampled_from([1, 2, 4]))
def test_tiles_cover_each_voxel_once(shape, size, stride):
    seen = np.zeros(shape, dtype=int)
    for corner, sides in tiles(shape, size, stride):
        assert max(sides) <= max(size, stride)
        assert all(first % stride == 0 for first in corner)
        seen[tuple(slice(a, a + n) for a, n in zip(corner, sides, strict=True))] += 1
    assert (seen == 1).all()


@given(shapes, st.integers(1, 9), st.integers(0, 3))
def test_identity_network_reconstructs_the_volume(shape, size, margin):
    image = torch.rand(1, *shape)
    volumes = Volumes([image])
    whole = torch.empty(shape)
    for corner, sides in tiles(shape, size):
        outer = volumes.patch(0, tuple(c - margin for c in corner), tuple(n + 2 * margin for n in sides))
        box = tuple(slice(c, c + n) for c, n in zip(corner, sides, strict=True))
        whole[box] = outer[(0, *[slice(margin, margin + n) for n in sides])]
    assert torch.equal(whole, image[0])


@given(shapes, st.data())
def test_patch_repeats_the_border_outside(shape, data):
    image = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    corner = tuple(data.draw(st.integers(-3, side - 1)) for side in shape)
    size = tuple(data.draw(st.integers(1 + max(0, -c), 8)) for c in corner)
    rows = [np.arange(c, c + n).clip(0, side - 1) for c, n, side in zip(corner, size, shape, strict=True)]
    expected = image[np.ix_(range(2), *rows)]
    assert_array_equal(Volumes([torch.from_numpy(image)]).patch(0, corner, size).numpy(), expected)


def test_patch_is_scaled_channel_by_channel():
    image = torch.tensor([[[2.0, 4.0]], [[10.0, 30.0]]])
    volumes = Volumes([image], shift=torch.tensor([[2.0, 10.0]]), scale=torch.tensor([[2.0, 10.0]]))
    assert volumes.patch(0, (0, 0), (1, 2)).tolist() == [[[0.0, 1.0]], [[0.0, 2.0]]]


@given(st.lists(shapes.filter(lambda s: len(s) == 2), min_size=1, max_size=3), st.integers(0, 10))
def test_positions_count_the_voxels_that_take_part(shapes, seed):
    rng = np.random.default_rng(seed)
    ignored = [rng.random(shape) < 0.3 for shape in shapes]
    volumes = Volumes([torch.zeros(1, *shape) for shape in shapes], ignored)
    assert len(volumes) == sum((~mask).sum() for mask in ignored)
    expected, start = [], 0
    for v, mask in enumerate(ignored):
        box = volumes.voxels(v, (-1, -1), tuple(n + 2 for n in mask.shape)).numpy()
        inside = box[1:-1, 1:-1]
        assert (inside[mask] == -1).all()
        assert_array_equal(inside[~mask], np.arange(start, start + (~mask).sum()))
        start += (~mask).sum()
        assert (np.delete(box.ravel(), np.flatnonzero(np.pad(np.ones(mask.shape, bool), 1))) == -1).all()
        expected += [(v, *index) for index in np.argwhere(~mask)]
    if len(volumes):
        where, coordinates = volumes.locate(torch.arange(len(volumes)))
        assert [(v, *c) for v, c in zip(where, coordinates, strict=True)] == expected


def test_centers_are_balanced_as_asked():
    codes = torch.zeros(10_000, dtype=torch.int64)
    codes[:10], codes[10:20] = 1, 2
    positions = torch.arange(10_000) + 5
    generator = torch.Generator().manual_seed(0)
    for balance, share in ((1.0, 1 / 3), (0.5, 2 / 3), (0.0, 1.0)):
        centers = find_centers(codes, positions, 3000, balance, generator)
        assert (codes[centers - 5] == 0).float().mean() == pytest.approx(share, abs=0.03)
    # classes that are not there are not drawn
    assert set(find_centers(codes[:10], positions[:10], 50, 1.0, generator).tolist()) <= set(range(5, 15))


def voxel_net(module, n_dims, margin, **kwargs):
    return VoxelNet(
        module, patch_size=(margin * 2 + 9,) * n_dims, margin=(margin,) * n_dims, device="cpu", **kwargs
    ).initialize()


@pytest.mark.parametrize(("network", "shape"), [(DenseNet3D, (21, 30, 19)), (DenseNet2D, (40, 33))])
def test_dense_tiles_agree_with_patches(network, shape):
    torch.manual_seed(0)
    n_dims = len(shape)
    module = EmbeddingNetwork(network((2, *[27] * n_dims), 3, width=0.1), ClusteringLayer(3, 3, axis=1))
    volumes = Volumes([torch.randn(2, *shape)])
    whole = voxel_net(module, n_dims, 9, tile_size=100).predict_volume(volumes, 0)
    by_patches = voxel_net(module, n_dims, 9, tile_size=9).predict_volume(volumes, 0)
    assert whole.shape == (3, *shape)
    torch.testing.assert_close(whole, by_patches, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.sum(0), torch.ones(shape))


@pytest.mark.parametrize(
    ("network", "shape", "tile_size"),
    [(UNet3D, (9, 70, 11), 9), (UNet2D, (130, 75), 16), (UNet2D, (53, 54), 1)],
)
def test_tiles_of_a_network_that_pads_agree_with_the_whole(network, shape, tile_size):
    torch.manual_seed(0)
    unet = network((2, *[8] * len(shape)), 3, width=0.1)
    unet(torch.randn(2, 2, *[16] * len(shape)))  # statistics of batch normalisation that are not 0 and 1
    module = EmbeddingNetwork(unet, ClusteringLayer(3, 3, axis=1))
    volumes = Volumes([torch.randn(2, *shape)])
    like_the_network = {"context": unet.context, "stride": unet.stride}
    whole = voxel_net(module, len(shape), 0, tile_size=1000, **like_the_network).predict_volume(volumes, 0)
    in_tiles = voxel_net(module, len(shape), 0, tile_size=tile_size, **like_the_network)
    torch.testing.assert_close(in_tiles.predict_volume(volumes, 0), whole, atol=1e-5, rtol=0)
    # which takes the context
    without = voxel_net(module, len(shape), 0, tile_size=tile_size, stride=unet.stride)
    assert (without.predict_volume(volumes, 0) - whole).abs().max() > 1e-3


class HalvedAndBack(nn.Module):
    """Sees 5 voxels around one, no multiple of its stride."""

    context, stride = 5, 4

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 3, 4, stride=4), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        coarse = nn.functional.interpolate(self.down(x), scale_factor=4.0)
        return self.up(torch.cat([coarse, x], dim=1))


@pytest.mark.parametrize("tile_size", [1, 4, 8, 12])
def test_context_that_is_no_multiple_of_the_stride(tile_size):
    torch.manual_seed(0)
    module = EmbeddingNetwork(HalvedAndBack(), ClusteringLayer(2, 2, axis=1))
    volumes = Volumes([torch.randn(1, 32, 24)])
    like_the_network = {"context": HalvedAndBack.context, "stride": HalvedAndBack.stride}
    whole = voxel_net(module, 2, 0, tile_size=100, **like_the_network).predict_volume(volumes, 0)
    in_tiles = voxel_net(module, 2, 0, tile_size=tile_size, **like_the_network).predict_volume(volumes, 0)
    torch.testing.assert_close(in_tiles, whole, atol=1e-6, rtol=0)


def test_context_and_stride_of_a_network():
    assert tiling(nn.Identity()) == (0, 1)
    assert tiling(nn.Conv2d(1, 2, 3)) == (0, 1)  # its own stride, (1, 1), is another thing
    assert tiling(HalvedAndBack()) == (5, 4)
    for name, value in (("context", -1), ("context", 2.5), ("stride", 0), ("stride", "4")):
        module = nn.Identity()
        setattr(module, name, value)
        with pytest.raises(ValueError, match=f"module.{name} must be an integer of at least"):
            tiling(module)


def test_nan_is_filled_before_volumes_are_scaled():
    image = torch.tensor([[[2.0, float("nan")]], [[10.0, 30.0]]])
    outside = [np.array([[False, True]])]
    known = {"fill": torch.tensor([[2.0, 20.0]])}
    assert Volumes([image], outside, **known).patch(0, (0, 0), (1, 2)).tolist() == [[[2, 2]], [[10, 30]]]
    known |= {"shift": torch.tensor([[3.0, 10.0]]), "scale": torch.tensor([[2.0, 10.0]])}
    assert Volumes([image], outside, **known).patch(0, (0, 0), (1, 2)).tolist() == [[[-0.5, -0.5]], [[0, 2]]]


def test_ignored_voxels_are_clipped_to_the_range_of_the_others():
    image, ignored = (
        torch.tensor([[[1000.0, 0.0, 1010.0, 2000.0, 1005.0]]]),
        np.array([[0, 1, 0, 1, 1]], bool),
    )
    limits = {"smallest": torch.tensor([[1000.0]]), "largest": torch.tensor([[1010.0]])}
    box = Volumes([image], [ignored], **limits).patch(0, (0, 0), (1, 5))
    assert box.tolist() == [[[1000, 1000, 1010, 1010, 1005]]]
    assert torch.equal(Volumes([image], [None], **limits).patch(0, (0, 0), (1, 5)), image)


def test_soft_assignment_of_rows_is_that_of_all():
    torch.manual_seed(0)
    module = EmbeddingNetwork(nn.Conv2d(1, 2, 3), ClusteringLayer(2, 2, axis=1))
    volumes = Volumes([torch.randn(1, 6, 5), torch.randn(1, 4, 7)], [None, np.eye(4, 7, dtype=bool)])
    net = voxel_net(module, 2, 1, tile_size=3)
    Q = net.soft_assignment(volumes)
    assert Q.shape == (30 + 24, 2)
    rows = torch.tensor([40, 3, 29, 53, 3])
    assert torch.equal(net.soft_assignment(volumes, rows), Q[rows])
    assert torch.equal(Q[:30].T.reshape(2, 6, 5), net.predict_volume(volumes, 0).half())


def test_auto_tile_size_counts_the_widest_layer():
    module = EmbeddingNetwork(DenseNet3D((1, 27, 27, 27), 3), ClusteringLayer(3, 3, axis=1))
    net = VoxelNet(module, patch_size=(27,) * 3, margin=(9,) * 3, device="cpu").initialize()
    assert net.floats_per_voxel(1) == 1.5 * (400 + 400)  # normalisation behind the first dense layer
    assert 55 <= net.largest_tile(1, (500, 500, 500)) <= 62
    # as many voxels in few slices need no tiles
    assert net.largest_tile(1, (200, 40, 10)) == 200


def test_auto_tile_size_keeps_to_the_memory():
    side = auto_tile_size(floats_per_voxel=100, margin=9, n_dims=3, n_bytes=2**30)
    assert 0.9 * 2**30 < 4 * 100 * (side + 18) ** 3 <= 2**30
    assert auto_tile_size(1e9, 9, 3, 1000) == 1


@pytest.mark.parametrize("size", [0, (9, 9), (9, 9, -1), (9.0, 9, 9)])
def test_patch_size_is_checked(size):
    with pytest.raises(ValueError, match="patch_size must be a positive integer or one for each of the 3"):
        as_patch_size(size, 3)


class Joined(nn.Module):
    def forward(self, images):
        return torch.cat(images, dim=1)


class Twice(nn.Module):
    """A network with a layer that takes a list."""

    def __init__(self):
        super().__init__()
        self.joined, self.conv = Joined(), nn.Conv2d(2, 2, 3)

    def forward(self, x):
        return self.conv(self.joined([x, x]))


def test_layers_that_take_lists_are_measured():
    net = voxel_net(EmbeddingNetwork(Twice(), ClusteringLayer(2, 2, axis=1)), 2, 1)
    assert net.floats_per_voxel(1) == 1.5 * (2 + 2)
