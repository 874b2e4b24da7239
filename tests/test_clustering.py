import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sklearn_ssldec import clustering
from sklearn_ssldec.clustering import (
    ClusteringLayer,
    OneHot,
    RunningTarget,
    balanced_subset,
    dice_loss,
    hard_assignment,
    kl_divergence,
    log_soft_assignment,
    target_distribution,
)

sizes = st.integers(1, 6)
alphas = st.floats(0.05, 50)


def embeddings(n_samples, n_features, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n_samples, n_features, generator=generator)


# Equation 1 ---------------------------------------------------------------------------------------------


def test_soft_assignment_by_hand():
    # alpha = 1: kernels (1 + d^2)^-1 with d^2 = 1, 4, 0 -> 1/2, 1/5, 1
    z = torch.tensor([[0.0, 0.0]])
    centers = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert_allclose(log_soft_assignment(z, centers).exp()[0], [5 / 17, 2 / 17, 10 / 17], rtol=1e-6)


def test_soft_assignment_by_hand_alpha_3():
    # alpha = 3: kernels (1 + d^2 / 3)^-2 with d^2 = 3, 6 -> 1/4, 1/9
    z = torch.tensor([[0.0]])
    centers = torch.tensor([[math.sqrt(3)], [math.sqrt(6)]])
    assert_allclose(log_soft_assignment(z, centers, alpha=3.0).exp()[0], [9 / 13, 4 / 13], rtol=1e-6)


@given(n=sizes, k=sizes, d=sizes, alpha=alphas, power=st.integers(-6, 6))
def test_soft_assignment_is_finite_and_normalised(n, k, d, alpha, power):
    log_q = log_soft_assignment(embeddings(n, d, 10.0**power), embeddings(k, d, seed=1), alpha)
    assert torch.isfinite(log_q).all()
    assert_allclose(log_q.exp().sum(1), 1, rtol=1e-5)


def test_soft_assignment_beyond_the_largest_float_is_uniform():
    log_q = log_soft_assignment(torch.tensor([[1e30], [math.inf]]), torch.tensor([[0.0], [1.0]]))
    assert_allclose(log_q.exp(), 0.5)


@given(k=sizes, d=sizes, alpha=alphas, seed=st.integers(0, 99))
def test_soft_assignment_is_equivariant_to_the_order_of_clusters(k, d, alpha, seed):
    z, centers = embeddings(5, d), embeddings(k, d, seed=1)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    permuted = log_soft_assignment(z, centers[order], alpha)
    assert_allclose(permuted, log_soft_assignment(z, centers, alpha)[:, order], atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 25, 26, 64])
def test_soft_assignment_does_not_depend_on_the_batch(n):
    z, centers = embeddings(64, 5), embeddings(3, 5, seed=1)
    assert torch.equal(log_soft_assignment(z, centers)[:n], log_soft_assignment(z[:n], centers))


def test_soft_assignment_of_voxels_is_that_of_samples():
    z, centers = embeddings(2 * 3 * 4 * 5, 6).reshape(2, 3, 4, 5, 6), embeddings(3, 6, seed=1)
    voxelwise = log_soft_assignment(z.movedim(-1, 1), centers, axis=1)
    assert voxelwise.shape == (2, 3, 3, 4, 5)
    assert torch.equal(voxelwise.movedim(1, -1), log_soft_assignment(z, centers))


def test_soft_assignment_of_voxels_by_hand():
    # Embeddings 0, 1, 2, 3 and centroids 0, 1: kernels 1 and 1/2, 1/2 and 1, 1/5 and 1/2, 1/10 and 1/5
    z = torch.arange(4.0).reshape(1, 1, 2, 2)
    q = log_soft_assignment(z, torch.tensor([[0.0], [1.0]]), axis=1).exp()
    assert_allclose(q[0, 0], [[2 / 3, 1 / 3], [2 / 7, 1 / 3]], rtol=1e-6)
    assert_allclose(q[0, 1], [[1 / 3, 2 / 3], [5 / 7, 2 / 3]], rtol=1e-6)


