"""Images per second, training and predicting, beside the bare network: mostly for GPUs.

``make throughput`` measures figure 2's network at full width on images of 28x28 pixels, in float32 and in
bf16: the whole training step (batches cut and augmented on the device, average of the weights) against
forward, backward and optimizer of the bare network at the same precision.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.augment import RandomAffine
from sklearn_ssldec.clustering import ClusteringLayer, kl_divergence
from sklearn_ssldec.networks import ConvNet
from sklearn_ssldec.networks.embedding import EmbeddingNetwork


def network(width: float, device: torch.device) -> EmbeddingNetwork:
    """Return figure 2's network, freshly made."""
    torch.manual_seed(0)
    return EmbeddingNetwork(ConvNet((1, 28, 28), 10, width=width), ClusteringLayer(10, 10)).to(device)


def seconds(function: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the time of the fastest round, the device's work included."""
    times = []
    for _ in range(rounds + 1):  # the first warms up
        start = time.perf_counter()
        function()
        if device.type != "cpu":
            torch.get_device_module(device).synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def measure(device: torch.device, precision: str, width: float, n: int, batch_size: int, rounds: int) -> str:
    """Return a row of the table."""
    X = torch.rand(n, 1, 28, 28, device=device)
    P = torch.softmax(torch.randn(n, 10, device=device), 1)
    net = SSLDECNet(
        network(width, device), augment=RandomAffine(15, 0.15, 0.15, 0.12), ema_decay=0.99,
        precision=precision, optimizer=torch.optim.Adam, lr=1e-3, batch_size=batch_size,
        device=device, verbose=0,
    ).initialize()  # fmt: skip
    bare = network(width, device)
    optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3, weight_decay=2e-4, fused=True)
    half = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

    def bare_epoch() -> None:
        bare.train()
        for rows in torch.arange(n, device=device).split(batch_size):
            optimizer.zero_grad()
            with half:
                log_q = bare(X[rows])
            kl_divergence(P[rows], log_q).backward()
            optimizer.step()

    def bare_forward() -> None:
        bare.eval()
        with torch.no_grad(), half:
            torch.cat([bare(part) for part in X.split(512)])

    cells = [precision]
    for ours, theirs in (
        (lambda: net.train_epoch(X, P, None), bare_epoch),
        (lambda: net.soft_assignment(X), bare_forward),
    ):
        mine, bares = seconds(ours, device, rounds), seconds(theirs, device, rounds)
        cells += [f"{n / mine:,.0f}", f"{n / bares:,.0f}", f"{bares / mine:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--n", type=int, default=12_800, help="images an epoch")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = arguments.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}"
    print(f"{name}, torch {torch.__version__}, width {arguments.width}, batches of {arguments.batch_size}\n")
    print("| precision | training, images/s | bare | share | prediction, images/s | bare | share |")
    print("|---|---|---|---|---|---|---|")
    for precision in ("float32", "bf16"):
        sizes = arguments.width, arguments.n, arguments.batch_size, arguments.rounds
        print(measure(device, precision, *sizes), flush=True)


if __name__ == "__main__":
    main()
