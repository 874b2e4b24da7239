"""Algorithm 1 on a scripted model: which rows are trained on, with which targets, in which order."""

import math
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_ssldec import algorithm
from sklearn_ssldec.algorithm import SSLDEC, DivergenceError, Epoch, Outcome, Settings
from sklearn_ssldec.clustering import target_distribution

SETTINGS = Settings(
    pretrain_epochs=3,
    pretrain_lr=(1e-3, 1e-4),
    lr=(1e-4, 1e-4),
    max_iter=2,
    tol=0.0,
    n_iter_no_change=1,
    labeled_threshold=1.0,
    max_labeled_epochs=4,
    labeled_weight=0.0,
    balance=0.0,
    min_batches=1,
)

# Six samples, of which the first two are labeled, 0 and 1.
Y = torch.tensor([0, 1, -1, -1, -1, -1])
X = torch.arange(6.0)[:, None]


def soft(*classes, certainty=0.9):
    """Return Q that predicts the classes."""
    q = torch.full((len(classes), 2), 1 - certainty)
    q[torch.arange(len(classes)), torch.tensor(classes)] = certainty
    return q


class ScriptedModel:
    """Predicts Q from a list, the last one for ever; keeps what it was told."""

    def __init__(self, *Qs, batch_size=128):
        self.Qs, self.batch_size, self.calls, self.joined = list(Qs), batch_size, [], []

    def train_epoch(self, X, P, index, labeled_rows=None, labeled_weight=1.0):
        if index is None:
            index = torch.arange(len(X))
        self.calls.append(("train", index.tolist(), P[index].clone()))
        self.joined.append(None if labeled_rows is None else (*labeled_rows, labeled_weight))
        if len(self.Qs) > 1:
            self.Qs.pop(0)
        return Epoch(loss=0.5, n_batches=math.ceil(len(index) / self.batch_size))

    def soft_assignment(self, samples, rows=None):
        rows = torch.arange(len(samples)) if rows is None else rows
        return self.Qs[0][samples[rows, 0].long()]

    def get_state(self):
        return list(self.Qs)

    def set_state(self, state):
        self.Qs = list(state)

    def augmented_assignment(self, samples):
        return self.views.pop(0)

    def set_schedule(self, lr, progress):
        self.calls.append(("schedule", lr, progress))

    def schedule(self):
        return [call[1:] for call in self.calls if call[0] == "schedule"]

    def trained_on(self):
        return [sorted(call[1]) for call in self.calls if call[0] == "train"]


def run(model, y=Y, n_classes=2, **changes):
    settings = Settings(**{**SETTINGS.__dict__, **changes})
    return SSLDEC(model, X, y, n_classes, settings, generator=torch.Generator().manual_seed(0)).run()


def test_pretraining_sees_the_labeled_samples_with_their_labels_at_a_falling_learning_rate():
    model = ScriptedModel(soft(0, 1, 0, 1, 0, 1))
    outcome = run(model, max_iter=0)
    assert model.trained_on() == [[0, 1]] * 3
    for _, _, P in (call for call in model.calls if call[0] == "train"):
        assert_allclose(P, [[1, 0], [0, 1]])
    assert_allclose(model.schedule(), [(1e-3, 0), (5.5e-4, 0), (1e-4, 0)])
    assert (outcome.n_iter, outcome.termination_condition) == (0, "supervised")


def test_iteration_trains_on_a_balanced_subset_with_computed_targets():
    Q = soft(0, 1, 0, 0, 0, 1, certainty=0.8)  # two samples are predicted to be of class 1
    model = ScriptedModel(Q)
    outcome = run(model, max_iter=1)
    (_, index, P) = model.calls[-1]
    assert len(index) == outcome.history[-1]["subset_size"] == 4
    assert {1, 5} < set(index)
    assert_allclose(P, target_distribution(Q)[index])


def test_learning_rate_and_progress_of_the_cycle_are_linear():
    a, b = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)
    model = ScriptedModel(a, b, a, b)
    run(model, pretrain_epochs=0, max_iter=3, lr=(1e-2, 2e-3))
    assert_allclose(model.schedule(), [(1e-2, 0), (6e-3, 0.5), (2e-3, 1)])


