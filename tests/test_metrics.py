import numpy as np
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


def test_errors():
    maps = np.array([[0, 1]])
    with pytest.raises(ValueError, match="y_true holds 2 label maps and y_pred 1"):
        dice_score([maps, maps], [maps])
    with pytest.raises(
        ValueError, match=r"y_true\[0\] has shape \(1, 2\), but y_pred\[0\] has shape \(2, 1\)"
    ):
        dice_score(maps, maps.T)
    with pytest.raises(ValueError, match="no label to score"):
        dice_score(maps * 0, maps)
    with pytest.raises(ValueError, match="average must be 'macro' or None, got 'micro'"):
        dice_score(maps, maps, average="micro")
