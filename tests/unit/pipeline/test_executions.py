"""Executions started with anything that JSON can say: parsed or refused by name, and never the end of what lists them."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from p300.errors import LONGEST_MESSAGE
from p300_cli.main import app
from p300_client import watching
from p300_client.failures import STATUS_CHANGE
from p300_pipeline import executions
from p300_pipeline.errors import InputError
from p300_pipeline.executions import EXPECTED, TRAINING_REQUEST, UNKNOWN_INPUT, Training, Upload, parse, retry_name
from typer.testing import CliRunner

from tests.support.buckets import LANDING
from tests.support.executions import EVENT, ODD, TRAINING, deep
from tests.support.functions import ENVIRONMENT
from tests.support.retrying import Command, Stack, command_on, status_change

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    (),
    ("detail",),
    ("detail-type",),
    ("detail", "object"),
    ("detail", "bucket"),
    ("detail", "bucket", "name"),
    *(("detail", "object", name) for name in ("key", "etag", "version-id")),
    ("retry_of",),
    ("train",),
    ("train", "subjects"),
]


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack()


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    return command_on(stack, monkeypatch)


def changed(value: Any, path: tuple[str, ...], into: Any) -> Any:
    if not path:
        return into
    inner = value.get(path[0], {}) if isinstance(value, dict) else {}
    return {**(value if isinstance(value, dict) else {}), path[0]: changed(inner, path[1:], into)}


@pytest.mark.parametrize("event", [EVENT, {"detail": {"object": {"key": "a/b.csv"}}}, {**EVENT, "replay-name": "r"}])
def test_reads_an_event(event: dict[str, Any]) -> None:
    found = parse(event, "any")
    assert isinstance(found, Upload)
    assert found.key == event["detail"]["object"]["key"]
    assert parse(EVENT) == Upload("subject_01/run+1.parquet", "etag", "version", LANDING)
    assert parse(EVENT).source == "subject_01/run 1.parquet"
    assert watching.about(json.dumps(EVENT)) == ("subject_01/run 1.parquet", "etag")


def test_reads_a_training_request() -> None:
    assert parse(TRAINING) == Training(TRAINING["train"])
    assert parse({"train": {}}).source == TRAINING_REQUEST


@pytest.mark.parametrize("value", ODD)
def test_refuses_anything_else_saying_what_was_expected(value: Any) -> None:
    with pytest.raises(InputError) as refused:
        parse(value, "an-execution")
    assert EXPECTED in refused.value.message
    assert len(refused.value.message) <= LONGEST_MESSAGE


@given(ANYTHING, st.sampled_from([EVENT, TRAINING]), st.sampled_from(FIELDS))
def test_any_json_is_parsed_or_refused(value: Any, whole: dict[str, Any], path: tuple[str, ...]) -> None:
    text = json.dumps(changed(whole, path, value))
    source, etag = watching.about(text)
    assert isinstance(source, str)
    assert isinstance(etag, str)
    try:
        found = executions.parse_text(text, "an-execution")
    except InputError as error:
        assert EXPECTED in error.message
        return
    if isinstance(found, Upload):
        assert all(isinstance(one, str) for one in (found.key, found.etag, found.bucket, found.version_id or ""))
    else:
        assert isinstance(found.request, dict)


@pytest.mark.parametrize(
    "text", ["", "{", "1" * 5000, deep(100_000), "[" * 100_000, '{"train": ' + deep(100_000), "\ufeff{}", '"\\ud800"']
)
def test_text_that_cannot_be_read_is_an_unknown_input(text: str) -> None:
    assert watching.about(text) == (UNKNOWN_INPUT, "")
    assert executions.document(text) == {}


def test_only_an_upload_into_the_landing_zone_is_ingested() -> None:
    assert executions.parse_upload(EVENT, "x", LANDING).etag == "etag"
    for value, named in ((TRAINING, "training"), (changed(EVENT, ("detail", "bucket", "name"), "foreign"), "foreign")):
        with pytest.raises(InputError, match=named):
            executions.parse_upload(value, "x", LANDING)


def test_only_a_retry_speaks_for_the_execution_it_repeats() -> None:
    again = {**EVENT, "retry_of": "first"}
    name = retry_name("first", 2)
    assert parse(again, name).retry_of == "first"
    assert executions.root_of(name, again) == "first"
    for other in ("second", retry_name("second", 1), "retry-0-" + name[8:], name + "x"):
        assert executions.root_of(other, again) == other
        with pytest.raises(InputError, match="p300 retry"):
            parse(again, other)
    for value in (None, [], {"retry_of": 5}, {"retry_of": ["first"]}, EVENT):
        assert executions.root_of(name, value) == name


def test_functions_refuse_an_odd_input_by_name(load_function: Any, context: Any, store: Any) -> None:
    ingestion, training, inventory = (
        load_function(name, **ENVIRONMENT) for name in ("ingestion", "training", "inventory")
    )
    for value in ODD:
        with pytest.raises(InputError):
            ingestion.handler({"execution": "x", "event": value}, context)
        with pytest.raises(InputError):
            training.handler({"execution": "x", "input": value, "request": {}, "started": ""}, context)
    for value in (None, [], {"Comment": "x"}, EVENT):
        with pytest.raises(InputError, match="backfill"):
            inventory.handler({"execution": "x", "step": "list", "input": value}, context)


# ---- what lists them
MESSAGES = [
    "not JSON", "[]", "5", '"text"', "{}", '{"id": 5}', '{"id": "a b"}', '{"id": null, "execution": null}', deep(50_000),
    '{"execution": 5, "failure": {}}', '{"execution": "arn", "failure": {}}', '{"execution": "a:b", "failure": []}',
    '{"execution": {}, "input": {}, "failure": {"Error": 5, "Cause": []}}', json.dumps({"detail-type": STATUS_CHANGE}),
    *(json.dumps({"detail-type": STATUS_CHANGE, "detail": detail}) for detail in (
        None, 5, "x", [], {}, {"executionArn": 5}, {"executionArn": "x"}, {"executionArn": {}, "status": [], "error": {}, "input": 5},
        {"executionArn": "arn:aws:states:us-east-1:1:execution:foreign:x", "status": "FAILED", "input": "{}"},
    )),
]  # fmt: skip


def ended_oddly(stack: Stack) -> set[str]:
    """Fail executions with every odd input, kept in the queue and not, and odd messages beside them; return the executions' names."""
    names = set()
    for number, value in enumerate(ODD):
        name = f"odd-{number}"
        stack.failed(name, value, kept=bool(number % 2), error="InputError")
        names.add(name)
    for body in MESSAGES:
        stack.sqs.send_message(QueueUrl=stack.queue, MessageBody=body)
    arn = stack.failed("first", EVENT)
    for value in ODD:
        gone = arn.replace("first", "gone")
        stack.send({"execution": gone, "input": value, "failure": {"Error": 1, "Cause": {}}})
        for text in (value, json.dumps(value)):  # an event's input is JSON text
            stack.send(status_change(gone, text, "FAILED", None, None))
    return names


