"""Scans in which some classes were not annotated: partial labels, and the marginal loss."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.model_selection import KFold, cross_validate

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.drawn_patches import DrawnPatches, LabeledVolumes
from sklearn_ssldec._samples.volumes import count_classes, encode_label_maps, with_partial_labels
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.drawn_net import DrawnNet
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.algorithm import SSLDEC, Settings
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.clustering import (
    ClusteringLayer,
    RunningTarget,
    dice_loss,
    kl_divergence,
    merge_candidates,
    restrict_to_candidates,
    target_distribution,
)
from sklearn_ssldec.networks.embedding import EmbeddingNetwork

# Fits are short.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Background or class 2, and background or class 1.
CANDIDATES = torch.tensor([[True, False, True], [True, True, False]])


def squares(n=12, size=24, seed=0):
    """Return images with a square of class 1 and a brighter one of class 2."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((n, size, size), dtype=int)
    for labels in maps:
        for code, first in ((1, 1), (2, size // 2 + 1)):
            row, column = first + rng.integers(0, 3), rng.integers(1, size - 8)
            labels[row : row + 7, column : column + 7] = code
    return list(np.array([0.0, 1.0, 2.0])[maps] + 0.4 * rng.standard_normal(maps.shape)), list(maps)


def half_annotated(maps):
    """Return label maps and their classes: 1 in a third of the images, 2 in a third, the others without."""
    annotated = [{1}] * (len(maps) // 3) + [[2]] * (len(maps) // 3)
    annotated += [None] * (len(maps) - len(annotated))
    marked = [
        None if given is None else np.where(np.isin(labels, list(given)), labels, 0)
        for labels, given in zip(maps, annotated, strict=True)
    ]
    return marked, annotated


def segmenter(kind=SSLDECSegmenter, **kwargs):
    settings = {
        "module__width": 0.125, "cycle__targets": "all", "pretrain_epochs": 2, "max_iter": 1,
        "patches_per_epoch": 16, "min_batches": 1, "random_state": 0,
    }  # fmt: skip
    return kind(**{**settings, **kwargs})


# The loss -------------------------------------------------------------------------------------------------


def test_divergence_is_that_of_the_sum_of_the_candidates():
    q = torch.tensor([[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.125, 0.75, 0.125]])
    p = torch.tensor([[0.0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0]])
    loss = kl_divergence(*merge_candidates(p, q.log(), CANDIDATES), axis=1)
    assert loss.item() == pytest.approx(-(math.log(0.75) + math.log(0.5) + math.log(0.75)) / 3)


def test_gradient_is_that_of_the_sum_of_the_candidates():
    logits = torch.tensor([[0.3, -0.2, 1.1]], requires_grad=True)
    p = torch.tensor([[0.0, 0, 0, 1, 0]])
    kl_divergence(*merge_candidates(p, logits.log_softmax(1), CANDIDATES), axis=1).backward()
    q = logits.detach().softmax(1)
    within = q * CANDIDATES[0] / (q * CANDIDATES[0]).sum()
    assert_allclose(logits.grad, q - within, atol=1e-6)  # that of -log(q_0 + q_2)


def test_dice_counts_the_candidates_as_background():
    q = torch.tensor([[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]])
    p = torch.tensor([[0.0, 0, 0, 1, 0], [0, 1, 0, 0, 0]])
    loss = dice_loss(*merge_candidates(p, q.log(), CANDIDATES))
    # The first voxel is background of probability 0.75, and has none of class 2.
    background = (2 * 0.75 + 1) / (1 + 0.75**2 + 0.25**2 + 1)
    class_1 = (2 * 0.5 + 1) / (1 + 0.25**2 + 0.5**2 + 1)
    class_2 = 1 / (0.25**2 + 1)
    assert loss.item() == pytest.approx(1 - (background + class_1 + class_2) / 3)


@pytest.mark.parametrize(("kind", "dice"), [(VoxelNet, False), (DrawnNet, True)])
def test_nets_use_it(kind, dice):
    network = EmbeddingNetwork(torch.nn.Conv2d(1, 3, 1), ClusteringLayer(3, 3, axis=1))
    net = kind(network).initialize()
    net.candidates_ = CANDIDATES
    log_q = torch.rand(2, 3, 4, 4).log_softmax(1)
    p = torch.zeros(2, 5, 4, 4)
    p[0, 3], p[1, 1] = 1, 1
    merged = merge_candidates(p, log_q, CANDIDATES)
    expected = kl_divergence(*merged, axis=1) + (dice_loss(*merged) if dice else 0)
    assert net.get_loss(log_q, Targets(p, None, 2)).item() == pytest.approx(expected.item())


# Labels and targets ---------------------------------------------------------------------------------------


def test_background_becomes_a_partial_label():
    maps = [np.array([[0, 1, 5]]), np.array([[0, 0, 1]]), np.array([[0, -1, 5]]), None]
    labels = encode_label_maps(maps, [(1, 3)] * 4)
    partial = with_partial_labels(labels, [frozenset({1, 5}), frozenset({1}), frozenset({5}), frozenset({1})])
    assert_array_equal(partial.maps[0], [[0, 1, 2]])
    assert_array_equal(partial.maps[1], [[3, 3, 1]])
    assert_array_equal(partial.maps[2], [[4, -1, 2]])
    assert partial.maps[3] is None
    assert_array_equal(partial.candidates, [[True, False, True], [True, True, False]])
    assert labels.maps[1].max() == 1  # not changed in place
    predicted = np.array([0, 0, 0, 2, 1, 0, 1, 2, 0, 1, 1, 1])
    assert_array_equal(partial.completed(predicted), [0, 1, 2, 2, 0, 1, 1, 2, 2, 1, 1, 1])


def test_labels_that_are_complete_are_not_when_a_class_was_not_annotated():
    maps = [np.array([[0, 1, 1]]), np.array([[0, 2, 2]])]
    labels = encode_label_maps(maps, [(1, 3)] * 2)
    assert labels.is_complete
    assert not with_partial_labels(labels, [frozenset({1}), None]).is_complete
    assert with_partial_labels(labels, [frozenset({1, 2}), None]) is labels


def test_shares_of_classes_come_from_the_volumes_that_tell():
    # Of three volumes of 1000 voxels, one tells of both classes, one of class 1, one of class 2.
    codes = np.repeat([0, 1, 2, 1, 3, 2, 4], [700, 200, 100, 200, 800, 100, 900])
    assert_allclose(count_classes(codes, 3, CANDIDATES.numpy()), [2100, 600, 300], rtol=1e-6)


def test_running_shares_of_labels_share_partial_ones_out():
    target = RunningTarget(3, "labeled")
    target.labeled_shares = torch.tensor([0.5, 0.25, 0.25])
    target.see_labels(torch.tensor([[0.0, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]), CANDIDATES)
    # 2 x (2/3, 0, 1/3) + (0, 1, 0), and one of each class besides
    assert_allclose(target.labeled_shares, torch.tensor([7 / 3, 2, 5 / 3]) / 6, rtol=1e-6)


def test_half_precision_that_knows_no_candidate_takes_all_alike():
    q = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]], dtype=torch.float16)
    restrict_to_candidates(q, torch.tensor([3, 1], dtype=torch.int16), CANDIDATES)
    assert_array_equal(q, [[0.5, 0, 0.5], [0.5, 0.25, 0.25]])


def test_targets_and_accuracy_know_the_candidates():
    settings = Settings(0, (1, 1), (1, 1), 1, 0, 1, 0.8, 0, 1.0, None, 1, class_mean=True)
    y = torch.tensor([3, 1, -1, 4], dtype=torch.int16)
    algorithm = SSLDEC(None, range(4), y, 3, settings, candidates=CANDIDATES)
    Q = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.7, 0.2]])
    algorithm.Q, algorithm.predicted = Q.clone(), Q.argmax(1)
    P, counted_as = algorithm.targets()
    restricted = torch.tensor([[0.4, 0, 0.6], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.125, 0.875, 0]])
    assert_allclose(P, target_distribution(restricted), atol=1e-6)
    assert_array_equal(counted_as, [2, 0, 1, 1])
    # Of background or 2, background or 1, and class 1: wrong, right and wrong.
    assert algorithm.accuracy(Q[[0, 1, 3]]) == pytest.approx(1 / 3)