def test_labeled_samples_join_the_batches_with_their_labels():
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 1))
    run(model, max_iter=1, labeled_weight=0.5)
    assert model.joined[:3] == [None] * 3
    P, index, weight = model.joined[3]
    assert index.tolist() == [0, 1]
    assert_allclose(P[index], [[1, 0], [0, 1]])
    assert weight == 0.5
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 1))
    run(model, max_iter=1, labeled_weight=0.0)
    assert model.joined == [None] * 4


def test_small_subsets_are_drawn_again_until_there_are_enough_batches():
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 0))  # one sample a class: one batch of 2
    run(model, max_iter=1, min_batches=5)
    drawn = model.trained_on()[3:]
    assert [len(index) for index in drawn] == [2] * 5
    assert len({tuple(index) for index in drawn}) > 1
    torch.manual_seed(1)
    again = ScriptedModel(soft(0, 1, 0, 0, 0, 0))
    run(again, max_iter=1, min_batches=5)
    assert again.trained_on()[3:] == drawn, "the draws come from the generator"
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 0), batch_size=2)
    run(model, max_iter=1, min_batches=3, balance=None)  # three batches at once
    assert len(model.trained_on()) == 4


def test_targets_come_from_the_mean_over_views():
    model = ScriptedModel(soft(0, 1, 0, 1, 0, 1, certainty=0.6))
    # The last sample looks like class 0 from two sides: (0.4 + 0.9 + 0.8) / 3 = 0.7.
    model.views = [soft(0, 1, 0, 1, 0, 0, certainty=0.9), soft(0, 1, 0, 1, 0, 0, certainty=0.8)]
    outcome = run(model, max_iter=1, target_views=2, balance=None)
    mean = torch.full((6, 2), 0.0)
    mean[[0, 2, 4]] = torch.tensor([2.3, 0.7]) / 3
    mean[[1, 3]] = torch.tensor([0.7, 2.3]) / 3
    mean[5] = torch.tensor([0.7, 0.3])
    (_, index, P) = model.calls[-1]
    assert_allclose(P, target_distribution(mean)[index], rtol=1e-5)
    assert_allclose(outcome.Q, soft(0, 1, 0, 1, 0, 1, certainty=0.6))  # predictions are of the sample itself


def test_samples_that_a_view_does_not_show_have_the_mean_of_the_others():
    model = ScriptedModel(soft(0, 1, 0, 1, 0, 1, certainty=0.6))
    not_shown = soft(0, 1, 0, 1, 0, 1, certainty=0.9)
    not_shown[5] = 0
    model.views = [not_shown, soft(0, 1, 0, 1, 0, 0, certainty=0.8)]
    run(model, max_iter=1, target_views=2, balance=None)
    mean = torch.tensor([[2.3, 0.7], [0.7, 2.3]])[[0, 1, 0, 1, 0, 1]] / 3
    mean[5] = torch.tensor([0.6, 0.4])  # (0.4 + 0.8) / 2
    (_, index, P) = model.calls[-1]
    assert_allclose(P, target_distribution(mean)[index], rtol=1e-5)


def test_subset_is_balanced_by_the_classes_that_the_targets_come_from():
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 0, certainty=0.6))
    model.views = [soft(0, 1, 0, 1, 0, 1)]
    run(model, max_iter=1, target_views=1)
    assert model.trained_on()[-1] == [0, 1, 2, 3, 4, 5]


def test_prior_enters_the_targets():
    Q = soft(0, 1, 0, 0, 0, 1, certainty=0.8)
    prior = torch.tensor([0.9, 0.1])
    model = ScriptedModel(Q)
    run(model, max_iter=1, target=partial(target_distribution, prior=prior))
    (_, index, P) = model.calls[-1]
    assert_allclose(P, target_distribution(Q, prior)[index])


def test_without_balance_all_samples_take_part():
    model = ScriptedModel(soft(0, 1, 0, 0, 0, 1))
    run(model, max_iter=1, balance=None)
    assert model.trained_on()[-1] == [0, 1, 2, 3, 4, 5]


def test_labeled_samples_are_trained_until_the_threshold():
    right, wrong = soft(0, 1, 0, 1, 0, 1), soft(0, 0, 0, 1, 0, 1)
    # 3 epochs of pre-training, one on the subset, two that leave the second label wrong, one that mends it
    model = ScriptedModel(right, right, right, right, wrong, wrong, wrong, right)
    outcome = run(model, max_iter=1)
    assert model.trained_on()[4:] == [[0, 1]] * 3
    assert outcome.history[-1]["labeled_epochs"] == 3
    assert outcome.history[-1]["labeled_accuracy"] == 1


