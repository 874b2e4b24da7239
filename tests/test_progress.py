"""verbose=1: a bar that moves with batches in a terminal, a line an iteration elsewhere."""

import io
import re
import sys

import numpy as np
import pytest

from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec._training.progress import Progress

QUICK = {"device": "cpu", "random_state": 0, "pretrain_epochs": 20, "verbose": 1}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_where_there_is_no_terminal(blobs, capsys):
    X, y, _ = blobs
    SSLDECClassifier(**QUICK, max_iter=3, tol=0.0, teachers=None).fit(X, y)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"SSLDEC: pre-training done, \d\d:\d\d, about \d\d:\d\d left", lines[0])
    pattern = r"SSLDEC: iteration 2 of at most 3, labeled accuracy 1\.000, changed \d+\.\d\d %, \d\d:\d\d.*"
    assert re.fullmatch(pattern, lines[2])
    assert "nan" not in "".join(lines)


def test_nothing_is_shown_unless_asked_for(blobs, capfd):
    X, y, _ = blobs
    SSLDECClassifier(**{**QUICK, "verbose": 0}, max_iter=1).fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")


def test_without_iterations_nothing_is_nan(blobs, capsys):
    X, y, _ = blobs
    SSLDECClassifier(**QUICK, max_iter=0).fit(X, y)
    assert "nan" not in capsys.readouterr().err


def test_a_bar_in_a_terminal_moves_with_batches(blobs, monkeypatch):
    X, y, _ = blobs
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    moved = []
    work = Progress.work
    monkeypatch.setattr(Progress, "work", lambda self, cost: moved.append(cost) or work(self, cost))
    clf = SSLDECClassifier(**QUICK, max_iter=2, tol=0.0).fit(X, y)
    # 20 batches of pre-training and at least 8 an iteration, besides the predictions
    assert len(moved) > 20 + 2 * 8
    assert clf.n_iter_ == 2
    shown = terminal.getvalue()
    assert "100%" in shown
    assert "labeled accuracy=1.000" in shown
    assert "nan" not in shown


def test_segmenter_tells_of_training_and_prediction(capsys):
    maps = np.zeros((3, 20, 20), int)
    maps[:, 5:15, 5:15] = 1
    images = maps + 0.3 * np.random.default_rng(0).standard_normal(maps.shape)
    settings = {
        "module__width": 0.1,
        "pretrain_epochs": 1,
        "max_iter": 1,
        "random_state": 0,
        "min_batches": 2,
    }
    seg = SSLDECSegmenter(
        **settings, patches_per_epoch=4, patch_size=16, verbose=1, cycle__labeled_threshold=0.0
    )
    seg.fit(images, [maps[0], None, None])
    assert "iteration 1 of at most 1" in capsys.readouterr().err
    seg.predict(images)
    assert "predict: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("expected", [0.0, 10.0])
def test_work_beyond_what_was_expected_is_never_more_than_all(expected, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("fit", expected)
    for _ in range(5):
        progress.work(7)
    progress.close()
    percents = [int(each) for each in re.findall(r"(\d+)%", terminal.getvalue())]
    assert max(percents) == 100
