"""Voxel sizes: resampling to one and back, and what is planned from it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ssldec import SSLDECSegmenter
from sklearn_ssldec._estimators.planning import (
    choose_reduction,
    draws_targets,
    name_network,
    plan,
    reduced_spacing,
)
from sklearn_ssldec._samples.reduction import reduced_shape
from sklearn_ssldec.augment import RandomAffine
from sklearn_ssldec.baselines import PseudoLabelSegmenter
from sklearn_ssldec.metrics import dice_score
from sklearn_ssldec.networks import DenseNet3D, LightUNet3D, UNet3D
from sklearn_ssldec.scans import (
    load_spacing,
    median_spacing,
    resample_label_map,
    resample_volume,
    resampled_shape,
    save_nifti,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHORT = {
    "pretrain_epochs": 1,
    "max_iter": 1,
    "min_batches": 1,
    "patches_per_epoch": 2,
    "cycle__max_labeled_epochs": 0,
    "random_state": 0,
}


def ellipsoids(shape, spacing, n=3, radius=0.3, seed=0):
    """Volumes with a bright ball of the same size in millimeters along all axes, and its label maps."""
    rng = np.random.default_rng(seed)
    sides = np.array(shape) * spacing
    images, maps = [], []
    for _ in range(n):
        center = sides / 2 + rng.uniform(-0.05, 0.05, 3) * sides
        places = (np.moveaxis(np.indices(shape), 0, -1) + 0.5) * spacing
        labels = (np.linalg.norm(places - center, axis=-1) < radius * sides.min()).astype(int)
        images.append((2 * labels + 0.5 * rng.standard_normal(shape)).astype(np.float32))
        maps.append(labels)
    return images, maps


# --- resampling


def test_the_new_shape_covers_the_same_field_of_view():
    assert resampled_shape((64, 64, 10), (1, 1, 6), (1, 1, 6)) == (64, 64, 10)
    assert resampled_shape((64, 60, 10), (1, 1, 6), (2, 0.5, 3)) == (32, 120, 20)
    assert resampled_shape((3, 3), (1, 1), (100, 1)) == (1, 3)
    with pytest.raises(
        ValueError, match=r"new_spacing must hold a positive number for each of the 2 .* \(1, 0\)"
    ):
        resampled_shape((3, 3), (1, 1), (1, 0))
    with pytest.raises(ValueError, match="spacing must hold a positive number for each of the 3"):
        resampled_shape((3, 3, 3), (1, 1), (1, 1, 1))


def test_the_median_spacing_is_that_of_each_axis():
    assert median_spacing([(1, 1, 6), (1, 2, 5), (0.5, 0.5, 5.5)]) == (1, 1, 5.5)
    for wrong in ([], [(1, 1), (1, 1, 1)], [(1, 1, -1)]):
        with pytest.raises(ValueError, match="spacing"):
            median_spacing(wrong)


@pytest.mark.parametrize("shape", [(7, 9), (20, 5, 8)])
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.7, 3])
def test_resampling_keeps_places_and_returns_to_the_shape(shape, factor):
    """A ramp, in units of the whole side, is the same ramp on any grid."""

    def ramps(shape):
        return np.stack([(np.indices(shape)[axis] + 0.5) / n for axis, n in enumerate(shape)])

    new = resampled_shape(shape, (1.0,) * len(shape), (1 / factor,) * len(shape))
    resampled = resample_volume(ramps(shape), new)
    assert resampled.shape == (len(shape), *new)
    assert resampled.dtype == np.float32
    assert resample_volume(resampled, shape).shape == (len(shape), *shape)
    # Beyond the centers of the outermost voxels there is nothing to interpolate between.
    for axis, n in enumerate(shape):
        half = 0.5 / n
        assert_allclose(resampled[axis], np.clip(ramps(new)[axis], half, 1 - half), atol=1e-6)


def test_label_maps_there_and_back():
    (labels,) = ellipsoids((40, 40, 12), (1, 1, 3.0), n=1)[1]
    labels = np.where(np.indices(labels.shape)[0] < 20, 5 * labels, 7 * labels).astype(np.int16)
    labels[:2] = -1
    new = resampled_shape(labels.shape, (1, 1, 3), (1.3, 1.3, 1.3))
    there = resample_label_map(labels, new)
    assert there.shape == new
    assert there.dtype == np.int16
    assert set(np.unique(there)) == {-1, 0, 5, 7}
    back = resample_label_map(there, labels.shape)
    assert back.shape == labels.shape
    assert dice_score([labels], [back], labels=[5, 7]) > 0.9
    # volumes are kept too: that of the ball, by counting
    assert (there == 5).mean() == pytest.approx((labels == 5).mean(), rel=0.1)
    same = resample_label_map(labels, labels.shape)
    assert_array_equal(same, labels)
    assert not np.shares_memory(same, labels)


def test_a_label_wins_by_its_share_and_not_by_being_nearest():
    for turns in range(4):  # a quarter is 3, wherever it lies
        labels = np.rot90([[3, 4], [4, 4]], turns)
        assert_array_equal(resample_label_map(labels, (1, 1)), [[4]])
    assert_array_equal(
        resample_label_map(np.array([[9, 2]]), (1, 3)), [[9, 2, 2]]
    )  # equal shares: the smaller


def test_voxels_outside_stay_outside():
    volume = np.ones((6, 6))
    volume[:, 3:] = np.nan
    masked = np.ma.masked_invalid(volume)
    for given in (volume, masked):
        resampled = resample_volume(given, (12, 12))
        assert np.isnan(resampled[:, 7:]).all()
        assert (resampled[:, :4] == 1).all()


def test_what_cannot_be_resampled_is_refused():
    for shape in ((3,), (3, 0), (2, 3, 3, 3)):
        with pytest.raises(
            ValueError, match="shape must hold a positive number for each spatial axis of volume"
        ):
            resample_volume(np.zeros((4, 4, 4)), shape)
    with pytest.raises(ValueError, match="label_map, which has 3 axes"):
        resample_label_map(np.zeros((4, 4, 4), int), (3, 3))
    with pytest.raises(ValueError, match="masked voxels"):
        resample_label_map(np.ma.masked_equal([[0, 1]], 1), (1, 1))
    with pytest.raises(TypeError, match="it must hold integers"):
        resample_label_map(np.zeros((4, 4)), (3, 3))
    with pytest.raises(TypeError, match="it must hold real numbers"):
        resample_volume(np.array([["a"]]), (3, 3))


def test_spacing_is_read_along_the_axes_of_the_loaded_scan(tmp_path):
    nibabel = pytest.importorskip("nibabel", reason="nibabel reads the scans")
    # The file's first axis points down in steps of 6, its second forward by 1.5, its third to the right by 2.
    affine = np.array([[0, 0, 2.0, 5], [0, 1.5, 0, -7], [-6.0, 0, 0, 3], [0, 0, 0, 1]])
    scan = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.float32), affine)
    nibabel.save(scan, tmp_path / "scan.nii")
    assert load_spacing(tmp_path / "scan.nii") == (2, 1.5, 6)
    assert load_spacing(tmp_path / "scan.nii", orientation="file") == (6, 1.5, 2)
    scan.header.set_xyzt_units("micron")
    nibabel.save(scan, tmp_path / "micron.nii")
    assert load_spacing(tmp_path / "micron.nii") == pytest.approx((0.002, 0.0015, 0.006))
    # a map that is saved in its space has its unit too
    save_nifti(np.zeros((5, 4, 3)), tmp_path / "map.nii", like=tmp_path / "micron.nii")
    assert load_spacing(tmp_path / "map.nii") == load_spacing(tmp_path / "micron.nii")
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((3, 4), np.float32), np.diag([0.5, 2, 1, 1])), tmp_path / "2d.nii"
    )
    assert load_spacing(tmp_path / "2d.nii") == (0.5, 2)


# --- the plan


def test_long_voxels_are_pooled_last():
    """nnU-Net's rule: no pooling along an axis while its voxels are at least twice as long as the finest."""
    chosen = plan([(64, 64, 10)], spacing=(1, 1, 6))
    assert chosen["strides"] == ((2, 2, 1), (2, 2, 1), (2, 2, 2))
    assert chosen["kernels"] == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3))
    assert chosen["patch_size"] == (56, 56, 10)
    # the unit does not matter, only how long voxels are
    assert plan([(64, 64, 10)], spacing=(0.001, 0.001, 0.006)) == chosen
    # a patch is as large in millimeters along all axes, as far as the median shape allows
    assert plan([(200, 200, 200)], spacing=(1, 1, 2))["patch_size"] == (40, 40, 20)