def test_unlabeled_patches_of_partly_annotated_volumes_are_predicted_among_the_candidates():
    image, codes = torch.zeros(1, 8, 8), np.full((8, 8), 3)
    codes[:, 4:] = 1
    source = LabeledVolumes(Volumes([image]), [codes], [None], candidates=CANDIDATES)
    assert source.labeled == source.unlabeled == [0]
    assert sorted(source._of_class) == [0, 1]  # patches are centred on what is marked as background
    batch = DrawnPatches(
        source, 3, n_batches=1, n_unlabeled=1, n_labeled=1, size=(8, 8), outer_size=(8, 8), balance=1.0,
        generator=torch.Generator().manual_seed(0), device=torch.device("cpu"),
    ).draw()[1]  # fmt: skip
    assert_array_equal(batch.p[0].argmax(0), codes)
    q = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).repeat(1, 1, 8, 8)
    restricted = DrawnNet._restricted(None, q, batch.p[:1], CANDIDATES)
    assert_allclose(restricted[0, :, 2, 2], [0.4, 0, 0.6])
    assert_allclose(restricted[0, :, 2, 6], [0.2, 0.5, 0.3])


# The estimator --------------------------------------------------------------------------------------------


def test_beats_background_taken_at_its_word():
    X, maps = squares(size=16)
    y, annotated = half_annotated(maps)
    X_test, truth = squares(size=16, seed=9)
    trained = {
        "pretrain_epochs": 20, "max_iter": 2, "patches_per_epoch": 32, "min_batches": 8, "batch_size": 8
    }  # fmt: skip
    marginal = segmenter(**trained).fit(X, y, annotated_classes=annotated)
    plain = segmenter(**trained).fit(X, y)
    assert marginal.score(X_test, truth) > 0.85
    assert plain.score(X_test, truth) < 0.75


