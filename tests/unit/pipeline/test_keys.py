"""Every key that S3 allows is a recording's or refused; what is refused has a place in quarantine."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300_pipeline.keys import EXTENSIONS, RecordingKey, quarantine_key, reason_key, recording_of_features

s3_keys = st.text(min_size=1, max_size=1024).filter(lambda key: len(key.encode()) <= 1024)
etags = st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,5})?", fullmatch=True)
like_recordings = st.from_regex(
    r"subject_[0-9]{1,30}/[A-Za-z0-9][A-Za-z0-9_.+=@ -]{0,220}\.[A-Za-z]{1,8}", fullmatch=True
)


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
        assert derived.startswith(f"{parsed.subject}/{parsed.name}/")
    assert len(f"{parsed.recording}.parquet") <= 250, "a file system takes 255 bytes"


@pytest.mark.parametrize(
    "key",
    [
        "subject_11/x.parquet",
        "subject_11/subject_11_eeg_stim.parquet",
        "subject_007/Run 1+2=3 @lab.CSV",
        "subject_1/1.mat",
    ],
)
def test_keys_of_recordings(key: str) -> None:
    assert str(RecordingKey.parse(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "x.parquet",
        "subject_/x.parquet",
        "subject_a/x.parquet",
        "Subject_1/x.parquet",
        "subject_1/x.txt",
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


@given(s3_keys, etags)
@example("é" * 512, "0" * 32)
def test_quarantine_has_room_for_every_key(key: str, etag: str) -> None:
    kept = quarantine_key(key, etag)
    for name in (kept, reason_key(kept)):
        assert name.startswith("quarantine/")
        assert len(name.encode()) <= 1024
    folder = f"quarantine/{etag[:12]}/"
    assert kept.startswith(folder)
    assert key.startswith(kept.removeprefix(folder))
    if len(key.encode()) <= 950:
        assert kept == folder + key


def test_other_keys_of_the_features_bucket_are_no_features() -> None:
    assert recording_of_features("subject_1/a/report.json") is None
    assert recording_of_features("subject_1/a/features.parquet") == "subject_1/a"
