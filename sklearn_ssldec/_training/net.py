"""The skorch net that trains on soft targets."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn

from sklearn_ssldec._samples.batches import SoftTargetRows, Targets, TensorSlices
from sklearn_ssldec._samples.placing import move
from sklearn_ssldec._samples.views import N_VIEWS, corner_views
from sklearn_ssldec._training.distributed import Alone, Processes
from sklearn_ssldec._training.progress import TRAINING_COST, Silent
from sklearn_ssldec._training.recorded import RecordedStep
from sklearn_ssldec._training.threads import suitable_threads
from sklearn_ssldec.algorithm import DivergenceError, Epoch
from sklearn_ssldec.augment import WeakStrong, apply, takes_progress
from sklearn_ssldec.clustering import OneHot, kl_divergence

# Keras adds 1e-4 ||w||^2 to the loss (the paper's L2 kernel regularisation). The gradient, 2e-4 w, is a
# weight_decay of 2e-4 in torch's Adam.
KERNEL_WEIGHT_DECAY = 2e-4

# An epoch of fewer batches is not worth recording one.
MIN_RECORDED = 20

# So many samples are predicted at a time.
BLOCK_ROWS = 512
# Of images on a CPU so many, or as many as have so many pixels together: activations of more leave its cache,
# which takes up to twice the time.
BLOCK_IMAGES, BLOCK_PIXELS = 128, 2**17


class KLDivergenceLoss(nn.Module):
    """Equation 3 as a criterion, with weights of the samples."""

    def forward(self, log_q: Tensor, targets: Targets) -> Tensor:
        """Return the Kullback-Leibler divergence.

        Parameters
        ----------
        log_q : Tensor of shape (n, n_classes, ...)
            Log q.
        targets : Targets
            Targets and weights.

        Returns
        -------
        Tensor of shape ()
            The divergence.
        """
        return kl_divergence(targets.p, log_q, targets.weight, axis=1)


class SSLDECNet(NeuralNet):
    """A skorch net for soft targets, with the methods that Algorithm 1 calls.

    It differs from skorch's nets in four points: batches are augmented; only kernels have L2 regularisation;
    the history has one record for each epoch and none for batches; and `train_epoch` does not catch Ctrl-C.

    Parameters
    ----------
    module : EmbeddingNetwork
        The network. It is trained in place.
    *args : tuple
        Further positional parameters of skorch's NeuralNet.
    augment : callable, default=None
        Augmentation of each training batch, from tensor to tensor. A `WeakStrong` has two: the weak one is
        for labels, and for views from which targets are predicted.
    ema_decay : float, default=0.0
        Decay of the exponential moving average of the weights, which predicts. With 0 the weights themselves
        predict.
    kernel_decay : float, default=2e-4
        Weight decay of kernels, where ``optimizer__weight_decay`` does not set it.
    precision : {"float32", "bf16"}, default="float32"
        Number format of convolutions and matrix products. Weights stay float32.
    cuda_graphs : bool, default=False
        Whether a CUDA GPU records the training step once an epoch, and plays it back for the other batches.
    predict_views : bool, default=False
        Whether images are predicted by four views besides.
    n_operations : float, default=inf
        Floating-point operations of a forward pass on one sample, from which the number of threads is chosen.
    criterion : Module class
        The loss.
    train_split : callable, default=None
        Split of validation data, as in skorch; None is no validation.
    iterator_train : class
        Iterator of the batches.
    generator : torch.Generator, default=None
        CPU generator of the batches.
    **kwargs : dict
        Further parameters of skorch's NeuralNet.
    """

    # Of nets that were pickled before there were these, too.
    cuda_graphs = predict_views = False
    recorded_: RecordedStep | None = None

    def __init__(
        self,
        module: nn.Module,
        *args: Any,
        augment: Callable[..., Tensor] | None = None,
        ema_decay: float = 0.0,
        kernel_decay: float = KERNEL_WEIGHT_DECAY,
        precision: str = "float32",
        cuda_graphs: bool = False,
        predict_views: bool = False,
        n_operations: float = math.inf,
        criterion: type[nn.Module] = KLDivergenceLoss,
        train_split: Any = None,
        iterator_train: type = TensorSlices,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module, criterion, *args, train_split=train_split, iterator_train=iterator_train, **kwargs
        )
        self.generator = generator
        # skorch takes each torch module for a part that is trained; an augmentation may be one and is none.
        object.__setattr__(self, "augment", augment)
        self.ema_decay = ema_decay
        self.kernel_decay = kernel_decay
        self.precision = precision
        self.cuda_graphs = cuda_graphs
        self.predict_views = predict_views
        self.n_operations = n_operations
        self.progress_ = 0.0
        self.interrupted_ = self.learns_labels_ = False
        self.strategy_: Alone | Processes = Alone()
        self.progress_bar_ = Silent()
        self.augment_takes_progress_ = augment is not None and takes_progress(augment)

    # The interface of a model (`sklearn_ssldec.algorithm.Model`) --------------------------------------------

    def train_epoch(
        self,
        X: Any,
        P: Tensor | OneHot,
        index: Tensor | None,
        labeled_rows: tuple[OneHot, Tensor] | None = None,
        labeled_weight: float = 1.0,
    ) -> Epoch:
        """Train one epoch on the rows `index` (None: on all) of samples `X` and targets `P`.

        A random batch of `labeled_rows`, targets and rows, joins each batch.
        """
        rows = self.make_rows(X, P, index)
        self.learns_labels_ = isinstance(P, OneHot) and labeled_rows is None
        if labeled_rows is not None:
            rows.labeled_rows, rows.labeled_weight = self.make_rows(X, *labeled_rows), labeled_weight
        self.fit_loop(rows, epochs=1)
        loss = self.history[-1, "train_loss"]
        # skorch keeps a dict for each batch, and has no setting against it. Some callbacks read the last one
        # (TrainEndCheckpoint), so that one stays.
        del self.history[-1]["batches"][:-1]
        if not math.isfinite(loss):
            raise DivergenceError(
                f"Training diverged: the loss became {loss}. Scale X (StandardScaler), or lower pretrain_lr "
                "and lr."
            )
        return Epoch(loss, self.n_batches_)

    def make_rows(self, X: Any, P: Tensor | OneHot, index: Tensor | None) -> Any:
        """Return the dataset of an epoch.

        Parameters
        ----------
        X : Samples
            All samples.
        P : Tensor of shape (n_samples, n_classes), or OneHot
            Targets of all samples.
        index : Tensor of shape (n_rows,), int64, or None
            Rows to train on; None is all.

        Returns
        -------
        Dataset
            Samples and targets.
        """
        return SoftTargetRows(X, P, index, self.generator)

    def epoch_size(self, n_rows: int) -> float:
        """Return the work of predicting the samples of an epoch, for the progress bar.

        Parameters
        ----------
        n_rows : int
            Number of samples.

        Returns
        -------
        float
            The work.
        """
        return n_rows

    def batch_cost(self, X: Tensor) -> float:
        """Return the work of predicting a batch, for the progress bar.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        float
            The work.
        """
        return len(X)

    def set_schedule(self, lr: float, progress: float) -> None:
        """Set the progress and the learning rate, with the same ratios between parameter groups."""
        for group in self.optimizer_.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * (lr / self.lr)
        self.progress_ = progress

    def get_state(self) -> dict[str, Any]:
        """Return a copy of the weights, their average, and the optimizer's state."""
        state = {"module": dict(self.module_.state_dict()), "optimizer": self.optimizer_.state_dict()}
        if self.ema_decay > 0:
            state["averaged"], state["n_averaged"] = dict(self.averaged_.state_dict()), self.n_averaged_
        return copy.deepcopy(state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.module_.load_state_dict(state["module"])
        self.optimizer_.load_state_dict(state["optimizer"])
        for weight, values in self.optimizer_.state.items():
            for name, value in values.items():
                # torch's fused optimizers go through memory, so the layout must be the same.
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    values[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
        if self.ema_decay > 0:
            self.averaged_.load_state_dict(state["averaged"])
            self.n_averaged_ = state["n_averaged"]

    def is_first(self) -> bool:
        """Return whether this process is the first or only one."""
        return self.strategy_.rank == 0

    def interrupt(self) -> None:
        """Ask for a stop at the end of the current batch."""
        self.interrupted_ = True

    def stop_if_interrupted(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for."""
        if self.interrupted_:
            self.interrupted_ = False
            raise KeyboardInterrupt

    def soft_assignment(self, X: Any, rows: Tensor | None = None) -> Tensor:
        """Return Q of `rows` of `X`, or of all (eq. 1), in eval mode and without augmentation."""
        network = self.predicting()
        return self._forward_batches(X, lambda batch: network(batch).exp(), rows)

    def predicted_assignment(self, X: Any, predict_views: bool | None = None) -> Tensor:
        """Return Q as it is given to the user.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            Samples.
        predict_views : bool, default=None
            Whether images are predicted by four views besides, which have half of the weight; None is what
            the net was made with.

        Returns
        -------
        Tensor of shape (n, n_classes)
            Soft assignments.
        """
        if not (self.predict_views if predict_views is None else predict_views):
            return self.soft_assignment(X)
        network = self.predicting()

        def with_views(batch: Tensor) -> Tensor:
            of_views = torch.stack([network(view).exp() for view in corner_views(batch)]).mean(0)
            self.progress_bar_.work(N_VIEWS * len(batch))
            return (network(batch).exp() + of_views) / 2  # last: it may change the batch in place

        return self._forward_batches(X, with_views)

    def augmented_assignment(self, X: Tensor) -> Tensor:
        """Return Q of a random augmentation of each sample of `X`, in eval mode."""
        network = self.predicting()
        augmented = self.weakly_augmented  # of a block: other blocks, other random numbers
        return self._forward_batches(X, lambda batch: network(augmented(batch)).exp(), n_rows=BLOCK_ROWS)

    def embed(self, X: Any) -> Tensor:
        """Return embeddings.

        Parameters
        ----------
        X : Tensor or SparseRows of shape (n, ...)
            Samples.

        Returns
        -------
        Tensor of shape (n, n_features), float32
            Embeddings.
        """
        network = self.predicting().embedding
        return self._forward_batches(X, lambda batch: network(batch).float())

    def keep_average(self) -> None:
        """Make the averaged weights the network's own, after training."""
        self.recorded_ = None
        if self.ema_decay > 0:
            self.module_.load_state_dict(self.averaged_.state_dict())
            del self.averaged_, self.followed_
            self.ema_decay = 0.0

    def predicting(self) -> Any:
        """Return the network that predicts: the average, if there is one."""
        return self.averaged_ if self.ema_decay > 0 else self.module_

    def autocast(self) -> AbstractContextManager:
        """Return a context in which the network computes in its precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def threads(self) -> AbstractContextManager:
        """Return a context with a suitable number of threads for a network of this size."""
        return suitable_threads(self.n_operations * self.batch_size, torch.device(self.device))

    def _forward_batches(
        self,
        X: Any,
        function: Callable[[Tensor], Tensor],
        rows: Tensor | None = None,
        n_rows: int | None = None,
    ) -> Tensor:
        """Return the function's results for `rows` of `X`, or for all, `n_rows` at a time."""
        self.predicting().eval()
        device = torch.device(self.device)
        if n_rows is None:
            n_rows = _block_rows(X.shape, device)
        outputs = torch.empty(0)
        if rows is not None:
            rows = rows.to(X.device)
        n_all = len(X if rows is None else rows)
        blocks, shared = self.strategy_.own_blocks(range(-(-n_all // n_rows)))
        with torch.no_grad(), self.autocast():
            for block in blocks:
                part = slice(block * n_rows, (block + 1) * n_rows)
                batch = move(X[part if rows is None else rows[part]], device).to(torch.float32)
                # Matrix products have other code paths, with other rounding, for odd numbers of rows. Padded
                # to a multiple of 16, a sample's result does not depend on the other samples.
                n = len(batch)
                if padding := -n % 16:
                    batch = torch.cat([batch, batch[-1:].expand(padding, *batch.shape[1:])])
                elif rows is None:
                    batch = batch.clone()  # a network or an augmentation may change it in place, but not X
                output = function(batch)[:n]
                if len(outputs) == 0:
                    outputs = output.new_zeros(n_all, *output.shape[1:])
                outputs[part] = output
                self.progress_bar_.work(n)
                self.stop_if_interrupted()
        # Also if each process predicted everything: all must continue with the same numbers.
        return self.strategy_.joined(outputs, shared)

    # Pickling ---------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as skorch does, or where that fails, as it is.

        skorch pickles the module separately, with pickle. In joblib's worker processes this fails for a
        module of a class from ``__main__`` or a notebook. cloudpickle, with which they send the net, can.
        """
        try:
            return super().__getstate__()
        except (pickle.PicklingError, AttributeError, TypeError):
            return vars(self).copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state of either kind."""
        if "__cuda_dependent_attributes__" in state:
            super().__setstate__(state)
        else:
            self.__dict__.update(state)

    # skorch's hooks ---------------------------------------------------------------------------------------

    def initialize(self) -> SSLDECNet:
        """Initialize, and list once the values that the average of the weights follows in each step."""
        super().initialize()
        if self.ema_decay > 0:
            self.followed_ = _values(self.averaged_), _values(self.module_)
        return self

    def initialize_module(self) -> SSLDECNet:
        """Initialize the module, and the average of its weights and its normalisation's statistics."""
        super().initialize_module()
        if self.ema_decay > 0:
            self.averaged_ = copy.deepcopy(self.module_).requires_grad_(False)
            self.n_averaged_ = 0
        return self

    def get_default_callbacks(self) -> list:
        """Return no callbacks: the estimator reports progress, and `run_single_epoch` records the loss."""
        return []

    def initialize_callbacks(self) -> SSLDECNet:
        """Initialize the callbacks, and refuse parameters of others, which skorch would ignore."""
        known = [name for name, _ in self._uniquely_named_callbacks()]
        for parameter in vars(self):
            part, _, rest = parameter.partition("__")
            if part == "callbacks" and rest and rest.split("__")[0] not in known:
                raise ValueError(
                    f"{parameter} belongs to no callback: the names of those in callbacks are {known}. One "
                    "without a name has that of its class."
                )
        return super().initialize_callbacks()

    def train_step(self, batch: tuple[Tensor, Targets], **fit_params: Any) -> dict:
        """Take a step, and update the average of the weights."""
        step = super().train_step(batch, **fit_params)
        if self.ema_decay > 0:
            decay = self.average_decay()
            (averaged, averaged_counts), (current, counts) = self.followed_
            torch._foreach_lerp_(averaged, current, 1 - decay)
            if counts:
                torch._foreach_copy_(averaged_counts, counts)
            self.n_averaged_ += 1
        return step

    def average_decay(self) -> float:
        """Return the decay of the averaged weights in the next step, smaller in the first steps."""
        # torch's AveragedModel would wait for the device in each step, to get the number of steps from it.
        n = self.n_averaged_
        return min(self.ema_decay, (1 + n) / (10 + n)) if n > 0 else 0.0

    def is_steady(self) -> bool:
        """Return whether the numbers of a step stay the same until the next epoch."""
        return self.ema_decay == 0 or self.average_decay() == self.ema_decay

    def remembered(self) -> list[Tensor]:
        """Return the tensors that a step replaces rather than changes, by which the next one goes on."""
        return []

    def remember(self, tensors: list[Tensor]) -> None:
        """Set what `remembered` returns.

        Parameters
        ----------
        tensors : list of Tensor
            The tensors.
        """

    def count_step(self) -> None:
        """Count a step whose arithmetic was done elsewhere."""
        if self.ema_decay > 0:
            self.n_averaged_ += 1

    def is_recorded(self, n_batches: int) -> bool:
        """Return whether an epoch of so many batches is worth recording, and can be.

        Parameters
        ----------
        n_batches : int
            Number of batches.
        """
        return (
            self.cuda_graphs
            and torch.device(self.device).type == "cuda"
            and n_batches >= MIN_RECORDED
            and not self.callbacks_
            and isinstance(self.strategy_, Alone)
            and all(group.get("fused") for group in self.optimizer_.param_groups)
            and len(self.optimizer_.state) > 0
            and self.is_steady()
        )

    def augmented(self, X: Tensor) -> Tensor:
        """Return a batch on the device, augmented.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        Tensor of the shape of `X`, float32
            The augmented batch.
        """
        X = X.to(self.device, torch.float32)
        if self.augment is None:
            return X
        if self.augment_takes_progress_:
            return self.augment(X, progress=self.progress_)
        return self.augment(X)

    def weakly_augmented(self, X: Tensor) -> Tensor:
        """Return a batch on the device, augmented as for labels and for views.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The batch.

        Returns
        -------
        Tensor of the shape of `X`, float32
            The augmented batch.
        """
        if not isinstance(self.augment, WeakStrong):
            return self.augmented(X)
        X, weak = X.to(self.device, torch.float32), self.augment.weak
        return X if weak is None else apply(weak, X, self.progress_)

    def augmented_batch(self, X: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
        """Return a batch on the device, augmented, and its targets.

        Of two augmentations, the weak one is for labeled rows.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            The batch.
        targets : Targets
            Its targets.

        Returns
        -------
        tuple of Tensor and Targets
            The augmented batch, and its targets.
        """
        if not isinstance(self.augment, WeakStrong):
            return self.augmented(X), targets
        n = 0 if self.learns_labels_ else targets.n_own
        parts = [self.augmented(X[:n])] if n > 0 else []
        parts += [self.weakly_augmented(X[n:])] if n < len(X) else []
        return torch.cat(parts), targets

    def train_step_single(self, batch: tuple[Tensor, Targets], **fit_params: Any) -> dict:
        """Augment the batch, and compute the loss and its gradients."""
        X, targets, factor = self.strategy_.own_share(*batch)
        Xi, targets = self.augmented_batch(X, targets)
        if not self.module_.training:  # walking over all layers takes a tenth of a small network's step
            self._set_training(True)
        with self.autocast():
            log_q = self.strategy_.forward(self, Xi)
        loss = self.get_loss(log_q, targets, X=Xi, training=True)
        loss = self.strategy_.weighted(loss, factor)
        loss.backward()
        return {"loss": loss, "y_pred": log_q}

    def get_loss(self, y_pred: Tensor, y_true: Targets, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss of log q, `y_pred`, against the targets `y_true`."""
        return self.criterion_(y_pred, y_true)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """Run an epoch and record its mean loss, with no synchronisation with the device in between."""
        if iterator is None:
            return
        # One tensor instead of one a batch: thousands of small tensors would fragment the memory.
        losses, sizes = torch.zeros(len(iterator), dtype=torch.float32, device=self.device), []
        if training and self.is_recorded(len(iterator)):
            self.recorded_ = step_fn = RecordedStep(step_fn, self, self.recorded_)
        for i, batch in enumerate(iterator):
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses[i] = step["loss"].detach()
            sizes.append(len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
            self.progress_bar_.work(TRAINING_COST * self.batch_cost(batch[0]))
            self.stop_if_interrupted()
        if training:
            self.n_batches_ = len(sizes)
        losses = self.strategy_.mean(losses)
        mean = losses.cpu() @ torch.tensor(sizes, dtype=torch.float32) / sum(sizes)
        self.history.record(prefix + "_loss", mean.item())

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[list, dict]:
        """Give the weight decay to kernels only: not to biases, normalisation, activations or centroids."""
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        args, kwargs = super().get_params_for_optimizer(prefix, trained)
        known = inspect.signature(self.optimizer).parameters
        if (
            "fused" in known
            and not kwargs.get("foreach")
            and torch.device(self.device).type in ("cpu", "cuda")
        ):
            kwargs.setdefault("fused", True)  # Adam's step on a small network takes a third of the time
        if "weight_decay" not in known:
            return args, kwargs
        weight_decay = kwargs.pop("weight_decay", self.kernel_decay)
        centers = getattr(self.module_.head, "centers", None)
        groups = []
        for group in args[0]:
            kernels = [p for p in group["params"] if p.ndim > 1 and p is not centers]
            others = [p for p in group["params"] if p.ndim <= 1 or p is centers]
            groups.append({"weight_decay": weight_decay, **group, "params": kernels})
            groups.append({**group, "params": others, "weight_decay": 0.0})
        return [[group for group in groups if group["params"]]], kwargs


def _block_rows(shape: Sequence[int], device: torch.device) -> int:
    """Return how many samples are predicted at a time: a multiple of 16."""
    if len(shape) < 3 or device.type != "cpu":
        return BLOCK_ROWS
    return max(min(BLOCK_IMAGES, BLOCK_PIXELS // math.prod(shape[2:])) // 16, 1) * 16


def _values(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and statistics of a network, and batch normalisation's counts of batches."""
    values = [value.detach() for value in itertools.chain(network.parameters(), network.buffers())]
    return [v for v in values if v.is_floating_point()], [v for v in values if not v.is_floating_point()]
