"""What the paper compares SSLDEC with: the same networks, trained by the same loop, without its ideas.

Each is `SSLDECClassifier` or `SSLDECSegmenter` with a dense layer and softmax in place of the clustering
layer, and other targets. A parameter that has no meaning for a baseline is refused if it is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklearn_ssldec._estimators.base import BaseSSLDEC
from sklearn_ssldec._estimators.classifier import SSLDECClassifier
from sklearn_ssldec._estimators.segmenter import SSLDECSegmenter
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.clustering import kl_divergence


class SoftmaxHead(nn.Module):
    """Dense layer and log-softmax: what the paper's figure 1a has where SSLDEC has the clustering layer.

    It works on embeddings of samples, and of voxels, whose features stand along the second axis too.

    Parameters
    ----------
    n_features : int
        Size of the embedding.
    n_classes : int
        Number of classes.
    spread : float, default=None
        The weights start at so many times the unit vectors, the biases at 0, if `n_features` is at least
        `n_classes`. None is torch's random initialisation.
    """

    def __init__(self, n_features: int, n_classes: int, spread: float | None = None) -> None:
        super().__init__()
        self.n_features = n_features
        self.dense = nn.Linear(n_features, n_classes)
        if spread is not None and n_features >= n_classes:
            nn.init.eye_(self.dense.weight)
            self.dense.weight.data.mul_(spread)
            nn.init.zeros_(self.dense.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logarithm of the class probabilities of the embeddings `z`."""
        return torch.log_softmax(self.dense(z.movedim(1, -1)), dim=-1).movedim(-1, 1)


def hard_labels(Q: Tensor) -> Tensor:
    """Return one-hot targets of the predicted classes.

    Parameters
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Class probabilities.
    """
    return torch.zeros_like(Q).scatter_(1, Q.argmax(1, keepdim=True), 1)


