"""Recordings of several files: they come one by one, in any order and twice, and move as a whole or wait, told of and not lost."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.features import read_features
from p300.recording import RecordingStream
from p300.signals import Parameters
from p300_pipeline.contracts import PreprocessResult
from p300_pipeline.keys import record_key
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, LANDING, RAW, content
from tests.support.ingest import do, land
from tests.support.readers import LABELS, N_SAMPLES, ONSETS, eeg_uv, write_brainvision

HEADER, SIGNAL, MARKERS = KEYS = tuple(f"subject_11/run_01.{extension}" for extension in ("vhdr", "eeg", "vmrk"))
type Files = dict[str, bytes]


def brainvision(folder: Path, name: str = "run_01") -> Files:
    """Return a BrainVision recording's files by landing key, the header first."""
    events = [
        ("NonTarget" if label == 1 else "Target", int(onset)) for label, onset in zip(LABELS, ONSETS, strict=True)
    ]
    path = write_brainvision(folder / f"{name}.vhdr", events)
    return {f"subject_11/{name}.{e}": path.with_suffix(f".{e}").read_bytes() for e in ("vhdr", "eeg", "vmrk")}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return brainvision(tmp_path)


def louder(files: Files) -> Files:
    """The same recording with another signal, and the same header."""
    return {**files, SIGNAL: (np.frombuffer(files[SIGNAL], "<i2") * 2).astype("<i2").tobytes()}


def land_all(store: Store, files: Files, order: Iterable[str] = (), seconds_ago: float = 0) -> dict[str, Landed]:
    return {key: land(store, key, files[key], seconds_ago) for key in order or files}


@pytest.mark.parametrize("order", list(itertools.permutations(KEYS)))
def test_whichever_file_comes_last_completes_the_recording(store: Store, files: Files, order: tuple[str, ...]) -> None:
    landed, answers = {}, []
    for key in order:
        landed[key] = land(store, key, files[key])
        answers.append(do(store, landed[key]))
        if len(landed) < len(order):
            assert content(store, RAW) == {}
            assert content(store, LANDING) == {key: files[key] for key in landed}
    assert [answer["outcome"] for answer in answers] == ["waiting", "waiting", "stored"]
    assert (content(store, RAW), content(store, LANDING)) == (files, {})
    stored = answers[-1]
    assert (stored["key"], stored["channels"], stored["files"]) == (HEADER, 3, list(KEYS))
    json.dumps(answers)
    for key in order:  # each event again: they all lead to the recording
        again = do(store, landed[key])
        assert (again["outcome"], again["key"], again["etag"]) == ("unchanged", HEADER, stored["etag"])
    assert content(store, RAW) == files


@pytest.mark.parametrize("first", KEYS)
def test_any_event_moves_all_files_once_they_are_there(store: Store, files: Files, first: str) -> None:
    landed = land_all(store, files)
    assert do(store, landed[first])["outcome"] == "stored"
    assert {do(store, landed[key])["outcome"] for key in files if key != first} == {"unchanged"}
    assert (content(store, RAW), content(store, LANDING)) == (files, {})


def test_what_is_missing_is_named(store: Store, files: Files) -> None:
    answer = do(store, land(store, HEADER, files[HEADER]))
    assert answer["missing"] == [SIGNAL, MARKERS]
    assert all(word in answer["detail"] for word in (HEADER, SIGNAL, MARKERS, "Upload"))
    assert answer["look_again_s"] == 2
    answer = do(store, land(store, SIGNAL, files[SIGNAL]))
    assert answer["missing"] == [MARKERS], "the header is there and says what else belongs to it"
    store.delete(LANDING, HEADER)
    answer = do(store, land(store, SIGNAL, files[SIGNAL]))
    assert answer["missing"] == ["a .vhdr that names it"]


def test_what_stays_incomplete_is_said_to_be_and_can_still_be_completed(store: Store, files: Files) -> None:
    landed = land(store, HEADER, files[HEADER], seconds_ago=600)
    assert (do(store, landed)["outcome"], do(store, landed)["look_again_s"]) == ("waiting", 60)
    late = ingest(store, LANDING, RAW, landed, wait_for_files_s=300)
    assert late["outcome"] == "incomplete"
    assert "after 300 s" in late["detail"]
    signal = land(store, SIGNAL, files[SIGNAL])
    assert ingest(store, LANDING, RAW, signal, wait_for_files_s=300)["outcome"] == "waiting", "more has come since"
    assert do(store, land(store, MARKERS, files[MARKERS]))["outcome"] == "stored"
    assert content(store, RAW) == files