@pytest.mark.parametrize("kind", [SSLDECSegmenter, PseudoLabelSegmenter])
@pytest.mark.parametrize("targets", ["all", "drawn"])
def test_transduction_agrees_with_the_marks(kind, targets):
    X, maps = squares(6)
    y, annotated = half_annotated(maps)
    seg = segmenter(kind, cycle__targets=targets).fit(X, y, annotated)
    assert seg.n_iter_ == 1
    for found, labels, given in zip(seg.transduction_, y, annotated, strict=True):
        for code in given or ():
            assert_array_equal(found == code, labels == code)
    assert len(np.unique(seg.transduction_)) == 3
    assert all(net.candidates_ is None for net in seg.nets_)


@pytest.mark.parametrize("targets", ["all", "drawn"])
def test_nothing_changes_where_all_classes_were_annotated(targets):
    X, maps = squares(3)
    y = [maps[0], maps[1], None]
    plain = segmenter(cycle__targets=targets).fit(X, y)
    told = segmenter(cycle__targets=targets).fit(X, y, annotated_classes=[(1, 2), np.array([0, 1, 2]), [1]])
    assert_array_equal(plain.predict_proba(X), told.predict_proba(X))


def test_score_leaves_out_what_was_not_annotated():
    X, maps = squares(6)
    y, annotated = half_annotated(maps)
    seg = segmenter()
    seg.fit(X, y, annotated)
    seg.predict = lambda volumes: maps[: len(volumes)]
    assert seg.score(X, y) < 0.6
    assert seg.score(X, y, annotated) == 1


def test_cross_validation_cuts_it_to_the_folds():
    X, maps = squares(6)
    y, annotated = half_annotated(maps)
    seg = segmenter(max_iter=0)
    kwargs = {"cv": KFold(2, shuffle=True, random_state=0), "params": {"annotated_classes": annotated}}
    plain = cross_validate(seg, X, y, error_score="raise", **kwargs)
    with config_context(enable_metadata_routing=True):
        seg.set_fit_request(annotated_classes=True).set_score_request(annotated_classes=True)
        routed = cross_validate(seg, X, y, error_score="raise", **kwargs)
    # Without routing, only `fit` gets it.
    assert (routed["test_score"] >= plain["test_score"]).all()
    assert routed["test_score"].sum() > plain["test_score"].sum()


def test_a_checkpoint_of_other_classes_is_refused(tmp_path):
    X, maps = squares(6)
    y, annotated = half_annotated(maps)
    seg = segmenter(checkpoint_dir=tmp_path / "fit", max_iter=0, pretrain_epochs=1)
    seg.fit(X, y, annotated)
    with pytest.raises(ValueError, match="another fit"):
        seg.fit(X, y)


@pytest.mark.parametrize(
    ("annotated", "error", "message"),
    [
        (
            "12",
            TypeError,
            "must be a sequence .*, or None, for each volume; got '12'",
        ),
        ({0: [1]}, TypeError, "must be a sequence"),
        ([[1]], ValueError, "X has 3 volumes and annotated_classes 1 entries; there must be one each"),
        ([1, None, None], TypeError, r"annotated_classes\[0\] must be a collection of integers.* got 1"),
        ([None, ["liver"], None], TypeError, r"annotated_classes\[1\] must be .* got \['liver'\]"),
        ([None, "1", None], TypeError, r"annotated_classes\[1\] must be .* got '1'"),
        (
            [[0], None, None],
            ValueError,
            r"annotated_classes\[0\] is \[0\] and names no class besides .*, 0",
        ),
        (
            [(), None, None],
            ValueError,
            r"annotated_classes\[0\] is \(\) .* pass None as its label map",
        ),
        (
            [[1, 2], [1], None],
            ValueError,
            r"y\[1\] marks voxels of class 2, which is not in annotated_classes\[1\], \[1\]",
        ),
    ],
)
def test_errors(annotated, error, message):
    X, maps = squares(3)
    with pytest.raises(error, match=message):
        segmenter().fit(X, [maps[0], maps[1], None], annotated_classes=annotated)


def test_there_must_be_a_background():
    X, maps = squares(3)
    y = [np.where(maps[0] == 0, 3, maps[0]), np.where(maps[1] == 0, 3, 1), None]
    with pytest.raises(ValueError, match=r"in which 0 is the background, .*; y has the classes \[1, 2, 3\]"):
        segmenter().fit(X, y, annotated_classes=[None, [1, 3], None])
