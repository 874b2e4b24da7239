"""SSLDECClassifier: semi-supervised classification with deep embedded clustering."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_ssldec._estimators.base import refuse_of_drawn
from sklearn_ssldec._estimators.defaults import Auto, default_frequency
from sklearn_ssldec._estimators.docstrings import documented
from sklearn_ssldec._estimators.methods import clustering_head, drawn_target, prior_target
from sklearn_ssldec._estimators.neighbors import neighbor_advice
from sklearn_ssldec._estimators.rowwise import BaseClassifier
from sklearn_ssldec._estimators.task import Method, Task
from sklearn_ssldec._samples.sources import Rows
from sklearn_ssldec._training.drawn_rows import DrawnRowNet
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.algorithm import Outcome, Settings
from sklearn_ssldec.clustering import log_density
from sklearn_ssldec.labels import EncodedLabels


@documented
class SSLDECClassifier(BaseClassifier):
    r"""Semi-supervised classifier with deep embedded clustering (SSLDEC).

    A few labeled and many unlabeled samples train a neural network whose last layer, the clustering layer,
    assigns each embedded sample to the centroids of the classes by distance. Training starts on the labeled
    samples. Each iteration then predicts all samples (Q), sharpens the predictions into targets (P), trains
    on a balanced subset of them, and trains on the labeled samples until all are predicted correctly again
    (Algorithm 1 of [1]_).

    Parameters
    ----------
    {module_rows}
    alpha : float or "auto", default="auto"
        Degrees of freedom of the Student's t kernel in eq. 1. "auto" is the paper's 1 for rows of up to 3
        features, 3 for images of 16 pixels a side or more whose targets are drawn, and 10 otherwise.
    {n_estimators}
    {pretrain_epochs_rows}
    {max_iter_rows}
    {tol}
    {labeled_threshold_rows}
    {balance_rows}
    {class_prior_rows}
    {teachers}
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
    {warm_start}
    {n_jobs}
    {random_state}
    {verbose}
    {free_parts}

        {head__spread}
        {cycle__n_iter_no_change}
        {cycle__max_labeled_epochs}
        {cycle__labeled_weight}
        {cycle__label_smoothing}
        {cycle__targets_rows}
        {cycle__class_weight}
        {cycle__frequency_rows}
        {cycle__max_rows}
        {cycle__fallback}
        {cycle__target_views_rows}
        {cycle__min_confidence_rows}
        {cycle__neighbors}
        {net__ema_decay}
        {net__precision}
        {net__cuda_graphs}
        {net__reduction_rows}
        {net__predict_views}
        {net__data_parallel}

    Attributes
    ----------
    {classes_}
    {transduction_rows}
    {fitted}
    {centers}
    {target_weights}
    {fallback}
    class_means_ : ndarray of shape (n_classes, embedding_size), float32
        Mean embedding of the labeled samples of each class, for `score_samples`; with several networks of
        shape (n_estimators, n_classes, embedding_size).
    {inputs_rows}

    See Also
    --------
    sklearn_ssldec.baselines : The methods that the paper compares with, on the same networks.

    Notes
    -----
    Rows of more than three features are a table. The defaults for tables depart from the paper most: wider
    network, more weight decay, estimated class shares, teachers, bounded frequencies, no balanced subset and
    no training of the labeled samples to a threshold. ``class_prior=None, teachers=None,
    cycle__frequency="soft"`` gives the paper's targets.

    SSLDEC can end below its own supervised model. Compare the two on held-out labels:
    ``SSLDECClassifier(max_iter=0, random_state=0)`` is what ``SSLDECClassifier(random_state=0)`` starts from.

    References
    ----------
    .. [1] J. Enguehard, P. O'Halloran, A. Gholipour, "Semi-Supervised Learning With Deep Embedded Clustering
       for Image Classification and Segmentation", IEEE Access 7, 2019, :doi:`10.1109/ACCESS.2019.2891970`.
    .. [2] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
       Probabilities: A Simple Procedure", Neural Computation 14, 2002, :doi:`10.1162/089976602753284446`.

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

    _parts: ClassVar[tuple[str, ...]] = (
        "head__spread",
        "cycle__n_iter_no_change",
        "cycle__max_labeled_epochs",
        "cycle__labeled_weight",
        "cycle__label_smoothing",
        "cycle__targets",
        "cycle__class_weight",
        "cycle__frequency",
        "cycle__max_rows",
        "cycle__fallback",
        "cycle__target_views",
        "cycle__min_confidence",
        "cycle__neighbors",
        "net__ema_decay",
        "net__precision",
        "net__cuda_graphs",
        "net__reduction",
        "net__predict_views",
        "net__data_parallel",
    )

    def __init__(
        self,
        module: Any = "auto",
        *,
        alpha: float | str = "auto",
        n_estimators: int = 1,
        pretrain_epochs: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-3,
        labeled_threshold: float = 1.0,
        balance: float | str | None = "auto",
        class_prior: Any = "auto",
        teachers: Any = "auto",
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
        self.labeled_threshold = labeled_threshold
        self.balance = balance
        self.class_prior = class_prior
        self.teachers = teachers
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
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._kwargs = self._checked(kwargs)

    def _choose(self, auto: Auto) -> None:
        self.alpha_ = auto.alpha if isinstance(self.alpha, str) else self.alpha
        self.head_spread_ = self._of_part("head").get("spread", auto.head_spread)

    def _is_drawn(self) -> bool:
        cycle = self._of_part("cycle")
        needs_all = {
            "balance": not isinstance(self.balance, str) and self.balance is not None,
            "teachers": not isinstance(self.teachers, str) and self.teachers is not None,
            "cycle__fallback": cycle.get("fallback", False),
            "cycle__frequency": cycle.get("frequency", "soft") != "soft",
            "net__data_parallel": self._of_part("net").get("data_parallel", False),
        }
        targets, is_image = cycle.get("targets", "auto"), len(self.input_shape_) == 3
        if targets == "auto":
            targets = "drawn" if is_image and not any(needs_all.values()) else "all"
        if targets == "all":
            asked = cycle.get("neighbors", "auto")
            is_asked = asked and not isinstance(asked, str)
            refuse_of_drawn(cycle, ["min_confidence", *(["neighbors"] if is_asked else [])])
            return False
        for name, is_set in needs_all.items():
            if is_set:
                raise ValueError(
                    f"{name} needs cycle__targets='all', got {name}={self.get_params()[name]!r} with 'drawn'."
                )
        return True

    def _method(self) -> Method:
        head = partial(clustering_head, alpha=self.alpha_, spread=self.head_spread_)
        if self._is_drawn():
            return Method(head, partial(drawn_target, n_classes=len(self.classes_)), DrawnRowNet)
        frequency = self._of_part("cycle").get("frequency", default_frequency(self.input_shape_))
        return Method(head, partial(prior_target, frequency=frequency), SSLDECNet)

    def _task(self, samples: Any, labels: Any, auto: Auto) -> Task:
        """Describe the fit, and ask neighbors once all parameters are known to be in order."""
        task = super()._task(samples, labels, auto)
        asked = self._of_part("cycle").get("neighbors", "auto")
        is_asked = auto.neighbors if isinstance(asked, str) else asked
        if not is_asked or self.max_iter == 0 or labels.is_complete:
            return task
        advice = neighbor_advice(samples.X, labels.codes, len(labels.classes))
        return replace(task, samples=replace(samples, advice=advice))

    def _fit_networks(
        self, samples: Any, labels: Any, auto: Auto, **data: Any
    ) -> tuple[Settings, list[Outcome]]:
        """Train the networks, and store the mean embedding of each class."""
        result = super()._fit_networks(samples, labels, auto, **data)
        self._store_class_means(samples, labels)
        return result

    def _store_class_means(self, samples: Rows, labels: EncodedLabels) -> None:
        known, _ = Rows(samples.X[labels.labeled]).place(torch.device("cpu"))
        codes = labels.codes[labels.labeled]
        of_nets = []
        for net in self.nets_:
            with net.threads():
                embedded = net.embed(known).cpu().numpy()
            of_nets.append(np.stack([embedded[codes == j].mean(axis=0) for j in range(len(labels.classes))]))
        self.class_means_ = of_nets[0] if self.n_estimators == 1 else np.stack(of_nets)

    def score_samples(self, X: Any) -> np.ndarray:
        r"""Return the log-density of samples around the known classes, up to a constant.

        The density is the mean over the classes of eq. 1's kernel around `class_means_`, the mean embedding
        of each class's labeled samples (see `sklearn_ssldec.clustering.log_density`). With several networks,
        it is the mean of their log-densities. As for scikit-learn's outlier detectors, a larger score is more
        normal: samples of a class without labels have low ones.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float32
            Log-densities, at most 0.

        Notes
        -----
        Distances from the trained centroids would not tell what is unknown. The centroids are free weights,
        and eq. 1 depends on distances relative to each other: training moves a class away from the other
        centroids, past its own, and samples that the network is unsure of stay between all of them.
        """
        check_is_fitted(self)
        means = self.class_means_ if self.class_means_.ndim == 3 else self.class_means_[None]
        embedded = [torch.from_numpy(z) for z in self._apply(SSLDECNet.embed, X)]
        scores = [
            # Where a network's numbers overflow, a sample is infinitely far away.
            log_density(z.nan_to_num(nan=torch.inf), torch.from_numpy(centers), self.alpha_).numpy()
            for z, centers in zip(embedded, means, strict=True)
        ]
        return np.mean(scores, axis=0)
