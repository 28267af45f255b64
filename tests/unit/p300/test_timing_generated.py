"""Time in every format that says it: the rate is right and gaps are where they were, or the file is refused; pieces equal the whole.

P300_FUZZ_EXAMPLES recordings are generated of each kind; `make fuzz-recordings` takes many.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import mne_formats, read_recording
from p300.recording import Recording
from p300.signals.flashes import find_flashes

from tests.support.edf import write_edf_plus
from tests.support.generated import CHANNELS, EVENTS, LINES, TARGET, Session

EXAMPLES = int(os.environ.get("P300_FUZZ_EXAMPLES", "40"))
generated = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
sessions = st.builds(
    Session,
    sfreq=st.sampled_from([128, 200, 250, 256, 512]),
    n_repetitions=st.integers(2, 5),
    seed=st.integers(0, 10**6),
)


def read(write: Callable[..., Path], name: str, *content: Any, **options: Any) -> Recording:
    with tempfile.TemporaryDirectory() as folder:
        return read_recording(write(Path(folder) / name, *content, **options))


# ---- a time stamp for each sample
def write_timed_csv(path: Path, session: Session, times: NDArray[np.float64], declared: float | None) -> Path:
    head = [f"# sfreq={declared:g}"] if declared else []
    head.append(",".join(["time", *(f"eeg_{name}" for name in CHANNELS), "stim"]))
    rows = np.column_stack([times, *session.eeg_uv, session.line(session.labels)])
    np.savetxt(path, rows, "%.9g", ",", header="\n".join(head), comments="")
    return path


def write_timed_parquet(path: Path, session: Session, times: NDArray[np.float64], declared: float | None) -> Path:
    columns = {f"eeg_{name}": row for name, row in zip(CHANNELS, session.eeg_uv, strict=True)}
    table = pa.table({"time": times, **columns, "stim": session.line(session.labels)})
    pq.write_table(table.replace_schema_metadata({"sfreq": str(declared or session.sfreq)}), path)
    return path


def write_timed_mat(path: Path, session: Session, times: NDArray[np.float64], declared: float | None) -> Path:
    samples = np.column_stack([times, session.eeg_uv.T, session.line(session.labels)])
    variables = {"samples": samples, "sfreq": float(declared or session.sfreq), "channels": np.array(CHANNELS, object)}
    scipy.io.savemat(path, variables)
    return path


TIMED = {"a.csv": write_timed_csv, "a.parquet": write_timed_parquet, "a.mat": write_timed_mat}
FAULTS = [
    "none",
    "gap",
    "gaps",
    "back",
    "lost",
    "jitter",
    "rough",
    "noise",
    "printed",
    "ms",
    "us",
    "epochs",
    "other rate",
    "drift",
]


@given(st.data(), sessions, st.sampled_from(sorted(TIMED)), st.sampled_from(FAULTS), st.booleans())
@generated
def test_time_stamps(data: st.DataObject, session: Session, name: str, fault: str, declares: bool) -> None:
    rng = np.random.default_rng(session.seed)
    n, sfreq = session.n_samples, session.sfreq
    times = np.arange(n) / sfreq + data.draw(st.sampled_from([0.0, 12.5, -3.0, 4000.0]))
    gaps: list[int] = []
    declared = float(sfreq) if declares or name != "a.csv" else None
    if fault in ("gap", "gaps"):
        gaps = sorted(data.draw(st.sets(st.integers(5, n - 5), min_size=1, max_size=1 if fault == "gap" else 4)))
        for gap in gaps:
            times[gap:] += data.draw(st.sampled_from([2 / sfreq, 0.1, 1.0, 30.0]))
    elif fault == "back":
        gaps = [n // 3]
        times[n // 3 :] -= data.draw(st.sampled_from([0.1, 1.0, 300.0]))
    elif fault == "lost":  # single samples
        gaps = sorted({n // 5, n // 2, n // 2 + 50})
        for gap in gaps:
            times[gap:] += 1 / sfreq
    elif fault == "jitter":
        times += rng.uniform(-0.2, 0.2, n) / sfreq
    elif fault == "rough":
        times += rng.uniform(-0.004, 0.004, n)
    elif fault == "noise":
        times += rng.normal(0, 0.1, n)
    elif fault == "printed":
        times = times.round(3)
    elif fault in ("ms", "us"):
        times *= {"ms": 1e3, "us": 1e6}[fault]
    elif fault == "epochs":
        times = (np.arange(n) % round(0.7 * sfreq)) / sfreq - 0.1
    elif fault == "other rate":
        times *= data.draw(st.sampled_from([0.5, 0.98, 1.02, 2.0]))
    elif fault == "drift":
        times *= 1 + data.draw(st.floats(-1e-3, 1e-3))
    try:
        recording = read(TIMED[name], name, session, times, declared)
    except RecordingError as refusal:
        assert fault in ("rough", "noise", "ms", "us", "epochs", "other rate"), refusal
        assert refusal.code in ("irregular_time", "not_continuous", "contradictory_rate", "missing_sfreq"), refusal
        return
    stated = 1 / np.median(np.diff(times)) if fault == "other rate" and declared is None else sfreq
    assert recording.sfreq == pytest.approx(stated, rel=2e-3)
    assert fault not in ("noise", "epochs")
    if fault != "rough":  # where the order of stamps is lost, a jump is no news
        assert list(recording.gaps) == gaps
    assert bool(recording.gaps) == any("not continuous" in note for note in recording.notes)
    flashes = find_flashes(recording.stim)
    np.testing.assert_array_equal(flashes.onset_sample, session.onsets)


# ---- data records
@given(
    st.data(),
    sessions,
    st.sampled_from(["a.edf", "a.bdf"]),
    st.sampled_from(["none", "gap", "gaps", "short", "slow", "order"]),
)
@generated
def test_data_records(data: st.DataObject, session: Session, name: str, fault: str) -> None:
    sfreq, n_records = session.sfreq, session.n_samples // session.sfreq
    starts = np.arange(n_records, dtype=float)
    gaps = []
    if fault in ("gap", "gaps"):
        chosen = data.draw(st.sets(st.integers(1, n_records - 1), min_size=1, max_size=1 if fault == "gap" else 3))
        for record in sorted(chosen):
            starts[record:] += data.draw(st.sampled_from([0.05, 0.5, 7.25]))
            gaps.append(record * sfreq)
    elif fault == "short":
        starts[n_records // 2 :] -= 0.25
        gaps = [n_records // 2 * sfreq]
    elif fault == "slow":
        starts *= 1.25
    elif fault == "order":
        starts[n_records // 2 :] -= 2
    # An event is at the time of its sample: its record's own, and so far into it.
    at = [starts[onset // sfreq] + onset % sfreq / sfreq for onset in session.onsets.tolist()]
    named = ["Target" if label == TARGET else "NonTarget" for label in session.labels]
    try:
        recording = read(
            write_edf_plus,
            name,
            session.eeg_uv,
            CHANNELS,
            [sfreq] * 3,
            list(zip(at, named, strict=True)),
            record_starts=starts,
        )
    except RecordingError as refusal:
        assert (fault, refusal.code) in (("slow", "contradictory_rate"), ("order", "not_continuous")), refusal
        return
    assert fault not in ("slow", "order")
    assert (recording.sfreq, list(recording.gaps)) == (sfreq, gaps)
    flashes = find_flashes(recording.stim)
    if fault != "short":  # records that overlap share their times
        np.testing.assert_array_equal(flashes.onset_sample, session.onsets)
        np.testing.assert_array_equal(flashes.label, session.labels)


@given(st.data(), sessions, st.sampled_from(["a.edf", "a.bdf"]), st.booleans())
@generated
def test_signals_of_other_rates_leave_the_eeg_where_it_was(
    data: st.DataObject, session: Session, name: str, with_line: bool
) -> None:
    sfreq, n_s = session.sfreq, session.n_samples // session.sfreq
    others = data.draw(st.lists(st.sampled_from([1, 32, 2 * sfreq, 4 * sfreq]), min_size=1, max_size=3, unique=True))
    signals = [*session.eeg_uv, *(np.sin(np.arange(n_s * rate)) for rate in others)]
    labels = [*CHANNELS, *("EMG", "Resp", "Temp")[: len(others)]]
    rates, largest, events = [sfreq] * 3 + others, [3276.7] * len(signals), []
    if with_line:
        factor = data.draw(st.sampled_from([1, 2, 4]))
        line = np.zeros(session.n_samples * factor)
        for onset, label in zip(session.onsets, session.labels, strict=True):
            line[onset * factor : onset * factor + 4 * factor] = label
        signals, labels, rates = [*signals, line], [*labels, "Status"], [*rates, sfreq * factor]
        largest.append(2 ** (23 if name == "a.bdf" else 15) - 1)
    else:
        events = [
            (o / sfreq, "Target" if label == TARGET else "NonTarget")
            for o, label in zip(session.onsets, session.labels, strict=True)
        ]
    recording = read(write_edf_plus, name, signals, labels, rates, events, largest=largest)
    assert recording.sfreq == sfreq
    assert recording.ch_names[:3] == CHANNELS
    np.testing.assert_allclose(recording.data[:3], session.eeg_uv * 1e-6, rtol=0, atol=1.1e-7)
    flashes = find_flashes(recording.stim)
    np.testing.assert_array_equal(flashes.onset_sample, session.onsets)
    np.testing.assert_array_equal(flashes.label, session.labels)


@pytest.mark.parametrize(
    ("labels", "rates"), [(["Fz", "Cz", "Pz"], [256, 256, 128]), (["A", "B", "C", "D"], [256, 256, 128, 128])]
)
def test_eeg_at_two_rates_is_refused(tmp_path: Path, labels: list[str], rates: list[int]) -> None:
    signals = [np.random.default_rng(0).normal(0, 20, 20 * rate) for rate in rates]
    events = [(1 + 0.5 * i, "Target" if i % 6 == 0 else "NonTarget") for i in range(30)]
    with pytest.raises(RecordingError, match=r"(Fz|A) at 256 Hz") as raised:
        read_recording(write_edf_plus(tmp_path / "a.edf", signals, labels, rates, events))
    assert raised.value.code == "mixed_rates"


# ---- pieces
@given(st.data(), sessions, st.sampled_from(sorted(LINES) + sorted(f"events {name}" for name in EVENTS)))
@generated
def test_pieces_are_the_whole(data: st.DataObject, session: Session, name: str) -> None:
    name, has_names = name.removeprefix("events "), name.startswith("events ")
    events = [
        (int(o), "Target" if label == TARGET else "NonTarget")
        for o, label in zip(session.onsets, session.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path = (
            EVENTS[name](path, session, events)
            if has_names
            else LINES[name](path, session, session.line(session.labels))
        )
        whole = read_recording(path)
        step = mne_formats.VALUES_PER_BLOCK
        try:
            # Up to a few hundred pieces: thousands, of a sample each, took two thirds of the night's run.
            mne_formats.VALUES_PER_BLOCK = data.draw(st.integers(session.n_samples // 64, 4 * session.n_samples))
            pieces = read_recording(path)
        finally:
            mne_formats.VALUES_PER_BLOCK = step
    np.testing.assert_array_equal(pieces.data, whole.data)
    np.testing.assert_array_equal(pieces.stim, whole.stim)
    # 0.1 uV a step of EDF and BrainVision, single precision of EEGLAB
    np.testing.assert_allclose(whole.data, session.eeg_uv * 1e-6, rtol=1e-6, atol=1.1e-7)


# ---- runs put together
def test_runs_joined_in_mne_have_a_gap_between_them(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 2):
        session = Session(seed=seed)
        info = mne.create_info([*CHANNELS, "STI 014"], session.sfreq, ["eeg"] * 3 + ["stim"], verbose="error")
        line = session.line(session.labels)
        runs.append(mne.io.RawArray(np.vstack([session.eeg_uv * 1e-6, line]), info, verbose="error"))
    boundary = runs[0].n_times
    mne.concatenate_raws(runs, verbose="error").save(tmp_path / "a_raw.fif", verbose="error")
    assert read_recording(tmp_path / "a_raw.fif").gaps == (boundary,)


def test_boundaries_of_eeglab_and_segments_of_brainvision(tmp_path: Path) -> None:
    session = Session()
    events = [
        (int(o), "Target" if label == TARGET else "NonTarget")
        for o, label in zip(session.onsets, session.labels, strict=True)
    ]
    later = sorted([*events, (700, "boundary")])
    assert read_recording(EVENTS["a.set"](tmp_path / "a.set", session, later)).gaps == (700,)
    later = sorted([*events, (700, "New Segment/")])
    assert read_recording(EVENTS["a.vhdr"](tmp_path / "a.vhdr", session, later)).gaps == (700,)


def test_an_acquisition_that_paused(tmp_path: Path) -> None:
    session = Session()
    info = mne.create_info([*CHANNELS, "STI 014"], session.sfreq, ["eeg"] * 3 + ["stim"], verbose="error")
    raw = mne.io.RawArray(np.vstack([session.eeg_uv * 1e-6, session.line(session.labels)]), info, verbose="error")
    raw.set_annotations(mne.Annotations([2.0], [1.0], ["BAD_ACQ_SKIP"]))
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    assert read_recording(tmp_path / "a_raw.fif").gaps == (2 * session.sfreq, 3 * session.sfreq)
