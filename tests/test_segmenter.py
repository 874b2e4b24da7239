"""SSLDECSegmenter on small images and volumes."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from torch import nn

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.model_selection import SemiSupervisedSplitter

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class SmallNet(nn.Module):
    """Sees 5 pixels of each axis for one."""

    def __init__(self, input_shape, n_classes, width=8):
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if len(input_shape) == 3 else (nn.Conv3d, nn.BatchNorm3d)
        self.layers = nn.Sequential(
            conv(input_shape[0], width, 3), norm(width), nn.PReLU(),
            conv(width, width, 3), norm(width), nn.PReLU(),
            conv(width, n_classes, 1), norm(n_classes), nn.PReLU(),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def discs(n=6, noise=0.6, seed=0, size=24):
    """Images with a bright disc (label 1) that has a darker middle (label 5), on background."""
    rng = np.random.default_rng(seed)
    images, maps = [], []
    for _ in range(n):
        shape = (size + rng.integers(0, 5), size)
        center = np.array(shape) / 2 + rng.uniform(-3, 3, 2)
        distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - center, axis=-1)
        labels = np.where(distance < 3, 5, np.where(distance < 8, 1, 0))
        image = np.choose(np.searchsorted([0, 1, 5], labels), [0.0, 2.0, -2.0])
        images.append(100 * (image + noise * rng.standard_normal(shape)) + 500)
        maps.append(labels)
    return images, maps


def segmenter(**kwargs):
    settings = {
        "module": SmallNet,
        "cycle__targets": "all",
        "pretrain_epochs": 6,
        "max_iter": 2,
        "patches_per_epoch": 32,
        "min_batches": 8,
        "patch_size": 16,
        "device": "cpu",  # where fits are the same bit by bit; test_gpu.py is about GPUs
        "random_state": 0,
    }
    return SSLDECSegmenter(**{**settings, **kwargs})


@pytest.fixture(scope="module")
def fitted():
    images, maps = discs()
    return segmenter().fit(images, [maps[0], *[None] * 5]), images, maps


# Enough to compare fits with each other.
SHORT = {"pretrain_epochs": 1, "max_iter": 1, "patches_per_epoch": 16, "min_batches": 2}


@pytest.fixture(scope="module")
def short():
    images, maps = discs()
    return segmenter(**SHORT).fit(images, [maps[0], *[None] * 5]), images, maps


def test_segments_volumes_of_different_shapes(fitted):
    seg = fitted[0]
    new_images, new_maps = discs(4, seed=1)
    predicted = seg.predict(new_images)
    assert [p.shape for p in predicted] == [image.shape for image in new_images]
    assert set(np.unique(predicted[0])) <= {0, 1, 5}
    assert seg.score(new_images, new_maps) > 0.75
    assert seg.score(new_images, new_maps) == dice_score(new_maps, predicted)
    for probabilities, image in zip(seg.predict_proba(new_images), new_images, strict=True):
        assert probabilities.shape == (3, *image.shape)
        assert probabilities.dtype == np.float32
        assert_allclose(probabilities.sum(0), 1, rtol=1e-5)


def test_attributes(fitted):
    seg, images, maps = fitted
    assert_array_equal(seg.classes_, [0, 1, 5])
    assert_array_equal(seg.transduction_[0], maps[0])
    assert [t.shape for t in seg.transduction_] == [image.shape for image in images]
    # Q of the training volumes is kept in float16, which has ties
    assert (seg.transduction_[1] == seg.predict(images[1:2])[0]).mean() > 0.99
    assert seg.cluster_centers_.shape == (3, 3)
    assert (seg.n_dims_, seg.n_channels_) == (2, 1)
    assert [record["iteration"] for record in seg.history_] == [0, 1, 2]
    assert seg.termination_condition_ == "max_iter"
    lower_bound = segmenter(max_iter=0).fit(images, [maps[0], *[None] * 5])
    for before, supervised in zip(
        seg.supervised_transduction_[1:], lower_bound.transduction_[1:], strict=True
    ):
        assert_array_equal(before, supervised)


def test_same_seed_same_result_and_the_input_stays(short):
    seg, images, maps = short
    copies = [image.copy() for image in images]
    again = clone(seg).fit(images, [maps[0], *[None] * 5])
    for a, b in zip(seg.predict_proba(images), again.predict_proba(images), strict=True):
        assert_array_equal(a, b)
    for image, copy in zip(images, copies, strict=True):
        assert_array_equal(image, copy)
    other = clone(seg).set_params(random_state=1).fit(images, [maps[0], *[None] * 5])
    assert (other.predict_proba(images[:1])[0] != seg.predict_proba(images[:1])[0]).any()


def test_targets_come_from_views_of_the_volumes(fitted):
    seg, images, maps = fitted
    labels = [maps[0], *[None] * 5]
    viewed = clone(seg).set_params(cycle__target_views=2).fit(images, labels)
    assert (viewed.predict_proba(images[:1])[0] != seg.predict_proba(images[:1])[0]).any()
    assert viewed.score(images[1:], maps[1:]) > 0.75
    # without augmentation all views would be the same, and none is made
    one, other = (
        segmenter(**SHORT, cycle__target_views=n, augment=None)
        .fit(images, labels)
        .predict_proba(images[:1])[0]
        for n in (0, 3)
    )
    assert_array_equal(one, other)


def test_pickle(fitted):
    seg, images, _ = fitted
    assert_array_equal(pickle.loads(pickle.dumps(seg)).predict(images)[0], seg.predict(images)[0])


def test_scale_of_intensities_does_not_matter(fitted):
    seg, images, _ = fitted
    for a, b in zip(seg.predict_proba(images), seg.predict_proba([i * 1e4 - 7 for i in images]), strict=True):
        assert_allclose(a, b, atol=1e-3)


def test_tile_size_does_not_change_the_prediction(fitted):
    seg, images, _ = fitted
    whole = seg.predict_proba(images[:1])[0]
    seg = pickle.loads(pickle.dumps(seg))
    seg.nets_[0].tile_size = 7
    assert_allclose(seg.predict_proba(images[:1])[0], whole, atol=1e-5)


def test_arrays_give_arrays():
    images, maps = discs(4)
    X, y = np.stack([i[:24] for i in images]), np.stack([m[:24] for m in maps])
    y[1:] = -1
    seg = segmenter(**SHORT).fit(X, y)
    assert seg.predict(X).shape == X.shape
    assert seg.predict_proba(X).shape == (4, 3, 24, 24)
    with_channels = segmenter(**SHORT).fit(X[:, None], y)
    assert_array_equal(with_channels.predict(X[:, None]), seg.predict(X))


def test_slices_of_a_volume_with_two_channels_and_ignored_voxels():
    rng = np.random.default_rng(0)
    truth = np.zeros((12, 16, 16), dtype=int)
    truth[3:9, 4:12, 4:12] = 2
    volumes, labels = [], []
    for _ in range(3):
        noise = rng.standard_normal((2, *truth.shape))
        volume = np.stack([truth, -truth]) + 0.7 * noise
        volume[:, :, :, 0] = 0  # air
        volumes.append(volume)
        given = np.full(truth.shape, -1)
        given[::5] = truth[::5]
        given[:, :, 0] = 9
        labels.append(given)
    seg = segmenter(patch_size=9, ignore_label=9, batch_size=8).fit(volumes, labels)
    assert_array_equal(seg.classes_, [0, 2])
    assert (seg.transduction_[0][:, :, 0] == 9).all()
    assert not (seg.transduction_[0][:, :, 1:] == 9).any()
    test_map = truth.copy()
    test_map[:, :, 0] = 9
    assert seg.score(volumes, [test_map] * 3) > 0.75


def test_memory_maps_are_read_where_they_are(tmp_path, short):
    seg, images, maps = short
    paths = []
    for i, image in enumerate(images):
        np.save(tmp_path / f"{i}.npy", image)
        paths.append(tmp_path / f"{i}.npy")
    mapped = [np.load(path, mmap_mode="r") for path in paths]
    again = clone(seg).fit(mapped, [maps[0], *[None] * 5])
    assert_array_equal(again.predict_proba(mapped)[0], seg.predict_proba(images)[0])


def test_ensemble_averages_and_does_not_depend_on_n_jobs():
    images, maps = discs(3)
    y = [maps[0], None, None]
    two = segmenter(**SHORT, n_estimators=2, n_jobs=2).fit(images, y)
    alone = segmenter(**SHORT, n_estimators=2).fit(images, y)
    assert_array_equal(two.predict_proba(images)[0], alone.predict_proba(images)[0])
    assert two.cluster_centers_.shape == (2, 3, 3)
    members = [one.predict_proba(images[:1])[0] for one in two.estimators_]
    assert_allclose(two.predict_proba(images[:1])[0], np.mean(members, axis=0), rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_probabilities_are_finite_far_from_the_data(precision):
    """A value at which the network's numbers overflow spoils neither its own voxels nor others."""
    images, maps = discs(3)
    seg = segmenter(**SHORT, net__scaling=None, net__precision=precision)
    seg.fit(images, [maps[0], maps[1], None])
    far = images[2].copy()
    far[3, 3] = 3.4e38
    clean, (spoiled,) = seg.predict_proba(images[2:])[0], seg.predict_proba([far])
    assert np.isfinite(spoiled).all()
    assert_allclose(spoiled.sum(axis=0), 1, rtol=1e-5)
    assert_allclose(spoiled[:, 12:, 12:], clean[:, 12:, 12:], atol=1e-6)


