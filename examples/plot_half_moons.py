"""
A first fit: half-moons, eight labels among 600 points
======================================================

Two interleaving half-moons, four points of each labeled, in the manner of the paper's figure 4. A network
that is trained on the labels alone cuts through the moons; SSLDEC goes on from there and finds the gap
between them.
"""

# %%
# Unlabeled points are marked with -1.
from sklearn.datasets import make_moons

from sklearn_ssldec.datasets import mask_labels

X, truth = make_moons(600, noise=0.1, random_state=0)
y = mask_labels(truth, 4, random_state=3)

# %%
# With ``max_iter=0`` the network is trained on the labels alone. That is what SSLDEC starts from.
from sklearn_ssldec import SSLDECClassifier

supervised = SSLDECClassifier(max_iter=0, random_state=0).fit(X, y)
clf = SSLDECClassifier(random_state=0).fit(X, y)
print(f"supervised training: {supervised.score(X, truth):.1%}")
print(f"SSLDEC:              {clf.score(X, truth):.1%}")

# %%
# The regions of the two classes, before and after. Labeled points have a black edge.
import matplotlib.pyplot as plt

from sklearn_ssldec.display import BoundaryDisplay, TrainingHistoryDisplay

BoundaryDisplay.from_estimator(clf, X, y, before=supervised)
plt.show()

# %%
# How training went: the share of predictions that an iteration changes falls, until ten iterations in a row
# change next to none.
TrainingHistoryDisplay.from_estimator(clf)
plt.show()
