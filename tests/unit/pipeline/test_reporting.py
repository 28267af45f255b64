"""Reports: what is drawn is what features and models hold, and it is drawn once."""

import hashlib
import json
import pickle
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from p300.chance import in_words
from p300.errors import ArtifactError
from p300.features import FeatureSet
from p300.reporting import picture, verdict
from p300.reporting.verdict import Finding
from p300.signals import Parameters
from p300_pipeline.registry import Registry
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.steps.reporting import draw_pictures, draw_report
from p300_pipeline.storage import Store

from tests.support.paths import PROJECT
from tests.support.training import train

RAW, FEATURES, MODELS = "p300-raw-data", "p300-processed-features", "p300-models"
KEY = "subject_11/run_01.parquet"
FEATURES_KEY, PICTURE_KEY, PAGE_KEY = (
    f"subject_11/run_01/{name}" for name in ("features.parquet", "erp.png", "report.html")
)
PNG = b"\x89PNG"
JUDGE = verdict.judge
FINDINGS: dict[bytes, Finding] = {}


@pytest.fixture
def preprocessed(store: Store, recording_bytes: Callable[..., bytes]) -> Callable[..., str]:
    """preprocessed(seed=..., ...): put a raw recording and make its features; returns the raw ETag."""

    def make(**how: Any) -> str:
        etag = store.put(RAW, KEY, recording_bytes(**how))
        assert preprocess(store, RAW, FEATURES, KEY, etag, Parameters())["outcome"] == "features"
        return etag

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[FeatureSet]:
    """Draw nothing, and judge the same features once: what would be drawn is in the list."""
    drawn: list[FeatureSet] = []

    def judge(features: FeatureSet, recording: str) -> Finding:
        key = hashlib.sha256(pickle.dumps((features, recording))).digest()
        if key not in FINDINGS:
            FINDINGS[key] = JUDGE(features, recording)
        return FINDINGS[key]

    def draw(features: FeatureSet, title: str, finding: Finding) -> bytes:
        drawn.append(features)
        return PNG + title.encode()

    monkeypatch.setattr(verdict, "judge", judge)
    monkeypatch.setattr(picture, "draw", draw)
    monkeypatch.setattr("p300.reporting.maps.map_pngs", lambda maps: [PNG] * len(maps.windows))
    return drawn