def test_kernels_without_long_voxels():
    """An axis that waits because it is short does not narrow the kernels along the others."""
    flat = plan([(64, 64, 8)], spacing=(1, 1, 1))
    assert (2, 2, 1) in flat["strides"]
    for chosen in (flat, plan([(64, 64, 8)]), plan([(3, 3)])):
        assert set(sum(chosen["kernels"], ())) == {3}
        assert len(chosen["kernels"]) == chosen["n_levels"]


def test_kernels_follow_strides_that_are_set():
    images, maps = ellipsoids((16, 16, 8), (1, 1, 4), n=2)
    strides = ((2, 2, 1), (2, 2, 1))
    settings = {**SHORT, "max_iter": 0, "module__width": 0.1}
    seg = SSLDECSegmenter(net__spacing=(1, 1, 4), module__n_levels=3, module__strides=strides, **settings)
    seg.fit(images, [maps[0], None])
    assert seg.nets_[0].module_.embedding.kernels == seg.plan_["kernels"] == ((3, 3, 1), (3, 3, 1), (3, 3, 3))


def test_the_documented_plans_are_those_that_are_made():
    page = Path(__file__).parents[1] / "docs" / "how_to" / "segmentation.md"
    if not page.exists():
        pytest.skip("needs the documentation")
    rows = re.findall(r"^\| (.*) \|$", page.read_text().split("on a GPU: network")[1], re.M)[:6]
    assert len(rows) == 6
    for row in rows:
        name, *cells = row.split(" | ")
        shape, spacing = (
            [float(n) for n in cell.split(" x ")] if "x" in cell else None for cell in cells[:2]
        )
        is_image, is_thin = len(shape) == 2, "BrainWeb" in name
        for on_gpu, (network, patch, blocks, strides) in ((False, cells[2:6]), (True, cells[6:10])):
            factors = (1,) * len(shape)
            if not is_image:
                factors = choose_reduction(
                    [shape], lambda _, is_thin=is_thin: 1.0 - is_thin, on_gpu=on_gpu, spacing=spacing
                )
            sides = reduced_spacing(spacing, factors)
            seen = plan([reduced_shape(shape, factors)], on_gpu=on_gpu, spacing=sides)
            chosen = name_network(seen, "drawn" if draws_targets([shape], factors) else "all", sides, False)
            stem = [(chosen["stem"],) * len(shape)] if chosen.get("stem", 1) > 1 else []
            assert chosen["network"] == network
            assert " x ".join(map(str, chosen["patch_size"])) == patch
            assert "".join(map(str, factors)) == blocks
            assert ", ".join("".join(map(str, step)) for step in [*stem, *chosen["strides"]]) == strides


