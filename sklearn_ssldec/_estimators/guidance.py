"""What guides the targets on tables: the shares of the classes, and teachers fitted on the labels.

Both depart from the paper, whose eq. 2 pulls all classes towards the same size and sees the network's Q only.
Labels that are left out weigh the teachers, and tell whether the iterations help at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from scipy.sparse import issparse
from scipy.special import chdtr, gammaln
from sklearn.base import clone
from torch import Tensor

# Its classifiers take the unlabeled rows as well, marked with -1.
SEMI_SUPERVISED = "sklearn.semi_supervised"
# Shares of the classes of images are estimated as equal if they are no further from that.
LEAST_INEQUALITY = 0.2
# They are equal, too, if no class has more than this share.
LARGE = 0.4
# If one has, and only predictions tell it, left-out labels must confirm it: it is predicted by so many
# standard errors more often for unlabeled samples than for as many labels of each class.
LEAST_EXCESS = 3.0
# Images then take no part of which the most probable class has less than this share of the two most probable
# ones.
LEAST_SHARE = 0.8
# A graph of neighbors takes time and memory that grow with the square of the number of rows.
MAX_GRAPH_ROWS = 10_000
# Of label spreading on tables, and of label propagation on rows of few features.
N_NEIGHBORS, N_DENSITY_NEIGHBORS = 7, 15
N_FOLDS = 4
# Labels are taken as drawn class by class if this share of the classes has the same number of them, or if
# counts as even as theirs have less than this probability by chance.
SAME_COUNT, TOO_EVEN = 0.7, 0.02
# Fewer left-out labels than this cannot tell whether iterations help. The trial that tells has this number of
# iterations, on at most this number of unlabeled samples.
MIN_LEFT_OUT, TRIAL_ITER, MAX_TRIAL_ROWS = 40, 10, 640
# Training ended in doubt if, of more than this share of the unlabeled samples, the most probable class has
# less than this share of the two most probable ones.
DOUBTFUL_SHARE, SURE = 0.05, 0.9
# A teacher's probabilities are never 0: a share of this size is spread over the classes.
SPREAD = 0.1


@dataclass(frozen=True)
class Teacher:
    """A classifier whose probabilities join Q.

    Attributes
    ----------
    estimator : estimator
        Classifier with ``predict_proba``.
    prior_count : float
        Left-out labels that it is taken to have predicted, before any of them is seen.
    """

    estimator: Any
    prior_count: float = 1.0


@dataclass(frozen=True)
class Guidance:
    """What guides the targets, besides Q.

    Attributes
    ----------
    teachers : tuple of Teacher
        The teachers.
    estimate_shares : bool
        Whether the shares of the classes are estimated.
    prior_count : float
        Left-out labels that the network is taken to have predicted, before any of them is seen.
    fallback : bool
        Whether there are no iterations if these make left-out labels less probable.
    in_doubt : tuple of Teacher
        Teachers with whom training is repeated if it ends in doubt; the networks in less doubt are kept.
    """

    teachers: tuple[Teacher, ...] = ()
    estimate_shares: bool = False
    prior_count: float = 2.0
    fallback: bool = False
    in_doubt: tuple[Teacher, ...] = ()


def table_teachers(n_rows: int) -> tuple[Teacher, ...]:
    """Return the teachers for tables.

    Trees see what networks miss on tables. Neighbors are better where classes are clusters, and worse on
    most tables: they must earn their weight on left-out labels.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    """
    # Imported here: they take a quarter of a second, which only a fit needs.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.semi_supervised import LabelSpreading

    teachers = [Teacher(RandomForestClassifier(), prior_count=2.0)]
    if N_NEIGHBORS <= n_rows <= MAX_GRAPH_ROWS:
        spreading = LabelSpreading(kernel="knn", n_neighbors=N_NEIGHBORS)
        teachers.append(Teacher(spreading, prior_count=0.1))
    return tuple(teachers)


def density_teachers(n_rows: int) -> tuple[Teacher, ...]:
    """Return the teachers for rows of few features that are asked if training ends in doubt.

    A network that separated the labels along a wrong line has a boundary through a dense region, where it
    stays in doubt. Label propagation follows the dense regions from the labels on.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    """
    if not N_DENSITY_NEIGHBORS <= n_rows <= MAX_GRAPH_ROWS:
        return ()
    from sklearn.semi_supervised import LabelPropagation  # as those above

    return (Teacher(LabelPropagation(kernel="knn", n_neighbors=N_DENSITY_NEIGHBORS, max_iter=3000)),)


def doubtful_share(Q: np.ndarray, codes: np.ndarray) -> float:
    """Return the share of unlabeled samples whose two most probable classes are not far apart.

    Parameters
    ----------
    Q : ndarray of shape (n_samples, n_classes)
        Class probabilities.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    """
    second, first = np.sort(Q[codes < 0], axis=1)[:, -2:].T
    return float(np.mean(first < SURE * (first + second))) if len(first) else 0.0


# The shares of the classes ----------------------------------------------------------------------------------


def smoothed_shares(counts: np.ndarray) -> np.ndarray:
    r"""Estimate the shares of the classes from label counts, by empirical Bayes.

    The shares have a symmetric Dirichlet prior whose concentration :math:`a` maximises the likelihood of the
    counts; the estimate is the posterior mean :math:`(n_j + a / k) / (n + a)`. Counts that differ no more
    than by chance give nearly equal shares.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Number of labels of each class; may be fractional.

    Returns
    -------
    ndarray of shape (n_classes,)
        Shares, all positive.
    """
    n, k = counts.sum(), len(counts)
    grid = k * np.geomspace(0.1, 100, 60)
    each = gammaln(counts + grid[:, None] / k) - gammaln(grid[:, None] / k)
    likelihood = gammaln(grid) - gammaln(n + grid) + each.sum(axis=1)
    a = grid[likelihood.argmax()]
    return (counts + a / k) / (n + a)


def mixture_shares(
    likelihoods: np.ndarray,
    prior_counts: np.ndarray,
    weight: float,
    *,
    max_iter: int = 200,
    tol: float = 1e-6,
) -> np.ndarray:
    r"""Estimate the shares of the parts of a mixture by EM.

    .. math::
        r_{ij} = \frac{\pi_j l_{ij}}{\sum_{j'} \pi_{j'} l_{ij'}}, \qquad
        \pi_j = \frac{c_j + w \, \bar r_j}{\sum_{j'} c_{j'} + w}

    Parameters
    ----------
    likelihoods : ndarray of shape (n_samples, n_parts)
        Likelihood :math:`l_{ij}` of each sample under each part.
    prior_counts : ndarray of shape (n_parts,)
        Counts :math:`c_j`, as if so many samples had been seen of each part.
    weight : float
        Number of samples that all samples together count as, :math:`w`.
    max_iter : int, default=200
        Largest number of iterations.
    tol : float, default=1e-6
        They end when no more than this changes.

    Returns
    -------
    ndarray of shape (n_parts,)
        Shares, which sum to 1.
    """
    total = prior_counts.sum()
    shares = prior_counts / total
    for _ in range(max_iter):
        r = likelihoods * shares
        r /= r.sum(axis=1, keepdims=True)
        before, shares = shares, (prior_counts + weight * r.mean(axis=0)) / (total + weight)
        if np.abs(shares - before).sum() < tol:
            break
    return shares


def are_drawn_by_class(counts: np.ndarray) -> bool:
    """Return whether labels were drawn class by class, so that their counts tell nothing about shares.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Number of labels of each class.
    """
    k, mean = len(counts), counts.mean()
    statistic = np.square(counts - mean).sum() / mean
    return bool(
        np.ptp(counts) <= 1
        or np.mean(counts == np.median(counts)) >= SAME_COUNT
        or chdtr(k - 1, statistic) < TOO_EVEN
    )


def class_shares(Q: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Estimate the shares of the classes from the labels and the predictions after pre-training.

    EM (Saerens, Latinne and Decaestecker 2002) adapts probabilities that were learned with the labels' shares
    to the samples. All samples together count as many as the labels, since their probabilities were learned
    from no more than these. Labels drawn at random are a prior worth as many samples as there are labels.
    Labels drawn class by class are no prior; EM's result is smoothed instead, so that equal classes stay
    equal.

    Parameters
    ----------
    Q : ndarray of shape (n_samples, n_classes)
        Class probabilities of all samples.
    counts : ndarray of shape (n_classes,)
        Number of labels of each class.

    Returns
    -------
    ndarray of shape (n_classes,)
        Shares, which sum to 1.
    """
    n, k = counts.sum(), len(counts)
    learned = (counts + 1) / (n + k)
    if not are_drawn_by_class(counts):
        return mixture_shares(Q / learned, n * smoothed_shares(counts), n)
    return smoothed_shares(max(n, 50) * mixture_shares(Q / learned, np.ones(k), n))


def shares_like(Q: Tensor, counts: np.ndarray) -> Tensor:
    """Return `class_shares` in float32, on the device of Q.

    Parameters
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Class probabilities of all samples.
    counts : ndarray of shape (n_classes,)
        Number of labels of each class.
    """
    return _like(Q, class_shares(_doubles(Q), counts))


def _doubles(Q: Tensor) -> np.ndarray:
    return Q.cpu().numpy().astype(float)


def _like(Q: Tensor, shares: np.ndarray) -> Tensor:
    return torch.from_numpy(shares).float().to(Q.device)


def excess(left_out: np.ndarray, codes: np.ndarray, unlabeled: np.ndarray) -> np.ndarray:
    r"""Return how much more often than of equal classes each class is predicted, in standard errors.

    A network that was trained on ten labels may take half of all samples for one class. Then it takes half of
    the labels that it has not seen for it too, and only what it predicts beyond that tells of large classes:

    .. math::
        z_k = \frac{m_k - \bar c_k}{s_k}, \qquad \bar c_k = \frac{1}{K} \sum_j c_{jk}, \qquad
        s_k^2 = \frac{v_k}{K^2} \sum_j \frac{1}{n_j}

    where :math:`c_{jk}` is the mean probability of class k of the :math:`n_j` left-out labels of class j,
    :math:`v_k` its variance within classes, and :math:`m_k` the mean of the unlabeled samples.

    Parameters
    ----------
    left_out : ndarray of shape (n_labels, n_classes)
        Class probabilities of labeled samples, from networks that have not seen their labels.
    codes : ndarray of shape (n_labels,), int
        Their classes. Each class must have two labels.
    unlabeled : ndarray of shape (n_classes,)
        Mean class probabilities of the unlabeled samples, from the same networks.

    Returns
    -------
    ndarray of shape (n_classes,)
        The excess of each class.
    """
    n, k = left_out.shape
    counts = np.bincount(codes, minlength=k)
    means = np.stack([left_out[codes == j].mean(axis=0) for j in range(k)])
    variance = np.square(left_out - means[codes]).sum(axis=0) / (n - k)
    error = np.sqrt(variance * (1 / counts).sum()) / k
    return (unlabeled - means.mean(axis=0)) / np.maximum(error, np.finfo(float).eps)


def drawn_prior(
    Q: Tensor, counts: np.ndarray, find_excess: Callable[[], np.ndarray]
) -> tuple[Tensor | str | None, float]:
    """Return what the prior and the least share of a `RunningTarget` are.

    Networks for images confuse some classes more than others, so the shares of equal classes are estimated
    unequal too: on Fashion-MNIST one of ten is given twice its share, and all are at 0.14 from equal ones.
    Where classes do differ, the start is wrong about the rare ones, and equal shares, which make these too
    large, do less harm than estimated ones, unless one class is very large.

    If labels were drawn class by class, only the predictions tell that one is, and left-out labels must
    confirm it. Samples in doubt then take no part. Of two classes the predictions make the rare one too
    large: nothing is pulled.

    Parameters
    ----------
    Q : Tensor of shape (n_samples, n_classes)
        Class probabilities of all samples.
    counts : ndarray of shape (n_classes,)
        Number of labels of each class.
    find_excess : callable
        Returns the `excess` of each class. It is called if labels were drawn class by class, with two or more
        of each, and one class seems to be very large.

    Returns
    -------
    prior : Tensor of shape (n_classes,), float32, "own" or None
        None, for equal shares, if the total variation distance of `class_shares` from these is not more than
        0.2, or no class has more than 0.4 of the samples, or the excess of the largest is less than 3.
        Otherwise shares, or "own" for two classes whose labels were drawn class by class.
    least_share : float
        0.8 if labels were drawn class by class and shares are not equal; otherwise 0.
    """
    q, k = _doubles(Q), len(counts)
    shares = class_shares(q, counts)
    if np.abs(shares - 1 / k).sum() / 2 <= LEAST_INEQUALITY:
        return None, 0.0
    is_guess = are_drawn_by_class(counts)
    if is_guess:  # not smoothed as those above, since classes are not equal
        shares = mixture_shares(q / (counts + 1), np.ones(k), len(q))
    if shares.max() <= LARGE:
        return None, 0.0
    if not is_guess:
        return _like(Q, shares), 0.0
    if counts.min() < 2 or find_excess()[shares.argmax()] < LEAST_EXCESS:
        return None, 0.0
    return ("own" if k == 2 else _like(Q, shares)), LEAST_SHARE


# The teachers -----------------------------------------------------------------------------------------------


class Gain(NamedTuple):
    """What iterations add to the probability of the true class of left-out labels.

    Attributes
    ----------
    mean, error : float
        Mean over the labels, and its standard error.
    n_labels : int
        Number of labels.
    """

    mean: float
    error: float
    n_labels: int

    @property
    def is_loss(self) -> bool:
        """Whether iterations make left-out labels less probable."""
        return self.mean < 0


class Taught(NamedTuple):
    """What teachers say of all samples, and how much they and the network are listened to.

    Attributes
    ----------
    probabilities : ndarray of shape (n_samples, n_classes), float32
        Sum of the teachers' probabilities times their weights.
    weights : ndarray of shape (1 + n_teachers,)
        Weights of the network and of each teacher, which sum to 1.
    gain : Gain or None
        What iterations add, if that was tried.
    """

    probabilities: np.ndarray
    weights: np.ndarray
    gain: Gain | None = None


class Trial(Protocol):
    """A network that was pre-trained on some of the labels.

    Attributes
    ----------
    Q : ndarray of shape (n_samples, n_classes)
        Its probabilities.
    """

    Q: np.ndarray

    def go_on(self, taught: Taught) -> np.ndarray:
        """Do a few iterations, and return the probabilities after them.

        Parameters
        ----------
        taught : Taught
            What teachers say that were fitted on the same labels.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """


class LeftOut(NamedTuple):
    """What is learned of a fold of the labels from the others.

    Attributes
    ----------
    places : ndarray of shape (n_left_out,), int
        The fold, as places among the samples of the trial.
    trial : Trial
        The network.
    given : list of ndarray of shape (n_samples, n_classes)
        Probabilities of each teacher.
    """

    places: np.ndarray
    trial: Trial
    given: list[np.ndarray]


def teach(
    X: Any,
    codes: np.ndarray,
    n_classes: int,
    guidance: Guidance,
    seed: int,
    pretrain: Callable[[Any, np.ndarray], Trial],
    prior: np.ndarray | None = None,
) -> Taught:
    """Return the teachers' probabilities, weighted by what left-out labels say of each and of the network.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...), or CSR
        Samples.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    n_classes : int
        Number of classes.
    guidance : Guidance
        The teachers, the credit of each and of the network, and whether iterations are tried.
    seed : int
        Seed of the teachers and of the folds.
    pretrain : callable
        ``pretrain(X, codes)`` returns a network that was trained on labels.
    prior : ndarray of shape (n_classes,), default=None
        Shares of the classes, if they are known.
    """
    rows = X if issparse(X) else X.reshape(len(X), -1)
    fit = partial(fitted_probabilities, rows, n_classes=n_classes, seed=seed, least=SPREAD / n_classes)
    teachers = [teacher.estimator for teacher in guidance.teachers]
    credit = np.array([guidance.prior_count, *(teacher.prior_count for teacher in guidance.teachers)])
    weights = credit / credit.sum()
    folds = label_folds(codes, seed)
    is_tried = guidance.fallback and sum(map(len, folds)) >= MIN_LEFT_OUT
    seen = _seen(codes, seed, MAX_TRIAL_ROWS if is_tried else 0)
    parts = []
    for fold in folds:
        left = codes.copy()
        left[fold] = -1
        given = [fit(left, seen, estimator=teacher) for teacher in teachers]
        parts.append(LeftOut(np.searchsorted(seen, fold), pretrain(X[seen], left[seen]), given))
    if parts:
        of_all = np.concatenate([_likelihoods(part, codes[seen]) for part in parts])
        weights = mixture_shares(of_all, credit, len(of_all))
    taught = np.zeros((len(codes), n_classes), dtype=np.float32)
    for weight, teacher in zip(weights[1:], teachers, strict=True):
        taught += weight * fit(codes, slice(None), estimator=teacher)
    gain = _gain(parts, codes[seen], weights, guidance, prior) if is_tried else None
    return Taught(taught, weights, gain)


def _seen(codes: np.ndarray, seed: int, n_unlabeled: int) -> np.ndarray:
    """Return the labeled samples and at most so many others, sorted."""
    others = np.random.default_rng(seed).permutation(np.flatnonzero(codes < 0))[:n_unlabeled]
    return np.sort(np.concatenate([np.flatnonzero(codes >= 0), others]))


def _likelihoods(part: LeftOut, codes: np.ndarray) -> np.ndarray:
    """Return the probabilities that the network and each teacher, in columns, give to left-out labels."""
    true = part.places, codes[part.places]
    return np.stack([p[true] for p in (part.trial.Q, *part.given)], axis=1).astype(float)


def _gain(
    parts: list[LeftOut], codes: np.ndarray, weights: np.ndarray, guidance: Guidance, prior: np.ndarray | None
) -> Gain:
    """Let the network of each fold go on, and return what that adds."""
    added, Q = [], []
    for part in parts:
        taught = np.zeros(part.trial.Q.shape, dtype=np.float32)
        for weight, given in zip(weights[1:], part.given, strict=True):
            taught += weight * given
        Q.append(weights[0] * part.trial.Q + taught)
        true = part.places, codes[part.places]
        added.append(part.trial.go_on(Taught(taught, weights))[true].astype(float) - part.trial.Q[true])
    counts = np.bincount(codes[codes >= 0], minlength=Q[0].shape[1]).astype(float)
    importance = np.ones(len(counts))
    if are_drawn_by_class(counts):  # then labels are no sample of what there is
        shares = prior
        if shares is None and guidance.estimate_shares:
            shares = class_shares(np.mean(Q, axis=0)[codes < 0].astype(float), counts)
        importance = importance if shares is None else shares / counts
    of_each = importance[np.concatenate([codes[part.places] for part in parts])]
    return weighted_gain(np.concatenate(added), of_each)


def weighted_gain(added: np.ndarray, importance: np.ndarray) -> Gain:
    """Return the weighted mean of what was added to probabilities, and its standard error.

    Parameters
    ----------
    added : ndarray of shape (n_labels,)
        What was added for each label.
    importance : ndarray of shape (n_labels,)
        Weight of each label: labels that were drawn class by class count by the share of their class.
    """
    w = importance / importance.sum()
    mean = float(w @ added)
    return Gain(mean, float(np.sqrt(np.square(w * (added - mean)).sum())), len(added))


def label_folds(codes: np.ndarray, seed: int, n_folds: int = N_FOLDS) -> list[np.ndarray]:
    """Return the labeled samples in folds that share each class alike, with no class's only label in any.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    seed : int
        Seed of the order of the labels.
    n_folds : int, default=4
        Number of folds, unless there are fewer labels.
    """
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))
    by_class = [shuffled[codes[shuffled] == j] for j in np.unique(codes[shuffled])]
    rows = np.concatenate([np.empty(0, dtype=int), *(rows for rows in by_class if len(rows) > 1)])
    return [rows[i::n_folds] for i in range(min(n_folds, len(rows)))]


