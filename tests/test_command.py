"""The command `ssldec`, as its users meet it: folders of files, and one line if something is wrong."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._training.checkpoint import Checkpoint
from sklearn_ssldec.command import main, steps
from sklearn_ssldec.command.grid import Scan
from sklearn_ssldec.command.steps import drop_pieces, single_in_volumes
from sklearn_ssldec.persistence import load, save
from sklearn_ssldec.scans import find_cases, load_nifti

nibabel = pytest.importorskip("nibabel", reason="nibabel reads the scans")
pytest.importorskip("matplotlib", reason="matplotlib draws the pictures")

QUICK = ("--pretrain-epochs", "1", "--max-iter", "0")
FINISHED = ("--pretrain-epochs", "2", "--max-iter", "1", "--seed", "3")
# Axes of the files: as they should be; the third axis first and to the left; voxels of another size; oblique.
TURNED = np.array([[0, 0, -1.0, 4], [0, 1.0, 0, -7], [2.0, 0, 0, 3], [0, 0, 0, 1]])
OBLIQUE = np.array([[0.995, -0.0998, 0, 1], [0.0998, 0.995, 0, 2], [0, 0, 2.0, 3], [0, 0, 0, 1]])
GRIDS = {
    "a": ((12, 11, 6), np.diag([1.0, 1, 2, 1])),
    "b.first": ((6, 12, 11), TURNED),
    "c": ((8, 8, 12), np.diag([1.5, 1.5, 1, 1])),
    "d": ((12, 12, 6), OBLIQUE),
}


def write_scan(path, shape, affine, labels=None, seed=0):
    """Write a scan with a bright box, and its label map if a path is given; return the map."""
    truth = np.zeros(shape, np.uint8)
    truth[tuple(slice(n // 4, n - n // 4) for n in shape)] = 1
    image = (4 * truth + np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
    path.parent.mkdir(exist_ok=True, parents=True)
    nibabel.save(nibabel.Nifti1Image(image, affine), path)
    if labels is not None:
        labels.parent.mkdir(exist_ok=True, parents=True)
        nibabel.save(nibabel.Nifti1Image(truth, affine), labels)
    return truth


def write_folder(folder, labeled=("a",)):
    for seed, (name, (shape, affine)) in enumerate(GRIDS.items()):
        labels = folder / "labels" / f"{name}.nii.gz" if name in labeled else None
        write_scan(folder / "scans" / f"{name}.nii.gz", shape, affine, labels, seed)
    return folder


def run(folder, *options, out="out"):
    """Segment the scans of a folder."""
    return main(
        [
            "segment", str(folder / "scans"), "--labels", str(folder / "labels"), "--out", str(folder / out),
            "--device", "cpu", *options,
        ]
    )  # fmt: skip


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("run"))
    assert run(folder, *FINISHED, "--names", "1=box") == 0
    return folder


# --- what a run writes


def test_label_maps_lie_where_their_scans_do(finished):
    for name in GRIDS:
        scan = nibabel.load(finished / "scans" / f"{name}.nii.gz")
        written = nibabel.load(finished / "out" / "segmentations" / f"{name}.nii.gz")
        assert written.shape == scan.shape
        assert_array_equal(written.affine, scan.affine)
        assert written.header.get_zooms() == scan.header.get_zooms()
        assert set(np.unique(written.dataobj)) <= {0, 1}


def test_what_was_segmented_is_where_it_is_in_the_file(finished):
    """Also in a file whose axes are others, and where voxels were resampled."""
    for seed, (name, (shape, affine)) in enumerate(GRIDS.items()):
        truth = write_scan(finished / "again" / "x.nii", shape, affine, seed=seed) == 1
        written = np.asarray(nibabel.load(finished / "out" / "segmentations" / f"{name}.nii.gz").dataobj) == 1
        assert 2 * (written & truth).sum() / (written.sum() + truth.sum()) > 0.6, name


def test_volumes_are_those_of_counted_voxels(finished):
    with open(finished / "out" / "volumes.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["scan", "labeled", "box_ml"]
    assert [row[:2] for row in rows[1:]] == [["a", "yes"], ["b.first", "no"], ["c", "no"], ["d", "no"]]
    for (name, _, volume), cubic_millimeters in zip(rows[1:], (2.0, 2.0, 2.25, 2.0), strict=True):
        written = nibabel.load(finished / "out" / "segmentations" / f"{name}.nii.gz")
        n_voxels = int((np.asarray(written.dataobj) == 1).sum())
        assert n_voxels > 0
        assert float(volume) == pytest.approx(n_voxels * cubic_millimeters / 1000, abs=1e-4)


def test_each_scan_has_a_picture(finished):
    import matplotlib.image

    for name in GRIDS:
        picture = matplotlib.image.imread(finished / "out" / "pictures" / f"{name}.png")
        assert picture.shape[1] > 1000
        colors = picture[..., :3].max(axis=2) - picture[..., :3].min(axis=2)
        assert (colors > 0.3).sum() > 100  # the outlines: all else is gray


def test_the_record_tells_what_was_done(finished):
    record = json.loads((finished / "out" / "run.json").read_text())
    assert record["call"]["seed"] == 3
    assert record["spacing_mm"] == [1, 1, 2]  # the median
    resampled = {name: scan["resampled"] for name, scan in record["scans"].items()}
    assert resampled == {"a": False, "b.first": False, "c": True, "d": False}
    assert record["scans"]["b.first"]["shape"] == [11, 12, 6]  # canonical axes
    assert record["plan"]["spacing"] == [1, 1, 2]
    assert {"sklearn-ssldec", "torch", "python"} <= record["versions"].keys()
    assert record["finished"]


def test_the_model_holds_what_prediction_needs_and_no_scans(finished):
    model = load(finished / "out" / "model.safetensors")
    assert model.get_params()["net__spacing"] == (1, 1, 2)
    assert not hasattr(model, "transduction_")
    assert model.checkpoint_dir is None
    assert sorted(path.name for path in (finished / "out").iterdir()) == [
        "model.safetensors", "pictures", "run.json", "segmentations", "volumes.csv",
    ]  # fmt: skip


def test_a_finished_run_is_not_repeated(finished, capsys):
    before = times(finished)
    assert run(finished, *FINISHED, "--names", "1=box") == 0
    assert "Nothing to do" in capsys.readouterr().err
    assert times(finished) == before


def test_what_was_deleted_of_a_finished_run_is_made_again(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    out, before = tmp_path / "run" / "out", times(tmp_path / "run" / "out")
    lost = [out / "segmentations" / "a.nii.gz", out / "pictures" / "c.png"]
    for path in lost:
        path.unlink()
    monkeypatch.setattr(steps, "fit", lambda *args: pytest.fail("fitted again"))
    assert run(tmp_path / "run", *FINISHED, "--names", "1=box") == 0
    after = times(out)
    rewritten = {path for path in before if after[path] != before[path]}
    assert rewritten == {*lost, out / "volumes.csv", out / "run.json"}


def test_predicting_gives_the_maps_of_the_fit(finished, capsys):
    model, out = str(finished / "out" / "model.safetensors"), finished / "predicted"
    command = ["predict", model, str(finished / "scans"), "--out", str(out)]
    assert main(command) == 0
    for name in GRIDS:
        both = [
            nibabel.load(finished / each / "segmentations" / f"{name}.nii.gz")
            for each in ("out", "predicted")
        ]
        assert_array_equal(*[np.asarray(each.dataobj) for each in both])
    assert (out / "volumes.csv").read_text().splitlines()[0] == "scan,labeled,1_ml"
    capsys.readouterr()
    assert main(command) == 0
    assert "Nothing to do" in capsys.readouterr().err


# --- few slices


def test_slices_of_scans_that_have_few_are_images(tmp_path, capsys):
    wide, tall = np.diag([1.0, 1, 8, 1]), np.diag([2.0, 2, 8, 1])
    # The slices along the first axis of the file, from the head down.
    turned = np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0], [-8.0, 0, 0, 0], [0, 0, 0, 1]])
    grids = {"a": ((32, 30, 3), wide), "b": ((30, 30, 3), wide), "c": ((3, 32, 30), turned)}
    for seed, (name, grid) in enumerate(grids.items()):
        labels = tmp_path / "labels" / "a.nii.gz" if name == "a" else None
        write_scan(tmp_path / "scans" / f"{name}.nii.gz", *grid, labels, seed)
    assert run(tmp_path, *QUICK) == 0
    assert "few slices" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["slice_axis"], record["spacing_mm"]) == (2, [1, 1])
    assert record["plan"]["largest_component_of_volumes"] == []  # one labeled scan tells nothing
    model = load(tmp_path / "out" / "model.safetensors")
    assert model.n_dims_ == 2
    for seed, (name, (shape, affine)) in enumerate(grids.items()):
        truth = write_scan(tmp_path / "again" / "x.nii", shape, affine, seed=seed) == 1
        written = nibabel.load(tmp_path / "out" / "segmentations" / f"{name}.nii.gz")
        assert_array_equal(written.affine, affine)
        found = np.asarray(written.dataobj) == 1
        assert found.shape == shape
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.6, name
    # A new scan of more slices, with larger pixels: its voxels are long, and tell what a slice is.
    truth = write_scan(tmp_path / "new" / "d.nii.gz", (16, 16, 5), tall) == 1
    out = tmp_path / "predicted"
    options = ("--out", str(out), "--device", "cpu")
    assert (
        main(["predict", str(tmp_path / "out" / "model.safetensors"), str(tmp_path / "new"), *options]) == 0
    )
    found = np.asarray(nibabel.load(out / "segmentations" / "d.nii.gz").dataobj) == 1
    assert found.shape == (16, 16, 5)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.6
    # In a volume of equal sides, nothing tells where its slices are.
    write_scan(tmp_path / "cube" / "e.nii.gz", (20, 20, 20), np.eye(4))
    options = ("--out", str(tmp_path / "refused"), "--device", "cpu")
    assert (
        main(["predict", str(tmp_path / "out" / "model.safetensors"), str(tmp_path / "cube"), *options]) == 2
    )
    assert "3 axes; the model was made for 1 and 2" in capsys.readouterr().err


def test_scans_keep_the_largest_piece_of_what_labeled_scans_show_in_one():
    labels = np.zeros((12, 12, 4), dtype=int)
    # 3 is in one piece in each slice, and not in the volume.
    labels[2:6, 2:6], labels[7:10, 7:10, :1], labels[7:10, 7:10, 2:] = 1, 3, 3
    partly = np.where(np.arange(4) == 1, labels, -1)
    maps = [labels, np.flip(labels, 0), partly, None]
    image = labels.astype(float)
    scans = [Scan("x", "x.nii", image, each, (1, 1, 8), labels.shape) for each in maps]
    model = SimpleNamespace(
        classes_=np.array([0, 1, 3]), unlabeled_label=-1, plan_={"largest_component": [1, 3]}
    )
    assert single_in_volumes(model, scans) == [1]
    assert single_in_volumes(model, [scans[0], *scans[2:]]) == []  # one volume tells nothing
    model.plan_["largest_component"] = [3]
    assert single_in_volumes(model, scans) == []
    found = labels.copy()
    found[0, 0, 3] = 1
    drop_pieces(found, model)  # made before there was such a plan
    assert found[0, 0, 3] == 1
    model.plan_["largest_component_of_volumes"] = [1]
    drop_pieces(found, model)
    assert_array_equal(found, labels)


# --- interruptions


@pytest.fixture
def answers_ctrl_c():
    """Jobs in the background ignore Ctrl-C, and pytest may be one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("answers_ctrl_c")
