"""Interrupted recordings: the filter starts again, no epoch spans a gap or touches a span marked as bad, as in MNE-Python."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.recording import Recording, RecordingStream
from p300.recording_report import report
from p300.signals import Parameters, extract
from p300.signals.gaps import overlapping, segments, spanned
from p300.signals.resampling import window_samples

from tests.support.by_mne import assert_equal

SFREQ = 200.0
UNREJECTED = Parameters(reject_peak_to_peak_uv=None)


def interrupted(gaps: tuple[int, ...] = (), bad_spans: tuple[tuple[int, int], ...] = (), seed: int = 0) -> Recording:
    """Twenty seconds of drifting noise with a flash every fifth of a second; each segment has electrode offsets of its own."""
    rng = np.random.default_rng(seed)
    n_samples = round(20 * SFREQ)
    data = np.cumsum(rng.normal(0, 5e-6, (3, n_samples)), axis=1) + rng.normal(0, 5e-6, (3, n_samples))
    for gap in gaps:
        data[:, gap:] += rng.normal(0, 1e-2, (3, 1))
    stim = np.zeros(n_samples, np.int32)
    onsets = np.arange(100, n_samples - 100, 40)
    stim[onsets] = np.where(np.arange(len(onsets)) % 6 == 0, 2, 1)
    return Recording(("Fz", "Cz", "Pz"), SFREQ, data, stim, gaps=gaps, bad_spans=bad_spans)


def not_at_an_epochs_edge(samples: set[int]) -> tuple[int, ...]:
    """MNE compares times and this project samples: at the edge itself, rounding decides there."""
    first, last = window_samples(SFREQ, UNREJECTED.tmin, UNREJECTED.tmax)
    edges = {(100 + first) % 40, (100 + last) % 40}
    return tuple(
        sorted(
            s + next(d for d in range(1, 40) if all((s + d + e) % 40 not in edges for e in (-1, 0, 1))) for s in samples
        )
    )


@given(
    st.sets(st.integers(5, 3900), max_size=4),
    st.sets(st.integers(5, 3900), max_size=3),
    st.sampled_from(["float64", "float32"]),
    st.sampled_from([None, 300.0]),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_gaps_and_bad_spans_are_those_of_mne(
    gaps: set[int], marked: set[int], precision: str, limit: float | None, seed: int
) -> None:
    spans = tuple((first, first + 83) for first in not_at_an_epochs_edge(marked))
    recording = interrupted(not_at_an_epochs_edge(gaps), spans, seed)
    recording.data[1, 700:720] = np.nan
    assert_equal(recording, Parameters(precision=precision, reject_peak_to_peak_uv=limit))  # type: ignore[arg-type]


def test_what_a_gap_and_a_bad_span_cost_is_counted() -> None:
    whole, broken = extract(interrupted(), UNREJECTED), extract(interrupted((2000,), ((3000, 3010),)), UNREJECTED)
    rejection = broken.rejection
    assert (rejection.n_across_gaps, rejection.n_marked_bad) == (3, 4)
    assert rejection.n_kept == whole.rejection.n_kept - 7
    assert rejection.n_outside == whole.rejection.n_outside
    assert (report(broken)["n_across_gaps"], report(broken)["n_marked_bad"]) == (3, 4)


def test_what_is_on_the_other_side_of_a_gap_changes_nothing() -> None:
    recording = interrupted((2000,))
    other = dataclasses.replace(recording, data=recording.data.copy())
    other.data[:, 2000:] *= -3
    before = extract(recording, UNREJECTED), extract(other, UNREJECTED)
    n_before = int((before[0].onset_sample < 1800).sum())
    np.testing.assert_array_equal(before[0].X[:n_before], before[1].X[:n_before])


@pytest.mark.parametrize("block", [1, 7, 100, 1999, 2000, 2001, 100_000])
def test_pieces_of_any_length_are_split_at_gaps(block: int) -> None:
    source = interrupted((1, 2000, 2001, 3999))
    n_samples = source.data.shape[1]
    pieces = np.split(source.data, range(block, n_samples, block), axis=1)
    stream = RecordingStream(
        source.ch_names, SFREQ, n_samples, source.stim, None, lambda: iter(pieces), gaps=source.gaps
    )
    parameters = dataclasses.replace(UNREJECTED, precision="float64")
    np.testing.assert_array_equal(extract(stream, parameters).X, extract(source, parameters).X)


def test_a_recording_without_an_epoch_outside_of_gaps_says_so() -> None:
    with pytest.raises(RecordingError, match="95 at a gap in it") as raised:
        extract(interrupted(tuple(range(60, 4000, 40))), UNREJECTED)
    assert raised.value.code == "no_epochs_kept"


def test_a_signal_that_ends_before_its_last_segment() -> None:
    pieces = [first for first, _, _ in segments(iter([np.zeros((1, 5))]), [0, 3, 9, 12])]
    assert pieces == [0, 3, 9]
    source = interrupted((2000,))
    stream = dataclasses.replace(source.stream(), blocks=lambda: iter([source.data[:, :1500]]))
    with pytest.raises(RecordingError) as raised:
        extract(stream, UNREJECTED)
    assert raised.value.code == "unreadable"


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=6),
    st.integers(1, 12),
)
def test_epochs_touched_are_those_that_share_a_sample(
    starts: list[int], spans: list[tuple[int, int]], n_times: int
) -> None:
    epochs = [set(range(start, start + n_times)) for start in sorted(starts)]
    marked = [(first, first + length) for first, length in spans]
    expected = [any(epoch & set(range(*span)) for span in marked) for epoch in epochs]
    assert overlapping(np.array(sorted(starts)), n_times, marked).tolist() == expected
    gaps = sorted({first for first, _ in spans})
    between = [any(gap in epoch and gap - 1 in epoch for gap in gaps) for epoch in epochs]
    assert spanned(np.array(sorted(starts)), n_times, gaps).tolist() == between
