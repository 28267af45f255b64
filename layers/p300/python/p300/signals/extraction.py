"""The preprocessing chain: filter, epoch, baseline, reject, resample, in one pass over the signal."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from p300.errors import RecordingError
from p300.features import FeatureSet, Rejection
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET, UNLABELLED, Recording, RecordingStream
from p300.text import few_of, n_of

from . import fir
from .bad_channels import find_bad_channels, replacement
from .bounds import check_derived
from .few_kept import few_kept
from .flashes import Flashes
from .gaps import Gaps, overlapping, segments, spanned
from .parameters import Parameters
from .resampling import epoch_matrix, window_samples
from .steadiness import changed_gain, check_steady
from .stillness import Stillness
from .survey import Survey

EPOCHS_BYTES = 512 * 1024  # cut, measured and resampled at once: they stay in a core's second-level cache


def extract(recording: Recording | RecordingStream, parameters: Parameters | None = None) -> FeatureSet:
    """Turn a recording into one row of features per kept flash.

    The numbers are those of MNE-Python's ``raw.filter``, ``find_events``, ``Epochs`` with ``baseline`` and ``reject``,
    and ``epochs.resample``; bad channels are those of ``raw.interpolate_bads`` before all that. A stream is never in
    memory as a whole. Where the recording is interrupted, the filter starts again, as ``raw.filter`` does at an annotation ``EDGE``;
    epochs that span such a gap, or touch a span that the file marks as bad, are left out.

    Parameters
    ----------
    recording : Recording or RecordingStream
        Continuous EEG with its stimulation.
    parameters : Parameters, optional
        Filter, window, baseline, rejection and output rate; the defaults where not given.

    Returns
    -------
    FeatureSet
        Features in volts, shape (n_epochs, n_channels * n_times), channel-major, and what was rejected and why.

    Raises
    ------
    RecordingError
        ``sfreq_too_low``, ``too_large``, ``too_many_flashes`` and ``too_many_groups`` as `check_derived` does; ``no_epochs_kept`` where
        no epoch of one class survives; ``wrong_unit`` where some of the EEG is many times as large as the rest;
        ``unreadable`` where a stream ends early; what the stream's blocks raise.
    """
    parameters = parameters or Parameters()
    stream = recording.stream() if isinstance(recording, Recording) else recording
    flashes = stream.flashes
    check_derived(stream, parameters)
    first, last = window_samples(stream.sfreq, parameters.tmin, parameters.tmax)
    inside = (flashes.onset_sample + first >= 0) & (flashes.onset_sample + last < stream.n_samples)
    n_inside = int(inside.sum())
    n_times = last - first + 1
    broken = inside & spanned(flashes.onset_sample + first, n_times, stream.gaps)
    marked = inside & ~broken & overlapping(flashes.onset_sample + first, n_times, stream.bad_spans)
    inside &= ~(broken | marked)
    starts = flashes.onset_sample[inside] + first

    gaps, stillness, survey = Gaps(), Stillness(stream.sfreq), Survey(stream)
    watched = replace(stream, blocks=lambda: survey.watched(stream.blocks()))
    X, peak_to_peak, over, missing = _epochs(watched, starts, parameters, gaps, stillness)
    by_channel = over.sum(axis=0)
    notes = (*stream.notes, *_line_notes(stream, parameters), *_missing_notes(stream, stillness, gaps, missing))
    bad = named = np.isin(stream.ch_names, stream.bad_channels)
    if parameters.reject_peak_to_peak_uv is not None or missing.any():
        bad = named.copy()
        bad[~named] = find_bad_channels(over[:, ~named], peak_to_peak[:, ~named])
    # Of every whole epoch: where amplitudes rise, those are the ones that are rejected, or a channel that is replaced.
    whole = ~missing[:, ~missing.all(axis=0)].any(axis=1)
    gain_notes = changed_gain(peak_to_peak[whole], flashes.onset_sample[inside][whole], stream.sfreq, stream.ch_names)
    bad_names = tuple(name for name, is_bad in zip(stream.ch_names, bad, strict=True) if is_bad)
    if bad_names:
        weights, how = replacement(stream.ch_names, bad)
        # The others are what they were.
        X[:, bad], peak_to_peak[:, bad], over[:, bad], _ = _epochs(
            stream, starts, parameters, Gaps(), Stillness(stream.sfreq), weights[bad]
        )
        notes = (*notes, f"bad channels {', '.join(bad_names)} replaced by {how}")
        if stream.bad_channels:
            notes = (*notes, f"marked bad in the file, or declared bad: {', '.join(stream.bad_channels)}")

    good = ~over.any(axis=1)
    kept, X = np.flatnonzero(inside)[good], _first_rows(X, good)
    rejection = Rejection(
        n_flashes=len(flashes),
        n_outside=len(flashes) - n_inside,
        n_kept=len(kept),
        by_channel=dict(zip(stream.ch_names, by_channel.tolist(), strict=True)),
        bad_channels=bad_names,
        marked_bad_channels=stream.bad_channels,
        missing_by_channel=dict(zip(stream.ch_names, missing.sum(axis=0).tolist(), strict=True)),
        n_across_gaps=int(broken.sum()),
        n_marked_bad=int(marked.sum()),
    )
    _check_classes(flashes, kept, rejection, missing & ~bad, parameters)
    check_steady(
        peak_to_peak[good],
        flashes.onset_sample[kept],
        stream.sfreq,
        rejected=parameters.reject_peak_to_peak_uv is not None,
    )
    notes = (*notes, *gain_notes)
    if told := few_kept(rejection, over, missing & ~bad, peak_to_peak, parameters):
        rejection, notes = replace(rejection, few_kept=told), (*notes, told)
    return FeatureSet(
        X=X.reshape(len(kept), -1),
        label=flashes.label[kept],
        onset_sample=flashes.onset_sample[kept],
        flash=None if flashes.flash is None else flashes.flash[kept],
        repetition=None if flashes.repetition is None else flashes.repetition[kept],
        ch_names=stream.ch_names,
        sfreq=parameters.sfreq,
        tmin=parameters.tmin,
        tmax=parameters.tmax,
        parameters=parameters,
        rejection=rejection,
        notes=notes,
        sidecar=stream.sidecar,
        bids=stream.bids,
        survey={
            **survey.facts(_rows(kept, len(flashes))),
            **({"said": dict(stream.facts)} if stream.facts else {}),
            # Where a symbol ends, shows in the pauses between all flashes: epochs rejected in a row look like one.
            **({} if flashes.labelled else {"onset_samples": flashes.onset_sample.tolist()}),
        },
    )


def _rows(chosen: NDArray[np.integer], n: int) -> NDArray[np.bool_]:
    rows = np.zeros(n, bool)
    rows[chosen] = True
    return rows


def _line_notes(stream: RecordingStream, parameters: Parameters) -> tuple[str, ...]:
    said = {**stream.bids, **stream.sidecar}
    line = parameters.line_freq(said)
    if line is None or "notch_freq" not in said or line < stream.sfreq / 2:
        return ()
    return (
        f"line frequency {line:g} Hz is not below half the sampling rate of {stream.sfreq:g} Hz: nothing is notched",
    )


def _missing_notes(
    stream: RecordingStream, stillness: Stillness, gaps: Gaps, missing: NDArray[np.bool_]
) -> tuple[str, ...]:
    n_still = stillness.n_still if stillness.n_still.size else np.zeros(len(stream.ch_names), np.int64)
    n_not_finite = gaps.n_missing - n_still if gaps.n_missing.size else np.zeros_like(n_still)
    notes = []
    for what, n_samples in (
        ("samples that stand still (repeated, at the amplifier's limit, or dead), taken as missing", n_still),
        ("samples missing in the file (not a number, or infinite)", n_not_finite),
    ):
        told = [
            f"{channel} {n / stream.sfreq:.1f} s, {n_of(epochs, 'epoch')}"
            for channel, n, epochs in zip(
                stream.ch_names, n_samples.tolist(), missing.sum(axis=0).tolist(), strict=True
            )
            if n
        ]
        notes += [f"{what}: {'; '.join(told)}"] if told else []
    return tuple(notes)


def _check_classes(
    flashes: Flashes,
    kept: NDArray[np.integer],
    rejection: Rejection,
    missing: NDArray[np.bool_],
    parameters: Parameters,
) -> None:
    """Refuse a recording of which no epoch of a class is left, by what left them out, the missing samples of channels that stay first."""
    classes = (
        {code: CLASS_NAMES[code] for code in (TARGET, NON_TARGET)} if flashes.labelled else {UNLABELLED: "unlabelled"}
    )
    lacking = [name for code, name in classes.items() if not (flashes.label[kept] == code).any()]
    if not lacking:
        return
    n_missing = int(missing.any(axis=1).sum())
    n_over = len(missing) - n_missing - rejection.n_kept
    over = {channel: n - rejection.missing_by_channel.get(channel, 0) for channel, n in rejection.by_channel.items()}
    counts = {
        "lie too close to an end of the recording": rejection.n_outside,
        "at a gap in it": rejection.n_across_gaps,
        "in spans marked as bad": rejection.n_marked_bad,
        f"lack samples in {_some(rejection.missing_by_channel)}": n_missing,
        f"exceed {parameters.reject_peak_to_peak_uv} uV peak to peak in {_some(over)}": n_over,
    }
    advice = "Record for longer, without gaps and bad spans at the flashes."
    if n_missing + n_over > rejection.n_outside + rejection.n_across_gaps + rejection.n_marked_bad:
        advice = (
            "Check electrodes and unit, or raise reject_peak_to_peak_uv."
            if n_over >= n_missing
            else "Export the recording with all samples; those that are not a number, or stand still, are missing."
        )
    raise RecordingError(
        "no_epochs_kept",
        f"No {' and no '.join(lacking)} epoch is left of {n_of(rejection.n_flashes, 'flash')}: "
        f"{', '.join(f'{n:,} {what}' for what, n in counts.items() if n)}; {rejection.n_kept:,} are kept. {advice}",
    )


def _some(counts: dict[str, int]) -> str:
    """Return the channels whose counts are not 0, each with its own."""
    return few_of([f"{channel} ({n:,})" for channel, n in counts.items() if n])


def _epochs(
    stream: RecordingStream,
    starts: NDArray[np.int64],
    parameters: Parameters,
    gaps: Gaps,
    stillness: Stillness,
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_]]:
    """Filter the signal and cut, measure and resample the epochs while it passes by.

    Parameters
    ----------
    stream : RecordingStream
        The signal.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch, ascending.
    parameters : Parameters
        What is wanted.
    gaps : Gaps
        Collects where samples are missing.
    stillness : Stillness
        Finds those that stand still.
    weights : ndarray, shape (n_replaced, n_channels), optional
        Makes replacements of the channels before the filter; then these are what is returned.

    Returns
    -------
    X : ndarray, shape (n_epochs, n_channels, n_times)
        Baseline-corrected epochs at the output rate, in volts.
    peak_to_peak : ndarray, shape (n_epochs, n_channels)
        Measured at the recording's own rate, where a spike has its full height, in volts.
    over : ndarray of bool, shape (n_epochs, n_channels)
        Where that exceeds the limit, or samples are missing.
    missing : ndarray of bool, shape (n_epochs, n_channels)
        Where samples are missing; nowhere with `weights`: a gap goes with its channel.
    """
    matrix = epoch_matrix(stream.sfreq, parameters).astype(parameters.precision)
    n_raw_times, n_times = matrix.shape
    n_channels = len(stream.ch_names) if weights is None else len(weights)
    limit = np.inf if parameters.reject_peak_to_peak_uv is None else parameters.reject_peak_to_peak_uv * 1e-6
    X = np.empty((len(starts), n_channels, n_times), parameters.precision)
    peak_to_peak = np.empty((len(starts), n_channels), parameters.precision)
    over, missing = np.empty((len(starts), n_channels), bool), np.zeros((len(starts), n_channels), bool)
    signal = np.empty((n_channels, 0), parameters.precision)  # what epochs may still need, `held` samples of it
    at_once = max(EPOCHS_BYTES // (n_channels * n_raw_times * signal.itemsize), 1)
    raw = np.empty((at_once, n_channels, n_raw_times), parameters.precision)
    position = held = done = 0
    for piece in _ahead(_band(stream, gaps, stillness, parameters, weights)):
        signal = _with_room(signal, held, held + piece.shape[1])
        signal[:, held : held + piece.shape[1]] = piece
        held += piece.shape[1]
        ready = int(np.searchsorted(starts, position + held - n_raw_times, side="right"))
        windows = sliding_window_view(signal, n_raw_times, axis=1).transpose(1, 0, 2) if ready > done else signal
        for first in range(done, ready, at_once):
            last = min(first + at_once, ready)
            cut, new = raw[: last - first], X[first:last]
            cut[:] = windows[starts[first:last] - position]
            np.subtract(cut.max(axis=2), cut.min(axis=2), out=peak_to_peak[first:last])
            over[first:last] = peak_to_peak[first:last] > limit
            if weights is None:
                missing[first:last] = gaps.touched(starts[first:last], n_raw_times, n_channels)
                over[first:last] |= missing[first:last]
            np.matmul(cut.reshape(-1, n_raw_times), matrix, out=new.reshape(-1, n_times))
        done = max(done, ready)
        surplus = max(held - n_raw_times + 1, 0)
        signal[:, : held - surplus] = signal[:, surplus:held]
        held -= surplus
        position += surplus
    if done < len(starts):
        raise RecordingError(
            "unreadable", f"The signal ends after {position + held} of {stream.n_samples} samples. Upload it again."
        )
    return X, peak_to_peak, over, missing


def _first_rows(X: NDArray[np.floating], wanted: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the wanted epochs, moved to the front of the same memory."""
    rows = np.flatnonzero(wanted)
    for to, row in enumerate(rows.tolist()):
        if to != row:
            X[to] = X[row]
    return X[: len(rows)]


