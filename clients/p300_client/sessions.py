"""Recordings as sessions: every flash with its epoch and stimulus group, and where one symbol ends and the next begins."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300 import json_text
from p300.decoding import Layout, Trial, find_trials, with_gaps
from p300.decoding.layouts import SPELLER_6X6
from p300.errors import P300Error
from p300.montages import fitted
from p300.readers import read_recording
from p300.recording import TARGET, Recording
from p300.signals import Parameters, extract
from p300.signals.flashes import find_flashes
from p300.text import n_of
from p300_pipeline.keys import RecordingKey, subject_name
from p300_pipeline.serving.symbols import read_layout
from p300_pipeline.steps.raw_data import download_files, files_of, recordings_in
from p300_pipeline.storage import Store

from p300_client.target import Target

LAYOUTS: dict[str, dict[str, Any]] = {
    "speller": {"type": "grid", "rows": list(SPELLER_6X6)},
    "brain_invaders": {"type": "brain_invaders"},
}


@dataclass(frozen=True)
class Screen:
    """What flashed: a speller layout, how a request to the API states it, and where it was found."""

    layout: Layout
    stated: Mapping[str, Any]
    source: str = field(default="as requested", compare=False)


@dataclass(frozen=True)
class Session:
    """One recording, as the speller that ran it would have seen it.

    Attributes
    ----------
    name : str
        ``<subject>/<recording>``, or the file.
    X : ndarray of float32, shape (n_flashes, n_features)
        Features in volts; a row of NaN where part of the epoch is outside the recording. No epoch is rejected: a speller cannot choose.
    label : ndarray of int, shape (n_flashes,)
        1 (NonTarget) or 2 (Target).
    onset_s : ndarray, shape (n_flashes,)
    epoch_end_s : float
        Time in seconds after a flash's onset at which its epoch is complete.
    code : ndarray of int, shape (n_flashes,), or None
        The stimulus group that each flash lit; None if the recording does not say, in which case there are no trials.
    trials : list of Trial
    shown : Screen
        What flashed, and where that was found.
    """

    name: str
    X: NDArray[np.float32]
    label: NDArray[np.integer]
    onset_s: NDArray[np.float64]
    epoch_end_s: float
    code: NDArray[np.integer] | None
    trials: list[Trial]
    shown: Screen = field(default_factory=lambda: screen("speller"))

    @property
    def subject(self) -> str:
        """The subject who was recorded."""
        return subject_name(self.name.partition("/")[0])

    @property
    def soa_s(self) -> float:
        """Seconds from one flash to the next."""
        return float(np.median(np.diff(self.onset_s)))

    @property
    def pause_s(self) -> float:
        """Seconds between the last flash of a symbol and the first of the next, in excess of the time between two flashes."""
        gaps = [
            self.onset_s[later.flashes.start] - self.onset_s[trial.flashes.stop - 1] - self.soa_s
            for trial, later in zip(self.trials, self.trials[1:], strict=False)
        ]
        return float(np.median(gaps)) if gaps else 0.0

    def seconds(self, trial: Trial, n_repetitions: int) -> float:
        """Return how many seconds a symbol takes with this many repetitions, including its pause."""
        flashes = trial.first(n_repetitions)
        return float(self.onset_s[flashes.stop - 1] - self.onset_s[flashes.start]) + self.soa_s + self.pause_s


def screen(name: str) -> Screen:
    """Return a layout by its name, or from a JSON file that states it like a request to /decode.

    Raises
    ------
    P300Error
        ``bad_layout``.
    """
    if name in LAYOUTS:
        return Screen(read_layout(LAYOUTS[name]), LAYOUTS[name])
    try:
        stated = json_text.loads(Path(name).read_text())
        return Screen(read_layout(stated), stated)
    except P300Error as error:
        raise P300Error("bad_layout", f"--layout {name}: {error.message}") from error
    except (OSError, ValueError) as error:
        raise P300Error(
            "bad_layout",
            f"--layout {name}: {error}. Expected {', '.join(LAYOUTS)} or a JSON file that holds a layout as /decode takes it.",
        ) from error


def of_file(path: Path, name: str, manifest: Mapping[str, Any], asked: Screen | None = None) -> Session:
    """Read a recording's file, with the preprocessing that a model's manifest states.

    Parameters
    ----------
    path : Path
        The file, with its companions and sidecar beside it.
    name : str
        Name of the recording in messages.
    manifest : mapping
        The model's.
    asked : Screen, optional
        What flashed. By default what the recording's sidecar or its file says, or else the 6 x 6 speller.

    Raises
    ------
    P300Error
        If it is not a recording, or its channels do not match the model or its flash codes the layout; ``other_layout`` if its sidecar
        states another layout.
    """
    if not isinstance(manifest.get("preprocessing"), dict):
        raise P300Error(
            "no_preprocessing", f"Model {manifest['version']} does not say how its features were made. Train again."
        )
    parameters = replace(Parameters.from_dict(manifest["preprocessing"]), reject_peak_to_peak_uv=None)
    recording = read_recording(path, name=name, declared=parameters.declared)
    features = extract(recording, parameters)
    features = fitted(features, manifest["channels"], name)
    shown = _shown(recording, name, asked)
    flashes = find_flashes(recording.stim, recording.flash)
    trials = []
    if flashes.flash is not None:
        _check_grouped(flashes.flash, shown, name)
        try:
            lit = shown.layout.lit(flashes.flash)
        except P300Error as error:
            raise P300Error(error.code, f"{name}: {error.message} Name the layout with --layout.") from error
        trials = find_trials(flashes.onset_sample, flashes.flash, lit, flashes.label == TARGET)
    return Session(
        name.rpartition(".")[0] if "/" in name else name,
        with_gaps(features.X, features.onset_sample, flashes.onset_sample).astype(np.float32),
        flashes.label,
        flashes.onset_sample / recording.sfreq,
        parameters.tmax,
        flashes.flash,
        trials,
        shown,
    )


def _check_grouped(group: NDArray[np.integer], shown: Screen, name: str) -> None:
    """Refuse flashes without a group: no speller layout says what they lit.

    Raises
    ------
    P300Error
        ``flash_without_group``.
    """
    n_without = int((group == 0).sum())
    if n_without and 0 not in shown.layout.groups:
        first = int(np.flatnonzero(group == 0)[0]) + 1
        raise P300Error(
            "flash_without_group",
            f"{name}: {n_without:,} of {n_of(len(group), 'flash')} have group 0, which means none; the first is flash {first:,}. Expected "
            "the row, column or set of symbols that flashed, numbered from 1, at every flash. No speller layout helps: correct the groups "
            "in the file, or use another recording. This one can still be used for training.",
        )


def _shown(recording: Recording, name: str, asked: Screen | None) -> Screen:
    """Decide what flashed: what the sidecar says, or else what was requested, what the file says, or the 6 x 6 speller."""
    said = recording.sidecar.get("layout")
    if said is not None:
        own = Screen(read_layout(said), said, "from its sidecar")
        if asked and asked.layout != own.layout:
            raise P300Error(
                "other_layout",
                f"{name}: the layout that was requested is not the one in its sidecar. Expected "
                f"{json.dumps(said, ensure_ascii=False)[:300]}. Name a JSON file that holds it with --layout, or correct the sidecar.",
            )
        return own
    if asked:
        return asked
    if recording.speller:
        stated = {"type": "grid", "rows": [list(row) for row in recording.speller.rows]}
        return Screen(read_layout(stated), stated, "from its file")
    return replace(screen("speller"), source="the default, as neither its sidecar nor its file states one")


def channels_of(target: Target, name: str, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the EEG channels of a recording's file, or of ``<subject>/<recording>`` in the raw zone, by the declarations of a model."""
    declared = Parameters.from_dict(manifest.get("preprocessing") or {}).declared
    if Path(name).is_file():
        return read_recording(Path(name), name=Path(name).name, declared=declared).ch_names
    store, bucket = Store(target.client("s3")), target.outputs["RawBucketName"]
    key = _raw_key(target, name)
    recording = store.head(bucket, str(key))
    with tempfile.TemporaryDirectory() as folder:
        path, _ = download_files(store, bucket, recording, files_of(store, bucket, recording), Path(folder))
        return read_recording(path, name=str(key), declared=declared).ch_names


