"""Replay recordings flash by flash against the API, as in a speller session, and count the correct symbols."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.decoding import Share, bits_per_minute, by_repetitions
from p300.errors import P300Error
from p300.evaluation import classification_metrics
from p300.recording import UNLABELLED
from p300_pipeline.keys import subject_name
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import line_of, subject_in
from p300_pipeline.promotions import CHAMPION
from p300_pipeline.serving.routing import choose_champion

from p300_client import decoding
from p300_client.api import Api
from p300_client.decoding import Decision, Requests, Speller
from p300_client.model_versions import registry
from p300_client.personal_models import canonical
from p300_client.progress import Notify, Progress, ignore_notes, no_progress
from p300_client.sessions import Screen, Session, channels_of, of_target, raw_keys
from p300_client.target import Target

FLASH_METRICS = ("n_epochs", "accuracy", "kappa", "roc_auc")
SYMBOL_METRICS = ("n_symbols", "accuracy_stopping", "mean_repetitions", "seconds_a_symbol", "bits_per_minute")


@dataclass(frozen=True)
class Replayed:
    """The outcome of one session."""

    session: Session
    probability: NDArray[np.float64]
    decisions: list[Decision]
    right: list[list[bool]]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which flashes had an epoch, and so a probability."""
        return ~np.isnan(self.probability)


def manifest_of(target: Target, alias: str) -> dict[str, Any]:
    """Return the manifest of the model that an alias or version names.

    Raises
    ------
    P300Error
        If there is none.
    """
    models = registry(target)
    try:
        return models.manifest(models.resolve(alias))
    except P300Error as error:
        raise P300Error(error.code, f"{error.message} `p300 models` lists the versions.") from error


def manifest_for(target: Target, channels: Sequence[str], alias: str | None = None) -> dict[str, Any]:
    """Return the manifest of the model for a recording: the one that is named, or the champion that has its channels.

    Raises
    ------
    P300Error
        As `manifest_of`; ``wrong_channels`` or ``ambiguous_montage`` where no champion, or more than one, has the channels.
    """
    if alias is not None:
        return manifest_of(target, alias)
    models = registry(target)
    default = manifest_of(target, CHAMPION)
    manifests = {CHAMPION: default}
    for name, version in models.champions().items():
        with suppress(P300Error):
            manifests[name] = models.manifest(version)
    return manifests[choose_champion(channels, manifests)]


def manifest_of_recording(target: Target, name: str, alias: str | None = None) -> dict[str, Any]:
    """Return the manifest of the model for a file, or a recording in the raw zone; raises as `manifest_for`, and as `sessions.read`."""
    if alias is not None:
        return manifest_of(target, alias)
    default = manifest_of(target, CHAMPION)
    if set(registry(target).champions()) == {CHAMPION}:
        return default  # it is this one that has to fit
    return manifest_for(target, channels_of(target, name, default))


def manifest_of_subjects(target: Target, subjects: Sequence[str], alias: str | None = None) -> dict[str, Any]:
    """Return the manifest of the model for the first recording of the first subject; recordings that it does not fit are then left out."""
    if alias is not None:
        return manifest_of(target, alias)
    first = next((key for subject in subjects for key in raw_keys(target, subject)), None)
    return manifest_of_recording(target, first.recording) if first else manifest_of(target, CHAMPION)


def seen_in_training(subjects: Iterable[str], manifest: Mapping[str, Any]) -> list[str]:
    """Return which of these subjects a model was trained on."""
    return sorted(set(map(subject_name, subjects)) & set(map(subject_name, manifest["subjects"])))


