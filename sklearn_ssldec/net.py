"""The skorch net that trains on soft targets, and its tensor-slicing iterator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.utils.data import Dataset

from sklearn_ssldec.augment import takes_progress
from sklearn_ssldec.clustering import ClusteringLayer, kl_divergence
from sklearn_ssldec.device import suitable_threads

# Keras adds 1e-4 ||w||^2 to the loss (the paper's L2 kernel regularisation): its gradient is 2e-4 w, which is
# what torch's Adam calls weight_decay.
KERNEL_WEIGHT_DECAY = 2e-4


class SoftTargetRows(Dataset):
    """Rows of X with their soft targets, the dataset of one epoch; it copies nothing.

    Parameters
    ----------
    X : Tensor of shape (n_samples, ...)
        Samples.
    P : Tensor of shape (n_samples, n_classes)
        Targets.
    index : Tensor of shape (n_rows,), int64
        The rows that take part.
    escort : SoftTargetRows, default=None
        Rows of which a random batch joins each batch.
    escort_weight : float, default=1.0
        Weight in the loss of those that join, where those that they join have weight 1.
    """

    def __init__(
        self,
        X: Tensor,
        P: Tensor,
        index: Tensor,
        escort: SoftTargetRows | None = None,
        escort_weight: float = 1.0,
    ) -> None:
        self.X, self.P, self.index = X, P, index
        self.escort, self.escort_weight = escort, escort_weight

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> tuple[Tensor, Tensor]:
        """Return samples and targets of `rows`, a tensor of positions."""
        chosen = self.index[rows]
        return self.X[chosen.to(self.X.device)], self.P[chosen]


class TensorSlices:
    """Batches cut from whole tensors, in a new random order each time: what a DataLoader does, row by row.

    A last batch of one row joins the one before it, since batch normalisation cannot train on one row.

    Parameters
    ----------
    dataset : SoftTargetRows
        What to cut.
    batch_size : int
        Rows a batch, and of its escort at most.
    generator : torch.Generator, default=None
        CPU generator of the order.
    """

    def __init__(
        self, dataset: SoftTargetRows, batch_size: int, generator: torch.Generator | None = None
    ) -> None:
        self.dataset, self.batch_size, self.generator = dataset, batch_size, generator

    def __len__(self) -> int:
        n_rows = len(self.dataset)
        n_batches = -(-n_rows // self.batch_size)
        return n_batches - (n_batches > 1 and n_rows % self.batch_size == 1)

    def __iter__(self) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor]]]:
        """Yield samples, and their targets with the samples' weights."""
        order, n_batches, escort = self._shuffled(self.dataset), len(self), self.dataset.escort
        for i in range(n_batches):
            stop = (i + 1) * self.batch_size if i + 1 < n_batches else len(order)
            X, P = self.dataset[order[i * self.batch_size : stop]]
            weight = P.new_ones(len(P))
            if escort is not None:
                X_escort, P_escort = escort[self._shuffled(escort)[: self.batch_size]]
                escort_weight = self.dataset.escort_weight * len(P) / len(P_escort)
                weight = torch.cat([weight, P.new_full((len(P_escort),), escort_weight)])
                X, P = torch.cat([X, X_escort]), torch.cat([P, P_escort])
            yield X, (P, weight)

    def _shuffled(self, rows: SoftTargetRows) -> Tensor:
        return torch.randperm(len(rows), generator=self.generator).to(rows.index.device)


