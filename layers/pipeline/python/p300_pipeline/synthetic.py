"""Synthetic recordings, as the demo's: never trained on together with measured ones, and never in the way of a model of these."""

from collections.abc import Iterable, Mapping
from typing import Any

LEFT_OUT = "it is synthetic, and measured recordings are trained on: a model is of one or the other"


def n_synthetic(manifest: Mapping[str, Any]) -> int:
    """Return how many recordings that a model was trained on are synthetic."""
    return sum(entry.get("synthetic") is True for entry in manifest.get("recordings", ()))


def is_synthetic(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a model was trained on synthetic recordings alone."""
    return 0 < len(manifest.get("recordings", ())) == n_synthetic(manifest)


def beside_measured(names: Iterable[str], facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the synthetic ones of these recordings, if there are measured ones among them too."""
    names = list(names)
    synthetic = [name for name in names if facts[name].get("synthetic")]
    return synthetic if len(synthetic) < len(names) else []
