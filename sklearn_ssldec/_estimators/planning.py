"""Patches, batches and the network for volumes of given shapes, by nnU-Net's rules with a smaller budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Targets of volumes with more voxels than this are drawn, also if they cannot be reduced.
LARGE_VOLUME = 2**20
# A patch holds at least this share of the median volume, at a lower resolution if need be, as long as each
# class of the label maps keeps this Dice score.
LEAST_SHARE, LEAST_KEPT = 0.25, 0.95
# Sizes at which images are predicted where targets are drawn, as multiples of their own; volumes lose by the
# largest (docs/experiments/segmentation.md, "Several sizes").
PREDICT_SCALES = (0.87, 1.0, 1.15, 1.3)

# The coarsest level has at most this many voxels along each axis, and at least half as many if the patch has.
COARSEST = 8


@dataclass(frozen=True)
class Budget:
    """Limits on the work of a training step.

    Attributes
    ----------
    n_voxels : int
        Voxels of a patch.
    n_patches : int
        Labeled patches of that size in a step, and as many unlabeled ones.
    full_resolution : int
        Patches with more voxels are first reduced to half the resolution.
    width : float
        Width of the network.
    max_filters : int
        Largest number of filters of a level.
    """

    n_voxels: int
    n_patches: int
    full_resolution: int
    width: float
    max_filters: int


# Images on a CPU: 2.5 thousand million multiply-adds for the forward pass on 8 patches. On a GPU patches are
# about as large, since larger ones did worse (docs/experiments/segmentation.md), and networks wider.
BUDGETS = {
    ("cpu", 2): Budget(160**2, 4, 96**2, 0.5, 128),
    ("cpu", 3): Budget(32**3, 2, 48**3, 0.25, 128),
    ("cuda", 2): Budget(160**2, 4, 512**2, 1.0, 320),
    ("cuda", 3): Budget(40**3, 2, 128**3, 1.0, 320),
}


def plan(
    shapes: Sequence[Sequence[int]],
    *,
    on_gpu: bool = False,
    spacing: Sequence[float] | None = None,
    patch_size: Sequence[int] | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Choose patch, batch, levels and strides.

    The patch is a box of equal physical sides with as many voxels as the budget allows, clipped to the median
    shape; the other axes get what a clipped one leaves. Axes are halved until none has more than `COARSEST`
    voxels. An axis is not halved while it has at most half as many voxels as another, or voxels at least
    twice as long.

    Parameters
    ----------
    shapes : sequence of sequences of int
        Spatial shapes of the training volumes.
    on_gpu : bool, default=False
        Whether training runs on a GPU, whose budget is larger.
    spacing : sequence of float, default=None
        Sides of a voxel; None if they are not known.
    patch_size, batch_size : sequence of int, int, default=None
        Chosen by the user, and kept.

    Returns
    -------
    dict
        ``patch_size``, ``batch_size``, ``n_levels``, ``strides`` (by what each axis is divided from level to
        level), ``kernels`` (their size on each level), ``stem`` (at which share of the resolution the finest
        level works), ``width``, ``max_filters``, and ``median_shape``.
    """
    median = tuple(int(n) for n in np.median(np.asarray(shapes), axis=0))
    n_dims = len(median)
    budget = BUDGETS["cuda" if on_gpu else "cpu", n_dims]
    sides = (1.0,) * n_dims if spacing is None else tuple(float(s) for s in spacing)
    size = list(patch_size) if patch_size is not None else _box(median, sides, budget.n_voxels)
    stem = 2 if math.prod(size) > budget.full_resolution else 1
    strides = _strides([n / stem for n in size], spacing)
    if patch_size is None:
        in_all = [stem * math.prod(step[axis] for step in strides) for axis in range(n_dims)]
        # Multiples of what is one voxel on the coarsest level, as near as may be.
        size = [max(1, round(n / whole)) * whole for n, whole in zip(size, in_all, strict=True)]
    if batch_size is None:
        batch_size = budget.n_patches
    return {
        "median_shape": median,
        "patch_size": tuple(int(n) for n in size),
        "batch_size": batch_size,
        "n_levels": len(strides) + 1,
        "strides": strides,
        "kernels": kernel_sizes(strides, sides),
        "stem": stem,
        "width": budget.width,
        "max_filters": budget.max_filters,
    }


