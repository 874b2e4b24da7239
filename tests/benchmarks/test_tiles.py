"""Dense prediction against patch by patch, and the memory that Q and P of many voxels take.

Not run with the tests: ``make benchmark``.
"""

import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.net import EmbeddingNetwork
from sklearn_ssldec.networks import DenseNet3D
from sklearn_ssldec.patches import Volumes
from sklearn_ssldec.voxel_net import VoxelNet

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
from sklearn_ssldec.net import EmbeddingNetwork
from sklearn_ssldec.networks import DenseNet3D
from sklearn_ssldec.patches import Volumes
from sklearn_ssldec.voxel_net import VoxelNet
sizes = {"patch_size": (27,) * 3, "margin": (9,) * 3, "tile_size": int(sys.argv[1]), "device": "cpu"}
module = EmbeddingNetwork(DenseNet3D((1, 27, 27, 27), 3), ClusteringLayer(3, 3, axis=1))
net = VoxelNet(module, **sizes).initialize()
volumes = Volumes([torch.randn(1, 64, 64, 64)])
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


def test_tile_size_bounds_the_memory_of_prediction():
    taken = {tile_size: gibibytes(PREDICT, tile_size) for tile_size in (16, 32, 64)}
    for tile_size, more in taken.items():
        print(f"\nfigure 3's network, 64x64x64 voxels in tiles of {tile_size}: {more * 1024:.0f} MiB more")
    assert taken[16] < taken[32] < taken[64]