def test_companions_may_have_other_names_than_the_header(store: Store, tmp_path: Path) -> None:
    files = brainvision(tmp_path, "as exported")
    files["subject_11/run 7.vhdr"] = files.pop("subject_11/as exported.vhdr")
    other = brainvision(tmp_path, "another")
    land(store, "subject_11/another.vhdr", other["subject_11/another.vhdr"])
    land(store, "subject_11/broken.vhdr", b"no header")
    outcomes = [do(store, land(store, key, files[key]))["outcome"] for key in reversed(files)]
    assert outcomes == ["waiting", "waiting", "stored"]
    assert content(store, RAW) == files


def write_eeglab(path: Path) -> None:
    """Write path (.set) and its .fdt, as EEGLAB does with two files."""
    eeg_uv(3).astype("<f4").tofile(path.with_suffix(".fdt"))
    kinds = np.where(LABELS == 2, "Target", "NonTarget")
    events = [
        {"type": str(kind), "latency": float(onset + 1), "duration": 0.0}
        for kind, onset in zip(kinds, ONSETS, strict=True)
    ]
    eeg = {
        "setname": "a", "nbchan": 3.0, "trials": 1.0, "pnts": float(N_SAMPLES), "srate": 256.0, "xmin": 0.0,
        "xmax": (N_SAMPLES - 1) / 256, "data": f"{path.stem}.fdt", "event": np.array(events),
        "chanlocs": np.array([{"labels": name, "X": 0.0, "Y": 0.0, "Z": 1.0} for name in ("Fz", "Cz", "Pz")]),
        "icawinv": [], "icaweights": [], "icasphere": [], "icaact": [], "epoch": [],
    }  # fmt: skip
    scipy.io.savemat(path, {"EEG": eeg}, appendmat=False, oned_as="row")


@pytest.mark.parametrize("order", [("set", "fdt"), ("fdt", "set")])
def test_eeglab_with_its_signal_in_another_file(store: Store, tmp_path: Path, order: tuple[str, ...]) -> None:
    write_eeglab(tmp_path / "run_02.set")
    files = {f"subject_11/run_02.{e}": (tmp_path / f"run_02.{e}").read_bytes() for e in order}
    answers = [do(store, land(store, key, body)) for key, body in files.items()]
    assert [answer["outcome"] for answer in answers] == ["waiting", "stored"]
    assert (answers[1]["key"], answers[1]["channels"], answers[1]["sfreq"]) == ("subject_11/run_02.set", 3, 256.0)
    assert content(store, RAW) == files


def test_a_labs_own_event_names(store: Store, files: Files) -> None:
    files[MARKERS] = files[MARKERS].replace(b"NonTarget", b"S  7").replace(b"Target", b"S 33")
    landed = land_all(store, files)
    names = Parameters.from_json('{"event_id": {"S  7": 1, "33": 2}}')
    assert names.event_mapping == {"S  7": 1, "33": 2, 33: 2}
    answer = ingest(store, LANDING, RAW, landed[HEADER], parameters=names)
    assert answer["outcome"] == "stored"
    assert make_features(store, names=names)["n_flashes"] == len(ONSETS)


# ---- what is no recording
@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../subject_12/run_01.eeg", "..\\run.eeg", "C:\\run.eeg", "$b.eeg", "run.vhdr", "run.txt", ".eeg"],
)
def test_a_header_names_files_beside_it_only(store: Store, files: Files, name: str) -> None:
    header = files[HEADER].replace(b"DataFile=run_01.eeg", f"DataFile={name}".encode())
    answer = do(store, land(store, HEADER, header))
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "bad_companion")
    assert HEADER in answer["reason"]["message"]