def test_labeled_training_is_capped():
    model = ScriptedModel(soft(0, 0, 0, 1, 0, 1))
    outcome = run(model, max_iter=1)
    assert outcome.history[-1]["labeled_epochs"] == 4
    assert outcome.history[-1]["labeled_accuracy"] == 0.5


def test_lower_threshold_is_content():
    model = ScriptedModel(soft(0, 0, 0, 1, 0, 1))
    assert run(model, labeled_threshold=0.5).history[-1]["labeled_epochs"] == 0


@pytest.mark.parametrize(
    ("changes", "accuracy", "epochs"), [({}, 0.75, 0), ({"class_mean": True}, 0.5, 4)], ids=["plain", "mean"]
)
def test_accuracy_may_be_the_mean_over_classes(changes, accuracy, epochs):
    # Three labels of class 0, all right, and one of class 1, wrong: 3/4 of the labels, 1/2 of the classes.
    model = ScriptedModel(soft(0, 0, 0, 0, 1, 1))
    outcome = run(model, torch.tensor([0, 0, 0, 1, -1, -1]), max_iter=1, labeled_threshold=0.75, **changes)
    assert [record["labeled_accuracy"] for record in outcome.history] == [accuracy, accuracy]
    assert outcome.history[-1]["labeled_epochs"] == epochs
    assert model.trained_on()[4:] == [[0, 1, 2, 3]] * epochs


def test_the_accuracy_of_very_many_voxels_is_counted_right():
    settings = replace(SETTINGS, class_mean=True)
    algorithm = SSLDEC(ScriptedModel(), torch.empty(2, 1), torch.tensor([0, 1]), 2, settings)
    algorithm.labels = torch.zeros(2**24 + 2**20, dtype=torch.int64)
    assert algorithm.accuracy(torch.tensor([[0.9, 0.1]]).expand(len(algorithm.labels), 2)) == 1


def test_ends_when_no_more_than_tol_changes():
    start, moved = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)
    model = ScriptedModel(start, start, start, start, moved, moved)
    outcome = run(model, max_iter=9)
    assert [record["share_changed"] for record in outcome.history[1:]] == [pytest.approx(1 / 6), 0]
    assert (outcome.n_iter, outcome.termination_condition) == (2, "tol")
    assert run(ScriptedModel(start, start, start, start, moved), max_iter=9, tol=0.2).n_iter == 1


def test_waits_for_several_calm_iterations_in_a_row():
    a, b = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)
    outcome = run(ScriptedModel(a, a, a, a, a, b, b, b, b), max_iter=9, n_iter_no_change=3)
    shares = [record["share_changed"] for record in outcome.history[1:]]
    assert_allclose(shares, [0, 1 / 6, 0, 0, 0])


def test_exactly_tol_counts_as_calm():
    # 1 of 10 in float32 is more than 0.1
    Y10, X10 = torch.tensor([0, 1] + [-1] * 8), torch.arange(10.0)[:, None]
    a, b = soft(0, 1, *[0] * 8), soft(0, 1, *[0] * 7, 1)
    settings = Settings(**{**SETTINGS.__dict__, "tol": 0.1, "max_iter": 5})
    outcome = SSLDEC(ScriptedModel(a, a, a, a, b, a, b, a), X10, Y10, 2, settings).run()
    assert outcome.n_iter == 1


def test_ends_at_max_iter():
    a, b = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)
    outcome = run(ScriptedModel(a, a, a, a, b, a, b, a, b), max_iter=3)
    assert (outcome.n_iter, outcome.termination_condition) == (3, "max_iter")
    outcome = run(ScriptedModel(a, a, a, a, b), max_iter=1)
    assert (outcome.n_iter, outcome.termination_condition) == (1, "max_iter")


