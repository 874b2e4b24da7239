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
    accepted_classes,
    balanced_subset,
    hard_assignment,
    restrict_to_candidates,
    target_distribution,
)

# Out of reach is a threshold that so many iterations in a row have missed, in so many epochs each.
OUT_OF_REACH = 3
MANY_EPOCHS = 10


class Samples(Protocol):
    """The interface of the samples, which have a length: a tensor, or the voxels of volumes."""

    def __len__(self) -> int: ...


class Epoch(NamedTuple):
    """The result of an epoch of training.

    Attributes
    ----------
    loss : float
        Mean loss.
    n_batches : int
        Number of batches.
    """

    loss: float
    n_batches: int


class DivergenceError(ValueError):
    """The loss or the predictions are not finite."""


class Model(Protocol):
    """The interface of the model M."""

    def train_epoch(
        self,
        X: Any,
        P: Tensor | OneHot,
        index: Tensor | None,
        labeled_rows: tuple[OneHot, Tensor] | None = None,
        labeled_weight: float = 1.0,
    ) -> Epoch:
        """Train one epoch on samples and their targets.

        Parameters
        ----------
        X : Samples
            All samples.
        P : Tensor of shape (n_samples, n_classes), or OneHot
            Targets of all samples.
        index : Tensor of shape (n_rows,), int64, or None
            Rows to train on; None trains on all.
        labeled_rows : tuple of OneHot and Tensor of shape (n_labeled,), default=None
            Labels of all samples, and the labeled rows. A random batch of these joins each batch.
        labeled_weight : float, default=1.0
            Weight of `labeled_rows` in the loss.

        Returns
        -------
        Epoch
            Loss and number of batches.

        Raises
        ------
        DivergenceError
            If the loss is not finite.
        """

    def soft_assignment(self, X: Any, rows: Tensor | None = None) -> Tensor:
        """Predict Q (eq. 1).

        Parameters
        ----------
        X : Samples
            All samples.
        rows : Tensor of shape (n_rows,), int64, default=None
            Rows to predict; None predicts all.

        Returns
        -------
        Tensor of shape (n_rows, n_classes)
            Soft assignments.
        """

    def augmented_assignment(self, X: Any) -> Tensor:
        """Predict Q of a random augmentation of each sample.

        Parameters
        ----------
        X : Samples
            All samples.

        Returns
        -------
        Tensor of shape (n_samples, n_classes)
            Soft assignments. A row is 0 if the augmentation does not show its sample: a voxel that was moved
            out of the volume.
        """

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the learning rate and the progress of the next epochs.

        Parameters
        ----------
        lr : float
            Learning rate.
        progress : float in [0, 1]
            Progress of the cycle; 0 in pre-training.
        """

    def get_state(self) -> Any:
        """Return a copy of everything that training changes."""

    def set_state(self, state: Any) -> None:
        """Restore a state.

        Parameters
        ----------
        state : object
            The state, from `get_state`.
        """


@dataclass(frozen=True)
class Settings:
    """The settings of Algorithm 1, including those that the paper leaves open.

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
        An iteration is calm if at most a share `tol` of the predicted classes change. The cycle ends after
        `n_iter_no_change` calm iterations in a row.
    labeled_threshold : float
        Each iteration trains the labeled samples to this accuracy.
    class_mean : bool
        Whether that accuracy is the mean of the classes' accuracies, in which small classes count as much as
        large ones.
    max_labeled_epochs : int
        Largest number of epochs of that training in an iteration.
    labeled_weight : float
        Weight of the labeled samples that join each batch of an iteration with their labels; 0 for none.
    balance : float or None
        `min_share` of `balanced_subset`; None trains on all samples.
    min_batches : int
        Least number of batches an iteration: further subsets are drawn if one gives fewer.
    max_rows : int or None
        Largest number of samples in a subset; more are drawn from at random.
    label_smoothing : float
        Share of each label's target that is spread evenly over all classes.
    class_weight : tuple of float or None
        Weight of the labeled samples of each class in the loss, with a mean of 1 over the labeled samples.
    target_views : int
        Number of augmentations of each sample whose predictions are averaged with Q before targets are
        computed.
    target : callable
        Function that maps Q of all samples to P: `target_distribution`, or that of a baseline.
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
    max_rows: int | None = None
    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    target_views: int = 0
    target: Callable[[Tensor], Tensor] = target_distribution
    class_mean: bool = False


