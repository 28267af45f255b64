"""What people marked: bad channels are replaced, and bad spans and boundaries kept apart, as MNE-Python does it."""

import json
from pathlib import Path

import mne
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.features import read_features, write_features
from p300.readers import open_recording
from p300.readers.declared import Declared
from p300.recording import Recording
from p300.recording_report import report
from p300.signals import Parameters, extract

from tests.support.labs import FORMATS, SFREQ, generated, lab, write

DOUBLE = Parameters(precision="float64")


def fif(
    path: Path, annotations: mne.Annotations | None = None, bads: list[str] | None = None, first_samp: int = 0
) -> mne.io.Raw:
    """Write a recording with marks, and return it as MNE reads it."""
    made = lab()
    info = mne.create_info([*made.names, "STI 014"], SFREQ, ["eeg"] * 8 + ["stim"], verbose="error")
    raw = mne.io.RawArray(np.vstack([made.uv * 1e-6, made.stim]), info, first_samp=first_samp, verbose="error")
    raw.info["bads"] = bads or []
    if annotations:
        raw.set_annotations(annotations)
    raw.save(path, overwrite=True, verbose="error")
    return mne.io.read_raw_fif(path, verbose="error")


@given(
    st.lists(
        st.tuples(
            st.floats(0, 15),
            st.sampled_from([0.0, 0.3, 2.0]),
            st.sampled_from(["BAD_movement", "bad", "Bad boundary", "rest"]),
        )
    ),
    st.sampled_from([0, 1000]),
)
@generated(12)
def test_marked_spans_are_those_in_which_mne_drops_epochs(
    tmp_path: Path, marks: list[tuple[float, float, str]], first_samp: int
) -> None:
    marks = [(round(onset * SFREQ) / SFREQ, duration, text) for onset, duration, text in marks]
    raw = fif(
        tmp_path / "a_raw.fif", mne.Annotations(*zip(*marks, strict=True)) if marks else None, first_samp=first_samp
    )
    stream = open_recording(tmp_path / "a_raw.fif")
    events = mne.find_events(raw, shortest_event=1, verbose="error")
    epochs = mne.Epochs(raw, events, tmin=-0.1, tmax=0.6, baseline=None, preload=True, verbose="error")
    starts = events[:, 0] - raw.first_samp + round(-0.1 * SFREQ)
    ends = events[:, 0] - raw.first_samp + round(0.6 * SFREQ) + 1
    touched = np.zeros(len(events), bool)
    for first, after in stream.bad_spans:
        touched |= (starts < after) & (ends > first)
    for gap in stream.gaps:
        touched |= (starts < gap) & (ends > gap)
    kept = np.isin(np.arange(len(events)), epochs.selection)
    np.testing.assert_array_equal(~touched & (ends <= raw.n_times) & (starts >= 0), kept)


def test_runs_that_were_joined_have_a_gap_where_they_meet(tmp_path: Path) -> None:
    raw = fif(tmp_path / "a_raw.fif")
    half = raw.n_times // 2
    joined = mne.concatenate_raws(
        [raw.copy().crop(0, (half - 1) / SFREQ), raw.copy().crop(half / SFREQ)], verbose="error"
    )
    joined.save(tmp_path / "b_raw.fif", verbose="error")
    stream = open_recording(tmp_path / "b_raw.fif")
    assert (stream.gaps, stream.bad_spans, stream.n_samples) == ((half,), (), raw.n_times)


def test_channels_marked_in_a_fif_file(tmp_path: Path) -> None:
    fif(tmp_path / "a_raw.fif", bads=["Cz", "STI 014"])
    assert open_recording(tmp_path / "a_raw.fif").bad_channels == ("Cz",)


@pytest.mark.parametrize("stated", ['["T7", "Cz"]', "T7, cz"])
def test_channels_marked_in_parquet(tmp_path: Path, stated: str) -> None:
    path = write(tmp_path, lab(), "parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"bads": stated}), path)
    assert open_recording(path).bad_channels == ("T7", "Cz") if "T7" in lab().names[:6] else ("Cz", "T7")


def test_channels_marked_in_csv(tmp_path: Path) -> None:
    path = write(tmp_path, lab(), "csv")
    path.write_text("# bads=T7;Cz\n" + path.read_text())
    assert set(open_recording(path).bad_channels) == {"T7", "Cz"}


@given(st.sampled_from(FORMATS), st.sets(st.sampled_from(lab().names), min_size=1, max_size=4))
@generated(8)
def test_channels_declared_bad_are_replaced_from_the_others(tmp_path: Path, extension: str, bad: set[str]) -> None:
    made = lab()
    path = write(tmp_path, made, extension)
    features = extract(open_recording(path, declared=Declared(bad_channels=tuple(bad))), DOUBLE)
    assert set(features.rejection.bad_channels) == bad == set(features.rejection.marked_bad_channels)
    # What they hold does not matter.
    for i, name in enumerate(made.names):
        if name in bad:
            made.uv[i] = np.random.default_rng(1).normal(0, 500, made.uv.shape[1])
    other = extract(
        open_recording(write(tmp_path, made, "parquet", stem="b"), declared=Declared(bad_channels=tuple(bad))), DOUBLE
    )
    np.testing.assert_allclose(features.X, other.X, rtol=0, atol=2e-8 if extension == "edf" else 1e-9)


def test_marks_are_kept_with_the_features_and_reported(tmp_path: Path) -> None:
    made = lab()
    recording = Recording(tuple(made.names), SFREQ, made.uv * 1e-6, made.stim, bad_channels=("Cz",))
    features = extract(recording, Parameters(reject_peak_to_peak_uv=None))
    write_features(features, tmp_path / "f.parquet", {})
    held = read_features(tmp_path / "f.parquet")
    assert (held.rejection.bad_channels, held.rejection.marked_bad_channels) == (("Cz",), ("Cz",))
    figures = report(held)
    assert (figures["bad_channels"], figures["marked_bad_channels"]) == (["Cz"], ["Cz"])
    assert json.dumps(figures)


def test_nothing_but_marked_channels_is_refused(tmp_path: Path) -> None:
    made = lab()
    recording = Recording(tuple(made.names), SFREQ, made.uv * 1e-6, made.stim, bad_channels=tuple(made.names))
    with pytest.raises(RecordingError, match="8 of 8 EEG channels are bad") as raised:
        extract(recording)
    assert raised.value.code == "no_good_channel"
