"""`aws s3 sync` of a BIDS data set: in whatever order its files come, each recording is stored as `p300 land` would store it."""

import io
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300.bids.tree import bundle_in_place
from p300.features import FeatureSet, read_features
from p300.signals import Parameters
from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import RecordingKey
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

from tests.support.bids import channels_tsv, write_bids
from tests.support.buckets import FEATURES, LANDING, RAW, content
from tests.support.ingest import do, land, stored
from tests.support.labs import Lab, generated, lab

RECORDING = "sub-P07/eeg/sub-P07_task-p300_eeg.edf"
HOME, BUNDLE = "subject_p07/sub-P07_task-p300_eeg.edf", "subject_p07/sub-P07_task-p300_eeg.bids.json"
EVENTS, CHANNELS, EEG = (f"sub-P07/eeg/sub-P07_task-p300_{end}" for end in ("events.tsv", "channels.tsv", "eeg.json"))
DATA_SET, SHARED = "dataset_description.json", "task-p300_channels.tsv"
ASK = "sub-P07/eeg/sub-P07_task-p300_eeg.bids.json"


@pytest.fixture(scope="module")
def made() -> Lab:
    return lab(3)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory, made: Lab) -> Path:
    root = tmp_path_factory.mktemp("bids")
    write_bids(root, made, "edf", subject="P07")
    return root


def files_in(root: Path) -> dict[str, bytes]:
    """What `aws s3 sync` uploads."""
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def go_on(store: Store, answer: IngestResult) -> str:
    """What the state machine does after ingestion."""
    if answer["outcome"] not in {"stored", "unchanged"}:
        return str(answer["outcome"])
    return str(preprocess(store, RAW, FEATURES, answer["key"], answer["etag"], Parameters())["outcome"])


def execution(store: Store, landed: Landed) -> str:
    return go_on(store, do(store, landed))


def ingestion(store: Store, landed: Landed) -> str:
    return str(do(store, landed)["outcome"])


def settle(store: Store, landed: Iterable[Landed], run: Callable[[Store, Landed], str] = execution) -> list[str]:
    """Run executions as S3 starts them, those that wait again, and those of what executions land."""
    known = {one.key for one in landed}
    queue, outcomes = list(landed), []
    for _ in range(100):
        if not queue:
            return outcomes
        one = queue.pop(0)
        outcome = run(store, one)
        outcomes.append(outcome)
        asked = [store.head(LANDING, item.key) for item in store.list(LANDING) if item.key.endswith(".bids.json")]
        queue += [Landed(item.key, item.etag, item.version_id) for item in asked if item.key not in known]
        if outcome == "waiting" and any(other for other in queue if other != one):
            queue.append(one)
        known |= {one.key for one in queue}
        known -= {one.key for one in queue if one.key.endswith(".bids.json")}
    raise AssertionError("the executions do not come to an end")


def sync(store: Store, files: dict[str, bytes], order: Iterable[str]) -> list[str]:
    return settle(store, [land(store, key, files[key]) for key in order])


def features(store: Store, key: str = HOME) -> FeatureSet:
    return read_features(io.BytesIO(store.get(FEATURES, RecordingKey.parse(key).features)[0]))


def in_raw(store: Store) -> dict[str, bytes]:
    return {key: body for key, body in content(store, RAW).items() if not key.startswith("quarantine")}


@pytest.mark.parametrize("extension", ["edf", "bdf", "set", "vhdr"])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_data_set_is_stored_as_p300_land_stores_it(
    store: Store, tmp_path: Path, made: Lab, extension: str, inherited: bool
) -> None:
    path = write_bids(tmp_path, made, extension, subject="P07", session="1", run="2", inherited=inherited)
    files = files_in(tmp_path)
    sync(store, files, sorted(files))
    expected = bundle_in_place(path)
    assert expected
    home = f"subject_p07/{path.name}"
    parts = {one.name: one.read_bytes() for one in path.parent.iterdir() if one.suffix in (".eeg", ".vmrk")}
    assert in_raw(store) == {
        home: path.read_bytes(),
        f"subject_p07/{path.stem}.bids.json": expected.to_bytes(),
        **{f"subject_p07/{name}": body for name, body in parts.items()},
    }
    left = {"README", DATA_SET, "participants.tsv"} | ({SHARED, "task-p300_eeg.json"} if inherited else set())
    assert set(content(store, LANDING)) == left
    assert features(store, home).bids["subject"] == "P07"


