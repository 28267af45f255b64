"""From features to a serving model: is training due, train a challenger, evaluate it through inference, promote it."""

import hashlib
import io
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300 import __version__
from p300.errors import ArtifactError, TrainingError
from p300.features import FeatureSet, read_features
from p300.keys import recording_of_features
from p300.models import RecordingEpochs
from p300.registry import Registry
from p300.storage import Item, NotFoundError, PreconditionError, Store

SCHEDULE_KEY = "trainings/schedule.json"
PROMOTION_MARGIN_AUC = 0.01
EVALUATION_RECORDINGS = 5
_MAX_RACES = 100

Predict = Callable[[str, NDArray[np.float32]], NDArray[np.float64]]
"""(version, X of shape (n_epochs, n_features)) -> probability of Target, shape (n_epochs,)."""


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on whom.

    Attributes
    ----------
    model : str
        Estimator kind, as `p300.models.make` takes it.
    subjects : float or tuple of str
        Fraction of the subjects (drawn with `seed`) or their names.
    held_out : tuple of str
        Subjects never trained on; the model is evaluated on them.
    seed : int
        Seed of every random choice.
    recording : str or None
        ``<subject>/<name>`` of the recording that made training due.
    """

    model: str
    subjects: float | tuple[str, ...] = 1.0
    held_out: tuple[str, ...] = ()
    seed: int = 0
    recording: str | None = None

    @classmethod
    def parse(cls, request: Mapping[str, Any], default_model: str) -> "TrainingRequest":
        """Return the request that a JSON object states.

        Raises
        ------
        TrainingError
            With code ``bad_request`` if it is no object, or a field is unknown or not of its type.
        """
        if not isinstance(request, Mapping):
            raise TrainingError(
                "bad_request", f"A training request is {request!r}; expected an object, {{}} for all defaults."
            )
        unknown = set(request) - {"model", "subjects", "held_out", "seed", "recording"}
        if unknown:
            raise TrainingError("bad_request", f"A training request has no field {sorted(unknown)[0]!r}.")
        subjects = request.get("subjects", 1.0)
        if isinstance(subjects, list) and subjects and all(isinstance(name, str) for name in subjects):
            subjects = tuple(sorted(set(subjects)))
        elif isinstance(subjects, bool) or not isinstance(subjects, int | float) or not 0 < subjects <= 1:
            raise TrainingError(
                "bad_request",
                f"subjects is {subjects!r}; expected a fraction above 0 and up to 1, or a list of subject names.",
            )
        held_out, seed = request.get("held_out") or [], request.get("seed", 0)
        if not isinstance(held_out, list) or not all(isinstance(name, str) for name in held_out):
            raise TrainingError("bad_request", f"held_out is {held_out!r}; expected a list of subject names.")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise TrainingError("bad_request", f"seed is {seed!r}; expected a whole number from 0 on.")
        model, recording = request.get("model") or default_model, request.get("recording")
        for name, value in (("model", model), ("recording", recording or "")):
            if not isinstance(value, str):
                raise TrainingError("bad_request", f"{name} is {value!r}; expected text.")
        return cls(model, subjects, tuple(sorted(set(held_out))), seed, recording or None)


def check_due(
    store: Store, features_bucket: str, models_bucket: str, *, execution: str, retrain_every: int
) -> dict[str, Any]:
    """Say whether enough new recordings have come since the last training, and claim them for this execution.

    The claim is one conditional write of the list of counted recordings: of many executions that see the same new recordings, one
    trains. Each claim counts exactly `retrain_every` of them, so that N recordings lead to N // `retrain_every` trainings in whatever
    order and however close together they come (of trainings on the same recordings, all but the first say so and do nothing).

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    execution : str
        Name of the execution that asks; asking again gives the same answer.
    retrain_every : int
        New recordings that make a training due.

    Returns
    -------
    dict
        ``due`` (bool), ``new_recordings``, ``retrain_every``.
    """
    for _ in range(_MAX_RACES):
        try:
            body, item = store.get(models_bucket, SCHEDULE_KEY)
            schedule, etag = json.loads(body), item.etag
        except NotFoundError:
            schedule, etag = {"counted": {}, "claims": {}}, None
        if execution in schedule["claims"]:
            return {"due": True, "new_recordings": schedule["claims"][execution], "retrain_every": retrain_every}
        present = _features(store, features_bucket)
        new = [
            name for name, item in sorted(present.items(), key=_by_time) if schedule["counted"].get(name) != item.etag
        ]
        if len(new) < retrain_every:
            return {"due": False, "new_recordings": len(new), "retrain_every": retrain_every}
        schedule["counted"].update({name: present[name].etag for name in new[:retrain_every]})
        schedule["claims"] = {execution: retrain_every, **dict(list(schedule["claims"].items())[:99])}
        try:
            store.put(
                models_bucket,
                SCHEDULE_KEY,
                json.dumps(schedule).encode(),
                content_type="application/json",
                if_absent=etag is None,
                if_match=etag,
            )
        except PreconditionError:
            continue
        return {"due": True, "new_recordings": retrain_every, "retrain_every": retrain_every}
    raise RuntimeError(f"s3://{models_bucket}/{SCHEDULE_KEY} kept changing")


class _Downloaded:
    """Recordings whose features lie in a folder, read one at a time, as often as a fit needs: memory holds one of them."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self.names = names

    def __iter__(self) -> Iterator[RecordingEpochs]:
        for name in self.names:
            features = self.features(name)
            yield RecordingEpochs(name, _subject(name), features.X, features.label, len(features.ch_names))

    def features(self, name: str) -> FeatureSet:
        return read_features(self.path(name))

    def path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '__')}.parquet"


