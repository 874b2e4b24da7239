"""One thread or all of them, for networks of growing size: where `device.FEW_OPERATIONS` comes from.

Needs a machine that does nothing else. A training batch of `SSLDECNet`, with one thread and with as many as
torch takes by itself (the naive choice), in turn; the fastest of several rounds.
"""

from __future__ import annotations

import time

import torch

from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.threads import FEW_OPERATIONS, estimate_operations
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.networks import MLP, ConvNet
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

BATCH_SIZES = (32, 128)


def networks() -> dict[str, tuple[torch.nn.Module, tuple[int, ...]]]:
    """Return networks by name, each with the shape of a sample."""
    found: dict[str, tuple[torch.nn.Module, tuple[int, ...]]] = {}
    for width in (32, 100, 200, 300, 400, 600, 800, 1200):
        found[f"MLP, 4 x {width}"] = MLP((20,), 10, hidden_units=(width,) * 4), (20,)
    for side, width in [(8, 0.125), (8, 0.25), (16, 0.125), (28, 0.125), (28, 0.25)]:
        found[f"convnet, {side} x {side}, width {width}"] = (
            ConvNet((1, side, side), 10, width=width),
            (1, side, side),
        )
    return found


def seconds(net: SSLDECNet, X: torch.Tensor, P: torch.Tensor) -> float:
    """Return the time of a training epoch."""
    with net.threads():
        start = time.perf_counter()
        net.train_epoch(X, P, torch.arange(len(X)))
        return time.perf_counter() - start


def main() -> None:
    """Time all networks, and print the table."""
    threads = torch.get_num_threads()
    print(f"| network | batch | operations forward | 1 thread, ms a batch | {threads} threads | chosen |")
    print("|---|---|---|---|---|---|")
    for name, (embedding, shape) in networks().items():
        for batch_size in BATCH_SIZES:
            network = EmbeddingNetwork(embedding, ClusteringLayer(10, 10))
            operations = estimate_operations(network, torch.zeros(2, *shape)) * batch_size
            n_batches = 4 if operations > 1e9 else 32
            X = torch.randn(n_batches * batch_size, *shape)
            P = torch.softmax(torch.randn(len(X), 10), 1)
            times = {1: [], threads: []}  # type: dict[int, list[float]]
            for _ in range(5):
                for n in times:
                    # Few operations limit the net to one thread, many leave it all.
                    n_operations = 0.0 if n == 1 else float("inf")
                    net = SSLDECNet(
                        network, n_operations=n_operations, batch_size=batch_size, verbose=0, lr=1e-4
                    )
                    times[n].append(seconds(net.initialize(), X, P))
            one, many = (min(record) / n_batches * 1e3 for record in times.values())
            chosen = "1" if operations <= FEW_OPERATIONS else f"{threads}"
            print(
                f"| {name} | {batch_size} | {operations:.1e} | {one:.2f} | {many:.2f} | {chosen} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
