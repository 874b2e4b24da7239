"""Algorithm 1 with targets that are computed where they are used, for any number of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from sklearn_ssldec.algorithm import SSLDEC, Epoch, Outcome, Settings
from sklearn_ssldec.clustering import RunningTarget, hard_assignment


class DrawingModel(Protocol):
    """What `DrawnSSLDEC` asks of the model M."""

    def train_labeled(self, X: Any, n_classes: int) -> Epoch:
        """Train an epoch on labeled samples.

        Parameters
        ----------
        X : object
            All samples with their labels.
        n_classes : int
            Number of classes.
        """

    def train_drawn(
        self, X: Any, n_classes: int, target: Callable[[Tensor], Tensor], labeled_weight: float
    ) -> Epoch:
        """Train an epoch on labeled samples, and on others with targets of what M predicts for them.

        Parameters
        ----------
        X : object
            All samples with their labels.
        n_classes : int
            Number of classes.
        target : callable
            Makes targets of soft assignments.
        labeled_weight : float
            Weight of the labeled samples in the loss.
        """

    def probe(self, X: Any, n_classes: int) -> tuple[float, Tensor]:
        """Return the accuracy on the labels, and the predicted classes of some unlabeled samples.

        Parameters
        ----------
        X : object
            All samples with their labels.
        n_classes : int
            Number of classes.
        """

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the learning rate of the next epochs, and the progress of the cycle, from 0 to 1."""

    def get_state(self) -> Any:
        """Return a copy of all that training changes."""

    def set_state(self, state: Any) -> None:
        """Go back to a state."""


class DrawnSSLDEC(SSLDEC):
    """Algorithm 1 in which each step predicts the unlabeled samples of its own batch.

    The cost of an iteration does not depend on the number of samples. The frequencies of eq. 2 are what
    `settings.target` remembers of earlier batches, and the share of changed predictions is that of a few
    samples, always the same.

    Parameters
    ----------
    M : DrawingModel
        The model, trained in place.
    X : object
        All samples with their labels: what the model takes.
    n_classes : int
        Number of classes.
    settings : Settings
        The numbers. `balance` and `target_views` have no meaning here.
    predict_all : callable, default=None
        Returns Q of all samples, or their predicted class, where `supervised` and `predicted` are wanted.
    report : callable, default=None
        Called with the outcome so far, after pre-training and each iteration.
    outcome : Outcome, default=None
        What `report` was called with, to go on from there.
    """

    M: Any

    def __init__(
        self,
        M: DrawingModel,
        X: Any,
        n_classes: int,
        settings: Settings,
        *,
        predict_all: Callable[[], Tensor] | None = None,
        report: Callable[[Outcome], None] | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        no_labels = torch.empty(0, dtype=torch.int64)
        super().__init__(M, X, no_labels, n_classes, settings, report=report, outcome=outcome)  # type: ignore[arg-type]
        self.predict_all = predict_all
        self.found: Tensor | None = None  # what `predict_all` returned, if nothing was trained since

    def run(self) -> Outcome:
        """Train the model.

        Returns
        -------
        Outcome
            As of `SSLDEC.run`, but Q is empty unless `predict_all` returns it, and `predicted` has classes if
            there is a `predict_all`.
        """
        outcome = super().run()
        if self.predict_all is not None:
            found = self.found
            if found is None:
                try:
                    found = self.predict_all()
                except KeyboardInterrupt:  # training is over, and would be lost
                    found = self.predict_all()
            outcome.Q = found if found.ndim == 2 else outcome.Q
            outcome.predicted = _classes(found)
        return outcome

    def start(self) -> None:
        """Pre-train the model, unless that was done before."""
        is_new = not self.outcome.history
        loss = self.pretrain() if is_new else float("nan")
        _, self.predicted = self.M.probe(self.X, self.n_classes)
        if is_new:
            self.record_supervised(loss, self.settings.pretrain_epochs)
        self.keep()

    def iterate(self) -> None:
        """Go once through the loop of Algorithm 1."""
        self.set_schedule()
        self.found = None
        n_batches, loss, settings = 0, float("nan"), self.settings
        while n_batches < settings.min_batches:
            loss, n = self.M.train_drawn(self.X, self.n_classes, settings.target, settings.labeled_weight)
            n_batches += n
        labeled_accuracy, labeled_epochs = self.train_to_threshold()
        share_changed = self.update_share()
        self.record(
            loss=loss,
            labeled_accuracy=labeled_accuracy,
            share_changed=share_changed,
            subset_size=len(self.predicted),
            labeled_epochs=labeled_epochs,
            n_absent_classes=self.count_absent(),
        )
        self.keep()

    def train_labeled(self) -> float:
        """M <- train_model(L), for 1 epoch. Return its loss."""
        return self.M.train_labeled(self.X, self.n_classes).loss

    def labeled_accuracy(self) -> float:
        """Return the accuracy on the labels of some samples."""
        accuracy, self.probed = self.M.probe(self.X, self.n_classes)
        return accuracy

    def update_share(self) -> float:
        """Return the share of a few samples whose predicted class changed, by the probe that was made last.

        `train_to_threshold` ends with one, after all training of the iteration.
        """
        share_changed = (self.probed != self.predicted).float().mean().item()
        self.predicted = self.probed
        self.outcome.n_calm = self.outcome.n_calm + 1 if share_changed <= self.settings.tol else 0
        self.outcome.n_iter += 1
        return share_changed

    def count_absent(self) -> int:
        """Return the number of classes that are predicted for none of the few samples."""
        return self.n_classes - len(torch.unique(self.predicted))

    def record_supervised(self, loss: float, n_epochs: int) -> None:
        """Record the state after pre-training, as iteration 0, and let the target see what is predicted."""
        self.outcome.supervised = torch.empty(0, dtype=torch.int16)
        if self.predict_all is not None:
            self.found = found = self.predict_all()
            self.outcome.supervised = _classes(found)
            if found.ndim == 2 and isinstance(self.settings.target, RunningTarget):
                self.settings.target.see_all(found)
        self.record(
            loss=loss,
            labeled_accuracy=self.labeled_accuracy(),
            share_changed=float("nan"),
            subset_size=len(self.predicted),
            labeled_epochs=n_epochs,
            n_absent_classes=self.count_absent(),
        )

    def end_early(self, termination_condition: str) -> None:
        """End with the model as it is now."""
        self.outcome.termination_condition = termination_condition
        if not self.outcome.history:
            _, self.predicted = self.M.probe(self.X, self.n_classes)
            self.record_supervised(loss=float("nan"), n_epochs=0)


def _classes(found: Tensor) -> Tensor:
    """Return the classes that were found, or that Q has."""
    return hard_assignment(found) if found.ndim == 2 else found
