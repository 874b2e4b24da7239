"""What the nets for drawn rows and drawn patches share: the averaged network makes their targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Drawing:
    """A part of a net: it predicts the unlabeled samples of a batch for their targets."""

    target_: Callable[[Tensor], Tensor] | None = None
    module_: Any
    predicting: Callable[[], Any]
    autocast: Callable[[], Any]

    def taught(self, X: Tensor) -> Tensor:
        """Return Q of a batch, predicted by the averaged network in eval mode.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The batch, on the device.
        """
        network = self.predicting()
        was_training = network.training
        if was_training:
            network.eval()
        with torch.no_grad(), self.autocast():
            q = network(X.clone()).exp().float()  # it may change its input in place
        if was_training and network is self.module_:  # the average is never trained
            network.train()
        return q

    def targets_of(self, q: Tensor) -> Tensor:
        """Return targets of soft assignments, by the target function of the epoch.

        Parameters
        ----------
        q : Tensor of shape (n, n_classes)
            Soft assignments.
        """
        assert self.target_ is not None  # set by train_drawn
        return self.target_(q) if len(q) > 0 else q