def test_calm_iterations_that_are_too_few_at_max_iter_are_not_tol():
    a, b = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)
    script = (a, a, a, a, b, b, b)  # one iteration changes something, the following two nothing
    outcome = run(ScriptedModel(*script), max_iter=3, n_iter_no_change=3)
    assert (outcome.n_iter, outcome.n_calm, outcome.termination_condition) == (3, 2, "max_iter")
    outcome = run(ScriptedModel(*script), max_iter=3, n_iter_no_change=2)
    assert (outcome.n_iter, outcome.n_calm, outcome.termination_condition) == (3, 2, "tol")


def test_labeled_samples_stand_in_for_a_class_that_is_never_predicted():
    # The paper's rule would leave an empty subset, and the cycle would train on nothing.
    model = ScriptedModel(soft(0, 0, 0, 0, 0, 0))
    outcome = run(model, max_iter=1, labeled_threshold=0.5)
    (_, index, P) = model.calls[-1]
    assert 1 in index
    assert len(index) == 2
    assert_allclose(P[index.index(1)], [0, 1])
    assert [record["n_absent_classes"] for record in outcome.history] == [1, 1]
    assert outcome.history[-1]["share_changed"] == 0  # standing in is not being predicted


def test_balance_keeps_a_rare_class_from_starving_the_others():
    y = torch.tensor([0, 1, -1, -1, -1, -1])
    Q = soft(0, 1, 0, 0, 0, 0)
    starved, fed = ScriptedModel(Q), ScriptedModel(Q)
    run(starved, y, max_iter=1, balance=0.0)
    run(fed, y, max_iter=1, balance=1.0)
    assert len(starved.trained_on()[-1]) == 2
    assert len(fed.trained_on()[-1]) == 6
    assert fed.trained_on()[-1].count(1) == 3


def test_history_has_one_record_an_iteration():
    reported, started = [], time.perf_counter()
    outcome = SSLDEC(
        ScriptedModel(soft(0, 1, 0, 1, 0, 1)),
        X,
        Y,
        2,
        SETTINGS,
        report=lambda outcome: reported.append(dict(outcome.history[-1])),
    ).run()
    assert reported == outcome.history
    assert [record["iteration"] for record in outcome.history] == [0, 1]
    first, last = outcome.history
    assert math.isnan(first["share_changed"])
    assert (first["loss"], first["subset_size"], first["labeled_epochs"]) == (0.5, 2, 3)
    without = run(ScriptedModel(soft(0, 1, 0, 1, 0, 1)), pretrain_epochs=0, max_iter=0)
    assert math.isnan(without.history[0]["loss"])
    assert last["subset_size"] == 6
    assert last["loss"] == 0.5
    assert first["seconds"] >= 0
    assert first["seconds"] + last["seconds"] <= time.perf_counter() - started
    assert first.keys() == last.keys()


def test_a_threshold_that_cannot_be_reached_is_not_asked_for_for_ever():
    # The second label is never learned. Nine iterations to the cap would be 9 * 12 epochs.
    model = ScriptedModel(soft(0, 0, 0, 1, 0, 1))
    outcome = run(model, max_iter=9, max_labeled_epochs=12, n_iter_no_change=20)
    assert [record["labeled_epochs"] for record in outcome.history[1:]] == [12, 12, 12] + [0] * 6
    # A cap of few epochs is no evidence.
    model = ScriptedModel(soft(0, 0, 0, 1, 0, 1))
    outcome = run(model, max_iter=9, max_labeled_epochs=4, n_iter_no_change=20)
    assert [record["labeled_epochs"] for record in outcome.history[1:]] == [4] * 9


def test_the_threshold_falls_to_the_least_that_was_reached():
    settings = Settings(**{**SETTINGS.__dict__, "max_labeled_epochs": 10})
    algorithm = SSLDEC(ScriptedModel(soft(0, 1)), X, Y, 2, settings)
    algorithm.outcome.history = [{"labeled_epochs": 3, "labeled_accuracy": 0.0}] + [
        {"labeled_epochs": 10, "labeled_accuracy": accuracy} for accuracy in (0.9, 0.8, 0.95)
    ]
    assert algorithm.reachable_threshold() == 0.8
    algorithm.outcome.history.append({"labeled_epochs": 10, "labeled_accuracy": 0.7})
    assert algorithm.reachable_threshold() == 0.8
    del algorithm.outcome.history[2]
    assert algorithm.reachable_threshold() == 0.7  # 0.9, 0.95, 0.7
    algorithm.outcome.history[2]["labeled_epochs"] = 9
    assert algorithm.reachable_threshold() == 1.0


