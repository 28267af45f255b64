"""How the stack on this machine takes thousands of recordings: rate, cost by stage, overhead of the state machine, memory.

    nice .venv/bin/python benchmarks/scale.py 1000        # 5000 for an afternoon; AWS_ENDPOINT_URL for another port

Starts a LocalStack of its own, lands that many short synthetic recordings of as many people at the rate at which they are processed
(some are always waiting), then lets the backfill preprocess all of them anew, and trains on everybody. It prints tables and keeps what
it saw in ``benchmarks/scale.json``. On a machine that does other work as well, the functions' own durations tell more than the rate.
"""

import argparse
import io
import json
import os
import platform
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from p300_cli import backfilling, localstack, servers
from p300_cli import deploy as deployment
from p300_cli.target import LOCAL_ENDPOINT, Target
from p300_cli.terminal import fail, note, out, progress, table

HERE = Path(__file__).parent
WAITING = 24
"""Recordings under way at any time: enough that no function waits for the next."""
WINDOWS = 10
FUNCTIONS = ("ingestion", "preprocessing", "reporting", "scheduling", "training")
REPORT = re.compile(r"^REPORT .*?Duration: ([\d.]+) ms\s+Billed Duration: (\d+) ms.*?Max Memory Used: (\d+) MB", re.S)
CHANNELS, SFREQ, N_REPETITIONS = ("Fz", "Cz", "Pz", "Oz"), 128.0, 6
HISTORIES = 100


def recording(number: int) -> bytes:
    """Return a recording of 72 flashes, about 13 s of four channels: noise with a bump after targets."""
    rng = np.random.default_rng(number)
    onsets = round(SFREQ) + round(0.15 * SFREQ) * np.arange(12 * N_REPETITIONS)
    n_samples = int(onsets[-1] + 2 * SFREQ)
    codes = np.concatenate([rng.permutation(12) + 1 for _ in range(N_REPETITIONS)])
    stim, flash = np.zeros(n_samples, np.int32), np.zeros(n_samples, np.int32)
    stim[onsets], flash[onsets] = np.where(np.isin(codes, (3, 9)), 2, 1), codes
    data = rng.normal(0, 6, (len(CHANNELS), n_samples))
    times = np.arange(round(0.6 * SFREQ)) / SFREQ
    bump = 12 * np.exp(-(((times - 0.3) / 0.06) ** 2))
    for onset in onsets[stim[onsets] == 2]:
        data[:, onset : onset + len(bump)] += bump
    columns = {f"eeg_{name}": row.astype(np.float32) for name, row in zip(CHANNELS, data, strict=True)}
    sink = io.BytesIO()
    pq.write_table(
        pa.table({**columns, "stim": stim, "flash": flash}).replace_schema_metadata({"sfreq": f"{SFREQ:g}"}), sink
    )
    return sink.getvalue()


