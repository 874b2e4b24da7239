"""Training steps that a CUDA GPU plays back, so that small networks wait for no launch of kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sklearn_ssldec._samples.batches import Targets

Batch = tuple[Tensor, Targets]


class RecordedStep:
    """A training step as a CUDA graph: recorded with the first batch, and played back for the others.

    It holds for one epoch, in which the learning rate and all other numbers that are no tensors do not
    change.

    Parameters
    ----------
    step : callable
        Takes a training step with a batch, and returns its loss and output. It must not wait for the device.
    net : SSLDECNet
        The net that it trains.
    earlier : RecordedStep, default=None
        That of the epoch before, whose memory is used again.
    """

    def __init__(
        self, step: Callable[..., dict[str, Tensor]], net: Any, earlier: RecordedStep | None = None
    ) -> None:
        self.step, self.net = step, net
        # Memory belongs to a pool and a stream, and a pool lives as long as a graph that uses it.
        if earlier is None:
            self.pool, self.stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(net.device)
        else:
            self.pool, self.stream = earlier.pool, earlier.stream
        self.earlier = None if earlier is None else earlier.graph
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.outputs: dict[str, Tensor] = {}

    def __call__(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Take the step with a batch.

        Parameters
        ----------
        batch : tuple of Tensor and Targets
            Samples, and their targets.
        **fit_params : dict
            For the step.

        Returns
        -------
        dict of Tensor
            The loss and the output; the next call overwrites them.
        """
        tensors = _tensors(batch)
        if self.graph is None:
            try:
                self._record(batch, fit_params)
            except RuntimeError as error:
                raise RuntimeError(
                    "The training step could not be recorded as a CUDA graph: the module or the "
                    "augmentation waits for the GPU, or does what depends on values. Set "
                    f"net__cuda_graphs=False. ({error})"
                ) from error
        elif _kind(tensors) != _kind(self.inputs):
            return self.step(batch, **fit_params)  # the last batch of an epoch may be smaller
        else:
            self.net.count_step()
        for mine, given in zip(self.inputs, tensors, strict=True):
            mine.copy_(given)
        self.graph.replay()  # type: ignore[union-attr]  # _record sets it
        return self.outputs

    def _record(self, batch: Batch, fit_params: dict[str, Any]) -> None:
        """Record the step; nothing is computed."""
        X, targets = batch
        X = X.clone()
        targets = targets._replace(
            p=targets.p.clone(), weight=None if targets.weight is None else targets.weight.clone()
        )
        self.inputs = _tensors((X, targets))
        before = [tensor.clone() for tensor in self.net.remembered()]
        self.net.remember(before)
        groups = self.net.optimizer_.param_groups
        was_capturable = [group.get("capturable", False) for group in groups]
        for group in groups:
            group["capturable"] = True
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(X.device)
        try:
            with torch.cuda.stream(self.stream):
                graph.capture_begin(pool=self.pool)
                try:
                    self.outputs = {
                        name: value.detach() for name, value in self.step((X, targets), **fit_params).items()
                    }
                    for tensor, after in zip(before, self.net.remembered(), strict=True):
                        tensor.copy_(after)
                finally:
                    graph.capture_end()
        except BaseException:
            # The generator would take every later use of it for a part of the recording.
            generator = torch.cuda.default_generators[self.stream.device_index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        finally:
            for group, capturable in zip(groups, was_capturable, strict=True):
                group["capturable"] = capturable
        self.net.remember(before)
        self.graph, self.earlier = graph, None


def _tensors(batch: Batch) -> list[Tensor]:
    X, targets = batch
    return [X, targets.p, *([] if targets.weight is None else [targets.weight])]


def _kind(tensors: list[Tensor]) -> list[tuple]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors]
