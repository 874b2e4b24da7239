import itertools
import json
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ssldec.scans import (
    load_decathlon,
    load_iseg2017,
    load_label_map,
    load_nifti,
    mask_slices,
    save_nifti,
    separate_background,
)

nibabel = pytest.importorskip("nibabel", reason="nibabel reads the scans")

AFFINE = np.array([[0, 0, 2.0, 5], [0, 1.5, 0, -7], [1.0, 0, 0, 3], [0, 0, 0, 1]])


# The file's first axis points up, its second forward, its third to the right.
def to_canonical(values):
    return np.swapaxes(values, 0, 2)


def write(path, values, kind=None, affine=AFFINE, header=None):
    path.parent.mkdir(exist_ok=True)
    nibabel.save((kind or nibabel.Nifti1Image)(values, affine, header), path)


def write_scaled(path, values, affine=AFFINE):
    """Save floats as programs do that keep the header of an int16 scan: as integers with a slope."""
    header = nibabel.Nifti1Image(np.zeros(values.shape, np.int16), affine).header
    write(path, values, affine=affine, header=header)
    stored = nibabel.load(path)
    assert stored.get_data_dtype() == np.int16
    assert stored.dataobj.slope not in (0, 1)


def test_nifti_there_and_back_with_the_same_affine(tmp_path):
    rng = np.random.default_rng(0)
    scan = rng.random((5, 6, 7)).astype(np.float32)
    write(tmp_path / "scan.nii.gz", scan)
    assert_array_equal(load_nifti(tmp_path / "scan.nii.gz", orientation="file"), scan)
    volume = load_nifti(tmp_path / "scan.nii.gz")
    assert_array_equal(volume, to_canonical(scan))
    labels = rng.integers(0, 300, volume.shape)
    save_nifti(labels, tmp_path / "labels.nii.gz", like=tmp_path / "scan.nii.gz")
    again = load_label_map(tmp_path / "labels.nii.gz", like=tmp_path / "scan.nii.gz")
    assert_array_equal(again, labels)
    assert again.dtype == np.int16
    saved = nibabel.load(tmp_path / "labels.nii.gz")
    assert_array_equal(saved.affine, AFFINE)
    assert_array_equal(np.asarray(saved.dataobj), to_canonical(labels))  # the file's own axes
    with pytest.raises(ValueError, match=r"label_map has shape \(5, 6\), but the scan .* has \(7, 6, 5\)"):
        save_nifti(scan[..., 0], tmp_path / "x.nii", like=tmp_path / "scan.nii.gz", dtype=np.float32)
    with pytest.raises(ValueError, match='pass orientation="file"'):
        save_nifti(scan > 0, tmp_path / "x.nii", like=tmp_path / "scan.nii.gz")


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_is_read_alike_and_saved_in_the_files_own(tmp_path, axes, signs):
    """As nibabel's as_closest_canonical, for all 48 orders and directions of the axes."""
    scan = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2.0, 3.0])[:, list(axes)] * signs + 0.1  # a little oblique too
    write(tmp_path / "scan.nii", scan, affine=affine)
    expected = np.asarray(nibabel.as_closest_canonical(nibabel.load(tmp_path / "scan.nii")).dataobj)
    volume = load_nifti(tmp_path / "scan.nii")
    assert volume.dtype == np.int16
    assert_array_equal(volume, expected)
    save_nifti(volume, tmp_path / "again.nii", like=tmp_path / "scan.nii")
    again = nibabel.load(tmp_path / "again.nii")
    assert_array_equal(np.asarray(again.dataobj), scan)
    assert_allclose(again.affine, affine, atol=1e-6)


def test_an_affine_without_directions_is_refused(tmp_path):
    write(tmp_path / "scan.mgz", np.zeros((2, 3, 4), np.float32), nibabel.MGHImage)
    affine = np.diag([1.0, 0, 1, 1])
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.float32), None)
    image.header.set_sform(affine, code=1)
    nibabel.save(image, tmp_path / "flat.nii")
    with pytest.raises(ValueError, match=r'does not say where each axis points.*orientation="file"'):
        load_nifti(tmp_path / "flat.nii")
    assert load_nifti(tmp_path / "flat.nii", orientation="file").shape == (2, 3, 4)
    with pytest.raises(ValueError, match="orientation must be 'canonical' or 'file', got 'RAS'"):
        load_nifti(tmp_path / "scan.mgz", orientation="RAS")