def test_an_interrupted_fit_goes_on(finished, tmp_path, monkeypatch, capsys):
    write_folder(tmp_path)
    save_checkpoint = Checkpoint.save

    def save_and_interrupt(self, outcome):
        save_checkpoint(self, outcome)
        signal.raise_signal(signal.SIGINT)  # Ctrl-C, after pre-training

    monkeypatch.setattr(Checkpoint, "save", save_and_interrupt)
    capsys.readouterr()
    assert run(tmp_path, *FINISHED) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.safetensors").exists()
    monkeypatch.undo()
    assert run(tmp_path, *FINISHED) == 0
    for name in GRIDS:
        both = [
            nibabel.load(each / "out" / "segmentations" / f"{name}.nii.gz") for each in (tmp_path, finished)
        ]
        assert_array_equal(*[np.asarray(each.dataobj) for each in both])


def test_interrupted_writing_goes_on_where_it_was(tmp_path, monkeypatch):
    write_folder(tmp_path)
    draw, drawn = steps.draw, []

    def draw_one(scan, *args):
        if drawn:
            raise KeyboardInterrupt
        drawn.append(scan.name)
        draw(scan, *args)

    monkeypatch.setattr(steps, "draw", draw_one)
    assert run(tmp_path, *QUICK) == 130
    out = tmp_path / "out"
    before = times(out)
    assert sorted(path.name for path in (out / "segmentations").iterdir()) == ["a.nii.gz", "b.first.nii.gz"]
    monkeypatch.undo()
    monkeypatch.setattr(steps, "fit", lambda *args: pytest.fail("fitted again"))
    assert run(tmp_path, *QUICK) == 0
    after = times(out)
    for path in before.keys() - {out / "run.json"}:
        assert after.get(path, before[path]) == before[path], path
    assert len((out / "volumes.csv").read_text().splitlines()) == 5


