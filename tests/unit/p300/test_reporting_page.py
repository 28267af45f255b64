"""The picture and the page of a recording: they show what the epochs hold, and nothing from a file or a key gets into the page as HTML."""

import json
import re
from html import unescape
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from p300.features import FeatureSet
from p300.recording_report import report
from p300.reporting import charts, maps, picture
from p300.reporting.assets import POLICY, SCRIPT, STYLE, source_of
from p300.reporting.page import render
from p300.reporting.verdict import Finding, difference_uv, judge
from p300.reporting.views import evoked, views

from tests.support.features import make_features

KEY = "subject_11/run_01.parquet"
PNG = b"\x89PNG"


def judged(features: FeatureSet) -> Finding:
    return judge(features, "subject_01/x")


def page_of(features: FeatureSet, name: str = "subject_01/x", **changed: Any) -> str:
    finding = judged(features)
    facts = {**report(features), "raw_key": KEY, "raw_etag": "0" * 32, **changed}
    return render(name, facts, finding, views(features, finding))


# ---- the picture
def test_evoked_equals_mne_and_its_error_scipy() -> None:
    import mne
    from scipy.stats import sem

    features = make_features(channels=("Fz", "Cz", "Pz"), seed=3)
    info = mne.create_info(list(features.ch_names), features.sfreq, "eeg")
    for label in (1, 2):
        epochs = mne.EpochsArray(features.epochs[features.label == label].astype(np.float64), info, verbose="error")
        mean, error = evoked(features, label)
        np.testing.assert_allclose(mean, epochs.average().get_data() * 1e6, atol=1e-9)
        np.testing.assert_allclose(error, sem(epochs.get_data(), axis=0) * 1e6, atol=1e-9)


@pytest.mark.parametrize("n_channels", [1, 3, 4, 9])
def test_every_channel_has_a_panel_and_known_ones_are_on_the_maps(
    n_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["fz", "Cz", "Pz", "OZ", "unheard of", "$x$", "P7", "P8", "Fp1"][:n_channels]
    titles: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **how: titles.append(text))
    features = make_features(channels=names, n_times=40)
    assert picture.draw(features, "subject_01/run_01", judged(features)).startswith(PNG)
    assert [title.replace("\\", "") for title in titles[:n_channels]] == names
    known = [name for name in names if name not in {"unheard of", "$x$"}]
    found = maps.maps_of(features)
    assert (list(found.ch_names) if found else []) == (known if len(known) >= 4 else [])


def test_a_map_shows_the_difference_where_it_is() -> None:
    """The windows hold the mean of target minus non-target, the bump of 8 uV at 30 to 60 ms in the first of them."""
    features = make_features(channels=("Fz", "Cz", "Pz", "Oz", "unheard of"), n_times=30, seed=1, effect_uv=0.0)
    features.epochs[features.label == 2, 2, 3:7] += 20e-6
    found = maps.maps_of(features)
    assert found is not None
    difference = difference_uv(features)[:4]
    np.testing.assert_allclose(found.values, [difference[:, k : k + 10].mean(axis=1) for k in (0, 10, 20)])
    assert found.values[0].argmax() == 2
    assert found.limit_uv == np.abs(found.values).max()
    pngs = maps.map_pngs(found)
    assert len(pngs) == 3
    assert all(png.startswith(PNG) for png in pngs)


@pytest.mark.parametrize("span_ms", [0.0, 90.0, 590.0, 800.0, 801.0, 2990.0])
def test_maps_are_few_and_cover_the_epoch(span_ms: float) -> None:
    times = np.arange(-100, span_ms + 1, 10.0)
    windows = maps.map_windows(times)
    assert 1 <= len(windows) <= maps.MOST_MAPS
    assert windows[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(windows))
    assert windows[-1][1] >= span_ms - (windows[0][1] / 2)


def test_one_epoch_of_a_class_has_no_band_but_a_line() -> None:
    features = make_features(n_epochs=6)
    assert picture.draw(features, "one target", judged(features)).startswith(PNG)