@pytest.mark.parametrize("one_by_one", [False, True])
@given(data=st.data())
@generated(3)
def test_every_order_gives_the_same(
    store: Store, empty_buckets: Callable[[], None], data_set: Path, made: Lab, one_by_one: bool, data: st.DataObject
) -> None:
    files = files_in(data_set) | {"task-p300_channels.tsv": channels_tsv(made, bad=made.names[:2]).encode()}
    if data.draw(st.booleans()):
        del files[CHANNELS]
    order = data.draw(st.permutations(sorted(files)))
    empty_buckets()
    if one_by_one:
        waiting: list[Landed] = []
        for key in order:
            came = land(store, key, files[key])
            waiting += [came] if "waiting" in settle(store, [came]) else []
        settle(store, waiting)
    else:
        sync(store, files, order)
    applied = {path: files[path] for path in files if path not in {"README", RECORDING}}
    said = json.loads(content(store, RAW)[BUNDLE])
    assert said["recording"] == RECORDING
    assert said["files"] == {path: body.decode() for path, body in applied.items()}
    assert set(in_raw(store)) == {HOME, BUNDLE}
    assert set(content(store, LANDING)) == {"README", DATA_SET, "participants.tsv", SHARED}
    assert json.loads(features(store).provenance["raw_companions"]) == {Path(BUNDLE).name: store.head(RAW, BUNDLE).etag}


@pytest.mark.parametrize("late", [CHANNELS, SHARED, EVENTS])
def test_no_order_of_two_executions_loses_metadata(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    data_set: Path,
    late: str,
) -> None:
    files = files_in(data_set)
    if late == SHARED:
        files[SHARED] = files.pop(CHANNELS)

    @given(st.integers(0, 40), st.integers(0, 25))
    @example(0, 0)
    @generated(6)
    def any_order(of_recording: int, of_late: int) -> None:
        empty_buckets()
        landed = {key: land(store, key, body) for key, body in files.items() if key != late}

        def of_metadata(at: Store) -> str:
            list(at.list(LANDING))  # the upload itself comes some time after the other execution began
            landed[late] = land(store, late, files[late])
            return ingestion(at, landed[late])

        turns = [0] * of_recording + [1] * of_late
        interleave([lambda s: ingestion(s, landed[RECORDING]), of_metadata], turns)
        settle(store, landed.values(), ingestion)
        assert set(json.loads(content(store, RAW)[BUNDLE])["files"]) == set(files) - {"README", RECORDING}
        assert set(content(store, RAW)) == {HOME, BUNDLE}

    any_order()


def test_a_death_anywhere_is_mended_by_the_retry(
    store: Store, after_any_death: Callable[..., None], empty_buckets: Callable[[], None], data_set: Path
) -> None:
    files, landed = files_in(data_set), dict[str, Landed]()

    def prepare() -> None:
        empty_buckets()
        landed.update({key: land(store, key, files[key]) for key in (DATA_SET, EEG, EVENTS, RECORDING)})

    def step(at: Store) -> str:
        outcome = ingestion(at, landed[RECORDING])
        return "stored" if outcome == "unchanged" else outcome

    def state() -> Any:
        settle(store, landed.values(), ingestion)
        return content(store, LANDING), content(store, RAW)

    after_any_death(prepare, step, state)


def test_what_is_waited_for_is_said(store: Store, data_set: Path) -> None:
    files = files_in(data_set)
    answer = do(store, land(store, RECORDING, files[RECORDING]))
    assert answer["outcome"] == "waiting"
    assert [what.partition(" ")[0] for what in answer["missing"]] == [EVENTS, EEG, DATA_SET]
    alone = do(store, land(store, "sub-P08/eeg/sub-P08_task-p300_events.tsv", files[EVENTS]))
    assert (alone["outcome"], "sub-P08" in alone["missing"][0]) == ("waiting", True)
    late = land(store, RECORDING, files[RECORDING], seconds_ago=1000)
    assert ingest(store, LANDING, RAW, late, wait_for_files_s=900)["outcome"] == "incomplete"


def test_shared_metadata_bring_recordings_that_have_stopped_looking(store: Store, tmp_path: Path, made: Lab) -> None:
    write_bids(tmp_path, made, "edf", subject="P07", inherited=True)
    files = files_in(tmp_path)
    for key in files:
        if key != "task-p300_eeg.json":
            execution(store, land(store, key, files[key]))
    stored(LANDING, RECORDING).last_modified -= timedelta(hours=1)
    assert in_raw(store) == {}
    came = do(store, land(store, "task-p300_eeg.json", files["task-p300_eeg.json"]))
    assert (came["outcome"], "1 recording without it" in came["detail"]) == ("ignored", True)
    ask = store.head(LANDING, ASK)
    assert execution(store, Landed(ask.key, ask.etag, ask.version_id)) == "features"
    assert set(in_raw(store)) == {HOME, BUNDLE}
    assert ASK not in content(store, LANDING)


@pytest.mark.parametrize(
    "key",
    [
        "README", "CHANGES", ".bidsignore", "derivatives/x/sub-01/eeg/sub-01_task-a_eeg.edf", "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/sub-01_scans.tsv", "task-p300_events.json", "sub-01/eeg/sub-01_task-a_events.json", ".git/annex/objects/a.edf",
    ],
)  # fmt: skip
def test_what_is_not_read_is_left_alone_with_a_reason(store: Store, key: str) -> None:
    answer = do(store, land(store, key, b"x"))
    assert (answer["outcome"], "stays in the landing zone" in answer["detail"]) == ("ignored", True)
    assert set(content(store, LANDING)) == {key}