def sessions(
    target: Target,
    subjects: Sequence[str],
    manifest: Mapping[str, Any],
    shown: Screen,
    *,
    seen: bool = False,
    notify: Notify = ignore_notes,
) -> list[Session]:
    """Read the subjects' recordings.

    Parameters
    ----------
    target : Target
        Where they are.
    subjects : sequence of str
        The subjects whose recordings are read.
    manifest : mapping
        Manifest of the model that will score them.
    shown : Screen
        What flashed.
    seen : bool
        Whether subjects that the model was trained on are allowed.
    notify : callable, optional
        Called with what is skipped, and why.

    Returns
    -------
    list of Session

    Raises
    ------
    P300Error
        ``seen_in_training``, ``no_recordings``, or ``nothing_to_replay``.
    """
    trained_on = seen_in_training(subjects, manifest)
    if trained_on and not seen:
        raise P300Error(
            "seen_in_training",
            f"Model {manifest['version']} was trained on {', '.join(trained_on)}: its metrics on them would be too optimistic. Simulate "
            "subjects that were not in training (`p300 train --held-out subject_<label>` holds some out), or use --seen.",
        )
    found = []
    keys = {subject: raw_keys(target, subject) for subject in dict.fromkeys(map(subject_name, subjects))}
    for subject, of_subject in keys.items():
        if not of_subject:
            raise P300Error(
                "no_recordings",
                f"There are no recordings of {subject} in the raw zone. Expected subject_<label> of a landed recording.",
            )
    for of_subject in keys.values():
        for key in of_subject:
            try:
                session = of_target(target, key, manifest, shown)
            except P300Error as error:
                notify(f"left out: {error.message}")
                continue
            if (session.label == UNLABELLED).any():
                notify(f"left out: {session.name} is unlabelled; `p300 decode {session.name}` decodes its symbols")
                continue
            if session.code is None:
                notify(f"{session.name} does not say what each flash lit: labels only, no symbols")
            found.append(session)
    if not found:
        raise P300Error("nothing_to_replay", "There is no recording that this model can score.")
    return found


def simulate(
    requests: Requests,
    found: Sequence[Session],
    shown: Screen,
    *,
    rate: float,
    confidence: float,
    progress: Progress = no_progress,
) -> list[Replayed]:
    """Replay sessions one after another.

    Parameters
    ----------
    requests : Requests
        To the model; its ``notify`` is called if the API does not keep up.
    found : sequence of Session
        What to replay.
    shown : Screen
        What flashed.
    rate : float
        Speed as a multiple of the recordings' own pace; 0 is as fast as possible.
    confidence : float
        Confidence at which flashing for a symbol stops.
    progress : callable, optional
        Called after each flash with the recording and the symbols spelled last.

    Returns
    -------
    list of Replayed

    Raises
    ------
    P300Error
        ``refused`` if the API refuses a request.
    """
    replayed = []
    total = sum(len(session.label) + decoding.n_curve_requests(session) for session in found)
    steps = count(1)
    for session in found:
        speller = Speller(requests, session, shown, confidence)

        def advance(session: Session = session, speller: Speller = speller) -> None:
            spelled = " ".join(one.symbol for one in speller.decisions[-12:])
            progress(next(steps), total, f"{session.name.rpartition('/')[2]}  {spelled}")

        probability = _replay(requests, session, speller, rate, advance)
        right = decoding.correctness(session, shown, decoding.curve(requests, session, shown, advance))
        replayed.append(Replayed(session, probability, speller.decisions, right))
    return replayed


def _replay(
    requests: Requests, session: Session, speller: Speller, rate: float, advance: Callable[[], None]
) -> NDArray[np.float64]:
    probability = np.full(len(session.label), np.nan)
    began = time.monotonic()
    late_s = 0.0
    for number, epoch in enumerate(session.X):
        if rate:
            complete_s = session.onset_s[number] - session.onset_s[0] + session.epoch_end_s
            ahead_s = began + complete_s / rate - time.monotonic()
            late_s = max(late_s, -ahead_s)
            time.sleep(max(0.0, ahead_s))
        if not np.isnan(epoch).any():
            answer = requests.post("/predict", {"features": epoch.astype(float).tolist()})
            probability[number] = answer["probability_target"]
        speller.after(number + 1)
        advance()
    if rate and late_s > session.soa_s / rate:
        requests.notify(
            f"{session.name}: the API did not keep up; epochs were sent up to {late_s:.1f} s after they were complete"
        )
    return probability