def test_model_selection_over_lists_of_volumes():
    images, maps = discs(4)
    seg = segmenter(pretrain_epochs=2, max_iter=0)
    scores = cross_validate(seg, images, maps, cv=KFold(2), error_score="raise")["test_score"]
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(seg, {"module__width": [2, 8]}, cv=KFold(2), error_score="raise").fit(images, maps)
    assert search.best_params_["module__width"] in (2, 8)
    assert len(search.predict(images)) == 4


def test_splitter_tests_on_labeled_volumes_only():
    images, maps = discs(5)
    y = [maps[0], None, maps[2], np.full(maps[3].shape, -1), maps[4]]
    folds = list(SemiSupervisedSplitter(3).split(images, y))
    assert [test.tolist() for _, test in folds] == [[0], [2], [4]]
    assert all({1, 3} <= set(train) and not set(train) & set(test) for train, test in folds)
    seg = segmenter(**SHORT)
    scores = cross_val_score(seg, images, y, cv=SemiSupervisedSplitter(3), error_score="raise")
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_pseudo_labeling_is_the_same_loop_with_a_softmax():
    images, maps = discs()
    parameters = segmenter().get_params()
    del parameters["alpha"], parameters["class_prior"], parameters["warm_start"]
    seg = PseudoLabelSegmenter(**parameters).fit(images, [maps[0], *[None] * 5])
    assert seg.score(images, maps) > 0.6
    assert not hasattr(seg, "cluster_centers_")
    untrained = PseudoLabelSegmenter(**{**parameters, "pretrain_epochs": 0, "max_iter": 0})
    weight = untrained.fit(images, [maps[0], *[None] * 5]).nets_[0].module_.head.dense.weight
    assert weight.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "the classes start as far apart as SSLDEC's"
    with pytest.raises(TypeError, match=r"PseudoLabelSegmenter\(\) got an unexpected.*'cycle__frequency'"):
        PseudoLabelSegmenter(cycle__frequency="soft")


