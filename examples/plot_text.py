"""
Text: ten labels a class
========================

From texts to a classifier, with ten labels a class: by TF-IDF, and by embeddings of words whose weights come
with a package. The texts are the docstrings of five packages, which are at hand wherever this runs; the class
is the package. The fits are short. :doc:`/how_to/text` has the same comparison on messages of newsgroups,
with more draws.
"""

# %%
# The texts
# ---------
# Of each docstring, what stands before its parameters.
import importlib
import inspect
import re

import numpy as np
from sklearn.model_selection import train_test_split

PACKAGES = {
    "matplotlib": ["pyplot", "axes", "colors", "patches", "ticker", "figure"],
    "numpy": ["linalg", "fft", "random", "polynomial", "ma", "char"],
    "scipy": ["stats", "signal", "special", "optimize", "ndimage", "linalg", "interpolate"],
    "sklearn": ["cluster", "ensemble", "linear_model", "metrics", "preprocessing", "datasets", "utils"],
    "torch": ["nn", "nn.functional", "optim", "linalg", "utils.data"],
}


def texts_of(package, modules):
    found = set()
    for module in ["", *(f".{name}" for name in modules)]:
        for _, member in inspect.getmembers(importlib.import_module(package + module), callable):
            start = re.split(r"\n(?:Parameters|Args|Call signature)", inspect.getdoc(member) or "")[0]
            if len(start) > 80 and str(getattr(member, "__module__", "")).startswith(package):
                found.add(start)
    return sorted(found)


texts, truth = [], []
rng = np.random.RandomState(0)
for package, modules in PACKAGES.items():
    chosen = rng.permutation(texts_of(package, modules))[:200]
    texts += chosen.tolist()
    truth += [package] * len(chosen)
print(texts[0][:300])

# %%
# Ten texts of each package are labeled, 300 are kept to test with:
from sklearn_ssldec.datasets import mask_labels

names, codes = np.unique(truth, return_inverse=True)
train, test, codes, codes_test = train_test_split(texts, codes, test_size=300, random_state=0)
y = mask_labels(codes, 10, random_state=0)
labeled = y >= 0
print(len(train), "texts,", labeled.sum(), "of them labeled")

# %%
# TF-IDF
# ------
# The vectors are sparse and stay so. Their rows have unit length: no StandardScaler, which would make the
# rarest words the largest.
import warnings

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading

from sklearn_ssldec import SSLDECClassifier

warnings.filterwarnings("ignore", message="The features of X")  # asks for a StandardScaler
warnings.filterwarnings("ignore", message="invalid value")  # texts that LabelSpreading does not reach


def compare(X, X_test):
    """Return the accuracy of each method, and the fitted SSLDECClassifier."""
    regression = LogisticRegression(C=10).fit(X[labeled], y[labeled])
    spreading = LabelSpreading(kernel="knn", n_neighbors=20).fit(X, y)
    clf = SSLDECClassifier(teachers=None, max_iter=5, random_state=0).fit(X, y)
    methods = {"logistic regression": regression, "LabelSpreading": spreading, "SSLDEC": clf}
    return {name: method.score(X_test, codes_test) for name, method in methods.items()}, clf


vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english", max_features=1000)
accuracies = {}
accuracies["TF-IDF"], clf = compare(vectorizer.fit_transform(train), vectorizer.transform(test))

# %%
# A pipeline goes from the texts to the classes:
reader = make_pipeline(vectorizer, clf)
for text, code in zip(test[:3], reader.predict(test[:3]), strict=True):
    print(f"{names[code]}: {text[:60]!r}")

# %%
# Embeddings
# ----------
# `wordllama <https://pypi.org/project/wordllama>`_ averages vectors of words. Its wheel includes the weights,
# so that nothing is downloaded; ``cache_dir`` tells where.
from pathlib import Path

import wordllama

embedder = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
embedded, embedded_test = embedder.embed(train, norm=True), embedder.embed(test, norm=True)
accuracies["embeddings"], clf = compare(embedded, embedded_test)

# %%
# The accuracy on the texts that were kept to test with. One draw of labels says little about differences of a
# few points.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for shift, (name, values) in zip((-0.2, 0.2), accuracies.items(), strict=True):
    bars = ax.bar(np.arange(3) + shift, values.values(), 0.38, label=name)
    ax.bar_label(bars, fmt="{:.2f}")
ax.set(xticks=range(3), xticklabels=values, ylabel="accuracy", ylim=(0, 1.15))
ax.legend(frameon=False, loc="upper left", ncols=2)
plt.show()

# %%
# The confusion matrix of the embeddings:
from sklearn_ssldec.display import LabeledConfusionMatrixDisplay

LabeledConfusionMatrixDisplay.from_predictions(names[codes_test], names[clf.predict(embedded_test)])
plt.show()
