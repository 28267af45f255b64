"""The template: storage is private and encrypted, nobody may do more than they do, every log ends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from p300_pipeline.steps.training.evaluate import MEMORY_SHARE
from p300_pipeline.steps.training.limits import RECORDING_SHARE


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref x`) as their long ones ({"Ref": x})."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)
TEMPLATE = yaml.load((Path(__file__).parents[3] / "template.yaml").read_text(), _Loader)  # noqa: S506
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == kind}


BUCKETS = of_type("AWS::S3::Bucket")
FUNCTIONS = of_type("AWS::Serverless::Function")
ROLES = of_type("AWS::IAM::Role")
LOG_GROUPS = of_type("AWS::Logs::LogGroup")
# The only APIs that know no resources: X-Ray and the delivery of logs.
RESOURCELESS = re.compile(
    r"xray:(Put(TraceSegments|TelemetryRecords)|GetSampling(Rules|Targets))|logs:(\w+LogDeliver(y|ies)|\w+ResourcePolic(y|ies)|DescribeLogGroups)"
)


def test_there_are_four_buckets() -> None:
    names = {one["BucketName"]["Fn::Sub"].removeprefix("${BucketPrefix}-") for one in BUCKETS.values()}
    assert names == {"landing-zone", "raw-data", "processed-features", "models"}


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_encrypted_private_and_kept(name: str) -> None:
    bucket = BUCKETS[name]
    rules = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rules[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}
    block = bucket["PublicAccessBlockConfiguration"]
    assert set(block) == {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    assert all(value is True for value in block.values())
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_what_must_not_be_lost_keeps_its_versions() -> None:
    versioned = {name for name, one in BUCKETS.items() if one.get("VersioningConfiguration") == {"Status": "Enabled"}}
    assert versioned == {"LandingBucket", "RawBucket", "ModelsBucket"}


def test_only_the_landing_zone_sends_events() -> None:
    sending = [name for name, one in BUCKETS.items() if "NotificationConfiguration" in one]
    assert sending == ["LandingBucket"]
    events = BUCKETS["LandingBucket"]["NotificationConfiguration"]
    assert events == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    started = [one for one in of_type("AWS::Serverless::StateMachine").values() if "Events" in one]
    (machine,) = started
    pattern = machine["Events"]["RecordingLanded"]["Properties"]["Pattern"]
    assert pattern["detail"]["bucket"]["name"] == [{"Ref": "LandingBucket"}]
    assert pattern["detail-type"] == ["Object Created"]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    every = [one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in every]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", ROLES)
def test_no_role_may_do_everything(name: str) -> None:
    for statement in statements(ROLES[name]):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        actions = listed(statement["Action"])
        assert not any("*" in action for action in actions), statement["Sid"]
        if "*" in listed(statement["Resource"]):
            assert all(RESOURCELESS.fullmatch(action) for action in actions), statement["Sid"]
    assert not ROLES[name].get("ManagedPolicyArns")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_its_own_role_and_log_group(name: str) -> None:
    function = FUNCTIONS[name]
    role = function["Role"]["Fn::GetAtt"].removesuffix(".Arn")
    assert role in ROLES
    assert [other for other, one in FUNCTIONS.items() if one["Role"] == function["Role"]] == [name]
    log_group = function["LoggingConfig"]["LogGroup"]["Ref"]
    assert log_group in LOG_GROUPS
    may_log = next(statement for statement in statements(ROLES[role]) if statement["Sid"] == "Log")
    assert may_log["Resource"] == {"Fn::GetAtt": f"{log_group}.Arn"}
    assert function["Timeout"] <= 900
    assert "Policies" not in function
    folder = Path(__file__).parents[3] / function["CodeUri"]
    assert (folder / "app.py").is_file()


def test_logs_end() -> None:
    assert len(LOG_GROUPS) == len(FUNCTIONS) + len(of_type("AWS::Serverless::StateMachine")) + 1  # the API's
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in LOG_GROUPS.values())
    assert min(TEMPLATE["Parameters"]["LogRetentionDays"]["AllowedValues"]) > 0


def test_every_function_has_its_folder_and_one_runtime() -> None:
    folders = {path.parent.name for path in (Path(__file__).parents[3] / "functions").glob("*/app.py")}
    assert {name.removesuffix("Function").lower() for name in FUNCTIONS} == folders
    assert TEMPLATE["Globals"]["Function"]["Runtime"] == "python3.13"


API = RESOURCES["Api"]["Properties"]


def test_the_api_wants_a_key() -> None:
    assert API["Auth"]["ApiKeyRequired"] is True


def test_the_api_takes_so_many_requests_of_a_key_and_in_all() -> None:
    burst, rate = {"Ref": "RequestBurst"}, {"Ref": "RequestsPerSecond"}
    assert API["Auth"]["UsagePlan"]["Throttle"] == {"BurstLimit": burst, "RateLimit": rate}
    (every,) = API["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    assert (every["ThrottlingBurstLimit"], every["ThrottlingRateLimit"]) == (burst, rate)
    assert TEMPLATE["Parameters"]["RequestsPerSecond"]["Default"] >= 20, "two spellers at once"


def test_requests_are_logged_without_what_they_hold() -> None:
    assert API["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": "ApiLogs.Arn"}
    told = json.loads(API["AccessLogSetting"]["Format"])
    assert {"status", "latency_ms", "path", "request_id", "key_id"} <= set(told)
    assert not [
        value for value in told.values() if ("apiKey" in value and "apiKeyId" not in value) or "body" in value.lower()
    ]
    account = RESOURCES["ApiAccount"]
    assert RESOURCES["Api"]["DependsOn"] == "ApiAccount"
    assert account["DeletionPolicy"] == RESOURCES["ApiLogsRoleOfAccount"]["DeletionPolicy"] == "Retain", (
        "others log by it too"
    )


def test_what_api_gateway_refuses_reads_like_what_the_function_refuses() -> None:
    for name, response in API["GatewayResponses"].items():
        template = response["ResponseTemplates"]["application/json"]
        answer = json.loads(template.replace("$context.error.messageString", '"x"'))
        assert set(answer["error"]) == {"code", "message"}, name
    assert {"INVALID_API_KEY", "THROTTLED", "REQUEST_TOO_LARGE", "DEFAULT_4XX", "DEFAULT_5XX"} <= set(
        API["GatewayResponses"]
    )


def test_no_origin_may_call_the_api_unless_asked_for() -> None:
    assert TEMPLATE["Parameters"]["CorsOrigin"]["Default"] == ""
    assert "Cors" not in API
    environment = FUNCTIONS["InferenceFunction"]["Environment"]["Variables"]
    assert environment["P300_CORS_ORIGIN"] == {"Ref": "CorsOrigin"}


def test_the_api_calls_a_published_version_that_may_be_a_snapshot() -> None:
    function = FUNCTIONS["InferenceFunction"]
    assert function["AutoPublishAlias"] == "live"
    assert function["SnapStart"] == {"ApplyOn": {"Fn::If": ["HasSnapStart", "PublishedVersions", "None"]}}
    assert TEMPLATE["Parameters"]["SnapStart"]["Default"] == "off"


def test_only_training_has_the_memory_of_a_training() -> None:
    memory = {name.removesuffix("Function"): one["MemorySize"] for name, one in FUNCTIONS.items()}
    assert max(memory, key=lambda name: memory[name]) == "Training"
    assert {name for name, size in memory.items() if size <= 512} == {"Scheduling", "Promotion", "Inventory"}


def test_whatever_a_training_takes_an_evaluation_can_score() -> None:
    memory = {name: FUNCTIONS[f"{name}Function"]["MemorySize"] for name in ("Training", "Evaluation")}
    assert memory["Evaluation"] / MEMORY_SHARE >= memory["Training"] / RECORDING_SHARE


# ---- executions that fail
RULES = of_type("AWS::Events::Rule")


def of_rule(name: str) -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{name}"}


def test_executions_that_fail_in_any_way_are_told_and_their_inputs_kept() -> None:
    common = {
        "stateMachineArn": [{"Ref": "Pipeline"}, {"Ref": "Backfill"}],
        "status": ["FAILED", "TIMED_OUT", "ABORTED"],
    }
    told, kept = RULES["ExecutionFailedRule"], RULES["FailedInputRule"]
    assert told["EventPattern"]["detail"] == common
    # Where an input is none, no retry could help.
    assert kept["EventPattern"]["detail"] == common | {"error": [{"anything-but": ["InputError"]}, {"exists": False}]}
    for rule in (told, kept):
        assert rule["EventPattern"]["source"] == ["aws.states"]
        assert rule["EventPattern"]["detail-type"] == ["Step Functions Execution Status Change"]
        (target,) = rule["Targets"]
        assert not {"InputPath", "InputTransformer", "RoleArn"} & set(target), "the event goes on as it is"
    assert told["Targets"][0]["Arn"] == {"Ref": "NotificationsTopic"}
    assert kept["Targets"][0]["Arn"] == {"Fn::GetAtt": "FailedInputsQueue.Arn"}


def by_eventbridge(policy: str) -> dict[str, Any]:
    statements = RESOURCES[policy]["Properties"]["PolicyDocument"]["Statement"]
    (found,) = [one for one in statements if one["Principal"] == {"Service": "events.amazonaws.com"}]
    return dict(found)


def test_queue_and_topic_take_events_of_these_rules_only() -> None:
    names = {name: one["Name"]["Fn::Sub"] for name, one in RULES.items()}
    told, kept = names["ExecutionFailedRule"], names["FailedInputRule"]
    topic = by_eventbridge("NotificationsPolicy")
    assert (topic["Action"], topic["Condition"]) == ("sns:Publish", {"ArnEquals": {"aws:SourceArn": of_rule(told)}})
    queue = by_eventbridge("FailedInputsQueuePolicy")
    assert queue["Action"] == "sqs:SendMessage"
    landed = "${AWS::StackName}-recording-landed"
    sources = queue["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert sorted(map(str, sources)) == sorted(str(of_rule(name)) for name in (landed, told, kept))