def pooled_metrics(replayed: Sequence[Replayed], n_symbols: int) -> dict[str, Any]:
    """Return the pooled metrics of several sessions: of their flashes, and of their symbols if there are any."""
    label = np.concatenate([one.session.label[one.present] for one in replayed])
    probability = np.concatenate([one.probability[one.present] for one in replayed])
    document = dict(classification_metrics(label, probability))
    known = [decision for one in replayed for decision in one.decisions if decision.attended is not None]
    document |= dict.fromkeys(SYMBOL_METRICS)
    if known:
        share = Share.of([decision.right for decision in known])
        seconds = float(np.mean([decision.seconds for decision in known]))
        assert share.accuracy is not None  # noqa: S101 - there are some
        document |= {
            "n_symbols": share.n,
            "accuracy_stopping": share.accuracy,
            "accuracy_stopping_interval_95": share.interval,
            "mean_repetitions": float(np.mean([decision.n_repetitions for decision in known])),
            "seconds_a_symbol": seconds,
            "bits_per_minute": bits_per_minute(share.accuracy, n_symbols, seconds),
            "stopped_by_confidence": float(np.mean([decision.stopped for decision in known])),
            "accuracy_by_repetitions": decoding.shares(by_repetitions([n for one in replayed for n in one.right])),
        }
    return document


def report(replayed: Sequence[Replayed], requests: Requests, shown: Screen, how: Mapping[str, Any]) -> dict[str, Any]:
    """Return the simulation's report."""
    n_symbols = len(shown.layout.symbols)
    by_subject = {
        subject: pooled_metrics([one for one in replayed if one.session.subject == subject], n_symbols)
        for subject in dict.fromkeys(one.session.subject for one in replayed)
    }
    mean = {}
    for name in (*FLASH_METRICS[1:], *SYMBOL_METRICS[1:]):
        values = [row[name] for row in by_subject.values() if row[name] is not None]
        mean[name] = float(np.mean(values)) if values else None
    return {
        "model_version": requests.version,
        **how,
        "subjects": by_subject,
        "pooled": pooled_metrics(replayed, n_symbols),
        "mean": mean,
        "latency": requests.latencies(),
        "sessions": [
            {"recording": one.session.name, "symbols": [asdict(decision) for decision in one.decisions]}
            for one in replayed
        ],
    }


def requests_to(target: Target, version: str, notify: Notify = ignore_notes) -> Requests:
    """Return the means to ask the target's API about one version."""
    return Requests(Api(target), version, notify=notify)


def requests_about(
    target: Target, manifest: dict[str, Any], subject: str, notify: Notify = ignore_notes
) -> tuple[dict[str, Any], Requests]:
    """Return the manifest of a subject's personal model, and the means to ask the API about it.

    Parameters
    ----------
    target : Target
        Where it serves.
    manifest : dict
        Of the population's model for the recording: it answers where the subject has no personal model of its montage.
    subject : str
        In any spelling.
    notify : callable, optional
        Told where there is no personal model, and each note in the API's answers.

    Raises
    ------
    P300Error
        ``bad_subject``; ArtifactError where the personal model's manifest cannot be read.
    """
    named, models = canonical(subject), registry(target)
    version = line_of(models, named, Montage.of(manifest).group).champion()
    if version is None or subject_in(version) is None:
        notify(f"there is no personal model of {named} for these channels: {manifest['version']} answers")
        return manifest, requests_to(target, manifest["version"], notify)
    own = models.manifest(version)
    return own, Requests(Api(target), version, notify=notify, subject=named, channels=own["channels"])


def learned_from(manifest: Mapping[str, Any], recording: str) -> bool:
    """Say whether a personal model learned from a recording, labelled or not: decoding it says little of other sessions then."""
    of = [*manifest.get("recordings", ()), *manifest.get("sessions", ())]
    return subject_in(manifest["version"]) is not None and recording in {one["recording"] for one in of}
