"""Fits that end early, by Ctrl-C, a callback or divergence: what was learned is kept, and told."""

import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec._training.net import SSLDECNet


def data():
    X = np.random.default_rng(0).standard_normal((80, 2)).astype(np.float32)
    return X, np.where(np.arange(80) < 10, X[:, 0] > 0, -1)


def classifier(**kwargs):
    settings = {"pretrain_epochs": 5, "max_iter": 6, "cycle__max_labeled_epochs": 2, "batch_size": 16}
    network = {
        "device": "cpu",
        "random_state": 0,
        "module__hidden_units": (8,),
        "augment": None,
        "teachers": None,
    }
    return SSLDECClassifier(**{**network, **settings, "labeled_threshold": 0.0, **kwargs})


@pytest.fixture(autouse=True)
def python_s_own_handler():
    """Take the handler of a program at a terminal: in the background, a shell has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c(monkeypatch):
    """Return what presses Ctrl-C in the middle of the n-th batch, so many times; and the batches done."""
    step, done = SSLDECNet.train_step, []

    def press(n, times=1):
        def train_step(self, *args, **kwargs):
            if len(done) + 1 == n:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
            result = step(self, *args, **kwargs)
            done.append(1)
            return result

        monkeypatch.setattr(SSLDECNet, "train_step", train_step)

    return press, done


def interrupted(estimator, X, y, n_iter):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    told = [warning for warning in caught if "Training was interrupted" in str(warning.message)]
    assert len(told) == 1
    assert f"interrupted after {n_iter} iterations, by Ctrl-C" in str(told[0].message)
    assert told[0].category is ConvergenceWarning
    assert told[0].filename == __file__
    assert estimator.termination_condition_ == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return estimator


def test_ctrl_c_ends_the_fit_behind_its_batch(ctrl_c):
    press, done = ctrl_c
    press(5 + 2 * 8 + 3)  # pre-training, two iterations, and three batches
    clf = interrupted(classifier(), *data(), n_iter=2)
    assert len(done) == 5 + 2 * 8 + 3
    assert [record["iteration"] for record in clf.history_] == [0, 1, 2]
    assert clf.n_iter_ == 2
    X, y = data()
    assert np.allclose(clf.predict_proba(X), clf.label_distributions_, atol=1e-6)
    assert clf.score(X, y) > 0.5
    assert np.array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))
    done.clear()
    press(0)
    assert clf.fit(X, y).termination_condition_ == "max_iter", "the next fit knows nothing of it"


def test_ctrl_c_in_pretraining(ctrl_c):
    press, done = ctrl_c
    press(2)
    clf = interrupted(classifier(), *data(), n_iter=0)
    assert len(done) == 2
    assert len(clf.history_) == 1
    assert np.array_equal(clf.supervised_transduction_, clf.classes_[clf.label_distributions_.argmax(1)])


def test_ctrl_c_while_all_samples_are_predicted(monkeypatch):
    forward = SSLDECNet.soft_assignment
    calls = []

    def soft_assignment(self, X, rows=None):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return forward(self, X, rows)

    monkeypatch.setattr(SSLDECNet, "soft_assignment", soft_assignment)
    interrupted(classifier(), *data(), n_iter=1)


def test_a_second_ctrl_c_ends_the_call(ctrl_c):
    press, _ = ctrl_c
    press(7, times=2)
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(*data())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_networks_that_have_not_begun_are_left_out(ctrl_c):
    press, done = ctrl_c
    X, y = data()
    press(0)
    classifier(n_estimators=4).fit(X, y)
    press(len(done) * 3 // 8)
    done.clear()
    clf = interrupted(classifier(n_estimators=4), X, y, n_iter=2)  # so far was the second; the first had all
    assert clf.n_iter_ == 6
    assert len(clf.nets_) == len(clf.cluster_centers_) == 2
    assert clf.predict_proba(X).shape == (80, 2)
    assert clf.transform(X).shape == (80, len(clf.get_feature_names_out()))


@pytest.mark.filterwarnings("ignore:No sample is predicted")
def test_a_committee_of_the_one_network_that_has_begun():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 7:
                raise KeyboardInterrupt

    X, y = data()
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        clf = classifier(n_estimators=3, callbacks=[Stop()]).fit(X, y)
    (member,) = clf.estimators_
    assert clf.cluster_centers_.shape == (1, 2, 2)
    assert member.cluster_centers_.shape == member.class_means_.shape == (2, 2)


def test_the_caller_s_own_handler_stays():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *args: pressed.append(1))

    class Press(Callback):
        def on_batch_end(self, net, **kwargs):
            if not pressed:
                os.kill(os.getpid(), signal.SIGINT)

    try:
        clf = classifier(callbacks=[Press()]).fit(*data())
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [1]
    assert clf.termination_condition_ == "max_iter"


def test_a_thread_fits_as_ever():
    fitted = []
    thread = threading.Thread(target=lambda: fitted.append(classifier().fit(*data())))
    thread.start()
    thread.join()
    assert fitted[0].termination_condition_ == "max_iter"


def test_a_callback_may_end_the_fit():
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 8:  # as skorch's EarlyStopping does
                raise KeyboardInterrupt

    clf = interrupted(classifier(callbacks=[Enough()], min_batches=1), *data(), n_iter=2)
    assert len(clf.nets_[0].history) == 8


def test_an_interrupted_segmenter_segments(ctrl_c):
    maps = np.zeros((3, 24, 24), dtype=int)
    maps[:, 6:18, 6:18] = 1
    images = maps + 0.2 * np.random.default_rng(0).standard_normal(maps.shape)
    settings = {"pretrain_epochs": 2, "max_iter": 3, "patches_per_epoch": 2, "min_batches": 1}
    settings["cycle__labeled_threshold"] = 0.0
    seg = SSLDECSegmenter(module__width=0.05, patch_size=24, device="cpu", random_state=0, **settings)
    ctrl_c[0](4)
    interrupted(seg, images, [maps[0], None, None], n_iter=1)
    assert seg.predict(images).shape == images.shape


def test_an_interrupted_fit_goes_on_from_its_checkpoint(ctrl_c, tmp_path):
    X, y = data()
    expected = classifier().fit(X, y)
    press, done = ctrl_c
    done.clear()
    press(5 + 2 * 8 + 3)
    clf = interrupted(classifier(checkpoint_dir=tmp_path), X, y, n_iter=2).fit(X, y)
    assert np.array_equal(clf.label_distributions_, expected.label_distributions_)
    assert clf.termination_condition_ == "max_iter"


class Explode:
    """Multiplies batches by infinity from the n-th on."""

    def __init__(self, n):
        self.n, self.done = n, 0

    def __call__(self, X):
        self.done += 1
        return X * torch.inf if self.done >= self.n else X


def test_divergence_leaves_the_iteration_before(tmp_path):
    X, y = data()
    same = {"lr": 1e-2, "checkpoint_dir": tmp_path}
    with pytest.warns(
        ConvergenceWarning, match=r"diverged after 2 iterations.*\(lr\).*StandardScaler"
    ) as caught:
        clf = classifier(augment=Explode(5 + 2 * 8 + 4), lr=1e-2).fit(X, y)
    assert caught[0].filename == __file__
    assert (clf.termination_condition_, clf.n_iter_) == ("diverged", 2)
    expected = classifier(max_iter=2, **same).fit(X, y)
    assert np.array_equal(clf.label_distributions_, expected.label_distributions_)
    assert np.array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_divergence_of_an_average_leaves_the_iteration_before():
    X, y = data()
    same = {"net__ema_decay": 0.9, "lr": 1e-2}
    with pytest.warns(ConvergenceWarning, match="diverged after 3 iterations"):
        clf = classifier(augment=Explode(5 + 3 * 8 + 8), **same).fit(X, y)
    expected = classifier(max_iter=3, **same).fit(X, y)
    assert np.array_equal(clf.label_distributions_, expected.label_distributions_)


class Poison(Callback):
    """Makes the weights NaN at the end of an epoch, as a last step that is too long."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            with torch.no_grad():
                for weight in (*net.module_.parameters(), *net.predicting().parameters()):
                    weight.fill_(torch.nan)


