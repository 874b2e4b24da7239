"""The mathematics of SSLDEC: equations 1 to 3 of the paper, and the balanced subset of Algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows that are computed at a time. A matrix of voxels may have many millions.
MANY_ROWS = 2**16
# Differences of embeddings and centroids that are held at a time: they fit in a cache.
MANY_DIFFERENCES = 2**20
# Rows have more differences only with hundreds of classes; then they too are computed a part at a time.
MOST_OF_ROWS = 2**24


def log_soft_assignment(z: Tensor, centers: Tensor, alpha: float = 1.0, axis: int = -1) -> Tensor:
    r"""Logarithm of the soft assignment of embeddings to clusters (eq. 1).

    .. math::
        q_{ij} = \frac{(1 + \lVert z_i - \mu_j \rVert^2 / \alpha)^{-(\alpha + 1) / 2}}
                      {\sum_{j'} (1 + \lVert z_i - \mu_{j'} \rVert^2 / \alpha)^{-(\alpha + 1) / 2}}

    The exponent printed in the paper, :math:`(-\alpha + 1) / 2`, is a slip: it would be 0 for the
    paper's own :math:`\alpha = 1`. DEC and the authors' code have :math:`-(\alpha + 1) / 2`.

    Parameters
    ----------
    z : Tensor of shape (..., n_features, ...)
        Embeddings, with the features along `axis`. Half-precision input is computed in float32.
    centers : Tensor of shape (n_clusters, n_features)
        Centroids :math:`\mu_j`.
    alpha : float, default=1.0
        Degrees of freedom of Student's t kernel, > 0.
    axis : int, default=-1
        Axis of `z` that holds the features; 1 for voxel-wise embeddings.

    Returns
    -------
    Tensor of shape (..., n_clusters, ...)
        Log q, with clusters along `axis`; finite at any distance from the centroids.

    Examples
    --------
    >>> import torch
    >>> z, centers = torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]])
    >>> log_soft_assignment(z, centers).exp()   # kernels 1 and 1/2
    tensor([[0.6667, 0.3333]])
    """
    return functional.log_softmax(_log_kernel(z, centers, alpha, axis), dim=-1).movedim(-1, axis)


def log_density(z: Tensor, centers: Tensor, alpha: float = 1.0, axis: int = -1) -> Tensor:
    r"""Logarithm of the mean kernel of all centers: eq. 1 before it is divided by the sum.

    .. math::
        \log \frac{1}{k} \sum_j (1 + \lVert z_i - \mu_j \rVert^2 / \alpha)^{-(\alpha + 1) / 2}

    It is the smaller the farther an embedding is from every center. Up to a constant it is the log-density of
    a mixture of Student's t distributions of equal shares.

    Parameters
    ----------
    z : Tensor of shape (..., n_features, ...)
        Embeddings, with the features along `axis`. Half-precision input is computed in float32.
    centers : Tensor of shape (n_clusters, n_features)
        Centers :math:`\mu_j`.
    alpha : float, default=1.0
        Degrees of freedom of Student's t kernel, > 0.
    axis : int, default=-1
        Axis of `z` that holds the features; 1 for voxel-wise embeddings.

    Returns
    -------
    Tensor of shape (...)
        Log-density, the shape of `z` without `axis`; finite at any distance from the centers.

    Examples
    --------
    >>> import torch
    >>> z, centers = torch.tensor([[0.0], [9.0]]), torch.tensor([[0.0], [1.0]])
    >>> log_density(z, centers)   # log of (1 + 1/2) / 2 and of (1/82 + 1/65) / 2
    tensor([-0.2877, -4.2838])
    """
    return torch.logsumexp(_log_kernel(z, centers, alpha, axis), dim=-1) - math.log(len(centers))


def _log_kernel(z: Tensor, centers: Tensor, alpha: float, axis: int) -> Tensor:
    """Return the logarithm of eq. 1's numerator, with the clusters along the last axis."""
    if z.dtype in (torch.float16, torch.bfloat16):
        z, centers = z.float(), centers.float()
    z = z.movedim(axis, -1)
    # Sizes are not asked while a network is exported: they would become fixed.
    if not torch.compiler.is_compiling() and (z.ndim > 2 or z.numel() * len(centers) > MOST_OF_ROWS):
        squared_distance: Tensor = _SquaredDistances.apply(z, centers)
    else:
        squared_distance = _squared_distances(z, centers)
    # Beyond the largest floats all clusters are equally far; torch 2.4's log1p of the very largest is inf.
    scaled = (squared_distance / alpha).clamp_max(torch.finfo(z.dtype).max / 4)
    return -(alpha + 1) / 2 * torch.log1p(scaled)


