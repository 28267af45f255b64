"""Offline Weights & Biases runs: from the models bucket to a folder, and on to the server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p300_client.target import Target
from p300_pipeline.steps.tracking import RUNS_PREFIX
from p300_pipeline.storage import Store

from p300_cli.terminal import fail, note


def fetch_runs(target: Target, folder: Path) -> list[Path]:
    """Download the run folders that are not there yet; return those of all runs."""
    store, bucket = Store(target.client("s3")), target.outputs["ModelsBucketName"]
    for item in store.list(bucket, RUNS_PREFIX):
        relative = Path(item.key.removeprefix(RUNS_PREFIX))
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder.resolve()):
            fail(f"s3://{bucket}/{item.key} would be written outside {folder}.")
        if not path.exists() or path.stat().st_size != item.size:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.download(bucket, item.key, path)
    runs = sorted(folder.glob("*/wandb/offline-run-*"))
    note(f"{len(runs)} offline runs in {folder}")
    return runs


def sync_runs(runs: list[Path]) -> None:
    """Send runs with W&B's own command, which needs WANDB_API_KEY or `wandb login`."""
    if not runs:
        fail("There is no offline run to send.")
    for run in runs:
        with where_it_was_written(run.parents[1]):
            command = [sys.executable, "-m", "wandb", "sync", str(run)]
            if code := subprocess.run(command, check=False).returncode:
                fail(f"`wandb sync {run}` ended with exit code {code}.", code)


@contextmanager
def where_it_was_written(folder: Path) -> Iterator[None]:
    """Let a run's folder be found where the function wrote it: the run names its artifact files by that place."""
    place = Path(json.loads((folder / "run.json").read_text()).get("written_in", ""))
    # A temporary folder of a function's, by its name: nothing else is put into place on a bucket's word.
    if not place.is_absolute() or not place.name.startswith("tmp") or ".." in place.parts or place.exists():
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(folder.resolve())
    try:
        yield
    finally:
        place.unlink()
