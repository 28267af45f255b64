"""Synthetic people of three montages in one stack: what it costs that recordings lack channels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300 import synth
from p300.electrodes import DIRECTIONS
from p300.features import FeatureSet
from p300.readers import read_recording
from p300.signals import Parameters, extract
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.training import finish, later, train

EIGHT = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz")
SIXTEEN = synth.CHANNELS
THIRTY_TWO = (
    *SIXTEEN, "Fz", "PO7", "PO8", "F3", "F4", "F7", "F8", "FC1", "FC2", "C3", "C4", "CP1", "CP2", "P5", "P6", "POz",
)  # fmt: skip
PREPROCESSING = {"tmin": 0.0, "tmax": 0.8, "sfreq": 50.0}
MOST_LOST_AUC = 0.02


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FeatureSet]:
    """Features of a synthetic person with these channels, without those that are dropped."""

    def make(
        number: int, channels: tuple[str, ...], dropped: tuple[str, ...] = (), n_repetitions: int = 15
    ) -> FeatureSet:
        # From above: as far from the middle of the disc as the electrode is from the top of the head.
        directions = np.array([DIRECTIONS[name.casefold()] for name in channels])
        away = np.arccos(np.clip(directions[:, 2], -1, 1)) / (np.pi / 2)
        flat = directions[:, :2] / np.maximum(np.linalg.norm(directions[:, :2], axis=1, keepdims=True), 1e-9)
        with monkeypatch.context() as patch:
            patch.setattr(synth, "CHANNELS", channels)
            patch.setattr(synth, "POSITIONS", flat * away[:, np.newaxis])
            (path,) = synth.write_subjects(tmp_path / "made", [number], n_repetitions=n_repetitions, pause_s=0.2)
        features = extract(read_recording(path, name=path.name), Parameters.from_dict(_parameters()))
        kept = [name for name in channels if name not in dropped]
        X = features.epochs[:, [features.ch_names.index(name) for name in kept]].reshape(len(features.X), -1)
        return replace(features, X=np.ascontiguousarray(X), ch_names=tuple(kept))

    return make


def _parameters() -> dict[str, Any]:
    return PREPROCESSING | {"baseline": None}


def test_dropping_a_quarter_of_the_channels_of_half_of_the_people_costs_little(
    store: Store, registry: Registry, put_features: Callable[..., Any], person: Callable[..., FeatureSet]
) -> None:
    dropped = ("F5", "T8", "P3", "Oz")
    for number in range(1, 9):
        put_features(f"subject_{number:02d}/run", features=person(number, SIXTEEN, dropped if number % 2 else ()))
    answer = train(store, preprocessing=_parameters())
    common = [name for name in SIXTEEN if name not in dropped]
    reference = train(store, "b", later(60), preprocessing=_parameters(), channels=common)
    print(answer["montage"], answer["auc_mean"], reference["auc_mean"])
    assert answer["n_recordings"] == reference["n_recordings"] == 8
    assert answer["auc_mean"] >= reference["auc_mean"] - MOST_LOST_AUC


def test_dropping_another_quarter_of_each_of_half_of_the_people_costs_little(
    store: Store, put_features: Callable[..., Any], person: Callable[..., FeatureSet]
) -> None:
    lost: set[str] = set()
    for number in range(1, 9):
        dropped = tuple(np.random.default_rng(number).permutation(SIXTEEN)[:4].tolist()) if number % 2 else ()
        lost |= set(dropped)
        put_features(f"subject_{number:02d}/run", features=person(number, SIXTEEN, dropped))
    answer = train(store, preprocessing=_parameters())
    common = [name for name in SIXTEEN if name not in lost]
    reference = train(store, "b", later(60), preprocessing=_parameters(), channels=common)
    print(answer["montage"], answer["auc_mean"], reference["auc_mean"])
    assert answer["auc_mean"] >= reference["auc_mean"] - MOST_LOST_AUC


def test_people_of_three_montages_are_each_in_a_model(
    store: Store, registry: Registry, put_features: Callable[..., Any], person: Callable[..., FeatureSet]
) -> None:
    names = {}
    for first, channels in ((1, EIGHT), (11, SIXTEEN), (21, THIRTY_TWO)):
        for number in range(first, first + 3):
            put_features(f"subject_{number:02d}/run", features=person(number, channels, n_repetitions=10))
            names[f"subject_{number:02d}/run"] = channels
    for number, first in enumerate((1, 11, 21)):
        recording = f"subject_{first:02d}/run"
        finish(store, train(store, f"x{number}", later(60 * number), preprocessing=_parameters(), recording=recording))
    manifests = [registry.manifest(version) for version in registry.champions().values()]
    assert sorted(len(manifest["channels"]) for manifest in manifests) == [8, 16, 32]
    assert {entry["recording"] for manifest in manifests for entry in manifest["recordings"]} == set(names)
