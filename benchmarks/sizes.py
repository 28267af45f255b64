"""How much to measure: everything, or with ``P300_BENCH=short`` just enough to see every part of `make bench` run."""

import os

_FORM = os.environ.get("P300_BENCH") or "full"
if _FORM not in {"full", "short"}:
    raise SystemExit(f"BENCH is {_FORM!r}: expected full or short.")
SHORT = _FORM == "short"


def size[T](full: T, *, short: T) -> T:
    """Return the size of a measurement."""
    return short if SHORT else full
