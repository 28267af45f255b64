"""Reports are downloaded by subject or recording, into the folder and nowhere else."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from p300.errors import P300Error
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES


class _Target:
    def __init__(self, client: Any) -> None:
        self.outputs = {"FeaturesBucketName": FEATURES}
        self._client = client

    def client(self, service: str) -> Any:
        return self._client


def test_reports_of_a_subject_are_downloaded(store: Store, tmp_path: Path) -> None:
    from p300_client import reports

    for name in ("subject_1/a", "subject_1/b", "subject_11/c"):
        for file in ("features.parquet", "report.html", "erp.png"):
            store.put(FEATURES, f"{name}/{file}", name.encode())
    target: Any = _Target(store.client)
    verdict = {"found": True, "words": "P300 found", "sentence": "P300 found: it is there."}
    store.put(FEATURES, "subject_1/b/report.json", json.dumps({"verdict": verdict}).encode())
    first, second = reports.download(target, "subject_1", tmp_path)
    assert [one.path.relative_to(tmp_path).as_posix() for one in (first, second)] == [
        "subject_1/a.html",
        "subject_1/b.html",
    ]
    assert second.path.read_bytes() == b"subject_1/b"
    assert (first.verdict, second.verdict) == ({}, verdict)
    assert len(reports.download(target, "subject_11/c", tmp_path)) == 1
    with pytest.raises(P300Error, match="no features of subject_2"):
        reports.download(target, "subject_2", tmp_path)


def test_a_report_that_is_being_drawn_is_waited_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p300_client import reports

    target: Any = _Target(store.client)
    store.put(FEATURES, "subject_1/a/features.parquet", b"")
    with pytest.raises(P300Error, match="no report of subject_1/a yet"):
        reports.download(target, "subject_1", tmp_path, timeout_s=0)
    monkeypatch.setattr(
        "p300_client.reports.time.sleep", lambda _: store.put(FEATURES, "subject_1/a/report.html", b"drawn")
    )
    assert [one.path.read_bytes() for one in reports.download(target, "subject_1", tmp_path)] == [b"drawn"]


def test_a_key_cannot_lead_out_of_the_folder(store: Store, tmp_path: Path) -> None:
    from p300_client import reports

    store.client.put_object(Bucket=FEATURES, Key="subject_1/../../evil/report.html", Body=io.BytesIO(b""))
    with pytest.raises(P300Error, match="outside"):
        reports.download(_Target(store.client), "subject_1", tmp_path / "folder")  # type: ignore[arg-type]
    assert list(tmp_path.rglob("*.html")) == []
