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
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# Title")
    assert "2 draws. Measured with `make table` on hardware" in text
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
    assert len(errors) == 8
    assert all(0 <= error <= 1 for error in errors.values())
    assert methods["supervised only (max_iter=0)"].n_iter_ == 0
    assert methods["SSLDEC"].n_iter_ == 1
