"""What `p300 deploy` does not begin."""

from types import SimpleNamespace
from typing import Any

import pytest
from p300_cli import stack


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
