"""Draws the report of a recording (plot and page, beside its features) and the plots of a model."""

import io
import json
from functools import partial
from typing import Any

from p300.features import FeatureSet, read_features
from p300.recording_report import report

from p300_pipeline.contracts import PlotResult, ReportResult
from p300_pipeline.documents import parse
from p300_pipeline.keys import RecordingKey
from p300_pipeline.registry import Registry
from p300_pipeline.storage import (
    Item,
    Keep,
    NotFoundError,
    PreconditionError,
    Store,
    Write,
    compare_and_swap,
    find,
)

STAMPED = ("raw-key", "raw-etag", "raw-companions", "parameters", "code-digest", "libraries")
"""Metadata of features that identifies their recording and how they were made."""


def draw_report(store: Store, features_bucket: str, key: str) -> ReportResult:
    """Draw the report of one recording's features.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket : str
        Bucket name.
    key : str
        Key of the raw recording.

    Returns
    -------
    dict
        ``outcome`` is ``drawn``, ``unchanged`` (these features have a report), ``superseded`` (the features were replaced in the
        meantime, and the new ones get their own report) or ``no_features``; with ``page_key``, and ``auc`` and ``verdict`` if it was drawn
        now. report.json gets both as ``single_flash`` and ``verdict``.
    """
    recording_key = RecordingKey.parse(key)
    answer: ReportResult = {
        "outcome": "drawn",
        "recording": recording_key.recording,
        "key": key,
        "page_key": recording_key.page,
    }
    try:
        made_of = store.head(features_bucket, recording_key.features)
    except NotFoundError:
        return {**answer, "outcome": "no_features"}
    stamp = {name: made_of.metadata[name] for name in STAMPED if name in made_of.metadata}
    held = [find(store, features_bucket, name) for name in (recording_key.erp_plot, recording_key.page)]
    if all(item and stamp.items() <= item.metadata.items() for item in held):
        return {**answer, "outcome": "unchanged"}
    try:
        body, _ = store.get(features_bucket, recording_key.features, if_match=made_of.etag)
    except (NotFoundError, PreconditionError):
        return {**answer, "outcome": "superseded"}
    features = read_features(io.BytesIO(body), name=f"s3://{features_bucket}/{recording_key.features}")
    companions = json.loads(stamp.get("raw-companions", "{}"))
    facts = {
        **report(features),
        "raw_companions": companions,
        "raw_key": stamp.get("raw-key", ""),
        "raw_etag": stamp.get("raw-etag", ""),
        "code_digest": stamp.get("code-digest", ""),
    }
    picture, page, added = _drawn(features, recording_key.recording, facts)
    write = partial(_write, store, features_bucket, recording_key, made_of, stamp)
    try:
        write(recording_key.erp_plot, picture, "image/png")
        if added:
            _add_to_report(store, features_bucket, recording_key, stamp, added)
        # The page comes last, so that wherever there is a page there is also a plot.
        write(recording_key.page, page, "text/html; charset=utf-8")
    except (NotFoundError, PreconditionError):
        return {**answer, "outcome": "superseded"}
    if not added:
        return {**answer, "auc": None, "verdict": "unlabelled"}
    return {**answer, "auc": added["single_flash"]["roc_auc"], "verdict": added["verdict"]["words"]}


def _drawn(features: FeatureSet, recording: str, facts: dict[str, Any]) -> tuple[bytes, bytes, dict[str, Any]]:
    """Return plot, page, and what report.json gets; nothing of an unlabelled recording, as nothing can be tested without labels."""
    # Importing Matplotlib takes seconds, which the answers above do not need.
    if not features.labelled:
        from p300.reporting import unlabelled

        return (
            unlabelled.draw(features, recording),
            unlabelled.render(recording, facts, features).encode(),
            {},
        )
    from p300.reporting.page import render
    from p300.reporting.picture import draw
    from p300.reporting.verdict import judge
    from p300.reporting.views import views

    finding = judge(features, recording)
    page = render(recording, facts, finding, views(features, finding)).encode()
    return draw(features, recording, finding), page, {"verdict": finding.facts, "single_flash": finding.single_flash}


def draw_pictures(store: Store, models_bucket: str, version: str) -> PlotResult:
    """Draw the plots of a model's metrics into its folder; the manifest stays as it is.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    version : str
        The model, or an alias of it.

    Returns
    -------
    dict
        ``outcome`` is ``drawn``, or ``unchanged`` if the manifest lists plots, as in older versions; ``version``, and the ``names`` of
        all plots. The same metrics give the same bytes.

    Raises
    ------
    ArtifactError
        If there is no such model.
    """
    registry = Registry(store, models_bucket)
    version = registry.resolve(version)
    manifest = registry.manifest(version)
    names = [name for name in manifest["artifacts"] if name.endswith(".png")]
    if names:
        return {"outcome": "unchanged", "version": version, "names": sorted(names)}
    from p300.reporting.model import draw_model

    pictures = draw_model(manifest["kind"], manifest["metrics"])
    for name, picture in pictures.items():
        registry.keep_picture(version, name, picture)
    return {"outcome": "drawn", "version": version, "names": sorted(pictures)}


def _add_to_report(store: Store, bucket: str, key: RecordingKey, stamp: dict[str, str], facts: dict[str, Any]) -> None:
    """Add facts to the report.json of these features; do nothing if it is missing or belongs to other features."""

    def decide() -> Keep[None] | Write[None]:
        try:
            body, held = store.get(bucket, key.report)
        except NotFoundError:
            return Keep(None)  # the preprocessing that is about to write it asks for this report again
        if not stamp.items() <= held.metadata.items():
            return Keep(None)
        report_now = parse(body, f"s3://{bucket}/{key.report}", dict) | facts
        return Write(None, json.dumps(report_now, indent=1).encode(), held.etag, "application/json", held.metadata)

    compare_and_swap(store, bucket, key.report, decide)


def _write(
    store: Store,
    bucket: str,
    key: RecordingKey,
    made_of: Item,
    stamp: dict[str, str],
    name: str,
    body: bytes,
    content_type: str,
) -> None:
    """Write, provided that the features are still those that were drawn."""

    def decide() -> Write[None]:
        # In this order: what is drawn from newer features after this look is not overwritten.
        held = find(store, bucket, name)
        if store.head(bucket, key.features).etag != made_of.etag:
            raise PreconditionError(f"{key.features} was replaced")
        return Write(None, body, held.etag if held else None, content_type, stamp)

    compare_and_swap(store, bucket, name, decide)
