"""CloudFormation stacks in a real LocalStack: the faults that the plugin repairs."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localstack_server import LocalStack
from support import FAST, ROLE, invoke

SAM_TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      AutoPublishAlias: live
      InlineCode: "def handler(event, context): return context.invoked_function_arn"
      Events:
        Get: {Type: Api, Properties: {Path: /x, Method: get}}
  UsesWhatSamGenerates:
    Type: AWS::SSM::Parameter
    Properties:
      Type: String
      Value: !Join [" ", [!Ref Function.Alias, !Ref ServerlessRestApi]]
Outputs:
  Parameter: {Value: !GetAtt UsesWhatSamGenerates.Value}
"""


def test_resources_may_refer_to_resources_that_sam_generates(localstack: LocalStack) -> None:
    cloudformation = localstack.client("cloudformation")
    change = {"StackName": "sam", "ChangeSetName": "first"}
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    cloudformation.create_change_set(
        **change, ChangeSetType="CREATE", TemplateBody=SAM_TEMPLATE, Capabilities=capabilities
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**change, WaiterConfig=FAST)
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="sam", WaiterConfig=FAST)
    outputs = cloudformation.describe_stacks(StackName="sam")["Stacks"][0]["Outputs"]
    alias, api = outputs[0]["OutputValue"].split()
    assert re.fullmatch(r"arn:aws:lambda:us-east-1:000000000000:function:sam-Function-\w+:live", alias)
    assert localstack.client("apigateway").get_rest_api(restApiId=api)["name"].startswith("sam")
    assert invoke(localstack.client("lambda"), alias)[0] == alias
    cloudformation.delete_stack(StackName="sam")


def test_references_to_nothing_are_still_refused(localstack: LocalStack) -> None:
    template = SAM_TEMPLATE.replace("!Ref Function.Alias", "!Ref Nowhere")
    with pytest.raises(ClientError, match="Unresolved resource dependencies \\[Nowhere\\]"):
        localstack.client("cloudformation").create_change_set(
            StackName="lost", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=template
        )


def test_a_stack_whose_update_failed_can_be_deleted_and_created_again(localstack: LocalStack) -> None:
    cloudformation = localstack.client("cloudformation")
    names = {"Kept": "/kept", "Named": {"Fn::Sub": "${Kept}/after"}}
    kept = {key: {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}} for key, name in names.items()}
    code = {"S3Bucket": "missing", "S3Key": "missing"}
    function = {"Handler": "app.handler", "Runtime": "python3.13", "Role": ROLE, "Code": code}
    invalid = {"Invalid": {"Type": "AWS::Lambda::Function", "Properties": function}}

    def stack_status() -> str:
        return str(cloudformation.describe_stacks(StackName="failing")["Stacks"][0]["StackStatus"])

    def change(resources: dict[str, Any], kind: str, status: str) -> None:
        change = {"StackName": "failing", "ChangeSetName": f"change-{len(changes)}"}
        changes.append(change)
        cloudformation.create_change_set(
            **change, ChangeSetType=kind, TemplateBody=json.dumps({"Resources": resources})
        )
        cloudformation.get_waiter("change_set_create_complete").wait(**change, WaiterConfig=FAST)
        cloudformation.execute_change_set(**change)
        while (found := stack_status()).endswith("_IN_PROGRESS"):
            pass
        assert found == status

    changes: list[dict[str, str]] = []
    change(kept, "CREATE", "CREATE_COMPLETE")
    change(invalid | kept, "UPDATE", "ROLLBACK_COMPLETE")
    cloudformation.delete_stack(StackName="failing")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="failing", WaiterConfig=FAST)
    assert not localstack.client("logs").describe_log_groups(logGroupNamePrefix="/kept")["logGroups"]
    change(kept, "CREATE", "CREATE_COMPLETE")
    cloudformation.delete_stack(StackName="failing")
