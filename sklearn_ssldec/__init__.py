"""Semi-supervised learning with deep embedded clustering (SSLDEC) for scikit-learn users."""

from sklearn_ssldec.classifier import SSLDECClassifier

__version__ = "0.1.0.dev0"

__all__ = ["SSLDECClassifier"]
