"""Classifiers of rows: fitting and predicting, whatever the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, check_consistent_length, indexable
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_ssldec._compat import fit_context, safe_indexing
from sklearn_ssldec._estimators.base import BaseSSLDEC, kept_if_fit_fails
from sklearn_ssldec._estimators.defaults import Auto, choose_auto, image_reduction
from sklearn_ssldec._estimators.outcomes import majority, mean_probabilities, warn_of_outcomes
from sklearn_ssldec._samples.placing import resolve_device
from sklearn_ssldec._samples.reduction import reduced_images
from sklearn_ssldec._samples.rows import as_samples, feature_moments, warn_of_scales
from sklearn_ssldec._samples.sources import Rows
from sklearn_ssldec._samples.sparse import with_short_indices
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.labels import encode_labels, labeled_mask, labeled_values, warn_if_all_labeled


class BaseClassifier(ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSSLDEC):
    """A classifier whose samples are the rows of an array: features, or images."""

    @fit_context(prefer_skip_nested_validation=True)
    @kept_if_fit_fails
    def fit(self, X: Any, y: Any) -> BaseClassifier:
        """Fit to labeled and unlabeled samples.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, n_channels, height, width), or \
                sparse matrix of shape (n, n_features)
            Samples, labeled and unlabeled; computed in float32. Scale features (StandardScaler); images may
            be of any scale, also of integers from 0 to 255. A memory map of float32 in C order is not copied.
            Sparse samples become CSR, and dense batch by batch.
        y : array-like of shape (n_samples,)
            Class labels, and `unlabeled_label` for the samples that have none.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y has the wrong shape or missing values, no sample is labeled, all labels are the same, or
            a parameter is out of its range.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X = self._validated(X, ensure_min_samples=2)
        X = as_samples(X, self.input_shape)
        self.input_shape_ = X.shape[1:]
        self.reduction_ = self._choose_reduction()
        labels = encode_labels(y, self.unlabeled_label)
        check_consistent_length(X, y)
        X = reduced_images(X, self.reduction_)
        self.classes_ = labels.classes
        warn_if_all_labeled(labels, self.unlabeled_label)
        y_call = [labels.codes, labels.classes.tolist()]
        samples = Rows(X, drawn=self._is_drawn())
        settings, outcomes = self._fit_networks(samples, labels, self._auto(X), X=X, y=y_call)
        self._n_features_out = sum(net.module_.head.n_features for net in self.nets_)
        self.label_distributions_ = mean_probabilities([outcome.Q.numpy() for outcome in outcomes], axis=1)
        predicted = np.where(labels.labeled, labels.codes, self.label_distributions_.argmax(axis=1))
        self.transduction_ = self.classes_[predicted]
        votes = [outcome.supervised.numpy() for outcome in outcomes]
        self.supervised_transduction_ = self.classes_[majority(votes, len(self.classes_))]
        warn_of_outcomes(outcomes, self.classes_, settings)
        return self

    def _validated(self, X: Any, **kwargs: Any) -> Any:
        """Return the samples in float32, in CSR format where they are sparse."""
        if isinstance(X, np.ma.MaskedArray) and np.ma.getmaskarray(X).any():
            raise ValueError(
                f"X is a masked array: {np.ma.count_masked(X)} of its values are masked. Fill them, for "
                "example with X.filled(np.nan) and a SimpleImputer."
            )
        X = validate_data(self, X, dtype=np.float32, order="C", accept_sparse="csr", allow_nd=True, **kwargs)
        return with_short_indices(X)

    def _auto(self, X: np.ndarray) -> Auto:
        variances = None
        if X.ndim == 2:
            moments = feature_moments(X)
            warn_of_scales(X, moments, getattr(self, "feature_names_in_", None))
            variances = moments.variance
        auto = choose_auto(X, resolve_device(self.device), variances, drawn=self._is_drawn())
        has_views = auto.net.get("predict_views", False)
        if self._predict_views() and not has_views:
            raise ValueError(
                "net__predict_views must be False, except for images whose targets are drawn; got True for "
                f"samples of shape {X.shape[1:]}, targets {'drawn' if self._is_drawn() else 'of all'}."
            )
        if has_views and not isinstance(self.augment, str):  # of which nobody knows whether images may move
            auto = replace(auto, net={**auto.net, "predict_views": False})
        return auto

    def _predict_views(self) -> bool | None:
        """Return `net__predict_views`, or None if it is not set."""
        return self._of_part("net").get("predict_views")

    def _choose_reduction(self) -> int:
        """Return the side of the blocks of pixels that are one pixel for the network; 1 for rows."""
        given, shape = self._of_part("net").get("reduction", "auto"), self.input_shape_
        if isinstance(given, str):
            if getattr(self, "warm_start", False) and hasattr(self, "nets_"):
                return getattr(self, "reduction_", 1)  # what the network has learned holds at this resolution
            is_own = not isinstance(self.module, str)
            return 1 if len(shape) != 3 or is_own else image_reduction(shape)
        if not isinstance(given, Integral):
            raise ValueError(f"net__reduction must be 'auto' or a whole number for images, got {given!r}.")
        k = int(given)
        if k < 1 or (k > 1 and (len(shape) != 3 or min(shape[1:]) < 4 * k)):
            raise ValueError(
                "net__reduction must leave images of at least 4 pixels a side, and be 1 for rows; got "
                f"{k} for samples of shape {shape}."
            )
        return k

    def _is_drawn(self) -> bool:
        """Return whether targets are computed where they are used, rather than those of all rows at once."""
        return False

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities, averaged over the networks.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Probabilities (q of eq. 1), in the order of `classes_`; rows sum to 1.
        """
        views = self._predict_views()
        if views and len(getattr(self, "input_shape_", ())) == 1:
            raise ValueError("net__predict_views must be False for rows of features, got True.")
        return mean_probabilities(
            self._apply(lambda net, samples: net.predicted_assignment(samples, views), X), axis=1
        )

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        probabilities = self.predict_proba(X)  # before classes_: it checks whether the estimator is fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def transform(self, X: Any) -> np.ndarray:
        """Embed samples: z of eq. 1, with the embeddings of several networks side by side.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_estimators * embedding_size), float32
            Embeddings.
        """
        return np.hstack(self._apply(SSLDECNet.embed, X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the labeled rows; unlabeled ones do not count.

        Parameters
        ----------
        X : array-like of the shape of that in `fit`
            Samples.
        y : array-like of shape (n_samples,)
            True labels, `unlabeled_label` where unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        float
            Share of the labeled samples that are predicted correctly.

        Raises
        ------
        ValueError
            If no row is labeled, or the lengths of X, y and `sample_weight` differ.
        """
        X, y, sample_weight = indexable(X, y, sample_weight)
        labeled = labeled_mask(y, self.unlabeled_label)
        if not labeled.any():
            raise ValueError(
                f"score needs at least one labeled sample: all of y is {self.unlabeled_label!r}. Split the "
                "labeled samples over the folds: StratifiedKFold on y, rather than KFold, does."
            )
        rows = np.flatnonzero(labeled)
        if sample_weight is not None:
            sample_weight = safe_indexing(sample_weight, rows)
        predicted = self.predict(safe_indexing(X, rows))
        given = labeled_values(y, self.unlabeled_label)
        return accuracy_score(given, predicted, sample_weight=sample_weight)

    def _apply(self, method: Callable[[SSLDECNet, Any], Tensor], X: Any) -> list[np.ndarray]:
        """Call a method of each net with the samples, and return the results."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        X = as_samples(X, self.input_shape)
        if X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"X holds samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted with samples "
                f"of shape {self.input_shape_}."
            )
        # Classifiers that were saved before images were reduced have no such attribute.
        X = reduced_images(X, getattr(self, "reduction_", 1))
        samples, _ = Rows(X).place(torch.device("cpu"))
        results = []
        for net in self.nets_:
            with net.threads():
                results.append(method(net, samples).cpu().numpy())
        return results

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: float32 comes out, whatever goes in, and X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        return tags
