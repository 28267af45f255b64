"""`p300 quarantine`: what is there, back to the landing zone, or away; never lost on the way."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from p300.errors import RecordingError
from p300_cli.main import app
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.quarantine import quarantine
from p300_pipeline.storage import NotFoundError, Store
from typer.testing import CliRunner, Result

from tests.support.buckets import LANDING, RAW
from tests.support.interruptions import Died

KEY = "subject_01/run_01.parquet"
Command = Callable[..., Result]


@pytest.fixture
def command(store: Store, monkeypatch: pytest.MonkeyPatch) -> Command:
    outputs = {"LandingBucketName": LANDING, "RawBucketName": RAW}
    target = SimpleNamespace(outputs=outputs, client=lambda _: store.client)
    monkeypatch.setattr("p300_cli.targets.current", lambda: target)
    monkeypatch.setattr("p300_cli.terminal.out.width", 300)
    return lambda *arguments, **how: CliRunner().invoke(app, ["quarantine", *arguments], **how)


def quarantined(store: Store, key: str = KEY, body: bytes = b"no parquet") -> str:
    """Land bytes that are no recording; return where they went."""
    store.put(LANDING, key, body)
    item = store.head(LANDING, key)
    return str(ingest(store, LANDING, RAW, Landed(key, item.etag, item.version_id))["quarantine_key"])


def keys(store: Store, bucket: str) -> list[str]:
    return [item.key for item in store.list(bucket)]


def test_list_tells_where_from_and_why(store: Store, command: Command) -> None:
    first, second = quarantined(store), quarantined(store, "notes.txt", b"hello")
    listed = json.loads(command("list", "--json").stdout)
    assert {(one["key"], one["landing_key"], one["code"], one["bytes"]) for one in listed} == {
        (first, KEY, "unreadable", 10),
        (second, "notes.txt", "wrong_key", 5),
    }
    assert listed[0]["uploaded"].startswith("20")
    shown = command("list").stdout
    assert first in shown
    assert "Upload it again under such a key" in shown


def test_an_empty_quarantine_says_so(command: Command) -> None:
    assert "nothing is in quarantine" in command("list").stderr
    assert json.loads(command("list", "--json").stdout) == []


def test_release_lands_the_bytes_under_the_key_they_came_as(store: Store, command: Command) -> None:
    key = quarantined(store)
    done = command("release", KEY, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == [{"key": key, "landing_key": KEY}]
    assert store.get(LANDING, KEY)[0] == b"no parquet"
    assert keys(store, RAW) == []


def test_release_to_another_key(store: Store, command: Command) -> None:
    quarantined(store, "notes.txt", b"hello")
    refused = command("release", "notes.txt")
    assert refused.exit_code == 1
    assert "--to" in refused.stderr
    assert command("release", "notes.txt", "--to", KEY).exit_code == 0
    assert store.get(LANDING, KEY)[0] == b"hello"
    assert keys(store, RAW) == []


def test_with_a_recording_of_several_files_come_all_of_them(store: Store, command: Command) -> None:
    names = ["subject_01/run.vhdr", "subject_01/run.eeg", "subject_01/run.vmrk"]
    for name in names:
        store.put(LANDING, name, name.encode())
    items = [store.head(LANDING, name) for name in names]
    quarantine(store, LANDING, RAW, items, RecordingError("unreadable", "No recording."))
    assert command("release", names[0], "--to", "subject_02/run.vhdr").exit_code == 2
    assert command("release", names[0]).exit_code == 0
    assert keys(store, LANDING) == sorted(names)
    assert keys(store, RAW) == []


def test_release_takes_no_recordings_place_unasked(store: Store, command: Command) -> None:
    quarantined(store)
    store.put(RAW, KEY, b"a good one")
    refused = command("release", KEY)
    assert refused.exit_code == 1
    assert "--replace" in refused.stderr
    assert keys(store, LANDING) == []
    assert command("release", KEY, "--replace").exit_code == 0
    assert keys(store, LANDING) == [KEY]


@pytest.mark.parametrize(("ending", "what"), [("parquet", "recording"), ("p300.json", "sidecar")])
def test_nor_under_another_spelling_of_the_subject(store: Store, command: Command, ending: str, what: str) -> None:
    key, held = f"sub-01/run_01.{ending}", f"subject_01/run_01.{ending}"
    store.put(LANDING, key, b"another")
    quarantine(store, LANDING, RAW, [store.head(LANDING, key)], RecordingError("unreadable", "No recording."))
    store.put(RAW, held, b"a good one")
    refused = command("release", key)
    assert refused.exit_code == 1
    assert f"would replace a {what}, {held}" in refused.stderr
    assert command("release", key, "--replace").exit_code == 0
    assert keys(store, LANDING) == [key]


def test_of_all_files_sidecars_are_released_before_what_may_be_their_recordings(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .dat may be a recording or belong to a header."""
    names = ["subject_01/a.dat", "subject_01/a.p300.json", "subject_01/b.edf", "subject_01/b.p300.json"]
    for name in names:
        store.put(LANDING, name, name.encode())
        quarantine(store, LANDING, RAW, [store.head(LANDING, name)], RecordingError("unreadable", "No recording."))
    released: list[str] = []
    copy = store.copy

    def noted(*positional: Any, **named: Any) -> None:
        released.append(positional[3])
        copy(*positional, **named)

    monkeypatch.setattr(Store, "copy", lambda _, *positional, **named: noted(*positional, **named))
    assert command("release", "--all").exit_code == 0
    assert {name.endswith(".p300.json") for name in released[:2]} == {True}
    assert sorted(released) == names


