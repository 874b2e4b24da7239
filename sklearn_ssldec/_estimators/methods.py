"""Heads and targets of SSLDEC and of what the paper compares it with, and the methods made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sklearn_ssldec._estimators.task import Method
from sklearn_ssldec._training.consistency import ConsistencyNet, MeanTeacherNet, PiNet
from sklearn_ssldec._training.drawn_rows import DrawnRowNet
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.clustering import ClusteringLayer, RunningTarget, target_distribution
from sklearn_ssldec.networks.softmax import SoftmaxHead


def clustering_head(
    n_features: int, n_classes: int, *, alpha: float, spread: float | None, axis: int = -1
) -> ClusteringLayer:
    """Return the clustering layer, SSLDEC's head.

    Parameters
    ----------
    n_features, n_classes : int
        Size of the embedding, and number of centroids.
    alpha : float
        Degrees of freedom of the kernel.
    spread : float or None
        Scale of the initial centroids.
    axis : int, default=-1
        Axis of the features.
    """
    return ClusteringLayer(n_classes, n_features, alpha, axis=axis, spread=spread)


def prior_target(prior: Tensor | None, *, frequency: str = "soft") -> Callable[[Tensor], Tensor]:
    """Return the target distribution with a prior, SSLDEC's target.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Share of each class.
    frequency : {"soft", "hard", "bounded"}, default="soft"
        How frequencies are counted; see `target_distribution`.
    """
    return partial(target_distribution, prior=prior, frequency=frequency)


def drawn_target(
    prior: Tensor | None, *, n_classes: int, labeled_prior: bool = False, frequency: str = "soft"
) -> RunningTarget:
    """Return a new `RunningTarget`, SSLDEC's target where only some samples are seen at a time.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Shares of the classes.
    n_classes : int
        Number of classes.
    labeled_prior : bool
        Whether the shares of the classes among the labels that are drawn take the place of `prior`.
    frequency : {"soft", "hard", "bounded"}
        Parameter of `RunningTarget`.
    """
    return RunningTarget(n_classes, "labeled" if labeled_prior else prior, frequency)


def hard_labels(Q: Tensor) -> Tensor:
    """Return one-hot targets of the predicted classes.

    Parameters
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Class probabilities.
    """
    return torch.zeros_like(Q).scatter_(1, Q.argmax(1, keepdim=True), 1)


class RunningAverage:
    """Average of the predictions of all iterations so far, with most weight on recent ones.

    Parameters
    ----------
    momentum : float, default=0.6
        Weight of the past in each iteration, as in the original.
    """

    def __init__(self, momentum: float = 0.6) -> None:
        self.momentum = momentum
        self.total: Tensor | None = None
        self.n_calls = 0

    def __call__(self, Q: Tensor) -> Tensor:
        """Return the average with Q in it."""
        before = torch.zeros_like(Q) if self.total is None else self.total.to(Q.device)
        self.total = self.momentum * before + (1 - self.momentum) * Q
        self.n_calls += 1
        return self.total / (1 - self.momentum**self.n_calls)

    def get_state(self) -> dict[str, Any]:
        """Return the state: the sum and the number of calls."""
        return {"total": self.total, "n_calls": self.n_calls}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Parameters
        ----------
        state : dict
            The state, from `get_state`.
        """
        self.total, self.n_calls = state["total"], state["n_calls"]


def softmax_head(n_features: int, n_classes: int, *, spread: float | None = None) -> SoftmaxHead:
    """Return the head of the baselines.

    Parameters
    ----------
    n_features, n_classes : int
        Size of the embedding, and number of classes.
    spread : float, default=None
        Scale of the initial weights.
    """
    return SoftmaxHead(n_features, n_classes, spread)


def hard_target(prior: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return `hard_labels`, the targets of pseudo-labeling.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Ignored: pseudo-labeling has no prior.
    """
    return hard_labels


def running_target(prior: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return a new `RunningAverage`, the targets of temporal ensembling.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Ignored: temporal ensembling has no prior.
    """
    return RunningAverage()


def sharpened(Q: Tensor, temperature: float = 0.4) -> Tensor:
    """Return soft targets nearer to the predicted classes.

    Parameters
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Class probabilities.
    temperature : float, default=0.4
        Probabilities are raised to the power of 1 over this, as in UDA.
    """
    return torch.softmax(Q.clamp_min(torch.finfo(Q.dtype).tiny).log() / temperature, dim=1)


def sharpened_target(prior: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return `sharpened`, the targets of UDA.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Ignored: UDA has no prior.
    """
    return sharpened


def same_target(prior: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return a function that takes Q for P, the targets of mean teacher.

    Parameters
    ----------
    prior : Tensor of shape (n_classes,), or None
        Ignored: mean teacher has no prior.
    """
    return torch.clone


SUPERVISED = Method(softmax_head, hard_target, SSLDECNet, fixed={"max_iter": 0})
PSEUDO_LABELING = Method(softmax_head, hard_target, SSLDECNet, defaults={"target_views": 0})
_CONSISTENCY = {"labeled_threshold": 0.0, "labeled_weight": 1.0, "balance": None, "target_views": 0}
PI_MODEL = Method(softmax_head, hard_target, PiNet, fixed=_CONSISTENCY)
TEMPORAL_ENSEMBLING = Method(softmax_head, running_target, ConsistencyNet, fixed=_CONSISTENCY)
_DRAWN = {"labeled_threshold": 0.0, "balance": None}
FIXMATCH = Method(softmax_head, hard_target, DrawnRowNet, fixed=_DRAWN, net_params={"min_confidence": 0.95})
UDA = Method(softmax_head, sharpened_target, DrawnRowNet, fixed=_DRAWN, net_params={"min_confidence": 0.8})
MEAN_TEACHER = Method(softmax_head, same_target, MeanTeacherNet, fixed={**_DRAWN, "labeled_weight": 1.0})
