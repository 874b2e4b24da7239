"""Dense prediction against patch by patch, and the memory that Q and P of many voxels take.

Not run with the tests: ``make benchmark``.
"""

import subprocess
import sys
import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.networks import DenseNet3D
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

SIDE = 54


def predict(module, volumes, tile_size):
    net = VoxelNet(
        module, patch_size=(27,) * 3, margin=(9,) * 3, tile_size=tile_size, device="cpu"
    ).initialize()
    with FlopCounterMode(display=False) as counter:
        net.predict_volume(volumes, 0)
    operations = counter.get_total_flops() / 2 / SIDE**3
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        result = net.predict_volume(volumes, 0)
        best = min(best, time.perf_counter() - start)
    return operations, best / SIDE**3, result


def test_dense_tiles_against_patches():
    torch.manual_seed(0)
    module = EmbeddingNetwork(DenseNet3D((2, 27, 27, 27), 3), ClusteringLayer(3, 3, axis=1))
    volumes = Volumes([torch.randn(2, SIDE, SIDE, SIDE)])
    by_patches = predict(module, volumes, 9)
    print(
        f"\n27 -> 9 patches: {by_patches[0] / 1e6:.2f} M multiply-adds, {by_patches[1] * 1e6:.1f} us a voxel"
    )
    for tile_size in (18, 27, SIDE):
        tiles = predict(module, volumes, tile_size)
        print(
            f"tiles of {tile_size}: {tiles[0] / 1e6:.2f} M multiply-adds, {tiles[1] * 1e6:.1f} us a voxel, "
            f"{by_patches[1] / tiles[1]:.2f} times as fast"
        )
        torch.testing.assert_close(tiles[2], by_patches[2], atol=1e-5, rtol=0)
    assert by_patches[1] / tiles[1] > 2.5


# Linux: the most memory this process had since it was last reset. What getrusage says includes the parent's.
PEAK = """
from pathlib import Path
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()
"""
Q_AND_P = """
import torch
from sklearn_ssldec.clustering import hard_assignment, target_distribution
n = 20 * 144 * 192 * 256
Q = torch.rand(n, 3, dtype=torch.float16)
Q /= Q.sum(1, keepdim=True)
reset_peak()
predicted = hard_assignment(Q)
P = target_distribution(Q, frequency="hard")
print(peak())
"""
PREDICT = """
import sys, torch
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.networks.embedding import EmbeddingNetwork
from sklearn_ssldec.networks import DenseNet3D, UNet3D
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.voxel_net import VoxelNet
network, tile_size, side = sys.argv[1], *map(int, sys.argv[2:])
if network == "figure 3":
    embedding, sizes = DenseNet3D((1, 27, 27, 27), 3), {"patch_size": (27,) * 3, "margin": (9,) * 3}
else:
    embedding = UNet3D((1, 32, 32, 32), 3, width=0.25)
    sizes = {"patch_size": (32,) * 3, "margin": (0,) * 3}
    sizes |= {"context": embedding.context, "stride": embedding.stride}
module = EmbeddingNetwork(embedding, ClusteringLayer(3, 3, axis=1))
net = VoxelNet(module, tile_size=tile_size, device="cpu", **sizes).initialize()
volumes = Volumes([torch.randn(1, side, side, side)])
before = reset_peak()
net.predict_volume(volumes, 0)
print(peak() - before)
"""


def gibibytes(script, *arguments):
    command = [sys.executable, "-c", PEAK + script, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_of_q_and_p_for_twenty_volumes():
    taken = gibibytes(Q_AND_P)
    print(f"\n20 volumes of 144x192x256, 3 classes: {taken:.2f} GiB with Q, P, predicted classes and torch")
    assert taken < 4


@pytest.mark.parametrize(
    ("network", "side", "tile_sizes"), [("figure 3", 64, (16, 32, 64)), ("U-Net", 192, (96, 192))]
)
def test_tile_size_bounds_the_memory_of_prediction(network, side, tile_sizes):
    taken = [gibibytes(PREDICT, network, tile_size, side) for tile_size in tile_sizes]
    for tile_size, more in zip(tile_sizes, taken, strict=True):
        print(f"\n{network}, {side}x{side}x{side} voxels in tiles of {tile_size}: {more * 1024:.0f} MiB more")
    # Not in their order: of tiles of many shapes, what is freed is not always what is taken next.
    assert max(taken[:-1]) < taken[-1]