def test_other_results_are_replaced_only_if_asked(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    folder = tmp_path / "run"
    (folder / "out" / "segmentations" / "mine.txt").write_text("notes")
    before = times(folder)
    assert run(folder, *FINISHED[:-1], "4", "--names", "1=box") == 2
    assert "another run: seed was 3, and now is 4" in capsys.readouterr().err
    write_scan(folder / "scans" / "e.nii.gz", *GRIDS["a"])
    assert run(folder, *FINISHED, "--names", "1=box") == 2
    assert "another run: the scan 'e' has been added" in capsys.readouterr().err
    (folder / "scans" / "e.nii.gz").unlink()
    assert times(folder) == before
    assert run(folder, *QUICK, "--seed", "4", "--overwrite") == 0
    assert (folder / "out" / "segmentations" / "mine.txt").exists()
    assert (folder / "out" / "volumes.csv").read_text().startswith("scan,labeled,1_ml")


def test_a_run_that_reached_nothing_is_begun_anew(tmp_path, monkeypatch):
    write_folder(tmp_path)

    def stop(*args):
        raise MemoryError

    monkeypatch.setattr(steps, "fit", stop)
    assert run(tmp_path, *QUICK, "--seed", "1") == 2
    monkeypatch.undo()
    assert run(tmp_path, *QUICK) == 0


def test_an_interrupted_run_that_replaces_another_goes_on(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    folder = tmp_path / "run"

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "draw", stop)
    assert run(folder, *QUICK, "--overwrite") == 130
    monkeypatch.undo()
    monkeypatch.setattr(steps, "fit", lambda *args: pytest.fail("fitted again"))
    assert run(folder, *QUICK, "--overwrite") == 0


# --- wrong input: one line, status 2, and nothing is lost


def no_scans(folder):
    shutil.rmtree(folder / "scans")
    (folder / "scans").mkdir()
    return "There is no *.nii or *.nii.gz in"


def no_folder(folder):
    shutil.rmtree(folder / "scans")
    return "There is no folder"


def labels_without_a_scan(folder):
    shutil.copy(folder / "labels" / "a.nii.gz", folder / "labels" / "z.nii.gz")
    return "z.nii.gz' has no scan of its name"


def no_label_file(folder):
    (folder / "labels" / "a.nii.gz").unlink()
    return "There is no *.nii or *.nii.gz in"


def no_labeled_voxel(folder):
    image = nibabel.load(folder / "labels" / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.full(image.shape, -1, np.int16), image.affine), image.get_filename())
    return "No voxel in"