def test_files_that_are_no_recording_go_to_quarantine_together(store: Store, files: Files) -> None:
    files[MARKERS] = files[MARKERS].replace(b"Target", b"Other")
    landed = land_all(store, files)
    answer = do(store, landed[MARKERS])
    assert (answer["outcome"], answer["reason"]["code"], answer["key"]) == ("quarantined", "unknown_codes", HEADER)
    assert content(store, LANDING) == {}
    kept = content(store, RAW)
    records = [json.loads(kept[key]) for key in kept if key.startswith("quarantine-records/")]
    quarantined = {record["landing_key"]: record["quarantine_key"] for record in records}
    assert set(quarantined) == set(files)
    for key, kept_as in quarantined.items():
        assert kept[kept_as] == files[key]
    assert set(answer["reason"]["files"]) == set(quarantined.values())
    assert do(store, landed[HEADER]) == answer
    assert do(store, landed[SIGNAL])["reason"]["code"] == "unknown_codes"


def test_all_files_count_towards_the_limit(store: Store, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = sum(map(len, files.values())) - 1
    monkeypatch.setattr("p300_pipeline.steps.zones.MAX_RECORDING_BYTES", limit)
    landed = land_all(store, files)
    assert do(store, landed[SIGNAL])["reason"]["code"] == "too_large"
    assert content(store, LANDING) == {}


def test_a_companion_belongs_to_one_recording(store: Store, files: Files) -> None:
    for key in files:
        answer = do(store, land(store, key, files[key], seconds_ago=10))
    assert answer["outcome"] == "stored"
    second = {"subject_11/copy.vhdr": files[HEADER], SIGNAL: louder(files)[SIGNAL], MARKERS: files[MARKERS]}
    answer = [do(store, land(store, key, body)) for key, body in second.items()][-1]
    assert answer["reason"]["code"] == "name_taken"
    assert HEADER in answer["reason"]["message"]
    assert {key: body for key, body in content(store, RAW).items() if not key.startswith("quarantine")} == files


# ---- uploads after the first
def test_the_same_files_again_change_nothing(store: Store, files: Files) -> None:
    first = [do(store, land(store, key, files[key], seconds_ago=9)) for key in files][-1]
    again = [do(store, land(store, key, files[key])) for key in files]
    assert [answer["outcome"] for answer in again] == ["waiting", "waiting", "unchanged"]
    assert (again[-1]["etag"], content(store, LANDING), content(store, RAW)) == (first["etag"], {}, files)


def test_an_older_header_does_not_take_the_files_of_the_newer(store: Store, files: Files) -> None:
    older = land(store, HEADER, files[HEADER] + b"\n", seconds_ago=5)
    landed = land_all(store, files)
    assert do(store, older)["reason"]["code"] == "superseded"
    assert do(store, landed[SIGNAL])["outcome"] == "stored"
    assert {key: body for key, body in content(store, RAW).items() if not key.startswith("quarantine")} == files


def test_an_older_companion_does_not_wait_for_ever(store: Store, files: Files) -> None:
    older = land(store, SIGNAL, louder(files)[SIGNAL], seconds_ago=5)
    for key in files:
        do(store, land(store, key, files[key]))
    answer = do(store, older)
    assert answer["reason"]["code"] == "superseded"
    assert content(store, LANDING) == {}
    assert store.get(RAW, SIGNAL)[0] == files[SIGNAL]


# ---- at the same time, and deaths
@pytest.fixture
def quickly_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNE takes longer than all the rest; what counts in these stories is only whether it likes the markers."""

    def read(path: Path, name: str, _: Any) -> RecordingStream:
        if b"Other" in path.with_suffix(".vmrk").read_bytes():
            raise RecordingError("unknown_codes", f"{name}: other markers")
        return RecordingStream(("Cz",), 256.0, 1, np.zeros(1, np.int32), None, lambda: iter([np.zeros((1, 1))]))

    monkeypatch.setattr("p300_pipeline.steps.zones.open_usable", read)


@pytest.mark.usefixtures("quickly_read")
def test_the_events_of_all_files_at_once(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None], files: Files
) -> None:
    @given(st.lists(st.integers(0, 2), max_size=40))
    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        landed = land_all(store, files)
        answers = interleave([lambda s, event=event: do(s, event) for event in landed.values()], turns)
        assert (content(store, LANDING), content(store, RAW)) == ({}, files)
        # One that looks while the files are on their way waits, and looks again.
        assert "stored" in {answer["outcome"] for answer in answers} <= {"stored", "unchanged", "waiting"}
        for event in landed.values():
            again = do(store, event)
            assert (again["outcome"], again["key"]) == ("unchanged", HEADER)

    any_order()


@pytest.mark.usefixtures("quickly_read")
@pytest.mark.parametrize(
    ("story", "event"), [("new", SIGNAL), ("new signal", HEADER), ("no recording", SIGNAL), ("no recording", HEADER)]
)
def test_a_death_anywhere_is_mended_by_the_retry(
    store: Store,
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
    files: Files,
    story: str,
    event: str,
) -> None:
    landed: dict[str, Landed] = {}

    def prepare() -> None:
        empty_buckets()
        new = files
        if story == "new signal":
            for key in files:
                do(store, land(store, key, files[key], seconds_ago=20))
            new = louder(files)
        elif story == "no recording":
            new = {**files, MARKERS: files[MARKERS].replace(b"Target", b"Other")}
        landed.update(land_all(store, new))

    def step(at: Store) -> str:
        outcome = str(do(at, landed[event])["outcome"])
        return "stored" if outcome == "unchanged" else outcome

    def state() -> Any:
        for event_of_a_file in landed.values():  # the other executions find nothing left to do
            do(store, event_of_a_file)
        kept = content(store, RAW)
        return content(store, LANDING), {k: v for k, v in kept.items() if not k.endswith(".json")}, set(kept)

    after_any_death(prepare, step, state)


# ---- features
def provenance(store: Store) -> dict[str, Any]:
    import io

    body, _ = store.get(FEATURES, "subject_11/run_01/features.parquet")
    return dict(read_features(io.BytesIO(body)).provenance)


def make_features(store: Store, etag: str = "", names: Parameters | None = None) -> PreprocessResult:
    return preprocess(store, RAW, FEATURES, HEADER, etag, names or Parameters())


def test_features_name_the_etags_of_all_files(store: Store, files: Files) -> None:
    stored = [do(store, land(store, key, files[key], seconds_ago=9)) for key in files][-1]
    assert make_features(store, stored["etag"])["outcome"] == "features"
    etags = {key: store.head(RAW, key).etag for key in files}
    named = provenance(store)
    assert (named["raw_key"], named["raw_etag"]) == (HEADER, etags[HEADER])
    assert json.loads(named["raw_companions"]) == {"run_01.eeg": etags[SIGNAL], "run_01.vmrk": etags[MARKERS]}
    report = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    assert report["raw_companions"] == {"run_01.eeg": etags[SIGNAL], "run_01.vmrk": etags[MARKERS]}
    assert make_features(store, stored["etag"])["outcome"] == "unchanged"
    # Another signal under the same header is another recording.
    new = [do(store, land(store, key, louder(files)[key])) for key in files][-1]
    assert (new["outcome"], new["etag"]) == ("stored", stored["etag"])
    assert make_features(store, new["etag"])["outcome"] == "features"
    assert (
        json.loads(provenance(store)["raw_companions"])["run_01.eeg"] == store.head(RAW, SIGNAL).etag != etags[SIGNAL]
    )


def test_files_without_usable_epochs_leave_the_raw_data_together(
    store: Store, after_any_death: Callable[..., None], empty_buckets: Callable[[], None], files: Files
) -> None:
    wild = np.random.default_rng(0).normal(0, 3000, N_SAMPLES * 3).astype("<i2").tobytes()

    def prepare() -> None:
        empty_buckets()
        for key, body in {**files, SIGNAL: wild}.items():
            do(store, land(store, key, body))

    def step(at: Store) -> str:
        return str(make_features(at, store_etag[0])["outcome"])

    def state() -> Any:
        return set(content(store, RAW)), set(content(store, FEATURES))

    prepare()
    store_etag = [store.head(RAW, HEADER).etag]
    after_any_death(prepare, step, state)
    kept, features = state()
    assert features == set()
    objects = {key for key in kept if key.startswith("quarantine/")}
    assert kept - objects == {record_key(key) for key in objects}
    assert len(kept) == 2 * len(files)
