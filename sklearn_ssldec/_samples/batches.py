"""Rows of samples with soft targets, and batches cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sklearn_ssldec._samples.placing import move
from sklearn_ssldec.clustering import OneHot


class SoftTargetRows(Dataset):
    """Rows of X with their soft targets, the dataset of one epoch; it copies nothing.

    Parameters
    ----------
    X : Tensor of shape (n_samples, ...)
        Samples.
    P : Tensor of shape (n_samples, n_classes) or OneHot
        Targets.
    index : Tensor of shape (n_rows,), int64, or None
        The rows that take part; None for all.
    generator : torch.Generator, default=None
        CPU generator of the order of the batches.

    Attributes
    ----------
    labeled_rows : SoftTargetRows or None
        Rows of which a random batch joins each batch.
    labeled_weight : float
        Weight in the loss of those that join, where those that they join have weight 1.
    n_joining : int or None
        Largest number of labeled rows that join a batch; None is the batch size.
    """

    def __init__(
        self,
        X: Tensor,
        P: Tensor | OneHot,
        index: Tensor | None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.X, self.P, self.generator = X, P, generator
        self.index = torch.arange(len(X), device=P.device) if index is None else index
        self._sources = self.index.to(X.device)  # samples that do not fit a GPU lie on the host
        self.labeled_rows: SoftTargetRows | None = None
        self.labeled_weight = 1.0
        self.n_joining: int | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Return samples and targets of a slice of the rows."""
        return move(self.X[self._sources[rows]], self.P.device), self.P[self.index[rows]]

    def weight(self, rows: slice) -> Tensor | None:
        """Return the weights of a slice of the rows; None weighs all alike.

        Parameters
        ----------
        rows : slice
            Which rows.
        """
        return self.P.weight(self.index[rows]) if isinstance(self.P, OneHot) else None

    def ordered(self, order: Tensor) -> SoftTargetRows:
        """Return the rows in another order.

        Parameters
        ----------
        order : Tensor of shape (n_ordered,), int64
            Positions among the rows.
        """
        return SoftTargetRows(self.X, self.P, self.index[order.to(self.index.device)])


class Targets(NamedTuple):
    """Targets of a batch.

    Attributes
    ----------
    p : Tensor of shape (n_rows, n_classes)
        Target distributions.
    weight : Tensor of shape (n_rows,) or None
        Weights in the loss; None weighs all alike.
    n_own : int
        The first `n_own` rows are the batch's own; labeled rows that joined it follow.
    is_whole : Tensor of bool of shape (n_rows,), or None
        Whether all labels of a patch are known, or but for a few those of its volume; None if nobody asks.
    scribbled : Tensor of bool of shape (n_rows,), or None
        Whether a patch is of a volume with scribbles; None if there are no scribbles.
    """

    p: Tensor
    weight: Tensor | None
    n_own: int
    is_whole: Tensor | None = None
    scribbled: Tensor | None = None


class TensorSlices:
    """Batches cut from whole tensors, in a new random order each time: what a DataLoader does, row by row.

    A last batch of one row joins the one before it, since batch normalisation cannot train on one row.

    Parameters
    ----------
    dataset : SoftTargetRows
        What to cut.
    batch_size : int
        Rows a batch, and labeled rows that join it at most.
    """

    def __init__(self, dataset: SoftTargetRows, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self) -> int:
        n_rows = len(self.dataset)
        n_batches = -(-n_rows // self.batch_size)
        return n_batches - (n_batches > 1 and n_rows % self.batch_size == 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        """Yield samples, and their targets."""
        # Put into order for the whole epoch: indices on their way to a GPU would stop each batch.
        n_batches, n_rows, labeled_rows = len(self), len(self.dataset), self.dataset.labeled_rows
        rows = self.dataset.ordered(self._shuffled(n_rows))
        if labeled_rows is not None:
            n_joining = min(self.dataset.n_joining or self.batch_size, len(labeled_rows))
            drawn = torch.empty(n_batches, n_joining, dtype=torch.int64)
            for row in drawn:  # filled, not listed: each slice would keep its whole permutation
                row.copy_(self._shuffled(len(labeled_rows))[:n_joining])
            labeled_rows = labeled_rows.ordered(drawn.flatten())
        for i in range(n_batches):
            stop = (i + 1) * self.batch_size if i + 1 < n_batches else n_rows
            own = slice(i * self.batch_size, stop)
            X, P = rows[own]
            weight, n_own = rows.weight(own), len(P)
            if labeled_rows is not None:
                joining = slice(i * n_joining, (i + 1) * n_joining)
                X_labeled, P_labeled = labeled_rows[joining]
                labeled_weight = P.new_full(
                    (len(P_labeled),), self.dataset.labeled_weight * n_own / n_joining
                )
                if (of_class := labeled_rows.weight(joining)) is not None:
                    labeled_weight *= of_class
                weight = torch.cat([P.new_ones(n_own), labeled_weight])
                X, P = torch.cat([X, X_labeled]), torch.cat([P, P_labeled])
            yield X, Targets(P, weight, n_own)

    def _shuffled(self, n_rows: int) -> Tensor:
        return torch.randperm(n_rows, generator=self.dataset.generator)
