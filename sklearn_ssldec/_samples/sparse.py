"""Sparse samples, which become dense batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor


def with_short_indices(X: Any) -> Any:
    """Return samples whose indices are of 32 bits, where these suffice: trees take no others.

    Parameters
    ----------
    X : ndarray, or CSR matrix or array
        Samples; dense ones are returned as they are. The values are shared.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> X = csr_array(np.eye(2))
    >>> X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    >>> with_short_indices(X).indices.dtype
    dtype('int32')
    """
    if not issparse(X) or X.indices.dtype == X.indptr.dtype == np.int32:
        return X
    if max(X.nnz, *X.shape) > np.iinfo(np.int32).max:
        return X
    return type(X)((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape)


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