def choose_reduction(
    shapes: Sequence[Sequence[int]],
    kept: Callable[[tuple[int, ...]], float],
    *,
    on_gpu: bool = False,
    spacing: Sequence[float] | None = None,
    is_set: bool = False,
) -> tuple[int, ...]:
    """Choose the sides of the blocks of voxels that are one voxel for the network.

    The shortest voxels grow, until a patch within the budget holds a quarter of the median volume (nnU-Net's
    rule for its low resolution), or the label maps would lose a structure. Axes along which a patch holds
    the whole volume are left as they are.

    Parameters
    ----------
    shapes : sequence of sequences of int
        Spatial shapes of the training volumes.
    kept : callable
        Tells of the sides of the blocks how well label maps outlast them, as a Dice score.
    on_gpu : bool, default=False
        Whether training runs on a GPU, whose budget is larger.
    spacing : sequence of float, default=None
        Sides of a voxel; None if they are not known.
    is_set : bool, default=False
        Whether the user has set the patch size: nothing is reduced then.

    Examples
    --------
    >>> choose_reduction([(194, 143, 88)], lambda factors: 1.0)
    (3, 3, 3)
    >>> choose_reduction([(10, 256, 216)], lambda factors: 1.0, spacing=(10, 1.5, 1.5))
    (1, 3, 3)
    """
    median = [int(n) for n in np.median(np.asarray(shapes), axis=0)]
    sides = [1.0] * len(median) if spacing is None else [float(s) for s in spacing]
    budget = BUDGETS["cuda" if on_gpu else "cpu", len(median)]
    factors = (1,) * len(median)
    while not is_set:
        now = [-(-n // k) for n, k in zip(median, factors, strict=True)]
        size = _box(tuple(now), tuple(s * k for s, k in zip(sides, factors, strict=True)), budget.n_voxels)
        if math.prod(size) >= LEAST_SHARE * math.prod(now):
            break
        open_axes = [axis for axis, n in enumerate(size) if n < now[axis]]
        finest = min(sides[axis] * factors[axis] for axis in open_axes)
        # Voxels become more alike: those less than half as long again as the shortest grow together.
        grows = {axis for axis in open_axes if sides[axis] * factors[axis] < 1.5 * finest}
        larger = tuple(k + (axis in grows) for axis, k in enumerate(factors))
        if kept(larger) < LEAST_KEPT:
            break
        factors = larger
    return factors


def draws_targets(shapes: Sequence[Sequence[int]], factors: Sequence[int], *, is_set: bool = False) -> bool:
    """Return whether targets are drawn by default: of images, and of volumes that are reduced or large.

    Parameters
    ----------
    shapes : sequence of sequences of int
        Spatial shapes of the training volumes.
    factors : sequence of int
        Sides of the blocks of voxels that are one voxel for the network.
    is_set : bool, default=False
        Whether the user has set `module`: size alone does not tell then.
    """
    is_large = float(np.median([math.prod(shape) for shape in shapes])) > LARGE_VOLUME
    return len(factors) == 2 or max(factors) > 1 or (is_large and not is_set)


def reduced_spacing(spacing: Sequence[float] | None, factors: Sequence[int]) -> tuple[float, ...] | None:
    """Return the sides of blocks of voxels.

    Parameters
    ----------
    spacing : sequence of float, or None
        Sides of a voxel; None if they are not known, and taken as equal.
    factors : sequence of int
        Voxels of a block along each axis.

    Examples
    --------
    >>> reduced_spacing((5, 1, 1), (1, 3, 3))
    (5, 3, 3)
    >>> reduced_spacing(None, (1, 2, 2))
    (1.0, 2.0, 2.0)
    >>> reduced_spacing(None, (2, 2, 2)) is None
    True
    """
    if spacing is None and len(set(factors)) == 1:
        return None
    sides = [1.0] * len(factors) if spacing is None else spacing
    return tuple(side * k for side, k in zip(sides, factors, strict=True))


def thin_axis(patch_size: Sequence[int]) -> int | None:
    """Return the axis along which a patch of volumes is a few slices: nnU-Net's rule for augmentation.

    Parameters
    ----------
    patch_size : sequence of int
        Sides of the patch.

    Returns
    -------
    int or None
        The shortest axis, if the longest is more than three times as long.

    Examples
    --------
    >>> thin_axis((10, 56, 56))
    0
    >>> thin_axis((32, 32, 32)), thin_axis((40, 160))
    (None, None)
    """
    if len(patch_size) < 3 or max(patch_size) <= 3 * min(patch_size):
        return None
    return int(np.argmin(patch_size))


def few_slices(shapes: Sequence[Sequence[int]]) -> int | None:
    """Return the axis across which volumes are few slices, as cine MRI of the heart is.

    Their slices are better seen as images: on ACDC, supervised training on the volumes has a Dice score of
    0.21, on the slices 0.62 (docs/experiments/segmentation.md, "Few thick slices").

    Parameters
    ----------
    shapes : sequence of sequences of int
        Spatial shapes of the volumes.

    Returns
    -------
    int or None
        The shortest axis of the median shape, if both others are at least ten times as long.

    Examples
    --------
    >>> few_slices([(256, 216, 10), (240, 240, 12)])
    2
    >>> few_slices([(64, 64, 10)]) is few_slices([(256, 216)]) is None
    True
    """
    median = np.median(np.asarray(shapes), axis=0)
    axis = int(np.argmin(median))
    others = np.delete(median, axis)
    return axis if len(others) == 2 and min(others) >= 10 * median[axis] else None


def name_network(
    chosen: dict[str, Any], targets: str, spacing: Sequence[float] | None, is_set: bool
) -> dict[str, Any]:
    """Return the plan with the network that "auto" stands for, and with this network's levels and strides.

    Volumes whose targets are not drawn keep the network with which they were measured, unless their voxels
    are at least twice as long as wide.

    Parameters
    ----------
    chosen : dict
        What `plan` returns.
    targets : str
        "drawn" or "all".
    spacing : sequence of float or None
        Sides of a voxel.
    is_set : bool
        Whether the user has set `module`; the plan then names no network.
    """
    n_dims = len(chosen["patch_size"])
    if is_set:
        return {**chosen, "network": None}
    is_long = spacing is not None and max(spacing) >= 2 * min(spacing)
    if n_dims == 2 or targets == "drawn" or is_long:
        return {**chosen, "network": f"LightUNet{n_dims}D"}
    own = {name: value for name, value in chosen.items() if name not in ("kernels", "stem", "max_filters")}
    return {**own, "network": "UNet3D", "n_levels": 3, "strides": ((2,) * n_dims,) * 2}


def kernel_sizes(strides: Sequence[Sequence[int]], sides: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of the kernels of each level along each axis: nnU-Net's rule.

    They are 1 along an axis until its voxels are less than twice as long as the shortest, and then 3.

    Parameters
    ----------
    strides : sequence of sequences of int
        By what each axis is divided from level to level.
    sides : sequence of float
        Sides of a voxel of the finest level.

    Examples
    --------
    >>> kernel_sizes([(2, 2, 1), (2, 2, 1), (2, 2, 2)], (1, 1, 6))
    ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3))
    """
    level = (1,) * len(sides)
    kernels = []
    for step in [(1,) * len(sides), *strides]:
        sides = [side * k for side, k in zip(sides, step, strict=True)]
        is_long = [side >= 2 * min(sides) for side in sides]
        level = tuple(1 if k == 1 and long else 3 for k, long in zip(level, is_long, strict=True))
        kernels.append(level)
    return tuple(kernels)


def _box(median: tuple[int, ...], sides: tuple[float, ...], n_voxels: int) -> list[float]:
    """Return the sides, in voxels, of the largest box within the budget and the median shape."""
    size = [0.0] * len(median)
    free = list(range(len(median)))
    left = float(n_voxels)
    while free:
        # A cube of the axes that are not clipped yet: sides x / spacing, of product `left`.
        cube = (left * math.prod(sides[axis] for axis in free)) ** (1 / len(free))
        clipped = [axis for axis in free if cube / sides[axis] >= median[axis]]
        for axis in clipped or free:
            size[axis] = float(median[axis]) if clipped else cube / sides[axis]
        left /= math.prod(size[axis] for axis in clipped) if clipped else 1
        free = [axis for axis in free if axis in set(free) - set(clipped)] if clipped else []
    return size


def _strides(size: Sequence[float], spacing: Sequence[float] | None) -> tuple[tuple[int, ...], ...]:
    """Return the stride of each axis between one level and the next."""
    size, sides = list(size), [1.0] * len(size) if spacing is None else list(spacing)
    strides = []
    while any(n > COARSEST for n in size):
        # Much shorter axes wait: a few slices usually lie far apart.
        large = [axis for axis, n in enumerate(size) if n > COARSEST and 2 * n > max(size)]
        finest = min(sides[axis] for axis in large)
        # Voxels become more alike: those less than twice as long as the shortest are joined.
        halved = {axis for axis in large if spacing is None or sides[axis] < 2 * finest}
        step = tuple(2 if axis in halved else 1 for axis in range(len(size)))
        strides.append(step)
        size = [n / k for n, k in zip(size, step, strict=True)]
        sides = [s * k for s, k in zip(sides, step, strict=True)]
    return tuple(strides)
