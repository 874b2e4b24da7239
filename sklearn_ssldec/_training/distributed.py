"""Data-parallel training: the processes of torch.distributed share each batch, and the computing of Q."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sklearn_ssldec._samples.batches import Targets


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
    forward : callable
        The network's forward pass; gradients of its result are averaged over the processes.
    """

    def __init__(self, module: nn.Module, seed: int) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.forward = DistributedDataParallel(module)
        torch.manual_seed(seed + self.rank)

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
        own, escort = (part[self.rank :: self.size] for part in torch.arange(len(X)).tensor_split([n_own]))
        rows = torch.cat([own, escort])
        if weight is None:
            share, chosen = len(rows) / len(X), None
        else:
            chosen = weight[rows.to(weight.device)]
            share = float(chosen.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny))
        mine = Targets(p[rows.to(p.device)], chosen, len(own))
        return X[rows.to(X.device)], mine, share * self.size

    def own(self, blocks: range) -> range:
        """Return the blocks of work that this process does."""
        return blocks[self.rank :: self.size]

    def joined(self, outputs: Tensor, shared: bool) -> Tensor:
        """Return the same outputs in all processes, so that all go on alike.

        Parameters
        ----------
        outputs : Tensor
            What this process computed, and zeros elsewhere.
        shared : bool
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
        If torch.distributed was not initialized.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "data_parallel=True needs the processes of torch.distributed: start the script by torchrun, and "
            "call torch.distributed.init_process_group('gloo') before fit ('nccl' on GPUs)."
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
