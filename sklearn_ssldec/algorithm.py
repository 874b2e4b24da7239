"""Algorithm 1 of the paper: one method for each of its lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sklearn_ssldec.clustering import (
    MANY_ROWS,
    OneHot,
    balanced_subset,
    hard_assignment,
    target_distribution,
)

# Out of reach is a threshold that so many iterations in a row have missed, in so many epochs each.
OUT_OF_REACH = 3
MANY_EPOCHS = 10


class Samples(Protocol):
    """What Algorithm 1 asks of the samples: their number. A tensor, or the voxels of volumes."""

    def __len__(self) -> int: ...


class Epoch(NamedTuple):
    """The mean loss of an epoch of training, and the number of its batches."""

    loss: float
    n_batches: int


class DivergenceError(ValueError):
    """The loss or the predictions are not finite."""


class Model(Protocol):
    """What Algorithm 1 asks of the model M."""

    def train_epoch(
        self,
        X: Any,
        P: Tensor | OneHot,
        index: Tensor | None,
        labeled_rows: tuple[OneHot, Tensor] | None = None,
        labeled_weight: float = 1.0,
    ) -> Epoch:
        """Train one epoch on the rows `index` (None: on all) of samples `X` with targets `P`.

        A random batch of `labeled_rows`, labels and row numbers, joins each batch, with that weight in the
        loss.
        """

    def soft_assignment(self, X: Any, rows: Tensor | None = None) -> Tensor:
        """Return Q of `rows` of `X`, or of all (eq. 1)."""

    def augmented_assignment(self, X: Any) -> Tensor:
        """Return Q of a random augmentation of each sample of `X`; rows that it does not show are 0."""

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the learning rate of the next epochs, and the progress of the cycle, from 0 to 1."""

    def get_state(self) -> Any:
        """Return a copy of all that training changes."""

    def set_state(self, state: Any) -> None:
        """Go back to a state."""


@dataclass(frozen=True)
class Settings:
    """The numbers of Algorithm 1, and those that the paper leaves open.

    Attributes
    ----------
    pretrain_epochs : int
        Epochs of pre-training on the labeled samples.
    pretrain_lr, lr : tuple of float
        Learning rate at the start and the end of pre-training, and in the first and the last iteration that
        `max_iter` allows; linear in between.
    max_iter : int
        The largest number of iterations.
    tol, n_iter_no_change : float, int
        The cycle ends when no more than this share of the predicted classes changed, in each of so many
        iterations in a row.
    labeled_threshold : float
        Accuracy on the labeled samples to which each iteration trains them.
    class_mean : bool
        Whether that accuracy is the mean over classes, in which a large class cannot hide a small one.
    max_labeled_epochs : int
        Cap of that training, in epochs an iteration.
    labeled_weight : float
        Weight of the labeled samples that join each batch of an iteration with their labels; 0 for none.
    balance : float or None
        `min_share` of `balanced_subset`; None trains on all samples.
    min_batches : int
        Least number of batches an iteration: further subsets are drawn where one gives fewer.
    target_views : int
        The targets come from the mean of Q and of the predictions for so many augmentations of each sample.
    target : callable
        Q of all samples to P: `target_distribution`, or what a baseline does in its place.
    """

    pretrain_epochs: int
    pretrain_lr: tuple[float, float]
    lr: tuple[float, float]
    max_iter: int
    tol: float
    n_iter_no_change: int
    labeled_threshold: float
    max_labeled_epochs: int
    labeled_weight: float
    balance: float | None
    min_batches: int
    target_views: int = 0
    target: Callable[[Tensor], Tensor] = target_distribution
    class_mean: bool = False