def test_the_report_says_whether_the_recording_is_at_chance(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    etag = preprocessed()
    before = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    assert draw_report(store, FEATURES, KEY)["outcome"] == "drawn"
    after = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    chance = after["single_flash"]["chance"]
    assert before | {name: after[name] for name in ("single_flash", "verdict")} == after
    schema = json.loads((PROJECT / "docs/report.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(before)
    jsonschema.Draft202012Validator(schema).validate(after)
    assert in_words(chance) in store.get(FEATURES, PAGE_KEY)[0].decode()
    # Features and report are still those of the recording, and stay as they are.
    assert preprocess(store, RAW, FEATURES, KEY, etag, Parameters())["outcome"] == "unchanged"
    assert json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0]) == after


def test_a_report_of_newer_features_is_not_added_to(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    preprocessed()
    store.put(FEATURES, "subject_11/run_01/report.json", b"{}", metadata={"raw-key": KEY, "raw-etag": "newer"})
    draw_report(store, FEATURES, KEY)
    assert store.get(FEATURES, "subject_11/run_01/report.json")[0] == b"{}"


# ---- the step
def test_drawn_beside_the_features_and_stamped(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    etag = preprocessed(channels=("Fz", "Cz", "Pz"))
    answer = draw_report(store, FEATURES, KEY)
    assert (answer["outcome"], answer["page_key"]) == ("drawn", PAGE_KEY)
    assert answer["verdict"] == json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])["verdict"]["words"]
    assert store.get(FEATURES, PICTURE_KEY)[0] == PNG + b"subject_11/run_01"
    page, item = store.get(FEATURES, PAGE_KEY)
    assert b"subject_11/run_01" in page
    assert item.metadata["raw-etag"] == etag
    assert item.metadata == store.head(FEATURES, FEATURES_KEY).metadata
    assert store.client.head_object(Bucket=FEATURES, Key=PAGE_KEY)["ContentType"] == "text/html; charset=utf-8"


def test_twice_is_unchanged_and_draws_once(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    preprocessed()
    draw_report(store, FEATURES, KEY)
    before = {item.key: item.modified for item in store.list(FEATURES)}
    assert draw_report(store, FEATURES, KEY)["outcome"] == "unchanged"
    assert {item.key: item.modified for item in store.list(FEATURES)} == before
    assert len(quick) == 1


def test_new_features_of_the_same_recording_are_drawn_anew(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    etag = preprocessed()
    draw_report(store, FEATURES, KEY)
    preprocess(store, RAW, FEATURES, KEY, etag, Parameters(h_freq=15.0))
    assert draw_report(store, FEATURES, KEY)["outcome"] == "drawn"
    assert [features.parameters.h_freq for features in quick] == [20.0, 15.0]


def test_a_death_between_picture_and_page_is_mended(
    store: Store,
    preprocessed: Callable[..., str],
    quick: list[FeatureSet],
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
) -> None:
    def prepare() -> None:
        empty_buckets()
        preprocessed()

    after_any_death(
        prepare,
        lambda at: {**draw_report(at, FEATURES, KEY), "outcome": "", "auc": 0, "verdict": ""},
        lambda: {item.key: store.get(FEATURES, item.key)[0] for item in store.list(FEATURES)},
    )


def test_without_features_there_is_no_report(store: Store, quick: list[FeatureSet]) -> None:
    assert draw_report(store, FEATURES, KEY)["outcome"] == "no_features"
    assert list(store.list(FEATURES)) == []


def test_features_replaced_while_drawing_are_not_written_over(
    store: Store, preprocessed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessed(seed=1)

    def draw(features: FeatureSet, title: str, finding: Finding) -> bytes:
        monkeypatch.setattr(picture, "draw", lambda features, title, finding: PNG + b"newer")
        preprocessed(seed=2)
        assert draw_report(store, FEATURES, KEY)["outcome"] == "drawn"
        return PNG + b"older"

    monkeypatch.setattr(picture, "draw", draw)
    assert draw_report(store, FEATURES, KEY)["outcome"] == "superseded"
    assert store.get(FEATURES, PICTURE_KEY)[0] == PNG + b"newer"


def test_the_function_answers_and_counts(
    store: Store,
    preprocessed: Callable[..., str],
    quick: list[FeatureSet],
    load_function: Callable[..., Any],
    context: Any,
    logged: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.nice", lambda increment: increment)
    preprocessed()
    handler = load_function("reporting", P300_FEATURES_BUCKET=FEATURES, P300_MODELS_BUCKET=MODELS).handler
    assert handler({"execution": "e-1", "key": KEY}, context)["outcome"] == "drawn"
    lines = logged()
    assert any(line.get("correlation_id") == "e-1" for line in lines)
    assert any(line.get("ReportsDrawn") == [1.0] for line in lines)


# ---- a model's pictures
VERSION = "v20260102030405"


@pytest.fixture
def trained(store: Store, put_features: Callable[..., Any]) -> Callable[[int], None]:
    """trained(3): a model of that many people."""

    def make(n_people: int) -> None:
        for number in range(n_people):
            put_features(f"subject_{number:02d}/run")
        answer = train(store, model="ridge")
        assert answer["version"] == VERSION

    return make


def in_folder(store: Store) -> dict[str, bytes]:
    return {item.key.partition("/")[2]: store.get(MODELS, item.key)[0] for item in store.list(MODELS, f"{VERSION}/")}


def test_a_models_pictures_come_into_its_folder_and_its_manifest_stays(
    store: Store, trained: Callable[[int], None]
) -> None:
    trained(3)
    before = in_folder(store)
    assert not [name for name in before if name.endswith(".png")]
    names = ["calibration.png", "learning_curve.png", "subjects.png"]
    for version in (VERSION, "challenger"):  # twice is the same
        assert draw_pictures(store, MODELS, version) == {"outcome": "drawn", "version": VERSION, "names": names}
    after = in_folder(store)
    assert {name: body for name, body in after.items() if name in before} == before
    assert sorted(after.keys() - before.keys()) == names
    assert all(after[name].startswith(PNG) for name in names)
    assert store.client.head_object(Bucket=MODELS, Key=f"{VERSION}/subjects.png")["ContentType"] == "image/png"
    with pytest.raises(ArtifactError):
        draw_pictures(store, MODELS, "v20260102030406")


def test_a_death_between_two_pictures_is_mended(
    store: Store,
    trained: Callable[[int], None],
    after_any_death: Callable[..., None],
    empty_buckets: Callable[[], None],
) -> None:
    def prepare() -> None:
        empty_buckets()
        trained(2)

    after_any_death(prepare, lambda at: draw_pictures(at, MODELS, VERSION), lambda: in_folder(store))


def test_pictures_that_the_manifest_lists_are_left_as_they_are(store: Store, trained: Callable[[int], None]) -> None:
    trained(2)
    registry = Registry(store, MODELS)
    drawn_then = {"calibration.png": (PNG + b"of then", "image/png")}
    registry.publish("v20250101000000", "f", drawn_then, registry.manifest(VERSION) | {"version": "v20250101000000"})
    answer = draw_pictures(store, MODELS, "v20250101000000")
    assert (answer["outcome"], answer["names"]) == ("unchanged", ["calibration.png"])
    manifest = registry.manifest("v20250101000000")
    assert registry.picture("v20250101000000", "calibration.png", manifest) == PNG + b"of then"
