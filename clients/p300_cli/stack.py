"""Bring the CloudFormation stack from whatever state it is in to the one that a template describes."""

import time
from collections.abc import Mapping
from typing import Any

from p300_client.target import STACK, Target

from p300_cli.terminal import fail, note, progress

POLL_S = 0.25
TIMEOUT_S = 300
SOUND = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_ABSENT = {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}  # a change set at most, which nobody executed


def settled(target: Target) -> dict[str, Any] | None:
    """Return the stack, or None; first wait for what is still going on, and remove a stack that nothing can be done with.

    A deployment whose command was interrupted goes on in LocalStack. One that failed is not rolled back there: LocalStack takes the failed
    template for what is deployed, and the next update would leave out whatever this one never got to.
    """
    deadline, told = time.monotonic() + TIMEOUT_S, ""
    while (stack := find(target)) and (status := stack["StackStatus"]).endswith("_IN_PROGRESS"):
        if status != told:
            note(f"stack {STACK} is {status}: waiting until that has ended")
            told = status
        _wait(deadline, "stack")
    if stack is None or stack["StackStatus"] in SOUND:
        return stack
    note(f"stack {STACK} is {stack['StackStatus']}: replacing it; the buckets keep what is in them")
    target.client("cloudformation").delete_stack(StackName=STACK)
    deadline = time.monotonic() + TIMEOUT_S
    while find(target):  # whatever its status is meanwhile: LocalStack goes on after it has said DELETE_FAILED
        _wait(deadline, "removal of the stack")
    return None


def apply(target: Target, template_url: str, parameters: Mapping[str, str]) -> None:
    """Create the stack, or update a `settled` one, and wait for the end; ends the command with the reasons where that fails.

    A stack that is as the template describes it already is left alone.
    """
    cloudformation = target.client("cloudformation")
    name = f"deploy-{time.time_ns()}"
    cloudformation.create_change_set(
        StackName=STACK,
        ChangeSetName=name,
        ChangeSetType="UPDATE" if find(target) else "CREATE",
        TemplateURL=template_url,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        change_set = cloudformation.describe_change_set(StackName=STACK, ChangeSetName=name)
        if change_set["Status"] == "CREATE_COMPLETE":
            break
        if change_set["Status"] == "FAILED":
            reason = change_set.get("StatusReason", "no reason given")
            if "didn't contain changes" in reason:
                return
            fail(f"CloudFormation refuses the template: {reason}")
        _wait(deadline, "change set")
    _refuse_what_breaks(target, change_set)
    cloudformation.execute_change_set(StackName=STACK, ChangeSetName=name)
    _follow(target, deadline)


def find(target: Target) -> dict[str, Any] | None:
    """Return the stack's description; None where there is none, or nothing but a change set of it."""
    cloudformation = target.client("cloudformation")
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return None if stack["StackStatus"] in _ABSENT else stack


def _refuse_what_breaks(target: Target, change_set: Mapping[str, Any]) -> None:
    """Stop before a change that LocalStack begins and cannot finish: its rollback takes the API's stage away and the stack with it."""
    for change in change_set["Changes"]:
        resource = change["ResourceChange"]
        if resource["ResourceType"] == "AWS::ApiGateway::Stage" and resource.get("Replacement") == "True":
            target.client("cloudformation").delete_change_set(StackName=STACK, ChangeSetName=change_set["ChangeSetId"])
            fail(
                "The API's routes changed, and LocalStack cannot change the routes of an API that is deployed. Nothing was changed. "
                "Save what you need from its buckets, then start again: p300 down, p300 up."
            )


def _follow(target: Target, deadline: float) -> None:
    cloudformation = target.client("cloudformation")
    with progress() as display:
        task = display.add_task("stack", total=None, detail="")
        while True:
            status = (find(target) or {}).get("StackStatus", "gone")
            if status == "gone":
                break
            resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
            done = sum(resource["ResourceStatus"].endswith("_COMPLETE") for resource in resources)
            display.update(task, completed=done, total=max(len(resources), 1), detail=status)
            if not status.endswith("_IN_PROGRESS"):
                break
            _wait(deadline, "stack")
    if status not in SOUND:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        reasons = "\n".join(
            f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed
        )
        fail(f"The stack ended as {status}:\n{reasons}")


def _wait(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        fail(f"The {what} was not ready after {TIMEOUT_S} s. Start over: p300 down, then p300 up.")
    time.sleep(POLL_S)