def _squared_distances(z: Tensor, centers: Tensor) -> Tensor:
    """Return the squared distances of embeddings, with their features along the last axis, from centroids."""
    # The explicit difference, not torch.cdist: that one changes its algorithm, and its rounding, with
    # the number of rows, so that a sample's probabilities would depend on the batch it came in.
    return (z.unsqueeze(-2) - centers).square().sum(-1)


class _SquaredDistances(torch.autograd.Function):
    """`_squared_distances` of voxels, or rows of very many classes, a part of them at a time.

    What autograd would keep and compute grows with the number of voxels times classes times features: with
    eleven classes, two thirds of the time of a training step. `torch.export` cannot trace this.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, centers: Tensor) -> Tensor:
        """Return the distances of shape (..., n_clusters)."""
        ctx.save_for_backward(z, centers)
        rows = z.reshape(-1, z.shape[-1]).split(max(1, MANY_DIFFERENCES // centers.numel()))
        found = torch.cat([_squared_distances(some, centers) for some in rows])
        return found.view(*z.shape[:-1], len(centers))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients with respect to embeddings and centroids."""
        z, centers = ctx.saved_tensors
        (of_distances,) = gradients
        # Seen from the middle of the centroids, so that nothing large cancels out.
        middle = centers.mean(0)
        z, centers = z - middle, centers - middle
        of_z = z * of_distances.sum(-1, keepdim=True) - of_distances @ centers
        rows = of_distances.reshape(-1, len(centers))
        of_centers = centers * rows.sum(0)[:, None] - rows.T @ z.reshape(-1, z.shape[-1])
        return 2 * of_z, 2 * of_centers


def target_distribution(
    q: Tensor,
    prior: Tensor | None = None,
    frequency: str = "soft",
    frequencies: Tensor | None = None,
) -> Tensor:
    r"""Compute the target distribution P that sharpens Q (eq. 2).

    .. math::
        p_{ij} = \frac{q_{ij}^2 \pi_j / f_j}{\sum_{j'} q_{ij'}^2 \pi_{j'} / f_{j'}},
        \qquad f_j = \sum_i q_{ij}

    With a uniform prior :math:`\pi`, the default, this is the paper's equation, whose printed
    denominator has an index slip (:math:`i'` for :math:`j'`). Dividing by the frequencies pulls all
    clusters towards the same size; the prior pulls them towards known proportions instead.

    Parameters
    ----------
    q : Tensor of shape (n_samples, n_clusters)
        Soft assignments of **all** samples, labeled and unlabeled; rows sum to 1. Half precision is
        computed in float32, a part of the rows at a time.
    prior : Tensor of shape (n_clusters,), default=None
        Share of each class, :math:`\pi`. None is uniform.
    frequency : {"soft", "hard", "bounded"}, default="soft"
        "soft" is the paper's :math:`f_j`; "hard" counts the samples of which `j` is the most probable
        cluster (at least 1). The heavy tails of Student's t make the soft frequencies of rare classes
        several times too high. "bounded" is the soft one, but at most twice the hard one.
    frequencies : Tensor of shape (n_clusters,), default=None
        :math:`f_j` up to a factor, where `q` holds only some of the samples; `frequency` is not used then.

    Returns
    -------
    Tensor of shape (n_samples, n_clusters)
        P, of the dtype of `q`; rows sum to 1.

    Examples
    --------
    >>> import torch
    >>> target_distribution(torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """
    f = count_frequencies(q, frequency) if frequencies is None else frequencies
    f = f.to(torch.float32 if q.dtype == torch.float16 else q.dtype)
    weight = 1 / f
    if prior is not None:
        weight = weight * prior.to(weight)
    p = torch.empty_like(q)
    for rows, out in zip(q.split(MANY_ROWS), p.split(MANY_ROWS), strict=True):
        sharpened = rows.to(weight.dtype).square() * weight
        out.copy_(sharpened / sharpened.sum(1, keepdim=True))
    return p


