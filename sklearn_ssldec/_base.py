"""What the estimators share: parameters and their constraints, device, seeds, building and fitting nets."""

from __future__ import annotations

import copy
import difflib
import inspect
import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.parallel import Parallel, delayed
from torch import Tensor, nn
from tqdm.auto import tqdm

from sklearn_ssldec.algorithm import Outcome, Settings, ssldec
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.device import count_operations, place, resolve_device, seeded
from sklearn_ssldec.net import ClusteringNetwork, SSLDECNet

# Parameters of these parts are passed through, as skorch does: module__dropout=0.2, optimizer__betas=...
ROUTED_PREFIXES = ("module__", "optimizer__", "callbacks__")


class BaseSSLDEC(BaseEstimator):
    """Parameters, validation and training common to the classifier and the segmenter."""

    _parameter_constraints: ClassVar[dict] = {
        "module": [StrOptions({"auto"}), type, nn.Module, callable],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "labeled_threshold": [Interval(Real, 0, 1, closed="both")],
        "max_labeled_epochs": [Interval(Integral, 0, None, closed="left")],
        "labeled_weight": [Interval(Real, 0, None, closed="left")],
        "balance": [Interval(Real, 0, 1, closed="both"), None],
        "class_prior": [StrOptions({"labeled"}), "array-like", None],
        "augment": [StrOptions({"auto"}), callable, None],
        "optimizer": [callable],
        "pretrain_lr": [Interval(Real, 0, None, closed="neither"), tuple],
        "lr": [Interval(Real, 0, None, closed="neither"), tuple],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "min_batches": [Interval(Integral, 1, None, closed="left")],
        "unlabeled_label": [Integral, str, None],
        "device": [str, torch.device],
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

    # Fitting ----------------------------------------------------------------------------------------------

    def _fit_members(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        prior: np.ndarray | None,
        default_module: type[nn.Module],
        augment: Callable[[Tensor], Tensor] | None,
    ) -> list[tuple[SSLDECNet, Outcome]]:
        """Train `n_estimators` networks from different seeds (section IV-A)."""
        settings = Settings(
            pretrain_epochs=self.pretrain_epochs,
            pretrain_lr=check_learning_rate("pretrain_lr", self.pretrain_lr),
            lr=check_learning_rate("lr", self.lr),
            max_iter=self.max_iter if (codes < 0).any() else 0,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            labeled_threshold=self.labeled_threshold,
            max_labeled_epochs=self.max_labeled_epochs,
            labeled_weight=self.labeled_weight,
            balance=self.balance,
            batch_size=self.batch_size,
            min_batches=self.min_batches,
            prior=None if prior is None else torch.from_numpy(prior).float(),
        )
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_estimators)
        fit_member = delayed(self._fit_member)
        return Parallel(n_jobs=self.n_jobs)(
            fit_member(X, codes, n_classes, settings, default_module, augment, int(seed)) for seed in seeds
        )

    def _fit_member(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        settings: Settings,
        default_module: type[nn.Module],
        augment: Callable[[Tensor], Tensor] | None,
        seed: int,
    ) -> tuple[SSLDECNet, Outcome]:
        device = resolve_device(self.device)
        with (
            seeded(seed, device),
            tqdm(total=settings.max_iter, desc="pre-training", unit="iter", disable=not self.verbose) as bar,
        ):
            samples = place(X, device)
            network = build_network(
                default_module if isinstance(self.module, str) else self.module,
                self._routed("module__"),
                samples[:2].to(device, torch.float32),
                n_classes,
                self.alpha,
            )
            n_operations = count_operations(network, samples[:2].to(device, torch.float32))
            generator = torch.Generator().manual_seed(seed)
            net = SSLDECNet(
                network,
                augment=augment,
                n_operations=n_operations,
                optimizer=self.optimizer,
                lr=settings.pretrain_lr[0],
                batch_size=self.batch_size,
                callbacks=clone(self.callbacks, safe=False),
                device=device,
                verbose=0,
                iterator_train__generator=generator,
                **{name: v for name, v in self._kwargs.items() if not name.startswith("module__")},
            ).initialize()

            def report(record: dict[str, Any]) -> None:
                bar.set_description("SSLDEC", refresh=False)
                bar.set_postfix(
                    labeled_accuracy=f"{record['labeled_accuracy']:.3f}",
                    share_changed=f"{record['share_changed']:.4f}",
                    refresh=False,
                )
                bar.update(record["iteration"] > 0)

            y = torch.from_numpy(codes).to(device)
            net.notify("on_train_begin", X=samples, y=y)
            with net.threads():
                outcome = ssldec(net, samples, y, n_classes, settings, generator=generator, report=report)
            net.notify("on_train_end", X=samples, y=y)
        # The net would keep a second reference, which a pickle made on a GPU could not bring to a CPU.
        net.module = ClusteringNetwork
        outcome.Q = outcome.Q.cpu()
        return net, outcome

    def _warn_of_outcomes(self, outcomes: list[Outcome], classes: np.ndarray) -> None:
        last = [outcome.history[-1]["labeled_accuracy"] for outcome in outcomes if outcome.n_iter > 0]
        if last and min(last) < self.labeled_threshold:
            warnings.warn(
                f"Training on the labeled samples ended at an accuracy of {min(last):.3f}, below "
                f"labeled_threshold={self.labeled_threshold}, after max_labeled_epochs="
                f"{self.max_labeled_epochs} epochs of the last iteration. If some labels may be wrong, lower "
                "labeled_threshold; otherwise raise max_labeled_epochs or lr.",
                ConvergenceWarning,
                stacklevel=3,
            )
        for outcome in outcomes:
            absent = np.setdiff1d(np.arange(len(classes)), outcome.Q.argmax(1).numpy())
            if len(absent):
                names = ", ".join(map(repr, classes[absent].tolist()))
                warnings.warn(
                    f"No sample is predicted to be of class {names}, although there are labels of it. Label "
                    "more samples of it, or raise max_labeled_epochs or labeled_weight.",
                    ConvergenceWarning,
                    stacklevel=3,
                )


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