@dataclass
class Outcome:
    """How far Algorithm 1 has come, and in the end what it leaves behind, besides the trained model.

    Attributes
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Soft assignments of all samples, in the end.
    supervised : Tensor of shape (n_samples,), integer
        Class that the model predicted after pre-training.
    n_iter : int
        Iterations done.
    n_calm : int
        Calm iterations in a row, up to the last.
    termination_condition : str
        Why the cycle ended: "tol", "max_iter", "supervised" (`max_iter` is 0), "interrupted" or "diverged".
    history : list of dict
        One record for pre-training (iteration 0) and one for each iteration.
    """

    Q: Tensor = field(default_factory=lambda: torch.empty(0))
    supervised: Tensor = field(default_factory=lambda: torch.empty(0))
    n_iter: int = 0
    n_calm: int = 0
    termination_condition: str = "supervised"
    history: list[dict[str, Any]] = field(default_factory=list)


class SSLDEC:
    r"""Algorithm 1.

    .. code-block:: text

        M <- train_model(L)                              pretrain
        repeat
            Q  <- predictions(M, L and U)                predict
            P  <- target_distribution(Q)                 targets
            P' <- select balanced subset of P            train_towards
            M  <- train_model(P'), for 1 epoch           train_towards
            while train accuracy < threshold do
                M <- train_model(L)                      train_to_threshold
        until end condition is met                       has_ended

    Parameters
    ----------
    M : Model
        The model, trained in place.
    X : Samples
        All samples, L and U: what the model takes.
    y : Tensor of shape (n_samples,), integer
        Class of each labeled sample, -1 for an unlabeled one.
    n_classes : int
        Number of classes.
    settings : Settings
        The numbers.
    generator : torch.Generator, default=None
        CPU generator of the balanced subsets.
    report : callable, default=None
        Called with the outcome so far, after pre-training and each iteration.
    outcome : Outcome, default=None
        What `report` was called with, to go on from there. `M` and `generator` are as they were then.

    Attributes
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        The current soft assignments.
    """

    def __init__(
        self,
        M: Model,
        X: Samples,
        y: Tensor,
        n_classes: int,
        settings: Settings,
        *,
        generator: torch.Generator | None = None,
        report: Callable[[Outcome], None] | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.M, self.X, self.n_classes, self.settings = M, X, n_classes, settings
        self.generator, self.report = generator, report
        self.L = (y >= 0).nonzero().squeeze(1)
        self.labels = y[self.L].long()
        self.Y = OneHot(y, n_classes)
        self.outcome = Outcome() if outcome is None else outcome
        self.Q = self.predicted = torch.empty(0)
        self._last_state: Any = None
        self._last_time = time.perf_counter()

    def run(self) -> Outcome:
        """Train the model.

        Returns
        -------
        Outcome
            Q, the history, and how the cycle ended. KeyboardInterrupt ends it, with the model as it is then.
            A cycle that diverges ends with the model after its last iteration.

        Raises
        ------
        DivergenceError
            If the loss or the predictions are not finite in pre-training.
        """
        outcome = self.outcome
        try:
            self.start()
            while not self.has_ended():
                self.iterate()
            outcome.Q = self.Q
            if outcome.n_iter > 0:
                outcome.termination_condition = "tol" if self.is_calm() else "max_iter"
        except KeyboardInterrupt:
            self.end_early("interrupted")
        except DivergenceError:
            if self._last_state is None:
                raise
            self.M.set_state(self._last_state)
            self.end_early("diverged")
        return outcome

    def start(self) -> None:
        """Pre-train the model, unless that was done before, and predict all samples."""
        is_new = not self.outcome.history
        loss = self.pretrain() if is_new else float("nan")
        self.Q = self.predict()
        self.predicted = hard_assignment(self.Q)
        if is_new:
            self.record_supervised(loss, self.settings.pretrain_epochs)
        self.keep()

    def iterate(self) -> None:
        """Go once through the loop of Algorithm 1."""
        self.set_schedule()
        P, counted_as = self.targets()
        n_absent = self.stand_in(P, counted_as)
        loss, subset_size = self.train_towards(P, counted_as)
        labeled_accuracy, labeled_epochs = self.train_to_threshold()
        del P  # of many voxels, it is as large as Q
        n_changed = self.update()
        self.record(
            loss=loss,
            labeled_accuracy=labeled_accuracy,
            share_changed=n_changed / len(self.X),
            subset_size=subset_size,
            labeled_epochs=labeled_epochs,
            n_absent_classes=n_absent,
        )
        self.keep()

    # The lines of Algorithm 1 -----------------------------------------------------------------------------

    def pretrain(self) -> float:
        """M <- train_model(L). Return the loss of the last epoch."""
        settings, loss = self.settings, float("nan")
        for epoch in range(settings.pretrain_epochs):
            self.M.set_schedule(_linear(settings.pretrain_lr, epoch, settings.pretrain_epochs), progress=0.0)
            loss = self.M.train_epoch(self.X, self.Y, self.L).loss
        return loss

    def predict(self, rows: Tensor | None = None) -> Tensor:
        """Q <- predictions(M, L and U), defined in (1), of all samples or of `rows`."""
        Q = self.M.soft_assignment(self.X, rows)
        if not all(torch.isfinite(part).all() for part in Q.split(MANY_ROWS)):
            raise DivergenceError(
                "The network's predictions are not finite. Scale X (StandardScaler), or lower pretrain_lr "
                "and lr."
            )
        return Q

    def targets(self) -> tuple[Tensor, Tensor]:
        """P <- target_distribution(Q), defined in (2). Return P, and the class that each sample counts as.

        The mean over views of a sample errs less than Q alone. Q is given up: of many voxels, P is large
        enough.
        """
        Q, self.Q = self.Q, torch.empty(0)
        counted_as = self.predicted.clone()
        if self.settings.target_views > 0:
            for _ in range(self.settings.target_views):
                Q += self.M.augmented_assignment(self.X)
            for rows in Q.split(MANY_ROWS):
                rows /= rows.sum(1, keepdim=True)
            counted_as = hard_assignment(Q)
        return self.settings.target(Q), counted_as

    def stand_in(self, P: Tensor, counted_as: Tensor) -> int:
        """Let the labeled samples of a class that is predicted nowhere stand in for it, with their labels.

        Without them the balanced subset would be empty and the cycle idle. Return the number of such classes.
        """
        absent = _absent(counted_as, self.n_classes)
        chosen = torch.isin(self.labels, absent)
        rows = self.L[chosen]
        P[rows] = self.Y[rows].to(P.dtype)
        counted_as[rows] = self.labels[chosen].to(counted_as.dtype)
        return len(absent)

    def train_towards(self, P: Tensor, counted_as: Tensor) -> tuple[float, int]:
        """P' <- select balanced subset of P; M <- train_model(P'), for 1 epoch. Return its loss and size."""
        settings = self.settings
        labeled_rows = (self.Y, self.L) if settings.labeled_weight > 0 else None
        n_batches, loss, subset = 0, float("nan"), None
        while n_batches < settings.min_batches:
            if settings.balance is not None:
                subset = balanced_subset(
                    counted_as, self.n_classes, min_share=settings.balance, generator=self.generator
                )
            loss, n = self.M.train_epoch(self.X, P, subset, labeled_rows, settings.labeled_weight)
            n_batches += n
        return loss, len(self.X) if subset is None else len(subset)

    def train_to_threshold(self) -> tuple[float, int]:
        """While train accuracy < threshold do M <- train_model(L). Return the accuracy and the epochs."""
        epochs, threshold = 0, self.reachable_threshold()
        while (reached := self.accuracy(self.predict(self.L))) < threshold:
            if epochs == self.settings.max_labeled_epochs:
                break
            self.M.train_epoch(self.X, self.Y, self.L)
            epochs += 1
        return reached, epochs

    def has_ended(self) -> bool:
        """Until end condition is met: little changes, or `max_iter` iterations are done."""
        return self.outcome.n_iter >= self.settings.max_iter or self.is_calm()

    # What they are made of --------------------------------------------------------------------------------

    def set_schedule(self) -> None:
        """Set learning rate and progress of the next iteration."""
        n_iter, max_iter = self.outcome.n_iter, self.settings.max_iter
        self.M.set_schedule(
            _linear(self.settings.lr, n_iter, max_iter), progress=_linear((0.0, 1.0), n_iter, max_iter)
        )

    def update(self) -> int:
        """Predict all samples anew, and return for how many the predicted class changed."""
        self.Q = self.predict()
        before, self.predicted = self.predicted, hard_assignment(self.Q)
        n_changed = int((self.predicted != before).sum())
        is_calm = n_changed <= self.settings.tol * len(self.X)
        self.outcome.n_calm = self.outcome.n_calm + 1 if is_calm else 0
        self.outcome.n_iter += 1
        return n_changed

    def is_calm(self) -> bool:
        """Tell whether the predictions have hardly changed for long enough."""
        return self.outcome.n_calm >= self.settings.n_iter_no_change

    def reachable_threshold(self) -> float:
        """Return `labeled_threshold`, or what is reached where iteration after iteration ends below it.

        Two equal samples with different labels make an accuracy of 1 impossible, and each iteration would
        train to the cap.
        """
        threshold, cap = self.settings.labeled_threshold, self.settings.max_labeled_epochs
        below: list[float] = []
        for record in self.outcome.history[1:]:
            at_cap = cap >= MANY_EPOCHS and record["labeled_epochs"] == cap
            below = [*below, record["labeled_accuracy"]] if at_cap else []
            if len(below) == OUT_OF_REACH:
                threshold, below = min(below), []
        return threshold

    def accuracy(self, Q: Tensor) -> float:
        """Return the accuracy of soft assignments of the labeled samples."""
        correct = (Q.argmax(1) == self.labels).float()
        if self.settings.class_mean:
            correct = torch.bincount(self.labels, correct) / torch.bincount(self.labels)
        return correct.mean().item()

    # What is kept of it -----------------------------------------------------------------------------------

    def record_supervised(self, loss: float, n_epochs: int) -> None:
        """Record the state after pre-training, as iteration 0."""
        self.outcome.supervised = hard_assignment(self.Q)
        self.record(
            loss=loss,
            labeled_accuracy=self.accuracy(self.Q[self.L]),
            share_changed=float("nan"),
            subset_size=len(self.L),
            labeled_epochs=n_epochs,
            n_absent_classes=len(_absent(self.outcome.supervised, self.n_classes)),
        )

    def record(self, **values: Any) -> None:
        """Add a record to the history."""
        before, self._last_time = self._last_time, time.perf_counter()
        seconds = self._last_time - before
        self.outcome.history.append({"iteration": self.outcome.n_iter, **values, "seconds": seconds})

    def keep(self) -> None:
        """Keep the model's state, to return to if the next iteration diverges, and report."""
        self._last_state = self.M.get_state()
        if self.report is not None:
            self.report(self.outcome)

    def end_early(self, termination_condition: str) -> None:
        """End with the model as it is now."""
        self.outcome.termination_condition = termination_condition
        self.Q = self.outcome.Q = self.predict()
        if not self.outcome.history:
            self.record_supervised(loss=float("nan"), n_epochs=0)


def _linear(ends: tuple[float, float], step: int, n_steps: int) -> float:
    """Return the value at a step on the line from the first step to the last."""
    return ends[0] + (ends[1] - ends[0]) * step / max(n_steps - 1, 1)


def _absent(predicted: Tensor, n_classes: int) -> Tensor:
    """Return the classes that are predicted for no sample."""
    return (torch.bincount(predicted.flatten(), minlength=n_classes) == 0).nonzero().squeeze(1)
