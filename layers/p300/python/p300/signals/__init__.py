"""From a continuous recording to single-flash features, with the numbers MNE-Python gives."""

from .extraction import extract
from .parameters import Parameters

__all__ = ["Parameters", "extract"]