def test_channels_come_first(tmp_path):
    two = np.random.default_rng(0).random((4, 5, 6, 2)).astype(np.float32)
    write(tmp_path / "two.nii", two)
    expected = np.moveaxis(to_canonical(two), -1, 0)
    assert_array_equal(load_nifti(tmp_path / "two.nii"), expected)
    write(tmp_path / "a.nii", two[..., 0])
    write(tmp_path / "b.nii", two[..., 1])
    assert_array_equal(load_nifti([tmp_path / "a.nii", tmp_path / "b.nii"]), expected)
    three = load_nifti([tmp_path / "two.nii", tmp_path / "a.nii"])
    assert_array_equal(three, expected[[0, 1, 0]])
    write(tmp_path / "vectors.nii", two[:, :, :, None])  # NIfTI's vectors have time before their values
    assert_array_equal(load_nifti(tmp_path / "vectors.nii"), expected)
    with pytest.raises(ValueError, match="must name at least one file"):
        load_nifti([])


def test_images_with_two_axes_stay_as_they_are(tmp_path):
    image = np.arange(12, dtype=np.int16).reshape(3, 4)
    write(tmp_path / "image.nii", image, affine=np.diag([-1, -1, 1, 1]))
    assert_array_equal(load_nifti(tmp_path / "image.nii"), image)
    assert load_nifti([tmp_path / "image.nii"] * 2).shape == (2, 3, 4)
    save_nifti(image, tmp_path / "again.nii", like=tmp_path / "image.nii")
    assert_array_equal(load_label_map(tmp_path / "again.nii", like=tmp_path / "image.nii"), image)


def test_channels_with_opposite_axes_are_brought_together(tmp_path):
    scan = np.random.default_rng(0).random((6, 5, 4)).astype(np.float32)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 5  # the same voxels, counted from the other side
    write(tmp_path / "t1.nii", scan, affine=np.eye(4))
    write(tmp_path / "t2.nii", scan[::-1], affine=flipped)
    t1, t2 = load_nifti([tmp_path / "t1.nii", tmp_path / "t2.nii"])
    assert_array_equal(t1, scan)
    assert_array_equal(t2, scan)
    assert_array_equal(
        load_nifti([tmp_path / "t1.nii", tmp_path / "t2.nii"], orientation="file")[1], scan[::-1]
    )
    write(tmp_path / "elsewhere.nii", scan, affine=np.diag([1.0, 1, 1.1, 1]))
    with pytest.raises(ValueError, match=r"affines of .*elsewhere.* up to 0.3 voxels apart"):
        load_nifti([tmp_path / "t1.nii", tmp_path / "elsewhere.nii"])
    # what rounding does to an affine is no difference
    write(tmp_path / "rounded.nii", scan, affine=np.eye(4) + 1e-3)
    load_nifti([tmp_path / "t1.nii", tmp_path / "rounded.nii"])
    write(tmp_path / "smaller.nii", scan[1:], affine=np.eye(4))
    for orientation in ("canonical", "file"):
        with pytest.raises(
            ValueError, match=r"smaller.* has the spatial shape \(5, 5, 4\), but .*t1.*\(6, 5"
        ):
            load_nifti([tmp_path / "t1.nii", tmp_path / "smaller.nii"], orientation=orientation)


def test_labels_must_lie_where_their_scan_does(tmp_path):
    labels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    write(tmp_path / "scan.nii", labels.astype(np.float32), affine=np.eye(4))
    write(tmp_path / "labels.nii", labels, affine=np.diag([1.0, 1, 2, 1]))
    with pytest.raises(ValueError, match=r"affines of .*labels.* differ"):
        load_label_map(tmp_path / "labels.nii", like=tmp_path / "scan.nii")
    same = load_label_map(tmp_path / "labels.nii", like=tmp_path / "scan.nii", orientation="file")
    assert_array_equal(same, labels)
    write(tmp_path / "two.nii", np.stack([labels] * 2, axis=-1))
    with pytest.raises(ValueError, match="holds 2 maps"):
        load_label_map(tmp_path / "two.nii")


