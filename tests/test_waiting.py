"""Training and predicting neither ask the device for a number nor copy to it: both would make a GPU wait.

Shown on torch's meta device, where tensors have no values: what needs one fails or is seen.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sklearn_ssldec._samples.batches import SoftTargetRows, Targets, TensorSlices
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.augment import (
    Compose,
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomFlip,
    RandomIntensity,
    RandomTranslation,
)
from sklearn_ssldec.clustering import ClusteringLayer, OneHot
from sklearn_ssldec.networks import MLP, ConvNet, DenseNet3D, UNet3D
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

ASKING = ("_local_scalar_dense", "nonzero", "equal", "unique")


class Waits(TorchDispatchMode):
    """Records the operations that go between the device and the host."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        on_device = [tensor.is_meta for tensor in tensors if tensor.ndim > 0 or tensor.is_meta]
        name = func.overloadpacket.__name__
        if any(on_device) and (not all(on_device) or name in ASKING):
            self.names.append(name)
        return result


def net_of(module, net=SSLDECNet, **parameters):
    made = net(module, optimizer=torch.optim.Adam, lr=1e-3, ema_decay=0.9, device="meta", **parameters)
    return made.set_params(verbose=0).initialize()


def test_what_waits_is_seen():
    with Waits() as waits:
        torch.zeros(2, device="meta") + torch.tensor([1.0, 2.0]).to("meta")
        with pytest.raises(RuntimeError):
            torch.zeros((), device="meta").item()
    assert "_to_copy" in waits.names


@pytest.mark.parametrize("module", [MLP((20,), 3), ConvNet((1, 20, 20), 3, width=0.1)])
@pytest.mark.parametrize("hard", [False, True])
def test_step(module, hard):
    images = Compose(
        RandomAffine(15, shear=0.1), RandomTranslation(), RandomFlip(), Cutout(), RandomIntensity()
    )
    augment = GaussianNoise(0.1) if isinstance(module, MLP) else Compose(images, GaussianNoise(0.1))
    net = net_of(EmbeddingNetwork(module, ClusteringLayer(3, 3)), augment=augment)
    shape = (20,) if isinstance(module, MLP) else (1, 20, 20)
    X = torch.empty(40, *shape, device="meta")
    Y = OneHot(torch.zeros(40, dtype=torch.int64, device="meta"), n_classes=3)
    rows = SoftTargetRows(X, Y if hard else torch.empty(40, 3, device="meta"), None)
    rows.labeled_rows = SoftTargetRows(X, Y, torch.arange(5, device="meta"))
    batches = iter(TensorSlices(rows, batch_size=8))
    net.train_step(next(batches))  # the order, and the optimizer's state
    with Waits() as waits:
        for batch in batches:
            net.train_step(batch)
    assert waits.names == []


@pytest.mark.parametrize(("network", "side"), [(DenseNet3D, 3), (UNet3D, 21)])
def test_step_on_patches(network, side):
    module = EmbeddingNetwork(network((1, 21, 21, 21), 3, width=0.1), ClusteringLayer(3, 3, axis=1))
    augment = Compose(RandomAffine(shear=0.1), RandomIntensity(), GaussianNoise(0.1))
    net = net_of(module, VoxelNet, augment=augment)
    batch = torch.empty(4, 1, 21, 21, 21, device="meta")
    targets = Targets(
        torch.empty(4, 3, *[side] * 3, device="meta"), torch.empty(4, *[side] * 3, device="meta"), 4
    )
    net.train_step((batch, targets))
    with Waits() as waits:
        net.train_step((batch, targets))
    assert waits.names == []


def test_prediction():
    net = net_of(EmbeddingNetwork(ConvNet((1, 20, 20), 3, width=0.1), ClusteringLayer(3, 3)))
    X = torch.empty(600, 1, 20, 20, device="meta")
    with Waits() as waits:
        assert net.soft_assignment(X).shape == (600, 3)
        assert net.augmented_assignment(X).shape == (600, 3)
    assert waits.names == []
