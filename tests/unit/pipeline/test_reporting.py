"""Reports: what is drawn is what features and models hold, once, and nothing from a file or a key gets into the page as HTML."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from p300.chance import in_words
from p300.errors import ArtifactError
from p300.features import FeatureSet, report
from p300.reporting import picture
from p300.reporting.page import render, single_trial
from p300.signals import Parameters
from p300_pipeline.registry import Registry
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.steps.reporting import draw_pictures, draw_report
from p300_pipeline.storage import Store

from tests.support.features import make_features
from tests.support.training import train

RAW, FEATURES, MODELS = "p300-raw-data", "p300-processed-features", "p300-models"
KEY = "subject_11/run_01.parquet"
FEATURES_KEY, PICTURE_KEY, PAGE_KEY = (
    f"subject_11/run_01/{name}" for name in ("features.parquet", "erp.png", "report.html")
)
PNG = b"\x89PNG"


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
    """Draw nothing: what would be drawn is in the list."""
    drawn: list[FeatureSet] = []

    def draw(features: FeatureSet, title: str) -> bytes:
        drawn.append(features)
        return PNG + title.encode()

    monkeypatch.setattr(picture, "draw", draw)
    return drawn


def test_the_report_says_whether_the_recording_is_at_chance(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    etag = preprocessed()
    before = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    assert draw_report(store, FEATURES, KEY)["outcome"] == "drawn"
    after = json.loads(store.get(FEATURES, "subject_11/run_01/report.json")[0])
    chance = after["single_flash"]["chance"]
    assert before | {"single_flash": after["single_flash"]} == after
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


# ---- the picture
def test_evoked_equals_mne_and_its_error_scipy() -> None:
    import mne
    from scipy.stats import sem

    features = make_features(channels=("Fz", "Cz", "Pz"), seed=3)
    info = mne.create_info(list(features.ch_names), features.sfreq, "eeg")
    for label in (1, 2):
        epochs = mne.EpochsArray(features.epochs[features.label == label].astype(np.float64), info, verbose="error")
        mean, error = picture.evoked(features, label)
        np.testing.assert_allclose(mean, epochs.average().get_data() * 1e6, atol=1e-9)
        np.testing.assert_allclose(error, sem(epochs.get_data(), axis=0) * 1e6, atol=1e-9)


@pytest.mark.parametrize("n_channels", [1, 3, 4, 9])
def test_every_channel_has_a_panel_and_known_ones_are_on_the_maps(
    n_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["fz", "Cz", "Pz", "OZ", "unheard of", "$x$", "P7", "P8", "Fp1"][:n_channels]
    titles: list[str] = []
    mapped: list[list[str]] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **how: titles.append(text))
    maps = picture._draw_maps
    monkeypatch.setattr(
        picture,
        "_draw_maps",
        lambda figure, features, known, top: (
            mapped.append([names[k] for k in known]),  # type: ignore[func-returns-value]
            maps(figure, features, known, top),
        ),
    )
    drawn = picture.draw(make_features(channels=names, n_times=40), "subject_01/run_01")
    assert drawn.startswith(PNG)
    assert [title.replace("\\", "") for title in titles[:n_channels]] == names
    known = [name for name in names if name not in {"unheard of", "$x$"}]
    assert mapped == ([known] if len(known) >= 4 else [])


def test_a_map_shows_the_difference_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows hold the mean of target minus non-target, the bump of 8 uV at 30 to 60 ms in the first of them."""
    seen: list[np.ndarray] = []

    def plot_topomap(values: np.ndarray, info: Any, *, axes: Any, vlim: tuple[float, float], **how: Any) -> Any:
        seen.append(values)
        return axes.imshow(np.zeros((2, 2)), vmin=vlim[0], vmax=vlim[1]), None

    monkeypatch.setattr("mne.viz.plot_topomap", plot_topomap)
    features = make_features(channels=("Fz", "Cz", "Pz", "Oz"), n_times=30, seed=1)
    picture.draw(features, "x")
    difference = picture.evoked(features, 2)[0] - picture.evoked(features, 1)[0]
    np.testing.assert_allclose(seen, [difference[:, k : k + 10].mean(axis=1) for k in (0, 10, 20)])
    assert np.all(seen[0] > 1.5)


