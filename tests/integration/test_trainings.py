"""Trainings on the real services: recordings that come together, a training that is stopped, features that were damaged."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.localstack import Stack, run_p300, wait_for
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
NUMBERS = range(31, 43)


@pytest.fixture(scope="module")
def together(stack: Stack) -> Iterator[dict[str, Any]]:
    """Twelve people's recordings, landed at once; what their executions came to. They are gone afterwards: other modules count theirs.

    So many are enough here for a training that is spread over functions.
    """
    run_p300("deploy", "--parameter", f"SpreadFrom={len(NUMBERS)}", "--parameter", "SpreadOver=2")
    uploads = [(f"subject_{number}/run_01.parquet", recording(number, n_repetitions=6)) for number in NUMBERS]
    ends: dict[str, Any] = {}
    started = threading.Barrier(len(uploads))

    def put(upload: tuple[str, bytes]) -> None:
        started.wait()
        stack.s3.put_object(Bucket=stack.landing, Key=upload[0], Body=upload[1])

    with ThreadPoolExecutor(len(uploads)) as pool:
        list(pool.map(put, uploads))
    names = {key.removesuffix(".parquet") for key, _ in uploads}
    wait_for(lambda: not stack.keys(stack.landing) or None, "the landing zone to be empty")
    steps = stack.target.client("stepfunctions")

    def all_ended() -> bool | None:
        for page in steps.get_paginator("list_executions").paginate(stateMachineArn=stack.outputs["StateMachineArn"]):
            for entry in page["executions"]:
                if entry["status"] == "RUNNING":
                    return None
                if entry["executionArn"] not in ends:
                    described = steps.describe_execution(executionArn=entry["executionArn"])
                    ends[entry["executionArn"]] = {"input": described["input"], "output": described.get("output")}
        return True

    wait_for(all_ended, "the executions", timeout_s=600)
    own = {arn: end for arn, end in ends.items() if any(f"{name}." in end["input"] for name in names)}
    yield {"names": names, "ends": own}
    for number in NUMBERS:
        stack.forget(f"subject_{number}/")
    run_p300("deploy")


def test_twelve_recordings_at_once_are_one_training_of_all(stack: Stack, together: dict[str, Any]) -> None:
    # An upload that was sent again, or an event that came twice, has an execution more: what counts is each recording.
    outputs = [json.loads(end["output"]) for end in together["ends"].values()]
    assert {output["recording"]["recording"] for output in outputs} == together["names"]
    (trained,) = [output for output in outputs if output["outcome"] == "model"]
    assert {output["outcome"] for output in outputs if output is not trained} == {"features"}
    version = trained["training"]["version"]
    manifest = json.load(stack.s3.get_object(Bucket=stack.models, Key=f"{version}/manifest.json")["Body"])
    assert together["names"] <= {entry["recording"] for entry in manifest["recordings"]}
    parts = {key.removeprefix(f"spread/{version}/") for key in stack.keys(stack.models, f"spread/{version}/")}
    assert {"plan.json", "fits/0.npz", "fits/1.npz", "adapted/0.npz", "adapted/1.npz"} < parts
    assert manifest["metrics"]["folds"] == {"n": len(manifest["subjects"]), "largest": 1}
    assert not [
        key for key in stack.keys(stack.models, "trainings/new/") if key.rpartition("@")[0] in together["names"]
    ]


def test_a_training_that_is_stopped_is_finished_by_the_next_request(stack: Stack, together: dict[str, Any]) -> None:
    steps = stack.target.client("stepfunctions")
    request = {"model": "lda", "seed": 31, "subjects": 1.0, "held_out": []}
    arn = steps.start_execution(stateMachineArn=stack.outputs["StateMachineArn"], input=json.dumps({"train": request}))[
        "executionArn"
    ]

    def evaluating() -> bool | None:
        history = steps.get_execution_history(executionArn=arn, reverseOrder=True)["events"]
        entered = {event.get("stateEnteredEventDetails", {}).get("name") for event in history}
        return "Evaluate" in entered or None

    wait_for(evaluating, "the evaluation")
    steps.stop_execution(executionArn=arn)
    version = max(key.partition("/")[0] for key in stack.keys(stack.models, "v") if key.endswith("/manifest.json"))
    assert f"{version}/promotion.json" not in stack.keys(stack.models, f"{version}/")
    done = run_p300("train", "--model", "lda", "--seed", "31")
    assert version in done.stdout
    assert f"{version}/promotion.json" in stack.keys(stack.models, f"{version}/")
    assert "Nothing to do" in run_p300("train", "--model", "lda", "--seed", "31").stdout


def test_damaged_features_are_named_by_whoever_reads_them(stack: Stack, together: dict[str, Any]) -> None:
    name, key = "subject_31/run_01", "subject_31/run_01/features.parquet"
    whole = stack.s3.get_object(Bucket=stack.features, Key=key)
    body = bytearray(whole["Body"].read())
    body[len(body) // 2] ^= 4
    stack.s3.put_object(Bucket=stack.features, Key=key, Body=bytes(body), Metadata=whole["Metadata"])
    address = f"s3://{stack.features}/{key}"
    refused = run_p300("predict", name, check=False)
    assert (refused.returncode, address in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    trained = run_p300("train", "--model", "lda")
    assert f"left out: {name}: {address} was damaged" in trained.stderr
    # The way out that the message names.
    assert "Delete the object and run `p300 backfill`" in trained.stderr
    stack.s3.delete_object(Bucket=stack.features, Key=key)
    run_p300("backfill")
    assert name not in run_p300("train", "--model", "lda").stderr
    run_p300("predict", name)
