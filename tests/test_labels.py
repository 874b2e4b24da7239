import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_ssldec.labels import encode_labels, labeled_mask, labeled_values, mark_unlabeled


@pytest.mark.parametrize(
    ("y", "classes", "codes"),
    [
        ([3, -1, 7, 3], [3, 7], [0, -1, 1, 0]),
        ([0.0, 2.0, -1.0], [0, 2], [0, 1, -1]),
        (np.array([0, 1, -1], dtype=np.int8), [0, 1], [0, 1, -1]),
        ([True, False, True], [False, True], [1, 0, 1]),
        (np.array([True, -1, False], dtype=object), [False, True], [1, -1, 0]),
        (["cat", -1, "ant"], ["ant", "cat"], [1, -1, 0]),
        (np.array(["cat", -1, "ant"], dtype=object), ["ant", "cat"], [1, -1, 0]),
        (np.array(["cat", "ant"]), ["ant", "cat"], [1, 0]),
        (pd.Series(["cat", -1, "ant"]), ["ant", "cat"], [1, -1, 0]),
        (pd.Series(["cat", -1, "ant"], dtype="category"), ["ant", "cat"], [1, -1, 0]),
        (pd.Series([1, -1, 5], dtype="Int64"), [1, 5], [0, -1, 1]),
        (pd.Series([1, -1, 5], index=[7, 8, 9]), [1, 5], [0, -1, 1]),
        (np.array([[1], [0], [-1]]).ravel(), [0, 1], [1, 0, -1]),
    ],
)
def test_encode(y, classes, codes):
    encoded = encode_labels(y)
    assert_array_equal(encoded.classes, classes)
    assert_array_equal(encoded.codes, codes)
    assert_array_equal(labeled_mask(y), np.array(codes) >= 0)
    assert_array_equal(encoded.labeled, np.array(codes) >= 0)


@pytest.mark.parametrize(
    ("y", "unlabeled_label", "classes", "codes"),
    [
        ([-1, 1, -1], None, [-1, 1], [0, 1, 0]),
        (np.array([0, 1, 255], np.uint8), 255, [0, 1], [0, 1, -1]),
        (np.array([0, 1, 255], np.uint8), None, [0, 1, 255], [0, 1, 2]),
        (["a", "b", "?"], "?", ["a", "b"], [0, 1, -1]),
        (["a", "b", "-1"], "-1", ["a", "b"], [0, 1, -1]),
        ([-1, 0, 1, 99], 99, [-1, 0, 1], [0, 1, 2, -1]),
        ([0, 1, 2], "?", [0, 1, 2], [0, 1, 2]),
    ],
)
def test_encode_with_another_marker(y, unlabeled_label, classes, codes):
    encoded = encode_labels(y, unlabeled_label)
    assert_array_equal(encoded.classes, classes)
    assert_array_equal(encoded.codes, codes)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", -1]), min_size=2).filter(lambda y: len({*y} - {-1}) > 1))
def test_encode_and_decode_is_the_identity(y):
    encoded = encode_labels(np.array(y, dtype=object))
    decoded = [-1 if code < 0 else encoded.classes[code] for code in encoded.codes]
    assert decoded == y


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(["cat", "dog", -1]), r"holds the string '-1'.*object array.*unlabeled_label='-1'"),
        (pd.Series(["cat", "dog", "-1"]), "holds the string '-1'"),
        (np.array(["cat", "dog", -1.0]), r"holds the string '-1.0'.*'dog', -1\].*unlabeled_label='-1.0'"),
        (pd.Series(["cat", "-1.0", -1], dtype=object), "holds the string '-1.0'"),
        (np.array([0, 1, 255], dtype=np.uint8), r"uint8 and holds 255.*signed dtype.*unlabeled_label=255"),
        (np.array([0, 1, -1]).astype(np.uint16), "uint16 and holds 65535"),
        (pd.Series([0, 1, None], dtype="Int64"), "1 of 3 labels are missing.*mark_unlabeled"),
        (pd.Series(["a", "b", None]), "1 of 3 labels are missing"),
        (pd.Series(["a", "b", pd.NA], dtype="string"), "1 of 3 labels are missing"),
        (["a", "b", None], "1 of 3 labels are missing"),
        ([0, 1, np.nan], "Input y contains NaN"),
        ([0, 1, np.inf], "Input y contains infinity"),
        ([-1, 1, -1, 1], r"one class only: 1.*pass unlabeled_label=None"),
        ([-1, 0, 0], "at least 2 classes, got one class only: 0.$"),
        (["a", "a", -1], "one class only: 'a'"),
        ([-1, -1], r"y has no labeled sample: all 2 are -1.*unlabeled_label"),
        ([], "no labeled sample"),
        ([0.5, 1.5, -1], "Unknown label type: continuous"),
        (np.array(["a", 1, -1], dtype=object), "mixes labels of several kinds: number, str"),
        ([[0, 1], [1, 0]], "should be a 1d array"),
    ],
)
def test_refused(y, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y)