def _ahead[Item](items: Iterator[Item]) -> Iterator[Item]:
    """Pass items on, the next being made meanwhile: a second core reads and filters while this one cuts epochs."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def _with_room(signal: NDArray[np.floating], held: int, needed: int) -> NDArray[np.floating]:
    if signal.shape[1] >= needed:
        return signal
    larger = np.empty((len(signal), needed), signal.dtype)
    larger[:, :held] = signal[:, :held]
    return larger


def _band(
    stream: RecordingStream,
    gaps: Gaps,
    stillness: Stillness,
    parameters: Parameters,
    weights: NDArray[np.float64] | None,
) -> Iterator[NDArray[np.floating]]:
    """Band-pass, and notch where the line frequency lies inside the band; each uninterrupted segment by itself."""
    bounds = [0, *sorted({gap for gap in stream.gaps if 0 < gap < stream.n_samples}), stream.n_samples]
    for first, n_samples, blocks in segments(stream.blocks(), bounds):
        pieces: Iterable[NDArray[np.floating]] = gaps.filled(stillness.blanked(blocks), first)
        if weights is not None:
            pieces = map(partial(np.matmul, weights), pieces)
        scale = stream.volts_per_unit
        notched = replace(parameters, notch_freq=parameters.line_freq({**stream.bids, **stream.sidecar}))
        for h in fir.filters(stream.sfreq, notched):
            pieces, scale = fir.filtered(pieces, h, n_samples, parameters.precision, scale), 1.0
        yield from pieces