@pytest.mark.parametrize("ingested", ["at once", "meanwhile"])
def test_what_comes_straight_back_to_quarantine_stays_there(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch, ingested: str
) -> None:
    key = quarantined(store)
    copy = store.copy

    def copy_and_ingest(self: Store, *positional: Any, **named: Any) -> None:
        copy(*positional, **named)
        item = self.head(LANDING, KEY)
        answer = ingest(store, LANDING, RAW, Landed(KEY, item.etag, item.version_id))
        assert answer["outcome"] == "quarantined"
        if ingested == "at once":  # before the copy was looked at
            raise NotFoundError(KEY)

    with monkeypatch.context() as patch:
        patch.setattr(store, "copy", copy)
        patch.setattr(Store, "copy", copy_and_ingest)
        done = command("release", KEY)
    assert done.exit_code == 0, done.stderr
    assert store.get(RAW, key)[0] == b"no parquet"
    assert [one["code"] for one in json.loads(command("list", "--json").stdout)] == ["unreadable"]
    assert keys(store, LANDING) == []


def test_a_release_that_dies_half_way_is_finished_by_the_next(
    store: Store, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = quarantined(store)
    delete = Store.delete

    def die(self: Store, bucket: str, name: str, version_id: str | None = None) -> None:
        if name == key:
            raise Died
        delete(self, bucket, name, version_id)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", die)
        with pytest.raises(Died):
            command("release", KEY, catch_exceptions=False)
    (left,) = json.loads(command("list", "--json").stdout)
    assert (left["key"], left["landing_key"], left["code"]) == (key, KEY, "")
    assert command("release", KEY).exit_code == 0
    assert keys(store, RAW) == []


def test_drop_asks_first_and_leaves_the_version(store: Store, command: Command) -> None:
    key = quarantined(store)
    assert command("drop", KEY, input="n\n").exit_code == 1
    assert key in keys(store, RAW)
    assert command("drop", KEY, input="y\n").exit_code == 0
    assert keys(store, RAW) == []
    versions = store.client.list_object_versions(Bucket=RAW, Prefix=key)["Versions"]
    assert key in {version["Key"] for version in versions}


def test_drop_all_without_asking(store: Store, command: Command) -> None:
    quarantined(store)
    quarantined(store, "notes.txt", b"hello")
    assert len(json.loads(command("drop", "--all", "--yes", "--json").stdout)) == 2
    assert keys(store, RAW) == []


def test_names_must_be_clear(store: Store, command: Command) -> None:
    first = quarantined(store)
    quarantined(store, body=b"another")
    both = command("drop", KEY, "--yes")
    assert both.exit_code == 1
    assert first in both.stderr
    assert command("drop", "subject_09/x.csv", "--yes").exit_code == 1
    assert command("drop", "--yes").exit_code == 2
    assert command("drop", KEY, "--all", "--yes").exit_code == 2
    assert command("release", "--all", "--to", KEY).exit_code == 2
    assert command("drop", first, "--yes").exit_code == 0
    assert len(json.loads(command("list", "--json").stdout)) == 1