@pytest.mark.parametrize(
    "classes", [np.arange(100), np.arange(100.0), np.arange(100).astype(str), np.arange(100).astype(object)]
)
def test_many_classes_with_one_label_each_are_no_regression(classes):
    y = np.array([*classes.tolist(), *[-1] * 100], dtype=object if classes.dtype.kind == "U" else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded = encode_labels(y)
    assert_array_equal(np.sort(encoded.codes[:100]), np.arange(100))
    assert_array_equal(encoded.codes[100:], -1)


@pytest.mark.parametrize(
    ("y", "suspects", "mark"),
    [
        (np.array(["a", "b", np.nan]), ["nan"], -1),
        (np.array(["a", None, "b"], dtype=object).astype(str), ["None"], -1),
        (["a", "", "b", -1], [""], -1),
        (["a", "", "b", "?"], [""], "?"),
        (np.array(["a", "", "<NA>", "NaT", -1], dtype=object), ["", "<NA>", "NaT"], -1),
    ],
)
def test_classes_that_are_called_as_missing_values_are_named(y, suspects, mark):
    with pytest.warns(UserWarning, match="y has a class called") as caught:
        encoded = encode_labels(y, mark)
    assert caught[0].filename == __file__
    assert ", ".join(map(repr, suspects)) in str(caught[0].message)
    assert set(suspects) < set(encoded.classes)  # they stay classes: they may be
    # What the warning says to do makes them unlabeled.
    advice = re.search(r"mark_unlabeled\(.*\)", str(caught[0].message)).group()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advised = eval(advice, {"mark_unlabeled": mark_unlabeled, "y": y})
        assert set(labeled_values(advised, mark).tolist()) == {"a", "b"} & set(encoded.classes)
        encode_labels(["a", "b", "nano", "Nonesuch"])


@pytest.mark.parametrize(
    ("y", "also", "expected"),
    [
        (["yes", "no", "unknown"], "unknown", ["yes", "no", -1]),
        (["yes", "no", "?"], "no?", ["yes", "no", "?"]),
        (["yes", "no", ""], "", ["yes", "no", -1]),
        (["yes", "no", "?", ""], ("?", ""), ["yes", "no", -1, -1]),
        ([3, 0, 7], 0, [3, -1, 7]),
        ([3, 0, 7, 9], np.int64(9), [3, 0, 7, -1]),
        ([3, 0, 7, 9], {0, 9}, [3, -1, 7, -1]),
        ([3, 0, 7, 9], np.array([0, 9]), [3, -1, 7, -1]),
        ([3, 0, 7, 9], pd.Series([0, 9]), [3, -1, 7, -1]),
        ([3.0, 9.0, np.nan], 9, [3, -1, -1]),
        ([True, False, None], 0, [True, False, -1]),  # a number is no boolean
        (["0", "1", None], 0, ["0", "1", -1]),
        ([3, -1, None], -1, [3, -1, -1]),
        (["a", "b", None], None, ["a", "b", -1]),
    ],
)
def test_what_else_is_missing(y, also, expected):
    marked = mark_unlabeled(y, also=also)
    assert marked.tolist() == expected
    assert [type(value) for value in marked.tolist()] == [type(value) for value in expected]
