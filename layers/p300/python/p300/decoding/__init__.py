"""From single-flash evidence to the symbol that a person looks at."""

from .adaptation import Response, adapt
from .bayes import Decoding, decode, evidence
from .layouts import Layout, brain_invaders, grid
from .rates import wilson_interval, wolpaw_bits
from .trials import attended, split_trials, with_gaps

__all__ = [
    "Decoding",
    "Layout",
    "Response",
    "adapt",
    "attended",
    "brain_invaders",
    "decode",
    "evidence",
    "grid",
    "split_trials",
    "wilson_interval",
    "with_gaps",
    "wolpaw_bits",
]
