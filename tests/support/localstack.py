"""A real LocalStack of the suite's own: the command on it, its stack, and a console that shows it."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from p300_client import watching
from p300_client.api import Api
from p300_client.target import Target

from tests.support.paths import P300, PROJECT

PORT = int(os.environ.get("P300_TEST_PORT", "4576"))
"""Two checkouts can test side by side, each on a port of its own."""
ENDPOINT = f"http://127.0.0.1:{PORT}"


def run_p300(*arguments: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, against the suite's LocalStack."""
    done = subprocess.run(
        [str(P300), *map(str, arguments)],
        env={**os.environ, "AWS_ENDPOINT_URL": ENDPOINT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"p300 {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def shell_blocks(text: str) -> list[str]:
    """Return the shell commands of a Markdown text."""
    return [part.partition("```")[0] for part in text.split("```sh\n")[1:]]


def run_shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a document's commands as they stand there, with `p300` and an AWS command line on the path; stop at the first that fails."""
    path = os.pathsep.join([str(P300.parent), str(PROJECT / ".envs" / "localstack" / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "AWS_ENDPOINT_URL": ENDPOINT, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@contextmanager
def console() -> Iterator[str]:
    """Run `p300 console` against the suite's LocalStack; give the address that opens it."""
    process = subprocess.Popen(
        [str(P300), "console", "--port", "0", "--no-open"],
        env={**os.environ, "AWS_ENDPOINT_URL": ENDPOINT},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) in {0, 130, -signal.SIGINT}


def enter(address: str) -> tuple[str, str]:
    """Open the console; return its address without the token, which is used up, and the cookie that lets in from now on."""
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310
        return address.partition("/?")[0], answer.headers["Set-Cookie"].partition(";")[0]


def wait_for[Seen](look: Callable[[], Seen | None], what: str, timeout_s: float = 120) -> Seen:
    """Return what `look` sees as soon as it sees something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.2)  # the pause between two looks, not a wait for something to be over
    pytest.fail(f"{what}: not seen in {timeout_s} s")


def failures(executions: dict[str, watching.Execution]) -> dict[str, str]:
    """Return what came of the executions that did not succeed, so that a test that fails says why."""
    return {key: one.outcome for key, one in executions.items() if one.status != "SUCCEEDED"}


class Stack:
    """The suite's stack: land, follow, look."""

    def __init__(self) -> None:
        self.target = Target(ENDPOINT)
        self.s3 = self.target.client("s3")
        self.outputs = self.target.outputs
        self.landing = self.outputs["LandingBucketName"]
        self.raw = self.outputs["RawBucketName"]
        self.features = self.outputs["FeaturesBucketName"]
        self.models = self.outputs["ModelsBucketName"]
        self.api = Api(self.target)

    def land(self, *uploads: tuple[str, bytes]) -> dict[str, watching.Execution]:
        """Put objects into the landing zone and return the execution of each when it has ended."""
        watcher = watching.Watcher(self.target, datetime.now(UTC).replace(microsecond=0))
        etags = {
            self.s3.put_object(Bucket=self.landing, Key=key, Body=body)["ETag"].strip('"'): key for key, body in uploads
        }

        def look() -> dict[str, watching.Execution] | None:
            watcher.refresh()
            ended = {
                etags[execution.etag]: execution
                for execution in watcher.executions.values()
                if execution.ended and etags.get(execution.etag) == execution.source
            }
            return ended if len(ended) == len(uploads) else None

        return wait_for(look, f"executions of {[key for key, _ in uploads]}")

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def wait_for_reports(self, prefix: str = "") -> None:
        """Wait until all features have a report: executions end before theirs is drawn, and drawing it adds to report.json."""

        def all_drawn() -> bool | None:
            names = [key.rpartition("/") for key in self.keys(self.features, prefix)]
            with_features, with_report = (
                {folder for folder, _, name in names if name == wanted}
                for wanted in ("features.parquet", "report.html")
            )
            return with_features == with_report or None

        wait_for(all_drawn, "a report of every recording")

    def empty(self) -> None:
        """Delete everything, as if nothing had ever landed."""
        for bucket in (self.landing, self.raw, self.features, self.models):
            for key in self.keys(bucket):
                self.s3.delete_object(Bucket=bucket, Key=key)

    def forget(self, prefix: str) -> None:
        """Take recordings away, and what was made of them, as if they had not landed: trainings count what there is."""
        counted = [key for key in self.keys(self.models, "trainings/new") if key.split("/", 2)[2].startswith(prefix)]
        for bucket, keys in (
            (self.raw, self.keys(self.raw, prefix)),
            (self.features, self.keys(self.features, prefix)),
            (self.models, counted),
        ):
            for key in keys:
                self.s3.delete_object(Bucket=bucket, Key=key)

    def execute(self, request: dict[str, Any]) -> watching.Execution:
        """Ask for a training and return the execution when it has ended."""
        client = self.target.client("stepfunctions")
        watcher = watching.Watcher(self.target, datetime.now(UTC).replace(microsecond=0))
        arn = client.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps({"train": request})
        )["executionArn"]

        def look() -> watching.Execution | None:
            watcher.refresh()
            execution = watcher.executions.get(arn)
            return execution if execution and execution.ended else None

        return wait_for(look, f"training {request}")


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Start LocalStack with a stack that has nothing in it; it is gone afterwards."""
    run_p300("down")
    run_p300("up")
    yield Stack()
    run_p300("down")


def get(address: str, cookie: str = "") -> tuple[int, str, Message]:
    """Ask for a page of the console; return its status, text and headers."""
    request = urllib.request.Request(address, headers={"Cookie": cookie} if cookie else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers
