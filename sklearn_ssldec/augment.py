"""Augmentations of training batches, the stochastic augmentation of Algorithm 1.

An augmentation is any callable that takes a batch, a tensor on the training device, and returns a new one of
the same shape. If it has a parameter ``progress``, it is also told how far training has come, from 0 (in
pre-training and the first iteration) to 1 (the last iteration that `max_iter` allows).

Augmentations draw from torch's global generator, which `fit` seeds from `random_state` and puts back
afterwards, so that fits are reproducible with augmentations of your own too.

For segmentation, an augmentation that moves voxels says so by an attribute ``spatial = True``: it is then
given patches, targets and weights as channels of one batch, so that they move together.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


class GaussianNoise:
    """Add Gaussian noise to a batch.

    Parameters
    ----------
    scale : float or Tensor that broadcasts against a sample
        Standard deviation of the noise, in the units of X; a tensor of shape (n_features,) gives each
        feature its own.
    final_share : float, default=1.0
        What is left of `scale` in the last iteration, > 0; it falls geometrically.

    Examples
    --------
    >>> import torch
    >>> GaussianNoise(0.1)(torch.zeros(4, 2)).shape
    torch.Size([4, 2])
    """

    def __init__(self, scale: float | Tensor, final_share: float = 1.0) -> None:
        self.scale, self.final_share = scale, final_share

    def __call__(self, batch: Tensor, progress: float = 0.0) -> Tensor:
        """Return the batch with noise added."""
        scale = self.scale * self.final_share**progress
        if isinstance(scale, Tensor):
            scale = scale.to(batch)
        return batch + torch.randn_like(batch) * scale

    def __repr__(self) -> str:
        return f"GaussianNoise({self.scale!r}, final_share={self.final_share!r})"


def takes_progress(augmentation: Callable[..., Tensor]) -> bool:
    """Tell whether an augmentation wants to know how far training has come.

    Parameters
    ----------
    augmentation : callable
        The augmentation.

    Returns
    -------
    bool
        Whether it has a parameter `progress`.
    """
    try:
        return "progress" in inspect.signature(augmentation).parameters
    except ValueError:  # some built-in callables have no signature
        return False


def apply(part: Callable[..., Tensor], batch: Tensor, progress: float) -> Tensor:
    """Apply one augmentation, and tell it how far training has come if it wants to know.

    Parameters
    ----------
    part : callable
        The augmentation.
    batch : Tensor
        What goes through it.
    progress : float
        From 0 to 1.

    Returns
    -------
    Tensor
        The augmented batch.
    """
    return part(batch, progress=progress) if takes_progress(part) else part(batch)


class RandomTranslation:
    """Move each image of a batch by a whole number of pixels, along its height and its width.

    The paper's augmentation (sections IV-D and IV-E), with one pixel.

    Parameters
    ----------
    pixels : int, default=1
        The largest shift; each image draws its own, uniformly from ``-pixels`` to ``pixels``.

    Notes
    -----
    What enters at the border repeats the border, so that no value is assumed to be the background.

    Examples
    --------
    >>> import torch
    >>> RandomTranslation(1)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    spatial = True

    def __init__(self, pixels: int = 1) -> None:
        self.pixels = pixels

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with its images moved."""
        n, _, height, width = batch.shape
        shifts = torch.randint(-self.pixels, self.pixels + 1, (2, n, 1), device=batch.device)
        rows = (torch.arange(height, device=batch.device) + shifts[0]).clamp(0, height - 1)
        columns = (torch.arange(width, device=batch.device) + shifts[1]).clamp(0, width - 1)
        image = torch.arange(n, device=batch.device)[:, None, None]
        return batch.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)

    def __repr__(self) -> str:
        return f"RandomTranslation({self.pixels!r})"


class RandomFlip:
    """Mirror half of the images, or volumes, of a batch.

    For what is the same thing in a mirror: photographs from left to right, images from a microscope along
    both axes. Digits and letters are not. No default flips.

    Parameters
    ----------
    axes : sequence of int, default=(-1,)
        The spatial axes that are mirrored, each by a draw of its own. They count from the first spatial axis
        or, negative, from the last, so -1 is the width.
    turn : bool, default=False
        Whether to turn as well: half of the images, if they are square, get their axes exchanged. With
        ``axes=(-2, -1)``, all eight orientations then are equally frequent.

    Raises
    ------
    ValueError
        When called, if a batch does not have one of the axes.

    Examples
    --------
    >>> import torch
    >>> RandomFlip()(torch.zeros(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    spatial = True

    def __init__(self, axes: Sequence[int] = (-1,), turn: bool = False) -> None:
        self.axes, self.turn = axes, turn

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with half of its images mirrored."""
        n_dims = batch.ndim - 2
        for axis in self.axes:
            if not -n_dims <= axis < n_dims:
                raise ValueError(f"axes must be from {-n_dims} to {n_dims - 1} here, got {self.axes!r}.")
            chosen = torch.rand(len(batch), *[1] * (batch.ndim - 1), device=batch.device) < 0.5
            batch = torch.where(chosen, batch.flip(axis if axis < 0 else axis + 2), batch)
        if self.turn and batch.ndim == 4 and batch.shape[2] == batch.shape[3]:
            chosen = torch.rand(len(batch), 1, 1, 1, device=batch.device) < 0.5
            batch = torch.where(chosen, batch.transpose(2, 3), batch)
        return batch

    def __repr__(self) -> str:
        return f"RandomFlip({self.axes!r}, turn={self.turn!r})"


class RandomAffine:
    """Rotate, scale, shear and shift each image, or volume, of a batch, a little and at random.

    One `affine_grid` and one `grid_sample` for the whole batch, on the batch's device.

    Parameters
    ----------
    degrees : float, default=10.0
        The largest rotation, either way; of volumes, around each axis.
    scale : float, default=0.1
        The largest change of size, as the logarithm of the factor, of each side on its own.
    shear : float, default=0.0
        The largest shear, as a share of the height; of volumes, of each axis along each later one.
    shift : float, default=0.1
        The largest shift, as a share of the side.
    zoom : float, default=0.0
        The largest change of size that all sides share, as the logarithm of the factor.
    spacing : sequence of float, default=None
        Side of a pixel or voxel along each axis, so that bodies turn and not grids of long voxels. None: all
        are equal.
    axis : int, default=None
        Volumes are turned around this spatial axis only, and sheared across it: for few slices, which would
        turn out of the volume. None: around all.

    Attributes
    ----------
    reach : float
        How many times as large a patch must be cut for what enters at its border to be image.

    Notes
    -----
    What enters at the border repeats the border, so that no value is assumed to be the background.

    Examples
    --------
    >>> import torch
    >>> RandomAffine(degrees=15)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    spatial = True

    def __init__(
        self,
        degrees: float = 10.0,
        scale: float = 0.1,
        shear: float = 0.0,
        shift: float = 0.1,
        zoom: float = 0.0,
        spacing: Sequence[float] | None = None,
        axis: int | None = None,
    ) -> None:
        self.degrees, self.scale, self.shear, self.shift = degrees, scale, shear, shift
        self.zoom, self.spacing, self.axis = zoom, spacing, axis

    @property
    def reach(self) -> float:
        """How many times as large a patch must be cut for what enters at its border to be image."""
        angle = math.radians(min(self.degrees, 45.0))
        turned = math.cos(angle) + math.sin(angle) + self.shear
        return math.exp(self.scale + self.zoom) * turned + 2 * self.shift

    def __call__(self, batch: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Return the batch with its images transformed.

        Parameters
        ----------
        batch : Tensor of shape (n, n_channels, *spatial)
            Images or volumes.
        size : sequence of int, default=None
            Return the middle, of these sides, only.
        """
        matrices = self._draw_2d(batch) if batch.ndim == 4 else self._draw_3d(batch)
        if self.zoom > 0:
            zoom = 2 * torch.rand(len(batch), 1, 1, device=batch.device, dtype=batch.dtype) - 1
            n_dims = batch.ndim - 2
            matrices = torch.cat(
                [matrices[..., :n_dims] * (self.zoom * zoom).exp(), matrices[..., n_dims:]], 2
            )
        return _warp(batch, matrices, size, self.spacing)

    def _draw_2d(self, batch: Tensor) -> Tensor:
        limits = (math.radians(self.degrees), self.scale, self.scale, self.shear, *[2 * self.shift] * 2)
        uniform = 2 * torch.rand(len(limits), len(batch), device=batch.device, dtype=batch.dtype) - 1
        # One by one: a tensor of the limits would have to be copied to the device.
        drawn = [limit * each for limit, each in zip(limits, uniform, strict=True)]
        angle, log_x, log_y, shear, shift_x, shift_y = drawn
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
        stretch = torch.stack([log_x.exp(), shear, torch.zeros_like(shear), log_y.exp()], dim=1)
        shifts = torch.stack([shift_x, shift_y], dim=1)
        return torch.cat([rotation @ stretch.view(-1, 2, 2), shifts[..., None]], dim=2)

    def _draw_3d(self, batch: Tensor) -> Tensor:
        def draw() -> Tensor:
            return 2 * torch.rand(len(batch), 3, device=batch.device, dtype=batch.dtype) - 1

        a, b, c = (math.radians(self.degrees) * draw()).unbind(1)
        zero = torch.zeros_like(a)
        turn = torch.stack([zero, a, b, -a, zero, c, -b, -c, zero], dim=1).view(-1, 3, 3)
        turn = self._across(turn)
        # Rodrigues' formula: torch's matrix exponential would wait for the device.
        angle = (turn.square().sum((1, 2), keepdim=True) / 2).sqrt() / math.pi
        rotation = torch.eye(3, device=batch.device, dtype=batch.dtype) + angle.sinc() * turn
        rotation = rotation + 0.5 * (angle / 2).sinc().square() * (turn @ turn)
        x, y, z = (self.scale * draw()).exp().unbind(1)
        xy, xz, yz = (self.shear * draw()).unbind(1)
        stretch = torch.stack([x, xy, xz, zero, y, yz, zero, zero, z], dim=1).view(-1, 3, 3)
        return torch.cat([rotation @ self._across(stretch), 2 * self.shift * draw()[..., None]], dim=2)

    def _across(self, matrices: Tensor) -> Tensor:
        """Return the matrices without what leads out of the slices across `axis`."""
        if self.axis is None:
            return matrices
        if self.axis not in (0, 1, 2):
            raise ValueError(f"axis must be None, 0, 1 or 2, got {self.axis!r}.")
        is_along = torch.zeros(3, dtype=torch.bool, device=matrices.device)
        is_along[2 - self.axis] = True  # torch counts axes from the last one
        leads_out = is_along[:, None] ^ is_along
        return matrices.masked_fill(leads_out, 0)

    def __repr__(self) -> str:
        return (
            f"RandomAffine(degrees={self.degrees!r}, scale={self.scale!r}, shear={self.shear!r}, "
            f"shift={self.shift!r}, zoom={self.zoom!r}, spacing={self.spacing!r}, axis={self.axis!r})"
        )


def _warp(
    batch: Tensor,
    matrices: Tensor,
    size: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
) -> Tensor:
    """Resample images or volumes by affine maps, the last column of which are shifts in halves of the sides.

    `size` are the sides of the middle that is returned; None returns all of it. `spacing` are the sides of a
    voxel; None means that all are equal.
    """
    # From lengths to torch's units, half the sides: else an oblong image would not turn but skew.
    sides = batch.shape[:1:-1]
    voxel = (1,) * len(sides) if spacing is None else tuple(reversed(tuple(spacing)))
    lengths = [n * side for n, side in zip(sides, voxel, strict=True)]
    for i, j in itertools.permutations(range(len(lengths)), 2):
        if lengths[i] != lengths[j]:
            matrices[:, i, j] *= lengths[j] / lengths[i]
    shape = list(batch.shape)
    if size is not None:
        for j, (side, n) in enumerate(zip(sides, reversed(tuple(size)), strict=True)):
            matrices[:, :, j] *= n / side
        shape[2:] = size
    grid = functional.affine_grid(matrices, shape, align_corners=False)
    return functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


class RandomIntensity:
    """Change brightness and contrast of each channel of each image, or volume, of a batch.

    Parameters
    ----------
    gain : float, default=0.2
        The largest change of contrast, as the logarithm of the factor.
    offset : float, default=0.2
        The largest change of brightness, in the units of X.

    Examples
    --------
    >>> import torch
    >>> RandomIntensity()(torch.zeros(4, 1, 27, 27, 27)).shape
    torch.Size([4, 1, 27, 27, 27])
    """

    def __init__(self, gain: float = 0.2, offset: float = 0.2) -> None:
        self.gain, self.offset = gain, offset

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with its intensities changed."""
        shape = (2, *batch.shape[:2], *[1] * (batch.ndim - 2))
        log_gain, offset = 2 * torch.rand(shape, device=batch.device, dtype=batch.dtype) - 1
        return batch * (self.gain * log_gain).exp() + self.offset * offset

    def __repr__(self) -> str:
        return f"RandomIntensity({self.gain!r}, {self.offset!r})"


class RandomGamma:
    """Change the gamma of each channel of half of the images, or volumes, of a batch.

    Intensities are brought to the range from 0 to 1, raised to a power, and given back their mean and
    standard deviation.

    Parameters
    ----------
    gamma : float, default=0.5
        The largest logarithm of the power.

    Examples
    --------
    >>> import torch
    >>> RandomGamma()(torch.rand(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, gamma: float = 0.5) -> None:
        self.gamma = gamma

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with its gamma changed."""
        per_channel = (*batch.shape[:2], *[1] * (batch.ndim - 2))
        axes = list(range(2, batch.ndim))
        lowest, highest = batch.amin(axes, keepdim=True), batch.amax(axes, keepdim=True)
        power = (self.gamma * (2 * torch.rand(per_channel, device=batch.device, dtype=batch.dtype) - 1)).exp()
        share = ((batch - lowest) / (highest - lowest).clamp_min(1e-6)).clamp(1e-4, 1)
        bent = share.pow(power)
        deviation = bent.std(axes, keepdim=True, correction=0).clamp_min(1e-6)
        bent = (bent - bent.mean(axes, keepdim=True)) / deviation
        bent = bent * batch.std(axes, keepdim=True, correction=0) + batch.mean(axes, keepdim=True)
        chosen = torch.rand(per_channel[:1] + (1,) * (batch.ndim - 1), device=batch.device) < 0.5
        return torch.where(chosen, bent, batch)

    def __repr__(self) -> str:
        return f"RandomGamma({self.gamma!r})"


class RandomShades:
    r"""Change gamma, contrast and brightness of each image of a batch, by its own range of shades.

    With shades :math:`x` from 0, the image's darkest, to 1, its brightest, and :math:`u` uniform between -1
    and 1, they become :math:`x^{e^{g u_1}} e^{c u_2} + b u_3`. All channels change alike.

    Parameters
    ----------
    gamma : float, default=0.7
        The largest logarithm of the power, :math:`g`.
    contrast : float, default=0.5
        The largest logarithm of the factor, :math:`c`.
    brightness : float, default=0.3
        The largest change of brightness, as a share of the image's range, :math:`b`.

    Notes
    -----
    X may be of any scale, and no operation loses what the image shows, unlike some of `RandAugment`.

    Examples
    --------
    >>> import torch
    >>> RandomShades()(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    def __init__(self, gamma: float = 0.7, contrast: float = 0.5, brightness: float = 0.3) -> None:
        self.gamma, self.contrast, self.brightness = gamma, contrast, brightness

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with its shades changed."""
        lowest, highest = batch.amin((1, 2, 3), keepdim=True), batch.amax((1, 2, 3), keepdim=True)
        span = (highest - lowest).clamp_min(torch.finfo(batch.dtype).tiny)
        gamma, contrast, brightness = (
            2 * torch.rand(3, len(batch), 1, 1, 1, device=batch.device, dtype=batch.dtype) - 1
        )
        x = ((batch - lowest) / span).pow((self.gamma * gamma).exp()) * (self.contrast * contrast).exp()
        return (x + self.brightness * brightness) * span + lowest

    def __repr__(self) -> str:
        return f"RandomShades({self.gamma!r}, {self.contrast!r}, {self.brightness!r})"


class RandomBlur:
    """Blur some of the images, or volumes, of a batch.

    Parameters
    ----------
    sigma : float, default=1.5
        The largest standard deviation of the Gaussian kernel, in voxels; the smallest is a third of it.
    share : float in [0, 1], default=0.3
        Share of the images that are blurred.

    Examples
    --------
    >>> import torch
    >>> RandomBlur()(torch.rand(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, sigma: float = 1.5, share: float = 0.3) -> None:
        self.sigma, self.share = sigma, share

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with some images blurred."""
        n, channels = batch.shape[:2]
        n_dims = batch.ndim - 2
        chosen = torch.rand(n, device=batch.device) < self.share
        sigma = self.sigma * (1 + 2 * torch.rand(n, 1, device=batch.device, dtype=batch.dtype)) / 3
        radius = math.ceil(2 * self.sigma)
        offsets = torch.arange(-radius, radius + 1, device=batch.device, dtype=batch.dtype)
        kernels = torch.softmax(-offsets.square() / (2 * sigma.square()), dim=1)
        # The kernel of an image that is not blurred has its mass in the middle.
        kernels = torch.where(chosen[:, None], kernels, (offsets == 0).to(kernels))
        kernels = kernels.repeat_interleave(channels, 0)
        convolve = functional.conv3d if n_dims == 3 else functional.conv2d
        x = batch.reshape(1, n * channels, *batch.shape[2:])
        for axis in range(n_dims):
            shape = [1] * n_dims
            shape[axis] = len(offsets)
            padding = [0] * (2 * n_dims)
            padding[2 * (n_dims - 1 - axis)] = padding[2 * (n_dims - 1 - axis) + 1] = radius
            x = functional.pad(x, padding, mode="replicate")
            x = convolve(x, kernels.view(-1, 1, *shape), groups=n * channels)
        return x.reshape(batch.shape)

    def __repr__(self) -> str:
        return f"RandomBlur({self.sigma!r}, {self.share!r})"


class BoxMix:
    """Paste a box of one patch into another and the other way round: bidirectional copy-paste [1]_.

    Parameters
    ----------
    share : float, default=2/3
        Side of the box, as a share of the patch's; where it lies is drawn for each pair.

    References
    ----------
    .. [1] Y. Bai et al., "Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation", CVPR
       2023, :doi:`10.1109/CVPR52729.2023.01111`.

    Examples
    --------
    >>> import torch
    >>> mix = BoxMix()
    >>> mask = mix.draw(torch.zeros(4, 1, 27, 27))
    >>> mask.shape, int(mask[0].sum())   # 18 of 27 pixels a side
    (torch.Size([4, 1, 27, 27]), 324)
    >>> mix.exchange(torch.zeros(4, 1, 27, 27), torch.ones(4, 1, 27, 27), mask).shape
    torch.Size([8, 1, 27, 27])
    """

    def __init__(self, share: float = 2 / 3) -> None:
        self.share = share

    def draw(self, batch: Tensor) -> Tensor:
        r"""Draw a box for each pair.

        Parameters
        ----------
        batch : Tensor of shape (n, n_channels, \*spatial)
            One patch of each pair.

        Returns
        -------
        Tensor of shape (n, 1, \*spatial), bool
            True in the boxes.
        """
        mask = torch.ones(len(batch), 1, *batch.shape[2:], dtype=torch.bool, device=batch.device)
        for axis, side in enumerate(batch.shape[2:]):
            n = min(side, max(1, int(self.share * side + 1e-6)))
            first = torch.randint(side - n + 1, (len(batch), 1), device=batch.device)
            places = torch.arange(side, device=batch.device)
            inside = (places >= first) & (places < first + n)
            shape = [len(batch), 1, *[1] * (batch.ndim - 2)]
            shape[2 + axis] = side
            mask &= inside.view(shape)
        return mask

    def exchange(self, first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
        r"""Return the first of each pair with the second outside of its box, and the other way round.

        Parameters
        ----------
        first, second : Tensor of shape (n, n_channels, \*spatial)
            The patches, or what belongs to their voxels.
        mask : Tensor of shape (n, 1, \*spatial), bool
            The boxes.

        Returns
        -------
        Tensor of shape (2 * n, n_channels, \*spatial)
            First the boxes of `first` in `second`, then those of `second` in `first`.
        """
        return torch.cat([torch.where(mask, first, second), torch.where(mask, second, first)])

    def __repr__(self) -> str:
        return f"BoxMix({self.share!r})"


class Cutout:
    """Blank out a square of each image of a batch, at random (DeVries and Taylor, 2017).

    Parameters
    ----------
    share : float, default=0.25
        Side of the square, as a share of the image's height; at the border a part of it falls outside.

    Notes
    -----
    The square takes the image's mean, so that no value is assumed to be the background.

    Examples
    --------
    >>> import torch
    >>> Cutout(0.5)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, share: float = 0.25) -> None:
        self.share = share

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with squares blanked out."""
        n, _, height, width = batch.shape
        y, x = torch.rand(2, n, 1, device=batch.device)
        reach = self.share * height / 2
        rows = (torch.arange(height, device=batch.device) + 0.5 - height * y).abs() < reach
        columns = (torch.arange(width, device=batch.device) + 0.5 - width * x).abs() < reach
        square = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(square, batch.mean(dim=(2, 3), keepdim=True), batch)

    def __repr__(self) -> str:
        return f"Cutout({self.share!r})"


class RandAugment:
    r"""Change each image of a batch by a few operations, drawn at random [1]_.

    The operations are: nothing; rotate by up to 30 degrees; shear along each axis by up to 0.3; shift along
    each axis by up to 0.3 of the side; change brightness, contrast, sharpness or (of several channels) colour
    by a factor of up to 1 :math:`\pm` 0.9; keep fewer shades, down to 4 (posterise); and invert the brightest
    shades, up to all of them (solarise). All images go through all operations at once, with strength 0 where
    an operation was not drawn.

    Parameters
    ----------
    n_operations : int, default=2
        Operations for each image, drawn without replacement.
    magnitude : float in [0, 1], default=0.5
        The largest strength, as a share of the above; each image draws its own, uniformly from 0, as in
        FixMatch [2]_.

    Raises
    ------
    ValueError
        If `n_operations` is less than 1, or `magnitude` not in [0, 1].

    Notes
    -----
    Shades are relative to the smallest and the largest value of the image, between which they stay, so X may
    be of any scale. What enters at the border repeats the border. Left out are the original's operations
    that need a histogram, and auto-contrast, which this makes idle.

    References
    ----------
    .. [1] E. D. Cubuk, B. Zoph, J. Shlens, Q. V. Le, "RandAugment: Practical Automated Data Augmentation
       with a Reduced Search Space", NeurIPS 2020.
    .. [2] K. Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
       NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> RandAugment(2, magnitude=0.7)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    def __init__(self, n_operations: int = 2, magnitude: float = 0.5) -> None:
        if n_operations < 1:
            raise ValueError(f"n_operations must be at least 1, got {n_operations!r}.")
        if not 0 <= magnitude <= 1:
            raise ValueError(f"magnitude must be in [0, 1], got {magnitude!r}.")
        self.n_operations, self.magnitude = n_operations, magnitude

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch with its images changed."""
        lowest, highest = batch.amin((1, 2, 3), keepdim=True), batch.amax((1, 2, 3), keepdim=True)
        span = (highest - lowest).clamp_min(torch.finfo(batch.dtype).tiny)
        intensities = _INTENSITIES if batch.shape[1] > 1 else _INTENSITIES[:-1]
        strengths = self._draw(batch, 1 + _N_MOVES + len(intensities))
        x = _move((batch - lowest) / span, strengths[1 : 1 + _N_MOVES])
        for change, strength in zip(intensities, strengths[1 + _N_MOVES :], strict=True):
            x = change(x, strength.view(-1, 1, 1, 1)).clamp(0, 1)
        return x * span + lowest

    def _draw(self, batch: Tensor, n: int) -> Tensor:
        """Return the strength of each of `n` operations on each image, of shape (n, len(batch))."""
        order, level = torch.rand(2, n, len(batch), device=batch.device, dtype=batch.dtype)
        chosen = order.argsort(0).argsort(0) < self.n_operations
        return self.magnitude * (2 * level - 1) * chosen

    def __repr__(self) -> str:
        return f"RandAugment({self.n_operations!r}, {self.magnitude!r})"


_N_MOVES = 5


def _move(x: Tensor, strengths: Tensor) -> Tensor:
    """Rotate, shear and shift images, by one strength between -1 and 1 for each of `_N_MOVES`."""
    angle, shear_x, shear_y, shift_x, shift_y = strengths * 0.3
    angle = angle * (math.radians(30.0) / 0.3)
    cos, sin, one = angle.cos(), angle.sin(), torch.ones_like(angle)
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    sheared = torch.stack([one, shear_x, shear_y, one], dim=1).view(-1, 2, 2)
    shifts = 2 * torch.stack([shift_x, shift_y], dim=1)[..., None]  # sides are 2 long
    return _warp(x, torch.cat([rotation @ sheared, shifts], dim=2))


def _brightness(x: Tensor, strength: Tensor) -> Tensor:
    return x * (1 + 0.9 * strength)


def _contrast(x: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(x, x.mean((1, 2, 3), keepdim=True), -0.9 * strength)


def _sharpness(x: Tensor, strength: Tensor) -> Tensor:
    n_channels = x.shape[1]
    kernel = torch.ones(n_channels, 1, 3, 3, device=x.device, dtype=x.dtype)
    kernel[:, :, 1, 1] = 5
    padded = functional.pad(x, [1] * 4, mode="replicate")
    return torch.lerp(x, functional.conv2d(padded, kernel / 13, groups=n_channels), -0.9 * strength)


def _posterise(x: Tensor, strength: Tensor) -> Tensor:
    steps = 2 ** (8 - 6 * strength.abs()) - 1
    return torch.where(strength == 0, x, (x * steps).round() / steps)


def _solarise(x: Tensor, strength: Tensor) -> Tensor:
    return torch.where(x > 1 - strength.abs(), 1 - x, x)


def _colour(x: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(x, x.mean(1, keepdim=True), -0.9 * strength)


# Operations on shades from 0 to 1, by a strength between -1 and 1; with 0 they change nothing.
_INTENSITIES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    _brightness,
    _contrast,
    _sharpness,
    _posterise,
    _solarise,
    _colour,
)


class WeakStrong:
    """Two augmentations: targets come from a weak view of an image, and are learned from a strong one.

    The weak one makes the views from which targets are predicted, and augments labeled images; the strong one
    augments the images that are trained towards targets. Of an augmentation that is not of this class, both
    are the same.

    Parameters
    ----------
    weak, strong : callable or None
        The augmentations, from a batch to one of the same shape; None changes nothing.

    Notes
    -----
    For :class:`~sklearn_ssldec.SSLDECClassifier` and the baselines of rows. Segmenters have both views by
    themselves: what moves voxels is the weak one, and all the rest the strong one.

    Examples
    --------
    >>> import torch
    >>> both = WeakStrong(RandomTranslation(1), Compose(RandAugment(2), Cutout(0.4)))
    >>> both(torch.zeros(4, 1, 28, 28)).shape   # the strong view
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, weak: Callable[..., Tensor] | None, strong: Callable[..., Tensor] | None) -> None:
        self.weak, self.strong = weak, strong

    def __call__(self, batch: Tensor, progress: float = 0.0) -> Tensor:
        """Return the strong view of the batch."""
        return batch if self.strong is None else apply(self.strong, batch, progress)

    def __repr__(self) -> str:
        return f"WeakStrong({self.weak!r}, {self.strong!r})"


class Compose:
    """Apply augmentations one after the other.

    Parameters
    ----------
    *augmentations : callable
        Each takes a batch and returns one.

    Examples
    --------
    >>> import torch
    >>> Compose(RandomTranslation(1), GaussianNoise(0.1))(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, *augmentations: Callable[[Tensor], Tensor]) -> None:
        self.augmentations = augmentations

    def __call__(self, batch: Tensor, progress: float = 0.0) -> Tensor:
        """Return the batch after all augmentations."""
        for augmentation in self.augmentations:
            batch = apply(augmentation, batch, progress)
        return batch

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.augmentations))})"
