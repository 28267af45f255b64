"""From a continuous recording to single-flash features, with the numbers MNE-Python gives."""

from .bounds import check_derived
from .epochs import EpochFeatures, features_of_epochs
from .extraction import extract
from .parameters import Parameters

__all__ = ["EpochFeatures", "Parameters", "check_derived", "extract", "features_of_epochs"]
