"""SSLDECSegmenter: semi-supervised segmentation with deep embedded clustering."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context

from sklearn_ssldec._estimators._voxelwise import BaseVoxelwise
from sklearn_ssldec._estimators.ensemble import majority, warn_of_outcomes
from sklearn_ssldec._samples.volumes import (
    as_label_maps,
    as_volumes,
    check_shapes,
    encode_label_maps,
    is_collection,
)
from sklearn_ssldec.clustering import hard_assignment
from sklearn_ssldec.metrics import dice_score


class SSLDECSegmenter(BaseVoxelwise):
    r"""Semi-supervised segmentation with deep embedded clustering (SSLDEC), voxel by voxel.

    A few labeled voxels and many unlabeled ones train a fully convolutional network whose last layer assigns
    the embedding of each voxel to one centroid a class (section IV-F of [1]_). Labels may be whole volumes,
    single slices, patches or scribbles; two or three dimensions, one or several channels.

    Parameters
    ----------
    module : "auto", Module class or Module instance, default="auto"
        The network that maps patches of shape (n, n_channels, \*spatial) to embeddings of shape (n,
        embedding_size, \*spatial), possibly smaller by the same number of voxels on both sides of an axis;
        the clustering layer is put on top of it. "auto" is :class:`~sklearn_ssldec.networks.UNet3D` or
        ``UNet2D``, on a CPU a quarter as wide; the paper's is :class:`~sklearn_ssldec.networks.DenseNet3D`. A
        class is called with ``module__*``, and with ``input_shape`` and ``n_classes`` if it takes them. An
        instance is copied: training starts from its weights.
    alpha : float, default=10.0
        Degrees of freedom of the Student's t kernel in eq. 1. The paper has 1, whose heavy tails never let a
        voxel be assigned with confidence.
    center_spread : float or None, default=2.0
        The centroids start at so many times the unit vectors of the embedding, if it has as many features as
        there are classes. None is Glorot's initialisation, the authors', by which the centroids of two small
        structures may start close together and not come apart.
    n_estimators : int, default=1
        Number of networks, trained from different seeds, whose probabilities are averaged.
    pretrain_epochs : int, default=40
        Epochs of supervised pre-training on patches around labeled voxels. The paper has 100, of all patches.
    max_iter : int, default=6
        The largest number of iterations; 0 is the supervised-only model, the paper's lower bound.
    tol : float, default=1e-3
        Share of the voxels whose predicted class may change in an iteration that counts as calm.
    n_iter_no_change : int, default=3
        Training ends after so many calm iterations in a row.
    labeled_threshold : float, default=0.8
        Accuracy on the labeled voxels, averaged over classes, to which each iteration trains them. The paper
        has 1, which voxels at the border of two tissues do not reach.
    max_labeled_epochs : int, default=1
        Cap of that training, in epochs an iteration.
    labeled_weight : float, default=1.0
        As many patches of labeled voxels join each batch of an iteration, with their labels, and have this
        weight in the loss where the targets have 1. The paper has 0: labeled voxels take part with their
        computed targets only.
    balance : float in [0, 1], default=0.5
        Share of the patches that are centred on a voxel of a class drawn uniformly, by its label or in the
        iterations by its target; the others are centred on any voxel. All voxels of a patch take part. This
        is what patches can have of the paper's balanced subset.
    class_prior : "labeled", array-like of shape (n_classes,) or None, default="labeled"
        Share of each class among all voxels, in the order of `classes_`; "labeled" takes the shares of the
        labeled voxels, which is right for whole volumes and slices, and wrong for scribbles. None is the
        paper's eq. 2, which pulls all classes towards the same size.
    frequency : {"hard", "soft"}, default="hard"
        How the frequencies :math:`f_j` of eq. 2 are counted: from the predicted labels, or by the sum of the
        soft assignments as in the paper. While the network is unsure, soft frequencies of small structures
        are several times too high, and targets would let them shrink.
    augment : "auto", callable or None, default="auto"
        What each batch of patches goes through. "auto" rotates by up to 15 degrees, scales by up to 0.15 and
        shears by up to 0.1, changes contrast and brightness by up to 0.2, and adds noise of 0.1. None turns
        it off. See :mod:`sklearn_ssldec.augment`.
    optimizer : Optimizer class, default=torch.optim.Adam
        As in the paper. Its ``weight_decay`` is 2e-4 on the kernels of convolutional layers and 0 on all
        else, unless ``optimizer__weight_decay`` sets the kernels' to another value.
    pretrain_lr : float, tuple of two floats or "auto", default="auto"
        Learning rate of pre-training: constant, or from the first value to the second, linearly. "auto" is
        (3e-3, 3e-4). The paper has (1e-3, 1e-4).
    lr : float, tuple of two floats or "auto", default="auto"
        Learning rate of the iterations; a tuple falls linearly over `max_iter`. "auto" is (2e-3, 2e-4). The
        paper has 1e-4.
    batch_size : int or "auto", default="auto"
        Patches a batch. "auto" is 2.
    min_batches : int, default=64
        Least number of batches an iteration.
    target_views : int, default=0
        The targets of an iteration come from the mean of Q and of the predictions for so many augmentations
        of each volume, brought back to where its voxels were. Each takes the time of a prediction of all.
    patch_size : int, tuple of int or "auto", default="auto"
        Sides of the training patches. "auto" is 32 in three dimensions (the paper's 27 with its network), 64
        in two.
    patches_per_epoch : int, default=64
        Patches drawn in an epoch.
    tile_size : int or "auto", default="auto"
        Largest side of the tiles of a volume that are predicted at a time; it bounds the memory that
        prediction takes, and hardly changes its result. "auto" is what fits into 2 GiB, or into a quarter of
        a GPU's free memory.
    ema_decay : float in [0, 1) or "auto", default="auto"
        Decay, a step, of the moving average of the weights with which the network predicts; 0 predicts with
        the weights themselves, as the paper does. "auto" is 0.99.
    scaling : "volume" or None, default="volume"
        "volume" brings each channel of each volume to mean 0 and standard deviation 1, when patches
        are cut; None takes intensities as they are.
    unlabeled_label : int, default=-1
        The label that marks unlabeled voxels.
    ignore_label : int or None, default=None
        The label that marks voxels that take part in nothing (air, outside a mask), neither in training nor
        in scores.
    device : str or torch.device, default="auto"
        Where the networks are trained. "auto" takes CUDA, then MPS, then the CPU.
    precision : {"float32", "bf16"}, default="float32"
        What convolutions and matrix products compute in. "bf16" is for recent GPUs, on which it is faster;
        weights, clustering layer and loss stay float32.
    data_parallel : bool, default=False
        The processes of torch.distributed, started by torchrun, train each network together.
    on_divergence : {"warn", "raise"}, default="warn"
        What happens where the loss or the predictions become infinite or NaN in an iteration: training ends
        with the network of the iteration before, and a warning; or with an error. In pre-training it is
        always an error.
    checkpoint_dir : str, path-like or None, default=None
        Folder of checkpoints, one for each fit. The same call, after a crash or a kill, goes on where it was
        and ends with the same result.
    checkpoint_every : int, default=1
        Iterations between checkpoints.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Passed to skorch, which copies are made for.
    n_jobs : int, default=None
        Networks trained at the same time, through joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, patches and augmentation. The generators of torch and numpy are left as they were.
    verbose : int, default=0
        1 shows a progress bar.
    **kwargs
        ``module__*``, ``optimizer__*`` and ``callbacks__*``: parameters of these parts, as in skorch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    transduction_ : list of ndarray of int
        Label map of each training volume: the given label of a voxel, or else the predicted one.
    supervised_transduction_ : list of ndarray of int
        What was predicted for each training volume after pre-training, before unlabeled voxels took part; of
        several networks, what most of them predicted.
    n_iter_ : int
        Iterations done, the largest number of any network.
    termination_condition_ : {"tol", "max_iter", "supervised", "interrupted", "diverged"}
        Why training ended, as in :class:`~sklearn_ssldec.SSLDECClassifier`.
    history_ : list of dict
        One record for pre-training (iteration 0) and one for each iteration of each network (``estimator``).
    cluster_centers_ : ndarray of shape (n_classes, embedding_size), float32
        Centroids; with several networks of shape (n_estimators, n_classes, embedding_size).
    nets_ : list of skorch.NeuralNet
        The trained networks; ``nets_[0].module_`` is the torch module.
    n_dims_, n_channels_ : int
        Number of spatial axes, and of channels.

    See Also
    --------
    sklearn_ssldec.metrics.dice_score : The score.
    sklearn_ssldec.baselines.PseudoLabelSegmenter : What the paper compares with.

    Notes
    -----
    Besides the volumes, which are kept where they are (also as memory maps), `fit` holds two float16 matrices
    of (number of voxels, number of classes), Q and P.

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

    def __init__(
        self,
        module: Any = "auto",
        *,
        alpha: float = 10.0,
        center_spread: float | None = 2.0,
        n_estimators: int = 1,
        pretrain_epochs: int = 40,
        max_iter: int = 6,
        tol: float = 1e-3,
        n_iter_no_change: int = 3,
        labeled_threshold: float = 0.8,
        max_labeled_epochs: int = 1,
        labeled_weight: float = 1.0,
        balance: float = 0.5,
        class_prior: Any = "labeled",
        frequency: str = "hard",
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int = 64,
        target_views: int = 0,
        patch_size: int | Sequence[int] | str = "auto",
        patches_per_epoch: int = 64,
        tile_size: int | str = "auto",
        ema_decay: float | str = "auto",
        scaling: str | None = "volume",
        unlabeled_label: int = -1,
        ignore_label: int | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        data_parallel: bool = False,
        on_divergence: str = "warn",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        callbacks: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        self.module = module
        self.alpha = alpha
        self.center_spread = center_spread
        self.n_estimators = n_estimators
        self.pretrain_epochs = pretrain_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.labeled_threshold = labeled_threshold
        self.max_labeled_epochs = max_labeled_epochs
        self.labeled_weight = labeled_weight
        self.balance = balance
        self.class_prior = class_prior
        self.frequency = frequency
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.target_views = target_views
        self.patch_size = patch_size
        self.patches_per_epoch = patches_per_epoch
        self.tile_size = tile_size
        self.ema_decay = ema_decay
        self.scaling = scaling
        self.unlabeled_label = unlabeled_label
        self.ignore_label = ignore_label
        self.device = device
        self.precision = precision
        self.data_parallel = data_parallel
        self.on_divergence = on_divergence
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = kwargs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> SSLDECSegmenter:
        r"""Fit to volumes of which some voxels are labeled, by Algorithm 1.

        Parameters
        ----------
        X : array-like of shape (n, \*spatial) or (n, n_channels, \*spatial), or sequence of such volumes
            Volumes; in a sequence their spatial shapes may differ. Computed in float32.
        y : array-like of int, of shape (n, \*spatial), or sequence of (label map or None)
            Label maps, with `unlabeled_label` where there is no label; None for a volume without any.

        Returns
        -------
        self : SSLDECSegmenter
            The fitted segmenter.

        Raises
        ------
        ValueError
            If shapes do not agree, a volume is smaller than what the network sees of it for one voxel, no
            voxel is labeled, there are labels of one class only or a single one of a class, labels are
            negative, X has values that are not finite, or a parameter is out of its range.
        TypeError
            If labels are not integers, or volumes not real numbers.
        """
        self._check_kwargs()
        maps = as_label_maps(y, len(is_collection(X)))
        self.n_dims_ = next(labels.ndim for labels in maps if labels is not None)
        volumes = as_volumes(X, self.n_dims_)
        check_shapes(volumes, maps)
        shapes = [volume.shape[1:] for volume in volumes]
        labels, ignored = encode_label_maps(maps, shapes, self.unlabeled_label, self.ignore_label)
        self.n_channels_ = len(volumes[0])
        self.classes_ = labels.classes
        if labels.labeled.all():
            warnings.warn(
                f"y has no unlabeled voxel (none is {self.unlabeled_label}), so that the network is trained "
                "on the labels alone. Add volumes without labels; their label map may be None.",
                stacklevel=3,
            )
        members = self._fit_members((volumes, ignored), labels)
        self._store_outcomes(members, labels)
        outcomes = [outcome for _, outcome in members]
        last = majority([hard_assignment(outcome.Q).numpy() for outcome in outcomes], len(self.classes_))
        first = majority([outcome.supervised.numpy() for outcome in outcomes], len(self.classes_))
        self.transduction_ = self._as_maps(np.where(labels.labeled, labels.codes, last), shapes, ignored)
        self.supervised_transduction_ = self._as_maps(first, shapes, ignored)
        # Three: the line that calls fit, behind scikit-learn's wrapper.
        warn_of_outcomes(
            outcomes, self.classes_, self.labeled_threshold, self.max_labeled_epochs, stacklevel=3
        )
        return self

    def predict_proba(self, X: Any) -> Any:
        r"""Predict class probabilities of each voxel: q of eq. 1, averaged over the networks.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes.

        Returns
        -------
        list of ndarray of shape (n_classes, \*spatial), float32
            Probabilities, in the order of `classes_`; they sum to 1 at each voxel. An array if X is one.
        """
        probabilities = list(self._probabilities(X))
        return np.stack(probabilities) if isinstance(X, np.ndarray) else probabilities

    def predict(self, X: Any) -> Any:
        r"""Predict the most probable label of each voxel.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes.

        Returns
        -------
        list of ndarray of shape (\*spatial), int
            Label maps of the volumes' own shapes. An array if X is one.
        """
        maps = [self.classes_[Q.argmax(axis=0)] for Q in self._probabilities(X)]
        return np.stack(maps) if isinstance(X, np.ndarray) else maps

    def score(self, X: Any, y: Any) -> float:
        r"""Return the mean Dice score of the labels other than 0, over volumes, on the labeled voxels.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes.
        y : array-like or sequence of (label map or None)
            True label maps; voxels with `unlabeled_label` or `ignore_label` do not count, nor volumes that
            have no other.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If no voxel is labeled.
        """
        maps = as_label_maps(y, len(is_collection(X)))
        skipped = [self.unlabeled_label] + ([] if self.ignore_label is None else [self.ignore_label])
        known = [
            i for i, labels in enumerate(maps) if labels is not None and not np.isin(labels, skipped).all()
        ]
        if not known:
            raise ValueError("score needs at least one volume with labeled voxels.")
        predicted = self.predict([X[i] for i in known])
        return float(dice_score([maps[i] for i in known], predicted, ignore_label=skipped))
