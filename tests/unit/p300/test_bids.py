"""Names in a BIDS data set, which metadata apply, and the file that brings them along."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.bids.bundle import Bundle, bundle, parse
from p300.bids.paths import applies, is_own, left_alone, metadata_of, recording_of
from p300.bids.tree import is_root, read_tree
from p300.errors import RecordingError
from p300.limits import MOST_BIDS_FILES

RECORDING = "sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-1_eeg.edf"


@pytest.mark.parametrize(
    ("path", "does", "own"),
    [
        ("dataset_description.json", True, False),
        ("participants.tsv", True, False),
        ("task-p300_eeg.json", True, False),
        ("task-other_eeg.json", False, False),
        ("sub-01/sub-01_task-p300_channels.tsv", True, False),
        ("sub-01/ses-1/eeg/sub-01_ses-1_space-CapTrak_electrodes.tsv", True, False),
        ("sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-1_space-CapTrak_electrodes.tsv", True, True),
        ("sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-1_events.tsv", True, True),
        ("sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-2_events.tsv", False, False),
        ("sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-1_acq-x_events.tsv", False, False),
        ("sub-02/sub-02_task-p300_channels.tsv", False, False),
        ("sub-01/ses-2/eeg/sub-01_ses-2_task-p300_run-1_events.tsv", False, False),
    ],
)
def test_metadata_apply_to_what_is_below_them_and_has_their_entities(path: str, does: bool, own: bool) -> None:
    metadata, recording = metadata_of(path), recording_of(RECORDING)
    assert metadata
    assert recording
    assert (applies(metadata, recording), is_own(metadata, recording)) == (does, own)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("README", "data set as a whole"),
        ("CHANGES", "data set as a whole"),
        (".bidsignore", "data set as a whole"),
        ("participants.json", "data set as a whole"),
        ("derivatives/x/sub-01/eeg/sub-01_task-a_eeg.edf", "derivatives/"),
        ("sourcedata/a.edf", "sourcedata/"),
        (".git/annex/objects/a.edf", ".git/"),
        ("sub-01/anat/sub-01_T1w.nii.gz", "only eeg/ is read"),
        ("sub-01/ses-1/meg/sub-01_ses-1_task-a_meg.fif", "only eeg/ is read"),
        ("sub-01/sub-01_scans.tsv", "not read"),
        ("sub-01/eeg/sub-01_task-a_events.json", "not read"),
        ("task-a_events.json", "not read"),
    ],
)
def test_what_is_left_alone_has_a_reason(path: str, why: str) -> None:
    assert why in str(left_alone(path))


@pytest.mark.parametrize(
    "path", [RECORDING, "task-a_eeg.json", "participants.tsv", "x.edf", "sub-01/x.edf", "sub-01/eeg/x.edf"]
)
def test_what_is_used_or_invalid_is_not_left_alone(path: str) -> None:
    assert path == "participants.tsv" or left_alone(path) is None


@given(
    st.text(max_size=80)
    | st.from_regex(r"(sub-[a0]+/)?(ses-1/)?eeg/(sub-[a0]+_)?(ses-1_)?task-a_(eeg|events)\.(edf|tsv)")
)
def test_any_path_is_parsed_or_not_and_never_two_things(path: str) -> None:
    kinds = [recording_of(path), metadata_of(path)]
    assert kinds.count(None) >= 1
    assert all(kind is None or kind.path == path for kind in kinds)
    left_alone(path)


FILES = {
    "dataset_description.json": b"{}",
    "participants.tsv": b"participant_id\tage\nsub-01\t30\nsub-02\t40\n",
    "task-p300_eeg.json": b'{"PowerLineFrequency": 50}',
    "sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-1_events.tsv": "onset\tvalue\n1\t\u00e4\n".encode(),
    "sub-01/ses-1/eeg/sub-01_ses-1_task-p300_run-2_events.tsv": b"onset\tvalue\n",
    "README": b"x",
}


def test_a_bundle_has_what_applies_and_of_the_participants_its_own() -> None:
    made = bundle(RECORDING, FILES)
    assert sorted(made.files) == sorted([*list(FILES)[:4]])
    assert made.files["participants.tsv"] == "participant_id\tage\nsub-01\t30\n"
    assert parse(made.to_bytes(), "a.bids.json") == made
    assert bundle(RECORDING, dict(reversed(FILES.items()))).to_bytes() == made.to_bytes(), "whatever the order"
    again = {path: text.encode() for path, text in made.files.items()}
    assert bundle(RECORDING, again) == made, "put together from itself"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "form is unknown"),
        (b'{"recording": "x", "files": {}, "more": 1}', "form is unknown"),
        (b'{"recording": "x", "files": {"a": 1}}', "form is unknown"),
        (b'{"recording": "x", "recording": "y", "files": {}}', "twice"),
        (b'{"recording": "../x.edf", "files": {}}', "not the path of an EEG recording"),
        (
            json.dumps({"recording": RECORDING, "files": {"../../etc/passwd": ""}}).encode(),
            "expected metadata that apply",
        ),
        (
            json.dumps({"recording": RECORDING, "files": {"task-b_eeg.json": ""}}).encode(),
            "expected metadata that apply",
        ),
        (b'{"recording": "' + RECORDING.encode() + b'", "files": {"task-p300_eeg.json": "\\ud800"}}', "not JSON"),
        (b" " * ((32 << 20) + 1), "33,554,432 bytes"),
        (
            json.dumps(
                {
                    "recording": RECORDING,
                    "files": {f"sub-01/sub-01_space-{n}_electrodes.tsv": "" for n in range(MOST_BIDS_FILES + 1)},
                }
            ).encode(),
            "65 metadata files",
        ),
    ],
)
def test_a_hostile_bundle_is_refused(body: bytes, found: str) -> None:
    with pytest.raises(RecordingError) as caught:
        parse(body, "a.bids.json")
    assert found in caught.value.message


def test_of_a_participant_in_two_rows_none_is_chosen() -> None:
    with pytest.raises(RecordingError, match="2 rows"):
        bundle(RECORDING, {"participants.tsv": b"participant_id\tage\nsub-01\t30\nsub-01\t40\n"})


def test_a_bundle_of_two_equally_near_files_says_so_only_where_it_matters() -> None:
    positions = {f"sub-01/sub-01_space-{space}_electrodes.tsv": "" for space in ("CTF", "CapTrak")}
    assert len(Bundle(RECORDING, positions).of_kind("electrodes", "tsv")) == 2


# ---- trees
def test_links_out_of_a_data_set_are_not_entered(tmp_path: Path) -> None:
    out, root = tmp_path / "out" / "eeg", tmp_path / "bids"
    out.mkdir(parents=True)
    (out / "sub-02_task-a_eeg.edf").write_text("x")
    (root / "sub-01" / "eeg").mkdir(parents=True)
    (root / "sub-01" / "eeg" / "sub-01_task-a_eeg.edf").write_text("x")
    (root / "sub-02").symlink_to(out.parent)
    (root / "sub-03").mkdir()
    (root / "sub-03" / "eeg").symlink_to("../../bids/sub-03")
    tree = read_tree(root)
    assert tree.recordings == ["sub-01/eeg/sub-01_task-a_eeg.edf"]
    assert tree.left["links that point outside the data set"] == ["sub-02"]


def test_any_folder_of_recordings_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "run_01.edf").write_text("x")
    assert not is_root(tmp_path)
    (tmp_path / "dataset_description.json").write_text("{}")
    assert is_root(tmp_path)
