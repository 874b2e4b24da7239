"""Sparse samples, which become dense batch by batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SparseRows:
    """Samples in CSR format, indexed as a tensor is: what comes out is dense.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_features), float32
        Samples; shared, not copied. They stay on the host.
    """

    def __init__(self, X: Any) -> None:
        self.X = X
        self.shape = X.shape
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return self.X.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Return rows as a dense tensor of float32."""
        return torch.from_numpy(self.X[rows if isinstance(rows, slice) else rows.numpy()].toarray())
