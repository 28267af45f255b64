"""`p300 deploy` from whatever state a stack is in, interrupted at any point, and what it does not begin."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from p300_cli import deploy, stack

BUCKET = "p300-deployment"


@cache
def s3(region: str) -> Any:
    """One for all tests, because making a client takes longer than most of them; moto answers it."""
    return boto3.client("s3", region_name=region)


class Interrupted(BaseException):
    """Ctrl-C."""


class Account:
    """CloudFormation and Lambda as LocalStack behaves: a change set, once executed, is carried out whoever is watching."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.coming: list[str | None] = []
        self.body = self.code = self.published = self.alias = ""
        self.versions: dict[str, str] = {}
        self.number = 0
        self.change: dict[str, Any] = {}
        self.calls = 0
        self.interrupt_at = -1
        self.region = "us-east-1"
        self.endpoint = "http://localhost:4566"
        self.broken = False

    def __str__(self) -> str:
        return "LocalStack"

    def client(self, service: str) -> Any:
        real = s3(self.region) if service == "s3" else self
        return _Interruptible(real, self)

    exceptions = SimpleNamespace(ClientError=ClientError)

    # -- CloudFormation
    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        if self.coming:
            self.status = self.coming.pop(0)
        if self.status is None:
            raise ClientError(
                {"Error": {"Code": "ValidationError", "Message": "p300 does not exist"}}, "DescribeStacks"
            )
        return {"Stacks": [{"StackStatus": self.status, "StackId": f"stack-{self.number}"}]}

    def create_change_set(self, *, ChangeSetType: str, TemplateURL: str, **_: Any) -> None:
        usable = {None, "REVIEW_IN_PROGRESS"} if ChangeSetType == "CREATE" else stack.SOUND
        assert self.status in usable, f"{ChangeSetType} on {self.status}"
        key = TemplateURL.partition(f"/{BUCKET}/")[2]
        body = s3(self.region).get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        self.change = {"type": ChangeSetType, "body": body}
        if ChangeSetType == "CREATE":
            self.status, self.number, self.body = "REVIEW_IN_PROGRESS", self.number + 1, ""

    def describe_change_set(self, **_: Any) -> dict[str, Any]:
        if self.change["body"] == self.body:
            return {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
        return {"Status": "CREATE_COMPLETE", "Changes": []}

    def execute_change_set(self, **_: Any) -> None:
        verb = self.change["type"]
        if self.broken:
            self.coming = [f"{verb}_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
            return
        self.coming = [f"{verb}_IN_PROGRESS", f"{verb}_COMPLETE"]
        self.body = self.code = self.change["body"]

    def describe_stack_resources(self, **_: Any) -> dict[str, Any]:
        return {"StackResources": []}

    def describe_stack_events(self, **_: Any) -> dict[str, Any]:
        return {"StackEvents": []}

    def delete_stack(self, **_: Any) -> None:
        self.coming = ["DELETE_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_IN_PROGRESS", None]
        self.body = self.code = self.alias = ""
        self.versions = {}

    # -- Lambda
    def describe_stack_resource(self, **_: Any) -> dict[str, Any]:
        return {"StackResourceDetail": {"PhysicalResourceId": "p300-inference"}}

    def publish_version(self, **_: Any) -> dict[str, str]:
        if self.code not in self.versions:
            self.versions[self.code] = str(len(self.versions) + 1)
        return {"Version": self.versions[self.code]}

    def get_alias(self, **_: Any) -> dict[str, str]:
        return {"FunctionVersion": self.alias or "0"}

    def update_alias(self, *, FunctionVersion: str, **_: Any) -> None:
        self.alias = FunctionVersion

    def get_waiter(self, _: str) -> Any:
        return SimpleNamespace(wait=lambda **_: None)

    @property
    def serves(self) -> str:
        """The template whose code the alias points to."""
        return next((code for code, version in self.versions.items() if version == self.alias), "")


class _Interruptible:
    def __init__(self, client: Any, account: Account) -> None:
        self._client, self._account = client, account

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in {"exceptions", "get_waiter"}:
            return found

        def call(**arguments: Any) -> Any:
            self._account.calls += 1
            if self._account.calls == self._account.interrupt_at:
                raise Interrupted
            return found(**arguments)

        return call


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(stack, "POLL_S", 0)
    monkeypatch.setattr(deploy, "_point_at_uploads", lambda *_, **__: None)
    with mock_aws():
        yield Account()


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """template("text"): what the checkout's template is from now on."""

    def change(text: str) -> None:
        content = {"Description": text, "Resources": {"Inference": {"Properties": {"AutoPublishAlias": "live"}}}}
        monkeypatch.setattr(deploy, "read_template", lambda _: json.loads(json.dumps(content)))

    change("one")
    return change


@pytest.mark.usefixtures("template")
def test_the_same_again_changes_nothing(account: Any) -> None:
    assert deploy.deploy(account) == "created"
    assert "one" in account.serves
    assert deploy.deploy(account) == "unchanged"
    assert deploy.deploy(account, {"RetrainEvery": "3"}) == "updated"


def test_an_update_serves_at_once(account: Any, template: Callable[[str], None]) -> None:
    deploy.deploy(account)
    template("two")
    assert deploy.deploy(account) == "updated"
    assert "two" in account.serves


def interrupted_everywhere(account: Account, template: Callable[[str], None]) -> Iterator[str]:
    """Deploy "old", then a new template that is interrupted at the first call, the second, ...; give the new one's name."""
    for at in range(1, 40):
        template("old")
        deploy.deploy(account)  # type: ignore[arg-type]
        template(f"new {at}")
        account.calls, account.interrupt_at = 0, at
        try:
            deploy.deploy(account)  # type: ignore[arg-type]
        except Interrupted:
            account.interrupt_at = -1
            yield f"new {at}"
        else:
            assert at > 10
            return
    pytest.fail("a deployment has fewer calls than that")


def test_interrupted_anywhere_the_next_one_finishes(account: Any, template: Callable[[str], None]) -> None:
    for new in interrupted_everywhere(account, template):
        deploy.deploy(account)
        assert new in account.body
        assert new in account.serves
        assert deploy.deploy(account) == "unchanged"


def test_interrupted_anywhere_the_way_back_is_open(account: Any, template: Callable[[str], None]) -> None:
    for _ in interrupted_everywhere(account, template):
        template("old")
        deploy.deploy(account)
        assert "old" in account.body
        assert "old" in account.serves


def test_an_alias_that_is_behind_is_never_unchanged(account: Any, template: Callable[[str], None]) -> None:
    deploy.deploy(account)
    template("two")
    deploy.deploy(account)
    account.alias = "1"
    assert deploy.deploy(account) == "updated"
    assert "two" in account.serves


@pytest.mark.parametrize(
    "found",
    [
        ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"],
        ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"],
        ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"],
        ["DELETE_IN_PROGRESS", None],
        ["DELETE_IN_PROGRESS", "DELETE_FAILED"],
        ["REVIEW_IN_PROGRESS"],
        ["CREATE_FAILED"],
        ["ROLLBACK_FAILED"],
        ["UPDATE_FAILED"],
        ["UPDATE_ROLLBACK_COMPLETE"],
        ["UPDATE_ROLLBACK_FAILED"],
        ["DELETE_COMPLETE"],
    ],
    ids=lambda statuses: str(statuses[-1]),
)
@pytest.mark.usefixtures("template")
def test_a_stack_in_any_state_is_waited_for_or_replaced(account: Any, found: list[str | None]) -> None:
    account.status, account.coming = found[0], list(found[1:])
    if found == ["DELETE_COMPLETE"]:
        account.status = None
    deploy.deploy(account)
    assert account.status in stack.SOUND
    assert "one" in account.serves


@pytest.mark.usefixtures("template")
def test_a_failed_stack_is_replaced_the_next_time(account: Any) -> None:
    account.broken = True
    with pytest.raises(SystemExit):
        deploy.deploy(account)
    account.broken = False
    assert deploy.deploy(account) == "created"


@pytest.mark.usefixtures("template")
def test_a_stack_of_another_region_is_refused(account: Any, capsys: pytest.CaptureFixture[str]) -> None:
    account.region = "eu-central-1"
    deploy.deploy(account)
    assert deploy.deploy(account) == "unchanged"
    account.region = "us-east-1"
    with pytest.raises(SystemExit):
        deploy.deploy(account)
    assert "AWS_REGION=eu-central-1" in " ".join(capsys.readouterr().err.split())


def test_a_layer_that_cannot_be_built_is_a_message(tmp_path: Path) -> None:
    from p300.errors import P300Error

    builder = deploy.layer_builder()
    with pytest.raises(P300Error, match="unknown"):
        deploy._build(builder, "no such layer")


def test_a_change_that_localstack_cannot_finish_is_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    deleted: list[dict[str, Any]] = []
    client = SimpleNamespace(delete_change_set=lambda **call: deleted.append(call))
    target: Any = SimpleNamespace(client=lambda name: client)
    with pytest.raises(SystemExit):
        stack._refuse_what_breaks(target, _change_set("AWS::ApiGateway::Stage", "True"))
    assert deleted == [{"StackName": "p300", "ChangeSetName": "arn"}]
    assert "Nothing was changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "replacement"), [("AWS::ApiGateway::Stage", "False"), ("AWS::Lambda::LayerVersion", "True")]
)
def test_every_other_change_is(kind: str, replacement: str) -> None:
    stack._refuse_what_breaks(None, _change_set(kind, replacement))  # type: ignore[arg-type]


def _change_set(kind: str, replacement: str) -> dict[str, Any]:
    return {
        "ChangeSetId": "arn",
        "Changes": [{"ResourceChange": {"ResourceType": kind, "Action": "Modify", "Replacement": replacement}}],
    }