@pytest.mark.parametrize("span_ms", [0.0, 90.0, 590.0, 800.0, 801.0, 2990.0])
def test_maps_are_few_and_cover_the_epoch(span_ms: float) -> None:
    times = np.arange(-100, span_ms + 1, 10.0)
    windows = picture._windows(times)
    assert 1 <= len(windows) <= picture.MAX_MAPS
    assert windows[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(windows))
    assert windows[-1][1] >= span_ms - (windows[0][1] / 2)


def test_one_epoch_of_a_class_has_no_band_but_a_line() -> None:
    assert picture.draw(make_features(n_epochs=6), "one target").startswith(PNG)


# ---- the page
def facts(features: FeatureSet, **changed: Any) -> dict[str, Any]:
    return {**report(features), "raw_key": KEY, "raw_etag": "0" * 32, **changed}


def test_single_trial_auc_is_that_of_blocks_left_out() -> None:
    clear, none = (single_trial(make_features(n_epochs=240, effect_uv=uv, seed=2), "subject_01/x") for uv in (8.0, 0.0))
    assert clear["roc_auc"] > 0.95
    assert 0.3 < none["roc_auc"] < 0.7
    assert list(clear["blocks"]) == [f"block_{k}" for k in range(1, 6)]
    assert clear["roc_auc"] == pytest.approx(np.mean(list(clear["blocks"].values())))


def test_too_few_epochs_are_told() -> None:
    features = make_features(n_epochs=6)
    auc = single_trial(features, "subject_01/x")
    assert auc["roc_auc"] is None
    page = render("subject_01/x", facts(features), auc, PNG)
    assert "too few epochs" in page
    assert "at least 2 of each" in page


def test_units_and_all_files_are_named() -> None:
    features = make_features()
    page = render(
        "subject_01/x", facts(features, raw_companions={"x.eeg": "1" * 32}), single_trial(features, "subject_01/x"), PNG
    )
    assert "20.0 Hz" in page
    assert "100.0 µV" in page
    assert f"<code>x.eeg</code>, ETag <code>{'1' * 32}</code>" in page


def test_nothing_from_outside_becomes_html() -> None:
    evil = '"><script>alert(1)</script>'
    features = make_features(channels=(evil, "Cz", "Pz"))
    changed = facts(features, notes=[evil], raw_key=evil, raw_etag=evil, bad_channels=[evil])
    page = render(evil, changed, {**single_trial(features, "subject_01/x"), "why": evil}, PNG)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_the_page_needs_nothing_else() -> None:
    features = make_features()
    page = render("subject_01/x", facts(features), single_trial(features, "subject_01/x"), PNG)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page


# ---- the step
def test_drawn_beside_the_features_and_stamped(
    store: Store, preprocessed: Callable[..., str], quick: list[FeatureSet]
) -> None:
    etag = preprocessed(channels=("Fz", "Cz", "Pz"))
    answer = draw_report(store, FEATURES, KEY)
    assert (answer["outcome"], answer["page_key"]) == ("drawn", PAGE_KEY)
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
        lambda at: {**draw_report(at, FEATURES, KEY), "outcome": "", "auc": 0},
        lambda: {item.key: store.get(FEATURES, item.key)[0] for item in store.list(FEATURES)},
    )


def test_without_features_there_is_no_report(store: Store, quick: list[FeatureSet]) -> None:
    assert draw_report(store, FEATURES, KEY)["outcome"] == "no_features"
    assert list(store.list(FEATURES)) == []


def test_features_replaced_while_drawing_are_not_written_over(
    store: Store, preprocessed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessed(seed=1)

    def draw(features: FeatureSet, title: str) -> bytes:
        monkeypatch.setattr(picture, "draw", lambda features, title: PNG + b"newer")
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
