"""Raw data to features: filter, epoch, reject, resample; a report beside them."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from p300.errors import RecordingError
from p300.readers import sidecar as sidecars
from p300.recording_report import report
from p300.signals import Parameters

from p300_pipeline import provenance
from p300_pipeline.contracts import IngestResult, PreprocessOutcome, PreprocessResult
from p300_pipeline.documents import parse
from p300_pipeline.keys import RecordingKey
from p300_pipeline.making.features import make_features
from p300_pipeline.steps.quarantine import earlier_quarantine, quarantine
from p300_pipeline.steps.raw_data import download_files, files_of, find_sidecars, name_taken, replacement_notes
from p300_pipeline.storage import (
    Item,
    Keep,
    NotFoundError,
    PreconditionError,
    Store,
    Write,
    compare_and_swap,
    find,
    sha256_hex,
)


def preprocess(
    store: Store,
    raw_bucket: str,
    features_bucket: str,
    key: str,
    etag: str,
    parameters: Parameters,
    *,
    may_quarantine: bool = True,
) -> PreprocessResult:
    """Make the features of one raw recording.

    Parameters
    ----------
    store : Store
        S3 access.
    raw_bucket, features_bucket : str
        Bucket names.
    key : str
        Key of the raw recording.
    etag : str
        ETag at ingestion; features are never made from other bytes. Empty for the recording as it is now.
    parameters : Parameters
        Filter, window, baseline, rejection and output rate.
    may_quarantine : bool
        Whether a recording without usable epochs is moved to quarantine.

    Returns
    -------
    dict
        ``outcome`` is ``features`` (made now), ``unchanged`` (they were up to date), ``superseded`` (the raw recording was replaced
        in the meantime, and the newer upload has its own execution), ``quarantined`` (no epoch of a class was kept, or another
        recording has its name) or, if it may not be quarantined, ``unusable``; the last two with ``reason``. ``notes`` if the raw
        recording or its sidecar took the place of another one, on what the sidecar says, and where fewer than half of the epochs are kept.
    """
    recording_key = RecordingKey.parse(key)
    raw = find(store, raw_bucket, key)
    if raw is None or (etag and raw.etag != etag):
        return _superseded(store, raw_bucket, recording_key, etag)
    companions = files_of(store, raw_bucket, raw)
    made_of: dict[str, Any] = {
        "raw_key": key,
        "raw_etag": raw.etag,
        **({"raw_companions": companions} if companions else {}),
    }
    code = provenance.code_of(provenance.FEATURES)
    stamp = {name.replace("_", "-"): fact for name, fact in _as_text(made_of).items()}
    stamp |= {
        "parameters": _digest(parameters),
        "code-digest": code.digest,
        "libraries": provenance.in_words(code.libraries),
    }
    held = [find(store, features_bucket, name) for name in (recording_key.features, recording_key.report)]
    if all(item and stamp.items() <= item.metadata.items() for item in held):
        facts = parse(store.get(features_bucket, recording_key.report)[0], recording_key.report, dict)
        return _answer("unchanged", recording_key, facts, etag=raw.etag, **_told(store, raw_bucket, raw, facts))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path, read = download_files(store, raw_bucket, raw, companions, Path(folder))
            files = [raw, *read[1:]]
            made_of |= _versions(read[0], files[1:], path)
            try:
                written = Path(folder) / "features"  # a file, because features may need half of the memory
                stated = _as_text(made_of | code.stated())
                features = make_features(recording_key, path, parameters, stated, written)
                facts = {**report(features), **made_of, **code.stated()}
                write = _Writer(store, raw_bucket, features_bucket, recording_key, stamp, companions)
                write(recording_key.features, written, "application/vnd.apache.parquet")
                # The report comes last: a retry after an interruption finds it missing or outdated, and makes both again.
                write(recording_key.report, json.dumps(facts, indent=1).encode(), "application/json")
            except RecordingError as error:
                if not may_quarantine:
                    reason = {"code": error.code, "message": error.message}
                    return _answer("unusable", recording_key, reason=reason)
                # Only these versions; an upload that replaced them in the meantime stays, and so do earlier ones.
                return _quarantined(recording_key, quarantine(store, raw_bucket, raw_bucket, files, error))
    except (NotFoundError, PreconditionError):
        return _superseded(store, raw_bucket, recording_key, raw.etag)
    return _answer("features", recording_key, facts, etag=raw.etag, **_told(store, raw_bucket, raw, facts))


@dataclass
class _Writer:
    """Writes what was made from a raw recording, provided that it has not been replaced."""

    store: Store
    raw_bucket: str
    features_bucket: str
    key: RecordingKey
    stamp: dict[str, str]
    companions: dict[str, str]

    def __call__(self, name: str, body: bytes | Path, content_type: str) -> None:
        def decide() -> Keep[None] | Write[None]:
            # In this order: what a newer raw recording led to after this look is not overwritten.
            held = find(self.store, self.features_bucket, name)
            raw = self.store.head(self.raw_bucket, str(self.key))
            if raw.etag != self.stamp["raw-etag"] or files_of(self.store, self.raw_bucket, raw) != self.companions:
                raise PreconditionError(f"{self.key} was replaced")
            if held and self.stamp.items() <= held.metadata.items():
                return Keep(None)
            other = held.metadata.get("raw-key", str(self.key)) if held else str(self.key)
            if other != str(self.key) and find(self.store, self.raw_bucket, other):
                raise name_taken(self.key, other)
            return Write(None, body, held.etag if held else None, content_type, self.stamp)

        compare_and_swap(self.store, self.features_bucket, name, decide)


def _versions(raw: Item, companions: Sequence[Item], path: Path) -> dict[str, Any]:
    """Return the versions of a recording's files that were read, and their digests."""
    facts: dict[str, Any] = {"raw_version_id": raw.version_id or "", "raw_sha256": sha256_hex(path)}
    if companions:
        facts["raw_companion_versions"] = {
            (name := PurePosixPath(item.key).name): {
                "version_id": item.version_id or "",
                "sha256": sha256_hex(path.with_name(name)),
            }
            for item in companions
        }
    return facts


