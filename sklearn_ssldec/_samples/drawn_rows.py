"""Rows drawn during training, whose cost does not depend on their number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_ssldec.clustering import OneHot

# So many unlabeled rows are predicted after each iteration, to see how many predictions change.
N_PROBES = 1000


class LabeledRows:
    """Rows with the labels of some of them.

    Parameters
    ----------
    samples : Tensor of shape (n_samples, ...)
        All rows.
    codes : Tensor of shape (n_samples,), int64
        Class of each labeled row, -1 for an unlabeled one.
    n_classes : int
        Number of classes.
    label_smoothing : float, default=0.0
        Share of each label's target that is spread evenly over all classes.
    max_rows : int or None, default=None
        Largest number of unlabeled rows in an epoch.
    class_weight : sequence of float of length n_classes, default=None
        Weight of the labeled rows of each class in the loss; None weighs all alike.
    advice : Tensor of shape (n_samples, n_classes), default=None
        Logarithms of the probabilities that neighbors give each class; None if they are not asked.

    Attributes
    ----------
    Y : OneHot
        Labels as targets; those of unlabeled rows are meaningless.
    labeled, unlabeled : Tensor of int64
        The labeled rows, and the others.
    """

    def __init__(
        self,
        samples: Tensor,
        codes: Tensor,
        n_classes: int,
        label_smoothing: float = 0.0,
        max_rows: int | None = None,
        class_weight: Sequence[float] | None = None,
        advice: Tensor | None = None,
    ) -> None:
        self.samples, self.codes, self.max_rows, self.advice = samples, codes, max_rows, advice
        self.Y = OneHot(codes, n_classes, label_smoothing, class_weight)
        self.labeled = (codes >= 0).nonzero().squeeze(1)
        self.unlabeled = (codes < 0).nonzero().squeeze(1)

    def draw_unlabeled(self, generator: torch.Generator | None) -> Tensor:
        """Draw the unlabeled rows of an epoch, without replacement.

        Parameters
        ----------
        generator : torch.Generator or None
            CPU generator.
        """
        order = torch.randperm(len(self.unlabeled), generator=generator)
        return self.unlabeled[order[: self.max_rows].to(self.unlabeled.device)]

    def probes(self) -> Tensor:
        """Return a few unlabeled rows, always the same."""
        return self.unlabeled[:: -(-len(self.unlabeled) // N_PROBES) or 1]
