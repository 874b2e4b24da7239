"""Warnings that name the line of the user's code, however deep in the package they are raised."""

from __future__ import annotations

import sys
import warnings

# Packages whose lines a warning does not name: this one, and what stands between its user and it.
SKIPPED = frozenset({"sklearn_ssldec", "sklearn", "joblib", "skorch", "torch", "contextlib"})


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the line of the user's code that led here.

    This is the innermost line outside this package, scikit-learn, joblib, skorch and torch: the call of `fit`
    on an estimator, on a pipeline or on a search. Where there is no such line, as in a worker process that
    runs nothing else, the outermost line is named.

    Parameters
    ----------
    message : str
        What is wrong, and what to do about it.
    category : type of Warning, default=UserWarning
        Class of the warning.
    """
    warnings.warn(message, category, stacklevel=_level_of_user())


def _level_of_user() -> int:
    """Return the `stacklevel` with which `warn` names the user's line."""
    frame, level = sys._getframe(1), 1  # that of `warn`, which is level 1
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in SKIPPED:
            break
        frame, level = frame.f_back, level + 1
    return level