def test_every_odd_execution_is_listed_and_what_failed_beside_it_is_retried(stack: Stack, command: Command) -> None:
    names = ended_oddly(stack)
    listed = {one["name"]: one for one in json.loads(command("--list", "--json").stdout)}
    assert listed.keys() >= names | {"first", "gone"}
    assert len(listed) == len(names) + 2 + len(MESSAGES)
    for name in names:
        assert listed[name]["source"] == UNKNOWN_INPUT
        assert EXPECTED in listed[name]["left_because"]
    started = [one["name"] for one in json.loads(command("--json").stdout) if one["started"]]
    assert started == ["first"]
    assert command("--list").exit_code == 0


def test_what_cannot_be_started_again_says_so_and_can_be_dropped(stack: Stack, command: Command) -> None:
    names = ended_oddly(stack)
    waiting = stack.waiting()
    done = command("odd-1")
    assert done.exit_code == 1
    assert "Expected" in done.stderr
    assert "p300 retry odd-1 --drop" in done.stderr
    assert stack.waiting() == waiting
    left = [one["name"] for one in json.loads(command("--list", "--json").stdout) if one["name"].startswith("message-")]
    assert len(left) == len(MESSAGES)
    assert command(*left, *names, "gone", "--drop").exit_code == 0
    assert stack.waiting() == 1  # of the one that can be retried