class RunningAverage:
    """Average of the predictions of all iterations so far, recent ones first.

    Parameters
    ----------
    momentum : float, default=0.6
        What is left of the past in each iteration, as in the original.
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
        """Return what it remembers."""
        return {"total": self.total, "n_calls": self.n_calls}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.total, self.n_calls = state["total"], state["n_calls"]


class ConsistencyNet(SSLDECNet):
    """A net whose loss is consistency for a batch's own rows, and cross-entropy for the labeled ones."""

    consistency_weight = 100.0

    def get_loss(self, y_pred: Tensor, y_true: Targets, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss of log q, `y_pred`; that of the targets where no labeled rows have joined."""
        n_own = y_true.n_own
        if n_own == len(y_pred):
            return super().get_loss(y_pred, y_true, X=X, training=training)
        difference = (y_pred[:n_own].exp() - y_true.p[:n_own]).square().mean()
        ramp = math.exp(-5 * (1 - self.progress_) ** 2)
        labeled = kl_divergence(y_true.p[n_own:], y_pred[n_own:])
        return labeled + self.consistency_weight * ramp * difference


class PiNet(ConsistencyNet):
    """A net whose targets are its own predictions of the batch, augmented once more."""

    def train_step_single(self, batch: tuple[Tensor, Targets], **fit_params: Any) -> dict:
        """Predict the batch twice."""
        X, targets = batch
        if targets.n_own < len(X):
            self._set_training(True)
            with self.autocast():
                second = self.infer(self.augmented(X[: targets.n_own])).exp()
            targets = targets._replace(p=torch.cat([second, targets.p[targets.n_own :]]))
        return super().train_step_single((X, targets), **fit_params)


class _Softmax(BaseSSLDEC):
    # Parameters of the SSLDEC estimator that have no meaning here, and are refused if they are set.
    unused_parameters: ClassVar[tuple[str, ...]] = ("alpha", "center_spread", "class_prior")

    def _check_kwargs(self) -> None:
        super()._check_kwargs()
        defaults = type(self)().get_params()
        for name in self.unused_parameters:
            value = getattr(self, name)
            if value is not defaults[name] and value != defaults[name]:
                raise ValueError(f"{name} has no meaning for {type(self).__name__}, got {name}={value!r}.")

    def _make_head(self, n_features: int, n_classes: int) -> nn.Module:
        return SoftmaxHead(n_features, n_classes)


class _SoftmaxClassifier(_Softmax, SSLDECClassifier):
    pass


class SupervisedClassifier(_SoftmaxClassifier):
    """The network with a softmax, trained on the labeled samples only.

    `SSLDECClassifier` with ``max_iter=0`` is the supervised model with the clustering layer; this one is the
    ordinary network. Its parameters are those of :class:`SSLDECClassifier` that concern pre-training.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import SupervisedClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> clf = SupervisedClassifier(random_state=0).fit(X, mask_labels(truth, 5, random_state=0))
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    unused_parameters = (
        *_SoftmaxClassifier.unused_parameters, "max_iter", "tol", "n_iter_no_change", "labeled_threshold",
        "max_labeled_epochs", "labeled_weight", "balance", "lr", "min_batches", "target_views",
    )  # fmt: skip

    def _changed_settings(self) -> dict[str, Any]:
        return {"max_iter": 0}


class PseudoLabelClassifier(_SoftmaxClassifier):
    """Pseudo-labeling (Lee, 2013): the predicted classes are the targets of the next iteration.

    The paper's "pseudo model": its network and its loop, without the clustering layer and without the target
    distribution. Its parameters are those of :class:`SSLDECClassifier`; "auto" is 0 `target_views`, as in the
    original.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import PseudoLabelClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> clf = PseudoLabelClassifier(random_state=0).fit(X, mask_labels(truth, 5, random_state=0))
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    def _changed_settings(self) -> dict[str, Any]:
        return {"target_views": 0} if self.target_views == "auto" else {}

    def _make_target(self, prior: Tensor | None) -> Callable[[Tensor], Tensor]:
        return hard_labels


class PiModelClassifier(_SoftmaxClassifier):
    """The Pi model (Laine and Aila, 2016): two augmented predictions of a sample should agree.

    The loss is the cross-entropy of the labeled samples that join each batch, and the mean squared difference
    between two stochastic predictions of all samples, with a weight that rises to 100 like
    ``exp(-5 (1 - progress)^2)`` over `max_iter` (section 2.1 there). An iteration is an epoch on all samples;
    there is no balanced subset and no training of the labeled samples to a threshold.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import PiModelClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> clf = PiModelClassifier(max_iter=20, random_state=0).fit(X, mask_labels(truth, 5, random_state=0))
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    unused_parameters = (
        *_SoftmaxClassifier.unused_parameters,
        "labeled_threshold", "max_labeled_epochs", "labeled_weight", "balance", "target_views",
        "data_parallel",
    )  # fmt: skip

    def _changed_settings(self) -> dict[str, Any]:
        return {"labeled_threshold": 0.0, "labeled_weight": 1.0, "balance": None, "target_views": 0}

    _net_class = PiNet


class TemporalEnsemblingClassifier(PiModelClassifier):
    """Temporal ensembling (Laine and Aila, 2016): predictions should agree with their running average.

    As the Pi model, but the second prediction is the average of those of all iterations so far, with a
    momentum of 0.6 and corrected for its start (section 2.2 there). That of an iteration is made for all
    samples at once, in eval mode; the original collects it from the training batches.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import TemporalEnsemblingClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = TemporalEnsemblingClassifier(max_iter=20, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    def _make_target(self, prior: Tensor | None) -> Callable[[Tensor], Tensor]:
        return RunningAverage()

    _net_class = ConsistencyNet


class PseudoLabelSegmenter(_Softmax, SSLDECSegmenter):
    """Pseudo-labeling of voxels: the predicted labels are the targets of the next iteration.

    The "pseudo-labeling" of the paper's figures 9 to 11: its network and its loop, without the clustering
    layer and without the target distribution. Its parameters are those of :class:`SSLDECSegmenter`;
    `center_spread` is for the weights of the softmax layer what it is for the centroids: random weights may
    start two classes close together, and they do not come apart.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssldec.baselines import PseudoLabelSegmenter
    >>> maps = np.zeros((3, 20, 20), dtype=int)
    >>> maps[:, 5:15, 5:15] = 1
    >>> images = maps + 0.3 * np.random.default_rng(0).standard_normal(maps.shape)
    >>> seg = PseudoLabelSegmenter(module__width=0.1, pretrain_epochs=1, max_iter=1, random_state=0)
    >>> seg.fit(images, [maps[0], None, None]).predict(images).shape
    (3, 20, 20)
    """

    unused_parameters = ("alpha", "class_prior", "frequency")

    def _make_head(self, n_features: int, n_classes: int) -> nn.Module:
        return SoftmaxHead(n_features, n_classes, spread=self.center_spread_)

    def _make_target(self, prior: Tensor | None) -> Callable[[Tensor], Tensor]:
        return hard_labels