class KLDivergenceLoss(nn.Module):
    """Equation 3 as a criterion, with the weights of the samples."""

    def forward(self, log_q: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """Return the Kullback-Leibler divergence."""
        p, weight = target
        return kl_divergence(p, log_q, weight)


class ClusteringNetwork(nn.Module):
    """An embedding network with the clustering layer on top.

    Parameters
    ----------
    embedding : Module
        Maps a batch to embeddings of shape (n_samples, n_features).
    clustering : ClusteringLayer
        Maps embeddings to log q.
    """

    def __init__(self, embedding: nn.Module, clustering: ClusteringLayer) -> None:
        super().__init__()
        self.embedding = embedding
        self.clustering = clustering

    def forward(self, x: Tensor) -> Tensor:
        """Return log q of the batch `x`."""
        return self.clustering(self.embedding(x))


class SSLDECNet(NeuralNet):
    """A skorch net for soft targets, with the verbs that Algorithm 1 uses.

    It differs from skorch's own in this: batches are augmented; L2 regularisation is for kernels only; the
    history keeps one record an epoch and none a batch; and `train_epoch` does not swallow Ctrl-C.

    Parameters
    ----------
    module : ClusteringNetwork
        The network. Trained in place.
    augment : callable, default=None
        What each training batch goes through, tensor to tensor.
    n_operations : float, default=inf
        Floating-point operations of a forward pass on one sample, by which the number of threads is chosen.
    **kwargs
        skorch's.
    """

    def __init__(
        self,
        module: nn.Module,
        *args: Any,
        augment: Callable[..., Tensor] | None = None,
        n_operations: float = math.inf,
        criterion: type[nn.Module] = KLDivergenceLoss,
        train_split: Any = None,
        iterator_train: type = TensorSlices,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module, criterion, *args, train_split=train_split, iterator_train=iterator_train, **kwargs
        )
        self.augment = augment
        self.n_operations = n_operations
        self.progress_ = 0.0
        self.informs_ = augment is not None and takes_progress(augment)

    # What Algorithm 1 asks of a model -------------------------------------------------------------------

    def train_epoch(
        self,
        X: Tensor,
        P: Tensor,
        index: Tensor,
        escort: tuple[Tensor, Tensor] | None = None,
        escort_weight: float = 1.0,
    ) -> float:
        """Train one epoch on the rows `index` of samples `X` and targets `P`; return the mean loss.

        A random batch of `escort`, targets and rows, joins each batch.
        """
        joining = None if escort is None else SoftTargetRows(X, *escort)
        self.fit_loop(SoftTargetRows(X, P, index, joining, escort_weight), epochs=1)
        loss = self.history[-1, "train_loss"]
        self.history[-1]["batches"].clear()  # skorch keeps a dict a batch: 93 kB in 2000 batches
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss became {loss}. Scale X (StandardScaler), or lower pretrain_lr "
                "and lr."
            )
        return loss

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the learning rate, to which parameter groups keep their ratios, and tell the augmentation."""
        for group in self.optimizer_.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * (lr / self.lr)
        self.progress_ = progress

    def soft_assignment(self, X: Tensor) -> Tensor:
        """Return Q of `X` (eq. 1), in eval mode and without augmentation."""
        return self._forward_batches(X, self.module_).exp()

    def embed(self, X: Tensor) -> Tensor:
        """Return the embeddings of `X`."""
        return self._forward_batches(X, self.module_.embedding)

    def threads(self) -> AbstractContextManager:
        """Return a context with as many threads as pay for a network of this size."""
        return suitable_threads(self.n_operations * self.batch_size, torch.device(self.device))

    def _forward_batches(self, X: Tensor, function: Callable[[Tensor], Tensor], n_rows: int = 512) -> Tensor:
        self._set_training(False)
        outputs = []
        with torch.no_grad():
            for start in range(0, len(X), n_rows):
                batch = X[start : start + n_rows].to(self.device, torch.float32)
                # Matrix products take other code paths, with other rounding, for odd numbers of rows: padded
                # to a multiple of 16, a sample's result does not depend on who stands beside it.
                padding = -len(batch) % 16
                padded = torch.cat([batch, batch[-1:].expand(padding, *batch.shape[1:])])
                outputs.append(function(padded)[: len(batch)])
        return torch.cat(outputs)

    # skorch's hooks ---------------------------------------------------------------------------------------

    def get_default_callbacks(self) -> list:
        """Return none: the estimator reports progress, and `run_single_epoch` records the loss."""
        return []

    def train_step_single(self, batch: tuple[Tensor, tuple[Tensor, Tensor]], **fit_params: Any) -> dict:
        """Augment the batch, and compute the loss and its gradients."""
        Xi, target = batch
        Xi = Xi.to(self.device, torch.float32)
        if self.augment is not None:
            Xi = self.augment(Xi, progress=self.progress_) if self.informs_ else self.augment(Xi)
        if not self.module_.training:  # walking over all layers takes a tenth of a small network's step
            self._set_training(True)
        log_q = self.infer(Xi, **fit_params)
        loss = self.get_loss(log_q, target, X=Xi, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": log_q}

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """Run an epoch and record its mean loss, with no synchronisation with the device in between."""
        if iterator is None:
            return
        total = torch.zeros((), device=self.device)
        n_rows = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            total += step["loss"].detach() * len(batch[0])
            n_rows += len(batch[0])
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(prefix + "_loss", total.item() / n_rows)

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[list, dict]:
        """Give the weight decay to kernels only: not to biases, normalisation, activations or centroids."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        known = inspect.signature(self.optimizer).parameters
        if (
            "fused" in known
            and not kwargs.get("foreach")
            and torch.device(self.device).type in ("cpu", "cuda")
        ):
            kwargs.setdefault("fused", True)  # Adam's step on a small network takes a third of the time
        if "weight_decay" not in known:
            return args, kwargs
        weight_decay = kwargs.pop("weight_decay", KERNEL_WEIGHT_DECAY)
        centers = self.module_.clustering.centers
        groups = []
        for group in args[0]:
            kernels = [p for p in group["params"] if p.ndim > 1 and p is not centers]
            others = [p for p in group["params"] if p.ndim <= 1 or p is centers]
            groups.append({"weight_decay": weight_decay, **group, "params": kernels})
            groups.append({**group, "params": others, "weight_decay": 0.0})
        return [[group for group in groups if group["params"]]], kwargs
