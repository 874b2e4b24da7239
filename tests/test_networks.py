from itertools import pairwise

import pytest
import torch
from torch import nn

from sklearn_ssldec.networks import (
    MLP,
    ConvNet,
    DenseNet2D,
    DenseNet3D,
    LightUNet2D,
    LightUNet3D,
    UNet2D,
    UNet3D,
)
from sklearn_ssldec.networks.light_unet import Apart, put_together


def kinds(network):
    """Name the layers in order, dropout aside, with their sizes."""
    names = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            names.append(f"conv {layer.out_channels}")
            assert layer.kernel_size == (3, 3)
            assert layer.padding == "same"
        elif isinstance(layer, nn.Linear):
            names.append(f"dense {layer.in_features}-{layer.out_features}")
        elif isinstance(layer, (nn.MaxPool2d, nn.ELU, nn.BatchNorm1d, nn.BatchNorm2d)):
            names.append({"MaxPool2d": "pool", "ELU": "elu"}.get(type(layer).__name__, "norm"))
    return names


@pytest.mark.parametrize(("shape", "flat"), [((1, 28, 28), 1152), ((3, 32, 32), 2048)])
def test_figure_2(shape, flat):
    def unit(name):
        return [name, "norm", "elu"]

    expected = []
    for filters in ((128, 128, 128), (256, 256, 256), (512, 256, 128)):
        for n in filters:
            expected += unit(f"conv {n}")
        expected.append("pool")
    expected += unit(f"dense {flat}-128") + unit("dense 128-10")
    network = ConvNet(shape, 10)
    assert kinds(network) == expected
    # by hand: convolutions 9 c_in c_out + c_out, dense layers in out + out, two parameters a normed channel
    channels = [shape[0], 128, 128, 128, 256, 256, 256, 512, 256, 128]
    count = sum(9 * a * b + 3 * b for a, b in pairwise(channels))
    count += flat * 128 + 3 * 128 + 128 * 10 + 3 * 10
    assert sum(p.numel() for p in network.parameters()) == count
    dropouts = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in dropouts] == [0.25] * 9
    assert network(torch.zeros(2, *shape)).shape == (2, 10)


def test_dropout_comes_after_the_pool_of_a_block():
    layers = list(ConvNet((1, 28, 28), 10).features)
    after = [type(layers[i + 1]) for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert after == [nn.Dropout] * 3


@pytest.mark.parametrize(
    ("shape", "n_pools"), [((1, 8, 8), 2), ((1, 4, 4), 1), ((3, 17, 64), 3), ((2, 5, 30), 1)]
)
def test_convnet_adapts_to_small_images(shape, n_pools):
    network = ConvNet(shape, 4, width=0.05, convs_per_block=2)
    assert kinds(network).count("pool") == n_pools
    assert network(torch.zeros(3, *shape)).shape == (3, 4)


@pytest.mark.parametrize("shape", [(1, 3, 8), (64,), (8, 8), (1, 8, 8, 8)])
def test_convnet_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match=r"ConvNet takes images .* at least 4 pixels a side, got"):
        ConvNet(shape, 3)


@pytest.mark.parametrize(("parameter", "value"), [("width", 0), ("convs_per_block", 4), ("dropout", 1.0)])
def test_convnet_refuses_parameters(parameter, value):
    with pytest.raises(ValueError, match=parameter):
        ConvNet((1, 8, 8), 3, **{parameter: value})


def test_mlp_of_the_half_moons():
    network = MLP((2,), 2, hidden_units=(10, 10, 10, 10))
    sizes = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(2, 10), (10, 10), (10, 10), (10, 10), (10, 2)]
    assert sum(isinstance(m, nn.ReLU) for m in network.modules()) == 4
    assert MLP((3, 4), 5, hidden_units=(7,), embedding_size=6, dropout=0.5)(torch.zeros(2, 3, 4)).shape == (
        2,
        6,
    )


