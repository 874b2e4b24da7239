"""Labels from the columns of real tables: one rule, a missing value is an unlabeled sample."""

import datetime

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.labels import encode_labels, mark_unlabeled
from sklearn_ssldec.model_selection import SemiSupervisedSplitter

pd = pytest.importorskip("pandas", reason="needs pandas, of the test extra")

BIG = 2**60 + 1  # lost in a detour over floats


def check(y, expected, dtype, **kwargs):
    marked = mark_unlabeled(y, **kwargs)
    assert marked.dtype == dtype
    assert marked.tolist() == expected
    assert [type(value) for value in marked.tolist()] == [type(value) for value in expected]
    encoded = encode_labels(marked, kwargs.get("unlabeled_label", -1))
    mark = kwargs.get("unlabeled_label", -1)
    assert_array_equal(encoded.labeled, [value != mark for value in expected])


WORDS = ["cat", -1, "dog"]
PANDAS = {
    "nullable integers": (pd.Series([BIG, pd.NA, 2], dtype="Int64"), [BIG, -1, 2], np.int64),
    "nullable unsigned": (pd.Series([255, pd.NA, 2], dtype="UInt8"), [255, -1, 2], np.int64),
    "integers that became floats": (pd.Series([3, None, 2]), [3, -1, 2], np.int64),
    "complete integers": (pd.Series([3, 1, 2]), [3, 1, 2], np.int64),
    "already marked": (pd.Series([3, -1, 2]), [3, -1, 2], np.int64),
    "nullable booleans": (pd.Series([True, pd.NA, False], dtype="boolean"), [True, -1, False], object),
    "strings": (pd.Series(["cat", pd.NA, "dog"], dtype="string"), WORDS, object),
    "default strings": (pd.Series(["cat", None, "dog"]), WORDS, object),
    "objects": (pd.Series(["cat", np.nan, "dog"], dtype=object), WORDS, object),
    "categories of strings": (pd.Series(["cat", None, "dog"], dtype="category"), WORDS, object),
    "categories of integers": (pd.Series([3, None, 2], dtype="category"), [3, -1, 2], np.int64),
    "a frame": (pd.DataFrame({"kind": ["cat", None, "dog"]}), WORDS, object),
    "an index of its own": (pd.Series(["cat", None, "dog"], index=[9, 3, 3]), WORDS, object),
}


@pytest.mark.parametrize(("y", "expected", "dtype"), PANDAS.values(), ids=PANDAS)
def test_pandas(y, expected, dtype):
    check(y, expected, dtype)


@pytest.mark.parametrize(
    ("values", "dtype_name", "expected", "dtype"),
    [
        ([BIG, None, 2], "Int64", [BIG, -1, 2], np.int64),
        ([255, None, 2], "UInt8", [255, -1, 2], np.int64),
        ([3.0, float("nan"), 2.0], "Float64", [3, -1, 2], np.int64),
        ([True, None, False], "Boolean", [True, -1, False], object),
        (["cat", None, "dog"], "String", WORDS, object),
        (["cat", None, "dog"], "Categorical", WORDS, object),
    ],
)
def test_polars(values, dtype_name, expected, dtype):
    pl = pytest.importorskip("polars", reason="needs polars, of the interop extra")
    column = pl.Series("kind", values, dtype=getattr(pl, dtype_name))
    check(column, expected, dtype)
    check(column.to_frame(), expected, dtype)


def test_arrow():
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the interop extra")
    check(pa.chunked_array([["cat", None], ["dog"]]), WORDS, object)
    check(pd.Series([BIG, None, 2], dtype="int64[pyarrow]"), [BIG, -1, 2], np.int64)


@pytest.mark.parametrize(
    ("y", "kwargs", "expected", "dtype"),
    [
        ([1, None, 0], {}, [1, -1, 0], np.int64),
        (np.array([1.0, np.nan, 0.0]), {}, [1, -1, 0], np.int64),
        (np.array([[1.0], [np.nan], [0.0]]), {}, [1, -1, 0], np.int64),
        (["cat", "?", "dog", None], {"also": ["?", ""]}, ["cat", -1, "dog", -1], object),
        ([1, 99, 2], {"also": [99]}, [1, -1, 2], np.int64),
        ([-1, 1, None], {"unlabeled_label": 9}, [-1, 1, 9], np.int64),
        (["cat", None, "dog"], {"unlabeled_label": "?"}, ["cat", "?", "dog"], object),
        ([1, None, 2], {"unlabeled_label": "?"}, [1, "?", 2], object),
        ([-1, 1, None, 0], {"also": [-1]}, [-1, 1, -1, 0], np.int64),
    ],
)
def test_other_marks(y, kwargs, expected, dtype):
    check(y, expected, dtype, **kwargs)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([-1, 1, None], r"1 missing labels, and 1 that are -1.*also=\[-1\]"),
        (["cat", 1, None], "mixes labels of several kinds: number, str"),
        (pd.DataFrame({"a": [1, 2], "b": [1, 2]}), "y must be one column, got 2"),
    ],
)
def test_refused(y, message):
    with pytest.raises(ValueError, match=message):
        mark_unlabeled(y)


def test_labels_that_cannot_be_classes_are_left_to_fit():
    marked = mark_unlabeled([0.5, None, 1.5])
    assert marked.tolist() == [0.5, -1.0, 1.5]
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode_labels(marked)
    days = [datetime.date(2000, 1, 1), None, datetime.date(2000, 1, 2)]
    with pytest.raises(ValueError, match="Unknown label type"):
        encode_labels(mark_unlabeled(days))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_fit_on_a_table(library):
    table_of = pytest.importorskip(library, reason=f"needs {library}, of the interop extra").DataFrame
    rng = np.random.RandomState(0)
    kind = np.where(np.arange(60) < 30, "cat", "dog")
    given = [name if i % 6 == 0 else None for i, name in enumerate(kind)]
    table = table_of(
        {"weight": rng.normal(size=60) + 6 * (kind == "dog"), "age": rng.rand(60), "kind": given}
    )
    X, y = table[["weight", "age"]], mark_unlabeled(table["kind"])
    clf = SSLDECClassifier(max_iter=2, random_state=0, device="cpu").fit(X, y)
    assert clf.classes_.tolist() == ["cat", "dog"]
    assert clf.feature_names_in_.tolist() == ["weight", "age"]
    assert np.mean(clf.predict(X) == kind) > 0.95
    with pytest.raises(ValueError, match=r"50 of 60 labels are missing.*mark_unlabeled"):
        clf.fit(X, table["kind"])
    for train, test in SemiSupervisedSplitter(5).split(X, y):
        assert len(train) + len(test) == 60
