"""Whatever goes in: a fitted estimator with finite probabilities, or an error that names its cause.

A sample of the cases; `make fuzz` runs 10,000 (the environment variable SSLDEC_FUZZ says how many).
"""

import os
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter

SOUND_SHAPES = st.one_of(
    st.tuples(st.integers(2, 12), st.integers(1, 4)),
    st.tuples(st.integers(2, 6), st.integers(4, 6), st.integers(4, 6)),
    st.tuples(st.integers(2, 6), st.integers(1, 3), st.integers(4, 6), st.integers(4, 6)),
)
ODD_SHAPES = st.one_of(
    st.tuples(st.integers(0, 2), st.integers(0, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(0, 4)),
)
EXTREMES = [float(np.float32(value)) for value in (0.0, 1e20, -1e30, 1e-30, 3.4e38)]
SOUND_LABELS = st.sampled_from([[0, 1, -1], [0, 1, 2, -1], ["a", "b", -1], [0.0, 1.0, -1], [True, False, -1]])
ODD_LABELS = st.one_of(st.integers(-1, 3), st.sampled_from(["a", "b", -1]), st.booleans(), st.none())
PARAMETERS = {
    "alpha": st.sampled_from([1e-3, 1.0, 1e3]),
    "balance": st.sampled_from([None, 0.0, 1.0]),
    "class_prior": st.sampled_from(["labeled", [0.5, 0.5], [1e-9, 1.0]]),
    "batch_size": st.integers(2, 5),
    "net__ema_decay": st.sampled_from([0.0, 0.5]),
    "cycle__labeled_weight": st.sampled_from([0.0, 10.0]),
    "lr": st.sampled_from([1e-3, 1.0, (1.0, 1e-9)]),
    "pretrain_epochs": st.integers(0, 3),
    "pretrain_lr": st.sampled_from([1e-9, 10.0]),
    "tol": st.sampled_from([0.0, 1.0]),
    "cycle__n_iter_no_change": st.integers(1, 2),
    "labeled_threshold": st.sampled_from([0.0, 0.5]),
    "cycle__max_labeled_epochs": st.integers(0, 1),
    "augment": st.none(),
    "optimizer": st.sampled_from([torch.optim.SGD, torch.optim.AdamW]),
    "unlabeled_label": st.sampled_from([-1, -1, None, 0]),
    "n_estimators": st.integers(1, 2),
    "head__spread": st.sampled_from([None, 1e-3, 100.0]),
    "cycle__target_views": st.integers(0, 2),
    "net__precision": st.sampled_from(["float32", "bf16"]),
}
ODD_PARAMETERS = {
    "alpha": st.sampled_from([0.0, np.inf, "1"]),
    "class_prior": st.sampled_from([[1.0], [-1.0, 2.0], [np.nan, 1.0]]),
    "batch_size": st.sampled_from([1, 0, 2.5]),
    "lr": st.sampled_from([0.0, np.nan, (1.0,), 1e30]),
    "unlabeled_label": st.sampled_from(["a", 3, ""]),
    "input_shape": st.sampled_from([(2, 2), (1, 4, 4), (), (0,)]),
}


@st.composite
def cases(draw):
    """X, y and parameters: most sound, some with one odd part."""
    odd = draw(st.sampled_from(["nothing", "nothing", "shape", "values", "labels", "length", "parameters"]))
    shape = draw(ODD_SHAPES if odd == "shape" else SOUND_SHAPES)
    dtype = draw(st.sampled_from([np.float32, np.float64, np.uint8, np.int64]))
    elements = st.integers(0, 255)
    if dtype in (np.float32, np.float64):
        elements = st.floats(-3, 3, width=32)
        if odd == "values":
            elements = st.one_of(elements, st.sampled_from(EXTREMES), st.floats(width=32))
    X = draw(hnp.arrays(dtype, shape, elements=elements, fill=st.just(dtype(1))))
    n = shape[0] + draw(st.sampled_from([-1, 1])) * (odd == "length")
    if odd == "labels":
        y = draw(st.lists(ODD_LABELS, min_size=n, max_size=n))
    else:
        names = draw(SOUND_LABELS)
        y = draw(st.lists(st.sampled_from(names), min_size=max(n, 0), max_size=max(n, 0)))
        y[:2] = names[: len(y[:2])]
    parameters = draw(st.fixed_dictionaries({}, optional=PARAMETERS))
    if odd == "parameters":
        parameters |= draw(st.fixed_dictionaries({}, optional=ODD_PARAMETERS))
    return X, y, parameters


class TinyNet(nn.Sequential):
    """Sees three voxels a side, in two dimensions or three."""

    def __init__(self, input_shape, n_classes):
        conv = nn.Conv3d if len(input_shape) == 4 else nn.Conv2d
        super().__init__(conv(input_shape[0], n_classes, 3), nn.PReLU())


OF_BOTH = [
    "alpha", "head__spread", "class_prior", "net__ema_decay", "labeled_threshold", "cycle__labeled_weight",
    "lr", "cycle__max_labeled_epochs", "n_estimators", "optimizer", "net__precision", "pretrain_lr",
    "cycle__target_views",
]  # fmt: skip
VOXEL_PARAMETERS = {name: PARAMETERS[name] for name in OF_BOTH} | {
    "batch_size": st.integers(1, 3),
    "balance": st.sampled_from([0.0, 1.0]),
    "cycle__frequency": st.sampled_from(["soft", "hard"]),
    "ignore_label": st.sampled_from([None, 0, 5]),
    "patch_size": st.sampled_from([3, 4, 7]),
    "net__scaling": st.none(),
    "net__tile_size": st.integers(1, 4),
}
ODD_VOXEL_PARAMETERS = {
    "patch_size": st.sampled_from([1, 2, 0, (3,), (3, 3, 3), "a"]),
    "batch_size": st.sampled_from([0, 1.5]),
    "ignore_label": st.sampled_from([-1, 0.5]),
    "module": st.sampled_from([nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Identity()]),
}


@st.composite
def volume_cases(draw):
    """Volumes, label maps and parameters: most sound, some with one odd part."""
    odd = draw(st.sampled_from(["nothing", "nothing", "shape", "values", "labels", "length", "parameters"]))
    n_dims, n_channels = draw(st.integers(2, 3)), draw(st.integers(0, 2))
    X, y = [], []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 3) if odd == "shape" else st.integers(3, 6))
        shape = tuple(draw(st.integers(size, size + 2)) for _ in range(n_dims))
        elements = st.floats(-3, 3, width=32)
        if odd == "values":
            elements = st.one_of(elements, st.sampled_from(EXTREMES), st.floats(width=32))
        channels = (n_channels,) * (n_channels > 0)
        X.append(draw(hnp.arrays(np.float32, channels + shape, elements=elements, fill=st.just(1.0))))
        labels = st.integers(-3, 3) if odd == "labels" else st.sampled_from([-1, -1, 0, 1, 2])
        dtype = draw(st.sampled_from([np.int64, np.float64])) if odd == "labels" else np.int64
        if odd == "shape" and draw(st.booleans()):
            shape = shape[1:]
        maps = hnp.arrays(dtype, shape, elements=labels, fill=st.just(dtype(0)))
        y.append(draw(st.one_of(maps, st.none())))
    if odd not in ("labels", "shape"):
        first = X[0].shape[-n_dims:]
        y[0] = np.resize(draw(st.sampled_from([[0, 1], [0, 1, 2, -1], [2, 1, -1]])), first)
    if odd == "length":
        y = y[1:]
    parameters = draw(st.fixed_dictionaries({}, optional=VOXEL_PARAMETERS))
    if odd == "parameters":
        parameters |= draw(st.fixed_dictionaries({}, optional=ODD_VOXEL_PARAMETERS))
    return X, y, parameters