def test_soft_assignment_of_half_precision_is_computed_in_float32():
    z, centers = embeddings(50, 4), embeddings(3, 4, seed=1)
    log_q = log_soft_assignment(z.bfloat16(), centers.bfloat16())
    assert log_q.dtype == torch.float32
    assert_allclose(log_q.exp().sum(1), 1, rtol=1e-6)
    # d^2 = 90,000 is more than the largest float16
    log_q = log_soft_assignment(torch.tensor([[300.0]]).half(), torch.tensor([[0.0], [100.0]]).half())
    assert_allclose(log_q.exp()[0], [40_001 / 130_002, 90_001 / 130_002], rtol=1e-5)


@pytest.mark.parametrize("alpha", [0, -1.0, math.inf, math.nan])
def test_clustering_layer_refuses_alpha(alpha):
    with pytest.raises(ValueError, match="alpha must be a positive finite number"):
        ClusteringLayer(2, 2, alpha)


def test_centroids_may_start_spread():
    centers = ClusteringLayer(3, 4, spread=2.0).centers
    assert centers.tolist() == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
    torch.manual_seed(0)
    glorot = ClusteringLayer(3, 2).centers
    torch.manual_seed(0)
    assert torch.equal(ClusteringLayer(3, 2, spread=2.0).centers, glorot)  # three do not fit into two
    assert ClusteringLayer(2, 2, spread=3.0).centers.tolist() == [[3, 0], [0, 3]]


@pytest.mark.parametrize(("kwargs", "expected"), [({}, [2 / 3, 1 / 3]), ({"alpha": 3.0}, [16 / 25, 9 / 25])])
def test_clustering_layer_returns_the_soft_assignment(kwargs, expected):
    # d^2 = 0 and 1; alpha = 1: kernels 1 and 1/2; alpha = 3: 1 and (4/3)^-2 = 9/16
    layer = ClusteringLayer(n_clusters=2, n_features=1, **kwargs)
    layer.centers.data = torch.tensor([[0.0], [1.0]])
    assert_allclose(layer(torch.zeros(1, 1)).exp().detach()[0], expected, rtol=1e-6)
    assert layer.n_features == 1


def test_clustering_layer_is_glorot_initialised():
    centers = ClusteringLayer(40, 60).centers
    limit = math.sqrt(6 / 100)
    assert centers.abs().max() <= limit
    assert_allclose(centers.detach().std(), limit / math.sqrt(3), rtol=0.05)


# Equation 2 ---------------------------------------------------------------------------------------------


def test_target_distribution_by_hand():
    # f = (0.9, 1.1); row 1: 0.25/0.9 : 0.25/1.1 = 11 : 9; row 2: 0.16/0.9 : 0.36/1.1 = 44 : 81
    p = target_distribution(torch.tensor([[0.5, 0.5], [0.4, 0.6]]))
    assert_allclose(p, [[11 / 20, 9 / 20], [44 / 125, 81 / 125]], rtol=1e-6)


def test_target_distribution_with_prior_by_hand():
    # the same, with 11 : 9 and 44 : 81 multiplied by 3 : 1
    p = target_distribution(torch.tensor([[0.5, 0.5], [0.4, 0.6]]), torch.tensor([0.75, 0.25]))
    assert_allclose(p, [[33 / 42, 9 / 42], [132 / 213, 81 / 213]], rtol=1e-6)


def test_target_distribution_with_hard_frequencies_by_hand():
    # Clusters 0, 0 and 1 are the most probable, so that f = (2, 1), where the soft sums are (1.3, 1.7);
    # rows 1 and 2: 0.36/2 : 0.16/1 = 9 : 8; row 3: 0.01/2 : 0.81/1 = 1 : 162
    p = target_distribution(torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]), frequency="hard")
    assert_allclose(p, [[9 / 17, 8 / 17], [9 / 17, 8 / 17], [1 / 163, 162 / 163]], rtol=1e-6)
    # A cluster that is never the most probable counts as one sample: 0.64/2 : 0.04/1 = 8 : 1, 0.36/2 : 0.16/1
    p = target_distribution(torch.tensor([[0.8, 0.2], [0.6, 0.4]]), frequency="hard")
    assert_allclose(p, [[8 / 9, 1 / 9], [9 / 17, 8 / 17]], rtol=1e-6)


