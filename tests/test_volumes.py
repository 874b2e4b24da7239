"""Volumes and label maps as they come: any strides, byte orders and dtypes, masked, with NaN outside."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ssldec._samples.volumes import (
    as_given,
    as_label_maps,
    as_torch_reads,
    as_volumes,
    count_axes,
    dtype_with_room,
    encode_label_maps,
    labeled_volumes,
    statistics,
    voxels_outside,
)

DTYPES = ["f2", ">f2", ">f4", ">f8", "g", "u1", ">u2", "u4", "u8", ">i4", "i8"]
RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 100, (2, 4, 5)).astype(np.float32)


def strided(volume):
    """The same values, a field of a record: strides are no multiples of the item's size."""
    records = np.zeros(volume.shape, dtype=[("a", "u1"), ("value", volume.dtype)])
    records["value"] = volume
    return records["value"]


@pytest.mark.parametrize(
    "form",
    [
        *(lambda v, t=t: v.astype(t) for t in DTYPES),
        lambda v: np.flip(np.flip(v).copy()),
        lambda v: np.flip(np.flip(v.astype(">i2"), 1).copy(), 1),
        np.asfortranarray,
        lambda v: np.repeat(v, 2, axis=-1)[..., ::2],
        strided,
        lambda v: np.ma.array(v),
    ],
)  # fmt: skip
def test_torch_reads_every_form(form):
    volume = form(VOLUME)
    ready = as_torch_reads(volume)
    assert_array_equal(torch.from_numpy(ready).to(torch.float32).numpy(), VOLUME)
    mean = statistics([ready]).mean
    assert_allclose(mean[0], VOLUME.mean(axis=(1, 2)), rtol=1e-6)


def test_nothing_is_copied_that_torch_can_read(tmp_path):
    np.save(tmp_path / "volume.npy", VOLUME)
    mapped = np.load(tmp_path / "volume.npy", mmap_mode="r")
    for volume in (VOLUME, VOLUME.T, VOLUME[:, ::2], mapped):
        assert np.shares_memory(as_torch_reads(volume), volume)
    assert isinstance(as_volumes([mapped], 2)[0], np.memmap)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.longdouble, ">i2"])
def test_masked_values_become_nan(dtype):
    mask = RNG.random(VOLUME.shape) < 0.3
    ready = as_torch_reads(np.ma.array(VOLUME.astype(dtype), mask=mask))
    assert_array_equal(np.isnan(ready), mask)
    assert_array_equal(ready[~mask], VOLUME[~mask])


def test_voxels_outside_are_nan_in_any_channel():
    volume = VOLUME.copy()
    volume[0, 0, 1] = volume[1, 3, 4] = np.nan
    none, outside = voxels_outside([VOLUME, volume])
    assert none is None
    assert [tuple(where) for where in np.argwhere(outside)] == [(0, 1), (3, 4)]
    with pytest.raises(ValueError, match=r"X\[1\] has no voxel inside the image"):
        voxels_outside([VOLUME, np.stack([VOLUME[0], np.full((4, 5), np.nan)])])


@pytest.mark.parametrize("spread", [0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_of_values_far_from_0(spread, dtype):
    """Around 1e6, squares have lost the spread if they are not taken around a value of the channel."""
    volume = np.empty((1, 40, 50, 60), dtype)
    volume[:, :20], volume[:, 20:] = 1e6 - spread, 1e6 + spread
    known = statistics([volume])
    assert known.mean.tolist() == [[1e6]]
    assert_allclose(known.deviation, spread, rtol=1e-6)
    assert (known.smallest.item(), known.largest.item()) == (1e6 - spread, 1e6 + spread)


def test_statistics_do_not_depend_on_the_unit():
    """Diffusion in square metres a second is about 1e-9, and rounding is no variation in any unit."""
    volume = np.random.default_rng(0).uniform(1, 3, (1, 20, 30)).astype(np.float32)
    constant = np.full_like(volume, 2)
    constant[0, 0, 0] = np.nextafter(np.float32(2), np.float32(3))
    for unit in (1, 1e-9):
        known = statistics([unit * volume, unit * constant])
        assert_allclose(known.deviation[0], unit * volume.std(), rtol=1e-4)
        assert known.deviation[1] == 1


def test_statistics_leave_out_ignored_voxels():
    volume = np.array([[[0.0, 2, 4], [np.nan, 1e9, 0]], [[10, 10, 10], [0, np.inf, 0]]])
    ignored = np.array([[False, False, False], [True, True, True]])
    known = statistics([volume], [ignored])
    assert known.mean.tolist() == [[2, 10]]
    assert_allclose(known.deviation, [[np.sqrt(8 / 3), 1]])
    assert (known.smallest.tolist(), known.largest.tolist()) == ([[0, 10]], [[4, 10]])
    nothing = statistics([volume], [np.ones((2, 3), bool)])
    assert (nothing.mean.tolist(), nothing.deviation.tolist()) == ([[0, 0]], [[1, 1]])
    # wherever the first that counts is
    last = np.ones((2, 3), bool)
    last[1, 2] = False
    assert statistics([volume + 1e6], [last]).mean.tolist() == [[1e6, 1e6]]


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39, -1e300])
def test_values_beyond_float32_are_refused(value):
    volume = np.zeros((1, 3, 4))
    volume[0, 1, 1] = value
    with pytest.raises(ValueError, match=r"X\[1\] contains infinity or values too large.*np.nan"):
        statistics([np.zeros((1, 3, 4)), volume])
    statistics([volume], [volume[0] != 0])


