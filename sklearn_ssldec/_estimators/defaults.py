"""What "auto" means for the data at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_ssldec.augment import (
    BoxMix,
    Compose,
    GaussianNoise,
    RandomAffine,
    RandomBlur,
    RandomGamma,
    RandomIntensity,
)
from sklearn_ssldec.networks import MLP, ConvNet, LightUNet2D, LightUNet3D, UNet3D

# Smaller images hold less to learn from: they get a wider network and shorter pre-training.
SMALL_IMAGE = 16

# Settings of Algorithm 1 that are the same for rows of features and for images.
ROW_CYCLE = {
    "tol": 1e-3,
    "n_iter_no_change": 10,
    "labeled_threshold": 1.0,
    "max_labeled_epochs": 100,
    "balance": 0.1,
    "min_batches": 8,
}


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


def choose_auto(X: np.ndarray, device: torch.device, variances: np.ndarray | None = None) -> Auto:
    """Return the defaults for samples of this shape.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features) or (n_samples, n_channels, height, width)
        Samples.
    device : torch.device
        Where the network will be trained. On a GPU there is time for figure 2's full width.
    variances : ndarray of shape (n_features,), default=None
        Variance of each feature, if the samples are rows of features.
    """
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
            device=device,
        )
    small = min(X.shape[2:]) < SMALL_IMAGE
    if device.type == "cuda":
        module_kwargs = {"width": 1.0}
    else:
        module_kwargs = {"width": 0.25 if small else 0.125, "convs_per_block": 2, "dropout": 0.1}
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
    names = ("width", "n_levels", "strides", "stem", "max_filters")
    module: type[nn.Module] = LightUNet3D if n_dims == 3 else LightUNet2D
    module_kwargs = {name: plan[name] for name in names}
    if n_dims == 3 and not drawn:
        # 8, 16 and 32 filters: CPU kernels are made for multiples of 8, and slower with fewer.
        module, module_kwargs = UNet3D, {} if device.type == "cuda" else {"width": 0.25}
    return Auto(
        module=module,
        module_kwargs=module_kwargs,
        alpha=10.0,
        head_spread=2.0,
        augment=_two_views() if drawn else _one_view(),
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
        },
        net={
            "batch_size": plan["batch_size"],
            "ema_decay": 0.99,
            "precision": "float32",
            "tile_size": "auto",
            **({"mix": BoxMix(), "dice_weight": 1.0, "min_confidence": 0.0} if drawn else {}),
        },
        pretrain_batches=0,
        device=device,
    )


# Of Algorithm 1, for volumes: where targets are drawn, and where all voxels are predicted in each iteration.
DRAWN_CYCLE = {
    "pretrain_epochs": 10,
    "max_iter": 60,
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


def _one_view() -> Compose:
    return Compose(
        RandomAffine(degrees=15, scale=0.15, shear=0.1, shift=0.0),
        RandomIntensity(0.2, 0.2),
        GaussianNoise(0.1),
    )


def _two_views() -> Compose:
    # What moves voxels is shared by both views; the rest only the network that learns sees.
    return Compose(
        RandomAffine(degrees=30, scale=0.1, shear=0.1, shift=0.0, zoom=0.3),
        RandomGamma(0.5),
        RandomIntensity(0.5, 0.5),
        RandomBlur(1.5, 0.3),
        GaussianNoise(0.1),
    )


def pretrain_epochs(n_labeled: int, batch_size: int, pretrain_batches: int) -> int:
    """Return the number of pre-training epochs: the paper's 100, or more if these make too few batches.

    Parameters
    ----------
    n_labeled, batch_size : int
        Labeled samples, and samples a batch.
    pretrain_batches : int
        Least number of batches.
    """
    return max(100, math.ceil(pretrain_batches / math.ceil(n_labeled / batch_size)))
