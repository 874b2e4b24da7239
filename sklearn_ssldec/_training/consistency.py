"""The nets of the consistency methods: the Pi model, temporal ensembling and mean teacher."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._training.drawn_rows import DrawnRowNet
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.clustering import kl_divergence


class ConsistencyNet(SSLDECNet):
    """A net whose loss is consistency for a batch's own rows, and cross-entropy for the labeled ones."""

    consistency_weight = 100.0

    def get_loss(self, y_pred: Tensor, y_true: Targets, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss of log q, `y_pred`; without labeled rows, the divergence from the targets."""
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
                second = self.infer(self.augmented(X[: targets.n_own].clone())).exp()
            targets = targets._replace(p=torch.cat([second, targets.p[targets.n_own :]]))
        return super().train_step_single((X, targets), **fit_params)


class MeanTeacherNet(ConsistencyNet, DrawnRowNet):
    """A net whose targets are what its average predicts of another view of the batch."""
