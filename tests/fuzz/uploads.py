"""Uploads whole: keys, metadata, quarantine records and the texts that name other files, through ingestion on buckets in memory."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from p300_pipeline.contracts import IngestOutcome, IngestResult
from p300_pipeline.keys import QUARANTINE, RECORDS, is_landing_key, is_litter, quarantine_key, record_key
from p300_pipeline.storage import Item, NotFoundError, PreconditionError

from tests.fuzz import corpus
from tests.fuzz.corpus import NAME, Files
from tests.fuzz.mutation import NAMES, NUMBERS, havoc, json_bytes, json_value

LANDING, RAW, FEATURES = "landing", "raw", "features"
KEY = "subject_01/run_01.parquet"
OUTCOMES = set(get_args(IngestOutcome)) - {"unreadable"}
METADATA = (
    "sha256",
    "landing-etag",
    "landing-version",
    "landing-modified",
    "header",
    "companions",
    "replaced-version",
    "replaced-sha256",
    "raw-etag",
    "raw-key",
    "x",
)
LONGEST_TEXT = 200_000


class Buckets:
    """What `p300_pipeline.storage.Store` does, on dictionaries: one version an object, named by its content."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[bytes, dict[str, str]]] = {}

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Item:
        if (bucket, key) not in self.objects:
            raise NotFoundError(key)
        body, metadata = self.objects[bucket, key]
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if version_id not in {None, etag}:
            raise NotFoundError(key)
        return Item(key, etag, len(body), metadata, etag, 1.7e9)

    def get(self, bucket: str, key: str, *, version_id: str | None = None, **_: Any) -> tuple[bytes, Item]:
        item = self.head(bucket, key, version_id)
        return self.objects[bucket, key][0], item

    def download(self, bucket: str, key: str, path: Path, *, version_id: str | None = None, **_: Any) -> Item:
        body, item = self.get(bucket, key, version_id=version_id)
        path.write_bytes(body)
        return item

    def put(
        self, bucket: str, key: str, body: bytes | Path, *, metadata: dict[str, str] | None = None, **how: Any
    ) -> str:
        if how.get("if_absent") and (bucket, key) in self.objects:
            raise PreconditionError(key)
        self.objects[bucket, key] = (body if isinstance(body, bytes) else body.read_bytes(), metadata or {})
        return self.head(bucket, key).etag

    def copy(
        self, bucket: str, key: str, to_bucket: str, to_key: str, *, version_id: str | None = None, **_: Any
    ) -> None:
        self.put(to_bucket, to_key, self.get(bucket, key, version_id=version_id)[0])

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> None:
        if version_id is None or ((bucket, key) in self.objects and self.head(bucket, key).version_id == version_id):
            self.objects.pop((bucket, key), None)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Item]:
        return iter([self.head(b, k) for b, k in sorted(self.objects) if b == bucket and k.startswith(prefix)])

    def versions(self, bucket: str, key: str) -> tuple[Item, ...]:
        return (self.head(bucket, key),) if (bucket, key) in self.objects else ()

    def bodies(self) -> set[bytes]:
        return {body for body, _ in self.objects.values()}


def ingested(store: Buckets, key: str) -> IngestResult:
    """Ingest an object twice, as a retry does; return the first answer."""
    from p300_pipeline.steps.ingest import Landed, ingest

    item = store.head(LANDING, key)
    kept = store.objects[LANDING, key][0]
    event = Landed(item.key, item.etag, item.version_id)
    answer = ingest(store, LANDING, RAW, event)  # type: ignore[arg-type]
    again = ingest(store, LANDING, RAW, event)  # type: ignore[arg-type]
    assert answer["outcome"] in OUTCOMES, answer
    assert again["outcome"] == answer["outcome"] or (answer["outcome"], again["outcome"]) == ("stored", "unchanged"), (
        again
    )
    assert kept in store.bodies(), "the upload is lost"
    json.dumps(answer, ensure_ascii=False).encode()
    for bucket, name in store.objects:
        assert bucket == LANDING or is_landing_key(name) or name.startswith((QUARANTINE, RECORDS)), name
    return answer


# ---- keys
def _part(rng: random.Random) -> str:
    return rng.choice((
        "subject_01", "subject_", "subject_1", "subject_٣", "SUBJECT_01", "sub-01", "run_01", "run", "", ".", "..", "%2e%2e", "%252e",
        "quarantine", "quarantine-records", "0" * 12, "0" * 32, ".DS_Store", "._run", "~$run", "Thumbs.db", "__MACOSX", *NAMES, *NUMBERS,
        "".join(chr(rng.choice((rng.randrange(0x20, 0x7F), rng.randrange(0x2500), rng.randrange(0xE000, 0x10FFFF)))) for _ in range(5)),
    ))  # fmt: skip


