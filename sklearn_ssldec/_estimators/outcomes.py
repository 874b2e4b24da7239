"""Warnings about the outcomes of training, and the joint prediction of several networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec._warnings import warn
from sklearn_ssldec.algorithm import Outcome, Settings
from sklearn_ssldec.clustering import hard_assignment

EARLY_ENDS = {
    "interrupted": (
        "Training was interrupted after {n_iter} iterations, by Ctrl-C or a callback. The estimator is "
        "fitted: its networks are as they were then. A second Ctrl-C would have ended the call."
    ),
    "diverged": (
        "Training diverged after {n_iter} iterations: the loss or the predictions became infinite or NaN. "
        "The network is as it was before. Likely causes: a learning rate (lr) that is too high; features of "
        "very different scales (StandardScaler); a module or an augmentation of your own that divides by 0 "
        "or takes the logarithm of 0. warnings.simplefilter('error', ConvergenceWarning) makes this an error."
    ),
}


def warn_of_outcomes(outcomes: Sequence[Outcome], classes: np.ndarray, settings: Settings) -> None:
    """Warn of training that ended early, of labels that were not learned, and of classes that are missing.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One outcome a network.
    classes : ndarray of shape (n_classes,)
        Class labels.
    settings : Settings
        The settings of Algorithm 1.
    """
    for outcome in outcomes:
        if message := EARLY_ENDS.get(outcome.termination_condition):
            warn(message.format(n_iter=outcome.n_iter), ConvergenceWarning)
    last = [outcome.history[-1]["labeled_accuracy"] for outcome in outcomes if outcome.n_iter > 0]
    # Without training towards the threshold, it is no promise.
    if settings.max_labeled_epochs > 0 and last and min(last) < settings.labeled_threshold:
        name = "cycle__labeled_threshold" if settings.class_mean else "labeled_threshold"
        warn(
            f"Training on the labeled samples ended at an accuracy of {min(last):.3f}, below "
            f"{name}={settings.labeled_threshold}, although iterations train on them for up to "
            f"cycle__max_labeled_epochs={settings.max_labeled_epochs} epochs. If some labels may be wrong, "
            f"lower {name}; otherwise raise cycle__max_labeled_epochs or lr.",
            ConvergenceWarning,
        )
    for outcome in outcomes:
        predicted = predicted_classes(outcome)
        if len(predicted) == 0:
            continue
        absent = np.setdiff1d(np.arange(len(classes)), predicted)
        if len(absent):
            names = ", ".join(map(repr, classes[absent].tolist()))
            warn(
                f"No sample is predicted to be of class {names}, although there are labels of it. Label more "
                "samples of it, or raise cycle__max_labeled_epochs or cycle__labeled_weight.",
                ConvergenceWarning,
            )


def predicted_classes(outcome: Outcome) -> np.ndarray:
    """Return the class predicted for each sample in the end; nothing if none was predicted.

    Parameters
    ----------
    outcome : Outcome
        How training ended.
    """
    return (hard_assignment(outcome.Q) if len(outcome.Q) else outcome.predicted).numpy()


def majority(votes: Sequence[np.ndarray], n_classes: int) -> np.ndarray:
    """Return the class that most networks predict, the first one in a tie.

    Parameters
    ----------
    votes : sequence of ndarray of int, of shape (n_samples,)
        Classes that each network predicts.
    n_classes : int
        Number of classes.
    """
    if len(votes) == 1:
        return votes[0]
    # Class by class: the counts of all classes would be a matrix, which many voxels have no room for.
    winner = np.zeros(votes[0].shape, dtype=votes[0].dtype)
    most = np.zeros(votes[0].shape, dtype=np.int32)
    for j in range(n_classes):
        count = sum((vote == j for vote in votes), np.zeros_like(most))
        winner[count > most] = j
        most = np.maximum(most, count)
    return winner


def mean_probabilities(members: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Return the mean of the probabilities of each network; of one network, without a copy.

    If a sample is so far away that a network's numbers overflow, all classes are equally probable.

    Parameters
    ----------
    members : sequence of ndarray
        Probabilities, one array a network.
    axis : int
        The axis of classes.
    """
    Q = members[0] if len(members) == 1 else np.mean(members, axis=0)
    overflowed = ~np.isfinite(Q).all(axis=axis)
    np.moveaxis(Q, axis, -1)[overflowed] = 1 / Q.shape[axis]
    return Q