def test_warnings():
    images, maps = discs(2)
    with pytest.warns(UserWarning, match="y has no unlabeled voxel"):
        seg = segmenter(pretrain_epochs=1).fit(images, maps)
    assert seg.termination_condition_ == "supervised"
    with pytest.warns(ConvergenceWarning, match="accuracy of"):
        segmenter(pretrain_epochs=1, max_iter=1, cycle__labeled_threshold=1.0).fit(images, [maps[0], None])


def test_unfitted():
    with pytest.raises(NotFittedError):
        SSLDECSegmenter().predict([np.zeros((30, 30))])


def broken(**changes):
    images, maps = discs(2)
    case = {"X": images, "y": [maps[0], None]}
    case.update(changes)
    return case["X"], case["y"]


IMAGES, MAPS = discs(2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"X": []}, ValueError, "X holds no volume"),
        ({"X": None}, TypeError, "X must be an array or a list of volumes, got NoneType"),
        ({"y": None}, ValueError, "requires y to be passed"),
        ({"y": [MAPS[0]]}, ValueError, "X has 2 volumes and y 1 label maps"),
        ({"y": [None, None]}, ValueError, "y has no label map: all are None"),
        (
            {"y": [MAPS[0].astype(float), None]},
            TypeError,
            r"y\[0\] is an array of float64; labels must be int",
        ),
        ({"y": [MAPS[0][:-1], None]}, ValueError, r"X\[0\] has spatial shape .* but y\[0\] has shape"),
        ({"y": [np.full(MAPS[0].shape, -1), None]}, ValueError, "y has no labeled voxel"),
        (
            {"y": [np.where(MAPS[0] == 1, 1, -1), None]},
            ValueError,
            "at least 2 classes, got one class only: 1",
        ),
        ({"y": [np.where(MAPS[0] == 5, -3, MAPS[0]), None]}, ValueError, r"y holds the labels \[-3\]"),
        ({"y": [MAPS[0], MAPS[1][None]]}, ValueError, "must all have two axes, or all three"),
        (
            {"X": [IMAGES[0], IMAGES[1][:4]]},
            ValueError,
            r"X\[1\] has spatial shape \(4, 24\), smaller than the",
        ),
        ({"X": [IMAGES[0], np.full((24, 24), np.nan)]}, ValueError, r"X\[1\] has no voxel inside"),
        ({"X": [IMAGES[0], np.full((24, 24), np.inf)]}, ValueError, r"X\[1\] contains infinity"),
        ({"y": [np.where(MAPS[0] == 5, -1, 1).astype(np.uint8), None]}, ValueError, "the mark -1 becomes"),
        (
            {"X": [i[None] for i in IMAGES], "y": [MAPS[0][None], None]},
            ValueError,
            "single slices with three",
        ),
        ({"X": [IMAGES[0], IMAGES[1].astype(str)]}, TypeError, r"X\[1\] is an array of <U"),
        (
            {"X": [IMAGES[0], np.stack([IMAGES[1]] * 2)]},
            ValueError,
            r"X\[1\] has 2 channels, the others have 1",
        ),
        ({"X": IMAGES[0]}, ValueError, "label maps"),
    ],
)
def test_bad_input(changes, error, message):
    X, y = broken(**changes)
    with pytest.raises(error, match=message):
        segmenter().fit(X, y)


