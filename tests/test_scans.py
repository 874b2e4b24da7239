import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_ssldec.scans import (
    load_decathlon,
    load_iseg2017,
    load_nifti,
    mask_slices,
    save_nifti,
    separate_background,
)

nibabel = pytest.importorskip("nibabel", reason="nibabel reads the scans")

AFFINE = np.array([[0, 0, 2.0, 5], [0, 1.5, 0, -7], [1.0, 0, 0, 3], [0, 0, 0, 1]])


def write(path, values, kind=None):
    path.parent.mkdir(exist_ok=True)
    nibabel.save((kind or nibabel.Nifti1Image)(values, AFFINE), path)


def test_nifti_there_and_back_with_the_same_affine(tmp_path):
    rng = np.random.default_rng(0)
    scan = rng.random((5, 6, 7)).astype(np.float32)
    write(tmp_path / "scan.nii.gz", scan)
    assert_array_equal(load_nifti(tmp_path / "scan.nii.gz"), scan)
    labels = rng.integers(0, 300, scan.shape)
    save_nifti(labels, tmp_path / "labels.nii.gz", like=tmp_path / "scan.nii.gz")
    again = load_nifti(tmp_path / "labels.nii.gz")
    assert_array_equal(again, labels)
    assert again.dtype.kind == "i"
    assert_array_equal(nibabel.load(tmp_path / "labels.nii.gz").affine, AFFINE)
    with pytest.raises(ValueError, match=r"label_map has shape \(5, 6\), but the scan .* has \(5, 6, 7\)"):
        save_nifti(labels[..., 0], tmp_path / "x.nii", like=tmp_path / "scan.nii.gz")


def test_channels_come_first(tmp_path):
    two = np.random.default_rng(0).random((4, 5, 6, 2)).astype(np.float32)
    write(tmp_path / "two.nii", two)
    assert_array_equal(load_nifti(tmp_path / "two.nii"), np.moveaxis(two, -1, 0))
    write(tmp_path / "a.nii", two[..., 0])
    write(tmp_path / "b.nii", two[..., 1])
    assert_array_equal(load_nifti([tmp_path / "a.nii", tmp_path / "b.nii"]), np.moveaxis(two, -1, 0))


def test_decathlon_layout(tmp_path):
    rng = np.random.default_rng(0)
    scans = [rng.random((4, 5, 6)).astype(np.float32) for _ in range(3)]
    for i, scan in enumerate(scans):
        write(tmp_path / "imagesTr" / f"case_{i}.nii.gz", scan)
    write(tmp_path / "labelsTr" / "case_1.nii.gz", (scans[1] > 0.5).astype(np.uint8))
    write(tmp_path / "imagesTs" / "case_9.nii.gz", scans[0])
    (tmp_path / "imagesTr" / "._case_0.nii.gz").write_bytes(b"junk")
    data = load_decathlon(tmp_path)
    assert data.names == ["case_0", "case_1", "case_2"]
    assert [labels is None for labels in data.labels] == [True, False, True]
    assert_array_equal(data.images[2], scans[2])
    assert_array_equal(data.labels[1], scans[1] > 0.5)
    assert load_decathlon(tmp_path, subset="test").names == ["case_9"]
    assert len(load_decathlon(tmp_path, n_volumes=2).images) == 2
    with pytest.raises(FileNotFoundError, match="There is no"):
        load_decathlon(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="subset must be 'train' or 'test', got 'val'"):
        load_decathlon(tmp_path, subset="val")


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
    with pytest.raises(ValueError, match="step must be positive, got 0"):
        mask_slices(labels, step=0)


def test_without_nibabel_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match="pip install nibabel"):
        load_nifti(tmp_path / "scan.nii")