def count_frequencies(q: Tensor, frequency: str = "soft") -> Tensor:
    r"""Return the frequency of each cluster, :math:`f_j` of eq. 2.

    Parameters
    ----------
    q : Tensor of shape (n_samples, n_clusters)
        Soft assignments.
    frequency : {"soft", "hard", "bounded"}, default="soft"
        As in `target_distribution`.

    Returns
    -------
    Tensor of shape (n_clusters,)
        Frequencies, float64 (on MPS float32) or, if hard, int64; positive.

    Examples
    --------
    >>> import torch
    >>> q = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    >>> count_frequencies(q, "hard")
    tensor([2, 1])
    """
    if frequency == "bounded":
        return torch.minimum(count_frequencies(q), 2 * count_frequencies(q, "hard"))
    hard = frequency == "hard"
    # Added in double precision, for a float32 sum over many millions of voxels loses digits; in place, for
    # a small tensor of each piece of `q`, kept among large temporary ones, would fragment the memory.
    sums = torch.float32 if q.device.type == "mps" else torch.float64
    f = torch.zeros(q.shape[1], dtype=torch.int64 if hard else sums, device=q.device)
    for rows in q.split(MANY_ROWS):
        f += torch.bincount(rows.argmax(1), minlength=len(f)) if hard else rows.sum(0, dtype=sums)
    return f.clamp_min(1 if hard else torch.finfo(torch.float32).tiny)