def build_network(
    module: type[nn.Module] | nn.Module | Callable[..., nn.Module],
    kwargs: dict[str, Any],
    sample: Tensor,
    n_classes: int,
    alpha: float,
) -> ClusteringNetwork:
    """Build the embedding network and put the clustering layer on top of it.

    Parameters
    ----------
    module : Module class, Module instance or callable
        What maps a batch to embeddings. A class (or callable) is called with `kwargs`, and with
        ``input_shape`` and ``n_classes`` if it takes them; an instance is copied.
    kwargs : dict
        The parameters ``module__*``.
    sample : Tensor of shape (2, ...)
        Two samples, by which the size of the embedding is found.
    n_classes : int
        Number of classes.
    alpha : float
        Degrees of freedom of the clustering layer.

    Raises
    ------
    ValueError
        If `module` does not take `kwargs` or does not map samples to embeddings.
    """
    if isinstance(module, nn.Module):
        if kwargs:
            names = ", ".join(f"module__{name}" for name in kwargs)
            raise ValueError(f"{names} cannot be set: module is an instance. Pass its class instead.")
        embedding = copy.deepcopy(module)
    else:
        known = inspect.signature(module).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            for name in kwargs.keys() - known.keys():
                raise ValueError(
                    f"Invalid parameter module__{name} for module {module.__name__}: it takes "
                    f"{', '.join(f'module__{known_name}' for known_name in known)}."
                )
        from_data = {"input_shape": tuple(sample.shape[1:]), "n_classes": n_classes}
        embedding = module(**{name: v for name, v in from_data.items() if name in known} | kwargs)
    embedding = embedding.to(sample.device)
    try:
        with torch.no_grad():
            z = embedding.eval()(sample)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"module failed on two samples of shape {tuple(sample.shape[1:])}: {error}"
        ) from error
    if not isinstance(z, Tensor) or z.ndim != 2 or len(z) != len(sample):
        got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(
            "module must map a batch to a tensor of embeddings of shape (n_samples, n_features); for "
            f"{len(sample)} samples it returned {got}."
        )
    clustering = ClusteringLayer(n_classes, z.shape[1], alpha).to(sample.device)
    return ClusteringNetwork(embedding, clustering)
