"""A webhook for MinIO's PUT notifications that does what EventBridge does: start an execution of the state machine.

An execution is named after the object's sequencer, so a notification that MinIO sends twice starts one execution. If the answer is not
200, MinIO keeps the notification and sends it again.
"""

import hashlib
import json
import os
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

PORT = 8080
MAX_BODY_BYTES = 1 << 20


def events(notification: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return an execution's name and EventBridge event for each object of a MinIO notification."""
    result = []
    for record in notification.get("Records") or []:
        s3, item = record["s3"], record["s3"]["object"]
        key = unquote_plus(item["key"])
        detail: dict[str, Any] = {"key": key, "size": item.get("size", 0), "etag": item.get("eTag", "")}
        if item.get("versionId"):
            detail["version-id"] = item["versionId"]
        event = {
            "version": "0",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "time": record.get("eventTime", ""),
            "detail": {"bucket": {"name": s3["bucket"]["name"]}, "object": detail, "reason": "PutObject"},
        }
        identity = f"{s3['bucket']['name']}/{key}/{item.get('versionId', '')}/{item.get('sequencer', '')}"
        result.append((f"minio-{hashlib.sha256(identity.encode()).hexdigest()[:32]}", event))
    return result


class Bridge(BaseHTTPRequestHandler):
    """The webhook."""

    step_functions: Any
    state_machine_arn: str

    def do_GET(self) -> None:
        """Answer health checks."""
        self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Start an execution for each object."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            found = events(json.loads(self.rfile.read(length) or b"{}"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.log_error("not a notification: %s", error)
            return self._answer(HTTPStatus.BAD_REQUEST)
        for name, event in found:
            try:
                self.step_functions.start_execution(
                    stateMachineArn=self.state_machine_arn, name=name, input=json.dumps(event)
                )
            except self.step_functions.exceptions.ExecutionAlreadyExists:
                continue
        return self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    """Serve until stopped."""
    sys.path.append(str(Path(__file__).parent))
    from deploy import use_checkout  # type: ignore[import-not-found]

    use_checkout()
    from p300_client.target import Target

    target = Target(os.environ["AWS_ENDPOINT_URL"])
    Bridge.step_functions = target.client("stepfunctions")
    Bridge.state_machine_arn = target.outputs["StateMachineArn"]
    ThreadingHTTPServer(("0.0.0.0", PORT), Bridge).serve_forever()  # noqa: S104


if __name__ == "__main__":
    main()
