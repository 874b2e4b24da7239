"""
Your own torch module
=====================

Any module works that maps a batch of samples to embeddings of shape (n_samples, n_features). The clustering
layer is added on top of it. If its constructor takes ``input_shape`` or ``n_classes``, they are filled in
from the data.
"""

# %%
# A network for time series: convolutions along time, then the mean over time.
import numpy as np
from torch import nn


class SeriesNetwork(nn.Module):
    def __init__(self, n_classes, n_filters=8, width=9):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, n_filters, width, padding="same"),
            nn.ELU(),
            nn.MaxPool1d(2),
            nn.Conv1d(n_filters, 2 * n_filters, width, padding="same"),
            nn.ELU(),
        )
        self.dense = nn.Linear(2 * n_filters, n_classes)

    def forward(self, x):
        return self.dense(self.convolutions(x[:, None]).mean(dim=2))


# %%
# Sine, square and sawtooth waves of random phase, with noise. Because of the phase, methods that compare rows
# value by value cannot recognize the shape.
rng = np.random.RandomState(0)
truth = np.arange(300) % 3
angle = 4 * np.pi * np.arange(64) / 64 + 2 * np.pi * rng.rand(300, 1)
waves = np.stack([np.sin(angle), np.sign(np.sin(angle)), angle / np.pi % 2 - 1])
X = waves[truth, np.arange(300)] + 0.4 * rng.normal(size=(300, 64))

# %%
# Pass the class, not an instance. Then ``module__*`` sets its parameters, also in a grid search.
from sklearn.semi_supervised import LabelSpreading

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels

y = mask_labels(truth, 10, random_state=0)
hidden = y == -1
settings = {"module__n_filters": 8, "random_state": 0}
supervised = SSLDECClassifier(SeriesNetwork, max_iter=0, **settings).fit(X, y)
clf = SSLDECClassifier(SeriesNetwork, max_iter=40, **settings).fit(X, y)
spreading = LabelSpreading(kernel="knn").fit(X, y)
for name, one in {"supervised": supervised, "SSLDEC": clf, "LabelSpreading": spreading}.items():
    print(f"{name:16}{one.score(X[hidden], truth[hidden]):.1%}")

# %%
# One wave of each class, and the embeddings of all waves:
import matplotlib.pyplot as plt

from sklearn_ssldec.display import EmbeddingDisplay

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for shape, name in enumerate(("sine", "square", "sawtooth")):
    axes[0].plot(X[shape] - 4 * shape, label=name)
axes[0].set(yticks=[], xlabel="time")
axes[0].legend(loc="upper right", fontsize="small")
EmbeddingDisplay.from_estimator(clf, X, y, method="pca", ax=axes[1])
plt.show()
