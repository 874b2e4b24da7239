"""The scripts of examples/paper: their settings are valid, their draws kept, their tables right."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "paper"
pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason="needs the examples, which the wheel does not hold"
)


@pytest.fixture(autouse=True)
def path_to_examples(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_results_are_kept_and_not_run_again(tmp_path):
    from _results import Results

    results = Results(tmp_path / "table.json", "Title", {"labels": 8})
    results.add("a", 0, error=0.1, seconds=1.0)
    results.add("a", 1, error=0.3, seconds=3.0)
    again = Results(tmp_path / "table.json", "Title", {"labels": 8})
    assert again.has("a", 0)
    assert not again.has("a", 2)
    table = again.write_table(["a"], {"error": "test error"}, "make table", worst=np.max)
    assert "| a | 20.00 (10.00) | 30.00 | 2.00 |" in table
    again.add("b", 0, error=0.5, seconds=1.0)
    uneven = again.write_table(["a", "b"], {"error": "test error"}, "make table", worst=np.max)
    assert "| b | 50.00 (0.00) | 50.00 | 1 | 1.00 |" in uneven
    again.write_table(["a"], {"error": "test error"}, "make table", worst=np.max)
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# Title")
    assert "2 draw(s). Measured with `make table` on hardware" in text
    kept = json.loads((tmp_path / "table.json").read_text())
    assert kept["summary"]["a"]["error, %"] == pytest.approx({"mean": 20, "sd": 10, "worst": 30})
    with pytest.raises(SystemExit, match="holds another protocol"):
        Results(tmp_path / "table.json", "Title", {"labels": 100})


def test_half_moons_have_the_labels_of_the_protocol():
    from figure_4_half_moons import half_moons

    for spread in (True, False):
        X, y, truth = half_moons(3, spread)
        assert [np.sum(y == moon) for moon in (0, 1)] == [4, 4]
        assert np.array_equal(y[y != -1], truth[y != -1])
    places = [np.mean(X[truth == moon, 0] < X[y == moon, 0][:, None], axis=1) for moon in (0, 1)]
    assert np.std(places) > 0
    X, y, truth = half_moons(3, spread=True)
    for moon in (0, 1):
        share = np.sort(np.mean(X[truth == moon, 0] < X[y == moon, 0][:, None], axis=1))
        np.testing.assert_allclose(share, [0.05, 0.35, 0.65, 0.95], atol=0.01)


def test_figure_4_is_drawn(tmp_path, capsys):
    from figure_4_half_moons import draw_figure, half_moons

    from sklearn_ssldec import SSLDECClassifier

    X, y, truth = half_moons(0, spread=True)
    clf = SSLDECClassifier(max_iter=2, random_state=0).fit(X, y)
    accuracy = float(np.mean(clf.predict(X) == truth))
    draw_figure(X, y, {"supervised": (clf, accuracy), "SSLDEC": (clf, accuracy)}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_image_protocol(tmp_path, monkeypatch):
    """The paper's settings are valid, and every method runs on the images of a draw."""
    import figure_5_mnist
    from _protocol import image_methods, run_one

    rng = np.random.RandomState(0)
    target = np.arange(200) % 10
    images = np.float32(rng.rand(200, 28, 28) + 2 * (target[:, None, None] == np.arange(28) // 3))
    monkeypatch.setattr(figure_5_mnist, "images", lambda: (images, target, images[:20], target[:20]))

    def load(draw):
        return figure_5_mnist.load(draw, n_train=150, n_labeled=20)

    data = load(0)
    assert [np.sum(data.y == digit) for digit in range(10)] == [2] * 10
    quick = {"module__width": 0.02, "pretrain_epochs": 1, "max_iter": 1}
    methods = image_methods(1, **{**figure_5_mnist.PAPER, "module__convs_per_block": 1, **quick})
    errors = {name: run_one(estimator, load, 0)["error"] for name, estimator in methods.items()}
    assert len(errors) == 11
    assert all(0 <= error <= 1 for error in errors.values())
    assert methods["supervised only (max_iter=0)"].n_iter_ == 0
    assert methods["SSLDEC"].n_iter_ == 1


def volumes(n, rng):
    """Cubes with two parts, in noise: images of two channels and label maps 0, 1, 2."""
    maps = []
    for _ in range(n):
        labels = np.zeros((22, 23, 24), dtype=np.int16)
        labels[6:16, 6:16, 6:11], labels[6:16, 6:16, 11:16] = 1, 2
        maps.append(labels)
    return [np.stack([m, -m]) + 0.3 * rng.standard_normal((2, *m.shape)) for m in maps], maps


def test_segmentation_protocol(tmp_path):
    """Every method runs on a draw, its start is what max_iter=0 gives, and finished draws are kept."""
    import _segmentation as protocol
    from _results import Results

    from sklearn_ssldec import SSLDECSegmenter
    from sklearn_ssldec.baselines import PseudoLabelSegmenter
    from sklearn_ssldec.metrics import dice_score

    X, maps = volumes(4, np.random.default_rng(0))

    def load(n_labeled, draw):
        return protocol.Draw(X[:3], [*maps[:n_labeled], *[None] * (3 - n_labeled)], maps[:3], X[3:], maps[3:])

    small = {"module__width": 0.1, "pretrain_epochs": 2, "patches_per_epoch": 4, "min_batches": 1}
    segmenters = protocol.methods(**small, max_iter=1)
    rows = [(1, protocol.PSEUDO), (1, protocol.SSLDEC), (0, protocol.HIGHER)]
    results = Results(tmp_path / "table.json", "Title", {})
    after = protocol.AS_PREDICTED | {protocol.PIECE: protocol.largest_piece}
    protocol.run(results, segmenters, load, rows, n_draws=1, n_jobs=1, after=after)
    for start, segmenter in ((protocol.LOWER, SSLDECSegmenter), (protocol.SOFTMAX, PseudoLabelSegmenter)):
        supervised = segmenter(**small, max_iter=0, random_state=0).fit(X[:3], [maps[0], None, None])
        kept = results.content["draws"][f"{start}, 1 labeled"]["0"]
        assert kept["dice"] == pytest.approx(supervised.score(X[3:], maps[3:]), abs=1e-6)
        pieces = protocol.largest_piece(load(1, 0), supervised.predict(X[3:]))
        kept = results.content["draws"][f"{start}{protocol.PIECE}, 1 labeled"]["0"]
        assert kept["dice"] == pytest.approx(dice_score(maps[3:], pieces, labels=[1, 2]), abs=1e-6)
    protocol.run(results, {}, load, rows, n_draws=1, n_jobs=1)  # nothing is left to run
    text = protocol.table(results, [1], {"dice_1": "one"}, "make table", "Notes.")
    assert text.count("\n") == 11  # two lines of heading, five rows, each with all pieces and with one
    assert (
        f"1 labeled: {protocol.SSLDEC} minus {protocol.LOWER}, draw by draw:"
        in (tmp_path / "table.md").read_text()
    )


def test_largest_piece():
    import _segmentation as protocol

    labels = np.zeros((6, 6, 6), dtype=int)
    labels[:2], labels[2] = 1, 2  # one piece of two labels
    labels[4:, 0, 0] = 2
    nothing = np.zeros((3, 3), dtype=int)
    kept, still_nothing = protocol.largest_piece(None, [labels, nothing])
    labels[4:] = 0
    np.testing.assert_array_equal(kept, labels)
    np.testing.assert_array_equal(still_nothing, nothing)


def test_brainweb_stand_in(tmp_path, monkeypatch):
    import figures_9_10_11_iseg as iseg

    rng = np.random.default_rng(0)
    scans = {}
    for i in range(8):
        tissue = np.zeros((20, 21, 22), dtype=np.uint8)
        tissue[2:-2, 2:-2, 2:-2] = rng.integers(1, 4, (16, 17, 18))
        scans |= {f"t1_{i}": 50 * tissue, f"t2_{i}": 200 - 50 * tissue, f"label_{i}": tissue}
    np.savez(tmp_path / "brainweb_sim_2mm.npz", **scans)
    monkeypatch.setenv("SSLDEC_DATA", str(tmp_path))
    data = iseg.load(None, 2, 0)
    assert (len(data.X), len(data.X_test)) == (3, 5)
    assert data.y[2] is None
    assert data.X[0].shape == (2, 16, 17, 18)  # without the air around the head
    assert (data.y[0] != -1).any(axis=(0, 1)).mean() == pytest.approx(1 / 5, abs=0.05)
    assert set(np.unique(data.truth[0])) == {10, 150, 250}
    apart = iseg.background_apart(data, [np.where(image[0] == 0, 10, 150) for image in data.X_test])
    assert all((labels[image[0] == 0] == 0).all() for labels, image in zip(apart, data.X_test, strict=True))
    image, truth = data.X_test[0], data.y_test[0]
    wrong = truth.copy()
    wrong[:, :, truth.shape[2] // 2] = 0
    figure = iseg.draw_slices(image, truth, {"right": truth, "wrong": wrong})
    shown = [ax.images[0].get_array() for ax in figure.axes[:5]]
    red = [(np.asarray(pixels)[..., 0] > np.asarray(pixels)[..., 1]).sum() for pixels in shown[2:]]
    assert red == [0, 0, (truth[:, :, truth.shape[2] // 2] != 0).sum()]
    iseg.plt.close(figure)
