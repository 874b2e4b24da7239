"""Other methods on the same networks and in the same training loop: the paper's baselines, and later ones.

Each has a dense layer with softmax instead of the clustering layer, and other targets. A baseline is a
`Method` and a class whose signature lists the parameters of the method.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from sklearn_ssldec._estimators.defaults import Auto
from sklearn_ssldec._estimators.docstrings import documented
from sklearn_ssldec._estimators.methods import (
    FIXMATCH,
    MEAN_TEACHER,
    PI_MODEL,
    PSEUDO_LABELING,
    SUPERVISED,
    TEMPORAL_ENSEMBLING,
    UDA,
    hard_target,
    softmax_head,
)
from sklearn_ssldec._estimators.rowwise import BaseClassifier
from sklearn_ssldec._estimators.task import Method
from sklearn_ssldec._estimators.voxelwise import BaseSegmenter


@documented
class SupervisedClassifier(BaseClassifier):
    r"""The network with a softmax, trained on the labeled samples only.

    `SSLDECClassifier` with ``max_iter=0`` is supervised training with the clustering layer instead.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {batch_size_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {net__ema_decay}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__data_parallel}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import SupervisedClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = SupervisedClassifier(random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__data_parallel",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.batch_size = batch_size
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _method(self) -> Method:
        return SUPERVISED


@documented
class PseudoLabelClassifier(BaseClassifier):
    r"""Pseudo-labeling (Lee, 2013): the predicted classes are the targets of the next iteration.

    This is the paper's "pseudo model": the same network and loop, without the clustering layer and the target
    distribution.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {labeled_threshold_rows}
    {balance_rows}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {cycle__max_labeled_epochs}
        {cycle__labeled_weight}
        {cycle__target_views_0}
        {net__ema_decay}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__data_parallel}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import PseudoLabelClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = PseudoLabelClassifier(random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "cycle__max_labeled_epochs",
        "cycle__labeled_weight",
        "cycle__target_views",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__data_parallel",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        labeled_threshold: float = 1.0,
        balance: float | str | None = "auto",
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.labeled_threshold = labeled_threshold
        self.balance = balance
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _method(self) -> Method:
        return PSEUDO_LABELING


@documented
class PiModelClassifier(BaseClassifier):
    r"""The Pi model (Laine and Aila, 2016): two augmented predictions of a sample should agree.

    The loss is the cross-entropy of the labeled samples that join each batch, plus the mean squared
    difference between two stochastic predictions of all samples. The weight of the latter rises to 100 like
    ``exp(-5 (1 - progress)^2)`` over `max_iter` (section 2.1 there). An iteration is an epoch on all samples;
    there is no balanced subset and no training of the labeled samples to a threshold.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {net__ema_decay}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import PiModelClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = PiModelClassifier(max_iter=20, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _method(self) -> Method:
        return PI_MODEL


@documented
class TemporalEnsemblingClassifier(BaseClassifier):
    r"""Temporal ensembling (Laine and Aila, 2016): predictions should agree with their running average.

    This is the Pi model with another second prediction: the average over all iterations so far, with a
    momentum of 0.6, corrected for its start (section 2.2 there). An iteration predicts all samples at once,
    in eval mode; the original collects the predictions from the training batches.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {net__ema_decay}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import TemporalEnsemblingClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = TemporalEnsemblingClassifier(max_iter=20, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _method(self) -> Method:
        return TEMPORAL_ENSEMBLING


@documented
class FixMatchClassifier(BaseClassifier):
    r"""FixMatch (Sohn et al., 2020): confident predictions of a weak view are the labels of a strong one.

    Each batch has labeled and unlabeled samples. The averaged network predicts a weak view of each unlabeled
    one; where its largest probability is at least ``cycle__min_confidence``, the network learns the predicted
    class from a strong view [1]_. In the original, the network itself predicts: ``net__ema_decay=0``.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {cycle__labeled_weight_drawn}
        {cycle__label_smoothing}
        {cycle__max_rows}
        {cycle__target_views_drawn}
        {cycle__min_confidence_fixmatch}
        {net__ema_decay_drawn}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__predict_views}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    References
    ----------
    .. [1] K. Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
       NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import FixMatchClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = FixMatchClassifier(max_iter=5, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "cycle__labeled_weight",
        "cycle__label_smoothing",
        "cycle__max_rows",
        "cycle__target_views",
        "cycle__min_confidence",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__predict_views",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _is_drawn(self) -> bool:
        return True

    def _method(self) -> Method:
        return FIXMATCH


@documented
class UDAClassifier(BaseClassifier):
    r"""Unsupervised data augmentation, UDA (Xie et al., 2020): a weak and a strong view should agree.

    This is :class:`FixMatchClassifier` with soft targets: the probabilities that the averaged network gives
    to a weak view, sharpened by a temperature of 0.4 [1]_. The original's training signal annealing is left
    out.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {cycle__labeled_weight_drawn}
        {cycle__label_smoothing}
        {cycle__max_rows}
        {cycle__target_views_drawn}
        {cycle__min_confidence_uda}
        {net__ema_decay_drawn}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__predict_views}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    References
    ----------
    .. [1] Q. Xie, Z. Dai, E. Hovy, M.-T. Luong, Q. V. Le, "Unsupervised Data Augmentation for Consistency
       Training", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import UDAClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = UDAClassifier(max_iter=5, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "cycle__labeled_weight",
        "cycle__label_smoothing",
        "cycle__max_rows",
        "cycle__target_views",
        "cycle__min_confidence",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__predict_views",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _is_drawn(self) -> bool:
        return True

    def _method(self) -> Method:
        return UDA


@documented
class MeanTeacherClassifier(BaseClassifier):
    r"""Mean teacher (Tarvainen and Valpola, 2017): predictions should agree with those of averaged weights.

    The loss is the cross-entropy of the labeled samples that join each batch, plus the mean squared
    difference between the network's prediction of an unlabeled sample and the averaged network's of another
    view [1]_. The weight of the latter rises to 100 like ``exp(-5 (1 - progress)^2)`` over `max_iter`, as for
    :class:`PiModelClassifier`.

    Parameters
    ----------
    {module_rows}
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {augment_rows}
    {optimizer}
    {pretrain_lr_rows}
    {lr_rows}
    {batch_size_rows}
    {min_batches_rows}
    {input_shape}
    {unlabeled_label_rows}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {cycle__n_iter_no_change}
        {cycle__label_smoothing}
        {cycle__max_rows}
        {cycle__target_views_drawn}
        {net__ema_decay_drawn}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__predict_views}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.SSLDECClassifier : The paper's method.

    References
    ----------
    .. [1] A. Tarvainen, H. Valpola, "Mean teachers are better role models: Weight-averaged consistency
       targets improve semi-supervised deep learning results", NeurIPS 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ssldec.baselines import MeanTeacherClassifier
    >>> from sklearn_ssldec.datasets import mask_labels
    >>> X, truth = make_blobs(200, centers=3, random_state=0)
    >>> y = mask_labels(truth, 5, random_state=0)
    >>> clf = MeanTeacherClassifier(max_iter=5, random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.8)
    True
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "cycle__n_iter_no_change",
        "cycle__label_smoothing",
        "cycle__max_rows",
        "cycle__target_views",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__predict_views",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _is_drawn(self) -> bool:
        return True

    def _method(self) -> Method:
        return MEAN_TEACHER


@documented
class PseudoLabelSegmenter(BaseSegmenter):
    r"""Pseudo-labeling of voxels: the predicted labels are the targets of the next iteration.

    This is the "pseudo-labeling" of the paper's figures 9 to 11: the same network and loop, without the
    clustering layer and the target distribution.

    Parameters
    ----------
    {module_voxels}
    {n_estimators}
    {pretrain_epochs_voxels}
    {max_iter_voxels}
    {tol}
    {balance_voxels}
    {augment_voxels}
    {optimizer}
    {pretrain_lr_voxels}
    {lr_voxels}
    {batch_size_voxels}
    {min_batches_voxels}
    {patch_size}
    {patches_per_epoch}
    {unlabeled_label_voxels}
    {ignore_label}
    {device}
    {checkpoint_dir}
    {callbacks}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {head__spread_softmax}
        {cycle__n_iter_no_change}
        {cycle__labeled_threshold}
        {cycle__max_labeled_epochs}
        {cycle__labeled_weight}
        {cycle__targets}
        {cycle__target_views_0}
        {cycle__mix}
        {cycle__dice_weight}
        {cycle__min_confidence}
        {cycle__largest_component}
        {cycle__scribbles}
        {cycle__transduction}
        {net__ema_decay}
        {net__precision}
        {net__data_parallel}
        {net__tile_size}
        {net__scaling}
        {net__spacing}
        {net__reduction}
        {net__predict_scales}
        {net__largest_component}

    Attributes
    ----------
    {classes_}
    {transduction_voxels}
    {fitted}
    {plan_}
    {inputs_voxels}

    See Also
    --------
    sklearn_ssldec.SSLDECSegmenter : The paper's method.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssldec.baselines import PseudoLabelSegmenter
    >>> maps = np.zeros((3, 20, 20), dtype=int)
    >>> maps[:, 5:15, 5:15] = 1
    >>> images = maps + 0.3 * np.random.default_rng(0).standard_normal(maps.shape)
    >>> seg = PseudoLabelSegmenter(module__width=0.1, pretrain_epochs=1, max_iter=1, random_state=0)
    >>> seg.fit(images, [maps[0], None, None]).predict(images).shape
    (3, 20, 20)
    """

    _parts: ClassVar[tuple[str, ...]] = (
        "head__spread",
        "cycle__n_iter_no_change",
        "cycle__labeled_threshold",
        "cycle__max_labeled_epochs",
        "cycle__labeled_weight",
        "cycle__targets",
        "cycle__target_views",
        "cycle__mix",
        "cycle__dice_weight",
        "cycle__min_confidence",
        "cycle__largest_component",
        "cycle__scribbles",
        "cycle__transduction",
        "net__ema_decay",
        "net__precision",
        "net__data_parallel",
        "net__tile_size",
        "net__scaling",
        "net__spacing",
        "net__reduction",
        "net__predict_scales",
        "net__largest_component",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        balance: float | str = "auto",
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int = 64,
        patch_size: int | Sequence[int] | str = "auto",
        patches_per_epoch: int | str = "auto",
        unlabeled_label: int = -1,
        ignore_label: int | None = None,
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.balance = balance
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.patch_size = patch_size
        self.patches_per_epoch = patches_per_epoch
        self.unlabeled_label = unlabeled_label
        self.ignore_label = ignore_label
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _choose(self, auto: Auto) -> None:
        self._head_spread = self._of_part("head").get("spread", auto.head_spread)

    def _method(self) -> Method:
        return Method(
            head=partial(softmax_head, spread=self._head_spread),
            target=hard_target,
            net=self._net_class(),
            fixed={"balance": None},
        )