def one_class(folder):
    image = nibabel.load(folder / "labels" / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones(image.shape, np.int16), image.affine), image.get_filename())
    return "class"


def labels_that_are_nan(folder):
    image = nibabel.load(folder / "labels" / "a.nii.gz")
    values = np.where(image.get_fdata() > 0, 1, np.nan).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, image.affine), image.get_filename())
    return "it has values that are NaN"


def a_file_twice(folder):
    (folder / "scans" / "c.nii").write_text("an older version")
    return "c.nii.gz' are files of one name"


def spoil_scan(folder, where, value):
    image = nibabel.load(folder / "scans" / "b.first.nii.gz")
    values = image.get_fdata(dtype=np.float32)
    values[where] = value
    nibabel.save(nibabel.Nifti1Image(values, image.affine), image.get_filename())


def a_scan_of_nan(folder):
    spoil_scan(folder, ..., np.nan)
    return "b.first.nii.gz' has no values"


def a_scan_with_infinity(folder):
    spoil_scan(folder, (0, 0, 0), np.inf)
    return "b.first.nii.gz' holds infinity"


def voxels_of_meters(folder):
    write_scan(folder / "scans" / "c.nii.gz", (8, 8, 12), np.diag([1500.0, 1500, 1000, 1]))
    return "c.nii.gz' has voxels of 1500 x 1500 x 1000 mm"


