"""Units of EEG, for every format: wrong by a factor of 1,000 or more, or no unit at all, is refused; what is declared is used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.readers.units import volts_per
from p300.signals import Parameters, extract

from tests.support.labs import FORMATS, Lab, generated, lab, write

DOUBLE = Parameters(precision="float64")
UNITS = {"V": 1e-6, "mV": 1e-3, "uV": 1.0, "nV": 1e3}
"""And the factor from microvolts to each."""
SAY_UNITS = ("parquet", "csv", "mat", "edf", "bdf", "vhdr", "dat", "xdf", "gdf")
NORMALISED: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "z-scores": lambda uv: (uv - uv.mean(axis=1, keepdims=True)) / uv.std(axis=1, keepdims=True),
    "by the largest": lambda uv: uv / np.abs(uv).max(axis=1, keepdims=True),
    "0 to 1": lambda uv: (uv - uv.min(axis=1, keepdims=True)) / np.ptp(uv, axis=1, keepdims=True),
}


def atol(extension: str) -> float:
    """Return the resolution of a format in volts: of EDF 16 bits over the range."""
    return 5e-9 if extension == "edf" else 1e-9


@given(st.sampled_from(SAY_UNITS), st.sampled_from(sorted(UNITS)), st.integers(0, 100), st.sampled_from([0.0, 3000.0]))
@generated(12)
def test_the_unit_that_a_file_states_is_used(
    tmp_path: Path, extension: str, unit: str, seed: int, offset_uv: float
) -> None:
    made = lab(seed, offset_uv=offset_uv if extension != "edf" else 0.0)
    stream = open_recording(write(tmp_path, made, extension, scale=UNITS[unit], unit=unit))
    expected = extract(open_recording(write(tmp_path, made, "parquet", stem="b")), DOUBLE)
    np.testing.assert_allclose(extract(stream, DOUBLE).X, expected.X, rtol=0, atol=atol(extension))


@given(
    st.sampled_from(FORMATS),
    st.sampled_from([1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9]),
    st.integers(0, 100),
    st.sampled_from([0.0, 3000.0]),
)
@generated(20)
def test_a_unit_wrong_by_a_thousand_is_refused_until_it_is_declared(
    tmp_path: Path, extension: str, factor: float, seed: int, offset_uv: float
) -> None:
    made = lab(seed, offset_uv=offset_uv if extension not in ("edf", "bdf") else 0.0)
    if extension in ("edf", "bdf") and factor > 1e3:
        factor = 1e3  # the header's eight characters hold no more
    path = write(tmp_path, made, extension, scale=factor)
    with pytest.raises(RecordingError) as raised:
        open_recording(path)
    assert raised.value.code == "wrong_unit"
    volts = 1e-6 / factor  # per number of the file
    as_written = volts if extension != "fif" else volts / 1e-6
    for unit, per_uv in UNITS.items():
        if np.isclose(as_written * per_uv, 1e-6, rtol=1e-6, atol=0):
            stream = open_recording(path, declared=Declared(unit=unit))
            assert any(f"unit declared: {unit}" in note for note in stream.notes)
            expected = extract(open_recording(write(tmp_path, made, "parquet", stem="b")), DOUBLE)
            np.testing.assert_allclose(extract(stream, DOUBLE).X, expected.X, rtol=0, atol=atol(extension))
        else:
            with pytest.raises(RecordingError):
                open_recording(path, declared=Declared(unit=unit))


@given(
    st.sampled_from(FORMATS), st.sampled_from(sorted(NORMALISED)), st.sampled_from([None, *UNITS]), st.integers(0, 100)
)
@generated(20)
def test_normalised_eeg_is_refused_whatever_is_declared(
    tmp_path: Path, extension: str, how: str, unit: str | None, seed: int
) -> None:
    made = lab(seed)
    path = write(tmp_path, Lab(NORMALISED[how](made.uv), made.names, made.stim), extension)
    with pytest.raises(RecordingError) as raised:
        open_recording(path, declared=Declared(unit=unit))
    assert raised.value.code == "wrong_unit"
    assert '"unit"' not in raised.value.message


@pytest.mark.parametrize("extension", ["edf", "vhdr", "xdf", "gdf", "dat", "parquet", "csv"])
@pytest.mark.parametrize("stated", ["mV", "V", "nV"])
@pytest.mark.parametrize("declared", [None, "mV", "V"])
def test_the_advised_unit_is_one_that_is_read(
    tmp_path: Path, extension: str, stated: str, declared: str | None
) -> None:
    path = write(tmp_path, lab(), extension, unit=stated)
    with pytest.raises(RecordingError) as raised:
        open_recording(path, declared=Declared(unit=declared))
    assert f"read as {declared or stated}, " in raised.value.message
    assert '{"unit": "uV"}' in raised.value.message
    assert open_recording(path, declared=Declared(unit="uV")).notes


def test_an_edf_file_in_microvolts_declared_otherwise_is_told_its_unit(tmp_path: Path) -> None:
    path = write(tmp_path, lab(), "edf")
    for declared in ("mV", "V"):
        with pytest.raises(RecordingError, match=r'\{"unit": "uV"\}'):
            open_recording(path, declared=Declared(unit=declared))


def test_a_fif_file_written_in_microvolts_says_how_to_declare_it(tmp_path: Path) -> None:
    path = write(tmp_path, lab(), "fif", scale=1e6)
    with pytest.raises(RecordingError, match=r'\{"unit": "uV"\}'):
        open_recording(path)


@pytest.mark.parametrize("unit", ["furlong", "", "degC"])
def test_a_declared_unit_that_is_none_is_refused(tmp_path: Path, unit: str) -> None:
    with pytest.raises(RecordingError, match="expected one of 'uV'") as raised:
        open_recording(write(tmp_path, lab(), "parquet"), declared=Declared(unit=unit))
    assert raised.value.code == "bad_metadata"


@pytest.mark.parametrize(
    ("spelled", "factor"),
    [
        ("µV", 1e-6),
        ("μV", 1e-6),
        ("uV", 1e-6),
        ("UV", 1e-6),
        ("microvolts", 1e-6),
        (" mV ", 1e-3),
        ("V", 1.0),
        ("nV", 1e-9),
        ("g", None),
    ],
)
def test_spellings_of_units(spelled: str, factor: float | None) -> None:
    assert volts_per(spelled) == factor


@pytest.mark.parametrize("spelled", ["\u03bcV", "\u00b5V", "uV", "UV"])
def test_brainvision_units_that_mne_takes_for_volts_are_read(tmp_path: Path, spelled: str) -> None:
    made = lab(1)
    path = write(tmp_path, made, "vhdr", unit="uV")
    path.write_text(path.read_text("utf-8").replace(",µV", f",{spelled}"), "utf-8")
    assert spelled in path.read_text("utf-8")
    np.testing.assert_allclose(open_recording(path).load().data, made.uv * 1e-6, rtol=0, atol=1e-9)