@pytest.mark.parametrize("kind", [SSLDECSegmenter, PseudoLabelSegmenter])
def test_long_voxels_fit_and_predict_by_default(kind):
    images, maps = ellipsoids((64, 64, 10), (1, 1, 6), n=2)
    seg = kind(net__spacing=(1, 1, 6), **SHORT).fit(images, [maps[0], None])
    assert seg.plan_["spacing"] == (1, 1, 6)
    assert seg.plan_["network"] == "LightUNet3D"
    assert seg.plan_["patch_size"] == seg.nets_[0].patch_size == (56, 56, 10)
    network = seg.nets_[0].module_.embedding
    assert isinstance(network, LightUNet3D)
    assert network.strides == seg.plan_["strides"] == ((2, 2, 1), (2, 2, 1), (2, 2, 2))
    assert network.kernels == seg.plan_["kernels"] == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3))
    # no slice sees another one before the voxels are about as wide as long
    assert network.first[0].weight.shape[2:] == (3, 3, 1)
    assert [labels.shape for labels in seg.predict(images)] == [(64, 64, 10)] * 2
    affine = seg.nets_[0].augment.augmentations[0]
    assert affine.spacing == (1, 1, 6)
    assert affine.axis == 2  # few slices would turn out of the patch


def test_tiny_volumes_fit_and_predict_by_default():
    images, maps = ellipsoids((20, 20, 20), (1, 1, 1), n=2)
    for spacing in (None, (1, 1, 1)):
        seg = SSLDECSegmenter(net__spacing=spacing, **SHORT).fit(images, [maps[0], None])
        assert seg.plan_["network"] == "UNet3D"
        assert seg.plan_["patch_size"] == (20, 20, 20)
        assert [labels.shape for labels in seg.predict(images)] == [(20, 20, 20)] * 2