def test_an_execution_named_like_the_backfill_is_retried_as_itself(stack: Stack, command: Command) -> None:
    stack.failed("backfill", EVENT)
    (told,) = json.loads(command("--json").stdout)
    assert ":execution:p300-pipeline:retry-1-" in told["started"]


def test_a_message_cannot_speak_for_another_machine(stack: Stack, command: Command) -> None:
    stack.keep("arn:aws:states:us-east-1:1:execution:foreign:x", EVENT)
    stack.send(
        {"execution": "arn:aws:states:us-east-1:1:execution:foreign:x", "input": EVENT, "failure": {"Error": "x"}}
    )
    told = json.loads(command("--json").stdout)
    assert len(told) == 2
    assert all(one["name"].startswith("message-") and not one["started"] for one in told)
    assert stack.executions("BackfillStateMachineArn") == []


def test_a_message_cannot_keep_an_execution_from_its_retry(stack: Stack, command: Command) -> None:
    arn = stack.failed("first", EVENT)
    stack.keep(arn, ["odd"], error="TrainingError")
    (told,) = json.loads(command("--json").stdout)
    assert told["started"]


def test_an_input_that_grew_too_large_is_left_and_says_why(stack: Stack, command: Command, monkeypatch: Any) -> None:
    stack.failed("large", EVENT)
    stack.failed("small", EVENT)
    start = stack.steps.start_execution

    def limited(**how: Any) -> Any:
        if how["name"] == retry_name("large", 1):
            raise stack.steps.exceptions.ClientError(
                {"Error": {"Code": "ValidationException", "Message": "too long"}}, ""
            )
        return start(**how)

    monkeypatch.setattr(stack.steps, "start_execution", limited)
    told = {one["name"]: one for one in json.loads(command("--json").stdout)}
    assert told["small"]["started"]
    assert not told["large"]["started"]
    assert "too long" in told["large"]["left_because"]


def test_an_execution_that_is_gone_since_it_was_listed_stops_nothing(
    stack: Stack, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "first"):
        stack.failed(name, EVENT, kept=False)
    describe = stack.steps.describe_execution

    def described(*, executionArn: str) -> Any:
        if executionArn.endswith(":gone"):
            raise stack.steps.exceptions.ExecutionDoesNotExist({"Error": {"Code": "ExecutionDoesNotExist"}}, "")
        return describe(executionArn=executionArn)

    monkeypatch.setattr(stack.steps, "describe_execution", described)
    monkeypatch.setattr(stack.steps, "get_execution_history", lambda **_: {"events": []})
    (told,) = json.loads(command("--json").stdout)
    assert told["name"] == "first"
    stack.end(told["started"])
    assert CliRunner().invoke(app, ["watch"]).exit_code == 0


def test_watching_goes_through_odd_executions(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300_cli.terminal.out.width", 300)
    names = ended_oddly(stack)
    odd_outputs = ['"text"', "[]", "null", "{", '{"outcome": "model"}', '{"outcome": "model", "training": 5}', '{"outcome": ["x"]}',
                   '{"outcome": "quarantined", "reason": 4}', '{"outcome": "unchanged", "version": 1}', deep(100_000)]  # fmt: skip
    describe = stack.steps.describe_execution
    rng = random.Random(0)  # noqa: S311

    def described(**how: Any) -> Any:
        return {**describe(**how), "output": rng.choice(odd_outputs), "cause": rng.choice([*odd_outputs, None])}

    monkeypatch.setattr(stack.steps, "describe_execution", described)
    monkeypatch.setattr(stack.steps, "get_execution_history", lambda **_: {"events": []})
    monkeypatch.setattr("p300_cli.targets.current", lambda: stack)
    done = CliRunner().invoke(app, ["watch", "--all"])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)  # some have failed
    assert done.stdout.count(UNKNOWN_INPUT) >= len(names)
