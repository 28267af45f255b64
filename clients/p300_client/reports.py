"""Recordings' reports: from the features bucket to a folder, and into a browser."""

import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from p300_cli.terminal import err, fail, note
from p300_pipeline.storage import Store

from p300_client.target import Target

FEATURES, PAGE = "/features.parquet", "/report.html"
DRAWING_S = 60
POLL_S = 0.5


def download(target: Target, name: str, folder: Path, timeout_s: float = DRAWING_S) -> list[Path]:
    """Download the reports of a subject, or of one ``<subject>/<recording>``; return the files.

    Reports are drawn while the chain goes on, so one of a recording that has just landed is waited for.
    """
    store, bucket = Store(target.client("s3")), target.outputs["FeaturesBucketName"]
    name = name.strip("/")
    deadline = time.monotonic() + timeout_s
    with err.status(f"waiting for the report of {name}"):
        while True:
            keys = [item.key for item in store.list(bucket, f"{name}/")]
            recordings, drawn = (
                [key.removesuffix(end) for key in keys if key.endswith(end)] for end in (FEATURES, PAGE)
            )
            missing = set(recordings) - set(drawn)
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
    if not drawn and not missing:
        fail(f"There are no features of {name}. Expected <subject> or <subject>/<recording> of a landed recording.")
    if missing:
        reason = "its drawing failed, or takes long: `aws logs tail /aws/lambda/p300-reporting`; `p300 backfill` draws it again"
        (note if drawn else fail)(f"There is no report of {', '.join(sorted(missing))} yet: {reason}.")
    paths = []
    for recording in drawn:
        path = (folder / f"{recording}.html").resolve()
        if not path.is_relative_to(folder.resolve()):
            fail(f"s3://{bucket}/{recording}{PAGE} would be written outside {folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(bucket, f"{recording}{PAGE}", path)
        paths.append(path)
    return paths


def show(paths: Sequence[Path]) -> None:
    """Open files in the browser."""
    for path in paths:
        if not webbrowser.open(path.as_uri()):
            note(f"there is no browser here: open {path}")
