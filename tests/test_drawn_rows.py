"""Classification with targets that are computed where batches are drawn."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter, persistence
from sklearn_ssldec._estimators.guidance import class_shares, drawn_prior, excess, label_folds, mixture_shares
from sklearn_ssldec._samples.drawn_rows import LabeledRows
from sklearn_ssldec._training.drawn_rows import DrawnRowNet
from sklearn_ssldec.augment import GaussianNoise, RandAugment, RandomTranslation, WeakStrong
from sklearn_ssldec.baselines import FixMatchClassifier, MeanTeacherClassifier, UDAClassifier
from sklearn_ssldec.clustering import target_distribution
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.networks.embedding import EmbeddingNetwork
from sklearn_ssldec.networks.softmax import SoftmaxHead

QUICK = {
    "device": "cpu",
    "random_state": 0,
    "pretrain_epochs": 20,
    "max_iter": 2,
    "min_batches": 20,
    "module__width": 0.05,
}
DRAWN = {**QUICK, "cycle__targets": "drawn"}


@pytest.fixture(scope="module")
def digits():
    """Three digits, 180 images of 8x8, 15 labels: images, y with -1, true labels."""
    images, target = load_digits(n_class=3, return_X_y=True)
    images, target = images[:180].reshape(-1, 8, 8), target[:180]
    return images, mask_labels(target, 5, random_state=0), target


@pytest.fixture(scope="module")
def fitted(digits):
    images, y, _ = digits
    return SSLDECClassifier(**DRAWN).fit(images, y)


def test_learns_from_a_few_labels(digits, fitted):
    images, y, truth = digits
    assert isinstance(fitted.nets_[0], DrawnRowNet)
    assert fitted.score(images, truth) > 0.9
    assert_array_equal(fitted.transduction_[y >= 0], y[y >= 0])
    assert_array_equal(fitted.label_distributions_, fitted.predict_proba(images))
    assert fitted.supervised_transduction_.shape == (180,)
    assert [record["iteration"] for record in fitted.history_] == [0, 1, 2]
    assert 0 <= fitted.history_[-1]["share_changed"] < 0.5


def test_the_supervised_start_is_that_of_targets_of_all(digits, fitted):
    """Pre-training is the same, so both start from the same network where the augmentation is the same."""
    images, y, _ = digits
    for augment in (RandomTranslation(1), None):
        start, drawn = (
            SSLDECClassifier(**{**kwargs, "max_iter": 0}, augment=augment).fit(images, y)
            for kwargs in ({**QUICK, "cycle__targets": "all"}, DRAWN)
        )
        assert_array_equal(start.predict_proba(images), drawn.predict_proba(images))
        assert_array_equal(drawn.supervised_transduction_, drawn.predict(images))


def test_same_seed_same_result(digits, fitted):
    images, y, _ = digits
    again = SSLDECClassifier(**DRAWN).fit(images, y)
    assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))


def test_targets_of_images_are_drawn_by_default(digits, fitted):
    images, y, _ = digits
    auto = SSLDECClassifier(**QUICK).fit(images, y)
    assert_array_equal(auto.predict_proba(images), fitted.predict_proba(images))


@pytest.mark.parametrize("kwargs", [{"balance": 0.5}, {"balance": None}, {"teachers": []}], ids=repr)
def test_targets_of_all_images_where_something_needs_them(digits, kwargs):
    images, y, _ = digits
    needs_all = kwargs != {"balance": None}
    clf = SSLDECClassifier(**{**QUICK, "max_iter": 0}, **kwargs).fit(images, y)
    assert isinstance(clf.nets_[0], DrawnRowNet) is not needs_all


def test_targets_of_all_rows_of_features_by_default(moons):
    X, y, _ = moons
    quick = {"device": "cpu", "random_state": 0, "pretrain_epochs": 2, "max_iter": 1}
    auto, every = (
        SSLDECClassifier(**quick, **kwargs).fit(X, y) for kwargs in ({}, {"cycle__targets": "all"})
    )
    assert_array_equal(auto.predict_proba(X), every.predict_proba(X))
    assert not isinstance(auto.nets_[0], DrawnRowNet)


def test_an_interrupted_fit_goes_on(digits, tmp_path):
    images, y, _ = digits

    class KilledError(Exception):
        pass

    class Bomb(GaussianNoise):
        n_left = 10**9

        def __call__(self, batch, progress=0.0):
            Bomb.n_left -= 1
            if Bomb.n_left == 0:
                raise KilledError
            return super().__call__(batch)

    whole = SSLDECClassifier(**DRAWN, augment=Bomb(0.1)).fit(images, y)
    kwargs = {**DRAWN, "augment": Bomb(0.1), "checkpoint_dir": tmp_path / "fit"}
    # 20 batches of pre-training; an iteration has 24 batches, each with a view and a batch.
    Bomb.n_left = 20 + 2 * 24 + 5
    with pytest.raises(KilledError):
        SSLDECClassifier(**kwargs).fit(images, y)
    Bomb.n_left = 10**9
    resumed = SSLDECClassifier(**kwargs).fit(images, y)
    assert_array_equal(resumed.predict_proba(images), whole.predict_proba(images))


@pytest.fixture(scope="module")
def unequal(digits):
    """The same digits, but of one in five of two classes only: images, y with -1, true labels."""
    images, y, truth = digits
    kept = (y >= 0) | (truth == 0) | (np.arange(len(y)) % 5 == 0)
    return images[kept], y[kept], truth[kept]


def test_shares_of_classes_are_estimated_where_labels_were_drawn_at_random(unequal):
    images, _, truth = unequal
    y = np.where(np.random.RandomState(0).uniform(size=len(truth)) < 0.2, truth, -1)
    counts = np.bincount(y[y >= 0]).astype(float)
    quick = {**DRAWN, "pretrain_epochs": 100}  # after fewer, predictions tell nothing
    start = SSLDECClassifier(**{**quick, "max_iter": 0}).fit(images, y)
    shares = class_shares(start.label_distributions_.astype(float), counts)
    assert shares[0] > 0.55
    default, *others = (
        SSLDECClassifier(**quick, **kwargs).fit(images, y).predict_proba(images)
        for kwargs in ({}, {"class_prior": shares}, {"class_prior": None})
    )
    assert_allclose(default, others[0], atol=1e-4)
    assert np.abs(default - others[1]).max() > 0.001


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_that_only_predictions_show_to_be_very_large(unequal, n_classes):
    """Labels were drawn class by class."""
    images, y, truth = unequal
    kept = truth < n_classes
    quick = {**DRAWN, "pretrain_epochs": 100}
    fits = [
        SSLDECClassifier(**quick, **kwargs).fit(images[kept], y[kept])
        for kwargs in ({}, {"class_prior": None})
    ]
    default, equal = (clf.nets_[0].target_ for clf in fits)
    assert (default.least_share, equal.least_share, equal.prior) == (0.8, 0.0, None)
    assert default.prior == "own" if n_classes == 2 else default.prior[0] > 0.55
    assert np.abs(fits[0].predict_proba(images) - fits[1].predict_proba(images)).max() > 0.001


def test_shares_of_classes_of_about_the_same_size_are_equal(digits):
    images, y, _ = digits
    default, equal = (
        SSLDECClassifier(**{**DRAWN, "pretrain_epochs": 100}, **kwargs).fit(images, y).predict_proba(images)
        for kwargs in ({}, {"class_prior": None})
    )
    assert_array_equal(default, equal)


def of_sizes(sizes):
    """Return probabilities of samples that are told apart well."""
    k = len(sizes)
    return torch.eye(k)[np.repeat(np.arange(k), sizes)] * 0.996 + 0.004 / k


def not_asked():
    raise AssertionError("left-out labels are not asked")


def test_shares_that_only_predictions_tell():
    counts = np.full(4, 10.0)
    assert drawn_prior(of_sizes([120, 100, 90, 90]), counts, not_asked) == (None, 0.0)
    # Classes differ, but none has more than 0.4.
    assert drawn_prior(of_sizes([158, 158, 64, 20]), counts, not_asked) == (None, 0.0)
    Q = of_sizes([280, 40, 40, 40])
    shares, least_share = drawn_prior(Q, counts, lambda: np.array([3.1, 0, 0, 0]))
    assert_allclose(shares, mixture_shares(Q.numpy().astype(float), np.ones(4), 400), rtol=1e-5)
    assert_allclose(shares, [0.7, 0.1, 0.1, 0.1], atol=0.01)
    assert least_share == 0.8


def test_left_out_labels_must_confirm_a_large_class():
    Q = of_sizes([280, 40, 40, 40])
    assert drawn_prior(Q, np.full(4, 10.0), lambda: np.array([2.9, 9, 9, 9])) == (None, 0.0)
    # One label of a class cannot be left out.
    assert drawn_prior(Q, np.array([10.0, 10, 10, 1]), not_asked) == (None, 0.0)


def test_nothing_is_pulled_where_predictions_say_that_one_of_two_classes_is_rare():
    Q = of_sizes([320, 80])
    assert drawn_prior(Q, np.full(2, 10.0), lambda: np.array([3.1, -3.1])) == ("own", 0.8)
    assert drawn_prior(of_sizes([240, 160]), np.full(2, 10.0), not_asked) == (None, 0.0)


def test_labels_that_were_drawn_at_random_tell_shares():
    counts = np.array([24.0, 4.0, 5.0, 7.0])
    Q = of_sizes([250, 50, 50, 50])
    shares, least_share = drawn_prior(Q, counts, not_asked)
    assert_allclose(shares, class_shares(Q.numpy().astype(float), counts), rtol=1e-5)
    assert shares[0] > 0.5
    assert least_share == 0.0


def test_excess_by_hand():
    left_out = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    # Classes are predicted in shares of 0.8 and 0.4 of the first: 0.6 on average. Their variances within are
    # (0.01 + 0.01 + 0.04 + 0.04) / (4 - 2) = 0.05, and the error is sqrt(0.05 (1/2 + 1/2)) / 2 = 0.1118.
    assert_allclose(
        excess(left_out, np.array([0, 0, 1, 1]), np.array([0.8, 0.2])), [1.7889, -1.7889], rtol=1e-4
    )


def test_a_network_that_prefers_a_class_has_no_excess_of_it():
    rng = np.random.default_rng(0)
    # Of equal classes, two thirds are taken for the first.
    left_out = rng.dirichlet([6, 1.5, 1.5], size=30)
    unlabeled = rng.dirichlet([6, 1.5, 1.5], size=1000).mean(axis=0)
    assert np.abs(excess(left_out, np.arange(30) % 3, unlabeled)).max() < 2


@given(counts=st.lists(st.integers(2, 9), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_halves_have_half_of_each_class(counts, seed):
    codes = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(5, -1)])
    first, second = label_folds(codes, seed, n_folds=2)
    assert_array_equal(np.sort(np.concatenate([first, second])), np.flatnonzero(codes >= 0))
    of_each = [np.bincount(codes[half], minlength=len(counts)) for half in (first, second)]
    assert np.abs(of_each[0] - of_each[1]).max() <= 1


@pytest.mark.parametrize(("sizes", "is_large"), [((240, 30), True), ((130, 130), False)])
def test_a_large_class_is_found_by_a_fit(sizes, is_large, monkeypatch):
    """Two digits of very different sizes, and of the same size, of which networks say that one is large."""
    images, target = load_digits(n_class=2, return_X_y=True)
    rng = np.random.RandomState(0)
    images, target = np.tile(images.reshape(-1, 8, 8), (2, 1, 1)), np.tile(target, 2)
    rows = np.concatenate([rng.permutation(np.flatnonzero(target == j))[:n] for j, n in enumerate(sizes)])
    y = mask_labels(target[rows], 5, random_state=0)
    seen = []

    def spy(Q, counts, find_excess):
        seen.append(find_excess())
        return drawn_prior(of_sizes([240, 30]), counts, lambda: seen[-1])

    monkeypatch.setattr("sklearn_ssldec._estimators.ensemble.drawn_prior", spy)
    quick = {**DRAWN, "pretrain_epochs": 60}
    fits = [SSLDECClassifier(**quick, class_prior=p).fit(images[rows], y) for p in ("auto", None)]
    assert (seen[0][0] > 3) == is_large
    same = np.array_equal(*(fit.label_distributions_ for fit in fits))
    assert same != is_large  # equal shares, to the bit: the other networks leave no trace


def test_a_pickle_has_no_samples(digits, fitted):
    assert np.float32(digits[0][0]).tobytes() not in pickle.dumps(fitted.nets_)


def test_rows_of_features_and_shares_of_classes(moons):
    X, y, truth = moons
    quick = {**DRAWN, "pretrain_epochs": 200, "max_iter": 5}
    del quick["module__width"]
    clf = SSLDECClassifier(**quick).fit(X, y)
    assert clf.score(X, truth) > 0.8
    skewed = SSLDECClassifier(**quick, class_prior=[0.95, 0.05]).fit(X, y)
    assert np.mean(skewed.predict(X) == 0) > np.mean(clf.predict(X) == 0) + 0.03


def test_saved_and_loaded(digits, fitted, tmp_path):
    images, _, _ = digits
    persistence.save(fitted, tmp_path / "clf.ssldec")
    loaded = persistence.load(tmp_path / "clf.ssldec")
    assert_array_equal(loaded.predict_proba(images), fitted.predict_proba(images))
    assert repr(loaded.nets_[0].augment) == repr(fitted.nets_[0].augment)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"cycle__targets": "drawn", "balance": 0.1}, "balance needs cycle__targets='all', got balance=0.1"),
        ({"cycle__targets": "drawn", "teachers": []}, "teachers needs cycle__targets='all'"),
        (
            {"cycle__targets": "drawn", "cycle__frequency": "hard"},
            "cycle__frequency needs cycle__targets='all', got cycle__frequency='hard'",
        ),
        (
            {"cycle__targets": "drawn", "net__data_parallel": True},
            "net__data_parallel needs cycle__targets='all'",
        ),
        (
            {"cycle__targets": "all", "cycle__min_confidence": 0.5},
            "cycle__min_confidence has a meaning for cycle__targets='drawn' only",
        ),
        ({"cycle__targets": "some"}, "cycle__targets"),
    ],
)
def test_what_does_not_go_together(digits, kwargs, message):
    images, y, _ = digits
    with pytest.raises(ValueError, match=message):
        SSLDECClassifier(**QUICK, **kwargs).fit(images, y)


@pytest.mark.parametrize("augment", [RandAugment(), WeakStrong(None, None)], ids=repr)
def test_a_segmenter_refuses_what_would_not_move_labels(augment):
    maps = np.zeros((2, 16, 16), dtype=int)
    maps[:, 4:12, 4:12] = 1
    with pytest.raises(ValueError, match=f"augment must not be a {type(augment).__name__} for a segmenter"):
        SSLDECSegmenter(augment=augment, pretrain_epochs=1, max_iter=0).fit(maps + 0.0, [maps[0], None])


# Parts ------------------------------------------------------------------------------------------------------


def drawn_net(**kwargs):
    torch.manual_seed(0)
    network = EmbeddingNetwork(torch.nn.Linear(1, 3), SoftmaxHead(3, 2))
    return DrawnRowNet(
        network, optimizer=torch.optim.Adam, lr=1e-2, verbose=0, batch_size=4, **kwargs
    ).initialize()


def rows(n=10, n_labeled=4, **kwargs):
    codes = torch.tensor([i % 2 if i < n_labeled else -1 for i in range(n)])
    return LabeledRows(torch.arange(float(n))[:, None], codes, 2, **kwargs)


def test_an_iteration_predicts_its_probes_once(digits, monkeypatch):
    """Also if labels are trained to a threshold: the last probe sees the state that the iteration ends in."""
    probe, found = DrawnRowNet.probe, []

    def counted(net, X, n_classes):
        found.append(probe(net, X, n_classes))
        return found[-1]

    monkeypatch.setattr(DrawnRowNet, "probe", counted)
    images, y, _ = digits
    short = {**DRAWN, "pretrain_epochs": 1, "min_batches": 5}
    clf = SSLDECClassifier(**short, cycle__max_labeled_epochs=200).fit(images, y)
    assert any(record["labeled_epochs"] > 0 for record in clf.history_[1:])
    n_probes = [1 + record["labeled_epochs"] for record in clf.history_[1:]]
    assert len(found) == 2 + sum(n_probes)
    before, last = (found[1 + sum(n_probes[:n])][1] for n in (len(n_probes) - 1, len(n_probes)))
    assert clf.history_[-1]["share_changed"] == (before != last).float().mean().item()


def test_unlabeled_rows_are_drawn_without_replacement():
    some, every = rows(max_rows=5), rows()
    generator = torch.Generator().manual_seed(0)
    drawn = some.draw_unlabeled(generator)
    assert len(set(drawn.tolist())) == 5
    assert set(drawn.tolist()) <= set(range(4, 10))
    assert sorted(every.draw_unlabeled(generator).tolist()) == list(range(4, 10))
    assert some.draw_unlabeled(generator).tolist() != some.draw_unlabeled(generator).tolist()
    assert len(rows(5000).probes()) <= 1000
    assert rows(3, 3).probes().tolist() == []


def test_targets_come_from_the_weak_view_and_are_learned_from_the_strong_one():
    seen, weak, strong = [], [], []

    def target(q):
        seen.append(q)
        return q

    def add(views, value):
        return lambda batch: views.append(len(batch)) or batch + value

    net = drawn_net(augment=WeakStrong(add(weak, 100), add(strong, 200)), ema_decay=0.9, target_views=3)
    X = rows()
    net.train_labeled(X, 2)
    assert (weak, strong) == ([4], [])
    weak.clear()
    net.train_drawn(X, 2, target, 1.0)
    # Two batches, of 4 and 2 unlabeled rows; three views of each, and one labeled row joins.
    assert strong == [4, 2]
    assert weak == [12, 1, 6, 1]
    views = torch.cat([torch.full((1, 1), 100.0 + i) for i in range(4, 10)])
    assert_allclose(seen[0].sum(1), np.ones(4), rtol=1e-5)
    first = net.predicting()(views).exp()
    assert seen[0].shape == (4, 2)
    assert first.shape == (6, 2)


def test_the_teacher_is_the_average_and_sees_rows_themselves_without_views():
    net = drawn_net(ema_decay=0.9, target_views=0, augment=lambda batch: batch * 0)
    X = rows()
    net.train_labeled(X, 2)
    with torch.no_grad():
        for weight in net.module_.parameters():
            weight.add_(1.0)
    expected = net.averaged_(X.samples).exp()
    assert_allclose(net.mean_view(X.samples), expected, rtol=1e-5)
    assert not torch.allclose(net.module_(X.samples).exp(), expected, atol=1e-3)


def test_unsure_rows_take_no_part():
    """With a threshold that no row reaches, only labeled rows are learned from."""
    losses = []
    for target in (lambda q: q, lambda q: torch.eye(2)[torch.zeros(len(q), dtype=torch.int64)]):
        net = drawn_net(min_confidence=0.999999)
        losses.append(net.train_drawn(rows(), 2, target, 1.0).loss)
    assert losses[0] == losses[1]
    sure = drawn_net(min_confidence=0.0)
    assert sure.train_drawn(rows(), 2, target, 1.0).loss != losses[0]


def test_equation_2_has_the_frequencies_of_earlier_batches(digits):
    images, y, _ = digits
    seen = []

    class Recorded(SSLDECClassifier):
        def _method(self):
            method = super()._method()

            def target(prior):
                running = method.target(prior)

                def recorded(q):
                    p = running(q)
                    seen.append((q, p, running.frequencies.clone()))
                    return p

                return recorded

            return type(method)(method.head, target, method.net)

    Recorded(**{**DRAWN, "max_iter": 1}).fit(images, y)
    q, p, frequencies = seen[-1]
    assert_allclose(p, target_distribution(q, frequencies=frequencies), rtol=1e-5)
    assert not torch.allclose(p, target_distribution(q), atol=1e-4)


# Baselines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [FixMatchClassifier, UDAClassifier, MeanTeacherClassifier])
def test_baselines_learn_from_a_few_labels(baseline, digits):
    images, y, truth = digits
    quick = {**QUICK, "pretrain_epochs": 100, "max_iter": 3, "module__width": 0.1}
    clf = baseline(**quick).fit(images, y)
    assert clf.score(images, truth) > 0.85
    assert isinstance(clf.nets_[0].module_.head, SoftmaxHead)
    assert clf.nets_[0].ema_decay == 0  # the average is in the weights


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a few steps only
@pytest.mark.parametrize(
    ("baseline", "threshold"),
    [(FixMatchClassifier, 0.95), (UDAClassifier, 0.8), (MeanTeacherClassifier, 0.0)],
)
def test_thresholds_of_the_baselines(baseline, threshold, digits):
    images, y, _ = digits
    quick = {**QUICK, "max_iter": 1, "min_batches": 1, "pretrain_epochs": 1}
    assert baseline(**quick).fit(images, y).nets_[0].min_confidence == threshold
    if threshold > 0:
        assert baseline(**quick, cycle__min_confidence=0.3).fit(images, y).nets_[0].min_confidence == 0.3
