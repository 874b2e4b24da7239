"""SSLDECSegmenter: semi-supervised segmentation with deep embedded clustering."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from sklearn_ssldec._estimators.defaults import Auto
from sklearn_ssldec._estimators.docstrings import documented
from sklearn_ssldec._estimators.methods import clustering_head, drawn_target, prior_target
from sklearn_ssldec._estimators.task import Method
from sklearn_ssldec._estimators.voxelwise import BaseSegmenter


@documented
class SSLDECSegmenter(BaseSegmenter):
    r"""Semi-supervised segmentation with deep embedded clustering (SSLDEC), voxel by voxel.

    A few labeled voxels and many unlabeled ones train a fully convolutional network whose last layer assigns
    the embedding of each voxel to the centroids of the classes by distance (section IV-F of [1]_). Labels may
    be whole volumes, single slices, patches or scribbles, in two or three dimensions, with one or several
    channels.

    Parameters
    ----------
    {module_voxels}
    alpha : float, default=10.0
        Degrees of freedom of the Student's t kernel in eq. 1. The paper has 1, whose heavy tails give every
        voxel a considerable probability of every class.
    {n_estimators}
    {pretrain_epochs_voxels}
    {max_iter_voxels}
    {tol}
    {balance_voxels}
    class_prior : "labeled", dict, array-like of shape (n_classes,) or None, default="labeled"
        Share of each class among all voxels, as a dict or a Series by class, or in the order of `classes_`.
        "labeled" takes the shares of the labeled voxels: where targets are drawn those of label maps of which
        three quarters or more are labeled, and if there are none nothing is pulled; otherwise those of all
        labeled voxels, which is right for whole volumes and slices, and wrong for scribbles. None is the
        paper's eq. 2, which pulls all classes towards the same size.
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
    {warm_start}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {head__spread}
        {cycle__n_iter_no_change}
        {cycle__labeled_threshold}
        {cycle__max_labeled_epochs}
        {cycle__labeled_weight}
        {cycle__targets}
        {cycle__target_views}
        {cycle__mix}
        {cycle__dice_weight}
        {cycle__min_confidence}
        {cycle__largest_component}
        {cycle__scribbles}
        {cycle__transduction}
        {cycle__frequency}
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
    {centers}
    {plan_}
    {inputs_voxels}

    See Also
    --------
    sklearn_ssldec.metrics.dice_score : The score.
    sklearn_ssldec.baselines.PseudoLabelSegmenter : The method that the paper compares with.

    Notes
    -----
    `fit` does not copy the volumes, which may be memory maps. With ``cycle__targets="all"`` it holds Q and P
    besides them, two float16 matrices of shape (number of voxels, number of classes).

    References
    ----------
    .. [1] J. Enguehard, P. O'Halloran, A. Gholipour, "Semi-Supervised Learning With Deep Embedded Clustering
       for Image Classification and Segmentation", IEEE Access 7, 2019, :doi:`10.1109/ACCESS.2019.2891970`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssldec import SSLDECSegmenter
    >>> rng = np.random.default_rng(0)
    >>> maps = np.zeros((4, 24, 24), dtype=int)
    >>> maps[:, 6:18, 8:20] = 1
    >>> images = maps + 0.3 * rng.standard_normal(maps.shape)
    >>> labels = [maps[0], None, None, None]   # one image of four is labeled
    >>> seg = SSLDECSegmenter(module__width=0.1, pretrain_epochs=2, max_iter=1, random_state=0)
    >>> seg = seg.fit(images, labels)
    >>> seg.predict(images).shape
    (4, 24, 24)
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
        "cycle__frequency",
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
        alpha: float = 10.0,
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        balance: float | str = "auto",
        class_prior: Any = "labeled",
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
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.alpha = alpha
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.balance = balance
        self.class_prior = class_prior
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
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _choose(self, auto: Auto) -> None:
        self.alpha_ = auto.alpha if isinstance(self.alpha, str) else self.alpha
        self.head_spread_ = self._of_part("head").get("spread", auto.head_spread)

    def _method(self) -> Method:
        frequency = self._of_part("cycle").get("frequency", "hard")
        target: Callable[[Tensor | None], Any] = partial(prior_target, frequency=frequency)
        if self._is_drawn():
            is_labeled = isinstance(self.class_prior, str)
            target = partial(
                drawn_target,
                n_classes=len(self.classes_),
                labeled_prior=is_labeled,
                frequency=frequency,
            )
        return Method(
            head=partial(clustering_head, alpha=self.alpha_, spread=self.head_spread_, axis=1),
            target=target,
            net=self._net_class(),
            fixed={"balance": None},
        )
