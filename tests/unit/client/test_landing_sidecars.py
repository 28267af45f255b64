"""What `p300 land` does with sidecars, and with recordings that would only end in quarantine."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from p300.errors import P300Error
from p300.signals import Parameters
from p300_client import inspecting, mapping
from p300_client.landing import Landed, find, land
from p300_client.target import Target
from p300_pipeline.steps.ingest import Landed as Event
from p300_pipeline.steps.ingest import ingest
from p300_pipeline.storage import Store

from tests.support.buckets import LANDING, RAW, content
from tests.support.readers import stim, write_parquet

SAID = {"event_id": {"33": 1, "44": 2}}
SIDECAR = "run_01.p300.json"


@pytest.fixture
def target(store: Store) -> Any:
    return SimpleNamespace(client=lambda _: store.client, outputs={"LandingBucketName": LANDING, "RawBucketName": RAW})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one recording, whose events are foreign."""
    folder = tmp_path / "subject_07"
    folder.mkdir()
    write_parquet(folder / "run_01.parquet", stim=stim(33, 44).astype(np.int32))
    return folder


def landed(target: Any, folder: Path, **how: Any) -> Landed:
    return land(target, find([folder]), parameters=Parameters(), **how)


def ingested(store: Store) -> list[str]:
    items = [store.head(LANDING, item.key) for item in store.list(LANDING)]
    return [str(ingest(store, LANDING, RAW, Event(one.key, one.etag, one.version_id))["outcome"]) for one in items]


def keys(uploads: Any) -> list[str]:
    return [upload.key for upload in uploads]


def test_what_would_end_in_quarantine_is_not_uploaded_and_the_rest_is(target: Any, store: Store, folder: Path) -> None:
    write_parquet(folder / "run_02.parquet")
    came = landed(target, folder)
    assert keys(came.uploads) == ["subject_07/run_02.parquet"] == list(content(store, LANDING))
    ((upload, error),) = came.refused
    assert (upload.key, error.code) == ("subject_07/run_01.parquet", "unknown_codes")
    assert "subject_07/run_01.parquet" in error.message
    assert json.dumps({"event_id": {"33": 1, "44": 2}}) in error.message


def test_the_sidecar_lands_before_its_recording(target: Any, store: Store, folder: Path) -> None:
    (folder / SIDECAR).write_text(json.dumps(SAID))
    came = landed(target, folder)
    assert keys(came.uploads) == [f"subject_07/{SIDECAR}", "subject_07/run_01.parquet"]
    assert "stored" in ingested(store)
    assert set(content(store, RAW)) == set(keys(came.uploads))
    again = landed(target, folder)
    assert (again.uploads, keys(again.unchanged)) == ([], keys(came.uploads))


def test_a_new_sidecar_lands_alone_and_another_one_only_when_asked(target: Any, store: Store, folder: Path) -> None:
    write_parquet(folder / "run_01.parquet")
    landed(target, folder)
    ingested(store)
    (folder / SIDECAR).write_text('{"reference": "average"}')
    assert keys(landed(target, folder).uploads) == [f"subject_07/{SIDECAR}"]
    ingested(store)
    (folder / SIDECAR).write_text('{"reference": "A1"}')
    with pytest.raises(P300Error, match=r"another sidecar, subject_07/run_01\.p300\.json") as refused:
        landed(target, folder)
    assert refused.value.code == "place_taken"
    assert content(store, LANDING) == {}
    assert keys(landed(target, folder, replace=True).uploads) == [f"subject_07/{SIDECAR}"]


def test_a_recording_that_comes_again_is_checked_with_the_sidecar_that_stays(
    target: Any, store: Store, folder: Path
) -> None:
    (folder / SIDECAR).write_text(json.dumps(SAID))
    landed(target, folder)
    ingested(store)
    (folder / SIDECAR).unlink()
    write_parquet(folder / "run_01.parquet", stim=stim(33, 44).astype(np.int32), n_channels=4)
    assert landed(target, folder, replace=True).refused == []
    write_parquet(folder / "run_01.parquet", n_channels=4)
    assert [error.code for _, error in landed(target, folder, replace=True).refused] == ["unknown_codes"]