# Early ends, and going on ---------------------------------------------------------------------------------


class FailingModel(ScriptedModel):
    """Raises an error in place of its n-th epoch of training."""

    def __init__(self, n, error, *Qs):
        super().__init__(*Qs)
        self.n, self.error = n, error

    def train_epoch(self, *args, **kwargs):
        self.n -= 1
        if self.n == 0:
            raise self.error
        return super().train_epoch(*args, **kwargs)


A, B = soft(0, 1, 0, 1, 0, 0), soft(0, 1, 0, 1, 0, 1)


def test_an_interrupted_cycle_ends_with_the_model_as_it_is():
    model = FailingModel(5, KeyboardInterrupt(), A, A, A, A, B)
    outcome = run(model, max_iter=9, n_iter_no_change=9)
    assert (outcome.n_iter, outcome.termination_condition) == (1, "interrupted")
    assert torch.equal(outcome.Q, B)
    assert torch.equal(outcome.supervised, torch.tensor([0, 1, 0, 1, 0, 0]))
    assert len(outcome.history) == 2


def test_an_interrupted_pretraining_leaves_a_record():
    outcome = run(FailingModel(2, KeyboardInterrupt(), A, B))
    assert (outcome.n_iter, outcome.termination_condition) == (0, "interrupted")
    assert torch.equal(outcome.Q, B)
    (record,) = outcome.history
    assert math.isnan(record["loss"])
    assert (record["iteration"], record["labeled_epochs"], record["labeled_accuracy"]) == (0, 0, 1)


def test_a_cycle_that_diverges_goes_back_to_its_last_iteration():
    # Two epochs an iteration: the second iteration's first changes the model, its second diverges.
    model = FailingModel(7, DivergenceError("loss"), *[A] * 6, B, B)
    outcome = run(model, max_iter=9, n_iter_no_change=9, min_batches=2)
    assert (outcome.n_iter, outcome.termination_condition) == (1, "diverged")
    assert torch.equal(outcome.Q, A)
    assert len(outcome.history) == 2


def test_divergence_in_pretraining_is_an_error():
    with pytest.raises(DivergenceError, match="loss"):
        run(FailingModel(2, DivergenceError("loss"), A))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_predictions_that_are_not_finite_are_divergence(value, monkeypatch):
    monkeypatch.setattr(algorithm, "MANY_ROWS", 4)
    broken = A.clone()
    broken[5, 0] = value
    with pytest.raises(DivergenceError, match="predictions are not finite"):
        run(ScriptedModel(A, A, A, broken))
    outcome = run(ScriptedModel(A, A, A, A, broken), max_iter=9)
    assert (outcome.n_iter, outcome.termination_condition) == (0, "diverged")
    assert torch.equal(outcome.Q, A)


def test_goes_on_from_an_outcome():
    reported = []
    settings = Settings(**{**SETTINGS.__dict__, "max_iter": 3, "n_iter_no_change": 2, "lr": (1e-2, 2e-3)})
    before = Outcome(
        n_iter=1, n_calm=1, supervised=torch.tensor([1]), history=[{"iteration": 0}, {"iteration": 1}]
    )
    model = ScriptedModel(A)
    outcome = SSLDEC(model, X, Y, 2, settings, outcome=before, report=reported.append).run()
    assert len(model.trained_on()) == 1  # no pre-training, and one iteration, the second calm one
    assert_allclose(model.schedule(), [(6e-3, 0.5)])
    assert (outcome.n_iter, outcome.termination_condition) == (2, "tol")
    assert [record["iteration"] for record in outcome.history] == [0, 1, 2]
    assert outcome.supervised.tolist() == [1]


def test_labels_may_be_of_fewer_bits():
    # As those of many voxels are; class 1 is predicted nowhere.
    runs = [ScriptedModel(soft(0, 0, 0, 0, 0, 0)) for _ in range(2)]
    outcomes = [run(model, y) for model, y in zip(runs, (Y, Y.to(torch.int16)), strict=True)]
    assert runs[0].trained_on() == runs[1].trained_on()
    for one, other in zip(*(outcome.history for outcome in outcomes), strict=True):
        assert {**one, "seconds": 0} == pytest.approx({**other, "seconds": 0}, nan_ok=True)