def raw_keys(target: Target, subject: str, recording: str | None = None) -> list[RecordingKey]:
    """Return a subject's raw recordings in the order of their names, or only the named one.

    Parameters
    ----------
    target : Target
        Where they are.
    subject : str
        In any spelling: ``subject_5`` and ``subject_05`` are one subject.
    recording : str, optional
        Name of the recording.

    Returns
    -------
    list of RecordingKey
        The keys under which they landed.
    """
    store = Store(target.client("s3"))
    keys = (RecordingKey.parse(item.key) for item in recordings_in(store, target.outputs["RawBucketName"]))
    wanted = subject_name(subject)
    return sorted(key for key in keys if subject_name(key.subject) == wanted and recording in {None, key.name})


def of_target(target: Target, key: RecordingKey, manifest: Mapping[str, Any], asked: Screen | None = None) -> Session:
    """Read a recording from the raw zone; raises as `of_file` does."""
    store, bucket = Store(target.client("s3")), target.outputs["RawBucketName"]
    recording = store.head(bucket, str(key))
    with tempfile.TemporaryDirectory() as folder:
        path, _ = download_files(store, bucket, recording, files_of(store, bucket, recording), Path(folder))
        return of_file(path, str(key), manifest, asked)


def read(target: Target, name: str, manifest: Mapping[str, Any], asked: Screen | None = None) -> Session:
    """Read a recording from a file, or ``<subject>/<recording>`` from the raw zone.

    Raises
    ------
    P300Error
        ``no_recording`` if there is neither; otherwise as `of_file`.
    """
    if Path(name).is_file():
        return of_file(Path(name), Path(name).name, manifest, asked)
    return of_target(target, _raw_key(target, name), manifest, asked)


def _raw_key(target: Target, name: str) -> RecordingKey:
    subject, _, recording = name.partition("/")
    keys = sorted(
        raw_keys(target, subject, recording), key=lambda key: key.recording != name
    )  # the exact spelling first
    if keys:
        return keys[0]
    raise P300Error(
        "no_recording",
        f"{name} is neither a file nor a recording in the raw zone. Expected <subject>/<recording> of a landed recording.",
    )