def test_an_invalid_sidecar_is_refused(target: Any, folder: Path) -> None:
    (folder / SIDECAR).write_text('{"units": "uV"}')
    assert [error.code for _, error in landed(target, folder).refused] == ["bad_sidecar"]


def test_sidecars_that_nothing_reads_are_told_or_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "run_09.p300.json").write_text("{}")
    told: list[str] = []
    find([folder], notify=told.append)
    assert told == ["not landed, sidecars without a recording: run_09.p300.json"]
    with pytest.raises(P300Error, match="Land the recording that it belongs to"):
        find([folder / "run_09.p300.json"])
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (folder / SIDECAR).symlink_to(outside)
    with pytest.raises(P300Error, match="a link that points outside the folder"):
        find([folder])
    (folder / SIDECAR).rename(folder / "run_01.parquet.p300.json")
    with pytest.raises(P300Error, match=r"Rename it"):
        find([folder])


# ---- the mapping of `p300 inspect`, written beside the recording
def test_the_mapping_is_written_beside_the_recording_and_lands_with_it(target: Any, folder: Path) -> None:
    (found,) = inspecting.inspect([folder])
    answer = folder / "events.json"
    answer.write_text(json.dumps(found.mapping))
    assert mapping.write(find([folder]), inspecting.read_mapping(answer), Parameters()) == [folder / SIDECAR]
    assert json.loads((folder / SIDECAR).read_text()) == found.mapping
    assert [path.name for path in folder.iterdir() if ".part" in path.name] == []
    assert mapping.write(find([folder]), inspecting.read_mapping(answer), Parameters()) == [], "it says that already"
    assert keys(landed(target, folder).uploads)[0] == f"subject_07/{SIDECAR}"


def test_another_sidecar_is_not_overwritten_unasked(folder: Path) -> None:
    (folder / SIDECAR).write_text('{"reference": "average"}')
    with pytest.raises(P300Error, match=r"already exists with other content\. Nothing was written") as refused:
        mapping.write(find([folder]), SAID, Parameters())
    assert refused.value.code == "sidecar_there"
    assert json.loads((folder / SIDECAR).read_text()) == {"reference": "average"}
    mapping.write(find([folder]), SAID, Parameters(), replace=True)
    assert json.loads((folder / SIDECAR).read_text()) == SAID


def test_nothing_is_written_where_the_mapping_does_not_help(folder: Path) -> None:
    write_parquet(folder / "run_02.parquet")
    with pytest.raises(P300Error, match=r"With this mapping: subject_07/run_02\.parquet") as refused:
        mapping.write(find([folder]), SAID, Parameters())
    assert refused.value.code == "unknown_codes"
    assert list(folder.glob("*.json")) == []
    with pytest.raises(P300Error, match="not a file"):
        inspecting.read_mapping(folder / "nothing.json")


# ---- looking only
def test_inspect_takes_files_and_folders(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    found = inspecting.inspect([folder, folder / "notes.txt"])
    assert [one.name for one in found] == ["subject_07/run_01.parquet", "notes.txt"]
    for bad, message in ((folder / "none", "does not exist"), (folder / SIDECAR, "does not exist")):
        with pytest.raises(P300Error, match=message):
            inspecting.inspect([bad])
    (folder / SIDECAR).write_text("{}")
    with pytest.raises(P300Error, match="Name the recording itself"):
        inspecting.inspect([folder / SIDECAR])


def test_the_stacks_preprocessing_is_read_from_the_stack() -> None:
    stack = {
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "RawBucketName", "OutputValue": "raw"}],
        "Parameters": [{"ParameterKey": "Preprocessing", "ParameterValue": '{"h_freq": 15}'}],
    }
    target = Target(None)
    target._clients["cloudformation"] = SimpleNamespace(describe_stacks=lambda StackName: {"Stacks": [stack]})
    assert (target.outputs, target.preprocessing) == ({"RawBucketName": "raw"}, Parameters(h_freq=15))
