"""skorch's callbacks: they work, or are refused by name with the reason."""

import threading

import numpy as np
import pytest
from skorch import callbacks as of_skorch

from sklearn_ssldec import SSLDECClassifier

QUICK = {"device": "cpu", "random_state": 0, "max_iter": 2, "pretrain_epochs": 20}


@pytest.mark.parametrize(
    ("callback", "reason"),
    [
        (of_skorch.EarlyStopping(monitor="train_loss"), "EarlyStopping.*pre-training.*tol"),
        (of_skorch.EpochScoring("accuracy", on_train=True), "EpochScoring.*SemiSupervisedSplitter"),
        (of_skorch.BatchScoring("accuracy"), "BatchScoring.*history_"),
        (("rate", of_skorch.LRScheduler("StepLR", step_size=10)), "LRScheduler.*pretrain_lr and lr"),
        (of_skorch.ProgressBar, "ProgressBar.*verbose=1"),
    ],
)
def test_callbacks_without_a_meaning_are_refused_before_training(callback, reason, blobs):
    X, y, _ = blobs
    with pytest.raises(ValueError, match=f"callbacks holds {reason}"):
        SSLDECClassifier(callbacks=[callback]).fit(X, y)


@pytest.mark.parametrize("other", ["EpochTimer", print, ("timer",), ("timer", 1), dict])
def test_what_is_no_callback_is_refused(other, blobs):
    X, y, _ = blobs
    with pytest.raises(TypeError, match=r"callbacks must hold skorch's callbacks, .*; got "):
        SSLDECClassifier(callbacks=[other]).fit(X, y)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: of_skorch.TrainEndCheckpoint(dirname=folder),
        lambda folder: of_skorch.Checkpoint(dirname=folder, monitor=None),
        lambda folder: of_skorch.GradientNormClipping(1.0),
        lambda folder: of_skorch.EpochTimer(),
        lambda folder: of_skorch.PrintLog(sink=lambda text: None),
        lambda folder: of_skorch.PassthroughScoring("train_loss"),
        lambda folder: of_skorch.Freezer("embedding.*0*"),
    ],
)
def test_callbacks_that_work(make, blobs, tmp_path):
    X, y, truth = blobs
    clf = SSLDECClassifier(**QUICK, callbacks=[make(str(tmp_path))]).fit(X, y)
    assert clf.termination_condition_ == "max_iter"
    assert clf.score(X, truth) > 0.9


def test_what_a_checkpoint_of_skorch_holds_are_the_weights_at_the_end(blobs, tmp_path):
    X, y, _ = blobs
    callback = of_skorch.TrainEndCheckpoint(dirname=str(tmp_path))
    clf = SSLDECClassifier(**QUICK, callbacks=[callback], net__ema_decay=0.9).fit(X, y)
    before = clf.predict_proba(X)
    for weight in clf.nets_[0].module_.parameters():
        weight.data.zero_()
    clf.nets_[0].load_params(f_params=tmp_path / "train_end_params.pt")
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_a_callback_that_cannot_be_copied_is_named(blobs):
    class Locked(of_skorch.Callback):
        def __init__(self):
            self.lock = threading.Lock()

    X, y, _ = blobs
    with pytest.raises(ValueError, match=r"callbacks holds .*Locked.*cannot be copied.*on_train_begin"):
        SSLDECClassifier(**QUICK, callbacks=[Locked()]).fit(X, y)


@pytest.mark.parametrize("name", ["callbacks__clipping__gradient_clip_value", "callbacks__clipping"])
def test_a_parameter_of_no_callback_is_refused(name, blobs):
    """skorch ignores it, and the user would believe that it was set."""
    X, y, _ = blobs
    clf = SSLDECClassifier(**QUICK, callbacks=[("clip", of_skorch.GradientNormClipping(1.0))], **{name: None})
    with pytest.raises(ValueError, match=rf"{name} belongs to no callback: .* are \['clip'\]"):
        clf.fit(X, y)


def test_parameters_of_callbacks_reach_them_by_name(blobs):
    X, y, _ = blobs
    callbacks = [of_skorch.EpochTimer(), ("clip", of_skorch.GradientNormClipping(1.0))]
    settings = {"callbacks__clip__gradient_clip_value": 2.0, "callbacks__EpochTimer": None}
    clf = SSLDECClassifier(**QUICK, callbacks=callbacks, **settings).fit(X, y)
    (name, callback), *others = clf.nets_[0].callbacks_
    assert (name, callback.gradient_clip_value, others) == ("clip", 2.0, [])