def test_figure_3():
    network = DenseNet3D((2, 27, 27, 27), 3)
    layers = [layer for layer in network.modules() if not list(layer.children())]
    expected = []
    for n in (25, 50, 75):
        expected += [f"conv 3 {n}", f"norm {n}", f"prelu {n}"] * 3
    for n in (400, 200, 150):
        expected += [f"conv 1 {n}", f"norm {n}", f"prelu {n}", "dropout 0.25"]
    expected += ["conv 1 3", "norm 3", "prelu 3"]
    names = {
        nn.Conv3d: lambda x: f"conv {x.kernel_size[0]} {x.out_channels}",
        nn.BatchNorm3d: lambda x: f"norm {x.num_features}",
        nn.PReLU: lambda x: f"prelu {x.num_parameters}",
        nn.Dropout3d: lambda x: f"dropout {x.p}",
    }
    assert [names[type(layer)](layer) for layer in layers] == expected
    assert all(layer.padding == (0, 0, 0) for layer in layers if isinstance(layer, nn.Conv3d))
    # the first dense layer sees the three blocks side by side
    assert (
        next(x for x in layers if isinstance(x, nn.Conv3d) and x.kernel_size == (1, 1, 1)).in_channels == 150
    )
    # by hand: kernels and biases of convolutions, three parameters a channel of normalisation and PReLU
    sizes = [2, 25, 25, 25, 50, 50, 50, 75, 75, 75]
    count = sum(27 * a * b + 4 * b for a, b in pairwise(sizes))
    count += sum(a * b + 4 * b for a, b in pairwise([150, 400, 200, 150, 3]))
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.eval()(torch.zeros(1, 2, 27, 27, 27)).shape == (1, 3, 9, 9, 9)
    assert network(torch.zeros(1, 2, 19, 21, 30)).shape == (1, 3, 1, 3, 12)


def test_dense_net_sees_nineteen_voxels_for_one():
    torch.manual_seed(0)
    network = DenseNet2D((1, 27, 27), 2, width=0.2).eval()
    x = torch.randn(1, 1, 27, 27, requires_grad=True)
    network(x)[0, :, 4, 4].square().sum().backward()
    seen = (x.grad[0, 0] != 0).nonzero()
    assert seen.min(0).values.tolist() == [4, 4]
    assert seen.max(0).values.tolist() == [22, 22]


def test_dense_net_widths_and_errors():
    narrow = DenseNet3D((1, 27, 27, 27), 3, width=0.2)
    assert narrow.blocks[0][0].out_channels == 5
    with pytest.raises(ValueError, match=r"DenseNet3D takes patches of shape .* got \(1, 27, 27\)"):
        DenseNet3D((1, 27, 27), 3)
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        DenseNet2D((1, 27, 27), 3, width=0)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        DenseNet2D((1, 27, 27), 3, dropout=1)


def test_unet_by_hand():
    network = UNet3D((2, 32, 32, 32), 3, width=0.25)
    # kernels, biases, normalisation and PReLU: 8, 16 and 32 filters
    down = [
        (27, 2, 8),
        (27, 8, 8),
        (8, 8, 8),
        (27, 8, 16),
        (27, 16, 16),
        (8, 16, 16),
        (27, 16, 32),
        (27, 32, 32),
    ]
    up = [(27, 32 + 16, 16), (27, 16, 16), (27, 16 + 8, 8), (27, 8, 8), (1, 8, 3)]
    count = sum(size * a * b + 4 * b for size, a, b in down + up)
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.eval()(torch.zeros(1, 2, 32, 32, 32)).shape == (1, 3, 32, 32, 32)
    assert network(torch.zeros(1, 2, 5, 1, 30)).shape == (1, 3, 5, 1, 30)
    assert UNet2D((1, 64, 64), 2, width=0.1)(torch.zeros(2, 1, 33, 7)).shape == (2, 2, 33, 7)


