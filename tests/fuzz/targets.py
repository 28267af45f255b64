"""What reads hostile input, and how: each target makes a case and puts it through the code of the product."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import bids, corpus, execution, formats, model_files, sidecars, uploads
from tests.fuzz.corpus import NAME, Files
from tests.fuzz.mutation import NAMES, havoc, json_bytes, json_value

EXTRACTED = 20
"""Of so many recordings that can be read, one goes on to the features: extraction takes longer than reading."""


@dataclass(frozen=True)
class Target:
    """One thing to attack.

    Attributes
    ----------
    make : callable
        (source of random numbers) -> the case's files.
    run : callable
        (files, folder, whether to go all the way) -> what came of it, in a word. Any error of `p300.errors` is a good answer.
    warm_up : callable
        Well-formed cases, which must be read.
    """

    make: Callable[[random.Random], Files]
    run: Callable[[Files, Path, bool], str]
    warm_up: Callable[[], list[Files]]


def case(target: str, seed: int, number: int) -> Files:
    """Return the input of a case: always the same for the same three."""
    return TARGETS[target].make(random.Random(f"{target}/{seed}/{number}"))  # noqa: S311


# ---- recordings
def _read(files: Files, folder: Path, all_the_way: bool) -> str:
    from p300.readers import open_recording
    from p300.signals import extract

    for name, body in files.items():
        (folder / name).write_bytes(body)
    main = next(iter(files))
    stream = open_recording(folder / main, name=f"subject_01/{main}")
    n_samples = 0
    for block in stream.blocks():
        assert block.ndim == 2, block.shape
        assert len(block) == len(stream.ch_names), (block.shape, stream.ch_names)
        n_samples += block.shape[1]
    assert n_samples == stream.n_samples == len(stream.stim), (n_samples, stream.n_samples, len(stream.stim))
    json.dumps([stream.ch_names, stream.notes]).encode()
    if not all_the_way:
        return "read"
    features = extract(stream)
    assert len(features.X) == len(features.label)
    return "features"


def _recording(extension: str) -> Target:
    return Target(lambda rng: formats.spoil(rng, extension), _read, lambda: corpus.files(extension))


# ---- models
def _score(files: Files, _: Path, __: bool) -> str:
    from p300.scoring import Scorer

    scorer = Scorer.load(files["model.npz"])
    X = np.random.default_rng(0).normal(0, 1e-5, (4, scorer.n_features)).astype(np.float32)
    with np.errstate(all="ignore"):
        scorer.log_odds(X)
        scorer.log_odds(X, adapt=True)
    return "scored"


# ---- JSON of the buckets, through the code that reads it
MANIFEST: dict[str, Any] = {
    "format": 1, "version": "v20260101000000", "kind": "lda", "channels": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 100.0, "n_times": 20,
    "tmin": -0.1,
    "tmax": 0.09, "subjects": ["subject_01"], "held_out": [], "recordings": [{"recording": "subject_01/run", "features_etag": "a"}],
    "n_epochs": 120, "metrics": {"n_epochs": 120, "leave_one_subject_out": {"mean": {"roc_auc": 0.7}, "sd": {"roc_auc": 0.1},
                                 "subjects": {"subject_01": {"roc_auc": 0.7}}}, "pooled_random_split_optimistic": {"roc_auc": 0.8}},
    "artifacts": {"model.npz": {"sha256": "x", "bytes": 3}}, "created": "2026-01-01T00:00:00+00:00", "execution": "a", "left_out": [],
}  # fmt: skip
HISTORY = [
    {"version": f"v2026010100000{i}", "replaced": None, "at": "2026-01-01T00:00:00+00:00", "execution": "a", "why": "x"}
    for i in range(3)
]
SCHEDULE = {"claims": {"execution-1": 5}, "taken": ["subject_01/run@etag"]}
REQUEST = {
    "model": "lda",
    "subjects": ["subject_01", "subject_02"],
    "held_out": ["subject_03"],
    "seed": 3,
    "recording": "subject_01/run",
}
INDEX = {
    "format": 1,
    "versions": [
        {"version": MANIFEST["version"], "kind": "lda", "subjects": 1, "recordings": 1, "n_epochs": 120, "created": "2026",
         "auc_left_out": 0.7, "auc_mean": 0.7, "auc_sd": 0.1, "auc_random_split": 0.8, "scheme": "leave_one_subject_out"},
        {"version": "v20250101000000", "problem": "x"},
    ],
}  # fmt: skip
DOCUMENTS: dict[str, Any] = {
    "manifest": MANIFEST,
    "history": HISTORY,
    "schedule": SCHEDULE,
    "request": REQUEST,
    "alias": "v20260101000000",
    "index": INDEX,
}


def _document(name: str) -> Target:
    def make(rng: random.Random) -> Files:
        if name == "alias":
            return {
                name: rng.choice(
                    (b"", b"v20260101000000\n", b"\xff\xfe", *[n.encode(errors="surrogatepass") for n in NAMES])
                )
            }
        if name == "manifest" and rng.random() < 0.3:  # a manifest of other figures for a model that is whole
            return {
                name: json.dumps({**MANIFEST, rng.choice(list(MANIFEST)): json_value(rng)}).encode(errors="replace")
            }
        return {name: json_bytes(rng, DOCUMENTS[name], rng.randint(0, 4))}

    body = DOCUMENTS[name].encode() if name == "alias" else json.dumps(DOCUMENTS[name]).encode()
    return Target(make, _READ[name], lambda: [{name: body}])


class _Bucket:
    """The calls of `p300_pipeline.storage.Store` on a dictionary: what the code reads is what the case says."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def head(self, bucket: str, key: str, version_id: str | None = None) -> Any:
        from p300_pipeline.storage import Item, NotFoundError

        if key not in self.objects:
            raise NotFoundError(key)
        return Item(key, "etag", len(self.objects[key]), {}, None, 0.0)

    def get(self, bucket: str, key: str, **_: Any) -> tuple[bytes, Any]:
        item = self.head(bucket, key)
        return self.objects[key], item

    def put(self, bucket: str, key: str, body: bytes, **_: Any) -> str:
        self.objects[key] = body
        return "etag"

    def delete(self, bucket: str, key: str, version_id: str | None = None) -> None:
        self.objects.pop(key, None)

    def list(self, bucket: str, prefix: str = "") -> Any:
        return iter([self.head(bucket, key) for key in sorted(self.objects) if key.startswith(prefix)])


