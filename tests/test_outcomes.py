"""What is told of the networks of an ensemble, and what they predict together."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec._estimators.outcomes import majority, mean_probabilities, warn_of_outcomes
from sklearn_ssldec.algorithm import Outcome, Settings

SETTINGS = Settings(
    pretrain_epochs=1,
    pretrain_lr=(1e-3, 1e-3),
    lr=(1e-3, 1e-3),
    max_iter=9,
    tol=0.0,
    n_iter_no_change=1,
    labeled_threshold=0.8,
    max_labeled_epochs=7,
    labeled_weight=0.0,
    balance=None,
    min_batches=1,
)
CLASSES = np.array(["ant", "bee", "cat"])
EVERY_CLASS = torch.eye(3)


def outcome(accuracy, Q=EVERY_CLASS, n_iter=4, condition="max_iter"):
    """An outcome whose pre-training reached an accuracy of .1."""
    history = [{"labeled_accuracy": 0.1}] + [{"labeled_accuracy": accuracy}] * n_iter
    return Outcome(Q=Q, n_iter=n_iter, termination_condition=condition, history=history)


def told(*outcomes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_outcomes(outcomes, CLASSES, SETTINGS)
    assert all(warning.category is ConvergenceWarning for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("accuracies", [(0.5, 1.0), (1.0, 0.5), (0.6, 0.5, 0.9)])
def test_the_network_that_learned_its_labels_worst_is_told(accuracies):
    (message,) = told(*map(outcome, accuracies))
    assert "ended at an accuracy of 0.500, below labeled_threshold=0.8" in message
    assert "cycle__max_labeled_epochs=7" in message


def test_nothing_is_told_of_networks_that_learned_their_labels():
    assert told(outcome(0.8), outcome(0.9)) == []
    assert told(outcome(0.1, n_iter=0, condition="supervised")) == []  # the threshold is the cycle's
    assert told(outcome(0.1, n_iter=0, condition="supervised"), outcome(0.9)) == []


def test_classes_that_one_network_predicts_nowhere_are_told():
    without_bee = torch.eye(3)[[0, 2]]
    (message,) = told(outcome(1), outcome(1, Q=without_bee))
    assert message.startswith("No sample is predicted to be of class 'bee', although")
    (message,) = told(outcome(1, Q=torch.eye(3)[[1]]))
    assert message.startswith("No sample is predicted to be of class 'ant', 'cat', although")


def test_each_early_end_is_told_with_its_iterations():
    early = [outcome(1, n_iter=2, condition="interrupted"), outcome(1), outcome(1, condition="diverged")]
    first, second = told(*early)
    assert first.startswith("Training was interrupted after 2 iterations")
    assert second.startswith("Training diverged after 4 iterations")


def test_most_votes_win_and_of_as_many_the_first_class():
    votes = [np.array([0, 2, 1, 2]), np.array([1, 2, 2, 1]), np.array([1, 0, 0, 2])]
    assert_array_equal(majority(votes, 3), [1, 2, 0, 2])
    assert_array_equal(majority(votes[:1], 3), votes[0])
    half = [vote.astype(np.int16) for vote in votes]
    assert majority(half, 3).dtype == np.int16  # of many voxels


def test_probabilities_are_averaged_and_uniform_where_a_network_overflows():
    one = np.array([[0.75, 0.25], [0.5, 0.5], [np.nan, 1.0]])
    other = np.array([[0.25, 0.75], [1.0, 0.0], [0.0, 1.0]])
    expected = np.array([[0.5, 0.5], [0.75, 0.25], [0.5, 0.5]])
    assert_array_equal(mean_probabilities([one, other], axis=1), expected)
    assert_array_equal(mean_probabilities([one.T.copy(), other.T.copy()], axis=0), expected.T)
    assert mean_probabilities([other], axis=1) is other
