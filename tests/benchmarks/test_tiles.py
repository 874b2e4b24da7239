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


PEAK = """
import resource, torch
from sklearn_ssldec.clustering import hard_assignment, target_distribution
n = 20 * 144 * 192 * 256
Q = torch.rand(n, 3, dtype=torch.float16)
Q /= Q.sum(1, keepdim=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predicted = hard_assignment(Q)
P = target_distribution(Q, frequency="hard")
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_q_and_p_for_twenty_volumes():
    output = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    after = int(output.split()[1]) / 2**20
    print(f"\n20 volumes of 144x192x256, 3 classes: {after:.2f} GiB with Q, P and predicted classes")
    assert after < 4


PREDICT = """
import resource, sys, torch
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.net import EmbeddingNetwork
from sklearn_ssldec.networks import DenseNet3D
from sklearn_ssldec.patches import Volumes
from sklearn_ssldec.voxel_net import VoxelNet
sizes = {"patch_size": (27,) * 3, "margin": (9,) * 3, "tile_size": int(sys.argv[1]), "device": "cpu"}
module = EmbeddingNetwork(DenseNet3D((1, 27, 27, 27), 3), ClusteringLayer(3, 3, axis=1))
net = VoxelNet(module, **sizes).initialize()
volumes = Volumes([torch.randn(1, 64, 64, 64)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net.predict_volume(volumes, 0)
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_tile_size_bounds_the_memory_of_prediction():
    taken = []
    for tile_size in (16, 32, 64):
        command = [sys.executable, "-c", PREDICT, str(tile_size)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        before, after = (int(kilobytes) / 2**10 for kilobytes in output.split())
        taken.append(after - before)
        print(f"\nfigure 3's network, tiles of {tile_size}: {taken[-1]:.0f} MiB")
    assert taken[0] <= taken[1] < taken[2]  # 0: less than setting up had taken before