def test_scaled_labels_are_rounded(tmp_path):
    labels = np.arange(125).reshape(5, 5, 5) % 5
    write_scaled(tmp_path / "labels.nii", labels.astype(float))
    stored = np.asarray(nibabel.load(tmp_path / "labels.nii").dataobj)
    assert (stored.astype(int) != to_canonical(labels)).any()  # what truncation makes of them
    again = load_label_map(tmp_path / "labels.nii")
    assert_array_equal(again, to_canonical(labels))
    assert again.dtype == np.int16


@pytest.mark.parametrize(("largest", "dtype"), [(250, np.int16), (40_000, np.int32), (2**40, np.int64)])
def test_labels_have_a_dtype_that_holds_them(tmp_path, largest, dtype):
    labels = np.zeros((3, 3, 3))
    labels[1] = largest
    write(tmp_path / "labels.nii", labels)
    loaded = load_label_map(tmp_path / "labels.nii")
    assert loaded.dtype == dtype
    assert loaded.max() == largest


@pytest.mark.parametrize("value", [0.5, 2.2, -0.11, np.nan, np.inf])
def test_values_far_from_whole_numbers_are_no_labels(tmp_path, value):
    labels = np.ones((3, 3, 3))
    labels[1, 1, 1] = value
    write(tmp_path / "labels.nii", labels)
    with pytest.raises(ValueError, match="does not hold labels"):
        load_label_map(tmp_path / "labels.nii")


def test_probabilities_are_saved_if_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / "scan.nii", rng.random((5, 6, 7)).astype(np.float32))
    probabilities = rng.random((7, 6, 5)).astype(np.float32)
    to = {"path": tmp_path / "p.nii", "like": tmp_path / "scan.nii"}
    with pytest.raises(ValueError, match=r"not whole numbers. Pass dtype=np.float32"):
        save_nifti(probabilities, **to)
    with pytest.raises(ValueError, match="not whole numbers"):
        save_nifti(probabilities, dtype=np.uint8, **to)
    assert not (tmp_path / "p.nii").exists()
    save_nifti(probabilities, dtype=np.float32, **to)
    assert_array_equal(load_nifti(tmp_path / "p.nii"), probabilities)


@pytest.mark.parametrize(
    ("values", "dtype", "stored"),
    [
        ([0, 1], None, np.int16), ([0, 40_000], None, np.int32), ([-70_000, 1], None, np.int32),
        ([0.0, 3.0], None, np.int16), ([False, True], None, np.int16), ([0, 200], np.uint8, np.uint8),
        ([0, 2**40], np.int64, np.int64), ([0, 1], "float64", np.float64),
    ],
)  # fmt: skip
def test_what_labels_are_stored_as(tmp_path, values, dtype, stored):
    write(tmp_path / "scan.nii", np.zeros((2, 1, 1), np.float32), affine=np.eye(4))
    labels = np.array(values).reshape(2, 1, 1)
    save_nifti(labels, tmp_path / "labels.nii", like=tmp_path / "scan.nii", dtype=dtype)
    image = nibabel.load(tmp_path / "labels.nii")
    assert image.get_data_dtype() == stored
    assert_array_equal(np.asarray(image.dataobj), labels)