many_cases = settings(
    max_examples=int(os.environ.get("SSLDEC_FUZZ", "80")), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip


def fits(estimator, X, y):
    """Fit, or find an error that is one of ours."""
    try:
        estimator.fit(X, y)
    except (ValueError, TypeError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert Path(torch.__file__).parent not in raised_in.parents, "torch's error, not one of ours"
        event("refused")
        return False
    event("fitted")
    return True


@many_cases
@given(cases())
def test_every_outcome_is_a_fit_or_an_explained_error(case):
    X, y, parameters = case
    clf = SSLDECClassifier(
        **{"device": "cpu", "random_state": 0, "max_iter": 2, "pretrain_epochs": 2,
           "cycle__max_labeled_epochs": 2, "min_batches": 1, **parameters}
    )  # fmt: skip
    if X.ndim == 2:
        clf.set_params(module__hidden_units=(4,))
    elif X.ndim > 2:
        clf.set_params(module__width=0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not fits(clf, X, y):
            return
        probabilities = clf.predict_proba(X)
    assert probabilities.shape == (len(X), len(clf.classes_))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-4)
    assert len(clf.transduction_) == len(X)


@many_cases
@given(volume_cases())
def test_every_outcome_for_volumes_is_a_fit_or_an_explained_error(case):
    X, y, parameters = case
    seg = SSLDECSegmenter(
        **{"device": "cpu", "random_state": 0, "max_iter": 2, "pretrain_epochs": 1, "patches_per_epoch": 3,
           "min_batches": 1, "patch_size": 5, "module": TinyNet, **parameters}
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not fits(seg, X, y):
            return
        probabilities, maps = seg.predict_proba(X), seg.predict(X)
    for volume, of_volume, labels, transduced in zip(X, probabilities, maps, seg.transduction_, strict=True):
        assert of_volume.shape == (len(seg.classes_), *volume.shape[-seg.n_dims_ :])
        assert np.isfinite(of_volume).all()
        np.testing.assert_allclose(of_volume.sum(0), 1, rtol=1e-4)
        assert labels.shape == transduced.shape == of_volume.shape[1:]
