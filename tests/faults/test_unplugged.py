"""LocalStack is killed and started again while recordings and a training are under way; what S3 holds survives on a server of its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.faults import (
    FULL,
    Faults,
    Landed,
    check,
    check_models,
    deploy,
    finish,
    kill,
    settle,
    small,
    start_localstack,
)
from tests.support.localstack import Stack, run_p300, wait_for
from tests.support.other_storage import KEY, STORAGE, serving

pytestmark = pytest.mark.localstack
ELSEWHERE: dict[str, Any] = {
    "AWS_ENDPOINT_URL_S3": STORAGE,
    "AWS_ACCESS_KEY_ID": KEY["aws_access_key_id"],
    "AWS_SECRET_ACCESS_KEY": KEY["aws_secret_access_key"],
}


def deploy_on(stack: Stack, storage: Any) -> Stack:
    """Deploy with the buckets on the other server; return the stack that looks there."""
    stack.target.client("ssm").put_parameter(
        Name="/p300/storage-key", Value=json.dumps(KEY), Type="SecureString", Overwrite=True
    )
    deploy(S3EndpointUrl=STORAGE, S3KeyParameter="/p300/storage-key")
    moved = Stack()
    moved.s3 = storage
    return moved


@pytest.fixture(scope="module")
def storage() -> Iterator[Any]:
    with serving() as client:
        yield client


@pytest.fixture
def moved(stack: Stack, storage: Any, request: pytest.FixtureRequest) -> Iterator[Stack]:
    for bucket in (stack.landing, stack.raw, stack.features, stack.models):
        storage.create_bucket(Bucket=bucket)
        if bucket != stack.features:
            storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    yield deploy_on(stack, storage)
    if request.node is not request.session.items[-1]:  # others go on with the stack
        deploy()


def start(stack: Stack, body: dict[str, Any]) -> None:
    """Start an execution, as the bridge does that the other server's notifications come through."""
    stack.target.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"], input=json.dumps(body)
    )


def test_a_killed_localstack_loses_nothing(
    moved: Stack, storage: Any, faults: Faults, count: Callable[..., None]
) -> None:
    landed = Landed(moved)

    def land(number: int) -> None:
        key = f"subject_{number}/run_01.parquet"
        etag = landed.put(key, small(number))
        start(moved, {"detail": {"object": {"key": key, "etag": etag}}})

    last = 812 if FULL else 809
    for number in range(801, 804):
        land(number)
    finish(moved, landed)
    start(moved, {"train": {"seed": 1}})
    settle(moved)
    champion = check_models(moved)
    assert champion
    # However fast the others are, one cannot be done when LocalStack is killed.
    faults.add("held", "preprocessing", f"subject_{last - 1}/", kind="kill", write=1, when="before", always=True)
    for number in range(804, last):
        land(number)
    start(moved, {"train": {"seed": 2}})

    def half_done() -> bool | None:
        return len([key for key in moved.keys(moved.features) if key.endswith("features.parquet")]) > 3 or None

    wait_for(half_done, "some of the features, not all")
    kill(moved)
    n_unfinished = last - 801 - len([key for key in moved.keys(moved.features) if key.endswith("report.json")])
    assert n_unfinished
    faults.clear()
    start_localstack(faults.folder)
    moved = landed.stack = deploy_on(moved, storage)
    served = check_models(moved, settled=False)
    assert served is not None
    assert served >= champion
    run_p300("retry", "--unfinished", "--wait", **ELSEWHERE)
    run_p300("train", "--seed", "2", **ELSEWHERE)
    finish(moved, landed)
    check(moved, landed)
    count("recordings under way when LocalStack was killed", n_unfinished)
