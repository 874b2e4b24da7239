"""
Classes of different sizes
==========================

SSLDEC's targets divide by the size of each cluster, which pulls all classes towards the same size. If the
classes differ in size, as these moons with 540 and 60 points do, pass their shares as ``class_prior``.
"""

# %%
from sklearn.datasets import make_moons
from sklearn.metrics import balanced_accuracy_score

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

X, truth = make_moons((540, 60), noise=0.1, random_state=0)
y = mask_labels(truth, 4, random_state=0)

# %%
# Balanced accuracy is the mean of the accuracies on each class, so a rare class counts as much as a frequent
# one.
default = SSLDECClassifier(random_state=0).fit(X, y)
told = SSLDECClassifier(class_prior=[0.9, 0.1], random_state=0).fit(X, y)
for name, clf in {"default": default, "class_prior": told}.items():
    balanced = balanced_accuracy_score(truth, clf.predict(X))
    print(f"{name:12} accuracy {clf.score(X, truth):.1%}, balanced {balanced:.1%}")

# %%
# The regions of the two classes without the shares (left) and with them (right):
import matplotlib.pyplot as plt

from sklearn_ssldec.display import BoundaryDisplay

display = BoundaryDisplay.from_estimator(told, X, y, before=default)
display.ax_[0].set_title("default")
display.ax_[1].set_title("class_prior=[0.9, 0.1]")
plt.show()
