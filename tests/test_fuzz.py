"""Whatever goes in: a fitted estimator with finite probabilities, or an error that names its cause.

A sample of the cases; `make fuzz` runs 10,000 (the environment variable SSLDEC_FUZZ says how many).
"""

import os
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.scans import load_decathlon, save_nifti

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
    "alpha", "head__spread", "class_prior", "net__ema_decay", "cycle__labeled_weight", "lr", "n_estimators",
    "cycle__max_labeled_epochs", "optimizer", "net__precision", "pretrain_lr", "cycle__target_views",
]  # fmt: skip
VOXEL_PARAMETERS = {name: PARAMETERS[name] for name in OF_BOTH} | {
    "batch_size": st.integers(1, 3),
    "balance": st.sampled_from([0.0, 1.0]),
    "cycle__labeled_threshold": PARAMETERS["labeled_threshold"],
    "cycle__frequency": st.sampled_from(["soft", "hard", "bounded"]),
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


# Volumes as they come from files and from other tools; none of these changes a value of small integers.
FORMS = {
    "as it is": lambda volume: volume,
    "flipped": lambda volume: np.flip(np.flip(volume).copy()),
    "flipped, big-endian": lambda volume: np.flip(np.flip(volume, -1).astype(">f4"), -1),
    "Fortran order": np.asfortranarray,
    "every second voxel": lambda volume: np.repeat(volume, 2, axis=-1)[..., ::2],
    "big-endian doubles": lambda volume: volume.astype(">f8"),
    "half precision": lambda volume: np.clip(volume, -6e4, 6e4).astype(np.float16),
    "long double": lambda volume: volume.astype(np.longdouble),
    "integers": lambda volume: np.nan_to_num(np.clip(volume, -100, 100)).astype(">i2"),
    "unsigned": lambda volume: np.nan_to_num(np.clip(volume, 0, 100)).astype(np.uint16),
    "read-only": lambda volume: np.frombuffer(volume.tobytes(), volume.dtype).reshape(volume.shape),
    "masked": lambda volume: np.ma.masked_less(volume, -2),
    "NaN outside": lambda volume: np.where(volume < -2, np.nan, volume),
    "list": lambda volume: volume.tolist(),
}
LABEL_FORMS = {
    "as it is": lambda labels: labels,
    "flipped": lambda labels: np.flip(np.flip(labels).copy()),
    "big-endian": lambda labels: labels.astype(">i2"),
    "unsigned": lambda labels: labels.astype(np.uint8),  # which makes 255 of -1
    "masked": lambda labels: np.ma.masked_equal(labels, 2),
}


@st.composite
def volumes_from_files(draw):
    """Cases of `volume_cases`, in forms of all kinds, as a list or as an array of objects."""
    X, y, parameters = draw(volume_cases())
    X = [FORMS[draw(st.sampled_from(sorted(FORMS)))](volume) for volume in X]
    y = [
        labels if labels is None else LABEL_FORMS[draw(st.sampled_from(sorted(LABEL_FORMS)))](labels)
        for labels in y
    ]
    if draw(st.booleans()):
        objects = np.empty(len(X), dtype=object)
        for i, volume in enumerate(X):
            objects[i] = volume
        X = objects
    return X, y, parameters


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
    max_examples=int(os.environ.get("SSLDEC_FUZZ", "50")), deadline=None, derandomize=True,
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
@given(volumes_from_files())
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
    for one, of_volume, labels, transduced in zip(X, probabilities, maps, seg.transduction_, strict=True):
        volume = np.ma.filled(np.ma.asarray(one, dtype=float), np.nan)
        assert of_volume.shape == (len(seg.classes_), *volume.shape[-seg.n_dims_ :])
        assert np.isfinite(of_volume).all()
        missing = np.isnan(volume)
        outside = missing.any(axis=0) if volume.ndim > seg.n_dims_ else missing
        np.testing.assert_allclose(of_volume.sum(0), ~outside, rtol=1e-4)
        assert (labels[outside] == (seg.ignore_label or 0)).all()
        assert labels.shape == transduced.shape == of_volume.shape[1:]


@st.composite
def scan_files(draw):
    """A scan, an affine of any orientation, labels, and how both are stored."""
    shape = draw(st.tuples(*[st.integers(2, 4)] * 3))
    axes, signs = draw(st.permutations(range(3))), draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = np.diag(draw(st.tuples(*[st.sampled_from([0.5, 1.0, 6.0])] * 3)))[:, axes] * signs
    affine[:3, :3] += draw(st.sampled_from([0.0, 0.01]))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100, width=16)] * 3))
    dtype = draw(st.sampled_from(["u1", "i2", ">i2", "f4", ">f4", "f8"]))
    scan = draw(hnp.arrays(dtype, shape, elements=st.integers(0, 200).map(float)))
    labels = draw(hnp.arrays(np.int64, shape, elements=st.sampled_from([0, 1, 2, draw(st.integers(3, 40))])))
    stored_as = draw(
        st.sampled_from(["u1", "i2", ">i4", "f4", "f8", "scaled to 8 bits", "scaled to 16 bits"])
    )
    suffix = draw(st.sampled_from([".nii", ".nii.gz"]))
    return scan, labels, affine, stored_as, draw(st.permutations(range(3))), draw(st.booleans()), suffix


@many_cases
@given(scan_files())
def test_every_outcome_of_files_is_the_volume_that_was_stored(case):
    """A scan and its labels, each stored in an orientation of its own, agree once they are loaded."""
    nibabel = pytest.importorskip("nibabel")
    scan, labels, affine, stored_as, axes, flips, suffix = case
    image = nibabel.Nifti1Image(scan, affine)
    turn = np.column_stack([axes, [-1 if flips else 1, 1, -1]]).astype(float)
    turned = nibabel.orientations.apply_orientation(labels, turn)
    of_labels = affine @ nibabel.orientations.inv_ornt_aff(turn, labels.shape)
    if stored_as.startswith("scaled"):
        header = nibabel.Nifti1Image(np.zeros(turned.shape, "u1" if "8" in stored_as else "i2"), None).header
        label_image = nibabel.Nifti1Image(turned.astype(float), of_labels, header)
    else:
        label_image = nibabel.Nifti1Image(turned.astype(stored_as), of_labels)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, each in (("imagesTr", image), ("labelsTr", label_image)):
            (root / name).mkdir()
            nibabel.save(each, root / name / f"case{suffix}")
        data = load_decathlon(root)
        expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(scan.astype(float), affine))
        np.testing.assert_array_equal(data.images[0], np.asarray(expected.dataobj))
        np.testing.assert_array_equal(
            data.labels[0],
            np.asarray(
                nibabel.as_closest_canonical(nibabel.Nifti1Image(labels.astype(np.int32), affine)).dataobj
            ),
        )
        save_nifti(data.labels[0], root / "saved.nii", like=data.paths[0])
        saved = nibabel.load(root / "saved.nii")
        np.testing.assert_array_equal(np.asarray(saved.dataobj), labels)
        np.testing.assert_allclose(saved.affine, image.affine, rtol=1e-6)
