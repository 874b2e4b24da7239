import threading

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from sklearn_ssldec._samples.batches import SoftTargetRows, TensorSlices
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.threads import estimate_operations
from sklearn_ssldec.clustering import ClusteringLayer, kl_divergence
from sklearn_ssldec.networks.embedding import EmbeddingNetwork


def rows(n, labeled_rows=None, labeled_weight=1.0):
    X = torch.arange(float(n))[:, None]
    P = torch.stack([X[:, 0], -X[:, 0]], dim=1)
    made = SoftTargetRows(X, P, torch.arange(n), torch.Generator().manual_seed(0))
    made.labeled_rows, made.labeled_weight = labeled_rows, labeled_weight
    return made


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 17, 18])
def test_slices_cover_every_row_once_and_leave_no_row_alone(n):
    slices = TensorSlices(rows(n), batch_size=8)
    batches = list(slices)
    assert len(batches) == len(slices)
    assert sorted(torch.cat([X for X, _ in batches])[:, 0].tolist()) == list(range(n))
    assert all(len(X) > 1 for X, _ in batches) or n == 1
    assert all(len(X) <= 9 for X, _ in batches)
    for X, (P, weight, n_own, *_) in batches:
        assert torch.equal(P[:, 0], X[:, 0])
        assert weight is None
        assert n_own == len(X)


def test_slices_are_shuffled_anew():
    slices = TensorSlices(rows(50), batch_size=50)
    first, second = next(iter(slices))[0], next(iter(slices))[0]
    assert not torch.equal(first, second)


def test_escort_joins_every_batch_with_its_weight():
    labeled_rows = SoftTargetRows(torch.full((3, 1), 99.0), torch.full((3, 2), 0.5), torch.arange(3))
    for X, (P, weight, n_own, *_) in TensorSlices(rows(8, labeled_rows, labeled_weight=0.5), batch_size=4):
        assert len(X) == 7
        assert n_own == 4
        assert (X[4:] == 99).all()
        assert (P[4:] == 0.5).all()
        assert weight[:4].sum() == 4
        assert_allclose(weight[4:].sum(), 0.5 * 4, rtol=1e-6)
    for X, _ in TensorSlices(rows(8, labeled_rows), batch_size=2):
        assert (X == 99).sum() == 2


def test_weights_of_the_loss():
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    log_q = torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]).log()
    parts = torch.stack([kl_divergence(p[i : i + 1], log_q[i : i + 1]) for i in range(3)])
    weight = torch.tensor([1.0, 0.0, 3.0])
    assert_allclose(kl_divergence(p, log_q, weight), (parts[0] + 3 * parts[2]) / 4, rtol=1e-5)


def small_net(**kwargs):
    torch.manual_seed(0)
    network = EmbeddingNetwork(
        nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 2)), ClusteringLayer(2, 2)
    )
    return SSLDECNet(network, optimizer=torch.optim.Adam, lr=1e-2, verbose=0, **kwargs).initialize()


def test_soft_assignment_is_in_eval_mode_and_unaugmented():
    net = small_net(augment=lambda batch: batch + 100)
    X = torch.randn(40, 1)
    Q = net.soft_assignment(X)
    assert torch.equal(Q, net.soft_assignment(X))
    assert_allclose(Q, net.module_.eval()(X).exp().detach(), atol=1e-6)


def test_training_is_in_train_mode_after_a_prediction():
    seen = []
    net = small_net()
    net.module_.embedding[1].register_forward_hook(lambda module, *_: seen.append(module.training))
    X, P = torch.randn(4, 1), torch.full((4, 2), 0.5)
    net.soft_assignment(X)
    net.train_epoch(X, P, torch.arange(4))
    net.soft_assignment(X)
    assert seen == [False, True, False]


def test_schedule_keeps_the_ratios_of_parameter_groups():
    groups = [("embedding.0.*", {"lr": 0.1})]
    net = small_net(optimizer__param_groups=groups)
    before = {id(g): g["lr"] for g in net.optimizer_.param_groups}
    net.set_schedule(1e-3, progress=0.5)
    for group in net.optimizer_.param_groups:
        assert_allclose(group["lr"], before[id(group)] / 10)
    assert sorted({g["lr"] for g in net.optimizer_.param_groups}) == [
        pytest.approx(1e-3),
        pytest.approx(1e-2),
    ]


def test_augmentation_is_told_the_progress_if_it_asks():
    told = []

    def augment(batch, progress):
        told.append(progress)
        return batch

    net = small_net(augment=augment)
    net.set_schedule(1e-3, progress=0.25)
    net.train_epoch(torch.randn(4, 1), torch.full((4, 2), 0.5), torch.arange(4))
    assert told == [0.25]


def test_divergence_is_told():
    net = small_net()
    with pytest.raises(ValueError, match=r"Training diverged: the loss became nan.*StandardScaler"):
        net.train_epoch(torch.full((4, 1), torch.nan), torch.full((4, 2), 0.5), torch.arange(4))


def test_ctrl_c_is_not_swallowed():
    def interrupt(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_net(augment=interrupt).train_epoch(torch.randn(4, 1), torch.full((4, 2), 0.5), torch.arange(4))


def test_history_keeps_one_record_an_epoch():
    net = small_net()
    for _ in range(3):
        net.train_epoch(torch.randn(300, 1), torch.full((300, 2), 0.5), torch.arange(300))
    assert len(net.history) == 3
    assert len(net.history[-1]["batches"]) == 1  # of three


def test_average_follows_the_weights_and_is_what_predicts():
    net = small_net(ema_decay=0.9)
    X, P = torch.randn(64, 1), torch.full((64, 2), 0.5)
    weights, average = [], None
    for step in range(30):
        net.train_epoch(X, P, torch.arange(64))
        current = net.module_.embedding[0].weight.detach().clone()
        weights.append(current)
        decay = min(0.9, (1 + step) / (10 + step))
        average = current if average is None else decay * average + (1 - decay) * current
    assert_allclose(net.averaged_.embedding[0].weight, average, rtol=1e-5)
    assert not torch.equal(average, weights[-1])
    Q = net.soft_assignment(X)
    net.keep_average()
    assert torch.equal(net.soft_assignment(X), Q)
    assert_allclose(net.module_.embedding[0].weight.detach(), average, rtol=1e-5)
    trained = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    assert trained == {id(p) for p in net.module_.parameters()}


def test_average_takes_batch_normalisation_along():
    torch.manual_seed(0)
    network = EmbeddingNetwork(nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2)), ClusteringLayer(2, 2))
    net = SSLDECNet(network, optimizer=torch.optim.Adam, lr=1e-2, verbose=0, ema_decay=0.5).initialize()
    for _ in range(5):
        net.train_epoch(5 + torch.randn(32, 1), torch.full((32, 2), 0.5), torch.arange(32))
    averaged, current = (m.embedding[1] for m in (net.averaged_, net.module_))
    assert averaged.num_batches_tracked == current.num_batches_tracked
    assert not torch.equal(averaged.running_mean, current.running_mean)
    assert_allclose(averaged.running_mean, current.running_mean, rtol=0.5)


def test_estimating_operations_and_other_threads_leave_each_other_alone():
    class Layer(nn.Linear):
        meanwhile = None

        def forward(self, x):
            if self.meanwhile is not None:
                thread = threading.Thread(target=self.meanwhile[0], args=(x,))
                thread.start()
                thread.join()
            return super().forward(x)

    network = Layer(3, 4)
    network.meanwhile = [Layer(3, 4)]  # not a part of it
    assert estimate_operations(network, torch.zeros(2, 3)) == 2 * 3 * 4
