"""Views of a volume and how predictions of them are mapped back, and views by which images are predicted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sklearn_ssldec.augment import Compose, RandAugment, WeakStrong, _warp, apply

# Views by which images are predicted are moved by this share of their sides, and turned by so many degrees:
# two fifths of what their augmentation does at most.
SHIFT, DEGREES = 0.05, 6.0
N_VIEWS = 4


class View(NamedTuple):
    """An augmented volume.

    Attributes
    ----------
    image : Tensor of shape (n_channels, *spatial)
        The augmented volume.
    coordinates : Tensor of shape (n_dims, *spatial), or None
        Which voxel of the volume each of its voxels shows, in between or outside as well; None if each shows
        the one in its place.
    """

    image: Tensor
    coordinates: Tensor | None


def steps(augment: Callable[..., Tensor]) -> list[tuple[Callable[..., Tensor], bool]]:
    """Return an augmentation as its parts, and whether each moves voxels.

    Parameters
    ----------
    augment : callable
        The augmentation, or a `Compose` of several, which may be compositions too.

    Raises
    ------
    ValueError
        If it is one for whole images only, which would not move labels with their voxels.
    """
    if isinstance(augment, (RandAugment, WeakStrong)):
        raise ValueError(
            f"augment must not be a {type(augment).__name__} for a segmenter, which has a weak and a strong "
            "view by itself; pass a Compose of what moves voxels (RandomAffine) and what does not."
        )
    if isinstance(augment, Compose):
        return [step for part in augment.augmentations for step in steps(part)]
    return [(augment, getattr(augment, "spatial", False))]


def draw_view(augment: Callable[..., Tensor], image: Tensor, progress: float = 0.0) -> View:
    """Augment a volume. Its voxels' coordinates go through what moves voxels, as further channels.

    Parameters
    ----------
    augment : callable
        The augmentation; parts with a true attribute ``spatial`` move voxels.
    image : Tensor of shape (n_channels, *spatial)
        The volume.
    progress : float, default=0.0
        How far training has come.
    """
    n_channels, *shape = image.shape
    batch, coordinates = image[None], None
    for part, is_spatial in steps(augment):
        if not is_spatial:
            batch = apply(part, batch, progress)
            continue
        if coordinates is None:
            # One voxel more on each side, by whose coordinates what enters from outside is known.
            batch = functional.pad(batch, [1] * (2 * len(shape)), mode="replicate")
            axes = [torch.arange(-1.0, n + 1, device=image.device, dtype=image.dtype) for n in shape]
            coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
        moved = apply(part, torch.cat([batch, coordinates], dim=1), progress)
        batch, coordinates = moved[:, :n_channels], moved[:, n_channels:]
    return View(batch[0], None if coordinates is None else coordinates[0])


def resized(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a volume at another size, by linear interpolation.

    Parameters
    ----------
    x : Tensor of shape (n_channels, *spatial)
        The volume, or the probabilities of its voxels.
    shape : sequence of int
        Spatial shape of the result.
    """
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return functional.interpolate(x[None], size=tuple(shape), mode=mode)[0]


def put_back(q: Tensor, coordinates: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Bring soft assignments of a view's voxels back to the voxels of the volume that they show.

    A voxel of the view that shows a place between voxels of the volume gives to all of its neighbours, in
    the shares of linear interpolation.

    Parameters
    ----------
    q : Tensor of shape (n_classes, *spatial of the view)
        Soft assignments.
    coordinates : Tensor of shape (n_dims, *spatial of the view)
        Those of the view.
    shape : tuple of int
        Spatial shape of the volume.

    Returns
    -------
    Tensor of shape (n_classes, *shape)
        Soft assignments, which sum to 1, or to 0 at voxels that the view does not show.
    """
    n_voxels = torch.Size(shape).numel()
    total = q.new_zeros(len(q), n_voxels)
    values, where = q.flatten(1), coordinates.flatten(1)
    first = where.floor()
    beyond = where - first
    for corner in itertools.product((0, 1), repeat=len(shape)):
        flat = torch.zeros_like(first[0], dtype=torch.int64)
        share = torch.ones_like(beyond[0])
        for axis, (step, n) in enumerate(zip(corner, shape, strict=True)):
            index = first[axis].long() + step
            share = share * (beyond[axis] if step else 1 - beyond[axis]) * ((index >= 0) & (index < n))
            flat = flat * n + index.clamp(0, n - 1)
        for of_class, value in zip(total, values, strict=True):  # in one dimension torch has a fast way
            of_class.index_add_(0, flat, value * share)
    mass = total.sum(0)
    return torch.where(mass > 1e-3, total / mass.clamp_min(1e-3), 0.0).unflatten(1, shape)


def corner_views(images: Tensor) -> Iterator[Tensor]:
    """Yield images moved towards each of their four corners, and turned: one way towards two of them.

    All images of a batch are moved alike, so that what is predicted for one does not depend on the others.

    Parameters
    ----------
    images : Tensor of shape (n, n_channels, height, width)
        The images.

    Yields
    ------
    Tensor of the shape of `images`
        A view of each.
    """
    for x, y in itertools.product((-1, 1), (-1, 1)):
        angle = x * y * math.radians(DEGREES)
        cos, sin = math.cos(angle), math.sin(angle)
        rows = [[cos, -sin, 2 * SHIFT * x], [sin, cos, 2 * SHIFT * y]]  # sides are 2 long
        # As the channels of one image, they take one map.
        yield _warp(images.reshape(1, -1, *images.shape[2:]), images.new_tensor([rows])).view(images.shape)
