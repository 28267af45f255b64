"""From single-flash evidence to the symbol that a person looks at."""

from .adaptation import Response, adapt
from .bayes import Decoding, decode, evidence
from .layouts import Layout, brain_invaders, grid
from .rates import wilson_interval, wolpaw_bits
from .sessions import Share, Trial, bits_per_minute, by_repetitions, find_trials
from .trials import attended, split_trials, with_gaps

__all__ = [
    "Decoding",
    "Layout",
    "Response",
    "Share",
    "Trial",
    "adapt",
    "attended",
    "bits_per_minute",
    "brain_invaders",
    "by_repetitions",
    "decode",
    "evidence",
    "find_trials",
    "grid",
    "split_trials",
    "wilson_interval",
    "with_gaps",
    "wolpaw_bits",
]
