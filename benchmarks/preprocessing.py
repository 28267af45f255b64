"""Preprocessing against the plain pipeline, side by side: one recording warm and fresh, an hour, and the files."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as a function of one vCPU; before NumPy is imported

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import plain
from p300.features import read_features, write_features
from p300.readers import open_recording
from p300.signals import Parameters, extract
from p300.synth import write_subjects
from real_data import data_set
from sizes import size
from training import row

ROUNDS = size(11, short=2)
FRESH_ROUNDS = size(5, short=1)
SEVEN_MINUTES: dict[str, Any] = {"n_repetitions": 70, "pause_s": 3.5}
PAUSE_S_OF_AN_HOUR = 48.9  # 70 repetitions of 12 flashes and this pause fill sixty minutes

INTERPRETER = "import numpy, pyarrow.parquet"
PEAK_KIB = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
FRESH_OURS = """
import sys
from p300.features import write_features
from p300.readers import open_recording
from p300.signals import Parameters, extract
write_features(extract(open_recording(sys.argv[1]), Parameters(precision=sys.argv[3])), sys.argv[2], {})
"""
FRESH_PLAIN = """
import sys
from pathlib import Path
import plain
plain.preprocess(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def ours(source: Path, target: Path, precision: Literal["float32", "float64"]) -> None:
    write_features(extract(open_recording(source), Parameters(precision=precision)), target, {})


def side_by_side(candidates: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Time each in turn, so that another process's load falls on all alike.

    Returns medians of elapsed and of processor milliseconds; the latter say more on a machine that is busy otherwise.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for candidate in candidates.values():
        candidate()
    for _ in range(rounds):
        for name, candidate in candidates.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            candidate()
            times[name].append(((time.perf_counter() - start) * 1e3, (time.process_time() - start_cpu) * 1e3))
    return {
        name: (statistics.median(wall for wall, _ in values), statistics.median(cpu for _, cpu in values))
        for name, values in times.items()
    }


def ratios(medians: dict[str, tuple[float, float]], slow: str, *fast: str) -> dict[str, float]:
    """Spread medians out by name, with how many times faster the fast are than the slow, elapsed and by processor."""
    named = {f"{name}_ms": round(wall, 2) for name, (wall, _) in medians.items()}
    for name in fast:
        named[f"{name}_ratio"] = round(medians[slow][0] / medians[name][0], 1)
        named[f"{name}_cpu_ratio"] = round(medians[slow][1] / medians[name][1], 1)
    return named


def fresh(code: str, *arguments: object) -> tuple[float, float]:
    """Run code in a new process. Return its seconds and its peak memory in MiB, as Linux counts it from exec on."""
    here = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}
    start = time.perf_counter()
    command = [sys.executable, "-c", code + PEAK_KIB, *map(str, arguments)]
    finished = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(finished.stdout.split()[-1]) / 1024


def warm_ratios(source: Path, folder: Path) -> dict[str, float]:
    medians = side_by_side(
        {
            "plain": lambda: plain.preprocess(source, folder / "plain.parquet"),
            "float64": lambda: ours(source, folder / "ours.parquet", "float64"),
            "float32": lambda: ours(source, folder / "ours.parquet", "float32"),
        }
    )
    return ratios(medians, "plain", "float64", "float32")


def fresh_ratios(source: Path, folder: Path) -> dict[str, float]:
    runs = [
        (
            fresh(FRESH_PLAIN, source, folder / "plain.parquet"),
            fresh(FRESH_OURS, source, folder / "ours.parquet", "float32"),
        )
        for _ in range(FRESH_ROUNDS)
    ]
    plain_s, plain_mib, ours_s, ours_mib = (
        statistics.median(run[who][what] for run in runs) for who in (0, 1) for what in (0, 1)
    )
    return {
        "plain_s": round(plain_s, 3),
        "ours_s": round(ours_s, 3),
        "time_ratio": round(plain_s / ours_s, 1),
        "plain_mib": round(plain_mib),
        "ours_mib": round(ours_mib),
        "memory_ratio": round(plain_mib / ours_mib, 2),
    }


def an_hour(folder: Path) -> dict[str, float]:
    """Peak memory above an interpreter with NumPy and pyarrow, and time per recorded minute at 15 and 60 minutes."""
    quarter, hour = (
        write_subjects(folder / f"{n}", [1], n_repetitions=n, pause_s=PAUSE_S_OF_AN_HOUR)[0] for n in (18, 70)
    )
    bare_mib = statistics.median(fresh(INTERPRETER)[1] for _ in range(FRESH_ROUNDS))
    hour_mib = max(fresh(FRESH_OURS, hour, folder / "ours.parquet", kind)[1] for kind in ("float32", "float64"))
    medians = side_by_side(
        {
            "quarter": lambda: ours(quarter, folder / "ours.parquet", "float32"),
            "hour": lambda: ours(hour, folder / "ours.parquet", "float32"),
        },
        rounds=size(3, short=1),
    )
    minutes = {name: open_recording(path).n_samples / 512 / 60 for name, path in (("quarter", quarter), ("hour", hour))}
    return {
        "minutes": round(minutes["hour"], 1),
        "mib_above_interpreter": round(hour_mib - bare_mib),
        "cpu_ms_per_minute_of_quarter": round(medians["quarter"][1] / minutes["quarter"], 2),
        "cpu_ms_per_minute_of_hour": round(medians["hour"][1] / minutes["hour"], 2),
    }


def feature_files(source: Path, folder: Path) -> dict[str, float]:
    features = extract(open_recording(source))
    frame, column = folder / "frame.parquet", folder / "column.parquet"
    medians = side_by_side(
        {
            "plain_write": lambda: plain.write(features.X, features.label, frame),
            "write": lambda: write_features(features, column, {}),
            "plain_read": lambda: plain.read(frame),
            "read": lambda: read_features(column).epochs[-1],
        }
    )
    return ratios(medians, "plain_write", "write") | ratios(medians, "plain_read", "read")


DATA_SETS = ("bnci_2015_003", "brain_invaders_2012")


def run() -> dict[str, dict[str, float]]:
    """Measure everything, with the first recording of each real data set where `P300_DATA` is set."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_subjects(folder, [1], **SEVEN_MINUTES)[0]
        results = {"warm, 7 min like bi2014a": warm_ratios(source, folder)}
        for folder_of_set in filter(None, map(data_set, DATA_SETS)):
            recording = min(folder_of_set.rglob("*.parquet"))
            results[f"warm, {folder_of_set.name}"] = warm_ratios(recording, folder)
        results["fresh process, 7 min"] = fresh_ratios(source, folder)
        results["feature files, 7 min"] = feature_files(source, folder)
        results["an hour"] = an_hour(folder)
    return results


def rows(results: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return a row for each number that preprocessing promises."""
    found = []
    for name, measured in results.items():
        if name.startswith("warm"):
            found.append(row(f"{name}, float64: times faster", measured["float64_ratio"], at_least=8))
            found.append(row(f"{name}, float64: times less processor time", measured["float64_cpu_ratio"], at_least=8))
            found.append(row(f"{name}, float32: times faster", measured["float32_ratio"], at_least=11))
            found.append(row(f"{name}, float32: times less processor time", measured["float32_cpu_ratio"], at_least=11))
    fresh, hour, files = (results[name] for name in ("fresh process, 7 min", "an hour", "feature files, 7 min"))
    found += [
        row("fresh process, 7 min: times faster", fresh["time_ratio"], at_least=7),
        row("fresh process, 7 min: times less peak memory", fresh["memory_ratio"], at_least=2),
        row("an hour: peak MiB above the interpreter", hour["mib_above_interpreter"], at_most=400),
        row(
            "an hour: processor ms a minute, against a quarter of it",
            hour["cpu_ms_per_minute_of_hour"] / hour["cpu_ms_per_minute_of_quarter"],
            at_most=1.2,
        ),
        row("feature file written: times faster", files["write_ratio"], at_least=10),
        row("feature file read: times faster", files["read_ratio"], at_least=10),
    ]
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
