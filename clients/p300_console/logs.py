"""The log lines of one invocation, or of all invocations of an execution: from CloudWatch Logs, by the execution's name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from p300_console.stack import Stack

MARGIN = timedelta(seconds=2)
"""The services' clocks differ a little, and an invocation's REPORT line comes after its answer."""
MAX_LINES = 2000


@dataclass(frozen=True)
class LogLine:
    """One line as the function wrote it.

    Attributes
    ----------
    level, message : str
        Level and message of a structured line; the platform's own lines have no level.
    fields : dict
        The other fields of a structured line.
    """

    at: datetime
    request: str
    level: str
    message: str
    fields: dict[str, Any]


# Fields that every line has and that need not be shown each time.
_COMMON = {
    "level", "message", "timestamp", "service", "location", "function_name", "function_memory_size", "function_arn",
    "function_request_id", "correlation_id", "cold_start", "xray_trace_id",
}  # fmt: skip


def lines(stack: Stack, function: str, execution: str, since: datetime, until: datetime | None = None) -> list[LogLine]:
    """Return the lines that a function wrote for an execution, oldest first.

    Parameters
    ----------
    stack : Stack
        Where it runs.
    function : str
        Name of the Lambda function.
    execution : str
        Name of the execution: the correlation id of every line.
    since, until : datetime
        When the invocation ran.
    """
    start = since - MARGIN
    end = (until or datetime.now(UTC)) + MARGIN
    parsed = [_parse(event) for event in _events(stack, function, start, end)]
    requests = {line.request for line, correlation in parsed if correlation == execution}
    # The platform's START, END and REPORT lines do not name the execution, but they name the request.
    return sorted((line for line, _ in parsed if line.request in requests), key=lambda line: line.at)[-MAX_LINES:]


def _events(stack: Stack, function: str, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    client = stack.client("logs")
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{function}",
        startTime=int(start.timestamp() * 1000),
        endTime=int(end.timestamp() * 1000),
        PaginationConfig={"MaxItems": 10 * MAX_LINES},
    )
    try:
        for page in pages:
            yield from page["events"]
    except client.exceptions.ResourceNotFoundException:
        return  # a function that has never run has no log group


def _parse(event: dict[str, Any]) -> tuple[LogLine, str]:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    text = event["message"].rstrip()
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        request = text.partition("RequestId: ")[2].split(None, 1)
        return LogLine(at, request[0] if request else "", "", text, {}), ""
    if "message" not in fields:  # metrics in CloudWatch's embedded format, and other functions' JSON
        return LogLine(at, str(fields.get("function_request_id", "")), "", text, {}), ""
    line = LogLine(
        at,
        str(fields.get("function_request_id", "")),
        str(fields.get("level", "")),
        str(fields["message"]),
        {name: value for name, value in fields.items() if name not in _COMMON},
    )
    return line, str(fields.get("correlation_id", ""))