def labels_of_another_shape(folder):
    write_scan(folder / "other" / "a.nii.gz", (5, 5, 5), np.eye(4), folder / "labels" / "a.nii.gz")
    return "has the spatial shape (5, 5, 5)"


def labels_elsewhere(folder):
    write_scan(folder / "other" / "a.nii.gz", GRIDS["a"][0], np.eye(4), folder / "labels" / "a.nii.gz")
    return "The affines of"


def labels_that_are_none(folder):
    shutil.copy(folder / "scans" / "a.nii.gz", folder / "labels" / "a.nii.gz")
    return "does not hold labels"


def a_header_cut_short(folder):
    path = folder / "scans" / "b.first.nii.gz"
    path.write_bytes(path.read_bytes()[:20])
    return "b.first.nii.gz' cannot be read"


def a_scan_cut_short(folder):
    path = folder / "scans" / "b.first.nii.gz"
    path.write_bytes(path.read_bytes()[:-500])
    return "b.first.nii.gz' cannot be read"


def a_scan_that_is_none(folder):
    (folder / "scans" / "b.first.nii.gz").write_text("no scan")
    return "b.first.nii.gz"


def scans_of_other_axes(folder):
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 5), np.float32), np.eye(4)), folder / "scans" / "x.nii")
    return "has 2 axes, but"


def a_single_slice(folder):
    image = nibabel.Nifti1Image(np.zeros((5, 5, 1), np.float32), np.eye(4))
    nibabel.save(image, folder / "scans" / "x.nii")
    return "is a single slice"


def scans_of_other_channels(folder):
    image = nibabel.Nifti1Image(np.zeros((5, 5, 5, 2), np.float32), np.eye(4))
    nibabel.save(image, folder / "scans" / "x.nii")
    return "has 2 channels, but"


def out_below_a_file(folder):
    (folder / "out").write_text("a file")
    return "out"


def out_with_something_else(folder):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.txt").write_text("years of work")
    return "is not empty, and holds no results of ssldec"


def out_with_a_damaged_record(folder):
    (folder / "out").mkdir()
    (folder / "out" / "run.json").write_text("{")
    return "run.json' is damaged"


