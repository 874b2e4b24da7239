"""Digests of fits with fixed seeds, to compare before and after a change that should change no result.

    python tests/benchmarks/digests.py > before.txt     # on the old code
    python tests/benchmarks/digests.py | diff before.txt -   # on the new code

Digests depend on the machine and on the versions of its libraries, so none are committed.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits, make_blobs, make_moons
from skorch.callbacks import Callback

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter, baselines

SHORT = {"pretrain_epochs": 20, "max_iter": 4, "random_state": 0, "device": "cpu"}
SHORT_VOLUMES = {
    "module__width": 0.1,
    "pretrain_epochs": 2,
    "max_iter": 2,
    "patches_per_epoch": 8,
    "min_batches": 4,
    "patch_size": 24,
    "random_state": 0,
    "device": "cpu",
}


def digest(estimator, X) -> str:
    """Return a digest of the weights, what was predicted for the training samples, and for X."""
    sha = hashlib.sha256()
    for net in estimator.nets_:
        for name, tensor in sorted(net.module_.state_dict().items()):
            sha.update(name.encode() + tensor.contiguous().numpy().tobytes())
    outputs = [estimator.predict_proba(X), estimator.transduction_, estimator.supervised_transduction_]
    for output in outputs:
        for array in output if isinstance(output, list) else [output]:
            sha.update(np.ascontiguousarray(array).tobytes())
    for record in estimator.history_:
        kept = {name: value for name, value in record.items() if name != "seconds"}
        sha.update(repr(sorted(kept.items())).encode())
    return sha.hexdigest()[:16]


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Return blobs with 30 labels."""
    X, truth = make_blobs(300, centers=3, n_features=5, random_state=0)
    return X, np.where(np.arange(300) % 10 == 0, truth, -1)


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return digits with 60 labels."""
    data = load_digits()
    return data.images[:240], np.where(np.arange(240) % 4 == 0, data.target[:240], -1)


def volumes(n_dims: int) -> tuple[list, list]:
    """Return volumes with a box in each; the first is labeled, of the second one slice."""
    rng = np.random.default_rng(0)
    maps = [np.zeros((26 + 2 * i, 28, 30)[:n_dims], dtype=int) for i in range(4)]
    for labels in maps:
        labels[(slice(8, 18),) * n_dims] = 1
        labels[(slice(12, 16),) * n_dims] = 2
    X = [labels + 0.3 * rng.standard_normal(labels.shape) for labels in maps]
    scribbled = np.full(maps[1].shape, -1)
    scribbled[10] = maps[1][10]
    return X, [maps[0], scribbled, None, None]


class StoppedError(Exception):
    """Ends a fit in the middle."""


class Stopping(Callback):
    """Stops a fit in its 22nd epoch, while `armed`."""

    armed = True

    def on_epoch_end(self, net, **kwargs):
        if Stopping.armed and len(net.history) == 22:
            raise StoppedError


def resumed(make: Callable[[str], object], X, y) -> object:
    """Return an estimator whose fit was stopped in the middle and taken up again."""
    with tempfile.TemporaryDirectory() as folder:
        Stopping.armed = True
        with contextlib.suppress(StoppedError):
            make(folder).set_params(callbacks=[Stopping()]).fit(X, y)
            raise RuntimeError("The fit ended before it was stopped.")
        Stopping.armed = False
        return make(folder).set_params(callbacks=[Stopping()]).fit(X, y)


def cases() -> dict[str, tuple[object, object]]:
    """Return fitted estimators and what they predict, by name."""
    X, y = rows()
    pictures, of_pictures = images()
    made = {
        "rows": (SSLDECClassifier(**SHORT).fit(X, y), X),
        "moons by default": None,
        "rows, two networks, prior": (
            SSLDECClassifier(n_estimators=2, class_prior="labeled", balance=None, **SHORT).fit(X, y),
            X,
        ),
        "rows, averaged weights, Adam betas": (
            SSLDECClassifier(net__ema_decay=0.9, optimizer__betas=(0.8, 0.9), **SHORT).fit(X, y),
            X,
        ),
        "images": (SSLDECClassifier(**SHORT).fit(pictures, of_pictures), pictures),
    }
    moons, truth = make_moons(200, noise=0.1, random_state=0)
    of_moons = np.where(np.arange(200) % 20 == 0, truth, -1)
    made["moons by default"] = (SSLDECClassifier(random_state=0, device="cpu").fit(moons, of_moons), moons)
    for name in (
        "SupervisedClassifier",
        "PseudoLabelClassifier",
        "PiModelClassifier",
        "TemporalEnsemblingClassifier",
    ):
        kind = getattr(baselines, name)
        settings = dict(SHORT)
        if name == "SupervisedClassifier":
            del settings["max_iter"]
        made[name] = (kind(**settings).fit(X, y), X)
        made[f"{name}, images"] = (kind(**settings).fit(pictures, of_pictures), pictures)
    for n_dims in (2, 3):
        scans, maps = volumes(n_dims)
        made[f"volumes, {n_dims}-D"] = (SSLDECSegmenter(**SHORT_VOLUMES).fit(scans, maps), scans)
        made[f"PseudoLabelSegmenter, {n_dims}-D"] = (
            baselines.PseudoLabelSegmenter(**SHORT_VOLUMES).fit(scans, maps),
            scans,
        )
    scans, maps = volumes(2)
    ignored = [
        np.where(np.arange(scan.shape[1]) < 4, 9, -1) * np.ones_like(scan, dtype=int) for scan in scans
    ]
    ignored[0][:, 4:] = maps[0][:, 4:]
    made["volumes, ignored, views"] = (
        SSLDECSegmenter(ignore_label=9, cycle__target_views=1, **SHORT_VOLUMES).fit(scans, ignored),
        scans,
    )
    made["rows, resumed"] = (resumed(lambda f: SSLDECClassifier(checkpoint_dir=f, **SHORT), X, y), X)
    made["temporal ensembling, resumed"] = (
        resumed(lambda f: baselines.TemporalEnsemblingClassifier(checkpoint_dir=f, **SHORT), X, y),
        X,
    )
    return made


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name, (estimator, samples) in cases().items():
        print(f"{digest(estimator, samples)}  {name}")
