"""Patches drawn from volumes during training, whose cost does not depend on the number of volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.components import is_complete, unknown_voxels
from sklearn_ssldec._samples.placing import move
from sklearn_ssldec._samples.reduction import ReducedVolumes, reduced_labels, reduced_mask
from sklearn_ssldec._samples.scribbles import completed
from sklearn_ssldec._samples.views import steps
from sklearn_ssldec._samples.voxels import Corner, Volumes
from sklearn_ssldec.augment import RandomAffine, apply
from sklearn_ssldec.networks._convolutional import crop

# So many voxels of each class of each label map are remembered, for patches to be centred on.
MANY_CENTERS = 1000


class LabeledVolumes:
    """Volumes with the label maps of some of them.

    Parameters
    ----------
    volumes : Volumes or ReducedVolumes
        All volumes.
    maps : sequence of (ndarray of int, of the volume's spatial shape, or None)
        Code of each voxel's class, -1 where it is not known; None for a volume without labels.
    ignored : sequence of (ndarray of bool, or None)
        Voxels that take part in nothing.
    seed : int
        Of the choice of the voxels that patches are centred on.
    candidates : Tensor of shape (n_partial, n_classes), bool, default=None
        Candidate classes of each partial label, which is a code behind those of the classes.
    scribbles : bool, default=False
        Whether the labels are scribbles: patches are drawn anywhere, not around labels, and scribbles can be
        completed.
    spacing : sequence of float, default=None
        Sides of a voxel, by which they are; None if they are equal.

    Attributes
    ----------
    labeled : list of int
        Volumes with a known voxel.
    is_complete : dict of int to bool
        Whether a volume with a label map is labeled everywhere, but for a few voxels.
    unlabeled : list of int
        Volumes with voxels whose classes are to be found: those that are not labeled everywhere, but for a
        few voxels; if there are none, those with any such voxel.
    """

    def __init__(
        self,
        volumes: Volumes | ReducedVolumes,
        maps: Sequence[np.ndarray | None],
        ignored: Sequence[np.ndarray | None],
        seed: int = 0,
        candidates: Tensor | None = None,
        scribbles: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> None:
        self.volumes, self.maps, self.ignored, self.candidates = volumes, maps, ignored, candidates
        self.scribbles = scribbles
        self._spacing, self._completed = spacing, dict[int, np.ndarray]()
        self._expect: Callable[[int], Tensor] | None = None
        n_classes = math.inf if candidates is None else candidates.shape[1]
        self.labeled: list[int] = []
        self.unlabeled: list[int] = []
        self._centers: dict[int, dict[int, np.ndarray]] = {}
        self.is_complete: dict[int, bool] = {}
        with_gaps = []
        rng = np.random.default_rng(seed)
        for i, codes in enumerate(maps):
            if codes is None:
                self.unlabeled.append(i)
                continue
            of_class: dict[int, np.ndarray] = {}
            marked = np.where(codes < n_classes, codes, 0)  # a partial label is marked as background
            for code in np.unique(marked[marked >= 0]).tolist():
                places = np.flatnonzero(marked == code)
                if len(places) > MANY_CENTERS:
                    places = rng.choice(places, MANY_CENTERS, replace=False)
                of_class[code] = np.stack(np.unravel_index(places, codes.shape), axis=1)
            self.is_complete[i] = is_complete(codes, ignored[i])
            if of_class:
                self.labeled.append(i)
                self._centers[i] = of_class
            if not self.is_complete[i] or (codes >= n_classes).any():
                self.unlabeled.append(i)
            elif unknown_voxels(codes, ignored[i]).any():
                with_gaps.append(i)
        self.unlabeled = self.unlabeled or with_gaps
        self._of_class: dict[int, list[int]] = {}
        for i, of_class in self._centers.items():
            for code in of_class:
                self._of_class.setdefault(code, []).append(i)

    @classmethod
    def reduced(
        cls,
        volumes: Volumes,
        maps: Sequence[np.ndarray | None],
        ignored: Sequence[np.ndarray | None],
        factors: Corner | None,
        **kwargs: Any,
    ) -> LabeledVolumes:
        """Return volumes and label maps at a lower resolution.

        Parameters
        ----------
        volumes : Volumes
            All volumes.
        maps, ignored : sequence of (ndarray or None)
            As `LabeledVolumes` takes them.
        factors : tuple of int, or None
            Sides of the blocks of voxels that become one; None for what `LabeledVolumes` returns.
        **kwargs : Any
            Other parameters of `LabeledVolumes`; ``spacing`` is that of the blocks.
        """
        if factors is None:
            return cls(volumes, maps, ignored, **kwargs)
        return cls(
            ReducedVolumes(volumes, factors),
            [None if codes is None else reduced_labels(codes, factors) for codes in maps],
            [None if mask is None else reduced_mask(mask, factors) for mask in ignored],
            **kwargs,
        )

    def draw_labeled(self, size: Corner, is_balanced: bool, generator: torch.Generator) -> tuple[int, Corner]:
        """Draw a volume with labels, and the first voxel of a patch in it.

        Parameters
        ----------
        size : tuple of int
            Sides of the patch.
        is_balanced : bool
            Whether a voxel of a class that was drawn uniformly is to be in the middle half of the patch, as
            far as the volume's border allows.
        generator : torch.Generator
            CPU generator.
        """
        if is_balanced:
            code = _one_of(sorted(self._of_class), generator)
            volume = _one_of(self._of_class[code], generator)
            places = self._centers[volume][code]
        else:
            volume = _one_of(self.labeled, generator)
            if self.is_complete[volume] or self.scribbles:
                return volume, self._anywhere(volume, size, generator)
            of_class = self._centers[volume]
            places = of_class[_one_of(sorted(of_class), generator)]
        center = places[int(_uniform(generator) * len(places))]
        corner = []
        for c, n, side in zip(center, size, self.volumes.shape(volume), strict=True):
            # Somewhere in the middle half of the patch.
            first = round(int(c) - n * (0.25 + 0.5 * _uniform(generator)))
            corner.append(min(max(first, min(0, (side - n) // 2)), max(side - n, (side - n) // 2)))
        return volume, tuple(corner)

    def draw_unlabeled(self, size: Corner, generator: torch.Generator) -> tuple[int, Corner]:
        """Draw a volume that is not labeled everywhere, and the first voxel of a patch in it.

        If all are, since a lower resolution has closed their gaps, it is one of them.

        Parameters
        ----------
        size : tuple of int
            Sides of the patch.
        generator : torch.Generator
            CPU generator.
        """
        volume = _one_of(self.unlabeled or self.labeled, generator)
        return volume, self._anywhere(volume, size, generator)

    def _anywhere(self, volume: int, size: Corner, generator: torch.Generator) -> Corner:
        """Draw the first voxel of a patch within the volume, or around the middle of a smaller one."""
        corner = []
        for n, side in zip(size, self.volumes.shape(volume), strict=True):
            free = side - n
            corner.append(int(_uniform(generator) * (free + 1)) if free > 0 else free // 2)
        return tuple(corner)

    def codes(self, volume: int, corner: Corner, size: Corner, is_completed: bool = False) -> Tensor:
        """Return the class of each voxel of a box: -1 where it is not known, -2 outside and where ignored.

        Parameters
        ----------
        volume : int
            Which volume.
        corner, size : tuple of int
            First voxel of the box, possibly outside the volume, and its sides.
        is_completed : bool, default=False
            Whether scribbles are completed.
        """
        found = np.full(size, -2, dtype=np.int64)
        inside, there = self._overlap(volume, corner, size)
        codes, mask = self.maps[volume], self.ignored[volume]
        if is_completed and codes is not None:
            codes = self._complete(volume, codes)
        found[inside] = -1 if codes is None else codes[there]
        if mask is not None:
            found[inside][mask[there]] = -2
        return torch.from_numpy(found)

    def complete_with(self, expect: Callable[[int], Tensor]) -> None:
        """Complete scribbles anew from now on, with what a network expects.

        Parameters
        ----------
        expect : callable
            Returns the probabilities of the classes, of shape (n_classes, *spatial), in a volume.
        """
        self._expect, self._completed = expect, {}

    def _complete(self, volume: int, codes: np.ndarray) -> np.ndarray:
        """Return the completed scribbles of a volume, which are computed when they are first asked for."""
        if volume not in self._completed:
            shape = self.volumes.shape(volume)
            image = self.volumes.patch(volume, (0,) * len(shape), shape).float().cpu().numpy()
            expected = None if self._expect is None else self._expect(volume).float().cpu().numpy()
            self._completed[volume] = completed(codes, image, self.ignored[volume], self._spacing, expected)
        return self._completed[volume]

    def _overlap(
        self, volume: int, corner: Corner, size: Corner
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return where volume and box overlap, in the box and in the volume."""
        inside, there = [], []
        for first, n, side in zip(corner, size, self.volumes.shape(volume), strict=True):
            start, stop = max(first, 0), min(first + n, side)
            there.append(slice(start, stop))
            inside.append(slice(start - first, max(stop, start) - first))
        return tuple(inside), tuple(there)


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _one_of(values: Sequence[int], generator: torch.Generator) -> int:
    return values[int(torch.randint(len(values), (), generator=generator))]


def count_balanced(balance: float, n_labeled: int) -> int:
    """Return how many of the labeled patches of a batch are balanced over the classes, if any at least one.

    Parameters
    ----------
    balance : float in [0, 1]
        Their share.
    n_labeled : int
        Labeled patches in the batch.
    """
    return max(1, round(balance * n_labeled)) if balance > 0 and n_labeled > 0 else 0


class DrawnPatches(Dataset):
    """The patches of an epoch, drawn batch by batch.

    Parameters
    ----------
    source : LabeledVolumes
        Where they are drawn from.
    n_classes : int
        Number of classes.
    n_batches : int
        Batches in the epoch.
    n_unlabeled, n_labeled : int
        Patches of each kind in a batch.
    size : tuple of int
        Sides of the patches.
    outer_size : tuple of int
        Sides to which they are cut.
    balance : float in [0, 1]
        Share of the labeled patches, the first of each batch, that are balanced over the classes.
    generator : torch.Generator
        CPU generator of the patches.
    device : torch.device
        Where the batches go.
    """

    def __init__(
        self,
        source: LabeledVolumes,
        n_classes: int,
        *,
        n_batches: int,
        n_unlabeled: int,
        n_labeled: int,
        size: Corner,
        outer_size: Corner,
        balance: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.source, self.n_classes, self.n_batches = source, n_classes, n_batches
        self.n_unlabeled, self.n_labeled = n_unlabeled, n_labeled
        self.size, self.outer_size, self.balance = size, outer_size, balance
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        return self.n_batches * (self.n_unlabeled + self.n_labeled)

    def draw(self) -> tuple[Tensor, Targets]:
        """Return a batch: unlabeled patches, with weight 1 in the volume, then labeled ones.

        The targets of unlabeled patches are 0, or where there are partial labels or scribbles, the labels.
        Scribbles of labeled patches are completed.
        """
        images, codes, drawn_from = [], [], []
        for i in range(self.n_unlabeled + self.n_labeled):
            if i < self.n_unlabeled:
                volume, corner = self.source.draw_unlabeled(self.size, self.generator)
            else:
                is_balanced = i - self.n_unlabeled < count_balanced(self.balance, self.n_labeled)
                volume, corner = self.source.draw_labeled(self.size, is_balanced, self.generator)
            corner = tuple(
                first - (outer - n) // 2
                for first, n, outer in zip(corner, self.size, self.outer_size, strict=True)
            )
            is_completed = self.source.scribbles and i >= self.n_unlabeled
            drawn_from.append(volume)
            images.append(self.source.volumes.patch(volume, corner, self.outer_size))
            codes.append(self.source.codes(volume, corner, self.outer_size, is_completed))
        where = move(torch.stack(codes), self.device)
        known = where >= 0
        known[: self.n_unlabeled] = where[: self.n_unlabeled] > -2
        candidates = self.source.candidates
        n_targets = self.n_classes + (0 if candidates is None else len(candidates))
        classes = torch.arange(n_targets, device=self.device)
        p = (where.unsqueeze(1) == classes.view(-1, *[1] * len(self.size))).float()
        of_whole = torch.tensor([self.source.is_complete.get(i, False) for i in drawn_from])
        is_whole, scribbled = (where != -1).flatten(1).all(1) | move(of_whole, self.device), None
        if self.source.scribbles:
            scribbled = move(torch.tensor([i in self.source.labeled for i in drawn_from]), self.device)
            is_whole = torch.zeros_like(is_whole)
        elif candidates is None:
            p[: self.n_unlabeled] = 0
        targets = Targets(p, known.float(), self.n_unlabeled, is_whole, scribbled)
        return move(torch.stack(images), self.device), targets


class DrawnBatches:
    """Iterates over the batches of an epoch.

    Parameters
    ----------
    dataset : DrawnPatches
        What draws them.
    batch_size : int
        Not used: the dataset knows.
    generator : torch.Generator, default=None
        Not used either.
    """

    def __init__(
        self, dataset: DrawnPatches, batch_size: int, generator: torch.Generator | None = None
    ) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.n_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        """Yield patches and their targets."""
        for _ in range(len(self)):
            yield self.dataset.draw()


class TwoViews(NamedTuple):
    """An augmentation in two parts.

    Attributes
    ----------
    weak : list of callable
        What moves voxels: both views share it.
    strong : list of callable
        What the network that learns sees besides.
    """

    weak: list
    strong: list


def two_views(augment: object) -> TwoViews:
    """Split an augmentation into what moves voxels and what changes their values.

    Parameters
    ----------
    augment : callable or None
        The augmentation, or a `Compose` of several.
    """
    parts = [] if augment is None else steps(augment)  # type: ignore[arg-type]
    return TwoViews(
        [part for part, is_spatial in parts if is_spatial],
        [part for part, is_spatial in parts if not is_spatial],
    )


def outer_size(weak: Sequence[object], size: Corner) -> Corner:
    """Return the sides of the patch to cut, so that what is left after moving its voxels is image.

    Parameters
    ----------
    weak : sequence of callable
        What moves voxels; what an attribute ``reach`` says of how far.
    size : tuple of int
        Sides of the patch afterwards.
    """
    reach = math.prod(getattr(part, "reach", 1.0) for part in weak)
    # By whole voxels on both sides.
    return tuple(n + 2 * math.ceil((reach - 1) * n / 2) for n in size)


def move_voxels(
    weak: Sequence[object], X: Tensor, targets: Targets, size: Corner, progress: float
) -> tuple[Tensor, Targets]:
    """Move the voxels of patches, with their targets and weights, and keep the middle.

    Parameters
    ----------
    weak : sequence of callable
        What moves voxels.
    X : Tensor of shape (n, n_channels, *outer)
        Patches.
    targets : Targets
        Targets and weights of the voxels, of the same spatial shape.
    size : tuple of int
        Sides that are kept.
    progress : float
        How far training has come.
    """
    p, known = targets.p, targets.weight
    batch = torch.cat([X, p * known[:, None], known[:, None]], dim=1)  # type: ignore[index]
    for i, part in enumerate(weak):
        if i == len(weak) - 1 and isinstance(part, RandomAffine):
            batch = part(batch, size)
        else:
            batch = apply(part, batch, progress)  # type: ignore[arg-type]
    batch = crop(batch, size)
    X, p, known = batch[:, : X.shape[1]], batch[:, X.shape[1] : -1], batch[:, -1]
    p = p / p.sum(1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    # Half, not all: between the slices of a volume of which some are labeled, no voxel has only labeled
    # neighbours once it is turned a little.
    return X, targets._replace(p=p, weight=(known > 0.5).to(X))