# ---- charts
@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-100.0, 590.0), (-3.7, 4.2), (0.0, 1e-9), (5.0, 5.0), (1e6, 3e6)]
)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = charts.ticks(low, high)
    assert 1 <= len(found) <= charts.N_TICKS + 1
    assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in found)


def test_a_chart_holds_its_values_and_escapes_its_names() -> None:
    frame = charts.Frame((0, 2), (-1, 1), "s", "µV", marks=[(1.0, "<b>")])
    x, evil = np.arange(3.0), '"><script>'
    chart = charts.lines(frame, x, [charts.Series(evil, np.array([0.0, np.nan, 0.5]), "target", channel=3)], evil)
    assert "<script" not in chart
    assert "<b>" not in chart
    found = re.search(r'data-chart="([^"]*)"', chart)
    assert found
    data = json.loads(unescape(found[1]))
    assert data["series"] == [{"name": evil, "y": [0.0, None, 0.5], "channel": 3}]


# ---- the page
def test_too_few_epochs_are_told() -> None:
    page = page_of(make_features(n_epochs=6))
    assert "Cannot tell (too few flashes)" in page
    assert "at least 2 of each" in page


def test_units_and_all_files_are_named() -> None:
    page = page_of(make_features(), raw_companions={"x.eeg": "1" * 32})
    assert "20.0 Hz" in page
    assert "100.0 µV" in page
    assert f"<code>x.eeg</code>, ETag <code>{'1' * 32}</code>" in page


def test_what_is_known_of_the_signal_is_shown(recorded: FeatureSet) -> None:
    page = page_of(recorded)
    for heading in (
        "Raw signal",
        "Spectrum of the raw signal",
        "Intervals between flashes",
        "kept and left out over time",
    ):
        assert heading in page
    assert "2014-05-06 07:08:09" in page
    assert "linked mastoids" in page
    assert "a note of the reader" in page
    older = page_of(make_features())  # made before the signal was looked at
    assert "Raw signal" not in older
    assert "not stated" in older


@pytest.fixture
def recorded() -> FeatureSet:
    from p300.recording import Recording
    from p300.signals import extract

    rng = np.random.default_rng(0)
    stim = np.zeros(8000, np.int32)
    stim[np.arange(200, 7800, 50)] = np.where(np.arange(152) % 6 == 0, 2, 1)
    said = {"recorded": "2014-05-06 07:08:09"}
    return extract(
        Recording(
            ("Fz", "Cz", "Pz", "Oz"), 200.0, rng.normal(0, 1e-5, (4, 8000)), stim, None, ("a note of the reader",),
            sidecar={"reference": "linked mastoids"}, facts=said,
        )
    )  # fmt: skip


def test_nothing_from_outside_becomes_html(recorded: FeatureSet) -> None:
    from dataclasses import replace

    evil = '"><script>alert(1)</script>'
    features = replace(recorded, ch_names=(evil, *recorded.ch_names[1:]), sidecar={"reference": evil})
    features.survey["snippet"]["channels"][0] = features.survey["spectrum"]["line"][0]["channel"] = evil
    page = page_of(features, evil, notes=[evil], raw_key=evil, raw_etag=evil, bad_channels=[evil])
    assert page.count("<script") == 1  # the page's own
    assert page.count("&lt;script&gt;") >= 12


def test_the_page_needs_nothing_else_and_its_policy_allows_nothing_else(recorded: FeatureSet) -> None:
    page = page_of(recorded)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "http://" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert " style=" not in page  # which the policy does not let through
    assert " onload=" not in page
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])  # type: ignore[index]
    assert policy == POLICY
    assert "unsafe" not in policy
    for element, text in (("script", SCRIPT), ("style", STYLE)):
        inside = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
        assert inside == [text]
        assert f"{element}-src {source_of(inside[0])}" in policy
