"""Time of training and prediction, as a ratio to a bare torch loop that does the same mathematics.

Not run with the tests: ``make benchmark``. Both sides are timed in turn in one process, and the ratio is that
of the fastest rounds, which other work on the machine disturbs least.
"""

import time

import pytest
import torch
from skorch import NeuralNet
from torch import nn

from sklearn_ssldec._training.net import KERNEL_WEIGHT_DECAY, SSLDECNet
from sklearn_ssldec.augment import GaussianNoise, RandomAffine
from sklearn_ssldec.clustering import ClusteringLayer, kl_divergence
from sklearn_ssldec.networks import MLP, ConvNet
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

BATCH_SIZE = 128


def mlp():
    torch.manual_seed(0)
    network = EmbeddingNetwork(MLP((20,), 10), ClusteringLayer(10, 10))
    X = torch.randn(64 * BATCH_SIZE, 20)
    return network, X, torch.softmax(torch.randn(len(X), 10), 1)


def fastest(functions, rounds=15):
    times = [[] for _ in functions]
    for _ in range(rounds):
        for function, record in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            record.append(time.perf_counter() - start)
    return [min(record) for record in times]


def report(name, ours, bare, n_batches):
    print(
        f"\n{name}: {ours / n_batches * 1e3:.3f} ms a batch, bare torch {bare / n_batches * 1e3:.3f} ms, "
        f"ratio {ours / bare:.3f}"
    )


def test_training_epoch_of_an_mlp():
    network, X, P = mlp()
    augment = GaussianNoise(0.1)
    net = SSLDECNet(
        network, augment=augment, optimizer=torch.optim.Adam, lr=1e-3, batch_size=BATCH_SIZE, verbose=0
    ).initialize()
    index = torch.arange(len(X))

    bare_network, _, _ = mlp()
    kernels = [p for m in bare_network.modules() if isinstance(m, nn.Linear) for p in [m.weight]]
    others = [p for p in bare_network.parameters() if all(p is not kernel for kernel in kernels)]
    optimizer = torch.optim.Adam(
        [{"params": kernels, "weight_decay": KERNEL_WEIGHT_DECAY}, {"params": others}], lr=1e-3, fused=True
    )

    def bare_epoch():
        bare_network.train()
        order = torch.randperm(len(X))
        for i in range(0, len(X), BATCH_SIZE):
            rows = order[i : i + BATCH_SIZE]
            optimizer.zero_grad()
            kl_divergence(P[rows], bare_network(augment(X[rows]))).backward()
            optimizer.step()

    ours, bare = fastest([lambda: net.train_epoch(X, P, index), bare_epoch])
    report("training, MLP 20-100-100-100-100-10", ours, bare, len(X) // BATCH_SIZE)
    assert ours / bare < 1.15


def test_skorch_as_it_comes_on_an_mlp():
    """What the iterator and the history of `SSLDECNet` save: the same epoch by `skorch.NeuralNet`."""

    class KLDivergence(nn.Module):
        def forward(self, log_q, p):
            return kl_divergence(p, log_q)

    network, X, P = mlp()
    ours = SSLDECNet(
        network, optimizer=torch.optim.Adam, lr=1e-3, batch_size=BATCH_SIZE, verbose=0
    ).initialize()
    plain = NeuralNet(
        mlp()[0], KLDivergence, optimizer=torch.optim.Adam, lr=1e-3, batch_size=BATCH_SIZE, max_epochs=1,
        train_split=None, verbose=0, iterator_train__shuffle=True,
    ).initialize()  # fmt: skip
    index = torch.arange(len(X))
    as_it_comes, sliced = fastest(
        [lambda: plain.partial_fit(X, P), lambda: ours.train_epoch(X, P, index)], rounds=7
    )
    report(
        "skorch as it comes (where it says bare torch: SSLDECNet)", as_it_comes, sliced, len(X) // BATCH_SIZE
    )
    assert as_it_comes / sliced > 1.2


def test_soft_assignment_of_an_mlp():
    network, X, _ = mlp()
    net = SSLDECNet(network, optimizer=torch.optim.Adam, lr=1e-3, verbose=0).initialize()

    def bare_forward():
        network.eval()
        with torch.no_grad():
            torch.cat([network(X[i : i + 512]).exp() for i in range(0, len(X), 512)])

    ours, bare = fastest([lambda: net.soft_assignment(X), bare_forward])
    report("soft assignment, MLP 20-100-100-100-100-10", ours, bare, len(X) // 512)
    assert ours / bare < 1.15


def test_training_step_of_the_convnet_with_augmentation():
    """The whole step (augmentation, average of the weights, skorch) against the bare network's."""
    torch.manual_seed(0)
    X, P = torch.randn(10 * 32, 1, 28, 28), torch.softmax(torch.randn(10 * 32, 10), 1)

    def convnet():
        return EmbeddingNetwork(
            ConvNet((1, 28, 28), 10, width=0.125, convs_per_block=2, dropout=0.1), ClusteringLayer(10, 10)
        )

    net = SSLDECNet(
        convnet(), augment=RandomAffine(15, 0.15, 0.15, 0.12), ema_decay=0.99, optimizer=torch.optim.Adam,
        lr=1e-3, batch_size=32, verbose=0,
    ).initialize()  # fmt: skip
    index = torch.arange(len(X))
    bare_network = convnet()
    optimizer = torch.optim.Adam(bare_network.parameters(), lr=1e-3, weight_decay=2e-4, fused=True)

    def bare_epoch():
        bare_network.train()
        order = torch.randperm(len(X))
        for i in range(0, len(X), 32):
            rows = order[i : i + 32]
            optimizer.zero_grad()
            kl_divergence(P[rows], bare_network(X[rows])).backward()
            optimizer.step()

    ours, bare = fastest([lambda: net.train_epoch(X, P, index), bare_epoch])
    report("training with augmentation, figure 2 at 1/8 width, batches of 32", ours, bare, 10)
    assert ours / bare < 1.1


def test_soft_assignment_of_the_convnet():
    torch.manual_seed(0)
    network = EmbeddingNetwork(
        ConvNet((1, 28, 28), 10, width=0.125, convs_per_block=2), ClusteringLayer(10, 10)
    )
    X = torch.randn(1024, 1, 28, 28)
    net = SSLDECNet(network, optimizer=torch.optim.Adam, lr=1e-3, verbose=0).initialize()

    def bare_forward():
        network.eval()
        with torch.no_grad():
            torch.cat([network(X[i : i + 512]).exp() for i in range(0, len(X), 512)])

    ours, bare = fastest([lambda: net.soft_assignment(X), bare_forward], rounds=7)
    report("soft assignment, figure 2 at 1/8 width, per 512", ours, bare, 2)
    assert ours / bare < 1.05


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
