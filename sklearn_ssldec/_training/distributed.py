"""Training of a network by one process, or by several that share each batch and the prediction of Q."""

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
        """Return the whole batch.

        Parameters
        ----------
        X : Tensor of shape (n_rows, ...)
            Samples.
        targets : Targets
            Their targets.

        Returns
        -------
        tuple of Tensor, Targets and float
            The samples, the targets, and the factor 1 of the loss.
        """
        return X, targets, 1.0

    def weighted(self, loss: Tensor, factor: float) -> Tensor:
        """Return the loss unchanged.

        Parameters
        ----------
        loss : Tensor of shape ()
            The loss.
        factor : float
            The factor from `own_share`, which is 1.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return loss

    def own_blocks(self, blocks: range) -> tuple[range, bool]:
        """Return all blocks of work.

        Parameters
        ----------
        blocks : range
            All blocks.

        Returns
        -------
        tuple of range and bool
            The blocks, and False: they are not shared.
        """
        return blocks, False

    def joined(self, outputs: Tensor, shared: bool = False) -> Tensor:
        """Return the outputs unchanged.

        Parameters
        ----------
        outputs : Tensor
            The outputs.
        shared : bool, default=False
            Ignored.

        Returns
        -------
        Tensor
            The outputs.
        """
        return outputs

    def mean(self, values: Tensor) -> Tensor:
        """Return the values unchanged.

        Parameters
        ----------
        values : Tensor
            The values.

        Returns
        -------
        Tensor
            The values.
        """
        return values


class Processes:
    """The current process, one of several that train a network together.

    Parameters
    ----------
    module : Module
        The network. It is the same in all processes, and stays the same.
    seed : int
        Seed of dropout and augmentation, which differ between processes.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and number of processes.
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

        With this factor, the average of the processes' gradients is the gradient of the batch's mean loss. If
        the batch is too small to be shared, each process takes all of it.

        Parameters
        ----------
        X : Tensor of shape (n_rows, ...)
            Samples.
        targets : Targets
            Their targets.
        """
        p, weight, n_own = targets.p, targets.weight, targets.n_own
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
        """Return the loss times a factor.

        Parameters
        ----------
        loss : Tensor of shape ()
            Mean loss of this process's rows.
        factor : float
            The factor from `own_share`.

        Returns
        -------
        Tensor of shape ()
            The product.
        """
        return factor * loss

    def own_blocks(self, blocks: range) -> tuple[range, bool]:
        """Return the blocks of work of this process, and whether other processes do the rest.

        Parameters
        ----------
        blocks : range
            All blocks; if there are fewer than processes, each process does all.
        """
        shared = len(blocks) >= self.size
        return blocks[self.rank :: self.size] if shared else blocks, shared

    def joined(self, outputs: Tensor, shared: bool = False) -> Tensor:
        """Return the same outputs in all processes, so that all continue alike.

        Parameters
        ----------
        outputs : Tensor
            The results of this process, and zeros elsewhere.
        shared : bool, default=False
            Whether each process computed a part. Otherwise each computed all, and the results of the first
            one are used.
        """
        if shared:
            dist.all_reduce(outputs)
        else:
            dist.broadcast(outputs, src=0)
        return outputs

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of the processes' values.

        Parameters
        ----------
        values : Tensor
            Values of this process; changed in place.

        Returns
        -------
        Tensor
            The mean.
        """
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
    """Return the first process's value in every process.

    Parameters
    ----------
    value : object
        Value of this process.

    Returns
    -------
    object
        Value of the first process.
    """
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process run a block before the others do.

    Yields
    ------
    None
        When this process may run the block.
    """
    if dist.get_rank() > 0:
        dist.barrier()
    try:
        yield
    finally:  # an error of the first process is raised by the others too, which would wait for it otherwise
        if dist.get_rank() == 0:
            dist.barrier()
