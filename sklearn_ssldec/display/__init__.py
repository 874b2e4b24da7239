"""Figures of what was learned, in scikit-learn's Display convention; they need matplotlib."""

from sklearn_ssldec.display.boundary import BoundaryDisplay
from sklearn_ssldec.display.embedding import EmbeddingDisplay
from sklearn_ssldec.display.errors import LabeledConfusionMatrixDisplay, MisclassifiedDisplay
from sklearn_ssldec.display.history import TrainingHistoryDisplay
from sklearn_ssldec.display.outlines import OutlineDisplay
from sklearn_ssldec.display.segmentation import SegmentationDisplay
from sklearn_ssldec.display.slices import SuggestedSlicesDisplay

__all__ = [
    "BoundaryDisplay",
    "EmbeddingDisplay",
    "LabeledConfusionMatrixDisplay",
    "MisclassifiedDisplay",
    "OutlineDisplay",
    "SegmentationDisplay",
    "SuggestedSlicesDisplay",
    "TrainingHistoryDisplay",
]
