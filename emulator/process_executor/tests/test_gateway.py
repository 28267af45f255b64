"""The guarded gateway of a real LocalStack: who has access, and to what."""

import json
import os
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from localstack_server import BUCKET, PAGES, LocalStack

JSON = "application/x-amz-json-1.0"


def fetch(url: str) -> bytes:
    """Return the content at an address."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        return bytes(answer.read())


# ---- keys
CALLS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("s3", "list_objects_v2", {"Bucket": BUCKET}, "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ("sts", "get_caller_identity", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("cloudformation", "list_stacks", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sqs", "list_queues", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("stepfunctions", "list_state_machines", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("lambda", "list_functions", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("apigateway", "get_rest_apis", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("cloudwatch", "list_metrics", {}, "UnrecognizedClientException", "InvalidSignatureException"),
]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call[0]))
def test_each_protocol_accepts_the_right_key_and_refuses_others_in_its_own_format(
    localstack: LocalStack, call: tuple[str, str, dict[str, Any], str, str]
) -> None:
    service, operation, parameters, unknown, wrong = call
    getattr(localstack.client(service), operation)(**parameters)
    for key, secret, code in (("test", "test", unknown), (localstack.key, "guessed", wrong)):
        with pytest.raises(ClientError) as raised:
            getattr(localstack.client(service, key, secret), operation)(**parameters)
        error = raised.value.response["Error"]
        assert error["Code"] == code
        assert error["Message"].endswith("Ask the person who started it.")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 40 << 20])
@pytest.mark.usefixtures("bucket")
def test_bodies_of_any_size_arrive_unchanged(localstack: LocalStack, size: int) -> None:
    body = os.urandom(1 << 20) * (size >> 20) or b"x" * size
    s3 = localstack.client("s3")
    s3.put_object(Bucket=BUCKET, Key="large", Body=body)
    assert s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == body
    s3.delete_object(Bucket=BUCKET, Key="large")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("key", ["a b+c", "ä/ö", "x//y", "a/../b", "q?r=s&t", "100%", "~'()*!"])
def test_unusual_object_keys_can_be_signed_and_presigned(localstack: LocalStack, key: str) -> None:
    s3 = localstack.client("s3", s3={"addressing_style": "path"})
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key})
    assert fetch(url) == b"x"
    s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_work_only_for_the_signed_request(localstack: LocalStack, version: str) -> None:
    s3 = localstack.client("s3", signature_version=version)
    put = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "presigned"})
    get = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "presigned"})
    assert localstack.ask("PUT", put.partition(f":{localstack.port}")[2], b"by url")[0] == 200
    assert fetch(get) == b"by url"
    localstack.client("s3").delete_object(Bucket=BUCKET, Key="presigned")


@pytest.mark.usefixtures("unchanged")
def test_a_presigned_url_cannot_be_turned_into_a_request_to_another_service(localstack: LocalStack) -> None:
    url = localstack.client("s3").generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "kept"})
    target = url.partition(f":{localstack.port}")[2]
    machine = json.dumps({"name": "x", "definition": "{}", "roleArn": "arn:aws:iam::000000000000:role/x"}).encode()
    to_step_functions = {"X_Amz_Target": "AWSStepFunctions.CreateStateMachine", "Content_Type": JSON}
    for method, changed, headers in (
        ("POST", target, to_step_functions),
        ("GET", target, to_step_functions),
        ("GET", f"{target}&Action=CreateUser&UserName=x&Version=2010-05-08", {}),
        ("POST", target, {"Content_Type": "application/x-www-form-urlencoded"}),
        ("DELETE", target, {}),
    ):
        assert localstack.ask(method, changed, machine, **headers)[0] == 403
    # Parts that the signature does not cover do not choose the service either.
    assert b"secret" in localstack.ask("GET", target, Content_Type=JSON)[2]


# ---- API Gateway
@pytest.fixture(scope="module")
def api(localstack: LocalStack) -> str:
    """Return the path of an API whose routes all require an API key."""
    client = localstack.client("apigateway")
    api = client.create_rest_api(name="guarded")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    where = {"restApiId": api, "resourceId": root, "httpMethod": "POST"}
    client.put_method(**where, authorizationType="NONE", apiKeyRequired=True)
    client.put_integration(**where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
    client.put_method_response(**where, statusCode="200")
    client.put_integration_response(**where, statusCode="200", responseTemplates={"application/json": '{"served": 1}'})
    client.create_deployment(restApiId=api, stageName="v1")
    key = client.create_api_key(name="k", value="an-api-key-of-twenty-characters", enabled=True)["id"]
    plan = client.create_usage_plan(name="p", apiStages=[{"apiId": api, "stage": "v1"}])["id"]
    client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    return f"/_aws/execute-api/{api}/v1/"


def test_an_api_checks_its_own_key(localstack: LocalStack, api: str) -> None:
    key = {"X_Api_Key": "an-api-key-of-twenty-characters", "Content_Type": "application/json"}
    assert json.loads(localstack.ask("POST", api, b"{}", **key)[2]) == {"served": 1}
    assert json.loads(localstack.ask("POST", api, b"{}", **key, Origin="https://speller.example")[2]) == {"served": 1}
    assert localstack.ask("POST", api, b"{}", Content_Type="application/json")[0] == 403
    for headers in PAGES[1:]:
        assert localstack.ask("POST", api, b"{}", **headers)[0] == 403


@pytest.mark.usefixtures("unchanged", "api")
def test_a_request_that_no_api_serves_reaches_no_service(localstack: LocalStack) -> None:
    for target in (
        "/_aws/execute-api/nope/v1/?Action=CreateUser&UserName=x&Version=2010-05-08",
        "/_aws/execute-api/?Action=CreateUser&UserName=x&Version=2010-05-08",
        "/_aws/execute-api/x?Action=CreateUser&UserName=x&Version=2010-05-08",
    ):
        for headers in ({}, {"X_Amz_Target": "AmazonSQS.CreateQueue", "Content_Type": JSON}):
            status, _, content = localstack.ask("POST", target, b'{"QueueName": "x"}', **headers)
            assert status in {403, 404, 308}, (target, status, content)


# ---- functions
@pytest.mark.usefixtures("bucket")
def test_a_functions_own_credential_expires_with_its_environment(
    localstack: LocalStack, lambda_function: Callable[[str], str]
) -> None:
    name = lambda_function(
        "import boto3, os\n"
        "def handler(event, context):\n"
        "    body = boto3.client('s3').get_object(Bucket=event, Key='kept')['Body'].read().decode()\n"
        "    return [body, os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY'], os.getpid()]"
    )
    client = localstack.client("lambda")
    answer = client.invoke(FunctionName=name, Payload=json.dumps(BUCKET))
    body, key, secret, pid = json.loads(answer["Payload"].read())
    assert body == "secret"
    assert key != localstack.key
    localstack.client("sts", key, secret).get_caller_identity()
    process = psutil.Process(pid)
    client.update_function_configuration(FunctionName=name, Description="ends the environment")
    psutil.wait_procs([process], timeout=60)
    with pytest.raises(ClientError, match="does not know the access key"):
        localstack.client("sts", key, secret).get_caller_identity()


def test_an_assumed_role_is_accepted_and_a_forged_session_is_not(localstack: LocalStack) -> None:
    role = {"RoleArn": "arn:aws:iam::000000000000:role/any", "RoleSessionName": "session"}
    issued = localstack.client("sts").assume_role(**role)["Credentials"]
    localstack.client("sqs", issued["AccessKeyId"], issued["SecretAccessKey"]).list_queues()
    token = localstack.client("sts").get_session_token()["Credentials"]  # the same message for every caller
    for key, secret in ((issued["AccessKeyId"], "x"), (token["AccessKeyId"], token["SecretAccessKey"])):
        with pytest.raises(ClientError, match="Ask the person who started it"):
            localstack.client("sqs", key, secret).list_queues()
