"""What rows of samples differ in from voxels: how they are chosen for, placed and predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_ssldec._estimators.base import BaseSSLDEC
from sklearn_ssldec._estimators.defaults import Auto, choose_auto
from sklearn_ssldec._samples.placing import place, resolve_device
from sklearn_ssldec._samples.rows import as_samples, feature_variances, warn_of_scales
from sklearn_ssldec._training.net import SSLDECNet


class BaseRowwise(BaseSSLDEC):
    """A `BaseSSLDEC` whose samples are the rows of an array: features, or images."""

    def _choose_auto(self, X: np.ndarray) -> Auto:
        variances = None
        if X.ndim == 2:
            variances = feature_variances(X)
            warn_of_scales(variances, stacklevel=5)  # the line that calls fit
        return choose_auto(X, resolve_device(self.device), variances)

    def _place(self, X: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        samples = place(X, device)
        return samples, samples[:2].to(device, torch.float32)

    def _apply(self, method: Callable[[SSLDECNet, Tensor], Tensor], X: Any) -> list[np.ndarray]:
        """Return what a method of each net makes of the samples."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, order="C", allow_nd=True, reset=False)
        X = as_samples(X, self.input_shape)
        if X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"X holds samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted with samples "
                f"of shape {self.input_shape_}."
            )
        samples = place(X, torch.device("cpu"))
        results = []
        for net in self.nets_:
            with net.threads():
                results.append(method(net, samples).cpu().numpy())
        return results
