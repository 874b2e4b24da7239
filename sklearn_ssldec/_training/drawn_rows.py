"""The skorch net for rows whose targets are computed where they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sklearn_ssldec._samples.batches import SoftTargetRows, Targets
from sklearn_ssldec._samples.drawn_rows import LabeledRows
from sklearn_ssldec._training.drawing import Drawing
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.algorithm import Epoch, check_finite
from sklearn_ssldec.clustering import OneHot, RunningTarget

# One labeled row joins so many unlabeled ones.
LABELED_SHARE = 4


class DrawnRowNet(Drawing, SSLDECNet):
    """A net that predicts the unlabeled rows of each batch with its average, for their targets.

    The averaged network sees weak views of the unlabeled rows, a target is made of what it predicts, and the
    network learns it from a strong view. Labeled rows join each batch.

    Parameters
    ----------
    module : EmbeddingNetwork
        The network.
    *args : tuple
        Further positional parameters of `SSLDECNet`.
    target_views : int, default=1
        Weak views of each unlabeled row, the predictions of which are averaged; with 0 it is the row itself.
    min_confidence : float, default=0.0
        Unlabeled rows whose largest probability is smaller take no part in the loss.
    **kwargs : dict
        Further parameters of `SSLDECNet`.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        target_views: int = 1,
        min_confidence: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.target_views, self.min_confidence = target_views, min_confidence
        self.is_advised_ = False

    # What the algorithm asks of a model ---------------------------------------------------------------------

    def train_labeled(self, X: LabeledRows, n_classes: int) -> Epoch:
        """Train an epoch on the labeled rows.

        Parameters
        ----------
        X : LabeledRows
            The rows and their labels.
        n_classes : int
            Number of classes.
        """
        return self.train_epoch(X.samples, X.Y, X.labeled)

    def train_drawn(
        self, X: LabeledRows, n_classes: int, target: Callable[[Tensor], Tensor], labeled_weight: float
    ) -> Epoch:
        """Train an epoch on labeled and unlabeled rows, with `target` of what the average predicts.

        Parameters
        ----------
        X : LabeledRows
            The rows and their labels.
        n_classes : int
            Number of classes.
        target : callable
            Makes targets of the soft assignments of the unlabeled rows.
        labeled_weight : float
            Weight of the labeled rows in the loss.
        """
        self.target_, self.is_advised_ = target, X.advice is not None
        of_unlabeled = X.Y if X.advice is None else X.advice
        rows = X.draw_unlabeled(self.generator)
        return self.train_epoch(X.samples, of_unlabeled, rows, (X.Y, X.labeled), labeled_weight)

    def probe(self, X: LabeledRows, n_classes: int) -> tuple[float, Tensor]:
        """Predict the labeled rows, and a few unlabeled ones, always the same.

        Parameters
        ----------
        X : LabeledRows
            The rows and their labels.
        n_classes : int
            Number of classes.

        Returns
        -------
        labeled_accuracy : float
            Accuracy on the labeled rows.
        predicted : Tensor of int64
            Predicted class of the unlabeled rows, or of the labeled ones where there are no others.

        Raises
        ------
        DivergenceError
            If predictions are not finite.
        """
        labeled = check_finite(self.soft_assignment(X.samples, X.labeled)).argmax(1)
        accuracy = (labeled == X.codes[X.labeled]).float().mean().item()
        rows = X.probes()
        return accuracy, self.soft_assignment(X.samples, rows).argmax(1) if len(rows) else labeled

    def make_rows(self, X: Any, P: Tensor | OneHot, index: Tensor | None) -> SoftTargetRows:
        """Return the dataset of an epoch; labeled rows that join its batches are a quarter as many."""
        rows = super().make_rows(X, P, index)
        rows.n_joining = -(-self.batch_size // LABELED_SHARE)
        return rows

    # Training -----------------------------------------------------------------------------------------------

    def train_step_single(self, batch: tuple[Tensor, Targets], **fit_params: Any) -> dict:
        """Find the targets of the unlabeled rows, and train on the batch."""
        X, targets = batch
        n = targets.n_own
        if n < len(X):
            q = self.mean_view(X[:n].to(self.device, torch.float32))
            if self.is_advised_:
                q = advised(q, targets.p[:n], 1 - self.progress_)
            confident = q.amax(1, keepdim=True) >= self.min_confidence
            # A target of 0 adds nothing to the loss.
            targets = targets._replace(p=torch.cat([self.targets_of(q) * confident, targets.p[n:]]))
        return super().train_step_single((X, targets), **fit_params)

    def is_steady(self) -> bool:
        """Return whether the numbers of a step stay the same until the next epoch."""
        is_steady = not isinstance(self.target_, RunningTarget) or self.target_.is_steady()
        return is_steady and super().is_steady()

    def remembered(self) -> list[Tensor]:
        """Return the frequencies of the target, which each step replaces."""
        target = self.target_
        return [target.frequencies, target.labeled_shares] if isinstance(target, RunningTarget) else []

    def remember(self, tensors: list[Tensor]) -> None:
        """Set what `remembered` returns.

        Parameters
        ----------
        tensors : list of Tensor
            The frequencies.
        """
        if isinstance(self.target_, RunningTarget):
            self.target_.frequencies, self.target_.labeled_shares = tensors

    def count_step(self) -> None:
        """Count a step whose arithmetic was done elsewhere."""
        super().count_step()
        if isinstance(self.target_, RunningTarget):
            self.target_.n_calls += 1

    def mean_view(self, X: Tensor) -> Tensor:
        """Return the mean of Q over `target_views` weak views of rows, or Q of the rows themselves.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The rows, on the device.
        """
        if self.target_views == 0:
            return self.taught(X)
        n_views = self.target_views
        views = self.weakly_augmented(X.repeat(n_views, *[1] * (X.ndim - 1)))
        return self.taught(views).view(n_views, len(X), -1).mean(0)


def advised(q: Tensor, advice: Tensor, weight: float) -> Tensor:
    r"""Return soft assignments times what neighbors say: :math:`q_{ij} \, e^{w a_{ij}}`, normalised.

    Parameters
    ----------
    q : Tensor of shape (n, n_classes)
        Soft assignments.
    advice : Tensor of shape (n, n_classes)
        Logarithms of probabilities.
    weight : float
        Weight of the advice.

    Returns
    -------
    Tensor of shape (n, n_classes)
        Soft assignments; rows sum to 1.

    Examples
    --------
    >>> import torch
    >>> advised(torch.tensor([[0.6, 0.4]]), torch.tensor([[0.2, 0.8]]).log(), weight=1.0)    # 0.12 : 0.32
    tensor([[0.2727, 0.7273]])
    """
    product = q * (weight * advice).exp()
    return product / product.sum(1, keepdim=True)
