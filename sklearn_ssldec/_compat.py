"""Private names of scikit-learn that the package uses: the one place to change when a release moves them.

Third-party estimators need these, and scikit-learn's own developer guide points to some of them, but a name
with an underscore may move in any release. Every other module imports them from here.
"""

from __future__ import annotations

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_method_params as take_params
from sklearn.utils.validation import _num_samples as num_samples

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "fit_context",
    "num_samples",
    "routing_enabled",
    "safe_indexing",
    "take_params",
    "validate_parameter_constraints",
]