@pytest.mark.parametrize(
    "key", ["sub-01/eeg/x.edf", "sub-01/eeg/sub-02_task-a_eeg.edf", "sub-01/eeg/sub-01_eeg.edf", "sub-01/x/y/z.edf"]
)
def test_an_invalid_name_is_quarantined_with_what_is_expected(store: Store, key: str) -> None:
    reason = do(store, land(store, key, b"x"))["reason"]
    assert reason["code"] == "wrong_key"
    assert "sub-<label>/[ses-<label>/]eeg/" in reason["message"]


def test_another_data_set_does_not_change_recordings_of_the_first(store: Store, data_set: Path, made: Lab) -> None:
    files = files_in(data_set)
    sync(store, files, sorted(files))
    before = content(store, RAW)
    other = {
        DATA_SET: b'{"Name": "Others", "BIDSVersion": "1.10.0"}',
        SHARED: channels_tsv(made, bad=made.names[:1]).encode(),
        "participants.tsv": b"participant_id\tage\nsub-P07\t99\n",
    }
    sync(store, other, sorted(other))
    answer = do(store, land(store, SHARED, other[SHARED]))
    assert "Not changed: 1 recording in the raw zone" in answer["detail"]
    waiting = do(store, land(store, EVENTS, files[EVENTS] + b"99.5\tn/a\tTarget\t25472\n"))
    assert (waiting["outcome"], "has another" in waiting["missing"][0]) == ("waiting", True)
    assert content(store, RAW) == before


@pytest.mark.parametrize("key", [CHANNELS, SHARED])
@pytest.mark.parametrize("described", [True, False])
def test_metadata_wait_for_the_description_of_their_data_set(
    store: Store, data_set: Path, made: Lab, key: str, described: bool
) -> None:
    files = files_in(data_set)
    del files[CHANNELS]
    sync(store, files, sorted(files))
    before = content(store, RAW)
    store.delete(LANDING, DATA_SET)
    came = land(store, key, channels_tsv(made, bad=made.names[:1]).encode())
    assert execution(store, came) == ("waiting" if key == CHANNELS else "ignored")
    assert content(store, RAW) == before
    description = files[DATA_SET] if described else b'{"Name": "Others", "BIDSVersion": "1.10.0"}'
    settle(store, [came, land(store, DATA_SET, description)])
    assert (content(store, RAW) != before) == described
    assert features(store).rejection.marked_bad_channels == ((made.names[0],) if described else ())


def test_a_recording_that_comes_again_comes_with_its_metadata(store: Store, data_set: Path, made: Lab) -> None:
    files = files_in(data_set)
    sync(store, files, sorted(files))
    first = features(store)
    changed = files | {CHANNELS: channels_tsv(made, bad=made.names[:1]).encode()}
    sync(store, changed, sorted(changed))
    assert features(store).rejection.marked_bad_channels == (made.names[0],)
    assert first.rejection.marked_bad_channels == ()
    assert not any(key.startswith("quarantine") for key in content(store, RAW))


@pytest.mark.parametrize(("key", "late"), [(EVENTS, False), (CHANNELS, False), (CHANNELS, True)])
def test_invalid_metadata_are_quarantined_with_the_reason(store: Store, data_set: Path, key: str, late: bool) -> None:
    files = files_in(data_set) | {key: b"onset\tonset\n"}
    order = sorted(files)
    if late:
        order.remove(key)
        order.append(key)
        sync(store, files, order[:-1])
    outcomes = sync(store, files, order[-1:] if late else order)
    assert "quarantined" in outcomes
    quarantined = [name for name in content(store, RAW) if name.startswith("quarantine/")]
    assert any(name.endswith(key) for name in quarantined)
    assert any(name.endswith(RECORDING) for name in quarantined) != late
    assert (HOME in in_raw(store)) == late


def test_pointers_are_named_as_what_they_are(store: Store, data_set: Path) -> None:
    files = files_in(data_set) | {RECORDING: b"/annex/objects/MD5E-s12--abc.edf\n"}
    for key in sorted(files):
        land(store, key, files[key])
    item = store.head(LANDING, RECORDING)
    reason = do(store, Landed(RECORDING, item.etag, item.version_id))["reason"]
    assert (reason["code"], "git-annex pointer" in reason["message"]) == ("pointer", True)


def test_a_sidecar_lands_in_the_tree_too(store: Store, data_set: Path, made: Lab) -> None:
    files = files_in(data_set)
    sidecar = RECORDING.replace(".edf", ".p300.json")
    said = {"bad_channels": [made.names[3]]}
    sync(store, files | {sidecar: json.dumps(said).encode()}, [*sorted(files), sidecar])
    assert set(in_raw(store)) == {HOME, BUNDLE, HOME.replace(".edf", ".p300.json")}
    assert features(store).sidecar == said
    assert features(store).bids["subject"] == "P07"
