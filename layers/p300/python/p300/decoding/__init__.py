"""From single-flash evidence to the symbol that a person looks at."""

from .bayes import Decoding, decide, decode, evidence
from .causal import causal_log_likelihood_ratio
from .layouts import Layout, brain_invaders, grid, lit_sets
from .personal_statistics import PersonalStatistics
from .rates import wilson_interval, wolpaw_bits
from .response import Response
from .session_decoder import SessionDecoder
from .sessions import Share, Trial, bits_per_minute, by_repetitions, find_trials
from .trials import attended, split_trials, with_gaps

__all__ = [
    "Decoding",
    "Layout",
    "PersonalStatistics",
    "Response",
    "SessionDecoder",
    "Share",
    "Trial",
    "attended",
    "bits_per_minute",
    "brain_invaders",
    "by_repetitions",
    "causal_log_likelihood_ratio",
    "decide",
    "decode",
    "evidence",
    "find_trials",
    "grid",
    "lit_sets",
    "split_trials",
    "wilson_interval",
    "with_gaps",
    "wolpaw_bits",
]
