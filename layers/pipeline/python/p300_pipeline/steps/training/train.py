"""Trains a challenger on the recordings that were chosen, and publishes it."""

import io
import platform
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from p300 import __version__
from p300.errors import ArtifactError
from p300.evaluation import headline
from p300.scoring import read_arrays
from p300.signals.parameters import Parameters

from p300_pipeline import provenance
from p300_pipeline.contracts import SpreadResult, TrainResult, UsedRecordings
from p300_pipeline.feature_store import subject_of
from p300_pipeline.making.model import Made, make_model
from p300_pipeline.model_index import update_index
from p300_pipeline.montage_groups import Montage
from p300_pipeline.registry import Registry
from p300_pipeline.steps.scheduling import settle
from p300_pipeline.steps.training.choice import TrainingSet, choose, fingerprint_of
from p300_pipeline.steps.training.montage import Way, decide
from p300_pipeline.steps.training.request import TrainingRequest
from p300_pipeline.steps.training.spread import Plan, Spread, SpreadTraining
from p300_pipeline.storage import Store

SHOWN_LEFT_OUT = 20
"""Of the recordings left out, in the answer, which Step Functions takes up to 256 KiB of; the manifest has all."""


def train(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    request: TrainingRequest,
    parameters: Parameters,
    *,
    execution: str,
    started: datetime,
    memory_mb: int,
    spread: Spread | None = None,
) -> TrainResult | SpreadResult:
    """Train a challenger on the available features, or begin a training that is spread over functions.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    request : TrainingRequest
        What to train, on whom.
    parameters : Parameters
        The stack's preprocessing; features made with any other are left out by name.
    execution : str
        Name of the execution.
    started : datetime
        When it started; the version is named after it.
    memory_mb : int
        Memory of this process: recordings that take too much of it are left out by name.
    spread : Spread, optional
        When the training is spread; never, without it.

    Returns
    -------
    dict
        ``outcome`` is ``trained`` (now, or before by an execution that did not come to its end), ``unchanged`` (the same recordings
        with the same settings led to ``version`` before, and decoding can adapt it), or ``spread``, as `SpreadTraining.begin` returns.
        ``version``, for a new model its figures; ``left_out`` (the first of ``n_left_out`` recordings), ``other_montages`` likewise,
        ``one_person`` (subjects that are) and ``montage`` (its group, and whether missing channels were interpolated).

    Raises
    ------
    TrainingError
        If no recording can be trained on, or a named subject has none.
    """
    answer = _train(store, features_bucket, models_bucket, request, parameters, execution, started, memory_mb, spread)
    if answer["outcome"] != "spread":
        settle(store, models_bucket, execution)
    return answer


def finish(store: Store, models_bucket: str, version: str, *, execution: str) -> TrainResult:
    """Publish the model of a training that was spread over functions.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The version that the training claimed.
    execution : str
        Name of the execution.

    Returns
    -------
    dict
        As `train` returns it.
    """
    registry = Registry(store, models_bucket)
    training = SpreadTraining(store, models_bucket, version)
    begun = training.plan().training
    answer = _publish(registry, version, begun["fingerprint"], training.finish(), begun["manifest"])
    settle(store, models_bucket, execution)
    return {**answer, **begun["told"]}


def _train(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    request: TrainingRequest,
    parameters: Parameters,
    execution: str,
    started: datetime,
    memory_mb: int,
    spread: Spread | None,
) -> TrainResult | SpreadResult:
    # These take seconds to import, or are missing where only other parts of the step run.
    from p300 import models
    from p300.evaluation_parts import look

    registry = Registry(store, models_bucket)
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose(store, registry, features_bucket, request, parameters, folder=Path(folder), memory_mb=memory_mb)
        some = next(iter(chosen.ways.values()))
        first = some.features(some.names[0])
        # An unknown kind is refused before it claims a version.
        models.make(request.model, seed=request.seed, n_channels=len(first.ch_names), n_times=first.n_times)
        fingerprint = fingerprint_of(request, chosen.facts)
        earlier = registry.version_of_training(fingerprint)
        if earlier and not _can_adapt(registry, earlier):
            fingerprint = fingerprint_of(request, chosen.facts, instead_of=earlier)
        claim = registry.claim(execution, fingerprint, started)
        told: UsedRecordings = {
            "left_out": chosen.left_out[:SHOWN_LEFT_OUT],
            "n_left_out": len(chosen.left_out),
            "other_montages": chosen.other_montages[:SHOWN_LEFT_OUT],
            "n_other_montages": len(chosen.other_montages),
            "one_person": chosen.one_person,
        }
        if claim.finished:
            return {**_already_trained(registry, claim.version, execution), **told}
        way = decide(chosen.ways, chosen.compared_with, request.seed)
        manifest = _manifest_of(request, chosen, way, execution, started)
        told |= {"left_out": manifest["left_out"][:SHOWN_LEFT_OUT], "n_left_out": len(manifest["left_out"])}
        if spread and spread.wanted(way.recordings, request.model):
            plan = Plan(
                request.model,
                request.seed,
                manifest["sfreq"],
                look(way.recordings),
                manifest["channels"],
                {name: chosen.facts[name]["features_etag"] for name in way.recordings.names},
                spread.n_batches(way.recordings),
                {"fingerprint": fingerprint, "manifest": manifest, "told": told},
            )
            return SpreadTraining(store, models_bucket, claim.version).begin(way.recordings, plan)
        made = make_model(way.recordings, request.model, request.seed)
    return {**_publish(registry, claim.version, fingerprint, made, manifest), **told}


