"""What the estimators share: parameters and their constraints, and fitting the networks of an ensemble."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.parallel import Parallel, delayed
from torch import Tensor, nn
from tqdm.auto import tqdm

from sklearn_ssldec._estimators.defaults import Auto, pretrain_epochs
from sklearn_ssldec._samples.placing import resolve_device
from sklearn_ssldec._training.checkpoint import Checkpoint, describe_call, open_folder
from sklearn_ssldec._training.distributed import Processes, check_processes, first_alone, same_for_all
from sklearn_ssldec._training.interrupt import on_interrupt
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.seeds import seeded
from sklearn_ssldec._training.threads import count_operations
from sklearn_ssldec.algorithm import Outcome, Settings, ssldec
from sklearn_ssldec.clustering import ClusteringLayer, target_distribution
from sklearn_ssldec.labels import EncodedLabels
from sklearn_ssldec.networks.embedding import EmbeddingNetwork, build_network

# Parameters of these parts are passed through, as skorch does: module__dropout=0.2, optimizer__betas=...
ROUTED_PREFIXES = ("module__", "optimizer__", "callbacks__")


class BaseSSLDEC(BaseEstimator):
    """Parameters, validation and training common to the classifier and the segmenter."""

    _parameter_constraints: ClassVar[dict] = {
        "module": [StrOptions({"auto"}), type, nn.Module, callable],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "center_spread": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "pretrain_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "labeled_threshold": [Interval(Real, 0, 1, closed="both")],
        "max_labeled_epochs": [Interval(Integral, 0, None, closed="left")],
        "labeled_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "balance": [Interval(Real, 0, 1, closed="both"), None],
        "class_prior": [StrOptions({"labeled"}), "array-like", None],
        "augment": [StrOptions({"auto"}), callable, None],
        "optimizer": [callable],
        "pretrain_lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), tuple],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), tuple],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "min_batches": [Interval(Integral, 1, None, closed="left")],
        "target_views": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "ema_decay": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "input_shape": [tuple, list, None],
        "unlabeled_label": [Integral, str, None],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bf16"})],
        "data_parallel": ["boolean"],
        "on_divergence": [StrOptions({"warn", "raise"})],
        "checkpoint_dir": [str, os.PathLike, None],
        "checkpoint_every": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, StrOptions({"disable"}), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _kwargs: dict[str, Any]

    # Parameters passed through -----------------------------------------------------------------------------

    def _routed(self, prefix: str) -> dict[str, Any]:
        """Return the parameters passed through to the part `prefix`, without the prefix."""
        return {
            name.removeprefix(prefix): value
            for name, value in self._kwargs.items()
            if name.startswith(prefix)
        }

    def _check_kwargs(self) -> None:
        for name in self._kwargs:
            if not name.startswith(ROUTED_PREFIXES):
                close = difflib.get_close_matches(name, self._get_param_names(), n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise TypeError(
                    f"{type(self).__name__}() got an unexpected keyword argument {name!r}.{hint} Besides its "
                    f"own parameters it takes those that begin with {', '.join(ROUTED_PREFIXES)}."
                )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those passed through to the network's parts included.

        Parameters
        ----------
        deep : bool, default=True
            Also those of nested estimators.

        Returns
        -------
        dict
            Names and values.
        """
        return {**super().get_params(deep=deep), **self._kwargs}

    def set_params(self, **params: Any) -> BaseSSLDEC:
        """Set parameters, ``module__*``, ``optimizer__*`` and ``callbacks__*`` included.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : object
            The estimator.
        """
        own = {}
        for name, value in params.items():
            if name in self._kwargs or name.startswith(ROUTED_PREFIXES):
                self._kwargs = {**self._kwargs, name: value}
            else:
                own[name] = value
        super().set_params(**own)
        return self

    # What the baselines replace -----------------------------------------------------------------------------

    _net_class: ClassVar[type[SSLDECNet]] = SSLDECNet
    _voxelwise: ClassVar[bool] = False

    def _make_head(self, n_features: int, n_classes: int) -> nn.Module:
        return ClusteringLayer(n_classes, n_features, self.alpha_, spread=self.center_spread_)

    def _make_target(self, prior: Tensor | None) -> Callable[[Tensor], Tensor]:
        return partial(target_distribution, prior=prior)

    def _changed_settings(self) -> dict[str, Any]:
        """Return the settings of Algorithm 1 that are not the user's to choose."""
        return {}

    # What the kinds of samples differ in -------------------------------------------------------------------

    def _choose_auto(self, X: Any) -> Auto:
        """Return what parameters are where they are "auto"."""
        raise NotImplementedError

    def _place(self, X: Any, device: torch.device) -> tuple[Any, Tensor]:
        """Return what the net trains on, and two samples as the network takes them."""
        raise NotImplementedError

    def _net_parameters(self, network: EmbeddingNetwork, samples: Any, two: Tensor) -> dict[str, Any]:
        """Return parameters of the net that others have not."""
        return {}

    # Fitting ----------------------------------------------------------------------------------------------

    def _fit_members(self, X: Any, labels: EncodedLabels) -> list[tuple[SSLDECNet, Outcome]]:
        """Train `n_estimators` networks from different seeds (section IV-A)."""
        auto = self._choose_auto(X)
        self.alpha_ = auto.alpha if isinstance(self.alpha, str) else self.alpha
        spread = self.center_spread
        self.center_spread_ = auto.center_spread if isinstance(spread, str) else spread
        chosen = {
            name: auto.training[name] if isinstance(value := getattr(self, name), str) else value
            for name in {"max_iter", "labeled_weight", "target_views", *auto.training}
        }
        of_net = {name: chosen.pop(name) for name in ("batch_size", "ema_decay")}
        chosen["pretrain_lr"] = check_learning_rate("pretrain_lr", chosen["pretrain_lr"])
        chosen["lr"] = check_learning_rate("lr", chosen["lr"])
        prior = check_class_prior(self.class_prior, labels.codes, len(labels.classes))
        n_epochs = self.pretrain_epochs
        if isinstance(n_epochs, str):
            n_epochs = pretrain_epochs(int(labels.labeled.sum()), of_net["batch_size"], auto.pretrain_batches)
        settings = Settings(
            pretrain_epochs=n_epochs,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            labeled_threshold=self.labeled_threshold,
            max_labeled_epochs=self.max_labeled_epochs,
            balance=self.balance,
            min_batches=self.min_batches,
            on_divergence=self.on_divergence,
            **chosen,
        )
        settings = replace(settings, **self._changed_settings())
        if self.augment is None:  # all views would be the same
            settings = replace(settings, target_views=0)
        if labels.labeled.all():
            settings = replace(settings, max_iter=0)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_estimators).tolist()
        paths: list[Path | None] = [None] * len(seeds)
        if self.data_parallel:
            check_processes()
            seeds = same_for_all(seeds)
        if self.checkpoint_dir is not None:
            call = describe_call(self.get_params(deep=False), X=X, y=[labels.codes, labels.classes.tolist()])
            with first_alone() if self.data_parallel else nullcontext():
                seeds = open_folder(self.checkpoint_dir, call, seeds, any_seeds=self.random_state is None)
            paths = [Path(self.checkpoint_dir) / f"network_{i}.safetensors" for i in range(len(seeds))]
        arguments = [
            (X, labels, settings, prior, auto, of_net, seed, path)
            for seed, path in zip(seeds, paths, strict=True)
        ]
        if effective_n_jobs(self.n_jobs) > 1 and not self.data_parallel:
            return Parallel(n_jobs=self.n_jobs)(delayed(self._fit_member)(*each) for each in arguments)
        members = []
        for each in arguments:
            members.append(self._fit_member(*each))
            if members[-1][1].termination_condition == "interrupted":
                break
        return members

    def _fit_member(
        self,
        X: Any,
        labels: EncodedLabels,
        settings: Settings,
        prior: np.ndarray | None,
        auto: Auto,
        of_net: dict[str, Any],
        seed: int,
        path: Path | None,
    ) -> tuple[SSLDECNet, Outcome]:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(seed)
        # Made here, for each network, since a baseline's target may remember the past.
        target = self._make_target(None if prior is None else torch.from_numpy(prior).float())
        settings = replace(settings, target=target)
        with (
            seeded(seed, device),
            tqdm(total=settings.max_iter, desc="pre-training", unit="iter", disable=not self.verbose) as bar,
        ):
            net, samples = self._make_net(X, labels, settings, auto, of_net, generator, device)
            y = torch.from_numpy(labels.codes).to(device)
            net.notify("on_train_begin", X=samples, y=y)
            if self.data_parallel:
                net.processes_ = Processes(net.module_, seed)
            checkpoint = earlier = None
            if path is not None:
                checkpoint = Checkpoint(path, self.checkpoint_every, net, generator, target)
                earlier = checkpoint.restore()

            def report(outcome: Outcome) -> None:
                if checkpoint is not None:
                    checkpoint.save(outcome)
                record = outcome.history[-1]
                bar.set_description("SSLDEC", refresh=False)
                bar.set_postfix(
                    labeled_accuracy=f"{record['labeled_accuracy']:.3f}",
                    share_changed=f"{record['share_changed']:.4f}",
                    refresh=False,
                )
                bar.update(outcome.n_iter - bar.n)

            # Of several processes, one alone must not stop: the others would wait for it.
            patience = nullcontext() if self.data_parallel else on_interrupt(net.interrupt)
            with net.threads(), patience:
                outcome = ssldec(
                    net,
                    samples,
                    y,
                    len(labels.classes),
                    settings,
                    generator=generator,
                    report=report,
                    outcome=earlier,
                )
            if checkpoint is not None and outcome.termination_condition in ("tol", "max_iter"):
                checkpoint.save(outcome, whatever=True)
            net.processes_ = None
            net.notify("on_train_end", X=samples, y=y)
        net.keep_average()
        # The net would keep a second reference, which a pickle made on a GPU could not bring to a CPU.
        net.module = EmbeddingNetwork
        outcome.Q, outcome.supervised = outcome.Q.cpu(), outcome.supervised.cpu()
        return net, outcome

    def _make_net(
        self,
        X: Any,
        labels: EncodedLabels,
        settings: Settings,
        auto: Auto,
        of_net: dict[str, Any],
        generator: torch.Generator,
        device: torch.device,
    ) -> tuple[SSLDECNet, Any]:
        """Return an untrained net, and the samples as it takes them."""
        samples, two = self._place(X, device)
        is_auto = isinstance(self.module, str)
        n_classes = len(labels.classes)
        network = build_network(
            auto.module if is_auto else self.module,
            {**(auto.module_kwargs if is_auto else {}), **self._routed("module__")},
            two,
            n_classes,
            partial(self._make_head, n_classes=n_classes),
            voxelwise=self._voxelwise,
        )
        net = self._net_class(
            network,
            augment=auto.augment if isinstance(self.augment, str) else self.augment,
            n_operations=count_operations(network, two),
            optimizer=self.optimizer,
            lr=settings.pretrain_lr[0],
            callbacks=clone(self.callbacks, safe=False),
            device=device,
            precision=self.precision,
            verbose=0,
            iterator_train__generator=generator,
            **of_net,
            **self._net_parameters(network, samples, two),
            **{name: v for name, v in self._kwargs.items() if not name.startswith("module__")},
        )
        return net.initialize(), samples

    def _store_outcomes(self, members: list[tuple[SSLDECNet, Outcome]], labels: EncodedLabels) -> None:
        """Store what is told alike of samples and of voxels."""
        self.nets_ = [net for net, _ in members]
        outcomes = [outcome for _, outcome in members]
        heads = [net.module_.head for net in self.nets_]
        if all(isinstance(head, ClusteringLayer) for head in heads):
            centers = [head.centers.detach().cpu().numpy() for head in heads]
            self.cluster_centers_ = centers[0] if self.n_estimators == 1 else np.stack(centers)
        self.history_ = [
            {"estimator": i, **record} for i, outcome in enumerate(outcomes) for record in outcome.history
        ]
        self.n_iter_ = max(outcome.n_iter for outcome in outcomes)
        if labels.labeled.all():
            self.n_iter_ = 1  # the supervised training
        conditions = {outcome.termination_condition for outcome in outcomes}
        worst_first = ("interrupted", "diverged", "max_iter", "tol", "supervised")
        self.termination_condition_ = next(name for name in worst_first if name in conditions)


