"""Every key that S3 allows is a recording's or refused; what is refused has a place in quarantine."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.formats import EXTENSIONS
from p300_pipeline.keys import (
    RECORDS,
    RecordingKey,
    bare_name,
    is_landing_key,
    is_litter,
    is_recording,
    is_sidecar,
    quarantine_key,
    record_key,
    recording_of_features,
    subject_name,
)

s3_keys = st.text(min_size=1, max_size=1024).filter(lambda key: len(key.encode()) <= 1024)
etags = st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,5})?", fullmatch=True)
like_recordings = st.from_regex(
    r"subject_[0-9]{1,30}/[A-Za-z0-9][A-Za-z0-9_.+=@ -]{0,220}\.[A-Za-z]{1,8}", fullmatch=True
)


@given(s3_keys | like_recordings)
@example("subject_1/" + "a" * 200 + ".parquet")
def test_every_recording_has_a_sidecar_and_only_that_is_one(key: str) -> None:
    assert not (is_sidecar(key) and is_recording(key))
    if is_recording(key):
        for sidecar in (RecordingKey.parse(key).sidecar, RecordingKey.parse(key).bids):
            assert is_sidecar(sidecar)
            assert is_landing_key(sidecar)
            assert bare_name(sidecar) == bare_name(key) == RecordingKey.parse(key).recording


@pytest.mark.parametrize(
    "key",
    ["subject_1/.p300.json", "subject_1/a.json", "a.p300.json", "subject_1/a/b.p300.json", "subject_1/..p300.json"],
)
def test_what_has_no_recordings_name_is_no_sidecar(key: str) -> None:
    assert not is_sidecar(key)
    assert not is_landing_key(key)


@given(s3_keys | like_recordings)
@example("subject_1/a.parquet")
@example("subject_" + "1" * 800 + "/" + "a" * 190 + ".parquet")
@example("subject_\u0661/a.parquet")
@example("subject_1/a.parquet\n")
@example("subject_11/")
def test_a_key_is_parsed_or_refused(key: str) -> None:
    try:
        parsed = RecordingKey.parse(key)
    except RecordingError as error:
        assert error.code == "wrong_key"
        assert "subject_11/run_01.parquet" in error.message
        return
    assert str(parsed) == key
    assert parsed.ext.lower() in EXTENSIONS
    assert recording_of_features(parsed.features) == parsed.recording
    for derived in (parsed.features, parsed.report, parsed.erp_plot):
        assert len(derived.encode()) <= 1024
        assert derived.startswith(f"{parsed.folder}/{parsed.name}/")
    assert len(f"{parsed.recording}.parquet") <= 250, "a file system takes 255 bytes"


@pytest.mark.parametrize(
    "key",
    [
        "subject_11/x.parquet",
        "subject_11/subject_11_eeg_stim.parquet",
        "subject_007/Run 1+2=3 @lab.CSV",
        "subject_1/1.mat",
        "subject_1/RecordSession_2026.11.27.hdf5",
        "subject_P07/run.edf",
        "sub-P07/eeg/sub-P07_task-p300_run-1_eeg.vhdr",
        "sub-P07/ses-1/eeg/sub-P07_ses-1_task-p300_eeg.edf",
    ],
)
def test_keys_of_recordings(key: str) -> None:
    assert str(RecordingKey.parse(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "x.parquet",
        "subject_/x.parquet",
        "subject_a-b/x.parquet",
        "subject_1/eeg/x.edf",
        "sub-01/eeg/x.edf",
        "sub-01/eeg/sub-02_task-a_eeg.edf",
        "sub-01/eeg/sub-01_eeg.edf",
        "sub-01/eeg/sub-01_task-a_eeg.parquet",
        "sub-01/ses-1/eeg/sub-01_task-a_eeg.edf",
        "sub-01/anat/sub-01_task-a_eeg.edf",
        "Subject_1/x.parquet",
        "subject_1/x.doc",
        "subject_1/x",
        "subject_1/.parquet",
        "subject_1/-x.parquet",
        "subject_1/../subject_2/x.parquet",
        "subject_1/a..b.parquet",
        "subject_1/a/b.parquet",
        "/subject_1/x.parquet",
        "subject_1//x.parquet",
        "quarantine/subject_1/x.parquet",
    ],
)
def test_keys_of_no_recording(key: str) -> None:
    with pytest.raises(RecordingError) as refused:
        RecordingKey.parse(key)
    assert refused.value.code == "wrong_key"
    assert repr(key) in refused.value.message


LABELS = st.from_regex(r"[0-9A-Za-z+]{1,20}", fullmatch=True)


@given(LABELS, st.integers(0, 3))
@example("7", 1)
@example("P7", 1)
@example("NDARAA075AMK", 0)
def test_one_person_has_one_name_however_the_label_is_spelled(label: str, n_zeros: int) -> None:
    letters = label.rstrip("0123456789")
    padded = f"{letters}{'0' * n_zeros}{label[len(letters) :]}" if label != letters else label
    spellings = [f"{before}{one}" for before in ("sub-", "subject_") for one in (label, label.upper(), padded)]
    (name,) = {subject_name(spelled) for spelled in spellings}
    assert subject_name(name) == name
    task = f"sub-{label}_task-a_eeg.edf"
    keys = [f"sub-{label}/eeg/{task}", f"subject_{label}/{task}", f"sub-{label}/{task}", f"{name}/{task}"]
    assert {RecordingKey.parse(key).subject for key in keys} == {name}
    assert all(f"{name}/{task}" in map(str, RecordingKey.parse(key).spellings()) for key in keys)


@given(st.sets(LABELS, min_size=2, max_size=2))
def test_two_people_have_two_names(labels: set[str]) -> None:
    first, second = ({*re.split(r"0*(\d*)$", one.lower())} for one in labels)
    assert (subject_name(f"sub-{min(labels)}") == subject_name(f"sub-{max(labels)}")) == (first == second)


@given(s3_keys, etags)
@example("é" * 512, "0" * 32)
@example("a.json", "0" * 32)
def test_quarantine_has_room_for_every_key(key: str, etag: str) -> None:
    kept = quarantine_key(key, etag)
    folder, _, name = kept.removeprefix("quarantine/").partition("/")
    assert kept.startswith("quarantine/")
    assert len(kept.encode()) <= 1024
    assert key.startswith(name)
    if len(key.encode()) <= 950:
        assert name == key
    assert record_key(kept) == f"quarantine-records/{folder}.json"


@given(s3_keys, s3_keys, etags, etags)
@example("a" * 1000 + "1", "a" * 1000 + "2", "0" * 32, "0" * 32)
@example("a", "a", "0" * 32, "0" * 12 + "1" * 20)
def test_no_two_uploads_share_a_place_or_a_record(one: str, other: str, etag: str, other_etag: str) -> None:
    places = {quarantine_key(one, etag), quarantine_key(other, other_etag)}
    assert len(places) == len({record_key(place) for place in places}) == len({(one, etag), (other, other_etag)})


@given(s3_keys, etags)
def test_no_landing_key_leads_to_a_record(key: str, etag: str) -> None:
    assert not quarantine_key(key, etag).startswith(RECORDS)
    assert not is_landing_key(RECORDS + key)


@pytest.mark.parametrize(
    "key",
    [
        "subject_01/.DS_Store", "subject_01/._run_01.parquet", "Thumbs.db", "subject_01/THUMBS.DB", "subject_01/desktop.ini",
        "subject_01/~$notes.docx", "subject_01/run.parquet.part", "run.edf.crdownload", "subject_1/run.tmp", "__MACOSX/subject_1/run.csv",
        "subject_01/.~lock.notes.ods#", "a~",
    ],
)  # fmt: skip
def test_litter(key: str) -> None:
    assert is_litter(key, 3)
    assert not is_landing_key(key)


@given(like_recordings)
def test_no_recording_is_litter(key: str) -> None:
    assert not (is_landing_key(key) and is_litter(key, 1))


def test_a_folder_marker_is_litter_only_without_content() -> None:
    assert is_litter("subject_01/", 0)
    assert is_litter("/", 0)
    assert not is_litter("subject_01/", 5)
    assert not is_litter("subject_01/run.parquet", 0)


def test_other_keys_of_the_features_bucket_are_no_features() -> None:
    assert recording_of_features("subject_1/a/report.json") is None
    assert recording_of_features("subject_1/a/features.parquet") == "subject_1/a"
