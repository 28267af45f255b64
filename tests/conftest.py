"""What several test modules need: buckets in memory, small recordings and features, deaths and interleavings, functions by path."""

import importlib.util
import io
import itertools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from greenlet import getcurrent, greenlet

# pytest-xdist gives its workers the width of its own terminal: what a command prints would depend on how the tests were started.
os.environ.pop("COLUMNS", None)
# Before anything makes a client: no test may find somebody's credentials or endpoint.
for variable in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
    del os.environ[variable]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "P300",
}

REPOSITORY = Path(__file__).parents[1]
LANDING, RAW, FEATURES, MODELS = "p300-landing-zone", "p300-raw-data", "p300-processed-features", "p300-models"
VERSIONED = {LANDING, RAW, MODELS}
WRITES = {"put", "copy", "delete"}
OPERATIONS = WRITES | {"head", "get", "download", "list"}


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def s3_client() -> Any:
    """One for all tests, because making a client takes longer than most of them."""
    import boto3
    import moto.core  # noqa: F401 - from here on clients ask moto first

    return boto3.client("s3")


@pytest.fixture
def store(s3_client: Any) -> Iterator[Any]:
    """A store on the four buckets, in memory and empty."""
    from moto import mock_aws
    from p300_pipeline.storage import Store

    with mock_aws():
        for bucket in (LANDING, RAW, FEATURES, MODELS):
            s3_client.create_bucket(Bucket=bucket)
            if bucket in VERSIONED:
                s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield Store(s3_client)


@pytest.fixture
def empty_buckets(store: Any) -> Callable[[], None]:
    """empty_buckets(): as if nothing had happened yet, for tests that go through many stories."""

    def empty() -> None:
        for bucket in (LANDING, RAW, FEATURES, MODELS):
            found = store.client.list_object_versions(Bucket=bucket)
            for entry in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
                store.client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])

    return empty


# ---- small inputs
MADE_WITH: dict[str, Any] = {"tmin": 0.0, "tmax": 0.1, "baseline": None}
"""Preprocessing of the features that `make_features` makes."""


def make_features(
    *,
    channels: Sequence[str] = ("Fz", "Cz", "Pz"),
    seed: int = 0,
    n_epochs: int = 60,
    effect_uv: float = 8.0,
    n_times: int = 10,
    labels: Sequence[int] = (1, 2),
    **parameters: Any,
) -> Any:
    """Noise of 5 uV with a bump after targets, as a FeatureSet of one recording."""
    from p300.features import FeatureSet, Rejection
    from p300.signals import Parameters

    made_with = Parameters.from_dict(MADE_WITH | {"tmax": n_times / 100} | parameters)
    rng = np.random.default_rng(seed)
    X = rng.normal(0, 5e-6, (n_epochs, len(channels), n_times))
    label = np.where(np.arange(n_epochs) % 6 == 5, labels[-1], labels[0]).astype(np.int8)
    X[label == 2, :, 3:7] += effect_uv * 1e-6
    return FeatureSet(
        X=X.reshape(n_epochs, -1).astype(np.float32),
        label=label,
        onset_sample=np.arange(n_epochs, dtype=np.int64) * 20,
        flash=None,
        repetition=None,
        ch_names=tuple(channels),
        sfreq=100.0,
        tmin=made_with.tmin,
        tmax=made_with.tmax,
        parameters=made_with,
        rejection=Rejection(n_epochs, 0, n_epochs, dict.fromkeys(channels, 0)),
    )


@pytest.fixture
def put_features(store: Any) -> Callable[..., Any]:
    """put_features("subject_01/run", seed=1, ...): write a small feature set to the features bucket and return it.

    `raw` is the ETag of the recording it was made of; `features` are to be written in place of new ones.
    """
    from p300.features import write_features

    def put(recording: str, *, raw: str = "", features: Any = None, **how: Any) -> Any:
        how.setdefault("seed", crc32(recording.encode()))
        features = features or make_features(**how)
        buffer = io.BytesIO()
        write_features(features, buffer, {"raw_etag": raw} if raw else {})
        store.put(FEATURES, f"{recording}/features.parquet", buffer.getvalue())
        return features

    return put


