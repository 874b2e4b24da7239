"""Whatever goes in: a fitted classifier with finite probabilities, or an error that names its cause."""

import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_ssldec import SSLDECClassifier

shapes = st.one_of(
    st.tuples(st.integers(0, 12), st.integers(0, 4)),
    st.tuples(st.integers(1, 6), st.integers(2, 6), st.integers(2, 6)),
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6)),
    st.tuples(st.integers(0, 4)),
)
extremes = [float(np.float32(value)) for value in (0.0, 1e20, -1e30, 1e-30, 3.4e38)]
values = st.one_of(st.floats(-3, 3, width=32), st.floats(width=32), st.sampled_from(extremes))
labels = st.one_of(st.integers(-1, 3), st.sampled_from(["a", "b", -1]), st.booleans(), st.none())


@st.composite
def cases(draw):
    shape = draw(shapes)
    dtype = draw(st.sampled_from([np.float32, np.float64, np.uint8, np.int64]))
    elements = values if dtype in (np.float32, np.float64) else st.integers(0, 255)
    X = draw(hnp.arrays(dtype, shape, elements=elements, fill=st.just(dtype(1))))
    kind = draw(st.sampled_from([st.integers(-1, 2), st.sampled_from(["a", "b", -1]), labels]))
    n = draw(st.sampled_from([shape[0], shape[0], shape[0], shape[0] + 1]))
    y = draw(st.lists(kind, min_size=n, max_size=n))
    parameters = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "alpha": st.sampled_from([1e-3, 1.0, 1e3]),
                "balance": st.sampled_from([None, 0.0, 1.0]),
                "class_prior": st.sampled_from(["labeled", [0.5, 0.5], [1.0]]),
                "batch_size": st.integers(1, 5),
                "ema_decay": st.sampled_from([0.0, 0.5]),
                "labeled_weight": st.sampled_from([0.0, 10.0]),
                "lr": st.sampled_from([1e-3, 1.0, (1.0, 1e-9)]),
                "tol": st.sampled_from([0.0, 1.0]),
                "augment": st.none(),
                "unlabeled_label": st.sampled_from([-1, None, "a", 0]),
                "n_estimators": st.integers(1, 2),
            },
        )
    )
    return X, y, parameters


@settings(
    max_examples=80, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
@given(cases())
def test_every_outcome_is_a_fit_or_an_explained_error(case):
    X, y, parameters = case
    clf = SSLDECClassifier(
        device="cpu", random_state=0, max_iter=2, pretrain_epochs=2, max_labeled_epochs=2, min_batches=1,
        **parameters,
    )  # fmt: skip
    if X.ndim == 2:
        clf.set_params(module__hidden_units=(4,))
    elif X.ndim > 2:
        clf.set_params(module__width=0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clf.fit(X, y)
        except (ValueError, TypeError):
            return
        probabilities = clf.predict_proba(X)
    assert probabilities.shape == (len(X), len(clf.classes_))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-4)
    assert len(clf.transduction_) == len(X)