def test_class_of_a_single_voxel():
    y = [MAPS[0].copy(), None]
    y[0][0, 0] = 7
    with pytest.raises(ValueError, match="Class 7 labels a single voxel in all of y"):
        segmenter().fit(IMAGES, y)


def test_channels_last_get_a_hint():
    images = [np.stack([image] * 2, axis=-1) for image in IMAGES]
    with pytest.raises(ValueError, match=r"channels last.* np.moveaxis\(volume, -1, 0\)"):
        segmenter().fit(images, [MAPS[0], None])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([np.zeros((2, 24, 24))], r"X\[0\] has 2 channels, the others have 1"),
        ([np.zeros((24, 4))], r"smaller than the \(5, 5\) voxels"),
        ([np.full((24, 24), np.inf)], r"X\[0\] contains infinity"),
        (np.zeros((24, 24)), r"X\[0\] has shape \(24,\)"),
        ([], "X holds no volume"),
    ],
)
def test_bad_input_to_predict(fitted, X, message):
    with pytest.raises(ValueError, match=message):
        fitted[0].predict(X)


def test_score_needs_labels(fitted):
    seg, images, maps = fitted
    with pytest.raises(ValueError, match="at least one volume with labeled voxels"):
        seg.score(images, [np.full(m.shape, -1) for m in maps])
    half = maps[0].copy()
    half[: len(half) // 2] = -1
    assert seg.score(images, [half, *[None] * 5]) == dice_score(half, seg.predict(images)[0])


def test_volumes_as_they_come_from_files(short):
    """Flipped, of another byte order, in a ragged array of objects: the same numbers."""
    seg, images, maps = short
    forms = [
        np.flip(np.flip(images[0]).copy()),
        images[1].astype(">f8"),
        np.asfortranarray(images[2]),
        images[3].astype(np.longdouble),
        np.ma.array(images[4]),
        np.repeat(images[5], 2, axis=1)[:, ::2],
    ]
    ragged = np.empty(len(forms), dtype=object)
    ragged[:] = forms
    labels = np.empty(len(forms), dtype=object)
    labels[0] = np.flip(np.flip(maps[0]).astype(">i4").copy())
    again = clone(seg).fit(ragged, labels)
    for a, b in zip(again.predict_proba(ragged), seg.predict_proba(images), strict=True):
        assert_array_equal(a, b)
    assert [labels.shape for labels in again.predict(ragged)] == [image.shape for image in images]
    assert again.score(ragged, maps) == seg.score(images, maps)


def test_nan_and_masked_voxels_lie_outside_the_image(fitted):
    """What is there makes no difference, in `fit`, predictions and scores; 0 where 500 is does not either."""
    _, images, maps = fitted
    masks = [np.zeros(image.shape, dtype=bool) for image in images]
    for mask in masks:
        mask[:, -3:] = True
    with_nan = [np.where(mask, np.nan, image) for image, mask in zip(images, masks, strict=True)]
    masked = [
        np.ma.array(np.where(mask, 0, image), mask=mask) for image, mask in zip(images, masks, strict=True)
    ]
    labels = [maps[0], *[None] * 5]
    seg = segmenter().fit(with_nan, labels)
    one = segmenter(**SHORT).fit(with_nan, labels)
    again = segmenter(**SHORT).fit(masked, labels)
    marked = segmenter(**SHORT, ignore_label=9).fit(with_nan, labels)
    for a, b, c, mask in zip(*[each.predict(masked) for each in (one, again, marked)], masks, strict=True):
        assert_array_equal(a, b)
        assert (a[mask] == 0).all()
        assert (c[mask] == 9).all()
        assert_array_equal(a[~mask], c[~mask])
    for probabilities, mask in zip(seg.predict_proba(with_nan), masks, strict=True):
        assert (probabilities[:, mask] == 0).all()
        assert_allclose(probabilities[:, ~mask].sum(0), 1, rtol=1e-5)
    assert (seg.transduction_[1][masks[1]] == 0).all()
    assert (marked.transduction_[1][masks[1]] == 9).all()
    wrong_outside = [np.where(mask, 1, labels) for mask, labels in zip(masks, maps, strict=True)]
    assert seg.score(with_nan, maps) == seg.score(with_nan, wrong_outside) > 0.7
    with pytest.raises(ValueError, match="at least one volume with labeled voxels"):
        seg.score(with_nan[:1], [np.where(masks[0], maps[0], -1)])


@pytest.mark.parametrize("scaling", ["volume", None])
def test_what_lies_in_a_hole_does_not_matter(fitted, scaling):
    _, images, maps = fitted
    images = [image / 500 - 1 for image in images]
    given, other = [], []
    for image in images:
        given.append(image.copy())
        given[-1][:4, :4] = np.nan
        other.append(np.ma.array(image, mask=np.isnan(given[-1])))
        other[-1].data[:4, :4] = 1e6
    seg = segmenter(**SHORT, net__scaling=scaling).fit(given, [maps[0], *[None] * 5])
    for a, b in zip(seg.predict_proba(given), seg.predict_proba(other), strict=True):
        assert_array_equal(a, b)


def test_predictions_keep_the_scaling_of_the_fit(short):
    """A parameter that is set afterwards is for the next fit."""
    seg, images, maps = short
    other = pickle.loads(pickle.dumps(seg)).set_params(net__scaling=None)
    for a, b in zip(seg.predict_proba(images), other.predict_proba(images), strict=True):
        assert_array_equal(a, b)
    assert segmenter(**SHORT, net__scaling=None).fit(images, [maps[0], *[None] * 5]).plan_["scaling"] is None


def test_ignored_voxels_do_not_change_the_scale():
    """A hole filled with 0 in images around 500 is neither in mean and deviation nor far out of range."""
    images, maps = discs()
    hole = np.zeros((32, 24), dtype=bool)
    hole[:, -5:] = True
    holed, labels = [], []
    for i, (image, label_map) in enumerate(zip(images, maps, strict=True)):
        here = hole[: len(image)]
        holed.append(np.where(here, 0, image + 5000))
        labels.append(np.where(here, 9, label_map if i == 0 else -1))
    seg = segmenter(ignore_label=9).fit(holed, labels)
    truth = [np.where(hole[: len(m)], 9, m) for m in maps]
    assert dice_score(truth[1:], seg.transduction_[1:], labels=[1, 5], ignore_label=9) > 0.75
    assert seg.score([np.where(hole[: len(i)], np.nan, i) for i in images], maps) > 0.75


def test_thin_volumes():
    truth = np.zeros((2, 24, 24), dtype=int)
    truth[:, 6:18, 8:20] = 1
    volume = truth + 0.3 * np.random.default_rng(0).standard_normal(truth.shape)
    seg = SSLDECSegmenter(
        module__width=0.1, pretrain_epochs=12, max_iter=0, patches_per_epoch=16, patch_size=12, random_state=0
    ).fit([volume, volume], [truth, None])
    assert seg.n_dims_ == 3
    assert seg.predict([volume, volume[:1]])[1].shape == (1, 24, 24)
    assert seg.score([volume], [truth]) > 0.7


def test_healthy_volumes_in_the_score(fitted):
    """A structure that is not there counts 0 if it is predicted, and not at all if it is not."""
    seg, images, maps = fitted
    healthy = np.zeros_like(maps[0])
    assert seg.score(images[:1], [healthy]) == 0
    noise = [np.zeros((24, 24))]  # in which nothing is found
    assert set(np.unique(seg.predict(noise))) == {0}
    assert seg.score(noise, [healthy[:24]]) == 1
    assert seg.score([*images[:1], *noise], [maps[0], healthy[:24]]) == seg.score(images[:1], maps[:1])
    unseen = np.where(maps[0] == 5, 7, maps[0])
    assert seg.score(images[:1], [unseen]) == dice_score(unseen, seg.predict(images[:1])[0], labels=[1, 5, 7])


def test_a_healthy_fold_in_a_grid_search():
    images, maps = discs(4)
    y = [maps[0], np.zeros_like(maps[1]), maps[2], None]
    search = GridSearchCV(
        segmenter(max_iter=0), {"pretrain_epochs": [1, 6]}, cv=SemiSupervisedSplitter(3), error_score="raise"
    ).fit(images, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    for fold in range(3):
        assert (
            (search.cv_results_[f"split{fold}_test_score"] >= 0)
            & (search.cv_results_[f"split{fold}_test_score"] <= 1)
        ).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"patch_size": (9, 9, 9)}, "patch_size must be a positive integer or one for each of the 2 axes"),
        ({"patch_size": 3}, "module failed on two samples"),
        ({"module": nn.Conv2d(1, 3, 2)}, "same number of voxels on both sides"),
        ({"module": nn.Sequential(nn.Flatten(), nn.LazyLinear(3))}, "n_features, \\*spatial"),
        ({"class_prior": [0.5, 0.5]}, "class_prior must hold a positive share for each of the 3 classes"),
        ({"ignore_label": -1}, "ignore_label and unlabeled_label are both -1"),
        ({"cycle__frequency": "none"}, "The 'cycle__frequency' parameter of SSLDECSegmenter"),
        ({"net__tile_size": 0}, "The 'net__tile_size' parameter of SSLDECSegmenter"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        segmenter(**parameters).fit(IMAGES, [MAPS[0], None])


def test_a_module_without_kernels():
    images = [np.float32([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])]
    seg = SSLDECSegmenter(torch.nn.Identity(), pretrain_epochs=1, max_iter=0, patch_size=3, net__scaling=None)
    seg.fit(images, [images[0].astype(int)])
    assert seg.predict(images)[0].shape == (3, 3)
