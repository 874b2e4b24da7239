"""Small rules of labels, each by hand: what is refused, what is hinted at, and what stays as it was."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import DataConversionWarning

from sklearn_ssldec.labels import (
    encode_labels,
    labeled_mask,
    labeled_values,
    mark_unlabeled,
    warn_if_all_labeled,
)

HINT = "If -1 is a class and every sample is labeled, pass unlabeled_label=None."


@pytest.mark.parametrize(
    ("y", "unlabeled_label", "hinted"),
    [
        ([1, 1, -1], -1, True),  # of the classes -1 and 1
        ([1.0, 1.0, -1.0], -1, True),
        ([1, 1, 1], -1, False),  # no -1
        ([1, 1, 9], 9, False),
        ([2, 2, -1], -1, False),
        (np.array([True, True, -1], dtype=object), -1, False),  # True is 1, but no number
    ],
)
def test_one_class_is_hinted_to_be_of_two_where_it_may(y, unlabeled_label, hinted):
    with pytest.raises(ValueError, match="got one class only") as error:
        encode_labels(y, unlabeled_label)
    assert str(error.value).endswith(HINT) == hinted


@pytest.mark.parametrize("y", [[0.5, 1.0, -1.0], [0.0, 1.0, 1.5, -1.0]])
def test_one_fraction_makes_labels_continuous(y):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode_labels(y)


def test_unsigned_labels_without_the_largest_are_complete():
    assert encode_labels(np.array([0, 1, 254], dtype=np.uint8)).codes.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="uint8 and holds 255"):
        encode_labels(np.array([0, 1, 255], dtype=np.uint8))


def test_a_column_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        assert encode_labels(np.array([[1], [0], [-1]])).codes.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("y", "kinds"), [([True, "a"], "bool, str"), ([True, 2], "bool, number"), ([1j, "a"], "complex, str")]
)
def test_kinds_that_are_mixed_are_named(y, kinds):
    with pytest.raises(ValueError, match=f"mixes labels of several kinds: {kinds}. Use one kind"):
        encode_labels(np.array([*y, -1], dtype=object))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32, bool, "<U3"])
def test_labels_keep_their_dtype(dtype):
    y = np.array([1, 0, 1]).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = labeled_values(y, unlabeled_label=None)
    assert values.dtype == np.dtype(dtype)
    assert_array_equal(values, y)


def test_no_labels_at_all():
    assert labeled_mask(np.array([], dtype=object)).dtype == bool
    assert mark_unlabeled([]).tolist() == []
    assert mark_unlabeled([None, None]).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("y", "hinted"),
    [
        ([0, 0, 0, 1, 2], True),
        ([0, 0, 1, 2], False),  # half of them are no majority
        ([0, 0, 1, 1, 2], False),
        ([0, 0, 0, 1, 3], False),
    ],
)
def test_a_lost_mark_is_suspected_where_most_labels_are_0(y, hinted):
    with pytest.warns(UserWarning, match="y has no unlabeled sample") as caught:
        warn_if_all_labeled(encode_labels(y), -1)
    assert ("meta-estimator" in str(caught[0].message)) == hinted
