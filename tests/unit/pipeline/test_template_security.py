"""What SAM makes of the template: nothing in the clear, nobody may do more than they do, and CloudFormation (moto's) builds it."""

import io
import json
import re
import subprocess
import sys
import warnings
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from p300_cli.deploy import read_template
from p300_client.paths import ENVIRONMENTS, PROJECT

from tests.support.template import RESOURCES, TEMPLATE, listed, of_type, properties

BUCKETS = [name for name, one in RESOURCES.items() if one["Type"] == "AWS::S3::Bucket"]
# APIs that know no resources: X-Ray, and the delivery of logs.
RESOURCELESS = re.compile(
    r"xray:(Put(TraceSegments|TelemetryRecords)|GetSampling(Rules|Targets))|logs:(\w+LogDeliver(y|ies)|\w+ResourcePolic(y|ies)|DescribeLogGroups)"
)
# Run by SAM CLI's own environment: its packages and ours do not fit together.
TRANSFORM = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
template = json.load(sys.stdin)
defaults = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
json.dump(Translator({}, Parser()).translate(template, defaults), sys.stdout)
"""


@pytest.fixture(scope="module")
def transformed() -> dict[str, Any]:
    """The template as SAM hands it to CloudFormation."""
    python = ENVIRONMENTS / "sam" / "bin" / "python"
    if not python.exists():
        pytest.skip("SAM CLI's environment is missing: `make lint` sets it up")
    template = read_template(PROJECT / "template.yaml")
    for resource in template["Resources"].values():
        for path in {"CodeUri", "ContentUri", "DefinitionUri"} & set(resource.get("Properties", {})):
            resource["Properties"][path] = "s3://bucket/key"
    done = subprocess.run(
        [str(python), "-c", TRANSFORM],
        input=json.dumps(template),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_refuse_what_is_not_sent_over_tls(bucket: str) -> None:
    (name,) = [name for name, one in of_type("AWS::S3::BucketPolicy").items() if one["Bucket"] == {"Ref": bucket}]
    (statement,) = properties(name)["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_messages_are_encrypted() -> None:
    assert properties("FailedInputsQueue")["SqsManagedSseEnabled"] is True
    assert properties("NotificationsTopic")["KmsMasterKeyId"] == {"Ref": "NotificationsKey"}
    assert properties("NotificationsKey")["EnableKeyRotation"] is True


def test_who_tells_the_topic_may_use_its_key() -> None:
    """A publisher without the key's leave fails without a word on AWS; no emulator shows it."""
    statements = properties("NotificationsKey")["KeyPolicy"]["Statement"]
    services = {
        one["Principal"]["Service"]: (set(listed(one["Action"])), one.get("Condition"))
        for one in statements
        if "Service" in one["Principal"]
    }
    here = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    use = {"kms:GenerateDataKey*", "kms:Decrypt"}
    # EventBridge tells KMS neither rule nor account: the topic's policy names the rule.
    assert services == {"cloudwatch.amazonaws.com": (use, here), "events.amazonaws.com": (use, None)}
    allowed = {
        action
        for policy in properties("PipelineRole")["Policies"]
        for one in policy["PolicyDocument"]["Statement"]
        if one["Resource"] == {"Fn::GetAtt": ["NotificationsKey", "Arn"]}
        for action in listed(one["Action"])
    }
    assert allowed == {"kms:GenerateDataKey", "kms:Decrypt"}


def test_only_this_accounts_alarms_and_the_rule_for_failures_get_in_by_the_topics_policy() -> None:
    statements = properties("NotificationsPolicy")["PolicyDocument"]["Statement"]
    allowed = {one["Principal"]["Service"]: one["Condition"] for one in statements if one["Effect"] == "Allow"}
    rule = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-execution-failed"
    assert allowed == {
        "cloudwatch.amazonaws.com": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        "events.amazonaws.com": {"ArnEquals": {"aws:SourceArn": {"Fn::Sub": rule}}},
    }
    (deny,) = [one for one in statements if one["Effect"] == "Deny"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_traces_hold_no_answers() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_TRACER_CAPTURE_RESPONSE"] == "false"


def test_no_role_that_sam_adds_may_do_everything(transformed: dict[str, Any]) -> None:
    roles = of_type("AWS::IAM::Role", transformed["Resources"])
    assert len(roles) > len(of_type("AWS::IAM::Role"))
    for name, role in roles.items():
        assert not role.get("ManagedPolicyArns"), name
        statements = [one for policy in role["Policies"] for one in listed(policy["PolicyDocument"]["Statement"])]
        for statement in [one["Fn::If"][1] if "Fn::If" in one else one for one in statements]:
            actions = listed(statement["Action"])
            assert not any("*" in action for action in actions), (name, statement)
            if "*" in listed(statement["Resource"]):
                assert all(RESOURCELESS.fullmatch(action) for action in actions), (name, statement)


def test_functions_are_invoked_by_the_api_alone(transformed: dict[str, Any]) -> None:
    permissions = of_type("AWS::Lambda::Permission", transformed["Resources"])
    assert {one["FunctionName"]["Ref"] for one in permissions.values()} == {"InferenceFunctionAliaslive"}
    for name, one in permissions.items():
        assert one["Principal"] == "apigateway.amazonaws.com"
        assert "${__ApiId__}/${__Stage__}" in one["SourceArn"]["Fn::Sub"][0], name


def test_every_route_wants_the_key(transformed: dict[str, Any]) -> None:
    (api,) = of_type("AWS::ApiGateway::RestApi", transformed["Resources"]).values()
    methods = {f"{verb} {path}": method for path, one in api["Body"]["paths"].items() for verb, method in one.items()}
    assert {"post /predict", "get /health", "get /models"} <= set(methods)
    # A browser's preflight cannot hold it.
    with_key = {name for name, method in methods.items() if {"api_key": []} in method.get("security", [])}
    assert {name for name in methods if name not in with_key} == {
        name for name in methods if name.startswith("options ")
    }
    assert {name.partition(" ")[2] for name in set(methods) - with_key} == {"/predict", "/decode", "/health", "/models"}


# What moto's CloudFormation does not know, and REST APIs from a body, which it makes without methods and then refuses to deploy.
UNKNOWN = (
    "AWS::CloudWatch::",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::ApiGateway::",
    "AWS::Lambda::Permission",
)


@mock_aws
def test_cloudformation_builds_it(transformed: dict[str, Any]) -> None:
    session = boto3.Session("test", "test", region_name="us-east-1")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=code.getvalue())
    resources = {name: one for name, one in transformed["Resources"].items() if not one["Type"].startswith(UNKNOWN)}
    known = {name: one for name, one in transformed["Outputs"].items() if not name.startswith("Api")}
    body = json.dumps({**transformed, "Resources": resources, "Outputs": known})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # moto names what it leaves out
        cloudformation = session.client("cloudformation")
        cloudformation.create_stack(StackName="p300", TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    stack = cloudformation.describe_stacks(StackName="p300")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} - {"bucket"}
    assert buckets == {"p300-landing-zone", "p300-raw-data", "p300-processed-features", "p300-models"}
    assert {value for name, value in outputs.items() if name.endswith("BucketName")} == buckets
    roles = session.client("iam").list_roles()["Roles"]
    assert len(roles) == len(of_type("AWS::IAM::Role", resources))
    assert session.client("sqs").list_queues()["QueueUrls"] == [outputs["FailedInputsQueueUrl"]]
    assert outputs["FailedInputsQueueUrl"].endswith("/p300-failed-inputs")