@pytest.mark.parametrize(
    "spoil",
    [
        no_scans, no_folder, labels_without_a_scan, no_label_file, no_labeled_voxel, one_class,
        labels_of_another_shape, labels_elsewhere, labels_that_are_none, a_scan_cut_short,
        a_header_cut_short, a_single_slice, a_scan_that_is_none, scans_of_other_axes, scans_of_other_channels,
        voxels_of_meters, labels_that_are_nan, a_file_twice, a_scan_of_nan, a_scan_with_infinity,
        out_below_a_file, out_with_something_else, out_with_a_damaged_record,
    ],
)  # fmt: skip
def test_wrong_input_is_told_in_a_line(spoil, tmp_path, capsys):
    write_folder(tmp_path)
    message = spoil(tmp_path)
    inputs = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(tmp_path, *QUICK) == 2
    told = capsys.readouterr().err.splitlines()
    (line,) = [each for each in told if not each.startswith(("Learning from", "Voxel sizes differ"))]
    assert line.startswith("ssldec: error: ")
    assert message in line
    assert all(path.read_bytes() == content for path, content in inputs.items())


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (one_class, (), "at least 2 classes"),
        (a_scan_of_nan, (), "b.first.nii.gz"),
        (a_scan_with_infinity, (), "b.first.nii.gz"),
        (None, ("--device", "nonsense"), "device must be"),
        (None, ("--names", "2=tumor"), "name for label 2; the labels are [0, 1]"),
    ],
)
def test_wrong_input_does_not_cost_the_results_that_it_would_replace(
    spoil, options, message, finished, tmp_path, capsys
):
    shutil.copytree(finished, tmp_path / "run")
    folder = tmp_path / "run"
    if spoil:
        spoil(folder)
    before = times(folder)
    assert run(folder, *QUICK, "--overwrite", *options) == 2
    assert message in capsys.readouterr().err
    assert times(folder) == before


def test_predicting_names_a_scan_that_is_wrong_before_it_begins(finished, tmp_path, capsys):
    shutil.copytree(finished / "scans", tmp_path / "scans")
    predict = ["predict", str(finished / "out" / "model.safetensors"), str(tmp_path / "scans")]
    predict += ["--out", str(tmp_path / "out")]
    assert main([*predict, "--names", "2=tumor"]) == 2
    assert "name for label 2; the labels are [0, 1]" in capsys.readouterr().err
    a_scan_with_infinity(tmp_path)
    assert main(predict) == 2
    assert "b.first.nii.gz' holds infinity" in capsys.readouterr().err
    assert times(tmp_path / "out") == {}


def test_a_slice_without_values_is_refused_where_slices_are_images(tmp_path, capsys):
    write_scan(tmp_path / "scans" / "a.nii.gz", (30, 30, 3), np.eye(4), tmp_path / "labels" / "a.nii.gz")
    write_scan(tmp_path / "scans" / "b.first.nii.gz", (30, 30, 3), np.eye(4))
    spoil_scan(tmp_path, np.s_[:, :, 0], np.nan)
    assert run(tmp_path, *QUICK) == 2
    assert "b.first.nii.gz' has a slice without values" in capsys.readouterr().err


def test_results_do_not_go_where_the_scans_are(tmp_path, capsys):
    write_folder(tmp_path)
    for name in ("scans", "labels"):
        assert run(tmp_path, out=name) == 2
        assert "--out must be another folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused_before_reading(tmp_path, capsys, monkeypatch):
    write_folder(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(steps, "read_scans", lambda *args: pytest.fail("read"))
    assert run(tmp_path) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_models_that_are_none(finished, tmp_path, capsys):
    predict = ("predict", "{}", str(finished / "scans"), "--out", str(tmp_path / "out"))

    def refused(path):
        assert main([part.format(path) for part in predict]) == 2
        assert not (tmp_path / "out").exists()
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "No such file" in refused(tmp_path / "nowhere")
    (tmp_path / "text").write_text("no model")
    assert "cannot be loaded" in refused(tmp_path / "text")
    X = np.random.default_rng(0).random((40, 2))
    save(
        SSLDECClassifier(max_iter=0, random_state=0).fit(X, np.where(X[:, 1] < 0.8, X[:, 0] > 0.5, -1)),
        tmp_path / "classifier",
    )
    assert "is a SSLDECClassifier, and no model of scans" in refused(tmp_path / "classifier")


def test_scans_that_the_model_was_not_made_for(finished, tmp_path, capsys):
    image = nibabel.Nifti1Image(np.zeros((9, 9, 9, 2), np.float32), np.eye(4))
    (tmp_path / "scans").mkdir()
    nibabel.save(image, tmp_path / "scans" / "x.nii")
    model = str(finished / "out" / "model.safetensors")
    assert main(["predict", model, str(tmp_path / "scans"), "--out", str(tmp_path / "out")]) == 2
    assert "has 2 channels and 3 axes; the model was made for 1 and 3" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["nibabel", "matplotlib"])