class RunningTarget:
    r"""Equation 2 where only some of the samples are seen at a time.

    The frequencies :math:`f_j` are a running mean of the shares of each cluster among the samples seen so
    far, recent ones first. So the cost of targets does not grow with the number of samples.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    prior : Tensor of shape (n_clusters,), "labeled", "own" or None, default=None
        The shares :math:`\pi_j` that `target_distribution` pulls towards; "labeled" is the running mean of
        the shares of the classes among the labels that `see_labels` is told of. "own", and "labeled" as long
        as there are no labels, is the frequencies themselves: nothing is pulled.
    frequency : {"soft", "hard", "bounded"}, default="soft"
        As in `target_distribution`.
    decay : float in [0, 1), default=0.99
        What is left of the past after each call. The first calls are averaged alike.
    estimate : callable, default=None
        Returns what takes the place of `prior` and of `least_share`, for Q of all samples, which `see_all`
        is told of.
    least_share : float in [0, 1], default=0
        Samples whose most probable cluster has less than this share of the two most probable ones have a
        target of 0, which adds nothing to the loss.

    Examples
    --------
    >>> import torch
    >>> target = RunningTarget(2)
    >>> q = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> target(q)   # what target_distribution(q) is: nothing else was seen
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """

    def __init__(
        self,
        n_clusters: int,
        prior: Tensor | str | None = None,
        frequency: str = "soft",
        decay: float = 0.99,
        estimate: Callable[[Tensor], tuple[Tensor | str | None, float]] | None = None,
        least_share: float = 0.0,
    ) -> None:
        self.n_clusters, self.prior, self.frequency, self.decay = n_clusters, prior, frequency, decay
        self.estimate, self.least_share = estimate, least_share
        self.n_calls = self.n_labeled_calls = 0
        self.frequencies = torch.full((n_clusters,), 1 / n_clusters)
        self.labeled_shares = torch.full((n_clusters,), 1 / n_clusters)

    def __call__(self, q: Tensor) -> Tensor:
        """Take some samples into the frequencies, and return their targets.

        Parameters
        ----------
        q : Tensor of shape (n_samples, n_clusters)
            Soft assignments of these samples.
        """
        f = count_frequencies(q, self.frequency).float()
        self.frequencies = self._mean(self.frequencies, f / f.sum(), self.n_calls)
        self.n_calls += 1
        prior = self.prior
        if isinstance(prior, str):
            told = prior == "labeled" and self.n_labeled_calls > 0
            prior = (self.labeled_shares if told else self.frequencies).to(q.device)
        elif prior is not None:
            # Kept there: a step that a GPU plays back must not wait for the CPU.
            prior = self.prior = prior.to(q.device)
        p = target_distribution(q, prior, frequencies=self.frequencies)
        if self.least_share > 0:
            first, second = q.topk(2, dim=1).values.split(1, dim=1)
            p = p * (first >= self.least_share * (first + second))
        return p

    def see_all(self, Q: Tensor) -> None:
        """Estimate the shares of the classes, if that was asked for.

        Parameters
        ----------
        Q : Tensor of shape (n_samples, n_clusters)
            Soft assignments of all samples.
        """
        if self.estimate is not None:
            self.prior, self.least_share = self.estimate(Q)

    def see_labels(self, p: Tensor, candidates: Tensor | None = None) -> None:
        """Take the labels of some samples into the shares of the classes.

        Parameters
        ----------
        p : Tensor of shape (n_samples, n_clusters) or (n_samples, n_clusters + n_partial)
            Labels, one-hot.
        candidates : Tensor of shape (n_partial, n_clusters), bool, default=None
            Candidates of each partial label; they share in it as they do in the labels so far.
        """
        if len(p) == 0:
            return
        if candidates is not None:
            within = candidates * self.labeled_shares.to(p)
            p = p[:, : self.n_clusters] + p[:, self.n_clusters :] @ (within / within.sum(1, keepdim=True))
        # As if one sample of each class had been seen besides: no class is impossible.
        shares = (p.sum(0) + 1).float()
        self.labeled_shares = self._mean(self.labeled_shares, shares / shares.sum(), self.n_labeled_calls)
        self.n_labeled_calls += 1

    def is_steady(self) -> bool:
        """Return whether each further call has the same weight in the frequencies.

        Returns
        -------
        bool
            Whether it has, because there were enough calls.
        """
        return 1 / (self.n_calls + 1) <= 1 - self.decay

    def _mean(self, before: Tensor, new: Tensor, n: int) -> Tensor:
        return torch.lerp(before.to(new), new, max(1 - self.decay, 1 / (n + 1)))

    def get_state(self) -> dict[str, Any]:
        """Return what it remembers.

        Returns
        -------
        dict
            The shares, the mean frequencies and the counts, for `set_state`.
        """
        return {
            "prior": self.prior,
            "least_share": self.least_share,
            "frequencies": self.frequencies,
            "labeled_shares": self.labeled_shares,
            "n_calls": self.n_calls,
            "n_labeled_calls": self.n_labeled_calls,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        for name, value in state.items():
            setattr(self, name, value)


def hard_assignment(q: Tensor) -> Tensor:
    """Return the most probable cluster of each sample.

    Parameters
    ----------
    q : Tensor of shape (n_samples, n_clusters)
        Soft assignments.

    Returns
    -------
    Tensor of shape (n_samples,)
        Clusters; int64, or of half-precision `q`, which belongs to many voxels, int16.
    """
    if q.dtype != torch.float16:
        return q.argmax(1)
    clusters = torch.empty(len(q), dtype=torch.int16, device=q.device)
    for rows, out in zip(q.split(MANY_ROWS), clusters.split(MANY_ROWS), strict=True):
        out.copy_(rows.argmax(1))
    return clusters


class OneHot:
    """Labels as one-hot targets, which are made only for the rows that are indexed.

    Parameters
    ----------
    y : Tensor of shape (n_samples,), int64
        Class of each sample, negative if it is unlabeled.
    n_classes : int
        Number of classes.
    smoothing : float in [0, 1), default=0.0
        Share of each target that is spread evenly over all classes.
    class_weight : sequence of float of length n_classes, default=None
        Weight of the samples of each class in the loss; None weighs all alike.
    candidates : Tensor of shape (n_partial, n_classes), bool, default=None
        Candidate classes of each partial label, as in `merge_candidates`. Partial label i is
        ``n_classes + i`` in `y`, and a column of the targets behind those of the classes.

    Examples
    --------
    >>> import torch
    >>> OneHot(torch.tensor([1, 0, -1]), n_classes=2)[torch.tensor([0, 1])]
    tensor([[0., 1.],
            [1., 0.]])
    """

    def __init__(
        self,
        y: Tensor,
        n_classes: int,
        smoothing: float = 0.0,
        class_weight: Sequence[float] | None = None,
        candidates: Tensor | None = None,
    ) -> None:
        self.y, self.n_classes, self.smoothing = y, n_classes, smoothing
        self.n_targets = n_classes + (0 if candidates is None else len(candidates))
        self.class_weight = None if class_weight is None else torch.tensor(class_weight, device=y.device)

    @property
    def device(self) -> torch.device:
        """Device of the labels."""
        return self.y.device

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return the targets of `rows`; those of unlabeled samples are meaningless."""
        classes = torch.arange(self.n_targets, device=self.device)
        one_hot = (self.y[rows].clamp_min(0)[..., None] == classes).float()
        if self.smoothing == 0:
            return one_hot
        return (1 - self.smoothing) * one_hot + self.smoothing / self.n_classes

    def known(self, rows: Tensor) -> Tensor:
        """Return which rows are labeled.

        Parameters
        ----------
        rows : Tensor of shape (n_rows,), int64
            The rows.

        Returns
        -------
        Tensor of shape (n_rows,), bool
            True for a labeled row.
        """
        return self.y[rows] >= 0

    def weight(self, rows: Tensor) -> Tensor | None:
        """Return the weights of rows that are labeled, by their class.

        Parameters
        ----------
        rows : Tensor of shape (n_rows,), int64
            The rows.

        Returns
        -------
        Tensor of shape (n_rows,), or None
            Weights in the loss; None weighs all alike.
        """
        return None if self.class_weight is None else self.class_weight[self.y[rows]]


def kl_divergence(p: Tensor, log_q: Tensor, weight: Tensor | None = None, axis: int = -1) -> Tensor:
    r"""Kullback-Leibler divergence of Q from P, the loss of SSLDEC (eq. 3), averaged over samples.

    .. math::
        D_{KL}(P \Vert Q) = \frac{1}{n} \sum_i \sum_j p_{ij} \log \frac{p_{ij}}{q_{ij}}

    The paper prints the sum; the mean makes the learning rate independent of the batch size. For
    one-hot P it is the cross-entropy. :math:`0 \log 0 = 0`.

    Parameters
    ----------
    p : Tensor of shape (..., n_clusters, ...)
        Targets, with clusters along `axis`.
    log_q : Tensor of the shape of `p`
        Logarithm of the soft assignments.
    weight : Tensor of the shape of `p` without `axis`, default=None
        Weight of each sample, or voxel, in the average; None gives all the same. If all are 0, it returns 0.
    axis : int, default=-1
        Axis of the clusters.

    Returns
    -------
    Tensor of shape ()
        The divergence, in nats.

    Examples
    --------
    >>> import torch
    >>> p = torch.tensor([[1.0, 0.0]])
    >>> kl_divergence(p, torch.tensor([[0.5, 0.5]]).log())   # log 2
    tensor(0.6931)
    """
    divergence = functional.kl_div(log_q, p, reduction="none").sum(axis)
    if weight is None:
        return divergence.mean()
    return (weight * divergence).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)


def dice_loss(p: Tensor, log_q: Tensor, weight: Tensor | None = None, axis: int = 1) -> Tensor:
    r"""Soft Dice loss between P and Q, which counts small structures as much as large ones.

    .. math::
        1 - \frac{1}{k} \sum_j \frac{2 \sum_i w_i p_{ij} q_{ij} + 1}{\sum_i w_i (p_{ij}^2 + q_{ij}^2) + 1}

    The sums are over all voxels of the batch [1]_; the ones keep a class that is nowhere from counting as
    missed.

    Parameters
    ----------
    p : Tensor of shape (..., n_clusters, ...)
        Targets, with clusters along `axis`.
    log_q : Tensor of the shape of `p`
        Logarithm of the soft assignments.
    weight : Tensor of the shape of `p` without `axis`, default=None
        Weight :math:`w_i` of each voxel; None weighs all alike.
    axis : int, default=1
        Axis of the clusters.

    Returns
    -------
    Tensor of shape ()
        Between 0 and 1.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric
       Medical Image Segmentation", 3DV 2016, :doi:`10.1109/3DV.2016.79`.

    Examples
    --------
    >>> import torch
    >>> p = torch.eye(2)
    >>> dice_loss(p, torch.full((2, 2), 0.5).log())   # 1 - (2 * 0.5 + 1) / (1 + 0.5 + 1)
    tensor(0.2000)
    """
    q = log_q.exp()
    other = [i for i in range(p.ndim) if i != axis % p.ndim]
    both, squares = 2 * p * q, p.square() + q.square()
    if weight is not None:
        weight = weight.unsqueeze(axis)
        both, squares = weight * both, weight * squares
    return 1 - ((both.sum(other) + 1) / (squares.sum(other) + 1)).mean()


def merge_candidates(p: Tensor, log_q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    r"""Count the candidate classes of partial labels as one class, for the marginal loss.

    A partial label names several classes, its candidates, of which one is the sample's: "background, or a
    structure that nobody marked in this scan". Where a sample has one, the probabilities of its candidates
    are summed, and the sum takes the place of the first class's. A loss of the two results is the marginal
    loss [1]_. That of eq. 3 is :math:`-\log \sum_{j \in C} q_j` for a partial label of candidates C.

    Parameters
    ----------
    p : Tensor of shape (n, n_classes + n_partial, ...)
        Targets: behind those of the classes, how much of each partial label a sample has.
    log_q : Tensor of shape (n, n_classes, ...)
        Logarithm of the soft assignments.
    candidates : Tensor of shape (n_partial, n_classes), bool
        Candidate classes of each partial label. The first class is one of them.

    Returns
    -------
    p, log_q : Tensor of shape (n, n_classes, ...)
        Targets and soft assignments, for `kl_divergence` and `dice_loss`.

    References
    ----------
    .. [1] G. Shi, L. Xiao, Y. Chen, S. K. Zhou, "Marginal loss and exclusion loss for partially supervised
       multi-organ segmentation", Medical Image Analysis 70, 2021, :doi:`10.1016/j.media.2021.101979`.

    Examples
    --------
    >>> import torch
    >>> log_q = torch.tensor([[0.25, 0.25, 0.5]]).log()
    >>> background_or_class_2 = torch.tensor([[True, False, True]])
    >>> p = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    >>> p, log_q = merge_candidates(p, log_q, background_or_class_2)
    >>> p, log_q.exp().round(decimals=4)
    (tensor([[1., 0., 0.]]), tensor([[0.7500, 0.2500, 0.0000]]))
    >>> kl_divergence(p, log_q)   # -log 0.75
    tensor(0.2877)
    """
    n_classes = log_q.shape[1]
    others = candidates.to(log_q)
    others[:, 0] = 0
    partial, q = p[:, n_classes:], log_q.exp()
    moved = q * torch.einsum("np...,pc->nc...", partial, others)
    q = q - moved
    q = torch.cat([q[:, :1] + moved.sum(1, keepdim=True), q[:, 1:]], dim=1)
    p = torch.cat([p[:, :1] + partial.sum(1, keepdim=True), p[:, 1:n_classes]], dim=1)
    return p, q.clamp_min(torch.finfo(q.dtype).tiny).log()


def restrict_to_candidates(q: Tensor, y: Tensor, candidates: Tensor) -> None:
    """Restrict soft assignments of samples with a partial label to its candidates, in place.

    Parameters
    ----------
    q : Tensor of shape (n_samples, n_classes)
        Soft assignments; changed in place.
    y : Tensor of int of shape (n_samples,)
        ``n_classes + i`` where a sample has the partial label i.
    candidates : Tensor of shape (n_partial, n_classes), bool
        Candidate classes of each partial label.

    Examples
    --------
    >>> import torch
    >>> q = torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]])
    >>> restrict_to_candidates(q, torch.tensor([-1, 3]), torch.tensor([[True, False, True]]))
    >>> q
    tensor([[0.2500, 0.5000, 0.2500],
            [0.5000, 0.0000, 0.5000]])
    """
    n_classes = q.shape[1]
    for rows, codes in zip(q.split(MANY_ROWS), y.split(MANY_ROWS), strict=True):
        chosen = (codes >= n_classes).nonzero().squeeze(1)
        # In half precision all of them may be 0.
        known = rows[chosen].float().clamp_min(torch.finfo(torch.float32).tiny)
        known = known * candidates[codes[chosen].long() - n_classes]
        rows[chosen] = (known / known.sum(1, keepdim=True)).to(q.dtype)


def accepted_classes(n_classes: int, candidates: Tensor | None, device: torch.device) -> Tensor:
    """Return which classes agree with each label: with a class itself, with a partial label its candidates.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    candidates : Tensor of shape (n_partial, n_classes), bool, or None
        Candidate classes of each partial label; None if there is none.
    device : torch.device
        Where to.

    Returns
    -------
    Tensor of shape (n_classes + n_partial, n_classes), bool
        True where a class agrees.

    Examples
    --------
    >>> import torch
    >>> accepted_classes(2, torch.tensor([[True, True]]), torch.device("cpu"))
    tensor([[ True, False],
            [False,  True],
            [ True,  True]])
    """
    own = torch.eye(n_classes, dtype=torch.bool, device=device)
    return own if candidates is None else torch.cat([own, candidates.to(device)])


def balanced_subset(
    predicted: Tensor,
    n_classes: int,
    *,
    min_share: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the same number of samples of each predicted class (Algorithm 1, "balanced subset of P").

    That number is the size of the smallest class. With ``min_share=0``, the paper's rule, a class that
    is predicted once therefore leaves one sample a class, and a class that is never predicted leaves an
    empty subset. With ``min_share > 0`` every class has at least that share of
    ``n_samples / n_classes`` in the subset: the samples of a smaller class are repeated, equally often.
    A class without samples has none in the subset.

    Parameters
    ----------
    predicted : Tensor of shape (n_samples,), int64
        Predicted class of each sample.
    n_classes : int
        Number of classes.
    min_share : float in [0, 1], default=0.0
        Least number of samples a class, as a share of ``n_samples / n_classes``.
    generator : torch.Generator, default=None
        CPU generator of the draw; None is torch's global generator.

    Returns
    -------
    Tensor of shape (n_subset,), int64
        Indices into `predicted`, class by class.

    Examples
    --------
    >>> import torch
    >>> balanced_subset(torch.tensor([0, 1, 0, 1, 2, 2, 2]), 3).shape   # two of each class
    torch.Size([6])
    """
    counts = torch.bincount(predicted, minlength=n_classes)
    size = max(int(counts.min()), math.ceil(min_share * len(predicted) / n_classes))
    shuffled = torch.randperm(len(predicted), generator=generator).to(predicted.device)
    by_class = shuffled[torch.argsort(predicted[shuffled], stable=True)]
    first, counts = (counts.cumsum(0) - counts)[counts > 0], counts[counts > 0]
    # Row j walks through the (shuffled) samples of class j, and starts again where they end.
    slots = torch.arange(size, device=predicted.device)
    return by_class[(first[:, None] + slots % counts[:, None]).flatten()]


