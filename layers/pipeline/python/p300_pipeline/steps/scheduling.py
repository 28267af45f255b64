"""Is training due? After every few new recordings, one execution trains, once no more of them arrive.

The state is in the models bucket, so that each execution lists only what is new::

    trainings/new/<recording>@<etag>     a recording that no training has claimed yet
    trainings/counted/<recording>        ETag of the upload that was claimed last
    trainings/schedule.json              which execution gathers recordings, and which ones each has claimed
    trainings/montages.json              the montages that stand for a group, in the order of their arrival

Each montage group is counted on its own: recordings of another montage make no training of this one due. The first group has the keys
above, every other one has its name in them: ``trainings/new_<group>/...``, ``trainings/schedule_<group>.json``.

Of recordings that arrive together, the one that makes training due gathers the others: its execution waits and looks again until no
more have arrived in the meantime, then claims all of them with one conditional write. A claim is settled when its training has ended.
A claim that is never settled, because its execution died or was stopped, expires, and its recordings count as new again.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from p300.json_text import is_number
from p300.montages import Channels, are_close, group_of, name_of

from p300_pipeline.contracts import ScheduleOutcome, ScheduleResult
from p300_pipeline.documents import is_count, is_text, is_texts, parse, require
from p300_pipeline.feature_store import features_key
from p300_pipeline.storage import Keep, NotFoundError, Store, Write, compare_and_swap, find

NEW, COUNTED, SCHEDULE_KEY = "trainings/new/", "trainings/counted/", "trainings/schedule.json"
MONTAGES_KEY = "trainings/montages.json"
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 2, 60
LONGEST_GATHERING_S, MOST_GATHERED = 900, 1000
"""After this time, or with this many recordings, a training begins even if more arrive: each arrival lists all that wait."""
LOST_AFTER_S = 120
"""A gathering execution that has not looked for this long beyond its pause is considered dead, and the next one gathers."""
CLAIM_LASTS_S = 7200
"""Longer than a training with its retries."""
_KEPT_CLAIMS, _KEPT_TAKEN = 100, 10_000


@dataclass(frozen=True)
class _Group:
    """The keys of a montage group's state."""

    suffix: str

    @property
    def new(self) -> str:
        """Prefix of the recordings that no training has claimed."""
        return f"{NEW.removesuffix('/')}{self.suffix}/"

    @property
    def schedule_key(self) -> str:
        """Key of its schedule."""
        return f"{SCHEDULE_KEY.removesuffix('.json')}{self.suffix}.json"


@dataclass
class _Schedule:
    """Content of a group's schedule.

    Attributes
    ----------
    gathering : dict
        ``execution``, ``seen`` (digest of what it found last), ``since`` and ``looked`` (POSIX time), ``pause_s``; empty if none gathers.
    claims : dict
        By execution: ``n`` recordings, their names until the claim is settled, and ``at``, its POSIX time.
    taken : list of str
        Claimed recordings, newest first.
    """

    gathering: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    def gatherer(self, asking: str, now: float) -> str | None:
        """Return the execution that gathers, if there is one and it seems to be alive."""
        execution: str | None = self.gathering.get("execution")
        if execution in (None, asking):
            return execution
        is_lost = abs(now - self.gathering["looked"]) > self.gathering["pause_s"] + LOST_AFTER_S
        return None if is_lost else execution

    def give_back(self, now: float) -> list[str]:
        """Take the recordings out of expired claims; return them."""
        void = [claim for claim in self.claims.values() if abs(now - claim["at"]) > CLAIM_LASTS_S]
        names = [name for claim in void for name in claim["recordings"]]
        for claim in void:
            claim["recordings"] = []
        self.taken = [name for name in self.taken if name not in set(names)]
        return names

    def decide(self, execution: str, new: list[str], retrain_every: int, pause_s: int, now: float) -> None:
        """Gather, claim or leave the new recordings, depending on which execution's turn it is."""
        gatherer = self.gatherer(execution, now)
        claim = self.claims.get(execution)
        if gatherer not in (None, execution):
            return
        if claim:
            # Recordings left to this execution while it claimed; its training uses them as well.
            if claim["recordings"]:
                self._claim(execution, [*claim["recordings"], *new], new, claim["at"])
        elif len(new) < retrain_every:
            self.gathering = {}  # if it gathered, some recordings were deleted in the meantime
        elif gatherer and self._is_complete(new, now):
            self.gathering = {}
            self._claim(execution, new, new, now)
        else:
            begun = self.gathering if gatherer else {"execution": execution, "since": now, "pause_s": pause_s}
            self.gathering = {**begun, "seen": _seen(new), "looked": now}

    def _claim(self, execution: str, names: list[str], new: list[str], at: float) -> None:
        others = [entry for entry in self.claims.items() if entry[0] != execution]
        claim = {"n": len(names), "recordings": names, "at": at}
        self.claims = {execution: claim, **dict(others[: _KEPT_CLAIMS - 1])}
        self.taken = (new + self.taken)[: max(_KEPT_TAKEN, len(new))]

    def _is_complete(self, new: list[str], now: float) -> bool:
        """Say whether recordings have stopped arriving, or gathering has lasted long enough."""
        too_long = now - self.gathering["since"] >= LONGEST_GATHERING_S or len(new) >= MOST_GATHERED
        return too_long or self.gathering["seen"] == _seen(new)


