"""Label maps of volumes, encoded by hand."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_ssldec._samples.volumes import as_label_maps, encode_label_maps, labeled_volumes

SOME = np.array([[3, 3, -1], [7, 9, 7]])
OTHERS = np.array([[9, -1], [3, 9]])


def encode(maps, **kwargs):
    shapes = [(2, 3) if labels is None else labels.shape for labels in maps]
    labels = encode_label_maps(maps, shapes, **kwargs)
    return labels, labels.ignored


def test_codes_follow_one_another_and_none_has_no_labels():
    labels, ignored = encode([SOME, None, OTHERS])
    assert labels.classes.tolist() == [3, 7, 9]
    assert labels.codes.tolist() == [0, 0, -1, 1, 2, 1] + [-1] * 6 + [2, -1, 0, 2]
    assert labels.codes.dtype == np.int16
    assert ignored == [None, None, None]


def test_ignored_voxels_have_no_code_and_are_no_class():
    labels, ignored = encode([SOME, None, OTHERS], ignore_label=9)
    assert labels.classes.tolist() == [3, 7]
    assert labels.codes.tolist() == [0, 0, -1, 1, 1] + [-1] * 6 + [-1, 0]
    assert_array_equal(ignored[0], [[False, False, False], [False, True, False]])
    assert ignored[1] is None
    assert_array_equal(ignored[2], [[True, False], [False, True]])


def test_another_mark():
    labels, _ = encode([np.array([[0, 5, 5], [1, 1, 0]])], unlabeled_label=0)
    assert labels.classes.tolist() == [1, 5]
    assert labels.codes.tolist() == [-1, 1, 1, 0, 0, -1]


@pytest.mark.parametrize(
    ("labels", "kwargs", "message"),
    [
        ([[3, 3, 7]], {}, "Class 7 labels a single voxel in all of y"),
        ([[3, 3, -2]], {}, r"y holds the labels \[-2\]: negative"),
        ([[3, 3, -1]], {}, "at least 2 classes, got one class only: 3"),
        ([[9, 9, -1]], {"ignore_label": 9}, "no labeled voxel: all are -1"),
        ([[3, 3, -1]], {"ignore_label": -1}, "ignore_label and unlabeled_label are both -1"),
    ],
)
def test_refused(labels, kwargs, message):
    with pytest.raises(ValueError, match=message):
        encode([np.array(labels)], **kwargs)


def test_voxels_of_a_class_are_counted_over_all_volumes():
    labels, _ = encode([np.array([[3, 7]]), np.array([[7, 3]])])
    assert labels.codes.tolist() == [0, 1, 1, 0]


def test_label_maps_are_two_or_three_dimensional_and_one_a_volume():
    with pytest.raises(ValueError, match="y has no label map: all are None"):
        as_label_maps([None, None], 2)
    with pytest.raises(ValueError, match="2 volumes and y 1"):
        as_label_maps([SOME], 2)
    for wrong in ([np.zeros(3, int)] * 2, [np.zeros((1, 1, 1, 1), int)] * 2, [SOME, SOME[None]]):
        with pytest.raises(ValueError, match="must all have two axes, or all three"):
            as_label_maps(wrong, 2)
    given = as_label_maps([SOME, None], 2)
    assert_array_equal(given[0], SOME)
    assert given[1] is None


def test_volumes_with_a_labeled_voxel():
    nothing = np.full((2, 2), -1)
    assert labeled_volumes([SOME, None, nothing, OTHERS]).tolist() == [True, False, False, True]
    assert labeled_volumes(np.stack([nothing, nothing + 1])).tolist() == [False, True]
    assert labeled_volumes([nothing + 5, nothing], unlabeled_label=4).tolist() == [False, True]
    assert labeled_volumes(np.array([0, 1, -1])) is None
    assert labeled_volumes([0, 1, -1]) is None


def test_masks_of_booleans_have_integer_classes():
    labels, _ = encode([np.array([[True, False], [True, False]])])
    assert labels.classes.dtype.kind == "i"
    assert labels.classes.tolist() == [0, 1]


def test_more_classes_than_codes_are_refused():
    with pytest.raises(ValueError, match=r"y has 40000 labels; at most 16384 .* number objects"):
        encode([np.arange(80_000).reshape(200, 400) // 2])


def test_nan_and_a_map_that_is_not_in_a_list_are_told():
    with pytest.raises(TypeError, match=r"y\[0\] is an array of float64 with NaN.*np.isnan\(y\), -1, y\)"):
        as_label_maps([np.array([[1.0, np.nan]])], 1)
    with pytest.raises(ValueError, match="y is a list of label maps, also where there is one"):
        as_label_maps(SOME, 2)