def check_learning_rate(name: str, value: Any) -> tuple[float, float]:
    """Return a learning rate as its values at the start and at the end.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error.
    value : float or tuple of two floats
        A constant, or the start and the end.

    Raises
    ------
    ValueError
        If a tuple does not hold two positive finite numbers.
    """
    ends = value if isinstance(value, tuple) else (value, value)
    if len(ends) != 2 or not all(isinstance(end, Real) and 0 < float(end) < math.inf for end in ends):
        raise ValueError(f"{name} must be a positive number or a tuple of two, start and end, got {value!r}.")
    return float(ends[0]), float(ends[1])


def check_class_prior(class_prior: Any, codes: np.ndarray, n_classes: int) -> np.ndarray | None:
    """Return the prior of each class as an array that sums to 1, or None for the uniform one.

    Parameters
    ----------
    class_prior : {"labeled"}, array-like of shape (n_classes,) or None
        As given by the user; "labeled" takes the shares of the labeled samples.
    codes : ndarray of shape (n_samples,)
        Encoded labels, -1 where there is none.
    n_classes : int
        Number of classes.

    Raises
    ------
    ValueError
        If the array is of another length or holds negative, missing or only zero values.
    """
    if class_prior is None:
        return None
    if isinstance(class_prior, str):
        prior = np.bincount(codes[codes >= 0], minlength=n_classes).astype(float)
    else:
        prior = np.asarray(class_prior, dtype=float)
    if prior.shape != (n_classes,) or not np.isfinite(prior).all() or (prior <= 0).any():
        raise ValueError(
            f"class_prior must hold a positive share for each of the {n_classes} classes, in the order of "
            f"classes_, got {class_prior!r}."
        )
    return prior / prior.sum()
