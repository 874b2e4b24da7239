"""The description of a fit, made once and passed down; nothing below calls back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_ssldec._estimators.guidance import Guidance
from sklearn_ssldec._estimators.starting import Start
from sklearn_ssldec._samples.sources import Rows, Scans
from sklearn_ssldec._samples.volumes import MapLabels
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.algorithm import Settings
from sklearn_ssldec.labels import EncodedLabels


@dataclass(frozen=True)
class Method:
    """What distinguishes a method from others with the same networks and the same loop.

    Attributes
    ----------
    head : callable
        ``head(n_features, n_classes)`` returns the module on top of the embedding.
    target : callable
        ``target(prior)`` returns the function that maps Q to P. It is called for each network, because the
        function may keep a state.
    net : SSLDECNet class
        The skorch net, with its loss.
    fixed : dict
        Settings of Algorithm 1 that the method fixes.
    defaults : dict
        Settings of Algorithm 1 that the user may override.
    net_params : dict
        Parameters of the net that the user may override.
    """

    head: Callable[[int, int], nn.Module]
    target: Callable[[Tensor | None], Callable[[Tensor], Tensor]]
    net: type[SSLDECNet]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    net_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Everything that the training of a network depends on, except its seed.

    Attributes
    ----------
    samples : Rows or Scans
        The samples, on the host.
    labels : EncodedLabels or MapLabels
        Their labels.
    method : Method
        The method.
    module : Module class, Module instance or callable
        The embedding network.
    module_params : dict
        Its parameters.
    settings : Settings
        The settings of Algorithm 1; the target comes from the method.
    prior : Tensor of shape (n_classes,), or None
        Share of each class.
    guidance : Guidance
        What guides the targets.
    net_params : dict
        Parameters of the skorch net.
    device : torch.device
        Where the network is trained.
    data_parallel : bool
        Whether the processes of torch.distributed train it together.
    verbose : int
        Whether progress is shown.
    transduction : bool
        Whether all samples are predicted after pre-training and in the end, where targets are drawn.
    starts : tuple of Start
        What each network starts from; empty for new networks.
    epochs_anew : int
        Epochs of pre-training of a new network.
    """

    samples: Rows | Scans
    labels: EncodedLabels | MapLabels
    method: Method
    module: Any
    module_params: Mapping[str, Any]
    settings: Settings
    prior: Tensor | None
    guidance: Guidance
    net_params: Mapping[str, Any]
    device: torch.device
    data_parallel: bool
    verbose: int
    transduction: bool = True
    starts: tuple[Start, ...] = ()
    epochs_anew: int = 0

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.labels.classes)

    @property
    def candidates(self) -> Tensor | None:
        """Candidate classes of each partial label, on the device; None if there is none."""
        if isinstance(self.labels, EncodedLabels) or len(self.labels.candidates) == 0:
            return None
        return torch.from_numpy(self.labels.candidates).to(self.device)