def test_long_voxels_are_learned():
    images, maps = ellipsoids((24, 24, 5), (1, 1, 5), n=3)
    steps = {"pretrain_epochs": 8, "min_batches": 4, "patches_per_epoch": 8}
    seg = SSLDECSegmenter(net__spacing=(1, 1, 5), **{**SHORT, **steps}).fit(images, [maps[0], None, None])
    assert seg.score(images[1:], maps[1:]) > 0.7


def test_the_plan_tells_the_network_that_is_trained():
    images, maps = ellipsoids((20, 42, 42), (1, 1, 1), n=2)
    seg = SSLDECSegmenter(**SHORT).fit(images, [maps[0], None])
    network = seg.nets_[0].module_.embedding
    assert isinstance(network, UNet3D)
    assert (seg.plan_["network"], seg.plan_["n_levels"]) == ("UNet3D", len(network.halvings) + 1)
    assert seg.plan_["strides"] == ((2, 2, 2), (2, 2, 2))  # whatever the shape: that network halves all axes
    own = SSLDECSegmenter(DenseNet3D, **{**SHORT, "max_iter": 0}).fit(images, [maps[0], None])
    assert own.plan_["network"] is None


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, np.inf), ("a", "b", "c")])
def test_a_wrong_spacing_is_refused(spacing):
    images, maps = ellipsoids((20, 20, 20), (1, 1, 1), n=2)
    with pytest.raises(
        ValueError, match="net__spacing must hold a positive number for each of the 3 spatial"
    ):
        SSLDECSegmenter(net__spacing=spacing, **SHORT).fit(images, [maps[0], None])


@pytest.mark.parametrize("spacing", [(1, 6), (2, 1, 4)])
def test_bodies_turn_and_not_grids(spacing):
    """Each voxel shows its distance from the middle in millimeters: turned, it shows the same one."""
    shape = (31,) * len(spacing)
    places = [(np.arange(n) - (n - 1) / 2) * side for n, side in zip(shape, spacing, strict=True)]
    offsets = torch.tensor(np.stack(np.meshgrid(*places, indexing="ij")), dtype=torch.float32)
    batch = offsets.expand(4, *offsets.shape)
    torch.manual_seed(0)
    turned = RandomAffine(degrees=20, scale=0, shear=0, shift=0, spacing=spacing)(batch)
    moved = (turned - batch).norm(dim=1)
    radius = min(n / 2 * side for n, side in zip(shape, spacing, strict=True)) * 0.9
    inside = offsets.norm(dim=0) < radius  # nothing there comes from beyond the border
    assert inside.sum() > 20
    assert_allclose(turned.norm(dim=1)[:, inside], batch.norm(dim=1)[:, inside], atol=1e-3)
    assert moved[:, inside].max() > 1
    torch.manual_seed(0)
    skewed = RandomAffine(degrees=20, scale=0, shear=0, shift=0)(batch)
    assert (skewed.norm(dim=1) - batch.norm(dim=1))[:, inside].abs().max() > 1
