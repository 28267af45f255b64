"""The hot path, from parquet to a feature file, imports NumPy and pyarrow only, and never holds a whole signal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from p300.synth import write_subjects

HOT_PATH = """
import io, json, sys
from p300.features import write_features
from p300.recording_report import report
from p300.readers import open_recording
from p300.signals import extract
features = extract(open_recording(sys.argv[1]))
write_features(features, io.BytesIO(), {})
report(features)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

PEAK = """
import sys
import numpy as np, pyarrow.parquet
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.signals import extract
stream = open_recording(sys.argv[1])
times = int(sys.argv[2])
stim = np.tile(stream.stim, times)
def blocks():
    for _ in range(times):
        yield from stream.blocks()
def peak_kib():  # from exec on, unlike ru_maxrss, which remembers the parent's
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak_kib()
features = extract(RecordingStream(stream.ch_names, stream.sfreq, len(stim), stim, None, blocks, stream.volts_per_unit))
print((peak_kib() - before) * 1024 - 3 * features.X.nbytes)
"""


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_subjects(tmp_path_factory.mktemp("synthetic"), [1], n_repetitions=20, pause_s=6.0)[0]


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_hot_path_imports_numpy_and_pyarrow_only(synthetic: Path) -> None:
    modules = set(json.loads(run(HOT_PATH, synthetic)))
    assert {"numpy", "pyarrow", "p300"} <= modules
    assert modules.isdisjoint({"mne", "scipy", "pandas", "sklearn", "matplotlib"})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_length(synthetic: Path) -> None:
    short, long = (int(run(PEAK, synthetic, times)) for times in (2, 10))
    signal_added = 8 * 168 * 512 * 16 * 4  # bytes of float32 that holding the signal would add, about 88 MB
    assert long - short < signal_added / 3
