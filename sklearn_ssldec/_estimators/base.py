"""The base of all estimators: their parameters, and the description of a fit that is made of them."""

from __future__ import annotations

import copy
import difflib
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from torch import nn

from sklearn_ssldec._compat import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn_ssldec._estimators.defaults import Auto, pretrain_epochs
from sklearn_ssldec._estimators.ensemble import Checkpoints, train_ensemble
from sklearn_ssldec._estimators.guidance import Gain, Guidance, Teacher
from sklearn_ssldec._estimators.starting import Start, starts_from
from sklearn_ssldec._estimators.task import Method, Task
from sklearn_ssldec._samples.sources import Rows, Scans
from sklearn_ssldec._samples.volumes import MapLabels, count_classes
from sklearn_ssldec._training.callbacks import check_callbacks
from sklearn_ssldec._training.checkpoint import describe_call
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._warnings import warn
from sklearn_ssldec.algorithm import Outcome, Settings
from sklearn_ssldec.augment import BoxMix
from sklearn_ssldec.clustering import ClusteringLayer
from sklearn_ssldec.labels import EncodedLabels

AUTO = StrOptions({"auto"})
# Of the epochs and iterations that "auto" stands for, a warm start takes this share.
WARM_SHARE = 0.25

# Constraints of all parameters of all estimators.
CONSTRAINTS: dict[str, list] = {
    "module": [AUTO, type, nn.Module, callable],
    "alpha": [AUTO, Interval(Real, 0, None, closed="neither")],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "pretrain_epochs": [AUTO, Interval(Integral, 0, None, closed="left")],
    "max_iter": [AUTO, Interval(Integral, 0, None, closed="left")],
    "tol": [Interval(Real, 0, 1, closed="both")],
    "labeled_threshold": [Interval(Real, 0, 1, closed="both")],
    "balance": [AUTO, Interval(Real, 0, 1, closed="both"), None],
    "class_prior": [StrOptions({"auto", "labeled"}), "array-like", dict, None],
    "teachers": [AUTO, HasMethods(["fit", "predict_proba"]), list, tuple, None],
    "augment": [AUTO, callable, None],
    "optimizer": [callable],
    "pretrain_lr": [AUTO, Interval(Real, 0, None, closed="neither"), tuple],
    "lr": [AUTO, Interval(Real, 0, None, closed="neither"), tuple],
    "batch_size": [AUTO, Interval(Integral, 2, None, closed="left")],
    "min_batches": [AUTO, Interval(Integral, 1, None, closed="left")],
    "patch_size": [AUTO, Integral, tuple, list],
    "patches_per_epoch": [AUTO, Interval(Integral, 1, None, closed="left")],
    "input_shape": [tuple, list, None],
    "unlabeled_label": [Integral, str, None],
    "ignore_label": [Integral, None],
    "device": [str, torch.device],
    "checkpoint_dir": [str, os.PathLike, None],
    "callbacks": [list, StrOptions({"disable"}), None],
    "warm_start": ["boolean"],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

# Prefixes of parameters that are passed on under any name, as in skorch: module__dropout=0.2.
FREE_PARTS = ("module__", "optimizer__", "callbacks__")
# Constraints of the parts' parameters that are known.
PART_CONSTRAINTS: dict[str, list] = {
    "head__spread": [Interval(Real, 0, None, closed="neither"), None],
    "cycle__n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "cycle__labeled_threshold": [Interval(Real, 0, 1, closed="both")],
    "cycle__max_labeled_epochs": [Interval(Integral, 0, None, closed="left")],
    "cycle__labeled_weight": [Interval(Real, 0, None, closed="left")],
    "cycle__targets": [StrOptions({"auto", "drawn", "all"})],
    "cycle__class_weight": [StrOptions({"balanced"}), dict, None],
    "cycle__max_rows": [Interval(Integral, 2, None, closed="left"), None],
    "cycle__fallback": ["boolean"],
    "cycle__label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "cycle__target_views": [Interval(Integral, 0, None, closed="left")],
    "cycle__frequency": [StrOptions({"soft", "hard", "bounded"})],
    "cycle__mix": [BoxMix, None],
    "cycle__dice_weight": [Interval(Real, 0, None, closed="left")],
    "cycle__neighbors": [AUTO, "boolean"],
    "cycle__min_confidence": [Interval(Real, 0, 1, closed="left")],
    "cycle__largest_component": [AUTO, "boolean"],
    "cycle__scribbles": [AUTO, "boolean"],
    "cycle__transduction": ["boolean"],
    "net__ema_decay": [Interval(Real, 0, 1, closed="left")],
    "net__precision": [StrOptions({"float32", "bf16"})],
    "net__cuda_graphs": ["boolean"],
    "net__predict_views": ["boolean"],
    "net__data_parallel": ["boolean"],
    "net__tile_size": [AUTO, Interval(Integral, 1, None, closed="left")],
    "net__scaling": [StrOptions({"volume"}), None],
    "net__spacing": ["array-like", None],
    "net__reduction": [AUTO, "array-like", Integral],
    "net__predict_scales": [AUTO, "array-like"],
    "net__largest_component": [AUTO, "boolean"],
}


def kept_if_fit_fails(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `fit` that leaves the estimator as it was if it ends in an error.

    Otherwise the networks of the last fit would predict the classes of the one that failed.

    Parameters
    ----------
    fit : callable
        The method.
    """

    @functools.wraps(fit)
    def fit_or_restore(self: BaseSSLDEC, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            self.__dict__ = before
            raise

    return fit_or_restore


class BaseSSLDEC(BaseEstimator):
    """Parameters and training common to all estimators.

    A subclass lists its parameters in the signature of ``__init__``, which only assigns them, and the
    parameters of its parts in `_parts`.
    """

    _parameter_constraints: ClassVar[dict[str, list]]
    _constraints: ClassVar[dict[str, list]] = CONSTRAINTS
    _parts: ClassVar[tuple[str, ...]] = ()
    _kwargs: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the constraints of the parameters in the signature."""
        super().__init_subclass__(**kwargs)
        cls._parameter_constraints = {name: cls._constraints[name] for name in cls._get_param_names()}

    @classmethod
    def _checked(cls, kwargs: dict[str, Any], *, in_fit: bool = False) -> dict[str, Any]:
        """Return the keyword arguments, after a check that they are parameters of parts.

        scikit-learn's check of constructors passes each name in the signature, "kwargs" too, so that one is
        refused in `fit`.

        Raises
        ------
        TypeError
            If one is not, as for a function's unknown arguments.
        """
        for name in kwargs:
            allowed = name.startswith(FREE_PARTS) or name in cls._parts
            if not allowed and (in_fit or name != "kwargs"):
                known = [*cls._get_param_names(), *cls._parts]
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                parts = ", ".join([f"{part}*" for part in FREE_PARTS] + list(cls._parts))
                raise TypeError(
                    f"{cls.__name__}() got an unexpected keyword argument {name!r}.{hint} Besides its own "
                    f"parameters it takes {parts}."
                )
        return kwargs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, including the parts' parameters that were set.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of nested estimators.

        Returns
        -------
        dict
            Names and values.
        """
        return {**super().get_params(deep=deep), **self._kwargs}

    def set_params(self, **params: Any) -> BaseSSLDEC:
        """Set parameters, including parameters of parts such as ``module__dropout``.

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
            if name in self._kwargs or name.startswith(FREE_PARTS) or name in self._parts:
                self._kwargs = {**self._kwargs, name: value}
            else:
                own[name] = value
        super().set_params(**own)
        return self

    def _validate_params(self) -> None:
        """Validate the parameters, including those of parts."""
        super()._validate_params()
        self._checked(self._kwargs, in_fit=True)
        validate_parameter_constraints(PART_CONSTRAINTS, self._kwargs, caller_name=type(self).__name__)

    def _of_part(self, part: str) -> dict[str, Any]:
        """Return the parameters of a part that were set, without its prefix."""
        prefix = f"{part}__"
        return {
            name.removeprefix(prefix): value
            for name, value in self._kwargs.items()
            if name.startswith(prefix)
        }

    def _method(self) -> Method:
        """Return the method; it may use fitted attributes that `_choose` sets."""
        raise NotImplementedError

    def _choose(self, auto: Auto) -> None:
        """Set the fitted attributes of the head's parameters, which may be "auto"."""

    def _fit_networks(
        self, samples: Rows | Scans, labels: EncodedLabels | MapLabels, auto: Auto, **data: Any
    ) -> tuple[Settings, list[Outcome]]:
        """Train the networks, and store the attributes that classifiers and segmenters share.

        `data` holds the arguments of `fit`, by which a checkpoint recognizes its fit.
        """
        check_callbacks(self.callbacks)
        self._choose(auto)
        task = self._task(samples, labels, auto)
        if task.starts:
            data["start"] = [start.arrays() for start in task.starts]
        random_state = check_random_state(self.random_state)
        seeds = random_state.randint(2**31 - 1, size=self.n_estimators).tolist()
        checkpoints = None
        if self.checkpoint_dir is not None:
            call = describe_call(self.get_params(deep=False), **data)
            checkpoints = Checkpoints(self.checkpoint_dir, call, any_seeds=self.random_state is None)
        members, taught = train_ensemble(task, seeds, checkpoints, self.n_jobs)
        self.__dict__.pop("target_weights_", None)
        if taught is not None and (task.guidance.teachers or task.guidance.in_doubt):
            self.target_weights_ = taught.weights
        outcomes = [member.outcome for member in members]
        self._store([member.net for member in members], outcomes, labels)
        if "cycle__fallback" in self._parts:
            self._store_fallback(None if taught is None else taught.gain)
        return task.settings, outcomes

    def _store_fallback(self, gain: Gain | None) -> None:
        """Store whether training ended with the supervised start, and warn if it did."""
        self.fallback_ = gain is not None and gain.is_loss
        if gain is None:
            return
        for record in self.history_:
            if record["iteration"] == 0:
                record |= {
                    "left_out_gain": gain.mean,
                    "left_out_error": gain.error,
                    "fallback": self.fallback_,
                }
        if self.fallback_:
            warn(
                "The unlabeled samples do not seem to help, so the supervised start is kept: iterations "
                f"change the probability of the true class of {gain.n_labels} left-out labels by "
                f"{gain.mean:.3f} on average, with a standard error of {gain.error:.3f}; "
                "cycle__fallback=False iterates all the same."
            )

    @property
    def estimators_(self) -> list[BaseSSLDEC]:
        """One fitted estimator for each network of the ensemble, for query by committee and the like.

        They share the networks with this estimator, and have no attributes about the training samples.
        """
        if not hasattr(self, "nets_"):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet.")
        return [self._of_network(i) for i in range(len(self.nets_))]

    def _of_network(self, i: int) -> BaseSSLDEC:
        one = copy.copy(self)
        one.set_params(n_estimators=1)
        for name in ("transduction_", "supervised_transduction_", "label_distributions_"):
            one.__dict__.pop(name, None)
        one.nets_ = [self.nets_[i]]
        one.history_ = [{**record, "estimator": 0} for record in self.history_ if record["estimator"] == i]
        one.n_iter_ = one.history_[-1]["iteration"]
        for name in ("cluster_centers_", "class_means_"):
            # Of several networks, of which an interrupted fit may have only one.
            if hasattr(self, name) and getattr(self, name).ndim == 3:
                setattr(one, name, getattr(self, name)[i])
        if hasattr(self, "_n_features_out"):
            one._n_features_out = one.nets_[0].module_.head.n_features
        return one

    def _task(self, samples: Rows | Scans, labels: EncodedLabels | MapLabels, auto: Auto) -> Task:
        """Describe the fit."""
        params, method = self.get_params(deep=False), self._method()
        net_params = {**auto.net, **method.net_params, **self._of_part("net")}
        # Of the samples and of the plan, not of the net.
        for name in ("scaling", "spacing", "reduction", "predict_scales", "largest_component"):
            net_params.pop(name, None)
        of_loss = ("mix", "dice_weight", "min_confidence")
        net_params |= {name: v for name, v in self._of_part("cycle").items() if name in of_loss}
        data_parallel = net_params.pop("data_parallel", False)
        if not isinstance(self.batch_size, str):
            net_params["batch_size"] = self.batch_size
        starts: tuple[Start, ...] = ()
        if params.get("warm_start") and hasattr(self, "nets_"):
            networks = [net.module_ for net in self.nets_]
            starts = starts_from(networks, self._net_classes, labels.classes, self.n_estimators)
        candidates = labels.candidates if isinstance(labels, MapLabels) else None
        prior = check_class_prior(params.get("class_prior"), labels.known, labels.classes, candidates)
        anew = make_settings(
            {**params, **self._of_part("cycle")}, auto, method, labels, net_params["batch_size"]
        )
        settings = shortened(anew, params) if starts else anew
        if isinstance(samples, Rows) and samples.drawn:
            net_params["target_views"] = settings.target_views
        is_auto = isinstance(self.module, str)
        guidance = make_guidance(params.get("class_prior"), params.get("teachers"), auto)
        fallback = "cycle__fallback" in self._parts and self._of_part("cycle").get(
            "fallback", auto.guidance.fallback
        )
        # Networks of one's own, callbacks, and weights that were learned before are for one training.
        in_doubt = guidance.in_doubt if is_auto and self.callbacks is None and not starts else ()
        return Task(
            samples=samples,
            labels=labels,
            method=method,
            module=auto.module if is_auto else self.module,
            module_params={**(auto.module_kwargs if is_auto else {}), **self._of_part("module")},
            settings=settings,
            prior=None if prior is None else torch.from_numpy(prior).float(),
            guidance=replace(guidance, fallback=fallback, in_doubt=in_doubt),
            net_params={
                **net_params,
                "augment": auto.augment if isinstance(self.augment, str) else self.augment,
                "optimizer": self.optimizer,
                "callbacks": self.callbacks,
                **{k: v for k, v in self._kwargs.items() if k.startswith(("optimizer__", "callbacks__"))},
            },
            device=auto.device,
            data_parallel=data_parallel,
            verbose=self.verbose,
            transduction=self._of_part("cycle").get("transduction", True),
            starts=starts,
            epochs_anew=anew.pretrain_epochs,
        )

    def _store(
        self, nets: list[SSLDECNet], outcomes: list[Outcome], labels: EncodedLabels | MapLabels
    ) -> None:
        self.nets_ = nets
        self._net_classes = labels.classes
        heads = [net.module_.head for net in self.nets_]
        if all(isinstance(head, ClusteringLayer) for head in heads):
            centers = [head.centers.detach().cpu().numpy() for head in heads]
            self.cluster_centers_ = centers[0] if self.n_estimators == 1 else np.stack(centers)
        self.history_ = [
            {"estimator": i, **record} for i, outcome in enumerate(outcomes) for record in outcome.history
        ]
        self.n_iter_ = max(outcome.n_iter for outcome in outcomes)
        if labels.is_complete:
            self.n_iter_ = 1  # the supervised training
        conditions = {outcome.termination_condition for outcome in outcomes}
        worst_first = ("interrupted", "diverged", "max_iter", "tol", "supervised")
        self.termination_condition_ = next(name for name in worst_first if name in conditions)


def refuse_of_drawn(cycle: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse parameters that have a meaning where targets are drawn, where they are those of all samples.

    Parameters
    ----------
    cycle : dict
        Parameters of the cycle that the user has set.
    names : sequence of str
        Names of those to refuse.

    Raises
    ------
    ValueError
        If one is set.
    """
    for name in names:
        if name in cycle:
            raise ValueError(
                f"cycle__{name} has a meaning for cycle__targets='drawn' only, got "
                f"{cycle[name]!r} with 'all'."
            )


def make_settings(
    params: Mapping[str, Any], auto: Auto, method: Method, labels: EncodedLabels | MapLabels, batch_size: int
) -> Settings:
    """Return the settings of Algorithm 1: the method's, else the user's, else the defaults.

    Parameters
    ----------
    params : dict
        The user's parameters; "auto" stands for the default.
    auto : Auto
        The defaults.
    method : Method
        The method.
    labels : EncodedLabels
        The labels.
    batch_size : int
        Samples a batch.
    """
    names = {each.name for each in fields(Settings)} - {"target"}
    own = {
        name: value
        for name, value in params.items()
        if name in names and not (isinstance(value, str) and value == "auto")
    }
    chosen = {**auto.cycle, **method.defaults, **own, **method.fixed}
    for name in ("pretrain_lr", "lr"):
        chosen[name] = check_learning_rate(name, chosen[name])
    if "pretrain_epochs" not in chosen:
        chosen["pretrain_epochs"] = pretrain_epochs(len(labels.known), batch_size, auto)
    chosen["class_weight"] = check_class_weight(chosen.get("class_weight"), labels)
    if params["augment"] is None:  # all views would be the same
        chosen["target_views"] = 0
    if labels.is_complete:
        chosen["max_iter"] = 0
    return Settings(**{name: value for name, value in chosen.items() if name in names})


def check_class_weight(class_weight: Any, labels: EncodedLabels | MapLabels) -> tuple[float, ...] | None:
    """Return the weight of each class, with a mean of 1 over the labeled samples, or None.

    Parameters
    ----------
    class_weight : "balanced", dict of class to weight, or None
        The user's parameter, as in scikit-learn: a class that is not in the dict has weight 1.
    labels : EncodedLabels
        The labels.

    Raises
    ------
    ValueError
        If the dict has another class, or a weight that is not a positive finite number.
    """
    if class_weight is None:
        return None
    names = labels.classes.tolist()
    counts = np.bincount(labels.known, minlength=len(names))
    if isinstance(class_weight, str):
        class_weight = dict(zip(names, 1 / counts, strict=True))
    valid = all(isinstance(each, Real) and 0 < float(each) < math.inf for each in class_weight.values())
    if not valid or set(class_weight) - set(names):
        raise ValueError(
            f"cycle__class_weight must hold positive numbers for some of the classes {names}, got "
            f"{class_weight!r}."
        )
    weights = np.array([float(class_weight.get(name, 1)) for name in names])
    return tuple((weights * counts.sum() / (weights @ counts)).tolist())


def shortened(settings: Settings, params: Mapping[str, Any]) -> Settings:
    """Return the settings of a warm start: a share of the epochs and iterations that "auto" stands for.

    Parameters
    ----------
    settings : Settings
        Those of a new network.
    params : dict
        The user's parameters.
    """
    names = [name for name in ("pretrain_epochs", "max_iter") if params.get(name, "auto") == "auto"]
    return replace(settings, **{name: math.ceil(WARM_SHARE * getattr(settings, name)) for name in names})


def check_learning_rate(name: str, value: Any) -> tuple[float, float]:
    """Return a learning rate as its values at the start and at the end.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error.
    value : float or tuple of two floats
        A constant, or the values at the start and the end.

    Raises
    ------
    ValueError
        If a tuple does not hold two positive finite numbers.
    """
    ends = value if isinstance(value, tuple) else (value, value)
    if len(ends) != 2 or not all(isinstance(end, Real) and 0 < float(end) < math.inf for end in ends):
        raise ValueError(f"{name} must be a positive number or a tuple of two, start and end, got {value!r}.")
    return float(ends[0]), float(ends[1])


def make_guidance(class_prior: Any, teachers: Any, auto: Auto) -> Guidance:
    """Return what guides the targets.

    Parameters
    ----------
    class_prior : object
        The user's parameter; "auto" lets the data decide whether shares are estimated.
    teachers : "auto", estimator, sequence of estimators, or None
        The user's parameter.
    auto : Auto
        The defaults.

    Raises
    ------
    TypeError
        If a teacher is not a classifier with ``fit`` and ``predict_proba``.
    """
    estimate = isinstance(class_prior, str) and class_prior == "auto" and auto.guidance.estimate_shares
    if isinstance(teachers, str):
        return replace(auto.guidance, estimate_shares=estimate)
    listed = [] if teachers is None else teachers if isinstance(teachers, (list, tuple)) else [teachers]
    for each in listed:
        if isinstance(each, type) or not (hasattr(each, "fit") and hasattr(each, "predict_proba")):
            raise TypeError(f"teachers must be classifiers with fit and predict_proba, got {each!r}.")
    return Guidance(tuple(Teacher(each) for each in listed), estimate)


def check_class_prior(
    class_prior: Any, codes: np.ndarray, classes: np.ndarray, candidates: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the prior of each class as an array that sums to 1, or None for the uniform one.

    Parameters
    ----------
    class_prior : {"auto", "labeled"}, dict of class to share, array-like of shape (n_classes,) or None
        The user's parameter; a Series goes by its index, as a dict does. "labeled" stands for the shares of
        the labeled samples. "auto" has no prior: see
        `make_guidance`.
    codes : ndarray of shape (n_samples,)
        Encoded labels, -1 for unlabeled samples.
    classes : ndarray of shape (n_classes,)
        The classes, sorted.
    candidates : ndarray of shape (n_partial, n_classes), bool, default=None
        Candidate classes of each partial label.

    Raises
    ------
    ValueError
        If a class has no share, or a share is not a positive finite number.
    """
    if class_prior is None or (isinstance(class_prior, str) and class_prior == "auto"):
        return None
    shares = by_name(class_prior, classes.tolist())
    if isinstance(shares, str):
        if candidates is None:
            candidates = np.empty((0, len(classes)), dtype=bool)
        shares = count_classes(codes[codes >= 0], len(classes), candidates)
    elif isinstance(shares, Mapping):
        names = classes.tolist()
        if set(shares) != set(names):
            raise ValueError(
                f"class_prior must have a share for each class, {names}, and for no other; got shares for "
                f"{list(shares)}."
            )
        shares = [shares[name] for name in names]
    try:
        prior = np.asarray(shares, dtype=float)
    except (TypeError, ValueError):
        prior = np.empty(0)
    if prior.shape != (len(classes),) or not np.isfinite(prior).all() or (prior <= 0).any():
        raise ValueError(
            f"class_prior must hold a positive share for each of the {len(classes)} classes, in the order of "
            f"classes_, got {class_prior!r}."
        )
    return prior / prior.sum()


def by_name(shares: Any, names: list) -> Any:
    """Return a Series of shares as a dict, unless its index only counts; anything else as it is.

    Parameters
    ----------
    shares : object
        The user's parameter.
    names : list
        The classes.

    Examples
    --------
    >>> import pandas as pd
    >>> by_name(pd.Series({"b": 0.7, "a": 0.3}), ["a", "b"])
    {'b': 0.7, 'a': 0.3}
    """
    if not (hasattr(shares, "index") and hasattr(shares, "to_dict")):
        return shares
    index = list(shares.index)
    only_counts = index == list(range(len(index))) and set(index) != set(names)
    return shares.to_numpy() if only_counts else shares.to_dict()
