"""Every recording and the stage it has reached: from listings of the buckets and the small files beside the features."""

import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from p300.chance import chance_of
from p300.errors import ArtifactError
from p300.json_text import is_number
from p300_pipeline.documents import Check, is_count, is_text, is_texts, is_verdict
from p300_pipeline.keys import (
    QUARANTINE,
    RECORDS,
    bare_name,
    is_litter,
    is_sidecar,
    recording_of_features,
    stays,
    subject_name,
)
from p300_pipeline.steps.quarantine_records import describe, landed_as, objects
from p300_pipeline.storage import Item, NotFoundError

from p300_console.stack import Stack

LANDING, QUARANTINED, RAW, FEATURES, MODEL = "landing", "quarantined", "raw", "features", "model"
STAGES = {
    LANDING: "Landing",
    QUARANTINED: "Quarantined",
    RAW: "Raw",
    FEATURES: "Features",
    MODEL: "Used by a champion",
}
PAGE = 50
MAX_OBJECT_BYTES = 20 << 20
_THREADS = 8
FRESH_S, STALE_S = 1.5, 20.0
"""A listing older than the first is refreshed in the background; a page waits for a new one if it is older than the second."""


@dataclass(frozen=True)
class Recording:
    """One recording, or one object that was meant to be one.

    Attributes
    ----------
    name : str
        ``<subject>/<recording>``; for an object in quarantine, its landing key.
    stage : str
        One of `STAGES`.
    key : str
        Key of the object in the bucket of its stage.
    files : frozenset of str
        Names of the files beside its features.
    models : tuple of str
        Aliases of the models trained on it.
    """

    name: str
    stage: str
    key: str
    size: int
    modified: float
    etag: str = ""
    files: frozenset[str] = frozenset()
    report_etag: str = ""
    models: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The subject in its name."""
        return subject_name(self.name.partition("/")[0])


@dataclass(frozen=True)
class Selection:
    """One page of the list."""

    rows: list[Recording]
    facts: dict[str, dict[str, Any]]
    n: int
    page: int
    n_pages: int
    counts: dict[str, int]
    subjects: list[str]


@dataclass
class _Listing:
    """What the feature store holds for one recording."""

    files: set[str] = field(default_factory=set)
    features: Item | None = None
    report: Item | None = None


class Recordings:
    """The recordings of a stack.

    Parameters
    ----------
    stack : Stack
        Where they are.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._json: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "objects")
        self._background = ThreadPoolExecutor(1, "listing")  # a separate pool: its task waits for tasks of the other
        self._lock = threading.Lock()
        self._listed: list[Recording] | None = None
        self._listed_at = 0.0
        self._listing = False

    def everything(self) -> list[Recording]:
        """Return all recordings sorted by name; objects in quarantine or the landing zone come beside recordings of the same name.

        Listing thousands of objects takes longer than a page may take: a page shows the last listing, and has it refreshed for the next
        page.
        """
        now = time.monotonic()
        with self._lock:
            found, age = self._listed, now - self._listed_at
            refresh = found is not None and age > FRESH_S and not self._listing
            self._listing |= refresh
        if found is None or age > STALE_S:
            return self._list()
        if refresh:
            self._background.submit(self._refresh)
        return found

    def _refresh(self) -> None:
        try:
            self._list()
        except Exception:  # the next page lists again, and shows what is wrong
            self._listed = None
        finally:
            self._listing = False

    def _list(self) -> list[Recording]:
        began = time.monotonic()
        found = self._everything()
        self._listed, self._listed_at = found, began
        return found

    def _everything(self) -> list[Recording]:
        buckets = [self._stack.output(f"{zone}BucketName") for zone in ("Landing", "Raw", "Features")]
        # Only the subjects' folders of the feature store: backfills keep notes there, too.
        prefixes = ("", "", "subject_")
        landing, raw, features = self._pool.map(lambda *where: list(self._stack.store.list(*where)), buckets, prefixes)
        users = self._users()
        derived = _by_recording(features)
        found = [
            Recording(bare_name(item.key), LANDING, item.key, item.size, item.modified, item.etag)
            for item in landing
            if not is_litter(item.key, item.size) and not stays(item.key)
        ]
        quarantined = {item.key: item for item in raw if item.key.startswith(QUARANTINE)}
        found += [
            Recording(landed_as(item.key), QUARANTINED, item.key, item.size, item.modified, item.etag)
            for item in objects(quarantined)
        ]
        for item in raw:
            if item.key.startswith((QUARANTINE, RECORDS)) or is_sidecar(item.key):
                continue
            name = bare_name(item.key)
            beside = derived.get(name, _Listing())
            used = users.get(name, ())
            stage = RAW if beside.features is None else MODEL if set(used) - {"challenger"} else FEATURES
            found.append(
                Recording(
                    name,
                    stage,
                    item.key,
                    item.size,
                    item.modified,
                    item.etag,
                    frozenset(beside.files),
                    beside.report.etag if beside.report else "",
                    used,
                )
            )
        return sorted(found, key=lambda one: (one.name, list(STAGES).index(one.stage), one.key))

    def select(self, *, stage: str = "", subject: str = "", page: int = 1) -> Selection:
        """Return one page of the recordings that match the filters."""
        everything, subject = self.everything(), subject_name(subject)
        fitting = [one for one in everything if not subject or one.subject == subject]
        counts = {name: sum(one.stage == name for one in fitting) for name in STAGES}
        chosen = [one for one in fitting if not stage or one.stage == stage]
        n_pages = max(1, -(-len(chosen) // PAGE))
        page = min(max(1, page), n_pages)
        rows = chosen[(page - 1) * PAGE : page * PAGE]
        facts = dict(zip((row.key for row in rows), self._pool.map(self.facts, rows), strict=True))
        return Selection(rows, facts, len(chosen), page, n_pages, counts, sorted({one.subject for one in everything}))

    def named(self, name: str, key: str = "") -> list[Recording]:
        """Return everything of this name; with a key, only that object."""
        return [one for one in self.everything() if one.name == name and key in {"", one.key}]

    def facts(self, recording: Recording) -> dict[str, Any]:
        """Return the content of report.json, or the reason for a quarantine; empty if there is neither."""
        if recording.stage == QUARANTINED:
            return self._reason(recording)
        if recording.report_etag:
            bucket = self._stack.output("FeaturesBucketName")
            return _valid(self._read(bucket, f"{recording.name}/report.json", recording.report_etag))
        return {}

    def object(self, name: str, file: str) -> bytes:
        """Return a file beside a recording's features.

        Raises
        ------
        NotFoundError
            If there is none, or it is larger than any file that the pipeline writes.
        """
        bucket, key = self._stack.output("FeaturesBucketName"), f"{name}/{file}"
        if self._stack.store.head(bucket, key).size > MAX_OBJECT_BYTES:
            raise NotFoundError(f"s3://{bucket}/{key} is too large to show")
        return self._stack.store.get(bucket, key)[0]

    def _reason(self, recording: Recording) -> dict[str, Any]:
        known = (QUARANTINE, recording.key, recording.etag)
        if known not in self._json:
            item = Item(recording.key, recording.etag, recording.size, {}, None, recording.modified)
            found = describe(self._stack.store, self._stack.output("RawBucketName"), item)
            if not found.code:  # not written yet, or damaged
                return {}
            self._json[known] = asdict(found)
        return self._json[known]

    def _read(self, bucket: str, key: str, etag: str) -> dict[str, Any]:
        known = (bucket, key, etag)
        if known not in self._json:
            try:
                body = self._stack.store.get(bucket, key)[0]
            except NotFoundError:  # not there yet
                return {}
            try:
                found = json.loads(body)
            except (ValueError, RecursionError):  # not what the pipeline writes
                return {}
            self._json[known] = found if isinstance(found, dict) else {}
        return self._json[known]

    def _users(self) -> dict[str, tuple[str, ...]]:
        """Return the aliases whose models were trained on each recording."""
        registry = self._stack.registry
        users: dict[str, tuple[str, ...]] = {}
        for alias, version in registry.aliases()[0].items():  # the page on models reports a damaged alias
            if version is None:
                continue
            try:
                manifest = registry.manifest(version)
            except ArtifactError:
                continue  # the page on models reports it
            for entry in manifest["recordings"]:
                users[entry["recording"]] = (*users.get(entry["recording"], ()), alias)
        return users


def _valid(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report if its numbers are valid, because pages compute with them; otherwise a note that it is damaged."""
    wanted = _COUNTS if "n_flashes" in report else ()
    holds = all(name in report for name in wanted) and all(
        check(report[name]) for name, check in _CHECKS.items() if name in report
    )
    return report if holds else {"damaged": True}


def _is_peak(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and is_number(value.get("amplitude_uv"))
        and is_number(value.get("latency_s"))
        and is_text(value.get("channel"))
    )


def _is_single_flash(value: Any) -> bool:
    if not isinstance(value, dict) or not all(
        value.get(name) is None or is_number(value[name]) for name in ("roc_auc", "sd")
    ):
        return False
    try:
        chance_of(value)
    except ArtifactError:
        return False
    return True


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_count, value.values()))


_COUNTS = ("n_kept", "n_target", "n_non_target")
_CHECKS: dict[str, Check] = {
    **dict.fromkeys(("n_flashes", "n_outside", "n_kept"), is_count),
    **dict.fromkeys(("n_target", "n_non_target"), lambda value: value is None or is_count(value)),  # of unlabelled ones
    "bad_channels": is_texts,
    "rejected_by_channel": _are_counts,
    "erp_peak": _is_peak,
    "single_flash": _is_single_flash,
    "verdict": is_verdict,
}


def _by_recording(items: Iterable[Item]) -> dict[str, _Listing]:
    derived: dict[str, _Listing] = {}
    for item in items:
        name, _, file = item.key.rpartition("/")
        listing = derived.setdefault(name, _Listing())
        listing.files.add(file)
        if recording_of_features(item.key):
            listing.features = item
        elif file == "report.json":
            listing.report = item
    return derived
