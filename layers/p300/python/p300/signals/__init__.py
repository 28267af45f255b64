"""From a continuous recording to single-flash features, with the numbers MNE-Python gives."""

from .epochs import EpochFeatures, features_of_epochs
from .extraction import extract
from .parameters import Parameters

__all__ = ["EpochFeatures", "Parameters", "extract", "features_of_epochs"]