@dataclass
class Outcome:
    """The state of Algorithm 1, and in the end its result, besides the trained model.

    Attributes
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Soft assignments of all samples, at the end.
    supervised : Tensor of shape (n_samples,), int64
        Class that the model predicted after pre-training.
    predicted : Tensor of shape (n_samples,), integer
        Class that it predicts in the end, where there is no Q.
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
    predicted: Tensor = field(default_factory=lambda: torch.empty(0))
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
        All samples, L and U, as the model takes them.
    y : Tensor of shape (n_samples,), int64
        Class of each labeled sample, -1 for an unlabeled one, and for a partial label its place in
        `candidates`, behind the classes.
    n_classes : int
        Number of classes.
    settings : Settings
        The settings.
    candidates : Tensor of shape (n_partial, n_classes), bool, default=None
        Candidate classes of each partial label. The targets of samples with a partial label come from the
        model, among its candidates.
    generator : torch.Generator, default=None
        CPU generator of the balanced subsets.
    report : callable, default=None
        Called with the outcome so far, after pre-training and each iteration.
    outcome : Outcome, default=None
        An earlier state, that `report` was called with, to resume from. `M` and `generator` must be in their
        states of that time.

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
        candidates: Tensor | None = None,
        generator: torch.Generator | None = None,
        report: Callable[[Outcome], None] | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.M, self.X, self.n_classes, self.settings = M, X, n_classes, settings
        self.generator, self.report = generator, report
        self.L = (y >= 0).nonzero().squeeze(1)
        self.labels = y[self.L].long()
        self.candidates = candidates
        self.Y = OneHot(y, n_classes, settings.label_smoothing, settings.class_weight, candidates)
        self.accepted = accepted_classes(n_classes, candidates, y.device)
        self.outcome = Outcome() if outcome is None else outcome
        self.Q = self.predicted = torch.empty(0)
        self._last_state: Any = None
        self._last_time = time.perf_counter()

    def run(self) -> Outcome:
        """Train the model.

        Returns
        -------
        Outcome
            Q, the history, and why the cycle ended. A KeyboardInterrupt ends it with the model as it is at
            that moment. If it diverges, the model of the previous iteration is restored.

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
        """Pre-train the model, unless it resumes, and predict all samples."""
        is_new = not self.outcome.history
        loss = self.pretrain() if is_new else float("nan")
        self.Q = self.predict()
        self.predicted = hard_assignment(self.Q)
        if is_new:
            self.record_supervised(loss, self.settings.pretrain_epochs)
        self.keep()

    def iterate(self) -> None:
        """Do one iteration of the loop of Algorithm 1."""
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
        """M <- train_model(L).

        Returns
        -------
        float
            The loss of the last epoch, NaN without epochs.
        """
        settings, loss = self.settings, float("nan")
        for epoch in range(settings.pretrain_epochs):
            self.M.set_schedule(_linear(settings.pretrain_lr, epoch, settings.pretrain_epochs), progress=0.0)
            loss = self.train_labeled()
        return loss

    def train_labeled(self) -> float:
        """M <- train_model(L), for 1 epoch.

        Returns
        -------
        float
            The loss.
        """
        return self.M.train_epoch(self.X, self.Y, self.L).loss

    def predict(self, rows: Tensor | None = None) -> Tensor:
        """Q <- predictions(M, L and U), defined in (1).

        Parameters
        ----------
        rows : Tensor of shape (n_rows,), int64, default=None
            Rows to predict; None predicts all.

        Returns
        -------
        Tensor of shape (n_rows, n_classes)
            Soft assignments.

        Raises
        ------
        DivergenceError
            If they are not finite.
        """
        return check_finite(self.M.soft_assignment(self.X, rows))

    def targets(self) -> tuple[Tensor, Tensor]:
        """P <- target_distribution(Q), defined in (2).

        The mean over several views of a sample is more accurate than Q alone. Q is released, because of many
        voxels it is as large as P.

        Returns
        -------
        tuple of Tensor
            P of shape (n_samples, n_classes), and the class that each sample counts as.
        """
        Q, self.Q = self.Q, torch.empty(0)
        counted_as = self.predicted.clone()
        if self.settings.target_views > 0:
            for _ in range(self.settings.target_views):
                Q += self.M.augmented_assignment(self.X)
            for rows in Q.split(MANY_ROWS):
                rows /= rows.sum(1, keepdim=True)
            counted_as = hard_assignment(Q)
        if self.candidates is not None:
            restrict_to_candidates(Q, self.Y.y, self.candidates)
            counted_as = hard_assignment(Q)
        return self.settings.target(Q), counted_as

    def stand_in(self, P: Tensor, counted_as: Tensor) -> int:
        """Represent each class that is never predicted by its labeled samples, with their labels.

        Without them the balanced subset would be empty and nothing would be trained.

        Parameters
        ----------
        P : Tensor of shape (n_samples, n_classes)
            Targets. The rows of these labeled samples are changed in place.
        counted_as : Tensor of shape (n_samples,), int64
            Class that each sample counts as in the subset; changed in place too.

        Returns
        -------
        int
            Number of classes that are never predicted.
        """
        absent = _absent(counted_as, self.n_classes)
        chosen = torch.isin(self.labels, absent)
        rows = self.L[chosen]
        P[rows] = self.Y[rows][:, : self.n_classes].to(P.dtype)
        counted_as[rows] = self.labels[chosen].to(counted_as.dtype)
        return len(absent)

    def train_towards(self, P: Tensor, counted_as: Tensor) -> tuple[float, int]:
        """P' <- select balanced subset of P; M <- train_model(P'), for 1 epoch.

        Parameters
        ----------
        P : Tensor of shape (n_samples, n_classes)
            Targets.
        counted_as : Tensor of shape (n_samples,), int64
            Class that each sample counts as in the subset.

        Returns
        -------
        tuple of float and int
            Loss of the last epoch, and size of its subset.
        """
        settings = self.settings
        labeled_rows = (self.Y, self.L) if settings.labeled_weight > 0 else None
        n_batches, loss, subset = 0, float("nan"), None
        while n_batches < settings.min_batches:
            subset = self.subset(counted_as)
            loss, n = self.M.train_epoch(self.X, P, subset, labeled_rows, settings.labeled_weight)
            n_batches += n
        return loss, len(self.X) if subset is None else len(subset)

    def subset(self, counted_as: Tensor) -> Tensor | None:
        """P' <- select balanced subset of P, of at most `max_rows` samples.

        Parameters
        ----------
        counted_as : Tensor of shape (n_samples,), int64
            Class that each sample counts as.

        Returns
        -------
        Tensor of shape (n_subset,), int64, or None
            The samples; None for all.
        """
        settings, subset = self.settings, None
        if settings.balance is not None:
            subset = balanced_subset(
                counted_as, self.n_classes, min_share=settings.balance, generator=self.generator
            )
        n_rows = len(self.X) if subset is None else len(subset)
        if settings.max_rows is None or n_rows <= settings.max_rows:
            return subset
        chosen = torch.randperm(n_rows, generator=self.generator)[: settings.max_rows].to(counted_as.device)
        return chosen if subset is None else subset[chosen]

    def train_to_threshold(self) -> tuple[float, int]:
        """While train accuracy < threshold do M <- train_model(L).

        Returns
        -------
        tuple of float and int
            The accuracy reached, and the number of epochs.
        """
        epochs, threshold = 0, self.reachable_threshold()
        while (reached := self.labeled_accuracy()) < threshold:
            if epochs == self.settings.max_labeled_epochs:
                break
            self.train_labeled()
            epochs += 1
        return reached, epochs

    def has_ended(self) -> bool:
        """Until end condition is met: little changes, or `max_iter` iterations are done.

        Returns
        -------
        bool
            Whether little changes, or `max_iter` iterations are done.
        """
        return self.outcome.n_iter >= self.settings.max_iter or self.is_calm()

    # The steps within ---------------------------------------------------------------------------------------

    def set_schedule(self) -> None:
        """Set the learning rate and the progress of the next iteration."""
        n_iter, max_iter = self.outcome.n_iter, self.settings.max_iter
        self.M.set_schedule(
            _linear(self.settings.lr, n_iter, max_iter), progress=_linear((0.0, 1.0), n_iter, max_iter)
        )

    def update(self) -> int:
        """Predict all samples again, and count what has changed.

        Returns
        -------
        int
            Number of samples whose predicted class changed.
        """
        self.Q = self.predict()
        before, self.predicted = self.predicted, hard_assignment(self.Q)
        n_changed = int((self.predicted != before).sum())
        is_calm = n_changed <= self.settings.tol * len(self.X)
        self.outcome.n_calm = self.outcome.n_calm + 1 if is_calm else 0
        self.outcome.n_iter += 1
        return n_changed

    def is_calm(self) -> bool:
        """Return whether enough calm iterations have passed.

        Returns
        -------
        bool
            Whether as many iterations as `n_iter_no_change` have changed little.
        """
        return self.outcome.n_calm >= self.settings.n_iter_no_change

    def reachable_threshold(self) -> float:
        """Return `labeled_threshold`, or what is reached where iteration after iteration ends below it.

        Two equal samples with different labels make an accuracy of 1 impossible, and each iteration would
        train to the cap.

        Returns
        -------
        float
            The accuracy to train to.
        """
        threshold, cap = self.settings.labeled_threshold, self.settings.max_labeled_epochs
        below: list[float] = []
        for record in self.outcome.history[1:]:
            at_cap = cap >= MANY_EPOCHS and record["labeled_epochs"] == cap
            below = [*below, record["labeled_accuracy"]] if at_cap else []
            if len(below) == OUT_OF_REACH:
                threshold, below = min(below), []
        return threshold

    def labeled_accuracy(self) -> float:
        """Return the accuracy on the labels.

        Returns
        -------
        float
            Share of correct predictions, or the mean of the classes' shares.
        """
        return self.accuracy(self.predict(self.L))

    def accuracy(self, Q: Tensor) -> float:
        """Return the accuracy on the labeled samples.

        Parameters
        ----------
        Q : Tensor of shape (n_labeled, n_classes)
            Their soft assignments.

        Returns
        -------
        float
            Share of correct predictions, or the mean of the classes' shares. To predict a candidate of a
            partial label is correct.
        """
        correct = self.accepted[self.labels, Q.argmax(1)]
        if not self.settings.class_mean:
            return correct.float().mean().item()
        # Counted in integers: float32 counts no further than 16.8 million.
        counts = torch.bincount(self.labels)
        right = torch.bincount(self.labels[correct], minlength=len(counts))
        return (right / counts)[counts > 0].mean().item()

    # Records ------------------------------------------------------------------------------------------------

    def record_supervised(self, loss: float, n_epochs: int) -> None:
        """Record the state after pre-training, as iteration 0.

        Parameters
        ----------
        loss : float
            Loss of the last epoch.
        n_epochs : int
            Number of epochs.
        """
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
        """Add a record to the history.

        Parameters
        ----------
        **values : float or int
            The values of the record, besides the iteration and its seconds.
        """
        before, self._last_time = self._last_time, time.perf_counter()
        seconds = self._last_time - before
        self.outcome.history.append({"iteration": self.outcome.n_iter, **values, "seconds": seconds})

    def keep(self) -> None:
        """Keep the model's state, to restore if the next iteration diverges, and report."""
        self._last_state = self.M.get_state()
        if self.report is not None:
            self.report(self.outcome)

    def end_early(self, termination_condition: str) -> None:
        """End with the model as it is now.

        Parameters
        ----------
        termination_condition : str
            "interrupted" or "diverged".
        """
        self.outcome.termination_condition = termination_condition
        self.Q = self.outcome.Q = self.predict()
        if not self.outcome.history:
            self.record_supervised(loss=float("nan"), n_epochs=0)


def _linear(ends: tuple[float, float], step: int, n_steps: int) -> float:
    """Interpolate linearly between the values at the first and the last step."""
    return ends[0] + (ends[1] - ends[0]) * step / max(n_steps - 1, 1)


def _absent(predicted: Tensor, n_classes: int) -> Tensor:
    """Return the classes that are predicted for no sample."""
    return (torch.bincount(predicted.flatten(), minlength=n_classes) == 0).nonzero().squeeze(1)


def check_finite(Q: Tensor) -> Tensor:
    """Return soft assignments, if they are finite.

    Parameters
    ----------
    Q : Tensor of shape (n, n_classes, ...)
        Soft assignments.

    Returns
    -------
    Tensor
        Q itself.

    Raises
    ------
    DivergenceError
        If they are not.
    """
    if not all(torch.isfinite(part).all() for part in Q.split(MANY_ROWS)):
        raise DivergenceError(
            "The network's predictions are not finite. Scale X (StandardScaler), or lower pretrain_lr and lr."
        )
    return Q
