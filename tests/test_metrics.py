import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import f1_score

from sklearn_ssldec.metrics import dice_score


def test_agrees_with_f1_on_one_volume():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 5, 6, 7))
    expected = f1_score(truth.ravel(), predicted.ravel(), labels=[1, 2, 3], average=None)
    assert_allclose(dice_score(truth, predicted, average=None), expected)
    assert dice_score(truth, predicted) == pytest.approx(expected.mean())
    assert dice_score(truth, predicted, labels=[0]) == pytest.approx(
        f1_score(truth.ravel(), predicted.ravel(), labels=[0], average="macro")
    )


def test_a_flat_list_is_one_volume_and_a_list_of_lists_several():
    # 2 * 2 / (3 + 2) in one volume; 2/3 and 0 in two
    assert dice_score([1, 1, 0, 1], [1, 0, 0, 1]) == pytest.approx(4 / 5)
    assert dice_score([[1, 1], [0, 1]], [[1, 0], [0, 0]]) == pytest.approx(1 / 3)
    assert dice_score([[1, 1, 0, 1]], [[1, 0, 0, 1]]) == pytest.approx(4 / 5)
    with pytest.raises(ValueError, match="no label to score"):
        dice_score([], [])


@pytest.mark.filterwarnings("error")
def test_a_score_of_nothing_is_nan_without_a_warning():
    truth = np.array([[0, 1]])
    assert np.isnan(dice_score(truth, truth, labels=[7]))
    assert_allclose(dice_score(truth, truth, labels=[1, 7], average=None), [1, np.nan])
    assert dice_score(truth, truth, labels=[1, 7]) == 1
    assert type(dice_score(truth, truth)) is float


def test_without_a_label_to_ignore_every_label_counts():
    scores = dice_score(np.array([[1, -1, 0]]), np.array([[1, 1, 0]]), ignore_label=None, average=None)
    assert_allclose(scores, [0, 2 / 3])  # of -1 and 1


def test_volumes_are_averaged_not_pooled():
    truth = [np.array([[1, 1], [0, 0]]), np.array([[1, 0, 0]])]
    predicted = [np.array([[1, 1], [0, 0]]), np.array([[0, 1, 0]])]
    assert dice_score(truth, predicted) == 0.5


def test_ignored_voxels_do_not_count():
    truth, predicted = np.array([[1, -1, 0, 9]]), np.array([[1, 1, 0, 1]])
    assert dice_score(truth, predicted, ignore_label=[-1, 9]) == 1
    assert dice_score(truth, predicted, labels=[1], ignore_label=None) == pytest.approx(2 / 4)


def test_a_label_that_a_volume_does_not_have_is_left_out():
    truth, predicted = [np.array([[1, 2]]), np.array([[1, 1]])], [np.array([[1, 2]]), np.array([[1, 1]])]
    assert dice_score(truth, predicted, average=None).tolist() == [1, 1]
    predicted[1][0, 0] = 2  # but predicting it where it is not counts
    assert dice_score(truth, predicted, average=None)[1] == 0.5
    assert np.isnan(dice_score(truth[0], truth[0], labels=[7]))


def test_healthy_volumes_follow_nnunets_rule():
    """An absent structure counts 0 where it is predicted, and not at all where it is not."""
    healthy, diseased = np.zeros((2, 3), dtype=int), np.array([[1, 1, 0], [2, 0, 0]])
    assert dice_score(healthy, diseased) == 0
    assert np.isnan(dice_score(healthy, healthy, labels=[1, 2]))
    found_one = np.array([[1, 0, 0], [0, 0, 0]])
    assert_allclose(dice_score(healthy, found_one, labels=[1, 2], average=None), [0, np.nan])
    assert dice_score(healthy, found_one, labels=[1, 2]) == 0
    # Beside a diseased volume: label 1 has (0 + 1) / 2, label 2 only the volume that has it.
    scores = dice_score([healthy, diseased], [found_one, diseased], labels=[1, 2], average=None)
    assert_allclose(scores, [0.5, 1])
    # A label that no truth has, but that is predicted, counts by default too.
    assert_allclose(dice_score(found_one, diseased, average=None), [2 / 3, 0])


def test_masked_voxels_do_not_count():
    truth = np.ma.masked_equal(np.array([[1, 9, 0, 1]]), 9)
    assert dice_score(truth, np.array([[1, 1, 0, 1]])) == 1
    assert dice_score(truth.data, np.array([[1, 1, 0, 1]]), labels=[1]) == pytest.approx(4 / 5)
    assert dice_score(np.array([[1, 1]]), np.ma.masked_equal(np.array([[1, 9]]), 9)) == 1


def test_whole_numbers_of_any_dtype():
    truth = np.array([[0, 1, 2, 1]])
    for dtype in (">i2", np.uint8, np.float32, ">f8", bool):
        labels = truth.astype(dtype)
        assert dice_score(labels, labels.astype(int)) == 1
    with pytest.raises(ValueError, match=r"y_true\[0\] holds values that are not whole numbers"):
        dice_score(truth * 0.99999, truth)
    with pytest.raises(ValueError, match=r"y_pred\[1\] holds values that are not whole numbers"):
        dice_score([truth] * 2, [truth, np.full(truth.shape, np.nan)])


def test_errors():
    maps = np.array([[0, 1]])
    with pytest.raises(ValueError, match="y_true holds 2 label maps and y_pred 1"):
        dice_score([maps, maps], [maps])
    with pytest.raises(
        ValueError, match=r"y_true\[0\] has shape \(1, 2\), but y_pred\[0\] has shape \(2, 1\)"
    ):
        dice_score(maps, maps.T)
    with pytest.raises(ValueError, match="no label to score"):
        dice_score(maps * 0, maps * 0)
    with pytest.raises(ValueError, match="average must be 'macro' or None, got 'micro'"):
        dice_score(maps, maps, average="micro")


@pytest.mark.parametrize("wrap", [list, pd.Series])
def test_arrays_and_series_of_label_maps_are_several_volumes(wrap):
    maps, predicted = [np.array([1, 1]), np.array([0, 1, 2])], [np.array([1, 0]), np.array([0, 1, 2])]
    expected = dice_score(maps, predicted)
    assert dice_score(wrap(maps), wrap(predicted)) == expected
    objects = np.empty(2, dtype=object)
    objects[:] = maps
    assert dice_score(objects, predicted) == expected
    assert dice_score(maps, predicted, labels=2) == dice_score(maps, predicted, labels=[2]) == 1


@pytest.mark.parametrize("place", [0, 1])
def test_volumes_without_a_label_map_are_named(place):
    maps = [np.array([1, 1]), np.array([0, 1])]
    absent = [*maps]
    absent[place] = None
    with pytest.raises(TypeError, match=rf"y_true\[{place}\] is None: leave out volumes"):
        dice_score(absent, maps)
    with pytest.raises(TypeError, match=r"y_pred\[0\] is no array of numbers"):
        dice_score(maps, iter(maps))
