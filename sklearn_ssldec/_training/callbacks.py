"""A check for skorch's callbacks that have no meaning in Algorithm 1."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import clone
from skorch import callbacks as of_skorch

# Each with the reason, and what to use instead.
REFUSED: dict[type, str] = {
    of_skorch.EarlyStopping: (
        "it would stop pre-training, so that the unlabeled samples were never used. tol and "
        "cycle__n_iter_no_change end training when the predictions stop changing"
    ),
    of_skorch.LRScheduler: "pretrain_lr and lr set the learning rate; a tuple is its first and last value",
    of_skorch.EpochScoring: (
        "an epoch trains towards computed targets and has no labels to score with. history_ holds the "
        "accuracy on the labeled samples; cross_val_score with a SemiSupervisedSplitter scores held-out ones"
    ),
    of_skorch.BatchScoring: (
        "a batch is trained towards computed targets and has no labels to score with. history_ holds the "
        "loss and the accuracy on the labeled samples"
    ),
    of_skorch.ProgressBar: "verbose=1 shows a progress bar",
}


def copied(callbacks: Any) -> Any:
    """Return copies of callbacks, since training changes them.

    Parameters
    ----------
    callbacks : list of skorch callbacks, "disable" or None
        The user's parameter.

    Raises
    ------
    ValueError
        If one cannot be copied, as one that holds an open file or a lock.
    """
    if not isinstance(callbacks, list):
        return callbacks
    copies = []
    for callback in callbacks:
        try:
            copies.append(clone(callback, safe=False))
        except TypeError as error:
            raise ValueError(
                f"callbacks holds {callback!r}, which cannot be copied: {error}. Each network has "
                "copies of its own. Pass a callback that opens its file or connection in on_train_begin."
            ) from error
    return copies


def check_callbacks(callbacks: Any) -> None:
    """Refuse callbacks that do not work here.

    Parameters
    ----------
    callbacks : list of skorch callbacks, classes of these, or tuples of a name and one; "disable" or None
        The user's parameter.

    Raises
    ------
    ValueError
        If one does not work, with the reason.
    TypeError
        If one is no callback.
    """
    if not isinstance(callbacks, list):
        return
    for each in callbacks:
        callback = each[1] if isinstance(each, tuple) and len(each) == 2 else each
        kind = callback if inspect.isclass(callback) else type(callback)
        if not issubclass(kind, of_skorch.Callback):
            raise TypeError(
                f"callbacks must hold skorch's callbacks, or tuples of a name and one; got {each!r}."
            )
        for refused, reason in REFUSED.items():
            if issubclass(kind, refused):
                raise ValueError(f"callbacks holds {kind.__name__}, which has no meaning here: {reason}.")
