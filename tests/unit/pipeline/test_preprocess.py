"""Preprocessing: features of exactly the bytes that were ingested, once, whatever happens in between."""

import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from p300.errors import P300Error
from p300.features import read_features
from p300.signals import Parameters
from p300_pipeline.contracts import IngestResult, PreprocessResult
from p300_pipeline.keys import record_key
from p300_pipeline.steps.backfill import list_recordings, sum_up
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import NotFoundError, Store

LANDING, RAW, FEATURES = "p300-landing-zone", "p300-raw-data", "p300-processed-features"
KEY, OTHER_KEY = "subject_11/run_01.parquet", "subject_11/run_01.PARQUET"
FEATURES_KEY, REPORT_KEY = "subject_11/run_01/features.parquet", "subject_11/run_01/report.json"


def do(store: Store, etag: str, key: str = KEY, parameters: Parameters | None = None) -> PreprocessResult:
    return preprocess(store, RAW, FEATURES, key, etag, parameters or Parameters())


def content(store: Store, bucket: str) -> dict[str, bytes]:
    return {item.key: store.get(bucket, item.key)[0] for item in store.list(bucket)}


def provenance(store: Store) -> dict[str, str]:
    return read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0])).provenance


def test_features_and_report(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    etag = store.put(RAW, KEY, recording_bytes(channels=("C3", "C4")))
    answer = do(store, etag)
    assert set(content(store, FEATURES)) == {FEATURES_KEY, REPORT_KEY}
    features = read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0]))
    assert features.ch_names == ("C3", "C4")
    assert features.X.shape == (24, 2 * 70)
    assert (features.provenance["raw_key"], features.provenance["raw_etag"]) == (KEY, etag)
    report = json.loads(store.get(FEATURES, REPORT_KEY)[0])
    assert (report["raw_key"], report["raw_etag"], report["n_flashes"], report["n_kept"]) == (KEY, etag, 24, 24)
    assert answer == {
        "outcome": "features",
        "recording": "subject_11/run_01",
        "key": KEY,
        "features_key": FEATURES_KEY,
        "etag": etag,
        "n_flashes": 24,
        "n_kept": 24,
        "bad_channels": [],
        "channels": ["C3", "C4"],
        "labelled": True,
    }
    json.dumps(answer)


@pytest.mark.parametrize("n_channels", [8, 16])
@pytest.mark.parametrize("sfreq", [128.0, 250.0, 256.0, 512.0])
def test_any_rate_and_montage_comes_out_at_100_hz(
    store: Store, recording_bytes: Callable[..., bytes], sfreq: float, n_channels: int
) -> None:
    names = [f"E{number}" for number in range(n_channels)]
    do(store, store.put(RAW, KEY, recording_bytes(sfreq=sfreq, channels=names, n_flashes=12)))
    features = read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0]))
    assert (features.sfreq, features.X.shape) == (100.0, (12, n_channels * 70))


def test_twice_is_unchanged(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    etag = store.put(RAW, KEY, recording_bytes())
    first = do(store, etag)
    before = {item.key: (item.etag, item.modified) for item in store.list(FEATURES)}
    second = do(store, etag)
    assert second == {**first, "outcome": "unchanged"}
    assert {item.key: (item.etag, item.modified) for item in store.list(FEATURES)} == before


def test_other_parameters_make_other_features(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    etag = store.put(RAW, KEY, recording_bytes())
    do(store, etag)
    assert do(store, etag, parameters=Parameters(h_freq=15.0))["outcome"] == "features"
    assert read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0])).parameters.h_freq == 15.0


