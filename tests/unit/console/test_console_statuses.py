"""The console names what came of an upload, in amber where it is not in the pipeline."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.models import stepfunctions_backends
from starlette.testclient import TestClient

from tests.support.console import make_stack, open_console, start


@pytest.fixture
def browser(store: Any) -> Iterator[TestClient]:
    make_stack()
    with open_console() as browser:
        yield browser


def test_an_upload_that_is_not_in_the_pipeline_is_no_green_tick(browser: TestClient) -> None:
    """Its execution succeeded all the same."""
    features = {"outcome": "features", "recording": {"recording": "subject_02/b"}}
    trained = {"outcome": "model", "training": {"left_out": [{"recording": "subject_02/b", "reason": "x"}]}}
    ended("subject_01/a.csv", {"outcome": "quarantined", "reason": {"message": "no flashes"}})
    ended("subject_2/b.csv", features)
    ended("subject_03/c.csv", trained)
    text = browser.get("/executions").text
    pills = re.findall(r'class="pill ([a-z_]+)".*?</span> ([\w ]+)</span>', text)
    assert sorted(pills) == [("left_out", "Left out"), ("quarantined", "Quarantined"), ("succeeded", "Succeeded")]
    assert "no flashes" in browser.get("/executions", params={"status": "QUARANTINED"}).text
    only = browser.get("/executions", params={"status": "SUCCEEDED"}).text
    assert "subject_03/c.csv" in only
    assert "subject_01/a.csv" not in only
    of_two = browser.get("/executions", params={"subject": "sub-02"}).text
    assert "subject_2/b.csv" in of_two
    assert "subject_03/c.csv" not in of_two


def test_an_execution_that_waits_says_so(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its companion, or for more recordings."""
    states = {start("subject_01/a.vhdr"): "Wait for other files", start("subject_02/b.edf"): "Preprocess"}
    monkeypatch.setattr("p300_client.watching.current_state", lambda _, arn: states[arn])
    text = browser.get("/executions").text
    pills = re.findall(r'class="pill ([a-z_]+)".*?</span> ([\w ]+)</span>', text)
    assert sorted(pills) == [("running", "Running"), ("waiting", "Waiting")]
    assert "subject_01/a.vhdr" in browser.get("/executions", params={"status": "WAITING"}).text


def ended(key: str, output: dict[str, Any]) -> None:
    arn = start(key)
    for machine in stepfunctions_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].state_machines:
        for execution in machine.executions:
            if execution.execution_arn == arn:
                execution.status, execution.stop_date = "SUCCEEDED", execution.start_date
                execution.output = json.dumps(output)
