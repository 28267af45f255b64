"""P300 recordings, signals, models and decoding; knows nothing of Lambda events."""

__version__ = "0.1.0"
