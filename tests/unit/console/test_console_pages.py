"""What the console's pages tell, on services in memory."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import numpy as np
import pytest
from p300.decoding import Trial
from p300_client.api import Answer
from p300_client.sessions import Session
from p300_client.target import Target
from p300_console import executions, logs, replay
from p300_console.app import make_app
from p300_console.history import Visit
from p300_console.pages import executions as executions_page
from p300_console.security import Tokens
from p300_console.stack import Stack
from p300_pipeline.registry import Registry
from starlette.testclient import TestClient

from tests.support.buckets import FEATURES, LANDING, MODELS, RAW
from tests.support.console import PORT, arns, make_stack, manifest, open_console, start


@pytest.fixture
def console(store: Any) -> Iterator[TestClient]:
    make_stack()
    with open_console() as browser:
        yield browser


@pytest.fixture
def index(store: Any, monkeypatch: pytest.MonkeyPatch) -> executions.Executions:
    make_stack()
    monkeypatch.setattr(executions, "FRESH_S", 0.0)
    return executions.Executions(Stack(Target(None)))


def abort(arn: str) -> None:
    boto3.client("stepfunctions").stop_execution(executionArn=arn)


# ---- executions
def test_executions_are_paged_filtered_and_counted(index: executions.Executions) -> None:
    started = [start(f"subject_{number % 3:02d}/run_{number:03d}.csv") for number in range(120)]
    backfill = start("", "backfill", a=1)
    abort(started[0])
    first = index.select()
    assert (first.n, first.n_pages, len(first.rows)) == (121, 3, executions.PAGE)
    assert first.unread == 121  # of which those shown have just been read
    assert all(row.source for row in first.rows)
    pages = [index.select(page=number).rows for number in (1, 2, 3)]
    assert {row.arn for rows in pages for row in rows} == {*started, backfill}
    assert index.select(page=99).page == 3
    assert index.select(status="ABORTED").rows[0].arn == started[0]
    assert index.select().counts == {"RUNNING": 120, "ABORTED": 1}
    assert {row.source for row in index.select(machine="backfill").rows} == {"all recordings"}
    chosen = index.select(subject="subject_02")
    assert chosen.n == 40
    assert {row.subject for row in chosen.rows} == {"subject_02"}
    assert chosen.subjects == ["subject_00", "subject_01", "subject_02"]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"outcomes": {"features": 2, "failed": 1}}, "2 features, 1 failed"),
        ({"outcomes": {}}, "nothing to do"),
        ({"outcome": "features", "detail": "drawn"}, "features"),  # of one recording
    ],
)
def test_a_backfill_is_told_in_counts(output: dict[str, Any], shown: str) -> None:
    now = datetime.now(UTC)
    described = {"executionArn": "arn:x", "name": "x", "status": "SUCCEEDED", "startDate": now, "stopDate": now}
    row = executions.new_row("backfill", {**described, "input": "{}", "output": json.dumps(output)})
    assert (row.source, row.outcome) == ("all recordings", shown)


def test_what_has_ended_is_looked_at_once_and_what_runs_is_seen_to_end(
    index: executions.Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    described = index._described

    def count(row: executions.Row) -> executions.Row:
        looked.append(row.arn)
        return described(row)

    monkeypatch.setattr(index, "_described", count)
    arn = start("subject_01/a.csv")
    assert index.select().rows[0].status == "RUNNING"
    abort(arn)
    (row,) = index.select().rows
    assert (row.status, row.outcome) == ("ABORTED", "aborted")
    for _ in range(3):
        index.select()
    assert looked == [arn, arn]  # while it ran, and when it had ended


def test_executions_that_are_gone_are_forgotten(index: executions.Executions) -> None:
    start("subject_01/a.csv")
    assert index.select().n == 1
    client = boto3.client("stepfunctions")
    for arn in arns().values():
        client.delete_state_machine(stateMachineArn=arn)  # as after a restart of LocalStack
    make_machines = [
        client.create_state_machine(name=f"p300-{name}", definition="{}", roleArn="arn:aws:iam::123456789012:role/a")
        for name in arns()
    ]
    assert len(make_machines) == 2
    assert index.select().n == 0


def test_any_input_can_be_listed(index: executions.Executions) -> None:
    for event in (
        "[]",
        '"text"',
        "1",
        '{"detail": 1}',
        '{"detail": {"object": []}}',
        '{"detail": {"object": {"key": 3}}}',
    ):
        boto3.client("stepfunctions").start_execution(stateMachineArn=arns()["pipeline"], input=event)
    assert len(index.select().rows) == 6


def test_only_executions_of_this_stack_are_shown(console: TestClient) -> None:
    others = boto3.client("stepfunctions")
    machine = others.create_state_machine(
        name="p300-pipeline-of-others", definition="{}", roleArn="arn:aws:iam::123456789012:role/a"
    )["stateMachineArn"]
    arn = others.start_execution(stateMachineArn=machine, input='{"secret": 1}')["executionArn"]
    for wrong in (arn, "", "x", arns()["pipeline"], f"{start('subject_01/a.csv')}/../x"):
        page = console.get("/execution", params={"arn": wrong})
        assert page.status_code == 404
        assert "secret" not in page.text


def test_items_of_a_map_lead_to_their_own_executions_where_the_service_has_some() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    child = f"{arns()['backfill'].replace(':stateMachine:', ':execution:')}/label:item"

    class Service:
        def get_paginator(self, name: str) -> "Service":
            assert name == "list_executions"
            return self

        def paginate(self, **asked: Any) -> list[dict[str, Any]]:
            assert asked["mapRunArn"] == "arn:run"
            entry = {"executionArn": child, "name": "item", "status": "SUCCEEDED", "startDate": began}
            return [{"executions": [{**entry, "stopDate": began + timedelta(seconds=3)}]}]

    class OnAws:
        is_local = False

        def client(self, name: str) -> Service:
            return Service()

    visit = Visit(2, "Every recording", "Map", began, map_run="arn:run")
    (item,) = executions_page._items(OnAws(), None, visit, {})  # type: ignore[arg-type]
    assert (item.arn, item.status, item.seconds) == (child, "SUCCEEDED", 3)
    assert executions_page._belongs(child, arns()["backfill"])  # and may be opened


# ---- recordings
def test_recordings_are_at_the_stage_that_the_buckets_tell(console: TestClient, store: Any) -> None:
    store.put(LANDING, "subject_01/new.csv", b"x")
    store.put(RAW, "subject_01/raw.csv", b"x")
    store.put(RAW, "quarantine/abcdefabcdef/subject_01/bad.csv", b"x")
    store.put(
        RAW, "quarantine/abcdefabcdef/subject_01/bad.csv.reason.json", b'{"code": "bad", "message": "It is bad."}'
    )
    report: dict[str, Any] = {"n_flashes": 900, "n_kept": 890, "n_target": 1, "n_non_target": 889, "erp_peak": None}
    report["verdict"] = {"found": False, "words": "no P300 found", "sentence": "No P300 found: <nothing>."}
    for name in ("made", "run"):
        store.put(RAW, f"subject_01/{name}.csv", b"x")
        store.put(FEATURES, f"subject_01/{name}/features.parquet", b"x")
        store.put(FEATURES, f"subject_01/{name}/report.json", json.dumps(report).encode())
    registry = Registry(store, MODELS)
    registry.publish("v20260101000000", "f", {}, manifest("subject_01"))
    registry.promote("v20260101000000", expected=None, entry={"execution": "a"})
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", console.get("/recordings").text))
    for told in (
        "Landing subject_01/new",
        "Raw subject_01/raw",
        "Quarantined subject_01/bad.csv It is bad.",
        "Features subject_01/made 890 of 900 no P300 found",
        "Used by a champion subject_01/run 890 of 900 no P300 found",
    ):
        assert told in text
    assert console.get("/recordings", params={"stage": "quarantined"}).text.count("<tr>") == 2
    bad = console.get("/recording", params={"name": "subject_01/bad.csv"})
    assert "It is bad." in bad.text
    good = console.get("/recording", params={"name": "subject_01/run"}).text
    assert "890 of 900" in good
    assert "No P300 found: &lt;nothing&gt;." in good


def test_recordings_are_listed_while_the_last_listing_is_shown(console: TestClient, store: Any) -> None:
    recordings = console.app.state.console.recordings  # type: ignore[attr-defined]
    store.put(RAW, "subject_01/a.csv", b"x")
    assert [one.name for one in recordings.everything()] == ["subject_01/a"]
    store.put(RAW, "subject_01/b.csv", b"x")
    assert len(recordings.everything()) == 1
    recordings._listed_at -= 2  # as if two seconds had gone by
    assert len(recordings.everything()) == 1
    recordings._background.submit(lambda: None).result(30)  # whatever was to be done in the background is done
    assert [one.name for one in recordings.everything()] == ["subject_01/a", "subject_01/b"]
    store.put(RAW, "subject_01/c.csv", b"x")
    recordings._listed_at -= 60
    assert len(recordings.everything()) == 3


# ---- models
def test_a_model_shows_the_reference_beside_each_subject(console: TestClient, store: Any) -> None:
    registry = Registry(store, MODELS)
    own = manifest(auc=0.8)
    own["metrics"]["reference_lda"] = manifest(auc=0.7)["metrics"]["leave_one_subject_out"]
    picture = b"\x89PNG picture"
    registry.publish("v20260101000000", "f", {"curve.png": (picture, "image/png")}, own)
    page = console.get("/model", params={"version": "v20260101000000"}).text
    assert page.count("+0.100") == 3  # two subjects and the mean
    assert "Calibration" in page
    assert "/model/picture?version=v20260101000000&amp;name=curve.png" in page
    shown = console.get("/model/picture", params={"version": "v20260101000000", "name": "curve.png"})
    assert shown.content == picture
    store.put(MODELS, "v20260101000000/drawn_later.png", picture + b" later")
    assert "name=drawn_later.png" in console.get("/model", params={"version": "v20260101000000"}).text
    shown = console.get("/model/picture", params={"version": "v20260101000000", "name": "drawn_later.png"})
    assert (shown.content, shown.headers["Content-Type"]) == (picture + b" later", "image/png")
    for name in ("../v20260101000000/curve.png", "none.png", "manifest.json"):
        answer = console.get("/model/picture", params={"version": "v20260101000000", "name": name})
        assert answer.status_code in {404, 409}, name
    store.put(MODELS, "v20260101000000/curve.png", b"altered")
    altered = console.get("/model/picture", params={"version": "v20260101000000", "name": "curve.png"})
    assert altered.status_code == 409
    assert "SHA-256" in altered.text


def test_a_version_with_a_broken_manifest_does_not_hide_the_others(console: TestClient, store: Any) -> None:
    registry = Registry(store, MODELS)
    registry.publish("v20260101000000", "f", {}, manifest())
    store.put(MODELS, "v20260102000000/manifest.json", b"{")
    registry.publish("v20260103000000", "g", {}, {**manifest(), "metrics": {}})
    page = console.get("/models")
    assert page.status_code == 200
    assert "0.800" in page.text
    assert "is not JSON" in page.text
    assert "Train again" in console.get("/model", params={"version": "v20260103000000"}).text


# ---- when the stack is away
def test_nobody_answers(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # which the target sets too, for good
    tokens = Tokens(PORT)
    app = make_app(Stack(Target("http://127.0.0.1:9")), PORT, tokens)
    with TestClient(app, base_url=f"http://127.0.0.1:{PORT}") as browser:
        browser.get("/", params={"token": tokens.one_time})
        for path in ("/executions", "/recordings", "/models", "/try"):
            page = browser.get(path)
            assert page.status_code == 503
            assert "does not answer" in page.text
            assert 'data-live="' in page.text  # it tries again by itself
        assert "does not answer" in browser.get("/try/stream", params={"recording": "subject_01/a"}).text


def test_the_stack_is_found_again_after_it_was_away(store: Any) -> None:
    with open_console() as browser:
        away = browser.get("/models")
        assert away.status_code == 503
        assert "There is no stack" in away.text
        cloudformation = boto3.client("cloudformation")
        unfinished = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}  # a stack that is being made has no outputs
        cloudformation.create_stack(StackName="p300", TemplateBody=json.dumps(unfinished))
        assert browser.get("/models").status_code == 503
        cloudformation.delete_stack(StackName="p300")
        make_stack()
        assert browser.get("/models").status_code == 200


# ---- logs
def test_lines_of_one_execution_with_those_of_the_platform() -> None:
    from moto import mock_aws

    now = datetime.now(UTC)

    def line(request: str, execution: str, message: str) -> str:
        return json.dumps(
            {
                "level": "INFO",
                "message": message,
                "function_request_id": request,
                "correlation_id": execution,
                "key": "k",
            }
        )

    with mock_aws():
        client = boto3.client("logs")
        client.create_log_group(logGroupName="/aws/lambda/f")
        client.create_log_stream(logGroupName="/aws/lambda/f", logStreamName="s")
        messages = [
            "START RequestId: r1 Version: 1\n",
            line("r1", "mine", "ours"),
            "REPORT RequestId: r1\tDuration: 1 ms\n",
            "START RequestId: r2 Version: 1\n",
            line("r2", "other", "theirs"),
        ]
        at = int(now.timestamp() * 1000)
        client.put_log_events(
            logGroupName="/aws/lambda/f",
            logStreamName="s",
            logEvents=[{"timestamp": at + number, "message": text} for number, text in enumerate(messages)],
        )
        stack = Stack(Target(None))
        found = logs.lines(stack, "f", "mine", now - timedelta(seconds=1), now)
        assert [one.message.split()[0] for one in found] == ["START", "ours", "REPORT"]
        assert found[1].fields == {"key": "k"}
        assert logs.lines(stack, "never-ran", "mine", now) == []


# ---- try it
class Api:
    """Answers as the service does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        assert body is not None
        self.asked.append((path, body))
        if path.startswith("/predict"):
            return Answer(200, {"probability_target": 0.25, "model_version": "v1"})
        n = len(body["groups"])
        posterior = {symbol: 0.0 for row in body["layout"]["rows"] for symbol in row} | {"O": 1.0}
        answer = {"posterior": posterior, "symbol": "O", "confidence": n / 10, "model_version": "v1"}
        return Answer(200, {**answer, "trials": [{"symbol": "A"}] * (len(body["trials"]) - 1)})


