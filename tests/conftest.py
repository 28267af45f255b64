"""Fixtures of several test modules: buckets in memory, small recordings and features, deaths and interleavings, functions by path."""

import importlib.util
import io
import itertools
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import pytest
from greenlet import getcurrent, greenlet
from hypothesis import settings
from moto.moto_api._internal import mock_random

pytest.register_assert_rewrite("tests.support")  # before it is imported: what its assertions compare is shown too
from tests.support.buckets import FEATURES, LANDING, MODELS, RAW, VERSIONED
from tests.support.features import make_features
from tests.support.functions import Context, Stdout
from tests.support.interruptions import WRITES, Died, Watched, die_at
from tests.support.paths import PROJECT
from tests.support.pickles import plant
from tests.support.real_data import DATA
from tests.support.recordings import make_recording

# pytest-xdist gives its workers the width of its own terminal: what a command prints would depend on how the tests were started.
os.environ.pop("COLUMNS", None)
# A shell starts what runs in the background with Ctrl-C ignored, and programs that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples in every run: a change is judged by what it changed. `make fuzz-recordings`, also at night, looks for new ones.
# No example has a deadline: how long it takes says more about what else the machine does.
settings.register_profile("the same examples", derandomize=True, deadline=None)
if "P300_FUZZ_EXAMPLES" not in os.environ:
    settings.load_profile("the same examples")
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


# ---- order: pytest-randomly shuffles the unit tests.  Tests on a running stack tell a story, and the modules share a stack: what one
# leaves behind (a champion, executions, recordings that count) is part of the next one's, so these keep their order.
_WRITTEN = pytest.StashKey[int]()
_NUMBERS = itertools.count()
_AS_WRITTEN = {"integration", "conformance", "e2e", "faults"}


def pytest_itemcollected(item: pytest.Item) -> None:
    item.stash[_WRITTEN] = next(_NUMBERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put back what must follow each other; this runs after pytest-randomly's own and before pytest groups by fixtures."""
    places = [
        place for place, item in enumerate(items) if item.path.relative_to(PROJECT / "tests").parts[0] in _AS_WRITTEN
    ]
    in_order = sorted((items[place] for place in places), key=lambda item: item.stash[_WRITTEN])
    for place, item in zip(places, in_order, strict=True):
        items[place] = item


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs real recordings; always for the same reason here, so that the summary has one line for all of them."""
    if DATA is None and item.get_closest_marker("real_data"):
        pytest.skip("no real recordings: P300_DATA, the folder that holds them, is not set")


@pytest.fixture(scope="session")
def s3_client() -> Any:
    """One for all tests, because making a client takes longer than most of them."""
    import boto3
    import moto.core
    import moto.s3.urls
    from moto.s3.models import S3Backend

    # moto loads its list of addresses twice for every call, in case a variable changed it: half of a call's time.
    S3Backend._url_module = moto.s3.urls  # type: ignore[method-assign, assignment]
    S3Backend.urls = S3Backend("us-east-1", "123456789012").urls  # type: ignore[method-assign, assignment]
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
            entries = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
            if entries:
                names = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
                store.client.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
        mock_random.seed(
            0
        )  # a story told again gives its objects the same version ids: features state that of their recording

    return empty


@pytest.fixture
def put_features(store: Any) -> Callable[..., Any]:
    """put_features("subject_01/run", seed=1, ...): write a small feature set to the features bucket and return it.

    `raw` is the ETag of the recording it was made of; `features` are to be written in place of new ones; `made_by` is what they state
    of the code that made them, in place of the present one.
    """
    from p300.features import write_features
    from p300_pipeline.provenance import FEATURES as FEATURES_CODE
    from p300_pipeline.provenance import code_of

    def put(
        recording: str, *, raw: str = "", features: Any = None, made_by: dict[str, str] | None = None, **how: Any
    ) -> Any:
        how.setdefault("seed", crc32(recording.encode()))
        features = features or make_features(**how)
        buffer = io.BytesIO()
        code = code_of(FEATURES_CODE)
        stated = {"code_digest": code.digest, "libraries": json.dumps(code.libraries)} | (made_by or {})
        write_features(features, buffer, stated | ({"raw_etag": raw} if raw else {}))
        store.put(FEATURES, f"{recording}/features.parquet", buffer.getvalue())
        return features

    return put


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
        expected = step(Watched(store, count)), state()
        n_writes = next(counter)
        assert n_writes, "a step that writes nothing cannot show anything here"
        for number, done in itertools.product(range(n_writes), (False, True)):
            prepare()
            with pytest.raises(Died):
                step(Watched(store, die_at(number, done=done)))
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
        return Watched(store, die_at(number // 2, done=bool(number % 2)))

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

            results[index] = tasks[index](Watched(store, around))

        running = [greenlet(partial(body, index)) for index in range(len(tasks))]
        for one in running:
            one.switch()  # up to its first operation
        order = iter(turns)
        while alive := [one for one in running if not one.dead]:
            alive[next(order, 0) % len(alive)].switch()
        return results

    return run


@pytest.fixture
def marked(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """Where a pickle would leave its mark, and that pickle in every wrapping that some reader knows."""
    path = tmp_path / "mark"
    return path, plant(path)


# ---- functions


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def load_function(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """load_function("ingestion", P300_RAW_BUCKET=...): the function's module, freshly imported with that environment."""
    from aws_lambda_powertools.utilities import parameters
    from p300_pipeline import storage

    def load(name: str, **environment: str) -> ModuleType:
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", name)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        storage.default_client.cache_clear()
        parameters.clear_caches()  # a new environment has not read any yet
        logging.Logger.manager.loggerDict.pop(
            name, None
        )  # Powertools keeps a logger, and with it an earlier test's output
        spec = importlib.util.spec_from_file_location(f"function_{name}", PROJECT / "functions" / name / "app.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        for handler in logging.getLogger(name).handlers:
            handler.setStream(Stdout())  # type: ignore[attr-defined]
        return module

    return load


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """logged(): the JSON lines written to standard output since it was last asked, logs and metrics alike."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    return read