def test_target_distribution_with_bounded_frequencies_by_hand():
    # Soft f = (8 * 0.7 + 0.4, 8 * 0.3 + 0.6) = (6, 3), hard f = (8, 1), which is (16, 2) twice: f = (6, 2).
    # Row 1: 0.49/6 : 0.09/2 = 49 : 27; row 9: 0.16/6 : 0.36/2 = 4 : 27
    p = target_distribution(torch.tensor([[0.7, 0.3]] * 8 + [[0.4, 0.6]]), frequency="bounded")
    assert_allclose(p[[0, 8]], [[49 / 76, 27 / 76], [4 / 31, 27 / 31]], rtol=1e-6)


def test_target_distribution_of_half_precision_is_computed_in_float32():
    # Of rows that are all alike P is Q. The sum of the first column is too large for float16, and the square
    # of the second too small.
    q = torch.tensor([[1.0, 2**-13]]).half().expand(2**16, 2)
    p = target_distribution(q)
    assert p.dtype == torch.float16
    assert_allclose(p.double(), q.double(), rtol=2e-3)


def test_target_distribution_adds_many_samples_without_loss(monkeypatch):
    # In float32, 2^24 + 1 is 2^24: of 4096 further samples nothing would arrive.
    monkeypatch.setattr(clustering, "MANY_ROWS", 1)
    q = torch.ones(4097, 2)
    q[0, 0] = 2**24
    f = 2**24 + 4096, 4097
    assert_allclose(target_distribution(q)[1:, 0], f[1] / (f[0] + f[1]), rtol=1e-5)


@pytest.mark.parametrize("frequency", ["soft", "hard", "bounded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_part_of_the_rows_at_a_time_is_as_all_at_once(dtype, frequency, monkeypatch):
    q = log_soft_assignment(embeddings(11, 2, 3.0), embeddings(3, 2, seed=1)).exp().to(dtype)
    p, hard = target_distribution(q, frequency=frequency), hard_assignment(q)
    monkeypatch.setattr(clustering, "MANY_ROWS", 4)
    assert_allclose(target_distribution(q, frequency=frequency).float(), p.float(), rtol=1e-3)
    assert torch.equal(hard_assignment(q), hard)


@given(n=st.integers(1, 20), k=sizes, seed=st.integers(0, 99))
def test_target_distribution_properties(n, k, seed):
    q = log_soft_assignment(embeddings(n, 2, 5.0, seed), embeddings(k, 2, seed=seed + 1)).exp()
    p = target_distribution(q)
    assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert_allclose(p, target_distribution(q, torch.full((k,), 1 / k)), rtol=1e-5)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    assert_allclose(target_distribution(q[:, order]), p[:, order], rtol=1e-4, atol=1e-7)
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert_allclose(target_distribution(q[rows]), p[rows], rtol=1e-4, atol=1e-7)


def test_target_distribution_of_a_class_without_mass_is_finite():
    p = target_distribution(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert_allclose(p, [[1, 0], [1, 0]])


def test_target_distribution_keeps_the_proportions_that_the_prior_tells():
    # 97 % of class 0, whose members are as confident as those of class 1
    q = torch.tensor([[0.8, 0.2]] * 970 + [[0.2, 0.8]] * 30)
    plain = target_distribution(q).mean(0)[0]
    kept = target_distribution(q, torch.tensor([0.97, 0.03])).mean(0)[0]
    assert plain < 0.85
    assert kept > 0.97


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float32, torch.int64), (torch.float16, torch.int16)], ids=str
)
def test_hard_assignment_is_the_most_probable_cluster(dtype, expected):
    clusters = hard_assignment(torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]).to(dtype))
    assert clusters.tolist() == [1, 0, 2]
    assert clusters.dtype == expected


