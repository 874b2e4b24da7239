"""
A pipeline, and a grid search over parameters of the network
============================================================

Parameters that begin with ``module__`` go to the network, as in skorch.
:class:`~sklearn_ssldec.model_selection.SemiSupervisedSplitter` makes the folds: every unlabeled row is in
every training fold, and only labeled rows are tested on.
"""

# %%
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.model_selection import SemiSupervisedSplitter, compare_with_supervised

X, truth = load_wine(return_X_y=True)
y = mask_labels(truth, 12, random_state=0)  # 36 of 178 wines

# %%
# The features of a table have different scales, so a scaler comes first.
pipeline = make_pipeline(StandardScaler(), SSLDECClassifier(max_iter=20, random_state=0))
grid = {
    "ssldecclassifier__module__hidden_units": [(8,), (32, 32)],
    "ssldecclassifier__module__dropout": [0.0, 0.2],
}
search = GridSearchCV(pipeline, grid, cv=SemiSupervisedSplitter(3)).fit(X, y)
for parameters, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"{score:.3f}  {parameters}")

# %%
# The score of the search counts labeled rows only. It is close to the accuracy on the rows whose labels were
# hidden.
hidden = y == -1
print(f"best score of the search: {search.best_score_:.3f}")
print(f"accuracy on hidden rows:  {search.score(X[hidden], truth[hidden]):.3f}")

# %%
# Does the unlabeled data help here? Held-out labels show it, if there are enough of them.
print(compare_with_supervised(search.best_estimator_, X, y, cv=3))

# %%
# The mean score of each pair of settings:
import matplotlib.pyplot as plt
import numpy as np

scores = np.asarray(search.cv_results_["mean_test_score"]).reshape(2, 2)
fig, ax = plt.subplots(figsize=(4, 3), layout="constrained")
for label, row, marker in zip(("no dropout", "dropout 0.2"), scores, "os", strict=True):
    ax.plot(["(8,)", "(32, 32)"], row, marker=marker, label=label)
ax.set(xlabel="hidden units", ylabel="accuracy on held-out labels")
ax.legend()
plt.show()