def test_results_are_an_array_where_volumes_are():
    results = [np.zeros((2, 3)), np.zeros((2, 3))]
    assert as_given(results, np.zeros((2, 2, 3))).shape == (2, 2, 3)
    assert as_given(results, results) is results
    objects = np.empty(2, dtype=object)
    assert as_given(results, objects) is results


# Channels and axes ------------------------------------------------------------------------------------------


def test_channels_last_are_told_by_the_label_map():
    bands, labels = np.zeros((8, 8, 13)), np.zeros((8, 8), dtype=int)
    with pytest.raises(ValueError, match=r"X\[0\] of shape \(8, 8, 13\) seems to have its channels last"):
        as_volumes([bands, bands], 2, maps=[labels, None])
    first = np.moveaxis(bands, -1, 0)
    with pytest.raises(ValueError, match=r"X\[1\] of shape \(8, 8, 13\) seems to have its channels last"):
        as_volumes([first, bands], 2, maps=[labels, None])
    with pytest.raises(ValueError, match=r"X\[0\] of shape \(8, 8, 13\) seems to have its channels last"):
        as_volumes([bands, first], 2, maps=[None, labels])
    with pytest.raises(ValueError, match=r"X\[0\] of shape \(8, 8, 13\) seems to have its channels last"):
        as_volumes([bands], 2, n_channels=13)
    assert len(as_volumes([first, first], 2, maps=[None, labels])[0]) == 13


def test_thin_volumes_are_not_taken_for_channels_last():
    volume = np.zeros((6, 32, 32, 3))  # six channels, three slices
    assert as_volumes([volume], 3, maps=[np.zeros((32, 32, 3), int)])[0].shape == volume.shape
    assert as_volumes([volume], 3, n_channels=6)[0].shape == volume.shape


def test_single_slices_with_three_axes_are_refused():
    slice_, whole = np.zeros((1, 24, 24), int), np.zeros((5, 24, 24), int)
    with pytest.raises(ValueError, match=r"single slices with three axes; the first has shape \(1, 24, 24\)"):
        count_axes([None, slice_, slice_])
    assert count_axes([None, slice_, whole]) == 3
    assert count_axes([np.zeros((1, 24), int)]) == 2


def test_volumes_are_read_in_their_order_not_by_an_index():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([VOLUME[0], VOLUME[1]], index=[1, 0])
    for read, volume in zip(as_volumes(series, 2), VOLUME, strict=True):
        assert_array_equal(read[0], volume)


# Label maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u4", "u8"])
def test_a_mark_lost_in_an_unsigned_map_is_refused(dtype):
    marked = np.array([[0, 1, -1]]).astype(dtype)
    lost = int(marked.max())
    with pytest.raises(ValueError, match=rf"y\[1\] is an array of .*holds {lost}, .* the mark -1 becomes"):
        as_label_maps([None, marked], 2)
    with pytest.raises(ValueError, match="the mark -1 becomes"):
        as_label_maps([marked], 1, unlabeled_label=9, ignore_label=-1)
    assert as_label_maps([marked], 1, unlabeled_label=lost)[0] is marked
    assert as_label_maps([marked], 1, -1, ignore_label=lost)[0] is marked
    assert as_label_maps([marked.astype(np.int64)], 1)[0].max() == lost or dtype == "u8"


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "u8", "i8", "?"])
def test_masked_labels_are_unlabeled(dtype):
    labels = np.ma.array(np.array([[0, 1, 1]]).astype(dtype), mask=[[False, False, True]])
    for mark in (-1, 300):
        (filled,) = as_label_maps([labels], 1, unlabeled_label=mark)
        assert filled.tolist() == [[0, 1, mark]]
        assert not isinstance(filled, np.ma.MaskedArray)
    assert labeled_volumes([labels, np.ma.masked_all((1, 3), int), None]).tolist() == [True, False, False]


def test_floats_are_told_to_round():
    with pytest.raises(TypeError, match=r"pass np.rint\(y\).astype\(int\).*2.99998 for 3"):
        as_label_maps([np.full((2, 2), 2.9999847)], 1)


def test_a_dtype_with_room_for_the_mark():
    cases = {("u1", -1): "i2", ("i1", 300): "i4", ("i8", -1): "i8", ("u8", -1): "i8", ("?", -1): "i1"}
    for (dtype, mark), expected in cases.items():
        assert dtype_with_room(np.dtype(dtype), mark) == np.dtype(expected)


def test_labels_outside_the_image_do_not_count():
    labels = np.array([[0, 1, 2], [0, 1, 9]])
    outside = np.array([[False, False, True], [False, False, False]])
    shapes = [(2, 3)] * 2
    encoded = encode_label_maps([labels, None], shapes, -1, 9, [outside, outside.T.reshape(2, 3)])
    assert encoded.classes.tolist() == [0, 1]
    assert encoded.codes.tolist() == [0, 1, 0, 1, -1, -1, -1, -1, -1]
    assert encoded.known.tolist() == [0, 1, 0, 1]
    assert not encoded.is_complete
    assert encode_label_maps([labels], [(2, 3)], -1, 9, [outside]).is_complete
    assert_array_equal(encoded.ignored[0], outside | (labels == 9))
    with pytest.raises(ValueError, match="or lie outside the image, where X is NaN or masked"):
        encode_label_maps([np.array([[3, -1]])], [(1, 2)], outside=[np.array([[True, False]])])


def test_nan_in_one_slab_of_several_marks_its_voxels_only(monkeypatch):
    monkeypatch.setattr("sklearn_ssldec._samples.volumes.SLAB", 1)
    volume = VOLUME.copy()
    volume[1, 2, 3] = np.nan
    (mask,) = voxels_outside([volume])
    assert np.argwhere(mask).tolist() == [[2, 3]]
