"""`p300 land` on a BIDS data set: each recording with what the data set says about it; what is left alone is said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from p300.errors import P300Error
from p300.readers import open_recording
from p300.signals import Parameters, extract
from p300_client import inspecting
from p300_client.landing import find, land
from p300_pipeline.steps.ingest import Landed as Event
from p300_pipeline.steps.ingest import ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

from tests.support.bids import FORMATS, channels_tsv, write_bids
from tests.support.buckets import FEATURES, LANDING, RAW, content
from tests.support.labs import Lab, lab

NAME = "sub-P07_ses-1_task-p300_run-2_eeg"


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(2)


@pytest.fixture
def target(store: Store) -> Any:
    return SimpleNamespace(client=lambda _: store.client, outputs={"LandingBucketName": LANDING, "RawBucketName": RAW})


def landed(target: Any, *paths: Path, **how: Any) -> list[str]:
    came = land(target, find(paths), parameters=Parameters(), **how)
    assert not came.refused
    return [upload.key for upload in came.uploads]


def ingested(store: Store) -> set[str]:
    items = [store.head(LANDING, item.key) for item in store.list(LANDING)]
    return {str(ingest(store, LANDING, RAW, Event(one.key, one.etag, one.version_id))["outcome"]) for one in items}


@pytest.mark.parametrize("extension", FORMATS)
def test_a_recording_lands_with_its_metadata_and_gives_the_features_of_its_file(
    target: Any, store: Store, tmp_path: Path, made: Lab, extension: str
) -> None:
    path = write_bids(tmp_path / "bids", made, extension, subject="P07", session="1", run="2", inherited=True)
    keys = landed(target, tmp_path / "bids")
    parts = {"vhdr": [".eeg", ".vmrk"]}.get(extension, [])
    assert keys == [f"subject_p07/{NAME}{end}" for end in (".bids.json", *parts, f".{extension}")]
    assert "stored" in ingested(store)
    assert content(store, LANDING) == {}
    assert set(content(store, RAW)) == set(keys)
    answer = preprocess(store, RAW, FEATURES, keys[-1], "", Parameters())
    assert answer["outcome"] == "features"
    report = store.get(FEATURES, f"subject_p07/{NAME}/report.json")[0]
    assert b'"participant"' in report
    expected = extract(open_recording(path), Parameters())
    assert answer["n_kept"] == len(expected.X)
    assert landed(target, tmp_path / "bids") == [], "unchanged"


def test_metadata_that_changed_land_alone_and_only_when_asked(
    target: Any, store: Store, tmp_path: Path, made: Lab
) -> None:
    path = write_bids(tmp_path, made)
    landed(target, tmp_path)
    ingested(store)
    (path.parent / "sub-01_task-p300_channels.tsv").write_text(channels_tsv(made, bad=made.names[:1]))
    with pytest.raises(P300Error, match=r"BIDS metadata of .*_eeg\.edf differ") as caught:
        landed(target, tmp_path)
    assert caught.value.code == "place_taken"
    assert landed(target, tmp_path, replace=True) == ["subject_01/sub-01_task-p300_eeg.bids.json"]
    assert ingested(store) == {"stored"}
    preprocess(store, RAW, FEATURES, "subject_01/sub-01_task-p300_eeg.edf", "", Parameters())
    assert f'"{made.names[0]}"'.encode() in store.get(FEATURES, "subject_01/sub-01_task-p300_eeg/report.json")[0]


def test_what_is_left_alone_is_said(tmp_path: Path, made: Lab) -> None:
    root = tmp_path / "bids"
    write_bids(root, made)
    for name in (
        "derivatives/a/sub-01/eeg/sub-01_task-p300_eeg.edf",
        "sub-01/anat/sub-01_T1w.nii",
        "sub-01/eeg/other.edf",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    said: list[str] = []
    assert [upload.path.name for upload in find([root], notify=said.append) if upload.is_recording] == [
        "sub-01_task-p300_eeg.edf"
    ]
    told = "\n".join(said)
    assert all(one in told for one in ("derivatives/", "anat/", "sub-01/eeg/other.edf"))
    assert "README" not in told


def test_what_has_not_been_fetched_is_said_and_the_rest_lands(tmp_path: Path, made: Lab) -> None:
    write_bids(tmp_path, made)
    other = write_bids(tmp_path, made, subject="02")
    other.unlink()
    other.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s1--0.edf/MD5E-s1--0.edf")
    said: list[str] = []
    assert {upload.key.partition("/")[0] for upload in find([tmp_path], notify=said.append)} == {"subject_01"}
    assert "git-annex" in said[-1]
    with pytest.raises(P300Error, match="git-annex pointer") as caught:
        find([tmp_path / "sub-02"])
    assert caught.value.code == "pointer"


def test_fetched_files_of_git_annex_land(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    kept = tmp_path / ".git" / "annex" / "objects" / "a" / "MD5E-s1--0.edf"
    kept.parent.mkdir(parents=True)
    path.rename(kept)
    path.symlink_to(kept)
    assert [upload.key for upload in find([tmp_path])][-1] == "subject_01/sub-01_task-p300_eeg.edf"


def test_a_recording_behind_a_link_out_of_the_data_set_does_not_land(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path / "bids", made)
    path.rename(tmp_path / "out.edf")
    path.symlink_to(tmp_path / "out.edf")
    said: list[str] = []
    with pytest.raises(P300Error, match="No recordings"):
        find([tmp_path / "bids"], notify=said.append)
    assert "point outside the data set" in said[0]


@pytest.mark.parametrize(("first", "second"), [("1", "01"), ("P7", "p07")])
def test_two_labels_of_one_name_are_refused(tmp_path: Path, made: Lab, first: str, second: str) -> None:
    for subject in (first, second):
        write_bids(tmp_path, made, subject=subject)
    with pytest.raises(P300Error, match="would both be subject_") as caught:
        find([tmp_path])
    assert caught.value.code == "same_subject"
    with pytest.raises(P300Error) as caught:
        inspecting.inspect([tmp_path])
    assert caught.value.code == "same_subject"


def test_a_subject_that_contradicts_the_name_is_refused(tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path, made)
    assert find([path], "subject_1")[-1].key == "subject_01/sub-01_task-p300_eeg.edf"
    with pytest.raises(P300Error) as caught:
        find([path], "subject_2")
    assert caught.value.code == "subject_given"


def test_bad_metadata_are_refused_before_anything_is_uploaded(
    target: Any, store: Store, tmp_path: Path, made: Lab
) -> None:
    write_bids(tmp_path, made, events="onset\tonset\n")
    came = land(target, find([tmp_path]), parameters=Parameters())
    assert [error.code for _, error in came.refused] == ["bad_bids"]
    assert content(store, LANDING) == {}


def test_a_data_set_is_inspected_in_place(tmp_path: Path, made: Lab) -> None:
    write_bids(tmp_path / "bids", made, "vhdr", inherited=True)
    (found,) = inspecting.inspect([tmp_path / "bids"])
    assert found.usable
    assert found.usable.n_target == int((made.stim == 2).sum())
    assert np.isclose(found.sfreq or 0, 256)
    assert found.name == "bids/sub-01/eeg/sub-01_task-p300_eeg.vhdr"