@dataclass
class _TrainingSet:
    """The recordings a training uses, those it leaves out, and why."""

    recordings: _Downloaded
    etags: dict[str, str]
    left_out: list[dict[str, str]]


def train(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    request: TrainingRequest,
    *,
    execution: str,
    started: datetime,
) -> dict[str, Any]:
    """Train a challenger on the features that are there.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    request : TrainingRequest
        What to train, on whom.
    execution : str
        Name of the execution.
    started : datetime
        When it started; the version is named after it.

    Returns
    -------
    dict
        ``outcome`` is ``trained`` or ``unchanged`` (the same recordings with the same settings led to ``version`` before), ``version``,
        and for a new model its figures.

    Raises
    ------
    TrainingError
        If no recording can be trained on, or a named subject has none.
    """
    from p300 import evaluation, models
    from p300.decoding import Response

    registry = Registry(store, models_bucket)
    with tempfile.TemporaryDirectory() as folder:
        chosen = _choose(store, registry, features_bucket, request, Path(folder))
        first = chosen.recordings.features(chosen.recordings.names[0])
        # A kind that is not known is refused before it claims a version.
        models.make(request.model, seed=request.seed, n_channels=len(first.ch_names), n_times=first.n_times)
        fingerprint = _fingerprint(request, chosen.etags)
        claim = registry.claim(execution, fingerprint, started)
        if claim.finished:
            return _already_trained(registry, claim.version, execution)
        estimator, metrics = evaluation.train(chosen.recordings, request.model, request.seed)
        response = Response.fit(chosen.recordings, first.sfreq)
    manifest = {
        "kind": request.model,
        "channels": list(first.ch_names),
        "sfreq": first.sfreq,
        "n_times": first.n_times,
        "tmin": first.tmin,
        "tmax": first.tmax,
        "preprocessing": first.parameters.to_dict(),
        "seed": request.seed,
        "request": {
            "subjects": list(request.subjects) if isinstance(request.subjects, tuple) else request.subjects,
            "held_out": list(request.held_out),
        },
        "subjects": sorted({_subject(name) for name in chosen.recordings.names}),
        "held_out": list(request.held_out),
        "recordings": [{"recording": name, "features_etag": etag} for name, etag in sorted(chosen.etags.items())],
        "left_out": chosen.left_out,
        "n_epochs": metrics["n_epochs"],
        "metrics": metrics,
        "execution": execution,
        "created": started.isoformat(timespec="seconds"),
        "code_version": __version__,
        "python": platform.python_version(),
    }
    artifacts = {
        "model.npz": (_npz({**estimator.to_arrays(), **response.to_arrays()}), "application/octet-stream"),
        "model.joblib": (_joblib(estimator), "application/octet-stream"),
    }
    published = registry.publish(claim.version, fingerprint, artifacts, manifest)
    if published.finished:
        return _already_trained(registry, published.version, execution)
    return _trained(registry, claim.version)