class ClusteringLayer(nn.Module):
    """Layer that holds the centroids and returns log q (eq. 1).

    The centroids are free weights, trained by back-propagation (eq. 4) with the rest of the network, as in
    the authors' code.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, one a class.
    n_features : int
        Size of the embedding.
    alpha : float, default=1.0
        Degrees of freedom of Student's t kernel, > 0. The paper has 1 in every experiment.
    axis : int, default=-1
        Axis of the embedding's features: -1 or 1 for one embedding a sample, 1 for one embedding a voxel.
    spread : float, default=None
        Scale of the initial centroids, which are unit vectors times this value and thus equally far from each
        other. Needs at least as many features as clusters; with fewer, and if it is None, the centroids have
        Glorot's initialisation as in the authors' code, with which two may start close together and stay so.

    Attributes
    ----------
    centers : Parameter of shape (n_clusters, n_features)
        The centroids.

    Raises
    ------
    ValueError
        If `alpha` is not a positive finite number.

    Examples
    --------
    >>> import torch
    >>> layer = ClusteringLayer(n_clusters=3, n_features=2)
    >>> layer(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    >>> voxelwise = ClusteringLayer(n_clusters=3, n_features=2, axis=1)
    >>> voxelwise(torch.zeros(5, 2, 9, 9, 9)).shape
    torch.Size([5, 3, 9, 9, 9])
    """

    def __init__(
        self,
        n_clusters: int,
        n_features: int,
        alpha: float = 1.0,
        axis: int = -1,
        spread: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be a positive finite number, got {alpha!r}.")
        self.n_features = n_features
        self.alpha = alpha
        self.axis = axis
        self.centers = nn.Parameter(torch.empty(n_clusters, n_features))
        nn.init.xavier_uniform_(self.centers)
        if spread is not None and n_features >= n_clusters:
            nn.init.eye_(self.centers)
            self.centers.data.mul_(spread)

    def forward(self, z: Tensor) -> Tensor:
        """Return log q of embeddings (eq. 1).

        Parameters
        ----------
        z : Tensor of shape (..., n_features, ...)
            Embeddings, with the features along `axis`.

        Returns
        -------
        Tensor of shape (..., n_clusters, ...)
            Log q, with the clusters along `axis`.
        """
        return log_soft_assignment(z, self.centers, self.alpha, self.axis)

    def extra_repr(self) -> str:
        """Return the sizes and alpha for the printed network.

        Returns
        -------
        str
            The number of clusters and of features, alpha and the axis.
        """
        n_clusters, n_features = self.centers.shape
        return f"{n_clusters}, {n_features}, alpha={self.alpha}, axis={self.axis}"