def fitted_probabilities(
    X: np.ndarray, codes: np.ndarray, rows: Any, *, estimator: Any, n_classes: int, seed: int, least: float
) -> np.ndarray:
    """Fit a classifier, and return its probabilities of some rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or CSR
        Samples.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    rows : slice or ndarray of int
        The rows.
    estimator : estimator
        The classifier, which is not changed.
    n_classes : int
        Number of classes.
    seed : int
        Its seed, if it has none.
    least : float
        Added to each probability before they are normalised: none is 0.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        Probabilities; rows sum to 1.
    """
    estimator = clone(estimator)
    if estimator.get_params().get("random_state", seed) is None:
        estimator.set_params(random_state=seed)
    seen = slice(None) if type(estimator).__module__.startswith(SEMI_SUPERVISED) else codes >= 0
    with warnings.catch_warnings():
        # About few labels for many classes, samples that no neighbor connects, and graphs that need longer.
        warnings.simplefilter("ignore")
        estimator.fit(X[seen], codes[seen])
        # Label propagation has computed them; to predict, it would search all neighbors again.
        known = getattr(estimator, "label_distributions_", None)
        predicted = estimator.predict_proba(X[rows]) if known is None else known[rows]
    probabilities = np.zeros((len(predicted), n_classes))
    probabilities[:, np.asarray(estimator.classes_, dtype=int)] = np.nan_to_num(predicted)
    probabilities += least
    return probabilities / probabilities.sum(axis=1, keepdims=True)


