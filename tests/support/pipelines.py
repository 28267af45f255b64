"""A stack in memory on which uploads become executions that have ended."""

import json
from typing import Any

from p300.signals import Parameters

from tests.support.retrying import Stack


class Pipeline(Stack):
    """A stack on which each upload starts an execution, which has ended at once with the outcome told."""

    api_url, api_key = "http://api.invalid", "key"
    preprocessing = Parameters()

    def __init__(self, outcomes: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self._outcomes = outcomes
        self.s3.meta.events.register("provide-client-params.s3.PutObject", self._note)
        self.s3.meta.events.register("after-call.s3.PutObject", self._start)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self._key = params["Key"]

    def _start(self, parsed: dict[str, Any], **_: Any) -> None:
        landed = {"key": self._key, "etag": parsed["ETag"].strip('"')}
        arn = self.steps.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps({"detail": {"object": landed}})
        )["executionArn"]
        self.end(arn, "SUCCEEDED", output=self._outcomes[self._key])
