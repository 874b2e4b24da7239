"""
Digits: ten labels a class
==========================

100 of 1797 images of 8x8 pixels are labeled. SSLDEC takes the images as they are; scikit-learn's
semi-supervised classifiers take rows of pixels. Training is shortened for this page. With the default
settings it takes about a minute and makes fewer errors (:doc:`/benchmarks`).
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

digits = load_digits()
images, rows, truth = digits.images, digits.data, digits.target
y = mask_labels(truth, 10, random_state=0)
hidden = y == -1

# %%
# Each classifier learns from all samples. The accuracy is measured on the samples whose labels were hidden.
QUICK = {"pretrain_epochs": 60, "random_state": 0}
supervised = SSLDECClassifier(max_iter=0, **QUICK).fit(images, y)
clf = SSLDECClassifier(max_iter=8, **QUICK).fit(images, y)
accuracy = {
    "supervised training": supervised.score(images[hidden], truth[hidden]),
    "SSLDEC": clf.score(images[hidden], truth[hidden]),
}
for name, other in {
    "LabelSpreading": LabelSpreading(kernel="knn", n_neighbors=7),
    "SelfTrainingClassifier": SelfTrainingClassifier(KNeighborsClassifier(5)),
}.items():
    accuracy[name] = other.fit(rows, y).score(rows[hidden], truth[hidden])
for name, value in accuracy.items():
    print(f"{name:24}{value:.1%}")

# %%
# The embeddings of the images, projected to the plane: after supervised training some classes touch; after
# SSLDEC they are separate.
from sklearn_ssldec.display import (
    EmbeddingDisplay,
    LabeledConfusionMatrixDisplay,
    MisclassifiedDisplay,
)

EmbeddingDisplay.from_estimator(clf, images, y, before=supervised, max_samples=800)
plt.show()

# %%
# The confusion matrix. This display ignores samples without a label; here the hidden labels are known.
LabeledConfusionMatrixDisplay.from_estimator(clf, images, truth)
plt.show()

# %%
# The misclassified images, the most confident errors first:
MisclassifiedDisplay.from_estimator(clf, images, truth, max_images=10)
plt.show()