def _already_trained(registry: Registry, version: str, execution: str) -> dict[str, Any]:
    """Answer for a version that stands there finished: as new to the execution that made it and died before it could say so."""
    if registry.manifest(version)["execution"] == execution:
        return _trained(registry, version)
    return {
        "outcome": "unchanged",
        "version": version,
        "why": f"The same recordings with the same settings were trained before: {version}. Nothing to do.",
    }


def _trained(registry: Registry, version: str) -> dict[str, Any]:
    if (registry.alias("challenger") or "") <= version:  # a late retry does not put an older one in its place
        registry.set_alias("challenger", version)
    manifest = registry.manifest(version)
    return {
        "outcome": "trained",
        "version": version,
        "kind": manifest["kind"],
        "n_recordings": len(manifest["recordings"]),
        "n_epochs": manifest["n_epochs"],
        "subjects": manifest["subjects"],
        "held_out": manifest["held_out"],
        "left_out": manifest["left_out"],
        **headline(manifest["metrics"]),
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an evaluation that a person looks at first.

    Parameters
    ----------
    metrics : mapping
        What `p300.evaluation.evaluate` returned.

    Returns
    -------
    dict
        ``scheme`` (what was left out), ``auc_mean``, ``auc_sd``, ``auc_by_fold`` and, named so, the optimistic random split's AUC.
    """
    scheme = "leave_one_subject_out" if metrics["leave_one_subject_out"] else "within_subject_blocks"
    folds = metrics[scheme]
    by_fold = folds.get("subjects") or folds["blocks"]
    return {
        "scheme": scheme,
        "auc_mean": folds["mean"]["roc_auc"],
        "auc_sd": folds["sd"]["roc_auc"],
        "auc_by_fold": {name: figures["roc_auc"] for name, figures in by_fold.items()},
        "auc_pooled_random_split_optimistic": (metrics["pooled_random_split_optimistic"] or {}).get("roc_auc"),
    }


def evaluate(store: Store, features_bucket: str, models_bucket: str, version: str, predict: Predict) -> dict[str, Any]:
    """Score recordings through the serving code and compare with their labels.

    Held-out subjects' recordings where there are any that the model can score; else the newest ones it was trained on, said to be
    seen.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    version : str
        The model.
    predict : callable
        Asks the serving function; see `Predict`.

    Returns
    -------
    dict
        ``recordings`` (name, n_epochs, roc_auc, accuracy, kappa), ``seen_in_training``, ``skipped`` (name, reason) and the pooled
        figures. All figures, and the curves, are kept beside the model as ``evaluation.json``.
    """
    from p300 import evaluation

    registry = Registry(store, models_bucket)
    manifest = registry.manifest(version)
    present = _features(store, features_bucket)
    held_out = {name for name in present if _subject(name) in set(manifest["held_out"])}
    trained_on = {entry["recording"] for entry in manifest["recordings"]} & set(present)
    newest = sorted(trained_on, key=lambda name: _by_time((name, present[name])), reverse=True)[:EVALUATION_RECORDINGS]
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    labels, probabilities = [], []
    seen = False
    for names in (sorted(held_out), sorted(newest)):
        for name in names:
            features = _read(store, features_bucket, present[name])
            if reason := _misfit(features, manifest["channels"], manifest["n_times"]):
                skipped.append({"recording": name, "reason": reason})
                continue
            probability = predict(version, features.X)
            rows.append({"recording": name, **evaluation.classification_metrics(features.label, probability)})
            labels.append(features.label)
            probabilities.append(probability)
        if rows:
            break
        seen = True
    pooled = (np.concatenate(labels), np.concatenate(probabilities)) if rows else None
    overall = evaluation.classification_metrics(*pooled) if pooled else None
    common = {"version": version, "seen_in_training": seen, "skipped": skipped}
    curves = evaluation.curves(*pooled) if pooled else {}
    registry.keep_evaluation(version, {**common, "recordings": rows, "overall": overall, "curves": curves})
    return {
        **common,
        "recordings": [{"recording": row["recording"], **_figures(row)} for row in rows],
        "pooled": _figures(overall) if overall else None,
    }


def promote(store: Store, models_bucket: str, version: str, *, execution: str) -> dict[str, Any]:
    """Make a version the champion unless it is worse than the one that serves.

    Compared on the people that both were tested on without having seen them (leave-one-subject-out), paired: the mean difference of
    ROC AUC must not be below -`PROMOTION_MARGIN_AUC`. A challenger that was overtaken by a newer champion must be better by more than that.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The challenger.
    execution : str
        Name of the execution, for the history.

    Returns
    -------
    dict
        ``outcome`` (``promoted`` or ``kept``), ``champion``, and the figures that decided.
    """
    registry = Registry(store, models_bucket)
    challenger = registry.manifest(version)
    while True:
        champion = registry.alias("champion")
        # A retry compares with the same model as the attempt that died, and gives the same answer.
        other = registry.replaced_by(version) if champion == version else champion
        decision = _compare(registry, other, challenger)
        if not decision.pop("promote"):
            if champion != version:
                return {"outcome": "kept", "champion": champion, "challenger": version, **decision}
            decision = {"why": "It is the champion already."}
        if registry.promote(version, expected=other, entry={"execution": execution, **decision}):
            return {"outcome": "promoted", "champion": version, "replaced": other, **decision}


def _compare(registry: Registry, champion_version: str | None, challenger: dict[str, Any]) -> dict[str, Any]:
    if champion_version is None:
        return {"promote": True, "why": "There was no champion."}
    try:
        champion = registry.manifest(champion_version)
    except ArtifactError as error:
        return {"promote": True, "why": f"The champion cannot serve: {error.message}"}
    older = challenger["version"] < champion_version
    theirs, ours = (_auc_by_subject(manifest) for manifest in (champion, challenger))
    common = sorted(theirs.keys() & ours.keys())
    if not common:
        why = "No person was left out of both models: nothing to compare, the newer one serves."
        return {"promote": not older, "why": why}
    difference = float(np.mean([ours[name] - theirs[name] for name in common]))
    figures = {
        "auc_difference": round(difference, 4),
        "margin": PROMOTION_MARGIN_AUC,
        "auc_champion": round(float(np.mean([theirs[name] for name in common])), 4),
        "auc_challenger": round(float(np.mean([ours[name] for name in common])), 4),
        "compared_on": common,
    }
    if older and difference <= PROMOTION_MARGIN_AUC:
        return {"promote": False, "why": "Older than the champion, and not better on left-out people.", **figures}
    if difference < -PROMOTION_MARGIN_AUC:
        return {"promote": False, "why": "Worse on left-out people than the champion.", **figures}
    return {"promote": True, "why": "Not worse on left-out people than the champion.", **figures}


def _auc_by_subject(manifest: dict[str, Any]) -> dict[str, float]:
    figures = headline(manifest["metrics"])
    if figures["scheme"] != "leave_one_subject_out":
        return {}
    return {name: auc for name, auc in figures["auc_by_fold"].items() if auc is not None}


def _choose(store: Store, registry: Registry, bucket: str, request: TrainingRequest, folder: Path) -> _TrainingSet:
    present = _features(store, bucket)
    wanted = _wanted_subjects(sorted({_subject(name) for name in present}), request)
    names = [name for name in sorted(present) if _subject(name) in wanted]
    if not names:
        raise TrainingError(
            "no_recordings", f"There are no features in s3://{bucket} to train on. Land recordings first."
        )
    downloaded = _Downloaded(folder, names)
    etags = {name: store.download(bucket, present[name].key, downloaded.path(name)).etag for name in names}
    left_out: list[dict[str, str]] = []
    shapes: dict[str, tuple[tuple[str, ...], int]] = {}
    for name in names:
        try:
            features = downloaded.features(name)
        except ArtifactError:
            left_out.append({"recording": name, "reason": "its features cannot be read: preprocess it again"})
            continue
        if len(np.unique(features.label)) < 2:
            left_out.append({"recording": name, "reason": "epochs of one class only"})
        elif not np.isfinite(features.X).all():
            left_out.append({"recording": name, "reason": "features hold NaN or infinity"})
        else:
            shapes[name] = (features.ch_names, features.n_times)
    if shapes:
        channels, n_times = _montage(registry, request, shapes)
        misfits = {name: _misfit_of(shape, channels, n_times) for name, shape in shapes.items()}
        left_out += [{"recording": name, "reason": reason} for name, reason in misfits.items() if reason]
    unfit = {entry["recording"] for entry in left_out}
    fit = [name for name in names if name not in unfit]
    if not fit:
        raise TrainingError("no_recordings", f"None of the {len(names)} recordings can be trained on: {left_out}.")
    return _TrainingSet(_Downloaded(folder, fit), {name: etags[name] for name in fit}, left_out)


def _misfit(features: FeatureSet, channels: Sequence[str], n_times: int) -> str | None:
    return _misfit_of((features.ch_names, features.n_times), channels, n_times)


def _misfit_of(shape: tuple[tuple[str, ...], int], channels: Sequence[str], n_times: int) -> str | None:
    """Say why a recording of this shape is none for a model of these channels and samples, if it is."""
    if shape[0] != tuple(channels):
        return f"channels {' '.join(shape[0])}; this stack learns {' '.join(channels)}"
    if shape[1] != n_times:
        return f"{shape[1]} samples an epoch; this stack learns {n_times}"
    return None


def _wanted_subjects(present: list[str], request: TrainingRequest) -> set[str]:
    eligible = [name for name in present if name not in request.held_out]
    if isinstance(request.subjects, tuple):
        missing = sorted(set(request.subjects) - set(eligible))
        if missing:
            raise TrainingError(
                "unknown_subjects",
                f"No features for {', '.join(missing)} that may be trained on. There are: {', '.join(eligible) or 'none'}.",
            )
        return set(request.subjects)
    n_wanted = max(1, round(request.subjects * len(eligible)))
    return set(np.random.default_rng(request.seed).permutation(eligible)[:n_wanted].tolist())


def _montage(
    registry: Registry, request: TrainingRequest, shapes: Mapping[str, tuple[tuple[str, ...], int]]
) -> tuple[tuple[str, ...], int]:
    """Return channels and samples an epoch of the champion; with none yet, of the recording that made training due."""
    champion = registry.alias("champion")
    if champion:
        try:
            manifest = registry.manifest(champion)
        except ArtifactError:  # it cannot serve either: the next model takes its place
            pass
        else:
            return tuple(manifest["channels"]), int(manifest["n_times"])
    if request.recording is not None and request.recording in shapes:
        return shapes[request.recording]
    return Counter(shapes.values()).most_common(1)[0][0]


def _fingerprint(request: TrainingRequest, etags: Mapping[str, str]) -> str:
    identity = {
        "model": request.model,
        "seed": request.seed,
        "held_out": request.held_out,
        "recordings": sorted(etags.items()),
        "code": __version__,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _features(store: Store, bucket: str) -> dict[str, Item]:
    found = {}
    for item in store.list(bucket, "subject_"):
        if name := recording_of_features(item.key):
            found[name] = item
    return found


def _read(store: Store, bucket: str, item: Item) -> FeatureSet:
    return read_features(io.BytesIO(store.get(bucket, item.key, if_match=item.etag)[0]))


def _subject(recording: str) -> str:
    return recording.partition("/")[0]


def _by_time(entry: tuple[str, Item]) -> tuple[float, str]:
    return entry[1].modified, entry[0]


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("n_epochs", "roc_auc", "accuracy", "balanced_accuracy", "kappa")}


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def _joblib(estimator: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()