def session(n_trials: int = 1) -> Session:
    """Two repetitions of four groups for each symbol, which is O: the third column and the third row."""
    X = np.ones((8 * n_trials, 3), np.float32)
    X[1] = np.nan
    code = np.tile([3, 1, 9, 2], 2 * n_trials)
    trials = [Trial(slice(8 * k, 8 * k + 8), (4, 8), 14) for k in range(n_trials)]
    return Session("subject_01/a", X, np.where(np.isin(code, (3, 9)), 2, 1), np.arange(len(X)) / 5, 0.6, code, trials)


def test_each_flash_is_asked_for_with_all_before_it() -> None:
    api, shown = Api(), replay.screen("speller")
    steps = list(replay.replay(api, session(), 0, shown, "champion"))  # type: ignore[arg-type]
    assert [step["probability"] for step in steps[:4]] == [0.25, None, 0.25, 0.25]  # one has no usable epoch
    assert [step["target"] for step in steps[:4]] == [True, False, True, False]
    groups = [body["groups"] for path, body in api.asked if path.startswith("/decode")]
    assert groups[:3] == [[3], [3, 1], [3, 1, 9]]
    assert steps[0]["lit"] == [2, 8, 14, 20, 26, 32]  # the third column
    assert replay.attended(session(), shown) == ["O"]
    later = replay.replay(api, session(), 0, shown, "champion", start=6)  # type: ignore[arg-type]
    assert [step["flash"] for step in later] == [7, 8]


def test_accuracy_by_repetitions_counts_every_symbol_of_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    api, shown = Api(), replay.screen("speller")
    found = [session(), session(3)]
    points = list(replay.by_repetitions(api, found, shown, "v1"))  # type: ignore[arg-type]
    # The service takes the last symbol of a request for O and those before it for A: one of one, and one of three.
    assert [(one["repetitions"], one["right"], one["symbols"]) for one in points] == [(1, 2, 4), (2, 2, 4)]
    assert [body["trials"] for _, body in api.asked] == [[4], [4, 4, 4], [8], [8, 8, 8]]
    monkeypatch.setattr(replay, "MAX_BYTES", 16 * 12)  # of a request: sixteen flashes
    *_, last = replay.by_repetitions(api, found, shown, "v1")  # type: ignore[arg-type]
    assert [body["trials"] for _, body in api.asked[-3:]] == [[8], [8, 8], [8]]
    assert last["right"] == 3


def test_the_layout_to_begin_with() -> None:
    assert replay.likely_layout("", ["Cz"] * 8) == "speller"
    assert replay.likely_layout("nonsense", ["Cz"] * 16) == "brain_invaders"
    assert replay.likely_layout("speller_rows", ["Cz"] * 16) == "speller_rows"
