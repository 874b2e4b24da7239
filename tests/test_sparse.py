"""Sparse samples: the same results as dense ones, and never all of them dense at once."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec.baselines import PiModelClassifier, PseudoLabelClassifier
from sklearn_ssldec.calibration import TemperatureScaledClassifier
from sklearn_ssldec.datasets import mask_labels

QUICK = {"max_iter": 2, "pretrain_epochs": 60, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    X = (rng.random((200, 30)) < 0.1 + 0.5 * (np.arange(30) % 3 == y[:, None])).astype(float)
    return X, y, np.where(rng.random(200) < 0.2, y, -1)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array, sparse.coo_matrix])
def test_sparse_samples_give_what_dense_ones_give(data, make):
    X, y, t = data
    dense = SSLDECClassifier(**QUICK, teachers=None).fit(X, t)
    given = SSLDECClassifier(**QUICK, teachers=None).fit(make(X), t)
    np.testing.assert_allclose(given.predict_proba(make(X)), dense.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(given.transform(make(X)), dense.transform(make(X)), atol=1e-4)
    np.testing.assert_array_equal(given.transduction_, dense.transduction_)
    assert given.score(make(X), y) == dense.score(X, y) > 0.9


def test_long_indices_are_taken_by_teachers_that_are_trees(data):
    X, _, t = data
    X = sparse.csr_array(X)
    expected = SSLDECClassifier(**QUICK).fit(X, t).predict_proba(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    np.testing.assert_array_equal(SSLDECClassifier(**QUICK).fit(X, t).predict_proba(X), expected)


def test_teachers_and_baselines_take_sparse_samples(data):
    X, y, t = data
    X = sparse.csr_matrix(X)
    for make in (SSLDECClassifier, PseudoLabelClassifier, PiModelClassifier):
        assert make(**QUICK).fit(X, t).score(X, y) > 0.9


def test_tools_take_sparse_samples(data):
    X, y, t = data
    X = sparse.csr_matrix(X)
    clf = SSLDECClassifier(**QUICK, teachers=None)
    assert cross_val_score(clf, X, t, cv=2).mean() > 0.8
    assert TemperatureScaledClassifier(clf, cv=2).fit(X, t).score(X, y) > 0.9


def test_a_checkpoint_knows_sparse_samples(data, tmp_path):
    X, _, t = data
    clf = SSLDECClassifier(**QUICK, teachers=None, checkpoint_dir=tmp_path)
    first = clf.fit(sparse.csr_matrix(X), t).predict_proba(X)
    np.testing.assert_array_equal(clf.fit(sparse.csr_matrix(X), t).predict_proba(X), first)
    X[0, 0] = 1 - X[0, 0]
    with pytest.raises(ValueError, match="another fit"):
        clf.fit(sparse.csr_matrix(X), t)


def test_no_more_than_batches_are_dense():
    X = sparse.random(6000, 10_000, density=1e-3, format="csr", dtype=np.float32, random_state=0)
    t = np.where(np.arange(6000) < 100, np.arange(6000) % 2, -1)
    clf = SSLDECClassifier(**QUICK | {"max_iter": 1}, teachers=None, module__hidden_units=(8,))
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise has no scale, and no classes
        clf.fit(X, t).predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 10_000 * 4 / 5


@pytest.mark.filterwarnings("ignore:No sample is predicted")
def test_advice_on_scales_keeps_samples_sparse(data):
    X, _, t = data
    with pytest.warns(UserWarning, match=r"StandardScaler\(with_mean=False\), SSLDECClassifier"):
        SSLDECClassifier(**QUICK, teachers=None).fit(sparse.csr_matrix(X / 1000), t)


def test_rows_of_sparse_samples_are_no_images(data):
    X, _, t = data
    with pytest.raises(ValueError, match=r"X is sparse, and input_shape=\(5, 6\)"):
        SSLDECClassifier(**QUICK, input_shape=(5, 6)).fit(sparse.csr_matrix(X), t)


def test_a_sparse_matrix_that_is_not_finite_is_refused(data):
    X, _, t = data
    X = sparse.csr_matrix(X)
    X.data[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SSLDECClassifier(**QUICK).fit(X, t)


def test_messages_are_classified_from_few_labels():
    rng = np.random.default_rng(0)
    words = {
        0: ["goal", "match", "team", "win", "ball", "player"],
        1: ["stock", "price", "bank", "market", "share", "profit"],
    }
    common = ["the", "a", "of", "and", "in", "on", "was", "is", "it", "to"]
    y = rng.integers(0, 2, 300)
    messages = [" ".join([*rng.choice(words[c], 2), *rng.choice(common, 8)]) for c in y]
    model = make_pipeline(TfidfVectorizer(), SSLDECClassifier(device="cpu", random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rows of length 1 need no scaler
        model.fit(messages, np.where(np.arange(300) < 10, y, -1))
    assert model.score(messages[10:], y[10:]) > 0.95


def test_a_rare_class_of_texts_does_not_die_out():
    # 600 messages of ten common words, in 72 of them three of 40 words that the others lack; ten labels each.
    rng = np.random.RandomState(1)
    truth = rng.permutation(np.repeat([0, 1], [528, 72]))
    common = 1 / np.arange(1, 301)
    counts = np.zeros((600, 340))
    for row, label in zip(counts, truth, strict=True):
        row += np.bincount(rng.choice(300, 10, p=common / common.sum()), minlength=340)
        row += label * np.bincount(300 + rng.randint(40, size=3), minlength=340)
    X = TfidfTransformer().fit_transform(counts).astype(np.float32)
    y = mask_labels(truth, 10, random_state=1)

    def recall(**parameters):
        clf = SSLDECClassifier(random_state=0, **parameters).fit(X, y)
        return np.mean(clf.transduction_[truth == 1] == 1)

    assert recall() > recall(cycle__frequency="soft") + 0.1
