"""Download recordings' reports from the feature store, with the verdict of each."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p300.errors import ArtifactError, P300Error
from p300_pipeline.documents import is_verdict, parse
from p300_pipeline.keys import subject_name
from p300_pipeline.storage import NotFoundError, Store

from p300_client.progress import Notify, ignore_notes
from p300_client.target import Target

FEATURES, PAGE, FACTS = "/features.parquet", "/report.html", "/report.json"
DRAWING_S = 60
POLL_S = 0.5


@dataclass(frozen=True)
class Report:
    """A report that was downloaded.

    Attributes
    ----------
    recording : str
        ``<subject>/<recording>``.
    path : Path
        The page.
    verdict : dict
        As ``report.json`` has it, see docs/reports.md; empty where a report was drawn before there was one.
    """

    recording: str
    path: Path
    verdict: dict[str, Any] = field(default_factory=dict)


def download(
    target: Target, name: str, folder: Path, timeout_s: float = DRAWING_S, notify: Notify = ignore_notes
) -> list[Report]:
    """Download the reports of a subject, or of one ``<subject>/<recording>``.

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
        Called if some of several reports are missing, or a report.json is damaged.

    Returns
    -------
    list of Report

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
    found = []
    for recording in drawn:
        path = (folder / f"{recording}.html").resolve()
        if not path.is_relative_to(folder.resolve()):
            raise P300Error("outside_folder", f"s3://{bucket}/{recording}{PAGE} would be written outside {folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(bucket, f"{recording}{PAGE}", path)
        found.append(Report(recording, path, _verdict(store, bucket, recording, notify)))
    return found


def _verdict(store: Store, bucket: str, recording: str, notify: Notify) -> dict[str, Any]:
    key = f"{recording}{FACTS}"
    try:
        body, _ = store.get(bucket, key)
        verdict = parse(body, f"s3://{bucket}/{key}", dict).get("verdict")
    except NotFoundError:
        return {}
    except ArtifactError as error:  # the page is readable all the same
        notify(error.message)
        return {}
    return dict(verdict) if is_verdict(verdict) else {}


def _is_of(key: str, name: str) -> bool:
    """Return whether an object belongs to a subject, in any spelling, or to the named recording."""
    (subject, _, recording), (folder, _, rest) = name.partition("/"), key.partition("/")
    return subject_name(folder) == subject_name(subject) and (not recording or rest.startswith(f"{recording}/"))
