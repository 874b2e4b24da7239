import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_ssldec._estimators.methods import RunningAverage, hard_labels, sharpened
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._training.consistency import ConsistencyNet, MeanTeacherNet, PiNet
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.baselines import (
    FixMatchClassifier,
    MeanTeacherClassifier,
    PiModelClassifier,
    PseudoLabelClassifier,
    SupervisedClassifier,
    TemporalEnsemblingClassifier,
    UDAClassifier,
)
from sklearn_ssldec.networks.embedding import EmbeddingNetwork
from sklearn_ssldec.networks.softmax import SoftmaxHead

DRAWN = [FixMatchClassifier, UDAClassifier, MeanTeacherClassifier]
BASELINES = [
    SupervisedClassifier,
    PseudoLabelClassifier,
    PiModelClassifier,
    TemporalEnsemblingClassifier,
    *DRAWN,
]
QUICK = {"device": "cpu", "random_state": 0, "module__hidden_units": (16, 16)}


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_learns_the_half_moons_as_far_as_it_can(baseline, moons):
    X, y, truth = moons
    quick = QUICK if baseline is SupervisedClassifier else {**QUICK, "max_iter": 10}
    if baseline in DRAWN:
        quick["min_batches"] = 8
    clf = baseline(**quick).fit(X, y)
    assert np.mean(clf.predict(X) == truth) > 0.8
    assert_allclose(clf.predict_proba(X).sum(1), 1, rtol=1e-5)
    assert isinstance(clf.nets_[0].module_.head, SoftmaxHead)
    assert not hasattr(clf, "cluster_centers_")
    assert clone(clf).get_params() == clf.get_params()
    assert_array_equal(baseline(**quick).fit(X, y).predict_proba(X), clf.predict_proba(X))


def test_supervised_classifier_does_not_look_at_unlabeled_samples(moons):
    X, y, _ = moons
    clf = SupervisedClassifier(**QUICK, augment=None)
    moved = np.where((y == -1)[:, None], X + 5, X)
    labeled = X[y != -1]
    assert_allclose(clf.fit(X, y).predict_proba(labeled), clf.fit(moved, y).predict_proba(labeled), atol=1e-6)
    assert clf.n_iter_ == 0


@pytest.mark.parametrize(
    ("baseline", "parameter"),
    [
        (SupervisedClassifier, {"max_iter": 5}),
        (SupervisedClassifier, {"alpha": 2.0}),
        (PseudoLabelClassifier, {"class_prior": [0.5, 0.5]}),
        (PiModelClassifier, {"balance": 0.0}),
        (TemporalEnsemblingClassifier, {"cycle__labeled_weight": 2.0}),
        (TemporalEnsemblingClassifier, {"cycle__target_views": 4}),
        (FixMatchClassifier, {"balance": 0.0}),
        (UDAClassifier, {"labeled_threshold": 0.9}),
        (MeanTeacherClassifier, {"cycle__min_confidence": 0.9}),
    ],
)
def test_parameters_of_other_methods_are_refused(baseline, parameter):
    (name,) = parameter
    with pytest.raises(
        TypeError, match=rf"{baseline.__name__}\(\) got an unexpected keyword argument '{name}'"
    ):
        baseline(**parameter)
    with pytest.raises(ValueError, match=f"Invalid parameter '{name.partition('__')[0]}"):
        baseline().set_params(**parameter)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_of_an_ensemble_do_not_share_what_they_remember(baseline, moons):
    X, y, _ = moons
    parameters = {} if baseline is SupervisedClassifier else {"max_iter": 3}
    if baseline in DRAWN:
        parameters["min_batches"] = 4
    one = baseline(**QUICK, **parameters, pretrain_epochs=5, n_estimators=2).fit(X, y)
    two = baseline(**QUICK, **parameters, pretrain_epochs=5, n_estimators=2, n_jobs=2).fit(X, y)
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_hard_labels():
    assert_array_equal(hard_labels(torch.tensor([[0.6, 0.4], [0.1, 0.9]])), [[1, 0], [0, 1]])


def test_running_average_by_hand():
    average = RunningAverage(momentum=0.5)
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert_allclose(average(a), [[1, 0]])  # corrected for its start
    # (0.5 * 0.5 * a + 0.5 * b) / (1 - 0.25)
    assert_allclose(average(b), [[1 / 3, 2 / 3]])


