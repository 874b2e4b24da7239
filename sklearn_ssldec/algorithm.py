"""Algorithm 1 of the paper, step beside step."""

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


class Samples(Protocol):
    """What Algorithm 1 asks of the samples: their number. A tensor, or the voxels of volumes."""

    def __len__(self) -> int: ...


class Epoch(NamedTuple):
    """What an epoch of training tells: its mean loss, and the number of its batches."""

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
        escort: tuple[OneHot, Tensor] | None = None,
        escort_weight: float = 1.0,
    ) -> Epoch:
        """Train one epoch on the rows `index` (None: on all) of samples `X` with targets `P`.

        A random batch of `escort`, targets and rows, joins each batch, with that weight in the loss.
        """

    def soft_assignment(self, X: Any, rows: Tensor | None = None) -> Tensor:
        """Return Q of `rows` of `X`, or of all (eq. 1)."""

    def augmented_assignment(self, X: Any) -> Tensor:
        """Return Q of a random augmentation of each sample of `X`; rows that it does not show are 0."""

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the learning rate of the next epochs, and tell how far the cycle has come, from 0 to 1."""

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
        Whether that accuracy is the mean of those of the classes, which a large class cannot hide.
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
    on_divergence : {"warn", "raise"}
        Whether a cycle that diverges ends with the state after the last iteration, or with the error.
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
    on_divergence: str = "warn"


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


def ssldec(
    M: Model,
    X: Samples,
    y: Tensor,
    n_classes: int,
    settings: Settings,
    *,
    generator: torch.Generator | None = None,
    report: Callable[[Outcome], None] = lambda outcome: None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Train a model by Algorithm 1.

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
    report : callable
        Called with the outcome so far, after pre-training and each iteration.
    outcome : Outcome, default=None
        What `report` was called with, to go on from there. `M` and `generator` are as they were then.

    Returns
    -------
    Outcome
        Q, the history, and how the cycle ended. KeyboardInterrupt ends it, with the model as it is then.

    Raises
    ------
    DivergenceError
        If the loss or the predictions are not finite, in pre-training, or in the cycle where
        `settings.on_divergence` is "raise".
    """
    L = (y >= 0).nonzero().squeeze(1)
    labels = y[L].long()
    Y = OneHot(y, n_classes)
    outcome = Outcome() if outcome is None else outcome
    started = time.perf_counter()
    last_state = None

    def predictions(rows: Tensor | None = None) -> Tensor:
        Q = M.soft_assignment(X, rows)
        if not all(torch.isfinite(part).all() for part in Q.split(MANY_ROWS)):
            raise DivergenceError(
                "The network's predictions are not finite. Scale X (StandardScaler), or lower pretrain_lr "
                "and lr."
            )
        return Q

    def accuracy(Q: Tensor) -> float:
        correct = (Q.argmax(1) == labels).float()
        if settings.class_mean:
            correct = torch.bincount(labels, correct) / torch.bincount(labels)
        return correct.mean().item()

    def train_to_threshold() -> tuple[float, int]:
        epochs = 0
        while (reached := accuracy(predictions(L))) < settings.labeled_threshold:
            if epochs == settings.max_labeled_epochs:
                break
            M.train_epoch(X, Y, L)
            epochs += 1
        return reached, epochs

    def record(**values: Any) -> None:
        nonlocal started
        now = time.perf_counter()
        outcome.history.append({"iteration": outcome.n_iter, **values, "seconds": now - started})
        started = now

    def record_supervised(Q: Tensor, loss: float, n_epochs: int) -> None:
        outcome.supervised = hard_assignment(Q)
        record(
            loss=loss,
            labeled_accuracy=accuracy(Q[L]),
            share_changed=float("nan"),
            subset_size=len(L),
            labeled_epochs=n_epochs,
            n_absent_classes=len(_absent(outcome.supervised, n_classes)),
        )

    def keep() -> None:
        nonlocal last_state
        if settings.on_divergence == "warn":
            last_state = M.get_state()
        report(outcome)

    def run() -> Tensor:
        # M <- train_model(L)
        if is_new := not outcome.history:
            loss = float("nan")
            for epoch in range(settings.pretrain_epochs):
                M.set_schedule(_linear(settings.pretrain_lr, epoch, settings.pretrain_epochs), progress=0.0)
                loss = M.train_epoch(X, Y, L).loss

        # Q <- predictions(M, L and U), defined in (1)
        Q = predictions()
        if is_new:
            record_supervised(Q, loss, settings.pretrain_epochs)
        keep()
        predicted = hard_assignment(Q)
        while outcome.n_iter < settings.max_iter and outcome.n_calm < settings.n_iter_no_change:
            M.set_schedule(
                _linear(settings.lr, outcome.n_iter, settings.max_iter),
                progress=_linear((0.0, 1.0), outcome.n_iter, settings.max_iter),
            )
            # P <- target_distribution(Q), defined in (2). The mean over views of a sample errs less than Q.
            counted_as = predicted.clone()
            if settings.target_views > 0:
                for _ in range(settings.target_views):
                    Q += M.augmented_assignment(X)
                for rows in Q.split(MANY_ROWS):
                    rows /= rows.sum(1, keepdim=True)
                counted_as = hard_assignment(Q)
            P = settings.target(Q)
            del Q  # of many voxels, P is large enough

            # P' <- select balanced subset of P. The labeled samples of a class that is predicted nowhere
            # stand in for it, with their labels: without them the subset would be empty and the cycle idle.
            absent = _absent(counted_as, n_classes)
            stand_in = L[torch.isin(labels, absent)]
            P[stand_in] = Y[stand_in].to(P.dtype)
            counted_as[stand_in] = labels[torch.isin(labels, absent)].to(counted_as.dtype)

            # M <- train_model(P'), for 1 epoch
            n_batches = 0
            while n_batches < settings.min_batches:
                if settings.balance is None:
                    subset = None
                else:
                    subset = balanced_subset(
                        counted_as, n_classes, min_share=settings.balance, generator=generator
                    )
                escort = (Y, L) if settings.labeled_weight > 0 else None
                loss, n = M.train_epoch(X, P, subset, escort, settings.labeled_weight)
                n_batches += n

            # while train accuracy < threshold do M <- train_model(L)
            labeled_accuracy, labeled_epochs = train_to_threshold()

            del P
            Q = predictions()
            before, predicted = predicted, hard_assignment(Q)
            n_changed = int((predicted != before).sum())
            # until end condition is met
            outcome.n_calm = outcome.n_calm + 1 if n_changed <= settings.tol * len(X) else 0
            outcome.n_iter += 1
            record(
                loss=loss,
                labeled_accuracy=labeled_accuracy,
                share_changed=n_changed / len(X),
                subset_size=len(X) if subset is None else len(subset),
                labeled_epochs=labeled_epochs,
                n_absent_classes=len(absent),
            )
            keep()
        return Q

    try:
        outcome.Q = run()
        if outcome.n_iter > 0:
            calm = outcome.n_calm >= settings.n_iter_no_change
            outcome.termination_condition = "tol" if calm else "max_iter"
    except KeyboardInterrupt:
        outcome.termination_condition = "interrupted"
        outcome.Q = predictions()
        if not outcome.history:
            record_supervised(outcome.Q, loss=float("nan"), n_epochs=0)
    except DivergenceError:
        if last_state is None:
            raise
        outcome.termination_condition = "diverged"
        M.set_state(last_state)
        outcome.Q = predictions()
    return outcome


def _linear(ends: tuple[float, float], step: int, n_steps: int) -> float:
    """Return the value at a step on the line from the first step to the last."""
    return ends[0] + (ends[1] - ends[0]) * step / max(n_steps - 1, 1)


def _absent(predicted: Tensor, n_classes: int) -> Tensor:
    """Return the classes that are predicted for no sample."""
    return (torch.bincount(predicted.flatten(), minlength=n_classes) == 0).nonzero().squeeze(1)