class Bench:
    """The stack, and what is measured on it."""

    def __init__(self, target: Target) -> None:
        self.target, self.outputs = target, target.outputs
        self.s3, self.steps, self.logs = (target.client(name) for name in ("s3", "stepfunctions", "logs"))
        self.machine = self.outputs["StateMachineArn"]
        started = servers.own_server(target.port)
        if started is None:
            fail("This measures memory: it wants a LocalStack that `p300 up` or this program started.")
        self.emulator = started

    def n_running(self) -> int:
        return len(self.steps.list_executions(stateMachineArn=self.machine, statusFilter="RUNNING")["executions"])

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory of the functions' processes, and of the emulator, in MB."""
        functions = 0
        for process in self.emulator.children(recursive=True):
            try:
                if "awslambdaric" in " ".join(process.cmdline()):
                    functions += process.memory_info().rss
            except psutil.Error:
                continue
        return functions / 1e6, self.emulator.memory_info().rss / 1e6

    def land(self, n: int) -> list[dict[str, float]]:
        """Land recordings as fast as they are processed; return rate and memory by windows."""
        windows: list[dict[str, float]] = []
        size = max(n // WINDOWS, 1)
        began, peak = time.monotonic(), (0.0, 0.0)
        with progress() as display:
            task = display.add_task("recordings", total=n, detail="")
            landed = done = reported = 0
            while done < n:
                running = self.n_running()
                while landed < n and landed - done < WAITING:
                    key = f"subject_{landed + 1:05d}/run_01.parquet"
                    self.s3.put_object(Bucket=self.outputs["LandingBucketName"], Key=key, Body=recording(landed))
                    landed += 1
                waiting = self.s3.list_objects_v2(Bucket=self.outputs["LandingBucketName"])["KeyCount"]
                done = landed - max(running, waiting)
                peak = tuple(map(max, peak, self.memory_mb()))  # type: ignore[assignment]
                if done >= (reported + 1) * size or done == n:
                    reported += 1
                    now = time.monotonic()
                    window = {"recordings": done, "per_second": size / (now - began)}
                    windows.append(window | {"functions_mb": peak[0], "emulator_mb": peak[1]})
                    began, peak = now, (0.0, 0.0)
                display.update(task, completed=done, detail=f"{running} under way")
                time.sleep(1)  # each look is work for LocalStack, more of it with every execution that it holds
        return windows

    def stages(self, since_ms: int) -> dict[str, dict[str, float]]:
        """Return what each function's invocations took, by their REPORT lines."""
        figures = {}
        for function in FUNCTIONS:
            pages = self.logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/p300-{function}", startTime=since_ms, filterPattern="REPORT"
            )
            found = [
                tuple(map(float, match.groups()))
                for page in pages
                for event in page["events"]
                if (match := REPORT.match(event["message"]))
            ]
            if found:
                duration, billed, memory = zip(*found, strict=True)
                figures[function] = {
                    "invocations": len(found),
                    "ms_median": median(duration),
                    "ms_mean": mean(duration),
                    "billed_ms_mean": mean(billed),
                    "largest_mb": max(memory),
                }
        return figures

    def overhead(self) -> dict[str, float]:
        """Return how long the last executions took in all, and how much of that was no task's."""
        listed = self.steps.list_executions(stateMachineArn=self.machine, statusFilter="SUCCEEDED")["executions"]
        total, tasks, transitions = [], [], []
        for entry in listed[-HISTORIES:]:
            events = self.steps.get_execution_history(executionArn=entry["executionArn"], maxResults=1000)["events"]
            started: dict[int, Any] = {}
            spent = 0.0
            for event in events:
                if event["type"] == "TaskStarted":
                    started[event["id"]] = event["timestamp"]
                elif event["type"] == "TaskSucceeded" and started:
                    spent += (event["timestamp"] - started.popitem()[1]).total_seconds()
            total.append((events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds())
            tasks.append(spent)
            transitions.append(sum("stateEnteredEventDetails" in event for event in events))
        return {
            "seconds_median": median(total),
            "in_tasks_median": median(tasks),
            "share_outside_tasks": 1 - sum(tasks) / sum(total),
            "states_entered": median(transitions),
        }

    def train(self) -> dict[str, Any]:
        """Train on everybody; return how that went."""
        began, since = time.monotonic(), time.time_ns() // 1_000_000
        arn = self.steps.start_execution(stateMachineArn=self.machine, input='{"train": {}}')["executionArn"]
        while (end := self.steps.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(1)
        seconds = time.monotonic() - began
        training = json.loads(end.get("output") or "{}").get("training") or {}
        report = self.stages(since).get("training", {})
        return {
            "status": end["status"],
            "error": end.get("cause", "")[:300],
            "seconds": seconds,
            "subjects": len(training.get("subjects", [])),
            "largest_mb": report.get("largest_mb"),
        }


def keep(document: dict[str, Any]) -> None:
    """Write what was seen so far."""
    (HERE / "scale.json").write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=int, nargs="?", default=1000)
    parser.add_argument("--keep", action="store_true", help="leave LocalStack up")
    options = parser.parse_args()
    target = Target(os.environ.get("AWS_ENDPOINT_URL") or LOCAL_ENDPOINT)
    localstack.up(target)
    # Trainings would be measured as well: one, of the fastest model, at the end.
    parameters = {"RetrainEvery": str(10 * options.recordings), "ModelKind": "lda"}
    deployment.deploy(target, parameters)
    bench = Bench(target)
    since_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    windows = bench.land(options.recordings)
    seconds = time.monotonic() - began
    out.print(
        table(
            f"{options.recordings} recordings in {seconds:.0f} s",
            ["recordings done", "a second", "functions, MB", "emulator, MB"],
            [
                [window[name] for name in ("recordings", "per_second", "functions_mb", "emulator_mb")]
                for window in windows
            ],
        )
    )
    stages = bench.stages(since_ms)
    names = ["invocations", "ms_median", "ms_mean", "billed_ms_mean", "largest_mb"]
    rows = [[function, *[figures[name] for name in names]] for function, figures in stages.items()]
    out.print(table("By stage", ["function", *names], rows))
    overhead = bench.overhead()
    out.print(table("Executions", list(overhead), [list(overhead.values())]))
    document: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "recordings": options.recordings,
        "seconds": seconds,
        "windows": windows,
        "stages": stages,
        "overhead": overhead,
    }
    keep(document)  # hours may be in it: what follows may fail
    note("backfill")
    deployment.deploy(target, parameters | {"Preprocessing": '{"h_freq": 15}'})
    began = time.monotonic()
    backfill = backfilling.backfill(target)
    made = backfill.counts["outcomes"].get("features", 0)
    document["backfill"] = {"status": backfill.status, "features_made": made, "seconds": time.monotonic() - began}
    out.print(table("Backfill", list(document["backfill"]), [list(document["backfill"].values())]))
    keep(document)
    note("training")
    document["training"] = bench.train()
    out.print(table("Training on everybody", list(document["training"]), [list(document["training"].values())]))
    keep(document)
    if not options.keep:
        localstack.down(target)


if __name__ == "__main__":
    main()