def test_one_hot_targets_by_hand():
    Y = OneHot(torch.tensor([0, 2, -1]), n_classes=3)
    assert Y[torch.tensor([1, 0])].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Y[torch.tensor([[1], [0]])].tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert Y.known(torch.tensor([0, 1, 2])).tolist() == [True, True, False]
    assert Y.device == torch.device("cpu")


# Equation 3 ---------------------------------------------------------------------------------------------


def test_kl_divergence_by_hand():
    # 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75) = 0.5 log(4 / 3); second row 0
    p = torch.tensor([[0.5, 0.5], [0.3, 0.7]])
    q = torch.tensor([[0.25, 0.75], [0.3, 0.7]])
    assert_allclose(kl_divergence(p, q.log()), 0.25 * math.log(4 / 3), rtol=1e-5)


def test_clusters_are_along_the_last_axis_unless_told_otherwise():
    # log 2 and log 4, averaged over 2 samples of one row each
    p, q = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([[[0.5, 0.5]], [[0.75, 0.25]]])
    assert_allclose(kl_divergence(p, q.log()), 1.5 * math.log(2), rtol=1e-6)


def test_kl_divergence_of_labels_is_the_cross_entropy():
    log_q = torch.log_softmax(embeddings(6, 4), 1)
    labels = torch.tensor([0, 3, 2, 2, 1, 0])
    p = torch.nn.functional.one_hot(labels, 4).float()
    assert_allclose(kl_divergence(p, log_q), torch.nn.functional.nll_loss(log_q, labels), rtol=1e-6)


def test_kl_divergence_of_voxels_is_the_mean_over_voxels():
    p, q = (torch.softmax(embeddings(2 * 3 * 3, 4, seed=s), 1).reshape(2, 3, 3, 4) for s in (0, 1))
    voxelwise = kl_divergence(p.movedim(-1, 1), q.log().movedim(-1, 1), axis=1)
    assert_allclose(voxelwise, kl_divergence(p.reshape(-1, 4), q.reshape(-1, 4).log()), rtol=1e-6)


def test_kl_divergence_weighted_by_hand():
    # log 2 with weight 3 and log 4 with weight 1: (3 log 2 + 2 log 2) / 4
    p, q = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.5, 0.5], [0.75, 0.25]])
    weighted = kl_divergence(p, q.log(), torch.tensor([3.0, 1.0]))
    assert_allclose(weighted, 5 / 4 * math.log(2), rtol=1e-6)
    assert kl_divergence(p, q.log(), torch.zeros(2)) == 0  # the average of nothing


# Equation 4 ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(alpha=alphas, k=st.integers(2, 5), d=sizes)
def test_autograd_is_equation_4(alpha, k, d):
    z = embeddings(4, d).double().requires_grad_()
    centers = embeddings(k, d, seed=1).double().requires_grad_()
    log_q = log_soft_assignment(z, centers, alpha)
    q = log_q.exp().detach()
    p = target_distribution(q)
    (4 * kl_divergence(p, log_q)).backward()  # the paper sums over the 4 samples
    # as printed for alpha = 1: 2 sum_j (1 + d^2)^-1 (p - q) (z - mu)
    difference = (z[:, None] - centers[None]).detach()
    kernel = 1 / (1 + difference.square().sum(2) / alpha)
    terms = (alpha + 1) / alpha * (kernel * (p - q))[:, :, None] * difference
    assert_allclose(z.grad, terms.sum(1), rtol=1e-6, atol=1e-9)
    assert_allclose(centers.grad, -terms.sum(0), rtol=1e-6, atol=1e-9)


# Balanced subset ------------------------------------------------------------------------------------------


@given(predicted=st.lists(st.integers(0, 3), min_size=1, max_size=60), seed=st.integers(0, 99))
def test_balanced_subset_is_the_papers(predicted, seed):
    predicted = torch.tensor(predicted)
    subset = balanced_subset(predicted, 4, generator=torch.Generator().manual_seed(seed))
    smallest = torch.bincount(predicted, minlength=4).min()
    assert (torch.bincount(predicted[subset], minlength=4) == smallest).all()
    assert len(subset.unique()) == len(subset)


