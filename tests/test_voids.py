"""Label maps in which a few pixels were left open, and masks as image files hold them."""

import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._samples.components import single_component_classes
from sklearn_ssldec._samples.drawn_patches import DrawnPatches, LabeledVolumes
from sklearn_ssldec._samples.reduction import labeled_parts, labels_kept
from sklearn_ssldec._samples.scribbles import are_scribbles
from sklearn_ssldec._samples.volumes import encode_label_maps
from sklearn_ssldec._samples.voxels import Volumes

SHORTEST = {
    "module__width": 0.1,
    "pretrain_epochs": 1,
    "max_iter": 0,
    "patches_per_epoch": 4,
    "cycle__transduction": False,
    "device": "cpu",
    "random_state": 0,
}


def outlined(n=3, size=400, seed=0):
    """Return images with a bright disc, their label maps, and these with a void contour around the disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:size, :size]
    images, maps, open_maps = [], [], []
    for _ in range(n):
        row, column = rng.uniform(0.4 * size, 0.6 * size, 2)
        distance = np.hypot(rows - row, columns - column)
        maps.append((distance < 0.2 * size).astype(int))
        open_maps.append(np.where(np.abs(distance - 0.2 * size) < 2, -1, maps[-1]))
        images.append(maps[-1] + 0.1 * rng.standard_normal(maps[-1].shape))
    return images, maps, open_maps


def plan_for(images, maps):
    seg = SSLDECSegmenter(device="cpu")
    plans = []

    def stop(*args, **kwargs):
        plans.append(seg.plan_)
        raise KeyboardInterrupt

    seg._fit_networks = stop  # where training would begin
    with pytest.raises(KeyboardInterrupt):
        seg.fit(images, maps)
    return plans[0]


def test_a_void_contour_changes_nothing_in_the_plan():
    images, maps, open_maps = outlined()
    whole = plan_for(images, [*maps[:2], None])
    assert (whole["reduction"], whole["scribbles"]) == ((2, 2), False)
    assert plan_for(images, [*open_maps[:2], None]) == whole
    half = [np.where(np.arange(400) < 200, labels, -1) for labels in maps]
    assert plan_for(images, [*half[:2], None])["reduction"] == (1, 1)


def test_a_void_contour_makes_no_scribbles():
    _, _, open_maps = outlined(size=60)
    assert all((labels == code).any() for labels in open_maps for code in (-1, 0, 1))
    assert not are_scribbles(open_maps, [None] * 3, 2)
    assert single_component_classes(open_maps * 4, [None] * 12, 2) == (1,)


def test_void_pixels_are_filled_before_it_is_told_what_labels_outlast():
    _, maps, open_maps = outlined(1)
    ((found, axes),) = labeled_parts(open_maps[0], None)
    assert axes == (0, 1)
    assert set(np.unique(found)) == {0, 1}
    assert np.mean(found != maps[0]) < 0.01
    assert labels_kept([(found, axes)], (4, 4), 2) > 0.95
    ignored = np.zeros(maps[0].shape, dtype=bool)
    ignored[:50] = True
    ((found, _),) = labeled_parts(np.where(ignored, -1, open_maps[0]), ignored)
    assert (found[:50] == -1).all()  # what is ignored stays so
    assert (found[50:] >= 0).all()
    volume = np.full((9, 400, 400), -1)
    volume[4] = open_maps[0]
    ((found, axes),) = labeled_parts(volume, None)
    assert axes == (1, 2)
    assert (found >= 0).all()


def patches_of(maps):
    volumes = Volumes([torch.zeros(1, 60, 60)] * len(maps))
    source = LabeledVolumes(volumes, maps, [None] * len(maps))
    drawn = DrawnPatches(
        source, 2, n_batches=1, n_unlabeled=1, n_labeled=40, size=(12, 12), outer_size=(12, 12), balance=0.0,
        generator=torch.Generator().manual_seed(0), device=torch.device("cpu"),
    )  # fmt: skip
    return source, drawn


def test_patches_of_maps_with_voids_are_drawn_anywhere_and_tell_shares():
    _, maps, open_maps = outlined(2, size=60)
    source, drawn = patches_of([open_maps[0], None])
    targets = drawn.draw()[1]
    assert targets.is_whole[1:].all()
    shares = targets.p[1:].mean((0, 2, 3))
    assert shares[1] / shares.sum() == pytest.approx(
        maps[0].mean(), abs=0.06
    )  # a third if they were balanced
    assert source.unlabeled == [1]  # void pixels are nothing to be found, as long as there are others
    assert patches_of(open_maps)[0].unlabeled == [0, 1]


def jpeg(mask, rng):
    """Return a mask with the ringing of JPEG at its borders."""
    near = ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)
    return np.clip(255 * mask + near * rng.integers(-12, 13, mask.shape), 0, 255)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a fit of a moment
def test_voids_that_a_lower_resolution_closes():
    """Thin contours leave no block of pixels without a label, and no other image is unlabeled."""
    images, maps, _ = outlined(n=2, size=32)
    for labels in maps:
        labels[5, ::2] = -1
    params = {**SHORTEST, "max_iter": 1, "min_batches": 1, "patch_size": 8, "net__reduction": 2}
    seg = SSLDECSegmenter(**params).fit(images, maps)
    assert seg.n_iter_ == 1
    assert np.isfinite(seg.history_[1]["loss"])


def test_masks_stored_as_jpeg_are_refused():
    _, maps, _ = outlined(1, size=60)
    given = jpeg(maps[0], np.random.default_rng(0))
    assert len(np.unique(given)) > 10
    with pytest.raises(ValueError, match=r"labels, and nearly all voxels .* stored as JPEG.* Pass y > 127"):
        encode_label_maps([given], [given.shape])
    assert encode_label_maps([given > 127], [given.shape]).classes.tolist() == [False, True]
    many = np.arange(3600).reshape(60, 60) % 256
    assert len(encode_label_maps([many], [many.shape]).classes) == 256
    void = np.where(maps[0] == 1, np.arange(60) % 5, 255)
    assert encode_label_maps([void], [void.shape]).classes.tolist() == [0, 1, 2, 3, 4, 255]


def test_masks_in_colours_get_a_hint():
    _, (labels,), _ = outlined(1, size=60)
    image, mask = np.zeros((3, 60, 60)), np.stack([labels] * 3, axis=-1)
    with pytest.raises(ValueError, match=r"image in colours.* Pass y\[0\]\[\.\.\., 0\]"):
        SSLDECSegmenter(**SHORTEST).fit([image, image], [mask, None])
    rng = np.random.default_rng(0)
    volumes = [mask + rng.standard_normal(mask.shape) for _ in range(2)]
    with pytest.warns(UserWarning, match=r"taken for volumes .*60 x 60 x 3.* pictures and masks in colours"):
        plan_for(volumes, [mask, None])


def test_masks_that_number_objects_get_a_hint():
    rng = np.random.default_rng(0)
    cells = [np.kron(np.arange(n).reshape(-1, 5), np.ones((4, 4), int)) for n in (25, 40)]
    images = [np.minimum(mask, 1) + rng.standard_normal(mask.shape) for mask in cells]
    with pytest.warns(UserWarning, match=r"y has 40 classes, .* up to different .* pass y > 0 instead"):
        plan_for(images, cells)
    organs = [cells[1], np.where(cells[1] == 7, 8, cells[1])]  # one is missing
    for maps in (organs, [cells[1], None]):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*number objects")
            plan_for([images[1], images[1]], maps)
