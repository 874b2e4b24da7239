"""
A first fit: half-moons, eight labels among 600 points
======================================================

Two interleaving half-moons, with four labeled points each, as in the paper's figure 4. A network trained on
the labels alone cuts through the moons. SSLDEC continues from there and finds the gap between them.
"""

# %%
# Unlabeled points are marked with -1.
from sklearn.datasets import make_moons

from sklearn_ssldec.datasets import mask_labels

X, truth = make_moons(600, noise=0.1, random_state=0)
y = mask_labels(truth, 4, random_state=3)

# %%
# With ``max_iter=0``, the network is trained on the labels alone. SSLDEC starts from this network.
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
# The history of training. The share of predictions that an iteration changes falls; training ends after ten
# iterations in a row that change almost none.
TrainingHistoryDisplay.from_estimator(clf)
plt.show()
