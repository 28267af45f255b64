"""Files called .dat: BCI2000's are recordings, BrainVision's belong to a header, and neither takes the other's place."""

from pathlib import Path

import numpy as np
import pytest
from p300_pipeline.steps.raw_data import recordings_in
from p300_pipeline.storage import Store

from tests.support.bci2000 import write_bci2000
from tests.support.buckets import LANDING, RAW, content
from tests.support.ingest import do, land
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, write_brainvision

HEADER = "subject_11/run_01.vhdr"
type Files = dict[str, bytes]


@pytest.fixture
def named(tmp_path: Path) -> Files:
    """A BrainVision recording whose signal is called .dat, by landing key, the header first."""
    markers = [
        ("NonTarget" if label == 1 else "Target", int(onset)) for label, onset in zip(LABELS, ONSETS, strict=True)
    ]
    path = write_brainvision(tmp_path / "run_01.vhdr", markers)
    found = {f"subject_11/run_01.{e}": path.with_suffix(f".{e}").read_bytes() for e in ("vhdr", "eeg", "vmrk")}
    return {
        key.replace(".eeg", ".dat"): body.replace(b"run_01.eeg", b"run_01.dat") if not key.endswith(".eeg") else body
        for key, body in found.items()
    }


def bci2000(folder: Path) -> bytes:
    code, target = np.zeros(N_SAMPLES, int), np.zeros(N_SAMPLES, bool)
    for number, (onset, label) in enumerate(zip(ONSETS, LABELS, strict=True)):
        code[onset : onset + 10], target[onset : onset + 10] = 1 + number % 6, label == 2
    return write_bci2000(folder / "own.dat", np.round(eeg_uv(3).T * 100), code, target).read_bytes()


def test_a_dat_file_of_bci2000_is_a_recording_of_its_own(store: Store, tmp_path: Path) -> None:
    landed = land(store, "subject_11/own.dat", bci2000(tmp_path))
    answer = do(store, landed)
    assert (answer["outcome"], answer["key"], answer["channels"]) == ("stored", "subject_11/own.dat", 3)
    assert do(store, landed)["outcome"] == "unchanged"
    assert [item.key for item in recordings_in(store, RAW)] == ["subject_11/own.dat"]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_dat_file_of_brainvision_belongs_to_its_header(store: Store, named: Files, first: int) -> None:
    order = [*list(named)[first:], *list(named)[:first]]
    answers = [do(store, land(store, key, named[key])) for key in order]
    assert [answer["outcome"] for answer in answers] == ["waiting", "waiting", "stored"]
    assert content(store, RAW) == named
    assert [item.key for item in recordings_in(store, RAW)] == [HEADER]


def test_neither_dat_file_takes_the_place_of_the_other(store: Store, named: Files, tmp_path: Path) -> None:
    own = bci2000(tmp_path)
    for key, body in named.items():
        do(store, land(store, key, body))
    answer = do(store, land(store, "subject_11/run_01.dat", own))
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "name_taken")
    assert {key: content(store, RAW)[key] for key in named} == named
    do(store, land(store, "subject_11/another.dat", own))
    stolen = {key.replace("run_01", "another"): body.replace(b"run_01", b"another") for key, body in named.items()}
    answers = [do(store, land(store, key, body)) for key, body in stolen.items()]
    assert answers[-1]["reason"]["code"] == "name_taken"
    assert content(store, RAW)["subject_11/another.dat"] == own


@pytest.mark.parametrize("first", [True, False])
def test_a_sidecar_goes_with_either_kind(store: Store, named: Files, tmp_path: Path, first: bool) -> None:
    files = {**named, "subject_11/own.dat": bci2000(tmp_path)}
    said = {"subject_11/run_01.p300.json": b"{}", "subject_11/own.p300.json": b'{"reference": "average"}'}
    order = {**said, **files} if first else {**files, **said}
    for key, body in order.items():
        assert do(store, land(store, key, body))["outcome"] in {"waiting", "stored"}
    assert content(store, RAW) == {**files, **said}
    assert content(store, LANDING) == {}
    headers = {key: store.head(RAW, key).metadata["header"] for key in said}
    assert headers == {"subject_11/run_01.p300.json": HEADER, "subject_11/own.p300.json": "subject_11/own.dat"}
