"""What "auto" means for the data at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_ssldec.augment import Compose, GaussianNoise, RandomAffine, RandomIntensity
from sklearn_ssldec.networks import MLP, ConvNet, UNet2D, UNet3D

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


def choose_auto_voxels(n_dims: int, device: torch.device) -> Auto:
    """Return the defaults for volumes in two or three dimensions.

    Parameters
    ----------
    n_dims : int
        2 or 3.
    device : torch.device
        Where the network will be trained. On a GPU there is time for more filters.
    """
    on_gpu = device.type == "cuda"
    # 8, 16 and 32 filters: CPU kernels are made for multiples of 8, and slower with fewer.
    return Auto(
        module=UNet3D if n_dims == 3 else UNet2D,
        module_kwargs={} if on_gpu else {"width": 0.25},
        alpha=10.0,
        head_spread=2.0,
        augment=Compose(
            RandomAffine(degrees=15, scale=0.15, shear=0.1, shift=0.0),
            RandomIntensity(0.2, 0.2),
            GaussianNoise(0.1),
        ),
        cycle={
            "pretrain_lr": (3e-3, 3e-4),
            "lr": (2e-3, 2e-4),
            "max_iter": 6,
            "tol": 1e-3,
            "n_iter_no_change": 3,
            "labeled_threshold": 0.8,
            "max_labeled_epochs": 1,
            "labeled_weight": 1.0,
            "min_batches": 64,
            "target_views": 0,
            "balance": None,  # a segmenter balances its patches instead
            "class_mean": True,
        },
        net={"batch_size": 2, "ema_decay": 0.99, "precision": "float32", "tile_size": "auto"},
        pretrain_batches=0,
        device=device,
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