def make_key(rng: random.Random) -> Files:
    """Return a key of up to 1,024 bytes, and the object's content."""
    key = rng.choice(("/", "/", "/", "//", "\\", "%2F", "")).join(_part(rng) for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.7:
        key += rng.choice(
            (
                ".parquet",
                ".csv",
                ".eeg",
                ".vhdr",
                ".PARQUET",
                ".csv.exe",
                ".part",
                ".reason.json",
                ".json",
                "/",
                "~",
                ".",
                " ",
            )
        )
    if rng.random() < 0.3:  # almost what it should be
        at = rng.randrange(len(KEY))
        key = KEY[:at] + rng.choice(("", "", _part(rng), "0", " ", "\u200b", "A")) + KEY[at + rng.randrange(2) :]
    if rng.random() < 0.1:
        key = quarantine_key(key, "0" * 32)
    if rng.random() < 0.1:
        key = record_key(quarantine_key(key, "0" * 32)) or key
    encoded = key.encode(errors="replace")[:1024].decode(errors="ignore").encode() or b"a"
    return {"key": encoded, "body": rng.choice((b"", b"x", b"time,eeg_Cz,stim\n"))}


def run_key(files: Files, _: Path, __: bool) -> str:
    store, key = Buckets(), files["key"].decode()
    store.put(LANDING, key, files["body"])
    answer = ingested(store, key)
    outcome: str = answer["outcome"]
    assert (outcome == "ignored") == is_litter(key, len(files["body"])), key
    if outcome == "quarantined":
        assert answer["reason"]["message"].isprintable()
        assert answer["reason"]["landing_key"] == key
    return outcome


# ---- metadata
def make_metadata(rng: random.Random) -> Files:
    """Return what the raw data's metadata say, and what the uploader's do."""
    said = {}
    for name in rng.sample(METADATA, rng.randint(1, 5)):
        value: Any = rng.choice(
            (*NAMES, *NUMBERS, "subject_01/run_01.vhdr", KEY, "[" * 50_000, json.dumps(json_value(rng)))
        )
        said[name] = value.encode(errors="replace").decode()
    if rng.random() < 0.3:
        said["companions"] = json.dumps({rng.choice((*NAMES, "run_01.eeg")): rng.choice(("", "e", 3, None))})
    return {
        "metadata": json.dumps(said).encode(),
        "where": rng.choice((b"raw", b"landing", b"quarantine", b"companion")),
    }


def run_metadata(files: Files, _: Path, all_the_way: bool) -> str:
    from p300.signals import Parameters
    from p300_pipeline.steps.preprocess import preprocess

    said = {name: str(value) for name, value in json.loads(files["metadata"]).items()}
    store, body = Buckets(), corpus.files("parquet")[0][f"{NAME}.parquet"]
    where = files["where"].decode()
    key = "subject_01/run_01.eeg" if where == "companion" else KEY
    if where == "quarantine":
        key = quarantine_key("x.txt", "0" * 32)
    store.put(LANDING, key, body, metadata=said)
    if where != "landing":
        store.put(RAW, key, b"another" if all_the_way else body, metadata=said)
    answer = ingested(store, key)
    if answer["outcome"] == "stored":
        metadata = store.objects[RAW, KEY][1]
        ours = {"sha256", "landing-etag", "landing-version", "landing-modified"}
        replaced = {"replaced-version", "replaced-sha256"} if where == "raw" else set()
        assert ours <= set(metadata) <= ours | replaced, metadata
    if all_the_way and (RAW, KEY) in store.objects:
        store.objects[RAW, KEY] = (store.objects[RAW, KEY][0], said)
        preprocess(store, RAW, FEATURES, KEY, "", Parameters())  # type: ignore[arg-type]
    return f"{where} {answer['outcome']}"


# ---- the quarantine's records
def make_record(rng: random.Random) -> Files:
    """Return what stands in the place of a record, of this version and of one before it."""
    etag = hashlib.md5(b"no parquet", usedforsecurity=False).hexdigest()
    here, precious = quarantine_key(KEY, etag), quarantine_key("subject_01/precious.eeg", etag)
    record = {
        "code": "unreadable", "message": "No.", "landing_key": KEY, "etag": etag, "version_id": etag, "bytes": 10, "uploaded": 1.7e9,
        "moved_from": LANDING, "quarantine_key": here, "files": rng.choice(([], [here, precious], [here, here])),
    }  # fmt: skip
    old = {**record, "moved_from": {"bucket": LANDING, "versions": {"subject_01/precious.eeg": etag}}}
    body = json_bytes(rng, record, rng.randint(0, 4))
    return {
        "record": havoc(rng, body, 2) if rng.random() < 0.1 else body,
        "old": json_bytes(rng, old, rng.randint(0, 4)),
    }


def run_record(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.steps.ingest import Landed, ingest
    from p300_pipeline.steps.quarantine_records import find_quarantined

    store = Buckets()
    store.put(LANDING, "subject_01/precious.eeg", b"no parquet")
    store.put(LANDING, KEY, b"no parquet")
    item = store.head(LANDING, KEY)
    here = quarantine_key(KEY, item.etag)
    store.put(RAW, here, b"no parquet")
    store.put(RAW, record_key(here) or "", files["record"])
    older = f"quarantine/{item.etag[:12]}/{KEY}"
    store.put(RAW, older, b"no parquet")
    store.put(RAW, f"{older}.reason.json", files["old"])
    found = find_quarantined(store, RAW)  # type: ignore[arg-type]
    assert {one.key: one.landing_key for one in found} == {here: KEY, older: KEY}
    store.delete(LANDING, KEY)
    answer = ingest(store, LANDING, RAW, Landed(KEY, item.etag, item.version_id))  # type: ignore[arg-type]
    assert answer["outcome"] in {"quarantined", "gone"}
    assert (LANDING, "subject_01/precious.eeg") in store.objects, "a record was obeyed"
    json.dumps([one.message for one in found] + [answer], ensure_ascii=False).encode()
    return f"{answer['outcome']} {'known' if all(one.code for one in found) else 'damaged'}"


# ---- texts that name other files, or say what happened: in sizes that show what takes more than linear time
TOKENS = (
    " ", "\n", "\t", "\r", "a", "0", "9", ",", "=", ":", ";", "[", "]", "#", "\\1", "[Comment]", "[Common Infos]\n", "DataFile=",
    "MarkerFile = ", "DataFile=recording.eeg\n", "NumberOfChannels=", "NumberOfChannels ", "Codepage=", "Codepage=punycode\n", "Ch1=",
    "Mk1=", "Mk2=New Segment,,1,1,0", ",1,1,1", "1,1,1,", "\n Mk3=", "Impedance [kOhm] :\n", "#  Name",
    "S o f t w a r e  F i l t e r s\n", "..", "/", "\0", "é",
)  # fmt: skip
LISTS = (
    b"+",
    b"-",
    b"1",
    b".",
    b"\x14",
    b"\x15",
    b"\0",
    b"\x14\0",
    b"+1\x14",
    b"+1\x14\n",
    b"+1.5\x151\x14a\x14\0",
    b"@@",
    b"Target",
    b"\n",
)


def _repeated(rng: random.Random, tokens: tuple[Any, ...]) -> Any:
    """Return a few tokens repeated, the more often the rarer."""
    longest = int(10 ** rng.uniform(1, 5.3))
    some = [rng.choice(tokens) for _ in range(rng.randint(1, 3))]
    piece = some[0][:0].join(some)
    return (piece * (longest // max(1, len(piece)) + 1))[: min(longest, LONGEST_TEXT)]


def make_companions(rng: random.Random) -> Files:
    """Return a BrainVision or EDF+ recording, some of whose text is one thing over and over."""
    if rng.random() < 0.3:
        return {f"{NAME}.edf": _edf_with(_repeated(rng, LISTS))}
    files = dict(corpus.files("vhdr")[0])
    for name in rng.sample([name for name in files if not name.endswith(".eeg")], rng.randint(1, 2)):
        content = files[name].decode()
        at = rng.choice([0, len(content), content.find("\n") + 1, content.find("="), rng.randrange(len(content))])
        files[name] = (content[:at] + _repeated(rng, TOKENS) + content[at:]).encode()
    if rng.random() < 0.1:
        files[f"{NAME}.vhdr"] = files[f"{NAME}.vhdr"].replace(b"BINARY", b"ASCII")
    return files


def _edf_with(lists: bytes) -> bytes:
    """Return the EDF+ recording of the corpus with these annotations in place of its own."""
    data = corpus.files("edf")[1][f"{NAME}.edf"]
    width, n_records = -(-len(lists) // 20) * 2, 10
    head, body = bytearray(data[: 256 * 5]), data[256 * 5 :]
    at = 256 + 4 * (16 + 80 + 8 * 5 + 80) + 3 * 8
    head[at : at + 8] = str(width // 2).encode().ljust(8)
    signal = 3 * 256 * 2
    record = len(body) // n_records
    padded = lists.ljust(width * n_records, b"\0")
    return bytes(head) + b"".join(
        body[i * record : i * record + signal] + padded[i * width : (i + 1) * width] for i in range(n_records)
    )


def run_companions(files: Files, folder: Path, all_the_way: bool) -> str:
    from p300.readers import open_recording
    from p300.readers.companions import companions

    for name, body in files.items():
        (folder / name).write_bytes(body)
    main = next(iter(files))
    named = companions(folder / main)
    assert not [name for name in named if "/" in name or "\\" in name or ".." in name], named
    stream = open_recording(folder / main)
    if all_the_way:
        for _ in stream.blocks():
            pass
    return "read"
