"""
Choosing which digits to label
==============================

Ten digits are labeled, one of each class, and 90 more are to be labeled in three rounds. `scikit-activeml
<https://scikit-activeml.github.io>`_ chooses which: those that the classifier is least sure of, those that a
committee disagrees about, or those that are far from all labeled ones. They are compared with random choice.
The digits are rows of 64 features here, so that a fit takes a second. :doc:`/how_to/labeling_loop` has rounds
of ten labels and more draws.
"""

# %%
# One round
# ---------
# Three networks share in a classifier. Their mean is asked how sure it is, and each of them has a vote in the
# committee.
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import CoreSet, QueryByCommittee, RandomSampling, UncertaintySampling
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels


def make_classifier():
    return SSLDECClassifier(n_estimators=3, teachers=None, max_iter=5, random_state=0)


def load(draw):
    X, truth = load_digits(return_X_y=True)
    pool, X_test, truth, y_test = train_test_split(X / 16, truth, test_size=600, random_state=draw)
    return pool, truth, mask_labels(truth, 1, random_state=draw), X_test, y_test


X, truth, y, _, _ = load(0)
clf = make_classifier().fit(X, y)

# %%
# The strategies know the classifier by a wrapper. ``fit_clf=False`` tells them that it is fitted.
# ``missing_label`` is the mark of an unlabeled row.
KNOWN = {"classes": np.arange(10), "missing_label": -1}


def query(strategy, clf, X, y, n):
    settings = {"missing_label": -1, "random_state": 0}
    if strategy == "uncertainty":
        by_margin = UncertaintySampling(method="margin_sampling", **settings)
        return by_margin.query(X, y, SklearnClassifier(clf, **KNOWN), fit_clf=False, batch_size=n)
    if strategy == "committee":
        committee = [SklearnClassifier(member, **KNOWN) for member in clf.estimators_]
        by_votes = QueryByCommittee(method="vote_entropy", **settings)
        return by_votes.query(X, y, committee, fit_ensemble=False, batch_size=n)
    if strategy == "core-set":
        return CoreSet(**settings).query(clf.transform(X), y, batch_size=n)  # of the embeddings
    return RandomSampling(**settings).query(X, y, batch_size=n)


# %%
# What each strategy asks for first, and what the classifier takes it for:
STRATEGIES = ("random", "uncertainty", "committee", "core-set")
fig, axes = plt.subplots(4, 10, figsize=(8, 4), layout="constrained")
for row, strategy in zip(axes, STRATEGIES, strict=True):
    row[0].set_ylabel(strategy)
    for ax, i in zip(row, query(strategy, clf, X, y, 10), strict=True):
        ax.imshow(X[i].reshape(8, 8), cmap="gray_r")
        ax.set_title(clf.predict(X[[i]])[0], fontsize="small")
        ax.set(xticks=[], yticks=[])
plt.show()

# %%
# Learning curves
# ---------------
# In each round, 30 digits are labeled and a new classifier is fitted. The accuracy is measured on 600 other
# digits. All strategies begin with the same ten labels. The curves are means of two draws.
# Rounds of 30 are large: the committee asks for many digits that look alike, and begins below random choice.
# In rounds of ten it does not.
BUDGETS = (10, 40, 70, 100)


def learning_curves(draw):
    X, truth, y_first, X_test, y_test = load(draw)
    first = make_classifier().fit(X, y_first)
    curves = []
    for strategy in STRATEGIES:
        clf, y = first, y_first.copy()
        accuracies = [clf.score(X_test, y_test)]
        for before, after in pairwise(BUDGETS):
            rows = query(strategy, clf, X, y, after - before)
            y[rows] = truth[rows]  # here somebody looks at the digits
            clf = make_classifier().fit(X, y)
            accuracies.append(clf.score(X_test, y_test))
        curves.append(accuracies)
    return curves


curves = np.mean([learning_curves(draw) for draw in range(2)], axis=0)
fig, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
for strategy, accuracies, marker in zip(STRATEGIES, curves, "osD^", strict=True):
    ax.plot(BUDGETS, accuracies, marker=marker, label=strategy)
ax.set(xlabel="labels", ylabel="accuracy on other digits", xticks=BUDGETS)
ax.legend(frameon=False)
plt.show()
