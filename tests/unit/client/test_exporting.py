"""`p300 export --bids`: what comes out is valid BIDS, and lands again as the same recordings."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bids_validator import BIDSValidator
from numpy.typing import NDArray
from p300.errors import P300Error
from p300.features import read_features
from p300.readers import open_recording
from p300.recording import SYNTHETIC
from p300.signals import Parameters, extract
from p300_client import exporting
from p300_client.exporting import export_bids
from p300_client.landing import find, land
from p300_pipeline.steps.ingest import Landed as Event
from p300_pipeline.steps.ingest import ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

from tests.support.bids import write_bids
from tests.support.buckets import FEATURES, LANDING, RAW, content
from tests.support.labs import Lab, lab, write

OUTPUTS = {"LandingBucketName": LANDING, "RawBucketName": RAW, "FeaturesBucketName": FEATURES}


class Predictions:
    """An API whose champion finds every flash as likely."""

    def __init__(self, target: Any) -> None:
        pass

    def predict(self, X: NDArray[np.float32], alias: str | None, *, channels: Any) -> tuple[NDArray[np.float64], str]:
        return np.full(len(X), 0.5), "v20260102030405"


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(4)


@pytest.fixture
def target(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(exporting, "Api", Predictions)
    return SimpleNamespace(client=lambda _: store.client, outputs=OUTPUTS, preprocessing=Parameters())


def put(store: Store, target: Any, *paths: Path, subject: str | None = None) -> None:
    land(target, find(paths, subject))
    for item in [store.head(LANDING, item.key) for item in store.list(LANDING)]:
        answer = ingest(store, LANDING, RAW, Event(item.key, item.etag, item.version_id))
        if answer["outcome"] == "stored":
            preprocess(store, RAW, FEATURES, answer["key"], answer["etag"], Parameters())


def files_in(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def check_valid(root: Path) -> None:
    """Hold a data set against BIDS: the names of its files, and what its tables and JSON files have to contain."""
    validator = BIDSValidator()
    assert [path for path in files_in(root) if not validator.is_bids(f"/{path}")] == []
    description = json.loads((root / "dataset_description.json").read_text())
    assert {"Name", "BIDSVersion"} <= set(description)
    required = {"TaskName", "EEGReference", "SamplingFrequency", "PowerLineFrequency", "SoftwareFilters"}
    for path in root.glob("sub-*/**/eeg/*_eeg.json"):
        assert required <= set(json.loads(path.read_text()))
    columns = {
        "events": ["onset", "duration"],
        "channels": ["name", "type", "units"],
        "electrodes": ["name", "x", "y", "z"],
    }
    for kind, names in columns.items():
        for path in root.glob(f"sub-*/**/*_{kind}.tsv"):
            lines = [line.split("\t") for line in path.read_text().splitlines()]
            assert lines[0][: len(names)] == names
            assert {len(line) for line in lines} == {len(lines[0])}
    assert (root / "participants.tsv").read_text().startswith("participant_id")


@pytest.mark.parametrize("extension", ["edf", "set", "vhdr"])
def test_a_data_set_comes_out_as_it_went_in(
    target: Any, store: Store, tmp_path: Path, made: Lab, extension: str
) -> None:
    root = tmp_path / "in"
    path = write_bids(root, made, extension, subject="P07", session="1", run="2")
    put(store, target, root)
    done = export_bids(target, tmp_path / "out")
    check_valid(tmp_path / "out")
    before, after = files_in(root), files_in(tmp_path / "out")
    assert list(done.recordings.values()) == [path.relative_to(root).as_posix()]
    own = {name for name in before if name.startswith("sub-") and not name.endswith(".json")}
    assert {name: after[name] for name in own} == {name: before[name] for name in own}
    assert after["participants.tsv"] == before["participants.tsv"]
    assert json.loads(after["dataset_description.json"])["Name"] == "Spellers"


@pytest.mark.parametrize("extension", ["parquet", "edf", "mat", "fif", "xdf"])
def test_any_recording_comes_out_as_bids_and_gives_the_same_features(
    target: Any, store: Store, tmp_path: Path, made: Lab, extension: str
) -> None:
    folder = tmp_path / "subject_5"
    folder.mkdir()
    path = write(folder, made, extension, stem="run_01")
    put(store, target, folder)
    out = tmp_path / "out"
    done = export_bids(target, out)
    check_valid(out)
    (exported,) = done.recordings.values()
    assert exported == "sub-05/eeg/sub-05_task-p300_acq-run01_eeg.vhdr"
    expected, found = (extract(open_recording(one), Parameters()) for one in (path, out / exported))
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.onset_sample, expected.onset_sample)
    np.testing.assert_allclose(found.X, expected.X, rtol=0, atol=2e-11)
    assert json.loads((out / exported.replace(".vhdr", ".json")).read_text())["SourceRecording"].startswith(
        "subject_05/"
    )


@pytest.mark.filterwarnings("ignore")
def test_mne_bids_reads_what_is_written(target: Any, store: Store, tmp_path: Path, made: Lab) -> None:
    from mne_bids import BIDSPath, read_raw_bids

    folder = tmp_path / "subject_5"
    folder.mkdir()
    write(folder, made, "parquet", stem="run_01")
    write_bids(tmp_path / "in", made, "set", subject="P07", session="1", run="2")
    put(store, target, folder)
    put(store, target, tmp_path / "in")
    out = tmp_path / "out"
    export_bids(target, out)
    for entities in (
        {"subject": "05", "acquisition": "run01"},
        {"subject": "P07", "session": "1", "run": "2"},
    ):
        path = BIDSPath(root=out, task="p300", datatype="eeg", suffix="eeg", **entities)
        raw = read_raw_bids(path, verbose="error")
        assert raw.ch_names == made.names
        np.testing.assert_allclose(raw.get_data() * 1e6, made.uv, rtol=0, atol=0.002)
        texts = [text.partition("/")[0] for text in raw.annotations.description if "arget" in text]
        assert texts == [{1: "NonTarget", 2: "Target"}[int(code)] for code in made.stim[made.onsets]]


def test_features_and_predictions_are_derivatives(target: Any, store: Store, tmp_path: Path, made: Lab) -> None:
    write_bids(tmp_path / "in", made)
    put(store, target, tmp_path / "in")
    done = export_bids(target, tmp_path / "out")
    assert (done.n_features, done.n_predictions) == (1, 1)
    folder = tmp_path / "out" / "derivatives" / "p300"
    assert json.loads((folder / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    base = folder / "sub-01" / "eeg" / "sub-01_task-p300_desc-"
    features = read_features(Path(f"{base}features_eeg.parquet"))
    assert Path(f"{base}features_eeg.parquet").read_bytes() in content(store, FEATURES).values()
    lines = Path(f"{base}predictions_eeg.tsv").read_text().splitlines()
    assert lines[:2] == ["sample\tlabel\tprobability_target", f"{features.onset_sample[0]}\t{features.label[0]}\t0.5"]
    assert json.loads(Path(f"{base}predictions_eeg.json").read_text())["ModelVersion"] == "v20260102030405"


def test_one_person_is_one_subject_and_every_recording_has_a_name_of_its_own(
    target: Any, store: Store, tmp_path: Path, made: Lab
) -> None:
    write_bids(tmp_path / "in", made, subject="P7")
    put(store, target, tmp_path / "in")
    folder = tmp_path / "subject_p07"
    folder.mkdir()
    for name in ("a_b", "ab"):
        write(folder, made, "parquet", stem=name)
    put(store, target, folder)
    done = export_bids(target, tmp_path / "out")
    assert list(done.recordings.values()) == [
        "sub-P7/eeg/sub-P7_task-p300_acq-ab_eeg.vhdr",
        "sub-P7/eeg/sub-P7_task-p300_acq-ab_run-2_eeg.vhdr",
        "sub-P7/eeg/sub-P7_task-p300_eeg.edf",
    ]
    check_valid(tmp_path / "out")
    assert len([upload for upload in find([tmp_path / "out"]) if upload.is_recording]) == 3


def test_what_a_sidecar_says_is_in_what_is_written(target: Any, store: Store, tmp_path: Path, made: Lab) -> None:
    path = write_bids(tmp_path / "in", made)
    said = {"bad_channels": [made.names[1]], "reference": "A1", "event_delay_ms": 20}
    path.with_name("sub-01_task-p300_eeg.p300.json").write_text(json.dumps(said))
    put(store, target, tmp_path / "in")
    (exported,) = export_bids(target, tmp_path / "out").recordings.values()
    stream = open_recording(tmp_path / "out" / exported)
    assert stream.bad_channels == (made.names[1],)
    assert stream.bids["reference"] == "A1"
    np.testing.assert_array_equal(np.flatnonzero(stream.stim), made.onsets + 5)


def test_gaps_bad_spans_and_groups_are_written(target: Any, store: Store, tmp_path: Path, made: Lab) -> None:
    from p300.bids.writing import write_recording

    stream = open_recording(write(tmp_path, made, "parquet"))
    flash = stream.stim * 3
    changed = {**stream.__dict__, "gaps": (300,), "bad_spans": ((600, 700),), "flash": flash}
    path, *_ = write_recording(tmp_path, {"sub": "01", "task": "p300"}, type(stream)(**changed), "x")
    found = open_recording(path)
    assert (found.gaps, found.bad_spans) == ((300,), ((600, 700),))
    assert found.flash is not None
    np.testing.assert_array_equal(found.flash, flash)


def test_names_choose_and_a_folder_with_something_in_it_is_refused(
    target: Any, store: Store, tmp_path: Path, made: Lab
) -> None:
    for subject in ("1", "2"):
        write_bids(tmp_path / "in", made, subject=subject)
    put(store, target, tmp_path / "in")
    assert list(export_bids(target, tmp_path / "out", ["sub-02"]).recordings) == ["subject_02/sub-2_task-p300_eeg.edf"]
    with pytest.raises(P300Error) as caught:
        export_bids(target, tmp_path / "out")
    assert caught.value.code == "not_empty"
    with pytest.raises(P300Error) as caught:
        export_bids(target, tmp_path / "other", ["subject_09"])
    assert caught.value.code == "no_recordings"
    assert not (tmp_path / "other").exists()


def test_nothing_is_left_of_an_export_that_fails(
    target: Any, store: Store, tmp_path: Path, made: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bids(tmp_path / "in", made)
    put(store, target, tmp_path / "in")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("p300.bids.writing.write_data_set", fail)
    with pytest.raises(OSError, match="no space"):
        export_bids(target, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_synthetic_recording_stays_one(target: Any, store: Store, tmp_path: Path, made: Lab) -> None:
    folder = tmp_path / "subject_5"
    folder.mkdir()
    path = write(folder, made, "parquet", stem="run_01")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"synthetic": b"true"}), path)
    put(store, target, folder)
    out = tmp_path / "out"
    (exported,) = export_bids(target, out).recordings.values()
    assert SYNTHETIC in open_recording(path).notes
    assert SYNTHETIC in open_recording(out / exported).notes
    check_valid(out)
