"""Semi-supervised learning with deep embedded clustering (SSLDEC) for scikit-learn users."""

from sklearn_ssldec._estimators.classifier import SSLDECClassifier
from sklearn_ssldec._estimators.segmenter import SSLDECSegmenter

__version__ = "0.1.0.dev0"

__all__ = ["SSLDECClassifier", "SSLDECSegmenter"]