@pytest.mark.parametrize("n_levels", [1, 2, 3, 4])
def test_unet_sees_its_context(n_levels):
    torch.manual_seed(0)
    network = UNet2D((1, 64, 64), 2, width=0.1, n_levels=n_levels).double().eval()
    assert network.context % network.stride == 0
    reach = []
    for at in range(96, 96 + network.stride):
        x = torch.randn(1, 1, 200, 200, dtype=torch.float64, requires_grad=True)
        network(x)[0, :, at, at].square().sum().backward()
        seen = (x.grad[0, 0] != 0).nonzero()
        reach += [int(at - seen.min()), int(seen.max() - at)]
    assert network.context - network.stride < max(reach) <= network.context


def test_unet_errors():
    with pytest.raises(ValueError, match=r"UNet3D takes patches of shape .* got \(1, 64, 64\)"):
        UNet3D((1, 64, 64), 3)
    with pytest.raises(ValueError, match="n_levels must be at least 1, got 0"):
        UNet2D((1, 64, 64), 3, n_levels=0)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (LightUNet2D((1, 64, 64), 3, width=0.125, n_levels=4, stem=2), (64, 50)),
        (
            LightUNet3D((1, 8, 16, 16), 3, width=0.125, n_levels=3, strides=[(1, 2, 2), (2, 2, 2)]),
            (7, 16, 13),
        ),
        (LightUNet3D((1, 8, 8, 8), 3, width=0.125, n_levels=2, stem=2), (8, 9, 10)),
    ],
    ids=["2-D, stem", "anisotropic", "3-D, stem"],
)
def test_light_unet_maps_patches_of_any_shape(network, shape):
    assert network(torch.randn(2, 1, *shape)).shape == (2, 3, *shape)


@pytest.mark.parametrize(("n_levels", "stem"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_light_unet_sees_its_context(n_levels, stem):
    torch.manual_seed(0)
    network = LightUNet2D((1, 64, 64), 2, width=0.1, n_levels=n_levels, stem=stem).double().eval()
    assert network.context % network.stride == 0
    reach = []
    for at in range(96, 96 + network.stride):
        x = torch.randn(1, 1, 200, 200, dtype=torch.float64, requires_grad=True)
        network(x)[0, :, at, at].square().sum().backward()
        seen = (x.grad[0, 0] != 0).nonzero()
        reach += [int(at - seen.min()), int(seen.max() - at)]
    assert network.context - 2 * network.stride < max(reach) <= network.context


def test_narrow_kernels_see_less():
    torch.manual_seed(0)
    kernels = [(1, 3), (1, 3), (3, 3)]
    network = LightUNet2D((1, 64, 64), 2, 0.1, 3, kernels=kernels, strides=[(1, 2), (1, 2)]).double().eval()
    x = torch.randn(1, 1, 40, 200, dtype=torch.float64, requires_grad=True)
    network(x)[0, :, 20, 100].square().sum().backward()
    rows, columns = (x.grad[0, 0] != 0).nonzero().T
    assert (int(rows.min()), int(rows.max())) == (18, 22)  # two convolutions on the coarsest level
    assert max(100 - int(columns.min()), int(columns.max()) - 100) <= network.context


@pytest.mark.parametrize("n_dims", [2, 3])
def test_blocks_are_put_together_and_taken_apart(n_dims):
    x = torch.randn(2, 3, *[8, 6, 4][:n_dims])
    together = put_together(x, 2)
    assert together.shape == (2, 3 * 2**n_dims, *[4, 3, 2][:n_dims])
    assert torch.equal(Apart(2)(together), x)
    block = x[0, 1][(slice(2, 4),) * n_dims].flatten()
    assert torch.equal(together[0, 2**n_dims : 2 * 2**n_dims][(slice(None), *[1] * n_dims)], block)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"stem": 0}, "stem must be at least 1"),
        ({"n_levels": 0}, "n_levels must be at least 1"),
        ({"n_levels": 3, "strides": [(2, 2)]}, "strides must hold"),
        ({"n_levels": 2, "strides": [(3, 2)]}, "1 or 2"),
        ({"n_levels": 2, "kernels": [(3, 3)]}, "kernels must hold, for each of the 2 levels"),
        ({"n_levels": 2, "kernels": [(3, 3), (3, 5)]}, "1 or 3"),
    ],
)
def test_light_unet_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LightUNet2D((1, 16, 16), 2, **kwargs)
