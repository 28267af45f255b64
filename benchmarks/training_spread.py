"""A training of the default kind, spread over functions: how long the longest takes, how much memory, and processor time in all.

``python benchmarks/training_spread.py [SUBJECTS [EPOCHS]]`` runs each item of the training, one after another, in a process of its own,
with the buckets in a folder: what S3 and the state machine take is not counted. Features are made up, by default of 64 subjects with 781
epochs of 16 channels each. On a machine that does other work, processor time tells more than time.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from p300_pipeline.making.model import Downloaded
from p300_pipeline.steps.training.spread import Plan, Spread, SpreadTraining
from p300_pipeline.storage import NotFoundError
from training import N_CHANNELS, N_EPOCHS, Subjects, _peak_mb

SPREAD = Spread(from_subjects=2, at_once=8)
CHANNELS = ("Fp1", "Fp2", "F3", "AFz", "F4", "T7", "Cz", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2")


class Folder:
    """In place of `p300_pipeline.storage.Store`: objects are files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def head(self, bucket: str, key: str) -> None:
        if not (self.root / bucket / key).exists():
            raise NotFoundError(key)

    def get(self, bucket: str, key: str) -> tuple[bytes, None]:
        self.head(bucket, key)
        return (self.root / bucket / key).read_bytes(), None

    def put(self, bucket: str, key: str, body: bytes) -> None:
        path = self.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def download(self, bucket: str, key: str, path: Path, *, if_match: str) -> None:
        shutil.copyfile(self.root / bucket / key, path)


def write(root: Path, n_subjects: int, n_epochs: int) -> None:
    """Write features as the chain does."""
    import numpy as np
    from p300.features import FeatureSet, Rejection, write_features
    from p300.signals import Parameters

    for recording in Subjects(n_subjects):
        some = recording.take(np.arange(n_epochs))
        path = root / "features" / recording.recording / "features.parquet"
        path.parent.mkdir(parents=True)
        features = FeatureSet(
            X=some.X,
            label=some.y.astype(np.int8),
            onset_sample=np.arange(n_epochs, dtype=np.int64) * 100,
            flash=None,
            repetition=None,
            ch_names=CHANNELS[:N_CHANNELS],
            sfreq=100.0,
            tmin=0.0,
            tmax=0.7,
            parameters=Parameters(),
            rejection=Rejection(n_epochs, 0, n_epochs, dict.fromkeys(CHANNELS[:N_CHANNELS], 0)),
        )
        write_features(features, path, {})


def run(root: Path, item: str, n_subjects: int) -> dict[str, Any]:
    """Run one item of the training here."""
    training = SpreadTraining(Folder(root), "models", "v1")  # type: ignore[arg-type]
    started, cpu_started = time.perf_counter(), time.process_time()
    answer: dict[str, Any] = {}
    if item == "begin":
        from p300.evaluation_parts import look

        paths = {
            str(path.parent.relative_to(root / "features")): path
            for path in sorted((root / "features").rglob("*.parquet"))
        }
        recordings = Downloaded(paths, lambda name: name.partition("/")[0], CHANNELS[:N_CHANNELS])
        etags = dict.fromkeys(paths, "")
        plan = Plan("ensemble", 0, 100.0, look(recordings), list(CHANNELS), etags, SPREAD.n_batches(recordings), {})
        answer = dict(training.begin(recordings, plan))
    elif item == "finish":
        made = training.finish()
        answer = {name: made.metrics[name] for name in ("folds", "fit", "note")}
        answer["auc"] = made.metrics["leave_one_subject_out"]["mean"]["roc_auc"]
        answer["auc_reference"] = made.metrics["reference_lda"]["mean"]["roc_auc"]
    else:
        training.compute("features", item)
    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu_started}
    return {**answer, **seconds, "mb": _peak_mb()}


def main() -> None:
    """Measure and print."""
    if len(sys.argv) == 4:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
        return
    given = [int(value) for value in sys.argv[1:]]
    n_subjects, n_epochs = [*given, *[64, N_EPOCHS][len(given) :]]
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n_subjects, n_epochs)

        def measured(item: str) -> dict[str, Any]:
            done = subprocess.run(
                [sys.executable, __file__, folder, item, str(n_subjects)], check=True, capture_output=True, text=True
            )
            row: dict[str, Any] = json.loads(done.stdout)
            rows[item] = row
            print(
                f"{item:28} {row['seconds']:8.1f} s {row['cpu_seconds']:8.1f} s processor {row['mb']:7.0f} MB",
                flush=True,
            )
            return row

        begun = measured("begin")
        steps = [["begin"], begun["fits"], begun["adapted"], ["finish"]]
        for item in [*begun["fits"], *begun["adapted"], "finish"]:
            measured(item)
    print(json.dumps({name: rows["finish"][name] for name in ("auc", "auc_reference", "folds", "fit", "note")}))
    cpu = {item: row["cpu_seconds"] for item, row in rows.items()}
    print(
        f"in all {sum(cpu.values()):.0f} s processor; longest {max(cpu, key=lambda item: cpu[item])} {max(cpu.values()):.0f} s"
    )
    print(
        f"one after another, the longest of each step: {sum(max(cpu[item] for item in step) for step in steps):.0f} s processor"
    )
    print(f"most memory {max(row['mb'] for row in rows.values()):.0f} MB")


if __name__ == "__main__":
    main()
