"""The state machines' roles may do what their definitions do, and nothing else: compared both ways."""

from tests.support.permissions import ACCOUNT, REGION, Use, arn, compare, resolved
from tests.support.state_machines import BACKFILL, GRAPHS
from tests.support.template import properties

LOG_DELIVERY = {
    "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
    "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
}  # fmt: skip
RESULT_WRITER = ("PutObject", "ListMultipartUploadParts", "AbortMultipartUpload")
TRACING = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"}


def task_uses(state_machine: str, graphs: list[str]) -> set[Use]:
    """Return what the tasks of a state machine do, by the names that the template puts into its definition."""
    substitutions = properties(state_machine)["DefinitionSubstitutions"]

    def target(reference: str) -> str:
        value = substitutions[reference.strip("${}")]
        return resolved(value)

    uses: set[Use] = set()
    for graph in graphs:
        for state in GRAPHS[graph]["States"].values():
            resource, parameters = state.get("Resource", ""), state.get("Parameters", {})
            if resource.endswith(":lambda:invoke"):
                uses.add(("lambda:InvokeFunction", target(parameters["FunctionName"])))
            elif resource.endswith(":sns:publish"):
                uses.add(("sns:Publish", target(parameters["TopicArn"])))
                uses |= {(action, arn("NotificationsKey")) for action in ("kms:GenerateDataKey", "kms:Decrypt")}
            elif resource.endswith(":sqs:sendMessage"):
                uses.add(("sqs:SendMessage", target(parameters["QueueUrl"])))
            elif resource.endswith(":aws-sdk:s3:putObject"):
                folder = parameters["Key.$"].removeprefix("States.Format('").partition("{")[0]
                uses.add(("s3:PutObject", f"{target(parameters['Bucket'])}/{folder}x"))
            else:
                assert state["Type"] in {"Choice", "Pass", "Succeed", "Fail", "Map", "Wait"}, resource
    return uses


def by_the_platform(state_machine: str) -> set[Use]:
    one = properties(state_machine)
    assert one["Logging"]["Level"] == "ALL" and one["Tracing"] == {"Enabled": True}
    return {(action, "*") for action in LOG_DELIVERY | TRACING}


def test_the_pipeline() -> None:
    compare("PipelineRole", task_uses("Pipeline", ["pipeline"]) | by_the_platform("Pipeline"))


def test_the_backfill() -> None:
    every = BACKFILL["States"]["Every recording"]
    assert every["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert every["ItemReader"]["Resource"].endswith("s3:getObject")
    ours = f"{REGION}:{ACCOUNT}"
    uses = {
        ("s3:GetObject", f"{arn('FeaturesBucket')}/backfill/x"),
        *(
            (f"s3:{action}", f"{arn('FeaturesBucket')}/{every['ResultWriter']['Parameters']['Prefix']}/x")
            for action in RESULT_WRITER
        ),
        ("states:StartExecution", f"arn:aws:states:{ours}:stateMachine:p300-backfill"),
        *(
            (f"states:{action}", f"arn:aws:states:{ours}:execution:p300-backfill{separator}x")
            for action in ("DescribeExecution", "StopExecution")
            for separator in ":/"
        ),
    }
    graphs = ["backfill", "each recording"]
    compare("BackfillRole", uses | task_uses("Backfill", graphs) | by_the_platform("Backfill"))