# The target -------------------------------------------------------------------------------------------------


class GuidedTarget:
    """A target of the weighted mean of Q and the teachers' probabilities, with estimated class shares.

    Parameters
    ----------
    target : callable
        ``target(prior)`` returns the function from Q to P.
    prior : Tensor of shape (n_classes,), or None
        Shares of the classes, if they are not estimated.
    counts : ndarray of shape (n_classes,), or None
        Label counts, from which and from the first Q the shares are estimated; None estimates nothing.
    taught : Tensor of shape (n_samples, n_classes), or None
        Sum of the teachers' probabilities times their weights.
    own_weight : float, default=1.0
        Weight of Q.

    Attributes
    ----------
    shares : Tensor of shape (n_classes,), or None
        The shares.
    """

    def __init__(
        self,
        target: Callable[[Tensor | None], Callable[[Tensor], Tensor]],
        prior: Tensor | None,
        counts: np.ndarray | None,
        taught: Tensor | None,
        own_weight: float = 1.0,
    ) -> None:
        self.target, self.shares, self.counts = target, prior, counts
        self.taught, self.own_weight = taught, own_weight

    def __call__(self, Q: Tensor) -> Tensor:
        """Return P."""
        if self.taught is not None:
            Q = self.own_weight * Q + self.taught.to(Q)
        if self.shares is None and self.counts is not None:
            self.shares = shares_like(Q, self.counts)
        return self.target(self.shares)(Q)

    def get_state(self) -> dict[str, Any]:
        """Return the state: the shares."""
        return {"shares": self.shares}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Parameters
        ----------
        state : dict
            The state, from `get_state`.
        """
        self.shares = state["shares"]