@pytest.mark.parametrize(
    ("values", "dtype", "error", "message"),
    [
        ([0, 2**31], None, ValueError, "from 0 to 2147483648, which int32 does not hold"),
        ([-1, 1], np.uint8, ValueError, "from -1 to 1, which uint8 does not hold"),
        ([0, np.nan], None, ValueError, "not whole numbers"),
        (
            [0, 1],
            "float16",
            ValueError,
            "dtype must be None, an integer dtype, float32 or float64, got 'float16'",
        ),
        (["a", "b"], None, TypeError, "it must hold real numbers"),
        (np.ma.masked_equal([0, 1], 1), None, ValueError, "masked voxels"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, values, dtype, error, message):
    write(tmp_path / "scan.nii", np.zeros((2, 1, 1), np.float32), affine=np.eye(4))
    labels = np.asanyarray(values).reshape(2, 1, 1)
    with pytest.raises(error, match=message):
        save_nifti(labels, tmp_path / "labels.nii", like=tmp_path / "scan.nii", dtype=dtype)
    assert not (tmp_path / "labels.nii").exists()


def test_files_that_hold_no_scan(tmp_path):
    write(tmp_path / "complex.nii", np.zeros((2, 2, 2), np.complex64))
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    write(tmp_path / "colours.nii", colours)
    for name in ("complex", "colours"):
        with pytest.raises(ValueError, match="must be integers or floating-point numbers"):
            load_nifti(tmp_path / f"{name}.nii")
    write(tmp_path / "five.nii", np.zeros((2, 2, 2, 2, 2), np.float32))
    with pytest.raises(ValueError, match=r"has shape .*two or three spatial axes"):
        load_nifti(tmp_path / "five.nii")
    nibabel.save(nibabel.gifti.GiftiImage(), tmp_path / "surface.gii")
    with pytest.raises(ValueError, match="holds no image, but a GiftiImage"):
        load_nifti(tmp_path / "surface.gii")


def test_decathlon_layout(tmp_path):
    rng = np.random.default_rng(0)
    scans = [rng.random((4, 5, 6)).astype(np.float32) for _ in range(3)]
    for i, scan in enumerate(scans):
        write(tmp_path / "imagesTr" / f"case_{i}.nii.gz", scan)
    write(tmp_path / "labelsTr" / "case_1.nii.gz", (scans[1] > 0.5).astype(np.uint8))
    write_scaled(tmp_path / "labelsTr" / "case_0.nii", np.floor(3.999 * scans[0]).astype(float))
    write(tmp_path / "imagesTs" / "case_9.nii.gz", scans[0])
    (tmp_path / "imagesTr" / "._case_0.nii.gz").write_bytes(b"junk")
    data = load_decathlon(tmp_path)
    assert data.names == ["case_0", "case_1", "case_2"]
    assert [labels is None for labels in data.labels] == [False, False, True]
    assert_array_equal(data.images[2], to_canonical(scans[2]))
    assert_array_equal(data.labels[0], to_canonical(np.floor(3.999 * scans[0])))
    assert_array_equal(data.labels[1], to_canonical(scans[1] > 0.5))
    as_in_the_file = load_decathlon(tmp_path, orientation="file")
    assert_array_equal(as_in_the_file.images[1], scans[1])
    assert_array_equal(as_in_the_file.labels[1], scans[1] > 0.5)
    assert load_decathlon(tmp_path, subset="test").names == ["case_9"]
    assert len(load_decathlon(tmp_path, n_volumes=2).images) == 2
    with pytest.raises(FileNotFoundError, match="There is no"):
        load_decathlon(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="subset must be 'train' or 'test', got 'val'"):
        load_decathlon(tmp_path, subset="val")


def nnunet(tmp_path, labeled=True):
    scans = np.random.default_rng(0).random((2, 2, 3, 4, 5)).astype(np.float32)  # cases, channels
    for case, channel in itertools.product(range(2), range(2)):
        write(tmp_path / "imagesTr" / f"case_{case}_000{channel}.nii.gz", scans[case, channel])
    if labeled:
        write(tmp_path / "labelsTr" / "case_1.nii.gz", (scans[1, 0] > 0.5).astype(np.uint8))
    return np.swapaxes(scans, 2, 4)  # to canonical axes


def test_nnunet_layout(tmp_path):
    scans = nnunet(tmp_path)
    write(tmp_path / "imagesTs" / "case_9_0000.nii.gz", np.swapaxes(scans[0, 0], 0, 2))
    write(tmp_path / "imagesTs" / "case_9_0001.nii.gz", np.swapaxes(scans[0, 1], 0, 2))
    data = load_decathlon(tmp_path)
    assert data.names == ["case_0", "case_1"]
    assert_array_equal(data.images, scans)
    assert data.labels[0] is None
    assert_array_equal(data.labels[1], scans[1, 0] > 0.5)
    assert data.paths[1].endswith("case_1_0000.nii.gz")
    test = load_decathlon(tmp_path, subset="test")
    assert test.names == ["case_9"]
    assert_array_equal(test.images[0], scans[0])
    (tmp_path / "imagesTr" / "case_0_0001.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"case 'case_0' has the channels \['0000'\]; the scans have"):
        load_decathlon(tmp_path)
    write(tmp_path / "imagesTr" / "other.nii.gz", np.swapaxes(scans[0, 0], 0, 2))
    with pytest.raises(ValueError, match=r"other.nii.gz' does not end in the number of its channel"):
        load_decathlon(tmp_path)


def test_nnunet_layout_without_labels_is_told_by_its_description(tmp_path):
    nnunet(tmp_path, labeled=False)
    assert len(load_decathlon(tmp_path).names) == 4  # numbers may be those of cases
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2"}}))
    assert load_decathlon(tmp_path).names == ["case_0", "case_1"]


def test_numbers_of_four_digits_may_be_those_of_cases(tmp_path):
    scan = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    for name in ("case_0001", "case_0002"):
        write(tmp_path / "imagesTr" / f"{name}.nii.gz", scan)
    write(tmp_path / "labelsTr" / "case_0002.nii.gz", (scan > 0.5).astype(np.uint8))
    data = load_decathlon(tmp_path)
    assert data.names == ["case_0001", "case_0002"]
    assert data.labels[1] is not None


def test_labels_without_a_scan_of_their_name_are_an_error(tmp_path):
    scan = np.zeros((3, 4, 5), np.float32)
    write(tmp_path / "imagesTr" / "case_1.nii.gz", scan)
    write(tmp_path / "labelsTr" / "case_1_seg.nii.gz", scan)
    with pytest.raises(
        ValueError, match=r"No label file in .* has the name of a scan.*'case_1_seg'.*'case_1'"
    ):
        load_decathlon(tmp_path)


def test_iseg2017_layout(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 10, 150, 250], (4, 5, 6, 1)).astype(np.uint8)
    t1 = np.where(truth == 0, 0, truth.astype(np.int16) + 7).astype(np.int16)
    for subject in ("subject-10", "subject-2"):
        write(tmp_path / f"{subject}-T1.hdr", t1, nibabel.AnalyzeImage)
        write(tmp_path / f"{subject}-T2.hdr", 2 * t1, nibabel.AnalyzeImage)
    write(tmp_path / "subject-2-label.hdr", truth, nibabel.AnalyzeImage)
    data = load_iseg2017(tmp_path)
    assert data.names == ["subject-2", "subject-10"]
    assert data.labels[1] is None
    assert data.images[0].shape == (2, 4, 5, 6)
    assert data.images[0].dtype == np.float32
    assert_array_equal(data.images[0][1], 2 * t1[..., 0])
    assert set(np.unique(data.labels[0])) == {10, 150, 250}
    assert_array_equal(separate_background(data.labels[0], data.images[0]), truth[..., 0])
    with pytest.raises(FileNotFoundError, match="There is no subject"):
        load_iseg2017(tmp_path / "nowhere")


def test_one_slice_in_five_keeps_its_labels():
    labels = np.arange(2 * 13, dtype=np.uint8).reshape(2, 13)
    masked = mask_slices(labels, axis=1)
    assert masked.dtype.kind == "i"
    assert_array_equal(np.flatnonzero((masked != -1).all(axis=0)), [2, 7, 12])
    assert_array_equal(masked[:, [2, 7, 12]], labels[:, [2, 7, 12]])
    assert (mask_slices(labels, step=1) == labels).all()
    assert mask_slices(labels.astype(np.uint64)).dtype == np.int64
    assert mask_slices(labels.astype(np.int8), unlabeled_label=300).max() == 300
    masked = mask_slices(np.ma.masked_equal(labels, 2), axis=1)
    assert masked[0].tolist() == [-1, -1, -1, -1, -1, -1, -1, 7, -1, -1, -1, -1, 12]
    with pytest.raises(ValueError, match="step must be positive, got 0"):
        mask_slices(labels, step=0)


def test_without_nibabel_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match="pip install nibabel"):
        load_nifti(tmp_path / "scan.nii")