@given(predicted=st.lists(st.integers(0, 3), min_size=1, max_size=60), share=st.floats(0.01, 1))
def test_balanced_subset_repeats_rare_classes_evenly(predicted, share):
    predicted = torch.tensor(predicted)
    subset = balanced_subset(predicted, 4, min_share=share, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(predicted, minlength=4)
    size = max(int(counts.min()), math.ceil(share * len(predicted) / 4))
    expected = torch.where(counts > 0, size, 0)
    assert torch.equal(torch.bincount(predicted[subset], minlength=4), expected)
    times = torch.bincount(subset, minlength=len(predicted))
    for j in range(4):
        if counts[j]:
            assert times[predicted == j].max() - times[predicted == j].min() <= 1


def test_balanced_subset_draws_at_random():
    predicted = torch.tensor([0] * 50 + [1] * 5)
    draws = [
        set(balanced_subset(predicted, 2, generator=torch.Generator().manual_seed(s)).tolist())
        for s in range(20)
    ]
    again = balanced_subset(predicted, 2, generator=torch.Generator().manual_seed(0))
    assert set(again.tolist()) == draws[0]
    assert len(set.union(*draws)) > 40
    assert len({frozenset(draw) for draw in draws}) > 10


def test_dice_loss_by_hand():
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    log_q = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log()
    # class 0: (2 * 0.8 + 1) / (1 + 0.64 + 0.16 + 1), class 1: (2 * 0.6 + 1) / (0.04 + 1 + 0.36 + 1)
    expected = 1 - (2.6 / 2.8 + 2.2 / 2.4) / 2
    assert dice_loss(p, log_q).item() == pytest.approx(expected, abs=1e-6)
    # only the first row counts: (2 * 0.8 + 1) / (1 + 0.64 + 1) and 1 / (0.04 + 1)
    weighted = dice_loss(p, log_q, torch.tensor([1.0, 0.0])).item()
    assert weighted == pytest.approx(1 - (2.6 / 2.64 + 1 / 1.04) / 2, abs=1e-6)
    perfect = torch.tensor([[1.0, 1e-30], [1e-30, 1.0]]).log()
    assert dice_loss(p, perfect).item() == pytest.approx(0, abs=1e-6)


def test_dice_loss_finds_its_axis():
    p = torch.softmax(torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), 1)
    log_q = p.roll(1, 0).log()
    weight = torch.rand(2, 4, 5)
    moved = dice_loss(p.movedim(1, -1), log_q.movedim(1, -1), weight, axis=-1)
    torch.testing.assert_close(dice_loss(p, log_q, weight), moved)


@pytest.mark.parametrize("frequency", ["soft", "hard", "bounded"])
def test_running_target_agrees_with_that_of_all_samples(frequency):
    generator = torch.Generator().manual_seed(0)
    q = torch.softmax(2 * torch.randn(20000, 3, generator=generator) + torch.tensor([2.0, 0.0, 0.0]), 1)
    prior = torch.tensor([0.6, 0.3, 0.1])
    target = RunningTarget(3, prior, frequency)
    torch.testing.assert_close(target(q[:500]), target_distribution(q[:500], prior, frequency))
    for _ in range(300):
        target(q[torch.randint(len(q), (500,), generator=generator)])
    all_at_once = target_distribution(q, prior, frequency)
    f = target.frequencies
    assert (target_distribution(q, prior, frequencies=f) - all_at_once).abs().max() < 0.02


def test_running_target_with_the_shares_of_the_labels_seen():
    target = RunningTarget(2, "labeled")
    target.see_labels(torch.eye(2)[[0] * 74 + [1] * 24])
    torch.testing.assert_close(target.labeled_shares, torch.tensor([0.75, 0.25]))
    q = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    torch.testing.assert_close(target(q)[0], torch.tensor([0.75, 0.25]))
    other = RunningTarget(2, "labeled")
    other.set_state(target.get_state())
    torch.testing.assert_close(other(q), target(q))