@pytest.mark.filterwarnings("ignore:No sample is predicted")
def test_weights_that_diverge_in_a_last_step_are_not_kept():
    images = np.random.default_rng(0).standard_normal((2, 16, 16))
    patches = {"patch_size": 8, "patches_per_epoch": 4, "module__width": 0.1}
    short = {"pretrain_epochs": 2, "max_iter": 2, "min_batches": 1, "cycle__max_labeled_epochs": 0}
    short |= {"random_state": 0, "device": "cpu"}
    rows = {"cycle__targets": "drawn", "module__hidden_units": (8,)}
    for kind, params, (X, y) in (
        (SSLDECClassifier, rows, data()),
        (SSLDECSegmenter, patches, (images, [(images[0] > 0).astype(int), None])),
    ):
        with pytest.warns(ConvergenceWarning, match="diverged after 1 iterations"):
            estimator = kind(**params, **short, tol=0.0, callbacks=[Poison(4)]).fit(X, y)
        assert all(weight.isfinite().all() for weight in estimator.nets_[0].module_.parameters())
        with pytest.raises(ValueError, match="predictions are not finite"):
            kind(**params, **short, callbacks=[Poison(2)]).fit(X, y)


def test_divergence_can_be_an_error_and_is_one_in_pretraining():
    clf = classifier(augment=Explode(5 + 8 + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="diverged after 1 iterations"):
            clf.fit(*data())
    with pytest.raises(ValueError, match="Training diverged: the loss became nan"):
        classifier(augment=Explode(2)).fit(*data())


def test_a_fit_that_went_on_from_a_checkpoint_may_diverge_too(tmp_path, ctrl_c):
    X, y = data()
    press, _ = ctrl_c
    press(5 + 2 * 8 + 3)
    clf = interrupted(classifier(checkpoint_dir=tmp_path, augment=Explode(10**9)), X, y, n_iter=2)
    press(0)
    clf.augment.done = 10**9 - 2  # the second batch of this call is the last
    with pytest.warns(ConvergenceWarning, match="diverged after 2 iterations"):
        clf.fit(X, y)
    assert clf.termination_condition_ == "diverged"
