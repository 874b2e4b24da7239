"""Patches with soft targets, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.patches import find_centers, sample_positions
from sklearn_ssldec._samples.placing import move
from sklearn_ssldec._samples.views import steps
from sklearn_ssldec._samples.voxels import Corner, Volumes
from sklearn_ssldec.augment import apply
from sklearn_ssldec.clustering import OneHot
from sklearn_ssldec.networks._convolutional import crop


class PatchRows(Dataset):
    """The patches of one epoch: drawn, not listed.

    Parameters
    ----------
    X : Volumes
        All volumes.
    P : Tensor of shape (n_voxels, n_classes) or OneHot
        Targets of the voxels; of labels, those of labeled voxels count.
    index : Tensor of shape (n_rows,), int64, or None
        The voxels on which patches may be centred; None for all.
    n_patches : int
        Patches an epoch.
    patch_size : tuple of int
        Sides of a patch.
    margin : tuple of int
        Voxels by which its targets are smaller, on each side.
    balance : float
        See `find_centers`.
    generator : torch.Generator, default=None
        CPU generator of the patches.

    Attributes
    ----------
    labeled_rows : PatchRows or None
        Patches that join those of each batch.
    labeled_weight : float
        Weight in the loss of those that join, where those that they join have weight 1.
    """

    def __init__(
        self,
        X: Volumes,
        P: Tensor | OneHot,
        index: Tensor | None,
        *,
        n_patches: int,
        patch_size: Corner,
        margin: Corner,
        balance: float,
        generator: torch.Generator | None = None,
    ) -> None:
        self.volumes, self.P = X, P
        self.labeled_rows: PatchRows | None = None
        self.labeled_weight = 1.0
        self.n_patches = n_patches
        self.patch_size, self.margin = patch_size, margin
        self.target_size = tuple(n - 2 * m for n, m in zip(patch_size, margin, strict=True))
        pool = sample_positions(len(X) if index is None else len(index), generator)
        if index is not None:
            pool = index.cpu()[pool]
        codes = None
        if balance > 0 and isinstance(P, OneHot):
            codes = P.y[pool.to(P.device)].cpu()
            codes[(codes < 0) | (codes >= P.n_classes)] = 0  # a partial label is marked as background
        elif balance > 0:
            codes = P[pool.to(P.device)].argmax(1).cpu()
        self.centers = find_centers(codes, pool, n_patches, balance, generator)

    def __len__(self) -> int:
        return self.n_patches

    def __getitem__(self, rows: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches, targets and weights around the centres `rows`."""
        device = self.P.device
        patches, positions = [], []
        for volume, center in zip(*self.volumes.locate(self.centers[rows]), strict=True):
            target_corner = tuple(int(c) - n // 2 for c, n in zip(center, self.target_size, strict=True))
            corner = tuple(first - m for first, m in zip(target_corner, self.margin, strict=True))
            patches.append(self.volumes.patch(volume, corner, self.patch_size))
            positions.append(self.volumes.voxels(volume, target_corner, self.target_size))
        where = move(torch.stack(positions), device)
        counts = where >= 0
        where = where.clamp_min(0)
        if isinstance(self.P, OneHot):
            counts &= self.P.known(where)
        p = self.P[where.flatten()].float().unflatten(0, where.shape).movedim(-1, 1)
        return move(torch.stack(patches), device), p, counts.float()


class PatchBatches:
    """Batches of patches, each joined by as many labeled patches if there are any.

    Parameters
    ----------
    dataset : PatchRows
        The patches.
    batch_size : int
        Patches a batch, and labeled patches that join it.
    """

    def __init__(self, dataset: PatchRows, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        """Yield patches and their targets."""
        labeled_rows = self.dataset.labeled_rows
        for rows in torch.arange(len(self.dataset)).split(self.batch_size):
            X, P, weight = self.dataset[rows]
            n_own = len(X)
            if labeled_rows is not None:
                X_labeled, P_labeled, labeled_weight = labeled_rows[rows]
                share = weight.sum() / labeled_weight.sum().clamp_min(1)
                labeled_weight = labeled_weight * (self.dataset.labeled_weight * share)
                if partial := P_labeled.shape[1] - P.shape[1]:  # labels may be partial, targets are not
                    P = torch.cat([P, P.new_zeros(len(P), partial, *P.shape[2:])], dim=1)
                X, P = torch.cat([X, X_labeled]), torch.cat([P, P_labeled])
                weight = torch.cat([weight, labeled_weight])
            yield X, Targets(P, weight, n_own)


def augment_patches(
    augment: Callable[..., Tensor], X: Tensor, targets: Targets, progress: float
) -> tuple[Tensor, Targets]:
    """Augment patches; augmentations with a true attribute ``spatial`` move targets and weights along.

    Parameters
    ----------
    augment : callable
        The augmentation, or a `Compose` of several.
    X : Tensor of shape (n, n_channels, ...)
        Patches.
    targets : Targets
        Their targets, in the middle of the patches.
    progress : float
        How far training has come.
    """
    for part, is_spatial in steps(augment):
        if not is_spatial:
            X = apply(part, X, progress)
            continue
        p, weight = targets.p, targets.weight
        size = p.shape[2:]
        padding = [
            side for n, m in zip(X.shape[:1:-1], reversed(size), strict=True) for side in ((n - m) // 2,) * 2
        ]
        if weight is None:
            weight = p.new_ones(len(p), *size)
        # Where the weight is 0 the target may be anything; its mass says how much of the result is known.
        known = (weight > 0).to(p)[:, None]
        stacked = torch.cat([X, functional.pad(torch.cat([p * known, known], dim=1), padding)], dim=1)
        moved = apply(part, stacked, progress)
        X, moved = moved[:, : X.shape[1]], crop(moved[:, X.shape[1] :], size)
        p, known = moved[:, :-1], moved[:, -1]
        p = p / p.sum(1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
        scale = weight.flatten(1).max(1).values.view(-1, *[1] * len(size))
        # Half, not all: between the slices of a volume of which some are labeled, no voxel has only labeled
        # neighbours once it is turned a little.
        targets = targets._replace(p=p, weight=(known > 0.5) * scale)
    return X, targets
