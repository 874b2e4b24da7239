"""A fit that is killed, at whatever point, and started again ends as if nothing had happened."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import version

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec._files import container
from sklearn_ssldec._training import checkpoint
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.augment import Compose, GaussianNoise, WeakStrong
from sklearn_ssldec.baselines import TemporalEnsemblingClassifier
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec.persistence import load, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # fits of a moment
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of the process"),
]


def moons_fit():
    X = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    y = np.where(np.arange(60) < 8, X[:, 0] > 0, -1)
    settings = {"pretrain_epochs": 4, "max_iter": 5, "cycle__max_labeled_epochs": 3, "batch_size": 16}
    return {"module__hidden_units": (8, 8), **settings}, X, y


def digits_fit():
    X, truth = load_digits(return_X_y=True)
    settings = {"pretrain_epochs": 2, "max_iter": 2, "cycle__max_labeled_epochs": 1, "min_batches": 2}
    network = {"input_shape": (8, 8), "module__width": 0.1, "cycle__target_views": 1}
    return {**network, **settings}, X[:96], mask_labels(truth[:96], 3, random_state=0)


def discs_fit():
    maps = np.zeros((3, 26, 24), dtype=int)
    maps[:, 8:17, 6:15] = 1
    images = maps + 0.3 * np.random.default_rng(0).standard_normal(maps.shape)
    settings = {"pretrain_epochs": 2, "max_iter": 2, "patches_per_epoch": 4, "min_batches": 2}
    settings |= {"cycle__target_views": 1, "cycle__targets": "all"}
    return {"module__width": 0.05, "patch_size": 24, **settings}, images, [maps[0], None, None]


def scribbles_fit():
    settings, images, (labels, *_) = discs_fit()
    del settings["cycle__target_views"]
    marks = np.full(labels.shape, -1)
    marks[12, 8:13], marks[3:5] = 1, 0
    return {**settings, "cycle__targets": "drawn", "max_iter": 3}, images, [marks, marks, None]


FITS = {
    "rows": (SSLDECClassifier, moons_fit),
    "images": (SSLDECClassifier, digits_fit),
    "targets that remember": (TemporalEnsemblingClassifier, moons_fit),
    "volumes": (SSLDECSegmenter, discs_fit),
    "completed scribbles": (SSLDECSegmenter, scribbles_fit),
}
# Parameters that this baseline does not have.
UNUSED = {"cycle__max_labeled_epochs"}


def make(name, **kwargs):
    """Return an unfitted estimator, and X and y for it."""
    kind, data = FITS[name]
    parameters, X, y = data()
    if kind is TemporalEnsemblingClassifier:
        parameters = {key: value for key, value in parameters.items() if key not in UNUSED}
    return kind(device="cpu", **{"random_state": 0, **parameters, **kwargs}), X, y


def fit_in_a_fork(estimator, X, y, prepare):
    """Fit in a process of its own, to which `prepare` does something first; return its exit code."""

    def work():
        prepare()
        estimator.fit(X, y)
        os._exit(0)  # none of pytest's clean-up

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def die_at_batch(n):
    """Kill this process at its n-th batch."""
    step, done = SSLDECNet.train_step, []

    def train_step(self, *args, **kwargs):
        done.append(1)
        if len(done) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args, **kwargs)

    SSLDECNet.train_step = train_step


def die_while_writing(n, before):
    """Kill this process at its n-th checkpoint, before or after the file takes its name."""
    replace, done = os.replace, []

    def dying_replace(source, target):
        done.append(1)
        if len(done) < n:
            return replace(source, target)
        if before:  # half a file is on the disk
            with open(source, "r+b") as file:
                file.truncate(os.path.getsize(source) // 2)
        else:
            replace(source, target)
        os.kill(os.getpid(), signal.SIGKILL)

    container.os.replace = dying_replace


def assert_same(one, other):
    for a, b in zip(one.nets_, other.nets_, strict=True):
        for (name, tensor), (_, expected) in zip(
            a.module_.state_dict().items(), b.module_.state_dict().items(), strict=True
        ):
            assert torch.equal(tensor, expected), name
    for name in ("transduction_", "supervised_transduction_", "label_distributions_"):
        if hasattr(one, name):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.n_iter_, one.termination_condition_) == (other.n_iter_, other.termination_condition_)
    records = [[{**record, "seconds": 0} for record in estimator.history_] for estimator in (one, other)]
    assert str(records[0]) == str(records[1])  # as strings: NaN is not NaN
    assert len(one.nets_[0].history) == len(other.nets_[0].history)


@pytest.fixture(scope="module", params=FITS)
def uninterrupted(request):
    estimator, X, y = make(request.param)
    return request.param, estimator.fit(X, y)


def test_killed_again_and_again(uninterrupted, tmp_path):
    name, expected = uninterrupted
    kills = 0
    while True:
        estimator, X, y = make(name, checkpoint_dir=tmp_path / "fit")
        # The steps grow, until one is enough to reach the next checkpoint.
        code = fit_in_a_fork(estimator, X, y, lambda: die_at_batch(kills + 1))  # noqa: B023
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills > 3
    assert_same(estimator.fit(X, y), expected)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_killed_while_a_checkpoint_is_written(n, before, tmp_path):
    expected, X, y = make("rows")
    expected.fit(X, y)
    estimator, X, y = make("rows", checkpoint_dir=tmp_path)
    code = fit_in_a_fork(estimator, X, y, lambda: die_while_writing(n, before))
    assert code == -signal.SIGKILL
    assert_same(estimator.fit(X, y), expected)


def test_a_finished_fit_is_not_trained_again(tmp_path, monkeypatch):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path, teachers=None)
    first = estimator.fit(X, y).transduction_
    monkeypatch.setattr(SSLDECNet, "train_step", lambda *args, **kwargs: pytest.fail("trained"))
    assert np.array_equal(estimator.fit(X, y).transduction_, first)
    assert estimator.n_iter_ == 5


def test_an_ensemble_goes_on_with_the_network_that_was_at_work(tmp_path):
    expected, X, y = make("rows", n_estimators=3)
    expected.fit(X, y)
    estimator, X, y = make("rows", n_estimators=3, checkpoint_dir=tmp_path)
    batches_of_one = sum(r["labeled_epochs"] for r in expected.history_ if r["estimator"] == 0)
    fit_in_a_fork(estimator, X, y, lambda: die_at_batch(batches_of_one + 60))
    assert (tmp_path / "network_0.safetensors").exists()
    assert not (tmp_path / "network_2.safetensors").exists()
    assert_same(estimator.fit(X, y), expected)


def test_without_a_seed_the_first_one_is_kept(tmp_path):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path, random_state=None)
    fit_in_a_fork(estimator, X, y, lambda: die_at_batch(30))
    (seed,) = json.loads((tmp_path / "fit.json").read_text())["seeds"]
    first = estimator.fit(X, y)
    again, X, y = make("rows", checkpoint_dir=tmp_path, random_state=None)
    assert_same(again.fit(X, y), first)
    assert json.loads((tmp_path / "fit.json").read_text())["seeds"] == [seed]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_iter": 6}, r"called with max_iter=5, and now with max_iter=6\."),
        ({"random_state": 1}, "random_state=0, and now with random_state=1"),
        ({"augment": GaussianNoise(0.1)}, r"augment='auto', and now with augment=GaussianNoise\(0.1"),
        ({"module__hidden_units": (8,)}, r"module__hidden_units=\(8, 8\), and now with .*=\(8,\)"),
        ({"module": torch.nn.Linear(2, 3), "module__hidden_units": None}, "module='auto', and now with"),
    ],
)
def test_checkpoints_of_other_parameters_are_refused(change, message, tmp_path):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path)
    estimator.fit(X, y)
    if "module" in change:
        del estimator._kwargs["module__hidden_units"]
        change = {"module": change["module"]}
    with pytest.raises(ValueError, match=message) as caught:
        estimator.set_params(**change).fit(X, y)
    assert str(tmp_path) in str(caught.value)
    assert "Give each fit a folder of its own" in str(caught.value)


class OtherNames:
    """One that keeps its parameter under another name."""

    def __init__(self, scale):
        self.size = scale
        self.calls_ = 0

    def __call__(self, batch):
        self.calls_ += 1
        return batch + self.size


class Noise:
    """An augmentation without a repr of its own."""

    def __init__(self, scale, sizes=()):
        self.scale, self.sizes = scale, sizes
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return batch + self.scale * torch.randn_like(batch)

    def noisy(self, batch):
        return self(batch)


def noise_of(scale, wrap=lambda call: call):
    return wrap(lambda batch: batch + scale * torch.randn_like(batch))


def noise(batch, scale=0.1, *, final=1.0):
    return batch + final * scale * torch.randn_like(batch)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (Noise(0.1), Noise(0.1), Noise(0.2)),
        (Noise(0.1, [Noise(1)]), Noise(0.1, [Noise(1)]), Noise(0.1, [Noise(2)])),
        (Noise(0.1, np.arange(3)), Noise(0.1, np.arange(3)), Noise(0.1, np.arange(3) + 1)),
        (Noise(0.1, torch.ones(2000)), Noise(0.1, torch.ones(2000)), Noise(0.1, torch.arange(2000) % 999)),
        (OtherNames(0.1), OtherNames(0.1), OtherNames(0.2)),
        (Noise(0.1).noisy, Noise(0.1).noisy, Noise(0.2).noisy),
        (noise_of(0.1), noise_of(0.1), noise_of(0.2)),
        (lambda batch: batch + 0.1, lambda batch: batch + 0.1, lambda batch: batch + 0.2),
        (partial(noise, scale=0.1), partial(noise, scale=0.1), partial(noise, final=0.1)),
        (Compose(Noise(0.1)), Compose(Noise(0.1)), Compose(Noise(0.2))),
        (WeakStrong(noise, Noise(0.1)), WeakStrong(noise, Noise(0.1)), WeakStrong(noise, Noise(0.2))),
    ],
)
def test_augmentations_without_a_repr_are_told_apart(one, same, other, tmp_path):
    estimator, X, y = make("rows", augment=one, max_iter=1, checkpoint_dir=tmp_path)
    estimator.fit(X, y)
    estimator.fit(X, y)  # its use does not change it
    estimator.set_params(augment=same).fit(X, y)
    with pytest.raises(ValueError, match=r"another fit: it was called with augment="):
        estimator.set_params(augment=other).fit(X, y)


def test_a_description_is_the_same_in_another_process():
    script = (
        "import torch\nfrom sklearn_ssldec._training.description import describe\n"
        "print(describe(lambda x: x if str(x) in {'a', 'b', 'c', 'd'} else torch.rand(1)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(texts) == 1


def test_what_callbacks_hold_may_change(tmp_path):
    class Limit(Callback):
        def __init__(self, seconds):
            self.seconds = seconds

    estimator, X, y = make("rows", callbacks=[Limit(1)], checkpoint_dir=tmp_path)
    first = estimator.fit(X, y).transduction_
    assert np.array_equal(estimator.set_params(callbacks=[Limit(2)]).fit(X, y).transduction_, first)


def test_a_parameter_that_was_not_set_is_told_so(tmp_path):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path)
    estimator.fit(X, y)
    with pytest.raises(ValueError, match="called without net__ema_decay, and now with net__ema_decay="):
        estimator.set_params(net__ema_decay=0.9).fit(X, y)


def test_checkpoints_of_other_data_or_versions_are_refused(tmp_path, monkeypatch):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path)
    estimator.fit(X, y)
    other_X, other_y = X.copy(), y.copy()
    other_X[-1, 1] += 1e-6
    other_y[10] = 1
    for data, name in (((other_X, y), "X"), ((X, other_y), "y")):
        with pytest.raises(ValueError, match=f"another fit: its {name} was another one"):
            estimator.fit(*data)
    monkeypatch.setattr(checkpoint, "version", lambda name: "0.0" if name == "torch" else version(name))
    with pytest.raises(ValueError, match=r"the version of torch was .*, and now is 0.0\."):
        estimator.fit(X, y)
    estimator.set_params(verbose=0, n_jobs=1)
    monkeypatch.undo()
    estimator.fit(X, y)  # these do not matter
    save(estimator, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").checkpoint_dir == str(tmp_path)


def test_generators_in_another_state_are_refused(tmp_path):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path, random_state=np.random.RandomState(0))
    estimator.fit(X, y)
    with pytest.raises(ValueError, match="random_state was in another state"):
        estimator.fit(X, y)


def test_damage_is_told(tmp_path):
    estimator, X, y = make("rows", checkpoint_dir=tmp_path)
    estimator.fit(X, y)
    file = tmp_path / "network_0.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"network_0.safetensors cannot be used: it is damaged.*delete"):
        estimator.fit(X, y)
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(ValueError, match=r"fit.json is damaged"):
        estimator.fit(X, y)


def test_a_full_disk_ends_no_fit(tmp_path, monkeypatch):
    expected, X, y = make("rows", teachers=None)
    expected.fit(X, y)
    estimator, X, y = make("rows", checkpoint_dir=tmp_path, teachers=None)

    def write(data, path):
        if str(path).endswith("safetensors"):
            raise OSError(28, "No space left on device")
        container.write(data, path)

    monkeypatch.setattr(checkpoint, "write", write)
    with pytest.warns(UserWarning, match="No checkpoint could be written.*No space left") as caught:
        estimator.fit(X, y)
    assert sum("No checkpoint" in str(warning.message) for warning in caught) == 1
    assert_same(estimator, expected)
