"""Download recordings' reports from the feature store."""

import time
from pathlib import Path

from p300.errors import P300Error
from p300_pipeline.keys import subject_name
from p300_pipeline.storage import Store

from p300_client.progress import Notify, ignore_notes
from p300_client.target import Target

FEATURES, PAGE = "/features.parquet", "/report.html"
DRAWING_S = 60
POLL_S = 0.5


def download(
    target: Target, name: str, folder: Path, timeout_s: float = DRAWING_S, notify: Notify = ignore_notes
) -> list[Path]:
    """Download the reports of a subject, or of one ``<subject>/<recording>``; return the files.

    Reports are drawn while the pipeline continues, so the report of a recording that has just landed is waited for.

    Parameters
    ----------
    target : Target
        Where they are.
    name : str
        ``<subject>``, or ``<subject>/<recording>``.
    folder : Path
        Folder to write to.
    timeout_s : float
        How long to wait for a report that has not been drawn yet.
    notify : callable, optional
        Called if some of several reports are missing.

    Returns
    -------
    list of Path

    Raises
    ------
    P300Error
        ``no_features``, ``no_report`` or ``outside_folder``.
    """
    store, bucket = Store(target.client("s3")), target.outputs["FeaturesBucketName"]
    name = name.strip("/")
    deadline = time.monotonic() + timeout_s
    while True:
        keys = [item.key for item in store.list(bucket, "subject_") if _is_of(item.key, name)]
        recordings, drawn = ([key.removesuffix(end) for key in keys if key.endswith(end)] for end in (FEATURES, PAGE))
        missing = set(recordings) - set(drawn)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    if not drawn and not missing:
        raise P300Error(
            "no_features",
            f"There are no features of {name}. Expected <subject> or <subject>/<recording> of a landed recording.",
        )
    if missing:
        reason = "drawing failed or is slow; `aws logs tail /aws/lambda/p300-reporting` shows why, and `p300 backfill` draws it again"
        message = f"There is no report of {', '.join(sorted(missing))} yet: {reason}."
        if not drawn:
            raise P300Error("no_report", message)
        notify(message)
    paths = []
    for recording in drawn:
        path = (folder / f"{recording}.html").resolve()
        if not path.is_relative_to(folder.resolve()):
            raise P300Error("outside_folder", f"s3://{bucket}/{recording}{PAGE} would be written outside {folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(bucket, f"{recording}{PAGE}", path)
        paths.append(path)
    return paths


def _is_of(key: str, name: str) -> bool:
    """Return whether an object belongs to a subject, in any spelling, or to the named recording."""
    (subject, _, recording), (folder, _, rest) = name.partition("/"), key.partition("/")
    return subject_name(folder) == subject_name(subject) and (not recording or rest.startswith(f"{recording}/"))
