"""Who trains a network: one process alone, or several that share each batch and the computing of Q."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sklearn_ssldec._samples.batches import Targets


class Alone:
    """One process that trains a network by itself."""

    rank, size = 0, 1

    def forward(self, net: Any, X: Tensor) -> Tensor:
        """Return the network's output for a batch.

        Parameters
        ----------
        net : SSLDECNet
            The net.
        X : Tensor of shape (n_rows, ...)
            Samples.
        """
        return net.infer(X)

    def own_share(self, X: Tensor, targets: Targets) -> tuple[Tensor, Targets, float]:
        """Return the batch: all of it is this process's."""
        return X, targets, 1.0

    def weighted(self, loss: Tensor, factor: float) -> Tensor:
        """Return the loss as it is."""
        return loss

    def own_blocks(self, blocks: range) -> tuple[range, bool]:
        """Return all blocks of work, and that they are not shared."""
        return blocks, False

    def joined(self, outputs: Tensor, shared: bool = False) -> Tensor:
        """Return the outputs as they are."""
        return outputs

    def mean(self, values: Tensor) -> Tensor:
        """Return the values as they are."""
        return values


class Processes:
    """One process, this one, among those that train a network together.

    Parameters
    ----------
    module : Module
        The network; the same in all processes, and kept the same.
    seed : int
        Of what is random within a batch, which differs between processes: dropout and augmentation.

    Attributes
    ----------
    rank, size : int
        Which one this is, and how many there are.
    """

    def __init__(self, module: nn.Module, seed: int) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._module = DistributedDataParallel(module)
        torch.manual_seed(seed + self.rank)

    def forward(self, net: Any, X: Tensor) -> Tensor:
        """Return the network's output for a batch; its gradients are averaged over the processes.

        Parameters
        ----------
        net : SSLDECNet
            The net.
        X : Tensor of shape (n_rows, ...)
            Samples.
        """
        return self._module(X)

    def own_share(self, X: Tensor, targets: Targets) -> tuple[Tensor, Targets, float]:
        """Return the rows of a batch that this process takes, and the factor of their mean loss.

        With it, the average of the processes' gradients is the gradient of the mean loss of the batch. A
        batch too small to be shared is taken by all.

        Parameters
        ----------
        X : Tensor of shape (n_rows, ...)
            Samples.
        targets : Targets
            Their targets.
        """
        p, weight, n_own = targets
        if len(X) < 2 * self.size:
            return X, targets, 1.0
        positions = torch.arange(len(X)).tensor_split([n_own])
        own, labeled = (part[self.rank :: self.size] for part in positions)
        rows = torch.cat([own, labeled])
        if weight is None:
            share, chosen = len(rows) / len(X), None
        else:
            chosen = weight[rows.to(weight.device)]
            share = float(chosen.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny))
        mine = Targets(p[rows.to(p.device)], chosen, len(own))
        return X[rows.to(X.device)], mine, share * self.size

    def weighted(self, loss: Tensor, factor: float) -> Tensor:
        """Return the loss times the factor that `own_share` returned."""
        return factor * loss

    def own_blocks(self, blocks: range) -> tuple[range, bool]:
        """Return the blocks of work that this process does, and whether others do the rest.

        Parameters
        ----------
        blocks : range
            All blocks; if there are fewer than processes, each process does all.
        """
        shared = len(blocks) >= self.size
        return blocks[self.rank :: self.size] if shared else blocks, shared

    def joined(self, outputs: Tensor, shared: bool = False) -> Tensor:
        """Return the same outputs in all processes, so that all go on alike.

        Parameters
        ----------
        outputs : Tensor
            What this process computed, and zeros elsewhere.
        shared : bool, default=False
            Whether each computed a part; else each computed all, and what the first one has counts.
        """
        if shared:
            dist.all_reduce(outputs)
        else:
            dist.broadcast(outputs, src=0)
        return outputs

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of what the processes have."""
        dist.all_reduce(values)
        return values / self.size


def check_processes() -> None:
    """Raise an error if there are no processes to train with.

    Raises
    ------
    ValueError
        If torch.distributed was not initialised.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "net__data_parallel=True needs the processes of torch.distributed: start the script by torchrun, "
            "and call torch.distributed.init_process_group('gloo') before fit ('nccl' on GPUs)."
        )


def same_for_all(value: Any) -> Any:
    """Return what the first process has, in every process."""
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process through the block before the others."""
    if dist.get_rank() > 0:
        dist.barrier()
    yield
    if dist.get_rank() == 0:
        dist.barrier()