def _serve(objects: dict[str, bytes]) -> str:
    """Start a serving process on these objects, and ask it everything."""
    from p300.errors import RequestError
    from p300_pipeline.serving import Service

    service = Service(_Bucket(objects), "models")  # type: ignore[arg-type]
    status, health = service.health()
    json.dumps([health, service.models()]).encode()
    try:
        service.predict(json.dumps({"features": [1e-6] * 80}))
    except RequestError as error:
        return f"{status} {error.code}"
    return f"{status} predicted"


def _served_with(version: str, manifest: bytes, alias: bytes, history: bytes) -> str:
    import hashlib

    model = corpus.npz(corpus.model("lda"))
    manifest = manifest.replace(b'"sha256": "x"', f'"sha256": "{hashlib.sha256(model).hexdigest()}"'.encode())
    return _serve(
        {
            f"{version}/manifest.json": manifest,
            f"{version}/model.npz": model,
            "aliases/champion": alias,
            "aliases/history.json": history,
        }
    )


def _manifest(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.registry import Registry
    from p300_pipeline.steps.training import promote

    version = MANIFEST["version"]
    served = _served_with(version, files["manifest"], version.encode(), b"[]")
    bucket = _Bucket({f"{version}/manifest.json": files["manifest"]})
    Registry(bucket, "models").manifest(version)  # type: ignore[arg-type]
    promote(bucket, "models", version, execution="a")  # type: ignore[arg-type]
    return served


def _history(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.steps.training import promote

    version = MANIFEST["version"]
    served = _served_with(version, json.dumps(MANIFEST).encode(), b"v20250101000000", files["history"])
    objects = {
        f"{version}/manifest.json": json.dumps(MANIFEST).encode(),
        "aliases/champion": version.encode(),
        "aliases/history.json": files["history"],
    }
    promote(_Bucket(objects), "models", version, execution="a")  # type: ignore[arg-type]
    return served


def _alias(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.registry import Registry

    version = MANIFEST["version"]
    served = _served_with(version, json.dumps(MANIFEST).encode(), files["alias"], b"[]")
    registry = Registry(_Bucket({"aliases/champion": files["alias"]}), "models")  # type: ignore[arg-type]
    registry.resolve("champion")
    return served


def _schedule(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.steps.scheduling import NEW, SCHEDULE_KEY, check_due

    names = [f"subject_01/run{i}" for i in range(5)]
    objects = {SCHEDULE_KEY: files["schedule"], **{f"{name}/features.parquet": b"" for name in names}}
    objects |= {f"{NEW}{name}@etag": b"" for name in names}
    asked = {"recording": names[0], "etag": "etag", "execution": "execution-2", "started": 0.0, "retrain_every": 5}
    answer = check_due(_Bucket(objects), "features", "models", **asked)  # type: ignore[arg-type]
    return str(answer["outcome"])


def _request(files: Files, _: Path, __: bool) -> str:
    from p300_pipeline.steps.training import TrainingRequest

    try:
        request = json.loads(files["request"])
    except (ValueError, RecursionError):  # Step Functions takes no input that is not JSON
        return "not JSON"
    TrainingRequest.parse(request, "ensemble")
    return "parsed"


def _index(files: Files, _: Path, __: bool) -> str:
    from p300.errors import ArtifactError
    from p300_pipeline.model_index import read_index, update_index
    from p300_pipeline.registry import Registry
    from p300_pipeline.serving import Service

    version = MANIFEST["version"]
    bucket: Any = _Bucket({"index.json": files["index"], f"{version}/manifest.json": json.dumps(MANIFEST).encode()})
    json.dumps(Service(bucket, "models").models()).encode()
    try:
        read_index(Registry(bucket, "models"))
        answer = "read"
    except ArtifactError as error:
        answer = error.code
    (row,) = update_index(Registry(bucket, "models"))
    assert row["version"] == version
    return answer


_READ = {
    "index": _index,
    "manifest": _manifest,
    "history": _history,
    "schedule": _schedule,
    "request": _request,
    "alias": _alias,
}


# ---- features, which training and reporting read from their bucket
def _features_file() -> bytes:
    import io

    from p300.features import write_features
    from p300.readers import open_recording
    from p300.signals import extract

    buffer = io.BytesIO()
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{NAME}.parquet").write_bytes(corpus.files("parquet")[0][f"{NAME}.parquet"])
        write_features(extract(open_recording(Path(folder) / f"{NAME}.parquet")), buffer, {})
    return buffer.getvalue()


def _features(files: Files, folder: Path, _: bool) -> str:
    from p300.features import read_features
    from p300.recording_report import report

    (folder / "features.parquet").write_bytes(files["features.parquet"])
    report(read_features(folder / "features.parquet"))
    return "read"


_FEATURES: list[bytes] = []


def _features_of(rng: random.Random | None = None) -> Files:
    if not _FEATURES:
        _FEATURES.append(_features_file())
    data = _FEATURES[0]
    if rng is None:
        return {"features.parquet": data}
    kind = rng.randrange(3)
    if kind == 0:
        return {"features.parquet": havoc(rng, data, rng.randint(1, 6))}
    if kind == 1:
        return {"features.parquet": next(iter(formats._parquet(rng, {f"{NAME}.parquet": data}).values()))}
    import io

    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    metadata = dict(table.schema.metadata)
    for _ in range(rng.randint(0, 2)):
        name = rng.choice(list(metadata))
        metadata[name] = json_bytes(rng, _parsed(metadata[name]), 1)
    if rng.random() < 0.5:
        place = rng.randrange(table.num_columns)
        odd = formats._column(rng)
        odd = odd.take(np.arange(table.num_rows) % len(odd))
        table = table.set_column(place, table.column_names[place], odd)
    if rng.random() < 0.2:
        table = table.drop_columns([rng.choice(table.column_names)])
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return {"features.parquet": buffer.getvalue()}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return "text"


TEXTS = ("csv", "openbci", "muse", "delimited")
READERS = ("parquet", *TEXTS, "mat", "fif", "edf", "bdf", "set", "vhdr", "cnt", "dat", "xdf", "gdf", "hdf5", "mat73",
           "set73")  # fmt: skip
TARGETS: dict[str, Target] = {
    **{extension: _recording(extension) for extension in READERS},
    "features": Target(_features_of, _features, lambda: [_features_of()]),
    "npz": Target(
        lambda rng: {"model.npz": model_files.npz(rng)},
        _score,
        lambda: [{"model.npz": corpus.npz(corpus.model(kind))} for kind in corpus.KINDS],
    ),
    **{name: _document(name) for name in DOCUMENTS},
    "key": Target(
        uploads.make_key,
        uploads.run_key,
        lambda: [{"key": uploads.KEY.encode(), "body": b"x"}, {"key": b"a/", "body": b""}],
    ),
    "metadata": Target(
        uploads.make_metadata,
        uploads.run_metadata,
        lambda: [{"metadata": b"{}", "where": where} for where in (b"raw", b"landing")],
    ),
    "record": Target(uploads.make_record, uploads.run_record, lambda: [{"record": b"{}", "old": b"{}"}]),
    "companions": Target(
        uploads.make_companions, uploads.run_companions, lambda: [corpus.files("vhdr")[0], corpus.files("edf")[1]]
    ),
    "bids": Target(bids.make, bids.run, bids.whole),
    "sidecar": Target(sidecars.make, sidecars.run, sidecars.whole),
    "execution": Target(execution.make, execution.run, execution.well_formed),
}
