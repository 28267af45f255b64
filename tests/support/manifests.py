"""A manifest, as a training writes it."""

from typing import Any

MANIFEST: dict[str, Any] = {
    "kind": "lda", "channels": ["Cz"], "n_times": 2, "sfreq": 100.0, "tmin": 0.0, "subjects": [], "held_out": [],
    "recordings": [], "n_epochs": 1, "metrics": {}, "created": "2026-01-02T03:04:05+00:00", "execution": "a",
}  # fmt: skip
