"""A recording that says what its speller showed is decoded on that screen, unless another one is asked for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.errors import P300Error
from p300.readers import read_recording
from p300.signals import Parameters
from p300_client.sessions import of_file, screen

from tests.support.bci2000 import write_bci2000
from tests.support.readers import N_SAMPLES, ONSETS, eeg_uv, write_parquet

MANIFEST: dict[str, Any] = {
    "version": "v20260101000000",
    "preprocessing": Parameters().to_dict(),
    "channels": ["Fz", "Cz", "Pz"],
}
ROWS = ("1234", "ABCD", "EFGH")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A speller of 3 rows and 4 columns, numbered rows first, in which C was spelled with five repetitions."""
    codes = np.tile(np.arange(1, 8), 5)
    code, target = np.zeros(2560, int), np.zeros(2560, bool)
    for onset, group in zip(range(300, 300 + 50 * len(codes), 50), codes, strict=True):
        code[onset : onset + 20], target[onset : onset + 20] = group, group in (2, 6)
    return write_bci2000(tmp_path / "a.dat", np.round(eeg_uv(3).T * 100), code, target, rows=ROWS, text="C")


def test_the_recordings_own_screen_is_used(recording: Path) -> None:
    session = of_file(recording, "a.dat", MANIFEST)
    assert session.shown.stated == {"type": "grid", "rows": [list(row) for row in ROWS]}
    (trial,) = session.trials
    assert trial.symbol is not None
    assert session.shown.layout.symbols[trial.symbol] == "C"


def test_a_screen_that_is_asked_for_wins(recording: Path) -> None:
    assert of_file(recording, "a.dat", MANIFEST, screen("speller")).shown.stated["rows"][0] == "ABCDEF"


def test_the_sidecars_screen_wins_and_another_one_is_refused(recording: Path) -> None:
    assert of_file(recording, "a.dat", MANIFEST).shown.source == "from its file"
    assert of_file(recording, "a.dat", MANIFEST, screen("speller")).shown.source == "as requested"
    rows = ["WXYZ", "ABCD", "EFGH"]
    recording.with_name("a.p300.json").write_text(json.dumps({"layout": {"type": "grid", "rows": rows}}))
    shown = of_file(recording, "a.dat", MANIFEST).shown
    assert (shown.stated["rows"], shown.source) == (rows, "from its sidecar")
    with pytest.raises(P300Error) as refused:
        of_file(recording, "a.dat", MANIFEST, screen("speller"))
    assert refused.value.code == "other_layout"


@pytest.mark.parametrize("asked", [None, "speller"])
def test_flashes_without_a_group_are_the_reason_and_no_layout_is_advised(tmp_path: Path, asked: str | None) -> None:
    groups = np.zeros(N_SAMPLES, np.int32)
    groups[ONSETS] = 1 + np.arange(len(ONSETS)) % 6
    groups[ONSETS[[4, 9]]] = 0
    path = write_parquet(tmp_path / "a.parquet", flash=groups)
    manifest = {**MANIFEST, "channels": list(read_recording(path).ch_names)}
    with pytest.raises(P300Error) as refused:
        of_file(path, "a.parquet", manifest, screen(asked) if asked else None)
    assert refused.value.code == "flash_without_group"
    assert "2 of 40 flashes have group 0" in refused.value.message
    assert "the first is flash 5" in refused.value.message
    assert "--layout" not in refused.value.message
