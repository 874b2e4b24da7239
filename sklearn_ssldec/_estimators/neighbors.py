"""What the neighbors of unlabeled samples say of their classes: advice for targets that are drawn.

This departs from the paper. A kind of sample without a label, as sevens with a bar, may lie between two
classes for the network. From step to step, its own targets then draw the whole kind to one of them, right or
wrong. A graph of neighbors links the kind to the class that it lies next to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import issparse
from scipy.special import log_softmax
from scipy.stats import entropy

from sklearn_ssldec._estimators.guidance import fitted_probabilities, label_folds
from sklearn_ssldec._samples.reduction import reduced_images
from sklearn_ssldec._training.threads import one_thread

N_COMPONENTS, N_NEIGHBORS = 50, 10
# Neighbors are found in images of so many pixels on the shorter side, or less than twice as many.
SHORTER_SIDE = 24
# Share of its neighbors' labels that a sample takes on in a step of label spreading, and the number of steps.
TAKEN_ON, N_STEPS = 0.99, 200
# Shares of spread labels are more even than they should be: on centered digits their best power is about 4.
MAX_SHARPNESS = 5.0
# Neighbors that tell a smaller share of the entropy of left-out labels are not asked. They tell 0.76 to 0.92
# of it on centered digits, where they help, 0.6 to 0.7 on clothes, where they change little, 0.5 to 0.6 on
# Japanese letters, where they do harm, and 0.02 on house numbers (docs/experiments/images.md).
LEAST_INFORMATION = 0.75
# A class that spreading gives no share has this one before shares are normalised: none is impossible.
LEAST_SHARE = 1e-3


def neighbor_advice(X: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray | None:
    r"""Return by how much neighbors make each class of each sample more probable, if they know anything.

    The labels spread on a graph of nearest neighbors (Zhou et al. 2004). With the shares :math:`g_{ij}` that
    reach sample i, the advice is :math:`t \log g_{ij}`, up to a constant for each sample. The sharpness
    :math:`t`, between 0 and 5, makes left-out labels most probable. Neighbors that tell less than three
    quarters of the entropy of these labels are not asked.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features) or (n_samples, n_channels, height, width), float32
        Samples.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float32, or None
        Logarithms of probabilities; None if neighbors know too little, or no label can be left out.

    Raises
    ------
    ValueError
        If X is sparse.
    """
    if issparse(X):
        raise ValueError("cycle__neighbors=True takes dense samples, got a sparse matrix.")
    with one_thread():  # scikit-learn's neighbors start OpenMP's threads, after which a fork hangs
        small = reduced_images(X, max(1, min(X.shape[2:]) // SHORTER_SIDE)) if X.ndim == 4 else X
        graph = neighbor_graph(small.reshape(len(X), -1))
        of_all = spread_labels(graph, codes, n_classes)
        of_left_out, truth = [of_all[:0]], [codes[:0]]
        for fold in label_folds(codes, seed=0):
            others = codes.copy()
            others[fold] = -1
            of_left_out.append(spread_labels(graph, others, n_classes)[fold])
            truth.append(codes[fold])
    power, share = sharpness(np.concatenate(of_left_out), np.concatenate(truth))
    if share < LEAST_INFORMATION:
        return None
    return log_softmax(power * of_all, axis=1).astype(np.float32)


def neighbor_graph(X: np.ndarray) -> Any:
    """Return the graph in which two samples are linked if one is among the nearest neighbors of the other.

    Distances are those of the first principal components.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    CSR of shape (n_samples, n_samples)
        1 for each link.
    """
    # Imported here: they take a quarter of a second, which only a fit needs.
    from sklearn.decomposition import PCA
    from sklearn.neighbors import kneighbors_graph

    pca = PCA(min(N_COMPONENTS, *X.shape), svd_solver="randomized", random_state=0)
    with np.errstate(invalid="ignore"):  # where all samples are the same, none of their variance has a share
        components = pca.fit_transform(X)
    links = kneighbors_graph(components, min(N_NEIGHBORS, len(X) - 1))
    return links.maximum(links.T)


def spread_labels(graph: Any, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Spread labels on a graph, and return the logarithms of the shares that reach each sample.

    Parameters
    ----------
    graph : CSR of shape (n_samples, n_samples)
        The graph.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Logarithms of shares.
    """
    from sklearn.semi_supervised import LabelSpreading  # as those above

    spreading = LabelSpreading(kernel=lambda *_: graph, alpha=TAKEN_ON, max_iter=N_STEPS)
    places = np.zeros((len(codes), 1))  # the graph knows who is where
    shares = fitted_probabilities(
        places, codes, slice(None), estimator=spreading, n_classes=n_classes, seed=0, least=LEAST_SHARE
    )
    return np.log(shares)


def sharpness(log_shares: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the power of shares, from 0 to 5, that makes true classes most probable, and what it tells.

    Parameters
    ----------
    log_shares : ndarray of shape (n_samples, n_classes)
        Logarithms of shares.
    truth : ndarray of shape (n_samples,), int
        Class of each sample.

    Returns
    -------
    power : float
        The power; 0 if there are no samples, or they have all the same class.
    information : float
        Share of the entropy of the classes, up to 1, that the shares tell; below 0 if they mislead.

    Examples
    --------
    Three of four have the class that was given 0.9 : 0.1, which to the power of 0.5 is 0.75 : 0.25. That many
    have the class, so that nothing is known of a single one:

    >>> import numpy as np
    >>> shares = np.array([[0.9, 0.1]] * 4)
    >>> power, information = sharpness(np.log(shares), np.array([0, 0, 0, 1]))
    >>> round(power, 2), round(abs(information), 2)
    (0.5, 0.0)
    """
    rows, counts = np.arange(len(truth)), np.bincount(truth)
    if np.count_nonzero(counts) < 2:
        return 0.0, 0.0

    def improbability(power: float) -> float:
        return -float(log_softmax(power * log_shares, axis=1)[rows, truth].mean())

    best = minimize_scalar(improbability, bounds=(0, MAX_SHARPNESS), method="bounded")
    return float(best.x), 1 - float(best.fun) / float(entropy(counts))