def test_a_missing_package_is_named_with_what_to_install(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert run(write_folder(tmp_path)) == 2
    assert f"The package {package} is missing: python -m pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--seed", "-1"),
        ("--names", "anterior"),
        ("--names", "1="),
        ("--names", "1=a,1=b"),
        ("--max-iter", "x"),
        ("--seed", "4294967296"),
    ],
)
def test_wrong_options_are_told_by_argparse(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *wrong)
    assert stop.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]


def test_as_a_process(tmp_path):
    command = [sys.executable, "-m", "sklearn_ssldec.command"]
    arguments = ["segment", str(tmp_path / "nowhere"), "--labels", "x", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    # An old matplotlib notes what a new pyparsing does not like.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Note: ")]
    assert lines == [f"ssldec: error: There is no folder {str(tmp_path / 'nowhere')!r}."]


def test_help_names_what_is_written(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["segment", "--help"])
    assert stop.value.code == 0
    assert "volumes.csv" in capsys.readouterr().out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("sklearn-ssldec ")


# --- which files belong together


def test_cases_of_both_layouts(tmp_path):
    for name in ("x_0000", "x_0001", "y_0000", "y_0001"):
        write_scan(tmp_path / "scans" / f"{name}.nii.gz", (3, 3, 3), np.eye(4))
    write_scan(tmp_path / "other" / "y.nii", (3, 3, 3), np.eye(4), tmp_path / "labels" / "y.nii.gz")
    cases = find_cases(tmp_path / "scans", tmp_path / "labels")
    assert cases.names == ["x", "y"]
    assert [len(files) for files in cases.files] == [2, 2]
    assert cases.labels == [None, str(tmp_path / "labels" / "y.nii.gz")]
    assert find_cases(tmp_path / "scans", n_channels=2).files == cases.files
    # without labels, and for one channel, these are four scans
    assert len(find_cases(tmp_path / "scans").names) == 4
    for name in ("x_0001", "y_0001"):
        (tmp_path / "scans" / f"{name}.nii.gz").unlink()
    assert find_cases(tmp_path / "scans").names == ["x", "y"]
    (tmp_path / "scans" / "y_0000.nii.gz").rename(tmp_path / "scans" / "y_0001.nii.gz")
    with pytest.raises(ValueError, match="The case 'x' has the channels"):
        find_cases(tmp_path / "scans", tmp_path / "labels")


def test_endings_in_capitals_are_scans_and_labels_too(tmp_path):
    write_scan(tmp_path / "scans" / "x.NII.GZ", (3, 3, 3), np.eye(4), tmp_path / "labels" / "x.NII")
    write_scan(tmp_path / "scans" / "y.nii", (3, 3, 3), np.eye(4))
    cases = find_cases(tmp_path / "scans", tmp_path / "labels")
    assert cases.names == ["x", "y"]
    assert cases.labels == [str(tmp_path / "labels" / "x.NII"), None]
    assert load_nifti(cases.files[0][0]).shape == (3, 3, 3)
    (tmp_path / "scans" / "y.Nii.gz").write_bytes(b"an older version")
    with pytest.raises(ValueError, match="are files of one name"):
        find_cases(tmp_path / "scans")