def consistency_net(net_class, **kwargs):
    torch.manual_seed(0)
    network = EmbeddingNetwork(torch.nn.Linear(1, 3), SoftmaxHead(3, 2))
    return net_class(network, optimizer=torch.optim.Adam, lr=1e-2, verbose=0, **kwargs).initialize()


def test_consistency_loss_by_hand():
    net = consistency_net(ConsistencyNet)
    net.set_schedule(1e-2, progress=0.5)
    log_q = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    targets = Targets(p=torch.tensor([[0.7, 0.3], [1.0, 0.0]]), weight=torch.ones(2), n_own=1)
    # labeled: log 4; consistency: ((0.5 - 0.7)^2 + (0.5 - 0.3)^2) / 2 = 0.04, weighed 100 exp(-5 / 4)
    assert_allclose(net.get_loss(log_q, targets), np.log(4) + 100 * np.exp(-1.25) * 0.04, rtol=1e-5)
    alone = targets._replace(n_own=2)
    kl = (0.7 * np.log(0.7 / 0.5) + 0.3 * np.log(0.3 / 0.5) + np.log(4)) / 2
    assert_allclose(net.get_loss(log_q, alone), kl, rtol=1e-5)


def test_pi_net_compares_two_augmented_predictions():
    batches = []

    def augment(batch):
        batches.append(len(batch))
        return batch + torch.randn_like(batch)

    net = consistency_net(PiNet, augment=augment)
    X, P, rows = torch.randn(6, 1), torch.full((6, 2), 0.5), torch.arange(6)
    net.train_epoch(X, P, rows, labeled_rows=(P, rows[:2]))
    assert batches == [6, 8]  # the samples alone, then with the labeled ones
    batches.clear()
    net.train_epoch(X, P, rows[:2])
    assert batches == [2]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pseudo_labels_come_from_the_images_themselves_unless_views_are_asked_for(monkeypatch):
    X = np.random.RandomState(0).rand(24, 8, 8)
    y = np.where(np.arange(24) < 4, np.arange(24) % 2, -1)
    views = []
    monkeypatch.setattr(
        SSLDECNet,
        "augmented_assignment",
        lambda self, X: views.append(len(X)) or self.soft_assignment(X),
    )
    quick = {
        "device": "cpu",
        "pretrain_epochs": 2,
        "max_iter": 1,
        "labeled_threshold": 0,
        "module__width": 0.05,
    }
    PseudoLabelClassifier(**quick).fit(X, y)
    assert views == []
    PseudoLabelClassifier(**quick, cycle__target_views=3).fit(X, y)
    assert views == [24] * 3


def test_softmax_weights_can_start_far_apart():
    head = SoftmaxHead(3, 2, spread=2.0)
    assert head.dense.weight.tolist() == [[2, 0, 0], [0, 2, 0]]
    assert head.dense.bias.tolist() == [0, 0]
    assert SoftmaxHead(2, 3, spread=2.0).dense.weight.abs().max() < 1  # no room for three


def test_sharpened_targets_are_powers():
    Q = torch.tensor([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]])
    power = Q**2.5
    assert_allclose(sharpened(Q), power / power.sum(1, keepdim=True), rtol=1e-5, atol=1e-7)


def test_mean_teacher_compares_with_the_average():
    torch.manual_seed(0)
    network = EmbeddingNetwork(torch.nn.Linear(1, 3), SoftmaxHead(3, 2))
    net = MeanTeacherNet(network, optimizer=torch.optim.Adam, lr=1e-2, verbose=0, ema_decay=0.9).initialize()
    net.set_schedule(1e-2, progress=0.5)
    log_q = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    targets = Targets(p=torch.tensor([[0.7, 0.3], [1.0, 0.0]]), weight=torch.ones(2), n_own=1)
    assert_allclose(net.get_loss(log_q, targets), np.log(4) + 100 * np.exp(-1.25) * 0.04, rtol=1e-5)
    with torch.no_grad():
        net.averaged_.head.dense.bias.copy_(torch.tensor([5.0, -5.0]))
    assert (net.mean_view(torch.zeros(4, 1))[:, 0] > 0.99).all()
