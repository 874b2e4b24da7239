"""
A table with strings and missing labels
=======================================

Real tables mix numbers and strings, and mark missing labels as None, NaN or NA. A missing label is an
unlabeled row.
"""

# %%
# A simulated table of 400 penguins: two measurements, the island, and the species, which is known for 30 of
# them.
import numpy as np
import pandas as pd

rng = np.random.RandomState(0)
species = rng.choice(["Adelie", "Chinstrap", "Gentoo"], size=400, p=[0.4, 0.25, 0.35])
bill = {"Adelie": 38.8, "Chinstrap": 48.8, "Gentoo": 47.5}
flipper = {"Adelie": 190, "Chinstrap": 196, "Gentoo": 217}
islands = {"Adelie": ["Biscoe", "Dream", "Torgersen"], "Chinstrap": ["Dream"], "Gentoo": ["Biscoe"]}
table = pd.DataFrame(
    {
        "bill_mm": [rng.normal(bill[name], 2.8) for name in species],
        "flipper_mm": [rng.normal(flipper[name], 6.5) for name in species],
        "island": [rng.choice(islands[name]) for name in species],
        "species": pd.Series(species).where(rng.permutation(400) < 30),
    }
)
table.head(8)

# %%
# ``mark_unlabeled`` converts the column of labels to what ``fit`` takes. scikit-learn's transformers scale
# the numbers and encode the strings.
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.labels import mark_unlabeled

X, y = table.drop(columns="species"), mark_unlabeled(table["species"])
columns = make_column_transformer(
    (StandardScaler(), ["bill_mm", "flipper_mm"]),
    (OneHotEncoder(sparse_output=False), ["island"]),
)
clf = make_pipeline(columns, SSLDECClassifier(max_iter=50, random_state=0)).fit(X, y)

hidden = np.asarray(table["species"].isna())
print(f"accuracy on the rows without a label: {np.mean(clf.predict(X[hidden]) == species[hidden]):.1%}")

# %%
# The confusion matrix of the rows whose labels ``fit`` did not see:
import matplotlib.pyplot as plt

from sklearn_ssldec.display import LabeledConfusionMatrixDisplay

LabeledConfusionMatrixDisplay.from_predictions(species[hidden], clf.predict(X[hidden]))
plt.show()