def _as_text(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts.items()}


def _digest(parameters: Parameters) -> str:
    return hashlib.sha256(json.dumps(parameters.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def _told(store: Store, raw_bucket: str, raw: Item, facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a person should know of the recording: what it and its sidecar replaced, what that says, and that few epochs are kept."""
    key = RecordingKey.parse(raw.key)
    items = [raw, *find_sidecars(store, raw_bucket, key)]
    replaced = [note for item in items for note in replacement_notes(raw_bucket, item)]
    few = [told] if (told := facts.get("few_kept")) else []
    notes = [*few, *replaced, *sidecars.notes(facts.get("sidecar", {}), PurePosixPath(key.sidecar).name)]
    return {"notes": notes} if notes else {}


def _superseded(store: Store, raw_bucket: str, key: RecordingKey, etag: str) -> PreprocessResult:
    """Answer for bytes that are no longer the raw recording: repeat the answer of an earlier attempt that quarantined them, if any."""
    earlier = earlier_quarantine(store, raw_bucket, raw_bucket, str(key), etag) if etag else None
    return _quarantined(key, earlier) if earlier else _answer("superseded", key)


def _quarantined(key: RecordingKey, answer: IngestResult) -> PreprocessResult:
    return _answer("quarantined", key, quarantine_key=answer["quarantine_key"], reason=answer["reason"])


def _answer(
    outcome: PreprocessOutcome, key: RecordingKey, facts: dict[str, Any] | None = None, **more: Any
) -> PreprocessResult:
    shown = {
        name: facts[name]
        for name in ("n_flashes", "n_kept", "channels", "bad_channels", "labelled")
        if facts and name in facts
    }
    answer = {"outcome": outcome, "recording": key.recording, "key": str(key), "features_key": key.features}
    return cast(PreprocessResult, {**answer, **shown, **more})