@dataclass(frozen=True)
class _Decided:
    """A schedule after an execution's decision, how many new recordings it saw, and whether it had a claim before."""

    schedule: _Schedule
    n_new: int
    was_claimed: bool


def check_due(
    store: Store,
    features_bucket: str,
    models_bucket: str,
    *,
    recording: str,
    etag: str,
    channels: Sequence[str] = (),
    labelled: bool = True,
    execution: str,
    started: float,
    retrain_every: int,
    now: float | None = None,
) -> ScheduleResult:
    """Count a new recording, say whether enough have come since the last training, and claim them for this execution.

    If many executions see the same new recordings, one of them trains on all, and the others end. It has to ask again after
    ``look_again_s`` until no recording has arrived for as long as one takes from its upload to this step.

    Parameters
    ----------
    store : Store
        S3 access.
    features_bucket, models_bucket : str
        Bucket names.
    recording : str
        ``<subject>/<name>`` of the recording that has features now.
    etag : str
        ETag of the upload; the same upload is counted once.
    channels : sequence of str
        The recording's: only new recordings of its montage group count.
    labelled : bool
        Whether it can be trained on: an unlabelled one does not count, and starts no training.
    execution : str
        Name of the execution that asks. Asking again gives the same answer.
    started : float
        When it started, POSIX time.
    retrain_every : int
        Number of new recordings that makes training due.
    now : float, optional
        POSIX time. A wrong clock changes pauses, but never claims a recording twice.

    Returns
    -------
    dict
        ``outcome`` is ``due`` (this execution trains, as ``request`` says), ``gathering`` (ask again after ``look_again_s``) or
        ``counted`` (nothing more to do: too few recordings, or ``gathered_by`` names the execution that trains on this one); with
        ``new_recordings`` of the group, its ``montage`` and ``retrain_every``. ``has_champion`` says whether any montage has a champion, on
        which a personal model could stand.
    """
    now = time.time() if now is None else now
    montage, group = _group(store, models_bucket, tuple(channels))
    if labelled and not _is_counted(store, models_bucket, recording, etag):
        store.put(models_bucket, f"{group.new}{recording}@{etag}", b"", content_type="text/plain")
    pause_s = round(min(max(now - started, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))

    def decide() -> Keep[_Decided] | Write[_Decided]:
        schedule, schedule_etag = _read(store, models_bucket, group)
        before, was_claimed = _document(schedule), execution in schedule.claims
        new = _new(store, models_bucket, group, schedule, now)
        if len(new) >= retrain_every and schedule.gatherer(execution, now) in (None, execution):
            new = _with_features(store, features_bucket, models_bucket, group, new, retrain_every)
        if labelled:
            schedule.decide(execution, new, retrain_every, pause_s, now)
        decided = _Decided(schedule, len(new), was_claimed)
        after = _document(schedule)
        return Keep(decided) if after == before else Write(decided, after, schedule_etag, "application/json")

    def decide_and_count() -> _Decided:
        decided, written = compare_and_swap(store, models_bucket, group.schedule_key, decide)
        if written and (claim := decided.schedule.claims.get(execution)):
            _count(store, models_bucket, group, claim["recordings"])
        return decided

    decided = decide_and_count()
    if execution in decided.schedule.claims and not decided.was_claimed:
        decided = decide_and_count()  # until this claim, others left their recordings to this execution
    schedule = decided.schedule
    claim, gatherer = schedule.claims.get(execution), schedule.gatherer(execution, now)
    outcome: ScheduleOutcome = "due" if claim else "gathering" if gatherer == execution else "counted"
    return {
        "outcome": outcome,
        "has_champion": any(store.list(models_bucket, "aliases/champion")),
        "montage": montage,
        "new_recordings": claim["n"] if claim else decided.n_new,
        "retrain_every": retrain_every,
        "look_again_s": schedule.gathering["pause_s"] if outcome == "gathering" else 0,
        "gathered_by": gatherer if outcome == "counted" else None,
        "request": {"recording": recording} if outcome == "due" else None,
    }


def settle(store: Store, models_bucket: str, execution: str) -> None:
    """Settle the claim of an execution whose training has ended; do nothing if it has none.

    Parameters
    ----------
    store : Store
        S3 access.
    models_bucket : str
        Bucket name.
    execution : str
        Name of the execution.
    """
    for group in map(_Group, _suffixes(_montages(store, models_bucket)[0])):
        _settle(store, models_bucket, group, execution)


def _settle(store: Store, models_bucket: str, group: _Group, execution: str) -> None:
    def decide() -> Keep[None] | Write[None]:
        schedule, etag = _read(store, models_bucket, group)
        if not schedule.claims.get(execution, {}).get("recordings"):
            return Keep(None)
        schedule.claims[execution]["recordings"] = []
        return Write(None, _document(schedule), etag, "application/json")

    compare_and_swap(store, models_bucket, group.schedule_key, decide)


def _group(store: Store, bucket: str, channels: Channels) -> tuple[str, _Group]:
    """Return the name and the keys of a recording's montage group: that of a montage which came before, or a new one."""

    def decide() -> Keep[list[Channels]] | Write[list[Channels]]:
        held, etag = _montages(store, bucket)
        if any(are_close(channels, one) for one in held):
            return Keep(held)
        held = [*held, channels]
        body = json.dumps({"montages": [list(one) for one in held]}).encode()
        return Write(held, body, etag, "application/json")

    held = compare_and_swap(store, bucket, MONTAGES_KEY, decide)[0]
    leader = group_of(channels, held)
    return name_of(leader), _Group(_suffixes(held)[held.index(leader)])


def _suffixes(montages: Sequence[Channels]) -> list[str]:
    return ["", *(f"_{name_of(one)}" for one in montages[1:])]


def _montages(store: Store, bucket: str) -> tuple[list[Channels], str | None]:
    try:
        body, item = store.get(bucket, MONTAGES_KEY)
    except NotFoundError:
        return [], None
    name = f"s3://{bucket}/{MONTAGES_KEY}"
    document: dict[str, Any] = parse(body, name, dict)
    require(document, {"montages": lambda value: isinstance(value, list) and all(map(is_texts, value))}, name)
    return [tuple(one) for one in document["montages"]], item.etag


def _seen(names: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def _is_counted(store: Store, bucket: str, recording: str, etag: str) -> bool:
    try:
        return store.get(bucket, COUNTED + recording)[0] == etag.encode()
    except NotFoundError:
        return False


def _count(store: Store, bucket: str, group: _Group, names: list[str]) -> None:
    for name in names:
        recording, _, etag = name.rpartition("@")
        store.put(bucket, COUNTED + recording, etag.encode(), content_type="text/plain")
        store.delete(bucket, group.new + name)


def _new(store: Store, bucket: str, group: _Group, schedule: _Schedule, now: float) -> list[str]:
    """Return the recordings that no execution has claimed, including those of expired claims."""
    for name in schedule.give_back(now):
        store.put(bucket, group.new + name, b"", content_type="text/plain")
    names = [item.key.removeprefix(group.new) for item in store.list(bucket, group.new)]
    taken = set(schedule.taken)
    # Left over from a claim that was interrupted, or put here again by a late event of the same upload.
    _count(store, bucket, group, [name for name in names if name in taken])
    return [name for name in names if name not in taken]


def _with_features(
    store: Store, features_bucket: str, models_bucket: str, group: _Group, names: list[str], enough: int
) -> list[str]:
    """Return the recordings to train on, checking until enough have features; forget those whose features were deleted."""
    found = 0
    gone = set()
    for name in names:
        if found >= enough:
            break
        if find(store, features_bucket, features_key(name.rpartition("@")[0])):
            found += 1
        else:
            gone.add(name)
            store.delete(models_bucket, group.new + name)
    return [name for name in names if name not in gone]


def _read(store: Store, bucket: str, group: _Group) -> tuple[_Schedule, str | None]:
    try:
        body, item = store.get(bucket, group.schedule_key)
    except NotFoundError:
        return _Schedule(), None
    name = f"s3://{bucket}/{group.schedule_key}"
    document: dict[str, Any] = {"gathering": {}, **parse(body, name, dict)}
    require(document, {"gathering": _is_gathering, "claims": _are_claims, "taken": is_texts}, name)
    # In older schedules, claims are counts.
    claims = {
        execution: {"n": claim, "recordings": [], "at": 0} if is_count(claim) else claim
        for execution, claim in document["claims"].items()
    }
    return _Schedule(document["gathering"], claims, document["taken"]), item.etag


def _document(schedule: _Schedule) -> bytes:
    return json.dumps(asdict(schedule)).encode()


def _is_gathering(value: Any) -> bool:
    if value == {}:
        return True
    return (
        isinstance(value, dict)
        and all(is_text(value.get(name)) for name in ("execution", "seen"))
        and all(is_number(value.get(name)) for name in ("since", "looked"))
        and is_count(value.get("pause_s"))
        and value["pause_s"] <= LONGEST_PAUSE_S
    )


def _are_claims(value: Any) -> bool:
    return isinstance(value, dict) and all(is_count(claim) or _is_claim(claim) for claim in value.values())


def _is_claim(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_count(value.get("n"))
        and is_texts(value.get("recordings"))
        and is_number(value.get("at"))
    )