def _manifest_of(
    request: TrainingRequest, chosen: TrainingSet, way: Way, execution: str, started: datetime
) -> dict[str, Any]:
    """Return what a manifest says before there is a model."""
    names = way.recordings.names
    first = way.recordings.features(names[0])
    return {
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
            **({"channels": list(request.channels)} if request.channels else {}),
        },
        "subjects": sorted({subject_of(name) for name in names}),
        "held_out": list(request.held_out),
        "recordings": [{"recording": name, **chosen.facts[name]} for name in sorted(names)],
        "n_synthetic": sum(bool(chosen.facts[name].get("synthetic")) for name in names),
        "left_out": [
            *chosen.left_out,
            *({"recording": name, "reason": reason} for name, reason in way.left_out.items()),
        ],
        "other_montages": chosen.other_montages,
        "montage": {**chosen.montage, **way.facts},
        "one_person": chosen.one_person,
        **({"drawn_subjects": chosen.drawn_subjects} if chosen.drawn_subjects else {}),
        "execution": execution,
        "created": started.isoformat(timespec="seconds"),
        "code_version": __version__,
        "python": platform.python_version(),
        **provenance.code_of(provenance.MODEL).stated(),
        "features_made_by": {
            "code_digest": provenance.code_of(provenance.FEATURES).digest,
            "libraries": chosen.features_libraries,
        },
        "machine": provenance.machine(),
    }


def _publish(registry: Registry, version: str, fingerprint: str, made: Made, manifest: dict[str, Any]) -> TrainResult:
    from p300.models.portable import to_pipeline

    artifacts = {
        "model.npz": (made.npz, "application/octet-stream"),
        "model.joblib": (_joblib(to_pipeline(made.estimator)), "application/octet-stream"),
    }
    manifest = {**manifest, "n_epochs": made.metrics["n_epochs"], "metrics": made.metrics}
    published = registry.publish(version, fingerprint, artifacts, manifest)
    if published.finished:
        return _already_trained(registry, published.version, manifest["execution"])
    return _trained(registry, version)


def _can_adapt(registry: Registry, version: str) -> bool:
    """Say whether a version holds the response that decoding adapts from: models of before there was one do not."""
    from p300.decoding import Response

    try:
        arrays = read_arrays(registry.artifact(version, "model.npz", registry.manifest(version)))
        return Response.from_arrays(arrays) is not None
    except ArtifactError:  # it cannot be loaded at all
        return False


def _already_trained(registry: Registry, version: str, execution: str) -> TrainResult:
    """Answer for a version that is there: as new where what made it died or was stopped before all was done with it."""
    update_index(registry)  # the attempt that published it may have failed before this
    if registry.manifest(version)["execution"] == execution:
        return _trained(registry, version)
    if not registry.is_finished(version):
        why = f"{version} was trained before, and its execution did not come to its end: evaluated, compared and drawn now."
        return _trained(registry, version) | {"why": why}
    # Nothing is promoted after this, so an unfinished promotion would stay unfinished.
    registry.finish_promotion()
    group = Montage.of(registry.manifest(version)).group
    if group in registry.other_groups():
        registry.line(group).finish_promotion()
    return {
        "outcome": "unchanged",
        "version": version,
        "why": f"The same recordings with the same settings were trained before: {version}. Nothing to do.",
    }


def _trained(registry: Registry, version: str) -> TrainResult:
    if (registry.held_by("challenger") or "") <= version:  # a late retry does not replace it by an older one
        registry.set_alias("challenger", version)
    manifest = registry.manifest(version)
    told = ("kind", "n_epochs", "subjects", "held_out", "montage", "n_synthetic")
    facts: dict[str, Any] = {name: manifest[name] for name in told if name in manifest}
    facts |= {"outcome": "trained", "version": version, "n_recordings": len(manifest["recordings"])}
    return cast(TrainResult, facts | headline(manifest["metrics"]))


def _joblib(pipeline: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()
