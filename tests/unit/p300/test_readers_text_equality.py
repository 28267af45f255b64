"""The same recording as parquet and in each format of text, and Neuroscan's: equal features, within what the format's digits hold."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.readers import open_recording
from p300.signals import Parameters, extract

from tests.support.cnt import write_cnt
from tests.support.labs import NAMES, SFREQ, Lab, lab, write
from tests.support.texts import BEGIN, write_muse, write_openbci, write_table

DOUBLE = Parameters(precision="float64")
RESOLUTION_UV = 1e-6
"""Of six decimals, rounded to even and doubled by the baseline."""


def openbci(path: Path, made: Lab, version: int) -> dict[str, object]:
    write_openbci(path, made.uv, made.stim, version=version, sfreq=SFREQ)
    names = {f"EXG Channel {i}": name for i, name in enumerate(made.names)}
    return {"channel_names": names, **({"event_column": "Aux Channel 0"} if version < 5 else {})}


def muse(path: Path, made: Lab) -> dict[str, object]:
    events = [(at, f"/Marker/{made.stim[at]}") for at in made.onsets.tolist()]
    write_muse(path, made.uv, events, names=made.names)
    return {}


def table(path: Path, made: Lab, clock: str = "", **options: Any) -> dict[str, object]:
    n_samples = made.uv.shape[1]
    times = [f"{i / SFREQ:.6f}" for i in range(n_samples)]
    if clock:
        times = [f"{BEGIN + timedelta(seconds=i / SFREQ):{clock}}" for i in range(n_samples)]
    events = [NAMES[code] if code else "" for code in made.stim.tolist()]
    write_table(path, made.uv, made.names, events, times=times, **options)
    return {}


def cnt(path: Path, made: Lab, event_type: int) -> dict[str, object]:
    codes = made.stim[made.onsets].tolist()
    write_cnt(
        path,
        made.uv,
        made.onsets.tolist(),
        codes,
        names=made.names,
        sfreq=int(SFREQ),
        step_uv=1e-6,
        event_type=event_type,
    )
    return {}


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("v6.txt", lambda path, made: openbci(path, made, 6)),
        ("v5.txt", lambda path, made: openbci(path, made, 5)),
        ("v4.txt", lambda path, made: openbci(path, made, 4)),
        ("muse.csv", muse),
        ("comma.csv", table),
        ("semicolon.csv", lambda path, made: table(path, made, delimiter=";", decimal_point=",")),
        ("tab.txt", lambda path, made: table(path, made, delimiter="\t", clock="%Y-%m-%d %H:%M:%S.%f")),
        ("type2.cnt", lambda path, made: cnt(path, made, 2)),
        ("type3.cnt", lambda path, made: cnt(path, made, 3)),
    ],
)
def test_features_are_those_of_parquet(
    tmp_path: Path, name: str, writer: Callable[[Path, Lab], dict[str, object]]
) -> None:
    made = lab(3)
    expected = extract(open_recording(write(tmp_path, made, "parquet", stem="expected")), DOUBLE)
    said = writer(tmp_path / name, made)
    found = extract(open_recording(tmp_path / name, sidecar=said), DOUBLE)
    assert (found.ch_names, found.sfreq) == (expected.ch_names, expected.sfreq)
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.onset_sample, expected.onset_sample)
    # The offset of a Muse's 800 uV goes through the high-pass filter, and leaves what its first second rings.
    np.testing.assert_allclose(found.X, expected.X, rtol=0, atol=RESOLUTION_UV * 1e-6)
