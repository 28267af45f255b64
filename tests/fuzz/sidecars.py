"""Sidecars of recordings: whatever one says, it is refused with the reason, or what is read with it is a recording."""

import json
import random
from pathlib import Path
from typing import Any

from p300.readers.sidecar import name_of

from tests.fuzz import corpus
from tests.fuzz.corpus import NAME, Files
from tests.fuzz.mutation import json_bytes

SIDECAR = name_of(f"{NAME}.csv")
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"type": "grid", "rows": ["ABC", "DEF"], "rows_first": True},
    {"type": "grid", "rows": [["A", "B"], ["C", "D"]]},
    {"type": "brain_invaders"},
    {"type": "sets", "symbols": ["A", "B", "C"], "groups": {"1": ["A", "B"], "2": ["C"]}},
)
SAID: dict[str, Any] = {
    "event_id": {"1": 1, "2": 2},
    "unit": "uV",
    "channel_names": {"Fz": "AFz"},
    "channel_kinds": {"Cz": "eeg", "AFz": "eeg"},
    "bad_channels": [],
    "reference": "linked mastoids",
    "notch_freq": 60,
    "event_delay_ms": 12.5,
    "text": ["A", "B"],
}


def whole() -> list[Files]:
    """Return well-formed sidecars, each with its recording."""
    recording = corpus.files("csv")[0]
    texts: tuple[Any, ...] = (["A", "B"], "AB", ["A1", "F6"], "CAB")
    said = [{**SAID, "layout": layout, "text": text} for layout, text in zip(LAYOUTS, texts, strict=True)]
    return [{**recording, SIDECAR: json.dumps(one).encode()} for one in [*said, {}]]


def make(rng: random.Random) -> Files:
    layout = rng.choice(LAYOUTS)
    said = {name: value for name, value in {**SAID, "layout": layout}.items() if rng.random() < 0.7}
    return {**corpus.files("csv")[0], SIDECAR: json_bytes(rng, said, rng.randint(0, 4))}


def run(files: Files, folder: Path, all_the_way: bool) -> str:
    from p300.readers import open_recording, sidecar
    from p300.readers.sidecar_schema import SCHEMA
    from p300.text import is_clean

    said = sidecar.parse(files[SIDECAR], SIDECAR)
    assert set(said) <= set(SCHEMA["properties"])
    assert all(map(is_clean, sidecar.notes(said, SIDECAR)))
    if not all_the_way:
        return "parsed"
    for name, body in files.items():
        (folder / name).write_bytes(body)
    stream = open_recording(folder / next(iter(files)))
    assert stream.sidecar == said
    assert len(stream.stim) == stream.n_samples
    return "read"