def make_recording(
    *,
    sfreq: float = 128.0,
    channels: Sequence[str] = ("Fz", "Cz", "Pz"),
    stim: bool = True,
    codes: Sequence[int] = (1, 2),
    scale_uv: float = 10.0,
    seed: int = 0,
    n_flashes: int = 24,
) -> bytes:
    """A parquet recording of noise with a flash every half second, the last of each six a target."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    step = round(sfreq / 2)
    n_samples = step * (n_flashes + 4)
    columns: dict[str, Any] = {
        f"eeg_{name}": rng.normal(0, scale_uv, n_samples).astype(np.float32) for name in channels
    }
    if stim:
        column = np.zeros(n_samples, np.int32)
        for flash in range(n_flashes):
            column[step * (flash + 2)] = codes[-1] if flash % 6 == 5 else codes[0]
        columns["stim"] = column
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"sfreq": f"{sfreq:g}"}), buffer)
    return buffer.getvalue()


@pytest.fixture
def recording_bytes() -> Callable[..., bytes]:
    """recording_bytes(seed=..., stim=..., ...): the bytes of a small parquet recording; see `make_recording`."""
    return make_recording


@pytest.fixture
def count_calls() -> Callable[..., int]:
    """count_calls(function, *arguments): how many calls it makes, of functions in Python and in C; the same on every machine."""

    def count(function: Callable[..., Any], *arguments: Any) -> int:
        n_calls, before = 0, sys.getprofile()

        def hear(_: Any, event: str, __: Any) -> None:
            nonlocal n_calls
            n_calls += event in {"call", "c_call"}

        sys.setprofile(hear)
        try:
            function(*arguments)
        finally:
            sys.setprofile(before)
        return n_calls

    return count


# ---- what can happen between two calls
class Died(BaseException):
    """The process was killed: no handler may catch it."""


class _Watched:
    """A store that calls `around(operation, call)` in place of each operation."""

    def __init__(self, store: Any, around: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._store, self._around = store, around
        self.client = store.client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in OPERATIONS:
            return method

        def call(*positional: Any, **named: Any) -> Any:
            def perform() -> Any:
                answer = method(*positional, **named)
                return list(answer) if name == "list" else answer

            return self._around(name, perform)

        return call


@pytest.fixture
def after_any_death(store: Any) -> Callable[..., None]:
    """after_any_death(prepare, step, state): die before and after each write, step again; answer and state must be as undisturbed.

    `prepare()` empties and fills the buckets, `step(store)` is the step, `state()` what must come out the same.
    """

    def check(
        prepare: Callable[[], None], step: Callable[[Any], Any], state: Callable[[], Any], *, answer_too: bool = True
    ) -> None:
        counter = itertools.count()

        def count(operation: str, call: Callable[[], Any]) -> Any:
            if operation in WRITES:
                next(counter)
            return call()

        prepare()
        expected = step(_Watched(store, count)), state()
        n_writes = next(counter)
        assert n_writes, "a step that writes nothing cannot show anything here"
        for number, done in itertools.product(range(n_writes), (False, True)):
            prepare()
            with pytest.raises(Died):
                step(_Watched(store, _dying(number, done=done)))
            found = step(store), state()
            where = f"died {'after' if done else 'before'} write {number + 1} of {n_writes}"
            assert found[1] == expected[1], where
            if answer_too:
                assert found[0] == expected[0], where

    return check


@pytest.fixture
def dying(store: Any) -> Callable[..., Any]:
    """dying(n): the store of a process that is killed before its write n / 2, counted from 0, or after it where n is odd."""

    def die(number: int) -> Any:
        return _Watched(store, _dying(number // 2, done=bool(number % 2)))

    return die


def _dying(number: int, *, done: bool) -> Callable[[str, Callable[[], Any]], Any]:
    counter = itertools.count()

    def die(operation: str, call: Callable[[], Any]) -> Any:
        if operation in WRITES and next(counter) == number:
            if done:
                call()
            raise Died
        return call()

    return die


@pytest.fixture
def interleave(store: Any) -> Callable[..., list[Any]]:
    """interleave(tasks, turns): run tasks (functions of a store) at the same time, one store operation at a time.

    `turns` says whose operation comes next, as an index into the tasks that are not done; when it is used up the first of them goes on.
    """

    def run(tasks: Sequence[Callable[[Any], Any]], turns: Sequence[int]) -> list[Any]:
        # No threads: on a busy machine each hand-over between two of them waits for the scheduler.
        results: list[Any] = [None] * len(tasks)
        scheduler = getcurrent()

        def body(index: int) -> None:
            def around(_: str, call: Callable[[], Any]) -> Any:
                scheduler.switch()
                return call()

            results[index] = tasks[index](_Watched(store, around))

        running = [greenlet(partial(body, index)) for index in range(len(tasks))]
        for one in running:
            one.switch()  # up to its first operation
        order = iter(turns)
        while alive := [one for one in running if not one.dead]:
            alive[next(order, 0) % len(alive)].switch()
        return results

    return run


# ---- functions
@dataclass
class Context:
    """Stands for the Lambda context, with what Powertools reads."""

    function_name: str = "p300-test"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:p300-test"
    aws_request_id: str = "8d1d2a4f-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@pytest.fixture
def context() -> Context:
    return Context()


class _Stdout:
    """Whatever standard output is now: pytest puts a new one in its place between a test's setup and its call."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def load_function(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """load_function("ingestion", P300_RAW_BUCKET=...): the function's module, freshly imported with that environment."""
    from p300_pipeline import storage

    def load(name: str, **environment: str) -> ModuleType:
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", name)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        storage.default_client.cache_clear()
        logging.Logger.manager.loggerDict.pop(
            name, None
        )  # Powertools keeps a logger, and with it an earlier test's output
        spec = importlib.util.spec_from_file_location(f"function_{name}", REPOSITORY / "functions" / name / "app.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        for handler in logging.getLogger(name).handlers:
            handler.setStream(_Stdout())  # type: ignore[attr-defined]
        return module

    return load


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """logged(): the JSON lines written to standard output since it was last asked, logs and metrics alike."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    return read