def test_a_newer_raw_recording_replaces_the_features(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    do(store, store.put(RAW, KEY, recording_bytes(seed=1)))
    newer = store.put(RAW, KEY, recording_bytes(seed=2))
    assert do(store, newer)["outcome"] == "features"
    assert provenance(store)["raw_etag"] == newer


def test_an_older_event_makes_nothing(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    older = store.put(RAW, KEY, recording_bytes(seed=1))
    store.put(RAW, KEY, recording_bytes(seed=2))
    assert do(store, older)["outcome"] == "superseded"
    assert content(store, FEATURES) == {}


def test_a_recording_without_usable_epochs_goes_to_quarantine(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    body = recording_bytes(scale_uv=300.0)
    etag = store.put(RAW, KEY, body)
    answer = do(store, etag)
    assert (answer["outcome"], answer["reason"]["code"]) == ("quarantined", "no_epochs_kept")
    assert answer["recording"] == "subject_11/run_01"
    assert set(content(store, RAW)) == {answer["quarantine_key"], record_key(answer["quarantine_key"])}
    assert store.get(RAW, answer["quarantine_key"])[0] == body
    assert content(store, FEATURES) == {}
    assert do(store, etag) == answer, "a retry tells the same reason"


def test_few_kept_epochs_are_said_in_the_answer_now_and_again(
    store: Store, recording_bytes: Callable[..., bytes]
) -> None:
    etag = store.put(RAW, KEY, recording_bytes(scale_uv=36.0, n_flashes=60))
    made, again = do(store, etag), do(store, etag)
    assert 0 < made["n_kept"] < 30
    (told,) = made["notes"]
    assert told.startswith(f"only {made['n_kept']} of 60 epochs are kept")
    assert (again["outcome"], again["notes"]) == ("unchanged", [told])
    assert told in json.loads(store.get(FEATURES, REPORT_KEY)[0])["notes"]


def test_quarantine_takes_only_the_version_it_read(
    store: Store, recording_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = store.put(RAW, KEY, recording_bytes(scale_uv=300.0))
    newer = recording_bytes(seed=2)
    copy = store.copy

    def copy_while_a_newer_one_is_ingested(*args: Any, **how: Any) -> None:
        copy(*args, **how)
        store.put(RAW, KEY, newer)

    monkeypatch.setattr(store, "copy", copy_while_a_newer_one_is_ingested)
    assert do(store, etag)["outcome"] == "quarantined"
    assert store.get(RAW, KEY)[0] == newer


def test_the_good_recording_before_a_bad_one_stays(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    good = store.put(RAW, KEY, recording_bytes(seed=1))
    do(store, good)
    bad = store.put(RAW, KEY, recording_bytes(scale_uv=300.0))
    assert do(store, bad)["outcome"] == "quarantined"
    assert store.head(RAW, KEY).etag == good
    assert do(store, good)["outcome"] == "unchanged"


# ---- deaths
@pytest.mark.parametrize("story", ["new", "newer", "bad"])
def test_a_death_anywhere_is_mended_by_the_retry(
    store: Store,
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    story: str,
) -> None:
    etags: list[str] = []

    def prepare() -> None:
        empty_buckets()
        if story == "newer":
            do(store, store.put(RAW, KEY, recording_bytes(seed=1)))
        etags.append(store.put(RAW, KEY, recording_bytes(scale_uv=300.0 if story == "bad" else 10.0, seed=2)))

    def step(at: Store) -> dict[str, Any]:
        answer = do(at, etags[-1])
        answer.pop("reason", None)
        return {**answer, "outcome": answer["outcome"].replace("unchanged", "features")}

    after_any_death(prepare, step, lambda: (content(store, FEATURES), set(content(store, RAW))))


# ---- at the same time
def any_turns(n_tasks: int, n_examples: int) -> Callable[..., Any]:
    """Run with many interleavings of long and short runs of operations."""
    run = st.tuples(st.integers(0, n_tasks - 1), st.integers(1, 9)).map(lambda task: [task[0]] * task[1])
    given_turns = given(turns=st.lists(run, max_size=6).map(lambda runs: list(itertools.chain(*runs))))
    how = settings(max_examples=n_examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    return lambda test: how(given_turns(test))


# The older one looks, the newer one comes and looks, the older one writes its features (4 operations on) or its report (6 on).
@example(turns=[0] * 4 + [1] * 4 + [0])
@example(turns=[0] * 5 + [1] * 4 + [0])
@example(turns=[0] * 6 + [1] * 4 + [0])
@example(turns=[0] * 7 + [1] * 4 + [0])
@example(turns=[0] * 8 + [1] * 4 + [0])
@any_turns(2, 5)
def test_two_uploads_at_once_end_in_features_of_the_newer(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    turns: list[int],
) -> None:
    empty_buckets()
    older = store.put(RAW, KEY, recording_bytes(seed=1))
    newer: list[str] = []

    def ingested_meanwhile(at: Store) -> PreprocessResult:
        newer.append(at.put(RAW, KEY, recording_bytes(seed=2)))
        return do(at, newer[0])

    first, second = interleave([lambda at: do(at, older), ingested_meanwhile], turns)
    assert first["outcome"] in {"features", "superseded"}
    assert second["outcome"] == "features"
    assert provenance(store)["raw_etag"] == newer[0]
    assert json.loads(store.get(FEATURES, REPORT_KEY)[0])["raw_etag"] == newer[0]


@any_turns(2, 5)
def test_one_recording_in_two_executions_at_once(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    turns: list[int],
) -> None:
    empty_buckets()
    etag = store.put(RAW, KEY, recording_bytes())
    answers = interleave([lambda at: do(at, etag)] * 2, turns)
    assert {answer["outcome"] for answer in answers} <= {"features", "unchanged"}
    assert set(content(store, FEATURES)) == {FEATURES_KEY, REPORT_KEY}


@any_turns(2, 5)
def test_one_recording_under_two_names_at_once_leaves_one(
    store: Store,
    interleave: Callable[..., list[Any]],
    empty_buckets: Callable[[], None],
    recording_bytes: Callable[..., bytes],
    turns: list[int],
) -> None:
    empty_buckets()
    bodies = {KEY: recording_bytes(seed=1), OTHER_KEY: recording_bytes(seed=2)}
    uploads = {}
    for key, body in bodies.items():
        store.put(LANDING, key, body)
        item = store.head(LANDING, key)
        uploads[key] = Landed(key, item.etag, item.version_id)

    def whole(at: Store, landed: Landed) -> IngestResult | PreprocessResult:
        answer = ingest(at, LANDING, RAW, landed)
        return answer if answer["outcome"] == "quarantined" else do(at, answer["etag"], answer["key"])

    answers = interleave([lambda at, one=one: whole(at, one) for one in uploads.values()], turns)
    assert sorted(answer["outcome"] for answer in answers) == ["features", "quarantined"]
    (kept,), (refused,) = (
        [one for one in answers if one["outcome"] == outcome] for outcome in ("features", "quarantined")
    )
    assert refused["reason"]["code"] == "name_taken"
    assert provenance(store)["raw_key"] == kept["key"] != refused["key"]
    raw = content(store, RAW)
    assert [key for key in raw if key.startswith("subject_")] == [kept["key"]]
    assert raw[refused["quarantine_key"]] == bodies[refused["key"]]
    assert content(store, LANDING) == {}
    with pytest.raises(NotFoundError):
        store.head(RAW, refused["key"])


# ---- backfill
def test_no_etag_means_the_recording_as_it_is_now(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    do(store, store.put(RAW, KEY, recording_bytes(seed=1)))
    newer = store.put(RAW, KEY, recording_bytes(seed=2))
    assert do(store, "")["outcome"] == "features"
    assert provenance(store)["raw_etag"] == newer
    assert do(store, "")["outcome"] == "unchanged"
    assert do(store, "", key="subject_12/gone.parquet")["outcome"] == "superseded"


def test_parameters_that_leave_nothing_move_no_recording(store: Store, recording_bytes: Callable[..., bytes]) -> None:
    do(store, store.put(RAW, KEY, recording_bytes()))
    before = content(store, RAW), content(store, FEATURES)
    strict = Parameters(reject_peak_to_peak_uv=0.001)
    answer = preprocess(store, RAW, FEATURES, KEY, "", strict, may_quarantine=False)
    assert (answer["outcome"], answer["reason"]["code"]) == ("unusable", "no_epochs_kept")
    assert (content(store, RAW), content(store, FEATURES)) == before


def test_the_report_tells_which_channels_were_replaced(store: Store) -> None:
    """What the reader assumed and what the signal path replaced: both are in report.json."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    stim = np.zeros(128 * 14, np.int32)
    stim[128 : 128 * 13 : 64] = [2 if flash % 6 == 5 else 1 for flash in range(24)]
    scale = {"Fz": 10, "Cz": 10, "Pz": 10, "Oz": 10, "P7": 2000}
    columns = {f"eeg_{name}": rng.normal(0, uv, len(stim)).astype(np.float32) for name, uv in scale.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**columns, "stim": stim}).replace_schema_metadata({"sfreq": "128"}), buffer)
    do(store, store.put(RAW, KEY, buffer.getvalue()))
    report = json.loads(store.get(FEATURES, REPORT_KEY)[0])
    assert report["bad_channels"] == ["P7"]
    assert any("P7 replaced" in note for note in report["notes"])


def test_the_functions_parameters_come_from_its_environment(
    store: Store, recording_bytes: Callable[..., bytes], load_function: Callable[..., Any], context: Any
) -> None:
    environment = {"P300_RAW_BUCKET": RAW, "P300_FEATURES_BUCKET": FEATURES}
    event = {"execution": "e-1", "key": KEY, "etag": store.put(RAW, KEY, recording_bytes())}
    load_function("preprocessing", **environment, P300_PREPROCESSING="").handler(event, context)
    assert read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0])).parameters == Parameters()
    changed = load_function("preprocessing", **environment, P300_PREPROCESSING='{"h_freq": 15, "baseline": null}')
    assert changed.handler(event, context)["outcome"] == "features"
    made_with = read_features(io.BytesIO(store.get(FEATURES, FEATURES_KEY)[0])).parameters
    assert made_with == Parameters(h_freq=15, baseline=None)
    broken = load_function("preprocessing", **environment, P300_PREPROCESSING='{"highest": 15}')
    with pytest.raises(P300Error, match="highest"):
        broken.handler(event, context)


# ---- the list of a backfill
def test_the_list_names_every_recording_and_nothing_else(store: Store) -> None:
    recordings = [f"subject_{number:02d}/run.parquet" for number in range(1, 1101)]  # a listing has pages of 1,000
    for key in (
        *recordings,
        "subject_01/a.vhdr",
        "subject_01/a.eeg",
        "quarantine/0123/subject_01/b.csv",
        "subject_01/notes.md",
    ):
        store.put(RAW, key, b"x")
    answer = list_recordings(store, RAW, FEATURES, "one")
    assert answer == {"bucket": FEATURES, "key": "backfill/one/recordings.json", "n_recordings": 1101}
    listed = json.loads(store.get(FEATURES, answer["key"])[0])
    assert [one["key"] for one in listed] == sorted([*recordings, "subject_01/a.vhdr"])


def test_a_backfill_is_summed_up_by_its_notes(store: Store) -> None:
    became = {
        "subject_01/a.csv": "features/drawn",
        "subject_01/b.csv": "unchanged/drawn",
        "subject_02/c d.csv": "unchanged/unchanged",
        "subject_03/e.csv": "superseded/none",
        "subject_04/f.csv": "unusable/no_epochs_kept",
        "subject_05/g.csv": "failed/Sandbox.Timedout",
    }
    for key in (*became, "subject_06/h.csv"):
        store.put(RAW, key, b"x")
    list_recordings(store, RAW, FEATURES, "one")
    for key, how in became.items():
        store.put(FEATURES, f"backfill/one/done/{how}/{key}", b"")
    store.put(FEATURES, "backfill/another/done/features/drawn/subject_06/h.csv", b"")
    answer = sum_up(store, FEATURES, "one")
    assert answer["n_recordings"] == 7
    assert answer["outcomes"] == {"features": 1, "unchanged": 2, "superseded": 1, "unusable": 1, "failed": 2}
    assert answer["reports_drawn"] == 2
    failures = json.loads(store.get(FEATURES, answer["failures"])[0])
    assert [(one["key"], one["outcome"], one["reason"]) for one in failures] == [
        ("subject_04/f.csv", "unusable", "no_epochs_kept"),
        ("subject_05/g.csv", "failed", "Sandbox.Timedout"),
        ("subject_06/h.csv", "failed", "nothing was noted of it"),
    ]


def test_the_answer_of_a_backfill_does_not_grow_with_the_recordings(store: Store) -> None:
    sizes = []
    for n in (1, 300):
        store.put(
            FEATURES,
            "backfill/one/recordings.json",
            json.dumps([{"key": f"subject_{i}/a.csv"} for i in range(n)]).encode(),
        )
        sizes.append(len(json.dumps(sum_up(store, FEATURES, "one"))))
    assert sizes[1] <= sizes[0] + 4  # digits of the counts