# The call that makes a resource of each type: what whoever deploys must be allowed.
CREATED_BY = {
    "AWS::ApiGateway::Account": "apigateway:PATCH",
    "AWS::ApiGateway::ApiKey": "apigateway:POST",
    "AWS::ApiGateway::Deployment": "apigateway:POST",
    "AWS::ApiGateway::RestApi": "apigateway:POST",
    "AWS::ApiGateway::Stage": "apigateway:POST",
    "AWS::ApiGateway::UsagePlan": "apigateway:POST",
    "AWS::ApiGateway::UsagePlanKey": "apigateway:POST",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::IAM::ManagedPolicy": "iam:CreatePolicy",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::KMS::Key": "kms:CreateKey",
    "AWS::Lambda::Alias": "lambda:CreateAlias",
    "AWS::Lambda::EventInvokeConfig": "lambda:PutFunctionEventInvokeConfig",
    "AWS::Lambda::Function": "lambda:CreateFunction",
    "AWS::Lambda::LayerVersion": "lambda:PublishLayerVersion",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Lambda::Version": "lambda:PublishVersion",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::Logs::MetricFilter": "logs:PutMetricFilter",
    "AWS::S3::Bucket": "s3:CreateBucket",
    "AWS::S3::BucketPolicy": "s3:PutBucketPolicy",
    "AWS::SNS::Subscription": "sns:Subscribe",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes",
    "AWS::StepFunctions::StateMachine": "states:CreateStateMachine",
}
# Their calls know no resources, or (a key) none yet.
UNNAMED = {
    "cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate", "cloudwatch:DescribeAlarms",
    "kms:CreateKey", "logs:DescribeLogGroups", "logs:DescribeMetricFilters",
}  # fmt: skip
MAX_MANAGED_POLICY = 6144
"""Characters of a managed policy, white space not counted (AWS's quota)."""


@pytest.fixture(scope="module")
def deployer() -> dict[str, Any]:
    return json.loads((PROJECT / "docs" / "deployer-policy.json").read_text())


def test_the_deployers_policy_covers_every_type(transformed: dict[str, Any], deployer: dict[str, Any]) -> None:
    allowed = [action for statement in deployer["Statement"] for action in statement["Action"]]
    for kind in {one["Type"] for one in transformed["Resources"].values()}:
        assert any(fnmatch(CREATED_BY[kind], action) for action in allowed), kind


def test_the_deployer_may_act_on_this_stack_alone(deployer: dict[str, Any]) -> None:
    for statement in deployer["Statement"]:
        assert all(re.fullmatch(r"[a-z0-9]+:([A-Z]\w+|\w+\*)", action) for action in statement["Action"])
        if "*" in listed(statement["Resource"]):
            assert set(statement["Action"]) <= UNNAMED, statement["Sid"]
    writes_to_roles = [one for one in deployer["Statement"] if "iam:CreateRole" in one["Action"]]
    assert [list(one["Condition"]) for one in writes_to_roles] == [["ForAnyValue:StringEquals"]]


def test_the_deployers_policy_is_one_that_iam_takes(deployer: dict[str, Any], tmp_path: Path) -> None:
    """cfn-lint knows every service's actions."""
    filled = json.dumps(deployer, separators=(",", ":")).replace("REGION", "ap-southeast-2")
    filled = filled.replace("ACCOUNT", "123456789012").replace("PREFIX", "p" * 36)
    assert len(filled) <= MAX_MANAGED_POLICY
    policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": json.loads(filled)}}
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Policy": policy}}))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
