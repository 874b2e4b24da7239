"""What "auto" means for the data at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_ssldec._estimators.guidance import Guidance, density_teachers, table_teachers
from sklearn_ssldec._estimators.planning import reduced_spacing, thin_axis
from sklearn_ssldec.augment import (
    BoxMix,
    Compose,
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomBlur,
    RandomGamma,
    RandomIntensity,
    RandomShades,
    WeakStrong,
)
from sklearn_ssldec.networks import MLP, ConvNet, LightUNet2D, LightUNet3D, UNet3D

# Smaller images hold less to learn from: they get a wider network and shorter pre-training.
SMALL_IMAGE = 16

# Larger images are reduced for the network as far as their shorter side keeps so many pixels. Otherwise a fit
# would take hours (docs/experiments/images.md, "Large images").
SHORTER_SIDE = 48

# With no more features than this, the density shows the shape of the classes (the half-moons). A network that
# is regularised as tables need it cannot follow it.
FEW_FEATURES = 3

# Settings of Algorithm 1 that are the same for images and for rows of few features.
ROW_CYCLE = {
    "tol": 1e-3,
    "n_iter_no_change": 10,
    "labeled_threshold": 1.0,
    "max_labeled_epochs": 100,
    "balance": 0.1,
    "min_batches": 8,
}

# What differs where targets are drawn: iterations of 50 to 100 steps, for any number of rows.
DRAWN_ROW_CYCLE = {
    "max_iter": 20,
    "min_batches": 50,
    "labeled_weight": 1.0,
    "target_views": 1,
    "balance": None,
    "max_labeled_epochs": 0,
}

# Of images besides: a high rate, and steps whose number grows with the root of the number of images.
DRAWN_IMAGE_CYCLE = {"min_batches": 100, "lr": (5e-3, 1e-4)}
DRAWN_IMAGE_BATCHES, DRAWN_SMALL_IMAGE_BATCHES = 5400, 1000
# Softer targets than those of all images: where many of them are wrong, they do less harm.
DRAWN_IMAGE_ALPHA = 3.0
# To find the neighbors of so many images takes a minute; of twice as many, four times as long.
MOST_FOR_NEIGHBORS = 100_000


@dataclass(frozen=True)
class Auto:
    """The values that stand for "auto", and the defaults of the parts' parameters.

    Attributes
    ----------
    module, module_kwargs : Module class, dict
        The network, and its parameters where ``module__*`` does not set them.
    alpha : float
        Degrees of freedom of the kernel in eq. 1.
    head_spread : float or None
        Scale of the initial centroids.
    augment : callable
        Augmentation of training batches.
    cycle : dict
        Settings of Algorithm 1 (`Settings`), without ``pretrain_epochs``.
    net : dict
        Parameters of the skorch net.
    pretrain_batches : int
        Least number of batches in pre-training.
    max_pretrain_batches : float
        Number of batches in pre-training above which there are fewer than 100 epochs, but at least 10.
    neighbors : bool
        Whether nearest neighbors advise drawn targets.
    guidance : Guidance
        What guides the targets where `class_prior` and `teachers` are "auto".
    device : torch.device
        Where the networks are trained.
    """

    module: type[nn.Module]
    module_kwargs: dict[str, Any]
    alpha: float
    head_spread: float | None
    augment: Callable[..., Tensor]
    cycle: dict[str, Any]
    net: dict[str, Any]
    pretrain_batches: int
    device: torch.device
    max_pretrain_batches: float = math.inf
    neighbors: bool = False
    guidance: Guidance = field(default_factory=Guidance)


def choose_auto(
    X: np.ndarray, device: torch.device, variances: np.ndarray | None = None, *, drawn: bool = False
) -> Auto:
    """Return the defaults for samples of this shape.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features) or (n_samples, n_channels, height, width)
        Samples.
    device : torch.device
        Where the network will be trained. On a GPU there is time for figure 2's full width.
    variances : ndarray of shape (n_features,), default=None
        Variance of each feature, if the samples are rows of features.
    drawn : bool, default=False
        Whether targets are computed where they are used.
    """
    auto = auto_of_all(X, device, variances)
    if not drawn:
        return auto
    auto = drawn_instead(auto)
    return drawn_images(auto, X.shape) if variances is None else auto


def drawn_instead(auto: Auto) -> Auto:
    """Return the defaults for targets that are computed where they are used.

    Parameters
    ----------
    auto : Auto
        The defaults for the same samples with targets of all of them.
    """
    return replace(
        auto,
        cycle={**auto.cycle, **DRAWN_ROW_CYCLE, "max_rows": 100 * auto.net["batch_size"]},
        net={**auto.net, "ema_decay": 0.99},
        guidance=Guidance(estimate_shares=auto.guidance.estimate_shares),
    )


def drawn_images(auto: Auto, shape: tuple[int, ...]) -> Auto:
    """Return the defaults for images whose targets are computed where they are used.

    docs/experiments/images.md has what was tried, and on what.

    Parameters
    ----------
    auto : Auto
        The defaults for drawn targets.
    shape : tuple of int, (n_samples, n_channels, height, width)
        Shape of X.
    """
    small = min(shape[2:]) < SMALL_IMAGE
    # 10,000 images or fewer take so many batches, 60,000 two and a half times as many.
    growth = math.sqrt(max(1.0, shape[0] / 10_000))
    n_batches = growth * (DRAWN_SMALL_IMAGE_BATCHES if small else DRAWN_IMAGE_BATCHES)
    return replace(
        auto,
        alpha=auto.alpha if small else DRAWN_IMAGE_ALPHA,
        augment=WeakStrong(auto.augment, Compose(auto.augment, RandomShades(), Cutout(0.3))),
        guidance=Guidance(estimate_shares=True),
        cycle={**auto.cycle, **DRAWN_IMAGE_CYCLE, "max_iter": math.ceil(n_batches / 100)},
        net={**auto.net, "predict_views": True},
        pretrain_batches=1000,
        neighbors=shape[0] <= MOST_FOR_NEIGHBORS,
    )


def auto_of_all(X: np.ndarray, device: torch.device, variances: np.ndarray | None) -> Auto:
    """Return the defaults for samples of this shape, with targets of all of them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features) or (n_samples, n_channels, height, width)
        Samples.
    device : torch.device
        Where the network will be trained.
    variances : ndarray of shape (n_features,), or None
        Variance of each feature, if the samples are rows of features.
    """
    if variances is not None and is_table(X.shape[1:]):
        return auto_table(X.shape[0], variances, device)
    if variances is not None:
        noise = 0.35 * float(np.sqrt(variances.mean()))
        return Auto(
            module=MLP,
            module_kwargs={},
            alpha=1.0,
            head_spread=None,
            augment=GaussianNoise(noise, final_share=0.15 / 0.35),
            cycle={
                **ROW_CYCLE,
                "max_iter": 200,
                "pretrain_lr": (1e-2, 1e-3),
                "lr": (1e-2, 1e-3),
                "labeled_weight": 1.0,
                "target_views": 0,
            },
            net={"batch_size": 128, "ema_decay": 0.0, "precision": "float32"},
            pretrain_batches=0,
            guidance=Guidance(in_doubt=density_teachers(X.shape[0])),
            device=device,
        )
    small = min(X.shape[2:]) < SMALL_IMAGE
    if device.type == "cuda":
        module_kwargs = {"width": 1.0}
    else:
        # So narrow a network learns as much without dropout, whose masks take a fifth of a step's time.
        module_kwargs = {
            "width": 0.25 if small else 0.125,
            "convs_per_block": 2,
            "dropout": 0.1 if small else 0.0,
        }
    return Auto(
        module=ConvNet,
        module_kwargs=module_kwargs,
        # Batch normalisation limits the size of the embedding: with 1, q stays below 0.7 in ten classes.
        alpha=10.0,
        head_spread=2.0,
        augment=RandomAffine(degrees=15, scale=0.15, shear=0.15, shift=0.12),
        cycle={
            **ROW_CYCLE,
            "max_iter": max(12, math.ceil(1500 / math.ceil(len(X) / 32))),
            "pretrain_lr": (3e-3, 3e-4),
            "lr": (1e-3, 1e-4),
            "labeled_weight": 0.0,
            "target_views": 4,
        },
        net={"batch_size": 32, "ema_decay": 0.99, "precision": "float32"},
        pretrain_batches=1000 if small else 2000,
        device=device,
    )


def is_table(shape: tuple[int, ...]) -> bool:
    """Return whether samples are rows of a table: of more than three features.

    Parameters
    ----------
    shape : tuple of int
        Shape of a sample.
    """
    return len(shape) == 1 and shape[0] > FEW_FEATURES


def default_frequency(shape: tuple[int, ...]) -> str:
    """Return how the frequencies of eq. 2 are counted.

    Parameters
    ----------
    shape : tuple of int
        Shape of a sample.
    """
    return "bounded" if is_table(shape) else "soft"


def auto_table(n_rows: int, variances: np.ndarray, device: torch.device) -> Auto:
    """Return the defaults for tables: rows of more than three features.

    docs/experiments/tables.md has what was tried, and on what.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    variances : ndarray of shape (n_features,)
        Variance of each feature.
    device : torch.device
        Where the network will be trained.
    """
    # Each feature has noise by its own scale: the columns of rare categories vary little.
    noise = 0.35 * torch.from_numpy(np.sqrt(variances)).float()
    return Auto(
        module=MLP,
        module_kwargs={"hidden_units": (128, 128), "dropout": 0.3},
        alpha=10.0,
        head_spread=2.0,
        augment=GaussianNoise(noise, final_share=0.15 / 0.35),
        cycle={
            **ROW_CYCLE,
            "max_iter": 20,
            "pretrain_lr": (1e-2, 1e-3),
            "lr": (1e-2, 1e-3),
            "labeled_weight": 3.0,
            "label_smoothing": 0.1,
            "target_views": 0,
            "balance": None,
            "min_batches": 10,
            "max_rows": 12_800,
            "max_labeled_epochs": 0,
        },
        net={"batch_size": 128, "ema_decay": 0.0, "precision": "float32", "kernel_decay": 1e-2},
        pretrain_batches=150,
        max_pretrain_batches=3000,
        guidance=Guidance(table_teachers(n_rows), estimate_shares=True, fallback=True),
        device=device,
    )


def image_reduction(shape: tuple[int, ...]) -> int:
    """Return the side of the blocks of pixels that are one pixel for the network.

    Parameters
    ----------
    shape : tuple of int, (n_channels, height, width)
        Shape of an image.

    Examples
    --------
    >>> image_reduction((1, 28, 28)), image_reduction((3, 224, 300))
    (1, 4)
    """
    return max(1, min(shape[1:]) // SHORTER_SIDE)


def choose_auto_voxels(plan: dict[str, Any], device: torch.device) -> Auto:
    """Return the defaults for volumes in two or three dimensions.

    Parameters
    ----------
    plan : dict
        What `plan` returns, and where ``targets`` are computed.
    device : torch.device
        Where the network will be trained. On a GPU there is time for more filters.
    """
    drawn, n_dims = plan["targets"] == "drawn", len(plan["patch_size"])
    sides = reduced_spacing(plan["spacing"], plan["reduction"])
    axis = thin_axis(plan["patch_size"])
    names = ["width", "n_levels", "strides", "kernels", "stem", "max_filters"]
    module: type[nn.Module] = LightUNet3D if n_dims == 3 else LightUNet2D
    if plan["network"] == "UNet3D":
        # On a CPU 8, 16 and 32 filters: its kernels are made for multiples of 8, and slower with fewer.
        module, names = UNet3D, ["width", "n_levels"]
    module_kwargs = {name: plan[name] for name in names}
    return Auto(
        module=module,
        module_kwargs=module_kwargs,
        alpha=10.0,
        head_spread=2.0,
        augment=_two_views(sides, axis) if drawn else _one_view(sides, axis),
        cycle={
            "tol": 1e-3,
            "n_iter_no_change": 3,
            "labeled_threshold": 0.8,
            "max_labeled_epochs": 1,
            "min_batches": 64,
            "target_views": 0,
            "balance": None,  # a segmenter balances its patches instead
            "class_mean": True,
            **(DRAWN_CYCLE if drawn else FULL_CYCLE),
            **({"labeled_weight": 1.0} if plan.get("scribbles") else {}),
        },
        net={
            "batch_size": plan["batch_size"],
            "ema_decay": 0.99,
            "precision": "float32",
            "tile_size": "auto",
            # Boxes from other volumes help images, and harm volumes (docs/experiments/segmentation.md).
            **(
                {
                    "mix": BoxMix() if n_dims == 2 else None,
                    # Of no use where borders are in doubt (docs/experiments/segmentation.md).
                    "dice_weight": 0.0 if plan.get("scribbles") else 1.0,
                    "min_confidence": 0.0,
                }
                if drawn
                else {}
            ),
        },
        pretrain_batches=0,
        device=device,
    )


# Of Algorithm 1, for volumes: where targets are drawn, and where all voxels are predicted in each iteration.
DRAWN_CYCLE = {
    "pretrain_epochs": 30,
    "max_iter": 40,
    "pretrain_lr": (2e-3, 2e-4),
    "lr": (1e-3, 1e-5),
    "labeled_weight": 2.0,
}
FULL_CYCLE = {
    "pretrain_epochs": 40,
    "max_iter": 6,
    "pretrain_lr": (3e-3, 3e-4),
    "lr": (2e-3, 2e-4),
    "labeled_weight": 1.0,
}


def _one_view(spacing: tuple[float, ...] | None, axis: int | None) -> Compose:
    return Compose(
        RandomAffine(degrees=15, scale=0.15, shear=0.1, shift=0.0, spacing=spacing, axis=axis),
        RandomIntensity(0.2, 0.2),
        GaussianNoise(0.1),
    )


def _two_views(spacing: tuple[float, ...] | None, axis: int | None) -> Compose:
    # What moves voxels is shared by both views; the rest only the network that learns sees.
    return Compose(
        RandomAffine(degrees=30, scale=0.1, shear=0.1, shift=0.0, zoom=0.3, spacing=spacing, axis=axis),
        RandomGamma(0.5),
        RandomIntensity(0.5, 0.5),
        RandomBlur(1.5, 0.3),
        GaussianNoise(0.1),
    )


def pretrain_epochs(n_labeled: int, batch_size: int, auto: Auto) -> int:
    """Return the number of pre-training epochs: the paper's 100, within the bounds on batches.

    Parameters
    ----------
    n_labeled, batch_size : int
        Labeled samples, and samples a batch.
    auto : Auto
        The defaults, which bound the number of batches.
    """
    n_batches = math.ceil(n_labeled / batch_size)
    epochs = max(100, math.ceil(auto.pretrain_batches / n_batches))
    if epochs * n_batches <= auto.max_pretrain_batches:
        return epochs
    return max(10, int(auto.max_pretrain_batches / n_batches))
