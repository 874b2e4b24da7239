"""SSLDECClassifier: semi-supervised classification with deep embedded clustering."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, _safe_indexing, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_ssldec._base import BaseSSLDEC, check_class_prior
from sklearn_ssldec.augment import GaussianNoise
from sklearn_ssldec.device import place
from sklearn_ssldec.labels import encode_labels, labeled_mask
from sklearn_ssldec.net import SSLDECNet
from sklearn_ssldec.networks import MLP

# Standard deviation of augment="auto", as a share of the root mean square of the features' standard
# deviations in X, and what is left of it in the last iteration.
NOISE_SHARE, NOISE_FINAL_SHARE = 0.35, 0.15 / 0.35


class SSLDECClassifier(ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSSLDEC):
    r"""Semi-supervised classifier with deep embedded clustering (SSLDEC).

    A few labels and many unlabeled samples train a neural network whose last layer assigns each embedded
    sample to the nearest of one centroid a class. After pre-training on the labeled samples, each iteration
    computes soft assignments of all samples, sharpens them into targets, trains on a balanced subset of
    these, and mends what that breaks on the labeled samples (Algorithm 1 of [1]_).

    Parameters
    ----------
    module : "auto", Module class or Module instance, default="auto"
        The network that maps a batch of shape (n_samples, n_features) to embeddings of shape
        (n_samples, embedding_size); the clustering layer is put on top of it. "auto" is
        :class:`~sklearn_ssldec.networks.MLP`. A class is called with ``module__*``, and with ``input_shape``
        and ``n_classes`` if it takes them. An instance is copied: training starts from its weights.
    alpha : float, default=1.0
        Degrees of freedom of the Student's t kernel in eq. 1. The paper has 1.
    n_estimators : int, default=1
        Number of networks, trained from different seeds, whose probabilities are averaged. The paper has 5
        for images.
    pretrain_epochs : int, default=100
        Epochs of supervised pre-training on the labeled samples, as in the paper.
    max_iter : int, default=200
        The largest number of iterations; 0 is the supervised-only model, the paper's lower bound. The paper
        does not say its number.
    tol : float, default=1e-3
        Share of the samples whose predicted class may change in an iteration that counts as calm.
    n_iter_no_change : int, default=10
        Training ends after so many calm iterations in a row. The paper leaves the end condition open.
    labeled_threshold : float, default=1.0
        Accuracy on the labeled samples to which each iteration trains them. The paper has 1. Lower it if
        some labels may be wrong.
    max_labeled_epochs : int, default=100
        Cap of that training, in epochs an iteration, since an accuracy of 1 may be out of reach.
    labeled_weight : float, default=1.0
        Labeled samples join each batch of an iteration, with their labels, and have this weight in the loss
        where the targets have 1. The paper has 0: labeled samples take part with their computed targets
        only.
    balance : float in [0, 1] or None, default=0.1
        The subset that an iteration trains on holds the same number of samples of each predicted class: that
        of the smallest class, but at least this share of ``n_samples / n_classes``; classes with fewer
        samples have them repeated. The paper has 0, with which a class that is hardly ever predicted leaves
        hardly a sample to train on. None trains on all samples.
    class_prior : "labeled", array-like of shape (n_classes,) or None, default=None
        Known share of each class, in the order of `classes_`, or "labeled" for the shares of the labels.
        None is the paper's eq. 2, which pulls all classes towards the same size. See
        :func:`~sklearn_ssldec.clustering.target_distribution`.
    augment : "auto", callable or None, default="auto"
        What each training batch goes through, a tensor to a tensor of the same shape. "auto" adds Gaussian
        noise whose standard deviation is 0.35 of the features' (the root of their mean variance in X), and
        falls geometrically to 0.15 of it over `max_iter`. None is for networks that are stochastic
        themselves. See :mod:`sklearn_ssldec.augment`.
    optimizer : Optimizer class, default=torch.optim.Adam
        As in the paper. Its ``weight_decay`` is 2e-4 on the kernels of dense and convolutional layers and 0
        on all else, which is the paper's L2 regularisation, unless ``optimizer__weight_decay`` sets the
        kernels' to another value.
    pretrain_lr : float or tuple of two floats, default=(1e-2, 1e-3)
        Learning rate of pre-training: constant, or from the first value to the second, linearly. The paper
        has (1e-3, 1e-4), which needs more steps than a small data set gives.
    lr : float or tuple of two floats, default=(1e-2, 1e-3)
        Learning rate of the iterations; a tuple falls linearly over `max_iter`. The paper has 1e-4.
    batch_size : int, default=128
        Samples a batch, as in the paper.
    min_batches : int, default=8
        Least number of batches an iteration; where the balanced subset gives fewer, more subsets are drawn.
        The paper has 1: a single epoch on a single subset.
    unlabeled_label : int, str or None, default=-1
        The value in `y` that marks an unlabeled sample. None: every sample is labeled.
    device : str or torch.device, default="auto"
        Where the networks are trained. "auto" takes CUDA, then MPS, then the CPU.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Passed to skorch, which copies are made for.
    n_jobs : int, default=None
        Networks trained at the same time, through joblib; the results do not depend on it.
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
    n_iter_ : int
        Iterations done, the largest number of any network. 1 where every sample is labeled: the supervised
        training.
    termination_condition_ : {"tol", "max_iter", "supervised"}
        Why training ended: few enough classes changed; `max_iter` was reached (by any of the networks); or
        there were no iterations, because `max_iter` is 0 or every sample is labeled.
    history_ : list of dict
        One record for pre-training (iteration 0) and one for each iteration of each network, with keys
        ``estimator``, ``iteration``, ``loss``, ``labeled_accuracy``, ``share_changed``, ``subset_size``,
        ``labeled_epochs``, ``n_absent_classes`` and ``seconds``; ``pandas.DataFrame(history_)`` is a table.
    cluster_centers_ : ndarray of shape (n_classes, embedding_size), float32
        Centroids; with several networks of shape (n_estimators, n_classes, embedding_size).
    nets_ : list of skorch.NeuralNet
        The trained networks; ``nets_[0].module_`` is the torch module.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    sklearn.semi_supervised.LabelSpreading : Labels spread over a graph of the samples.
    sklearn.semi_supervised.SelfTrainingClassifier : Any classifier, trained on its own confident predictions.

    Notes
    -----
    SSLDEC can end below its own supervised model. Compare the two on held-out labels:
    ``SSLDECClassifier(max_iter=0, random_state=0)`` is what ``SSLDECClassifier(random_state=0)`` starts from.

    The paper's settings, all at once: ``pretrain_lr=(1e-3, 1e-4), lr=1e-4, labeled_weight=0, balance=0,
    min_batches=1``.

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
        alpha: float = 1.0,
        n_estimators: int = 1,
        pretrain_epochs: int = 100,
        max_iter: int = 200,
        tol: float = 1e-3,
        n_iter_no_change: int = 10,
        labeled_threshold: float = 1.0,
        max_labeled_epochs: int = 100,
        labeled_weight: float = 1.0,
        balance: float | None = 0.1,
        class_prior: Any = None,
        augment: Any = "auto",
        optimizer: Any = torch.optim.Adam,
        pretrain_lr: float | tuple[float, float] = (1e-2, 1e-3),
        lr: float | tuple[float, float] = (1e-2, 1e-3),
        batch_size: int = 128,
        min_batches: int = 8,
        unlabeled_label: int | str | None = -1,
        device: str | torch.device = "auto",
        callbacks: Any = None,
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
        self.unlabeled_label = unlabeled_label
        self.device = device
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
        X : array-like of shape (n_samples, n_features)
            Samples, labeled and unlabeled; computed in float32. Scale the features (StandardScaler).
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
        X = validate_data(self, X, dtype=np.float32, order="C", ensure_min_samples=2)
        labels = encode_labels(y, self.unlabeled_label)
        check_consistent_length(X, y)
        self.classes_ = labels.classes
        n_classes = len(self.classes_)
        prior = check_class_prior(self.class_prior, labels.codes, n_classes)
        if self.unlabeled_label is not None and labels.labeled.all():
            warnings.warn(
                f"y has no unlabeled sample (none is {self.unlabeled_label!r}), so that the network is "
                "trained on the labels alone. Pass unlabeled_label=None if this is what you want.",
                UserWarning,
                stacklevel=2,
            )
        augment = self.augment
        if isinstance(augment, str):
            augment = GaussianNoise(NOISE_SHARE * float(np.sqrt(X.var(axis=0).mean())), NOISE_FINAL_SHARE)

        members = self._fit_members(X, labels.codes, n_classes, prior, MLP, augment)
        self.nets_ = [net for net, _ in members]
        outcomes = [outcome for _, outcome in members]
        centers = [net.module_.clustering.centers.detach().cpu().numpy() for net in self.nets_]
        self.cluster_centers_ = centers[0] if self.n_estimators == 1 else np.stack(centers)
        self._n_features_out = len(self.nets_) * centers[0].shape[1]
        self.label_distributions_ = np.mean([outcome.Q.numpy() for outcome in outcomes], axis=0)
        predicted = np.where(labels.labeled, labels.codes, self.label_distributions_.argmax(axis=1))
        self.transduction_ = self.classes_[predicted]
        self.history_ = [
            {"estimator": i, **record} for i, outcome in enumerate(outcomes) for record in outcome.history
        ]
        self.n_iter_ = max(outcome.n_iter for outcome in outcomes)
        if labels.labeled.all():
            self.n_iter_ = 1  # the supervised training
        conditions = {outcome.termination_condition for outcome in outcomes}
        self.termination_condition_ = "max_iter" if "max_iter" in conditions else conditions.pop()
        self._warn_of_outcomes(outcomes, self.classes_)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities: q of eq. 1, averaged over the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Probabilities, in the order of `classes_`; rows sum to 1.
        """
        return np.mean(self._apply(SSLDECNet.soft_assignment, X), axis=0)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def transform(self, X: Any) -> np.ndarray:
        """Embed samples: the z of eq. 1, those of several networks side by side.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        X : array-like of shape (n_samples, n_features)
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
        given = _safe_indexing(y, rows)
        if not isinstance(self.classes_[0], str):
            given = np.asarray(given).astype(self.classes_.dtype)  # object arrays, which metrics refuse
        if sample_weight is not None:
            sample_weight = _safe_indexing(sample_weight, rows)
        return accuracy_score(given, self.predict(_safe_indexing(X, rows)), sample_weight=sample_weight)

    def _apply(self, method: Callable[[SSLDECNet, Tensor], Tensor], X: Any) -> list[np.ndarray]:
        """Return what a method of each net makes of the samples."""
        check_is_fitted(self)
        samples = place(validate_data(self, X, dtype=np.float32, order="C", reset=False), torch.device("cpu"))
        results = []
        for net in self.nets_:
            with net.threads():
                results.append(method(net, samples).cpu().numpy())
        return results

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: float32 comes out, whatever goes in."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
