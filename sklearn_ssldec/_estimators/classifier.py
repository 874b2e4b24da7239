"""SSLDECClassifier: semi-supervised classification with deep embedded clustering."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, _safe_indexing, check_consistent_length
from sklearn.utils.validation import validate_data

from sklearn_ssldec._estimators._rowwise import BaseRowwise
from sklearn_ssldec._estimators.ensemble import majority, mean_probabilities, warn_of_outcomes
from sklearn_ssldec._samples.rows import as_samples
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.labels import encode_labels, labeled_mask, labeled_values, warn_if_all_labeled


class SSLDECClassifier(ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseRowwise):
    r"""Semi-supervised classifier with deep embedded clustering (SSLDEC).

    A few labels and many unlabeled samples train a neural network whose last layer assigns each embedded
    sample to one centroid a class, by distance. After pre-training on the labeled samples, each iteration
    computes soft assignments of all samples, sharpens them into targets, trains on a balanced subset of
    these, and mends what that breaks on the labeled samples (Algorithm 1 of [1]_).

    Parameters
    ----------
    module : "auto", Module class or Module instance, default="auto"
        The network that maps a batch of samples to embeddings of shape (n_samples, embedding_size); the
        clustering layer is put on top of it. "auto" is :class:`~sklearn_ssldec.networks.MLP` for rows of
        features, and :class:`~sklearn_ssldec.networks.ConvNet` for images: the paper's on a CUDA GPU; else
        with 1/8 of its filters (1/4 for fewer than 16 pixels a side), 2 convolutions a block, dropout 0.1.
        A class is called with ``module__*``, and with ``input_shape`` and ``n_classes`` if it takes them. An
        instance is copied: training starts from its weights.
    alpha : float or "auto", default="auto"
        Degrees of freedom in eq. 1. "auto" is the paper's 1, but 10 for images.
    center_spread : float, None or "auto", default="auto"
        The centroids start at so many times the unit vectors, if the embedding has as many features as there
        are classes. "auto" is 2 for images, and None, the authors' Glorot initialisation, for all else.
    n_estimators : int, default=1
        Networks, trained from different seeds, whose probabilities are averaged. The paper has 5 for images.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of supervised pre-training on the labeled samples. "auto" is the paper's 100, but for images
        as many as make 2000 batches (1000 with fewer than 16 pixels a side).
    max_iter : int or "auto", default="auto"
        The largest number of iterations; 0 is the supervised-only model, the paper's lower bound. "auto" is
        200, for images 12 or as many as make 1500 batches. The paper does not say its number.
    tol : float, default=1e-3
        Share of the samples whose predicted class may change in an iteration that counts as calm.
    n_iter_no_change : int, default=10
        Training ends after so many calm iterations in a row. The paper leaves the end condition open.
    labeled_threshold : float, default=1.0
        Accuracy on the labeled samples to which each iteration trains them. The paper has 1. Lower it if
        some labels may be wrong.
    max_labeled_epochs : int, default=100
        Cap of that training, in epochs an iteration: an accuracy of 1 may be out of reach.
    labeled_weight : float or "auto", default="auto"
        Labeled samples join each batch of an iteration, with their labels, and have this weight in the loss
        where the targets have 1. "auto" is 1, for images the paper's 0: labeled samples take part with their
        computed targets only.
    balance : float in [0, 1] or None, default=0.1
        The subset that an iteration trains on holds the same number of samples of each predicted class: that
        of the smallest class, but at least this share of ``n_samples / n_classes``; classes with fewer
        samples have them repeated. The paper has 0, with which a class that is hardly ever predicted leaves
        hardly a sample to train on. None trains on all samples.
    class_prior : "labeled", array-like of shape (n_classes,) or None, default=None
        Known share of each class, in the order of `classes_`, or "labeled" for the shares of the labels.
        None is the paper's eq. 2, which pulls all classes towards the same size.
    augment : "auto", callable or None, default="auto"
        What each training batch goes through, a tensor to a tensor of the same shape. "auto" adds Gaussian
        noise whose standard deviation is 0.35 of the features' (the root of their mean variance in X), and
        falls geometrically to 0.15 of it over `max_iter`; images are rotated by up to 15 degrees, scaled and
        sheared by up to 0.15, and shifted by up to 0.12 of their side. The paper has
        ``RandomTranslation(1)``. None turns it off. See :mod:`sklearn_ssldec.augment`.
    optimizer : Optimizer class, default=torch.optim.Adam
        As in the paper. Its ``weight_decay`` is 2e-4 on the kernels of dense and convolutional layers, the
        paper's L2 regularisation, or ``optimizer__weight_decay``; 0 on all else.
    pretrain_lr : float, tuple of two floats or "auto", default="auto"
        Learning rate of pre-training: constant, or from the first value to the second, linearly. "auto" is
        (1e-2, 1e-3), for images (3e-3, 3e-4). The paper's (1e-3, 1e-4) takes more steps.
    lr : float, tuple of two floats or "auto", default="auto"
        The same of the iterations, over `max_iter`. "auto" is (1e-2, 1e-3), for images (1e-3, 1e-4). The
        paper has 1e-4.
    batch_size : int or "auto", default="auto"
        Samples a batch. "auto" is the paper's 128, for images 32.
    min_batches : int, default=8
        Least number of batches an iteration; where the balanced subset gives fewer, more subsets are drawn.
        The paper has 1: a single epoch on a single subset.
    target_views : int or "auto", default="auto"
        The targets come from the mean of Q and of the predictions for so many random augmentations of each
        sample. "auto" is 0, the paper's, and 4 for images.
    ema_decay : float in [0, 1) or "auto", default="auto"
        Decay, a step, of the moving average of the weights with which the network predicts. "auto" is 0, the
        paper's (the weights themselves), for images 0.99.
    input_shape : tuple of int or None, default=None
        Shape of one image, (n_channels, height, width) or (height, width), if X holds images as flat rows,
        as it does behind scikit-learn's scalers.
    unlabeled_label : int, str or None, default=-1
        Marks an unlabeled sample in `y`. None: all are labeled.
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
        Copies of these are passed to skorch.
    n_jobs : int, default=None
        Networks trained at the same time, through joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches and augmentation. The generators of torch and numpy are left as they were.
    verbose : int, default=0
        1 shows a progress bar.
    **kwargs
        ``module__*``, ``optimizer__*`` and ``callbacks__*``: parameters of these parts, as in skorch.
        ``module__hidden_units=(10, 10, 10, 10)`` is the paper's network on the half-moons.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    transduction_ : ndarray of shape (n_samples,)
        Label of each training sample: the given one, or else the predicted one.
    label_distributions_ : ndarray of shape (n_samples, n_classes), float32
        Class probabilities of each training sample.
    supervised_transduction_ : ndarray of shape (n_samples,)
        What was predicted for each training sample after pre-training, before the unlabeled samples took
        part; of several networks, what most of them predicted.
    n_iter_ : int
        Iterations done, the largest number of any network; 1, the supervised training, if all are labeled.
    termination_condition_ : {"tol", "max_iter", "supervised", "interrupted", "diverged"}
        Why training ended: little changed; `max_iter` was reached (by any network); there were no iterations,
        `max_iter` being 0 or all samples labeled; by Ctrl-C or a callback; see `on_divergence`.
    history_ : list of dict
        One record for pre-training (iteration 0) and one for each iteration of each network (``estimator``):
        loss, labeled accuracy, share changed and so on; ``pandas.DataFrame(history_)`` is a table.
    cluster_centers_ : ndarray of shape (n_classes, embedding_size), float32
        Centroids; with several networks of shape (n_estimators, n_classes, embedding_size).
    nets_ : list of skorch.NeuralNet
        The trained networks; ``nets_[0].module_`` is the torch module.
    input_shape_ : tuple of int
        Shape of one sample as the network takes it.
    n_features_in_ : int
        Number of features of X, its second axis.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    sklearn_ssldec.baselines : What the paper compares with, on the same networks.

    Notes
    -----
    SSLDEC can end below its own supervised model. Compare the two on held-out labels:
    ``SSLDECClassifier(max_iter=0, random_state=0)`` is what ``SSLDECClassifier(random_state=0)`` starts from.
    docs/method.md has a table of the paper's settings and the defaults here.

    References
    ----------
    .. [1] J. Enguehard, P. O'Halloran, A. Gholipour, "Semi-Supervised Learning With Deep Embedded Clustering
       for Image Classification and Segmentation", IEEE Access 7, 2019, :doi:`10.1109/ACCESS.2019.2891970`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> X, truth = make_moons(200, noise=0.1, random_state=0)
    >>> y = np.where(np.arange(200) % 20 == 0, truth, -1)   # 10 labels
    >>> clf = SSLDECClassifier(random_state=0).fit(X, y)
    >>> bool(clf.score(X, truth) > 0.9)
    True
    """

    def __init__(
        self,
        module: Any = "auto",
        *,
        alpha: float | str = "auto",
        center_spread: float | str | None = "auto",
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        n_iter_no_change: int = 10,
        labeled_threshold: float = 1.0,
        max_labeled_epochs: int = 100,
        labeled_weight: float | str = "auto",
        balance: float | None = 0.1,
        class_prior: Any = None,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] | str = "auto",
        lr: float | tuple[float, float] | str = "auto",
        batch_size: int | str = "auto",
        min_batches: int = 8,
        target_views: int | str = "auto",
        ema_decay: float | str = "auto",
        input_shape: tuple[int, ...] | None = None,
        unlabeled_label: int | str | None = -1,
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
        self.augment = augment
        self.optimizer = optimizer
        self.pretrain_lr = pretrain_lr
        self.lr = lr
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.target_views = target_views
        self.ema_decay = ema_decay
        self.input_shape = input_shape
        self.unlabeled_label = unlabeled_label
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
    def fit(self, X: Any, y: Any) -> SSLDECClassifier:
        """Fit to labeled and unlabeled samples by Algorithm 1.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, n_channels, height, width)
            Samples, labeled and unlabeled; computed in float32. Scale features (StandardScaler); images may
            be of any scale, also of integers from 0 to 255. A memory map of float32 in C order is not copied.
        y : array-like of shape (n_samples,)
            Class labels, and `unlabeled_label` for the samples that have none.

        Returns
        -------
        self : SSLDECClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y has the wrong shape or holds missing values, if no sample is labeled, if there is one
            class only, or if a parameter is out of its range.
        """
        self._check_kwargs()
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X = validate_data(self, X, dtype=np.float32, order="C", allow_nd=True, ensure_min_samples=2)
        X = as_samples(X, self.input_shape)
        self.input_shape_ = X.shape[1:]
        labels = encode_labels(y, self.unlabeled_label)
        check_consistent_length(X, y)
        self.classes_ = labels.classes
        # Three: the line that calls fit, behind scikit-learn's wrapper.
        warn_if_all_labeled(labels, self.unlabeled_label, stacklevel=3)
        members = self._fit_members(X, labels)
        self._store_outcomes(members, labels)
        outcomes = [outcome for _, outcome in members]
        self._n_features_out = sum(net.module_.head.n_features for net in self.nets_)
        self.label_distributions_ = mean_probabilities([outcome.Q.numpy() for outcome in outcomes], axis=1)
        predicted = np.where(labels.labeled, labels.codes, self.label_distributions_.argmax(axis=1))
        self.transduction_ = self.classes_[predicted]
        votes = [outcome.supervised.numpy() for outcome in outcomes]
        self.supervised_transduction_ = self.classes_[majority(votes, len(self.classes_))]
        warn_of_outcomes(
            outcomes, self.classes_, self.labeled_threshold, self.max_labeled_epochs, stacklevel=3
        )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities: q of eq. 1, averaged over the networks.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Probabilities, in the order of `classes_`; rows sum to 1.
        """
        return mean_probabilities(self._apply(SSLDECNet.soft_assignment, X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        probabilities = self.predict_proba(X)  # before classes_: it checks whether the estimator is fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def transform(self, X: Any) -> np.ndarray:
        """Embed samples: the z of eq. 1, those of several networks side by side.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_estimators * embedding_size), float32
            Embeddings.
        """
        return np.hstack(self._apply(SSLDECNet.embed, X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the labeled rows; the others, which no prediction can match, do not count.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.
        y : array-like of shape (n_samples,)
            True labels, `unlabeled_label` where unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        float
            Share of the labeled samples that are predicted right.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        labeled = labeled_mask(y, self.unlabeled_label)
        if not labeled.any():
            raise ValueError(
                f"score needs at least one labeled sample: all of y is {self.unlabeled_label!r}. Split the "
                "labeled samples over the folds: StratifiedKFold on y, rather than KFold, does."
            )
        rows = np.flatnonzero(labeled)
        if sample_weight is not None:
            sample_weight = _safe_indexing(sample_weight, rows)
        predicted = self.predict(_safe_indexing(X, rows))
        given = labeled_values(y, self.unlabeled_label)
        return accuracy_score(given, predicted, sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: float32 comes out, whatever goes in."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
