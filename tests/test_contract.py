"""scikit-learn's own checks of an estimator, those it runs by itself and those it does not."""

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ssldec import SSLDECClassifier, baselines

# Small enough for 120 checks in seconds; what the checks look at does not depend on the size.
SMALL = {"module__hidden_units": (32,), "pretrain_epochs": 10, "pretrain_lr": 2e-2, "device": "cpu"}
CLASSIFIERS = [
    SSLDECClassifier(**SMALL, max_iter=3),
    baselines.SupervisedClassifier(**SMALL),
    baselines.PseudoLabelClassifier(**SMALL, max_iter=3),
    baselines.PiModelClassifier(**SMALL, max_iter=3),
    baselines.TemporalEnsemblingClassifier(**SMALL, max_iter=3),
    baselines.FixMatchClassifier(**SMALL, max_iter=2, min_batches=8),
    baselines.UDAClassifier(**SMALL, max_iter=2, min_batches=8),
    baselines.MeanTeacherClassifier(**SMALL, max_iter=2, min_batches=8),
]

# Some checks fit random labels, and most fit labeled samples only.
pytestmark = [
    pytest.mark.filterwarnings("ignore:y has no unlabeled sample"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:X (has|does not have)( valid)? feature names"),
]


def expected_failed_checks(estimator):
    if estimator.unlabeled_label is None:
        return {}
    return {
        "check_classifiers_classes": "trains on the labels -1 and 1, and -1 marks unlabeled samples; "
        "scikit-learn exempts its own semi-supervised classifiers by name"
    }


@parametrize_with_checks(
    [SSLDECClassifier(**SMALL, max_iter=3, unlabeled_label=None), *CLASSIFIERS],
    expected_failed_checks=expected_failed_checks,  # strictly: pyproject.toml sets xfail_strict
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        "check_dataframe_column_names_consistency",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_global_output_transform_pandas",
        "check_inplace_ensure_writeable",
    ],
)
def test_checks_that_scikit_learn_does_not_yield(check):
    getattr(estimator_checks, check)("SSLDECClassifier", SSLDECClassifier(**SMALL, max_iter=3))