def test_shares_may_be_estimated_from_the_soft_assignments_of_all():
    target = RunningTarget(2, estimate=lambda Q: (Q.mean(0), 0.0))
    q = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    even = target(q)
    target.see_all(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))  # 0.75 : 0.25
    # 0.5625 * 0.75 : 0.0625 * 0.25 and 0.0625 * 0.75 : 0.5625 * 0.25
    torch.testing.assert_close(target(q), torch.tensor([[27, 1], [3, 9]]) / torch.tensor([[28], [12]]))
    again = RunningTarget(2, estimate=lambda Q: (None, 0.0))
    again.set_state(target.get_state())
    torch.testing.assert_close(again(q), target(q))
    again.see_all(q)  # None: classes are equal
    torch.testing.assert_close(again(q), even)


def test_nothing_is_pulled_towards_own_shares():
    target = RunningTarget(2, "own")
    target.see_labels(torch.tensor([[1.0, 0.0]]))  # labels do not matter
    q = torch.tensor([[0.9, 0.1], [0.75, 0.25]])
    torch.testing.assert_close(target(q), torch.tensor([[81, 1], [9, 1]]) / torch.tensor([[82], [10]]))


def test_samples_in_doubt_have_no_target():
    q = torch.tensor([[0.5, 0.1, 0.4], [0.5, 0.1, 0.1], [0.5, 0.2, 0.1]])  # shares of two: 0.56, 0.83, 0.71
    q = q / q.sum(1, keepdim=True)
    target = RunningTarget(3, estimate=lambda Q: (None, 0.8))
    whole = target(q)
    torch.testing.assert_close(whole.sum(1), torch.ones(3))
    again = RunningTarget(3, least_share=0.8)
    torch.testing.assert_close(again(q), whole * torch.tensor([[0.0], [1.0], [0.0]]))
    target.see_all(q)
    resumed = RunningTarget(3)
    resumed.set_state(target.get_state())
    assert resumed.least_share == target.least_share == 0.8


def test_running_target_forgets():
    target = RunningTarget(2, decay=0.5)
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for q in (first, first, second):
        target(q)
    torch.testing.assert_close(target.frequencies, torch.tensor([0.5, 0.5]))


# Distances from the centroids -------------------------------------------------------------------------------


def test_gradients_of_assignments_are_exact():
    z = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    centers = (100 + torch.randn(6, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z, c: log_soft_assignment(100 + z, c, 10.0, axis=1), (z, centers))
    far = torch.tensor([[1e30, 0.0], [0.0, 1.0]], requires_grad=True)
    log_soft_assignment(far, torch.eye(2)).sum().backward()
    assert far.grad.isfinite().all()


def test_assignments_do_not_depend_on_how_many_differences_are_held(monkeypatch):
    z, centers = torch.randn(50, 7, 3), torch.randn(5, 3)
    at_once = log_soft_assignment(z, centers)
    monkeypatch.setattr("sklearn_ssldec.clustering.MANY_DIFFERENCES", 40)
    assert torch.equal(log_soft_assignment(z, centers), at_once)
    assert log_soft_assignment(z[:0], centers).shape == (0, 7, 5)


def test_rows_of_very_many_classes_are_computed_in_parts(monkeypatch):
    results, largest = [], []
    plain = clustering._squared_distances

    def watched(z, centers):
        largest.append(len(z))
        return plain(z, centers)

    monkeypatch.setattr(clustering, "_squared_distances", watched)
    monkeypatch.setattr(clustering, "MANY_DIFFERENCES", 60)
    given = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    for limit in (50 * 3 * 5, 50 * 3 * 5 - 1):
        monkeypatch.setattr(clustering, "MOST_OF_ROWS", limit)
        z, centers = given.clone().requires_grad_(), given[:5].clone().requires_grad_()
        log_q = log_soft_assignment(z, centers)
        log_q[:, 0].sum().backward()
        results.append((log_q, z.grad, centers.grad))
    assert largest == [50] + [4] * 12 + [2]
    assert torch.equal(results[0][0], results[1][0])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
