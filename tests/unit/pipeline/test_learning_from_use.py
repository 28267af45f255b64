"""An unlabelled spelling session updates its subject's personal model, once, reversibly, and not where something is wrong with it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300.features import FeatureSet, Rejection
from p300.models.personal import PersonalModel
from p300.recording import UNLABELLED
from p300.scoring import read_arrays
from p300.signals import Parameters
from p300_client.personal_models import list_personal, promote_personal
from p300_pipeline.making.personal import learn_from_session
from p300_pipeline.personal_models import held_by_subject, versions_of
from p300_pipeline.registry import PROMOTION, Registry
from p300_pipeline.steps import training
from p300_pipeline.steps.training import use
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.features import MADE_WITH
from tests.support.spellers import LAYOUT, N_CHANNELS, N_TIMES, auc, person
from tests.support.training import finish, later, reasons, train

Answer = dict[str, Any]
NEW = "subject_07"
CHANNELS = ("Fz", "Cz", "Pz", "Oz")
WINDOW = {"tmax": N_TIMES / 100}
MIX = np.random.default_rng(5).standard_normal((N_CHANNELS, N_CHANNELS)) * 0.35 + np.eye(N_CHANNELS)
"""How this subject's electrodes see the noise."""
OTHER = np.random.default_rng(6).standard_normal((N_CHANNELS, N_CHANNELS)) * 0.35 + np.eye(N_CHANNELS)


def spelled(seed: int, *, labelled: bool, mix: Any = MIX, **how: Any) -> FeatureSet:
    """One session of five symbols, as preprocessing makes features of it."""
    X, lit, y, truth = person(seed, **({"amplitude_uv": 4.0, "latency": 0.41} | how))
    X = (mix @ X.reshape(len(X), N_CHANNELS, -1)).reshape(X.shape).astype(np.float32)
    codes = np.array([next(code for code, s in LAYOUT.groups.items() if _lights(s, row)) for row in lit], np.int32)
    onset = np.arange(len(X), dtype=np.int64) * 20 + np.repeat(np.arange(5), 144) * 400
    parameters = Parameters.from_dict(MADE_WITH | WINDOW)
    said = {} if labelled else {"labelled": False, "layout": {"type": "brain_invaders"}}
    return FeatureSet(
        X=X,
        label=(y if labelled else np.full(len(y), UNLABELLED)).astype(np.int8),
        onset_sample=onset,
        flash=codes,
        repetition=None,
        ch_names=CHANNELS,
        sfreq=100.0,
        tmin=parameters.tmin,
        tmax=parameters.tmax,
        parameters=parameters,
        rejection=Rejection(len(X), 0, len(X), dict.fromkeys(CHANNELS, 0)),
        sidecar=said,
        survey={"sfreq": 100.0, **({} if labelled else {"onset_samples": onset.tolist()})},
        provenance={"truth": str(truth.tolist())},
    )


def _lights(symbols: frozenset[str], row: Any) -> bool:
    return {s for s, on in zip(LAYOUT.symbols, row, strict=True) if on} == symbols


@pytest.fixture
def land(store: Store, put_features: Any) -> Callable[..., str]:
    def land(name: str, features: FeatureSet, raw: str = "") -> str:
        put_features(name, features=features, raw=raw)
        return name

    return land


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], bytes]:
    """Receives the buckets after the first training, so that one does for all tests."""
    return {}


@pytest.fixture
def population(store: Store, land: Any, objects: dict[tuple[str, str], bytes]) -> str:
    """A champion of three subjects."""
    if not objects:
        for number in range(1, 4):
            land(f"subject_{number:02d}/run", spelled(number, labelled=True, mix=np.eye(N_CHANNELS), amplitude_uv=3.0))
        finish(store, train(store, preprocessing=WINDOW))
        objects |= {
            (bucket, item.key): store.get(bucket, item.key)[0]
            for bucket in (FEATURES, MODELS)
            for item in store.list(bucket)
        }
    for (bucket, key), body in objects.items():
        store.put(bucket, key, body)
    return Registry(store, MODELS).resolve("champion")


@pytest.fixture
def make(store: Store) -> Callable[..., Answer]:
    def make(recording: str, execution: str = "p", seconds: int = 60) -> Answer:
        return dict(
            training.make_personal(
                store, FEATURES, MODELS, recording, execution=execution, started=later(seconds), memory_mb=3008
            )
        )

    return make


@pytest.fixture
def calibrated(land: Any, make: Any, population: str) -> str:
    """The version that serves the subject after a labelled recording."""
    return str(make(land(f"{NEW}/run_1", spelled(100, labelled=True)))["version"])


def serves(registry: Registry, test: FeatureSet) -> float:
    """Return the AUC of single flashes by what serves the subject."""
    version = held_by_subject(registry, NEW)[NEW]
    arrays = read_arrays(registry.artifact(version, "model.npz", registry.manifest(version)))
    return auc(test.label, PersonalModel(arrays).decision_function(test.X))


def state(store: Store) -> dict[str, str]:
    return {item.key: item.etag for item in store.list(MODELS)}


def test_no_population_model_is_trained_on_it(store: Store, land: Any, population: str) -> None:
    land(f"{NEW}/use_1", spelled(101, labelled=False))
    answer = train(store, "b", later(9), preprocessing=WINDOW, seed=2)
    assert "it is unlabelled" in reasons(answer)[f"{NEW}/use_1"]
    assert NEW not in answer["subjects"]


def test_it_is_counted_for_no_training(store: Store, land: Any) -> None:
    from p300_pipeline.steps.scheduling import check_due

    for number in range(3):
        name = land(f"{NEW}/use_{number}", spelled(101, labelled=False))
        answer = check_due(
            store, FEATURES, MODELS, recording=name, etag="e", channels=CHANNELS, labelled=False, execution=name,
            started=0, retrain_every=1, now=9,
        )  # fmt: skip
        assert (answer["outcome"], answer["new_recordings"], answer["request"]) == ("counted", 0, None)


def test_from_nothing_it_makes_a_version_that_says_what_it_learned_from(
    land: Any, make: Any, registry: Registry, population: str
) -> None:
    assert make(f"{NEW}/use_1")["outcome"] == "none"
    answer = make(land(f"{NEW}/use_1", spelled(101, labelled=False)), seconds=90)
    assert (answer["outcome"], answer["alias"], answer["population"]) == ("promoted", NEW, population), answer
    session = registry.manifest(answer["version"])["sessions"][0]
    assert (session["recording"], session["n_symbols"], session["n_counted"]) == (f"{NEW}/use_1", 5, 5)
    assert 0.9 < session["mean_certainty"] <= 1
    manifest = registry.manifest(answer["version"])
    assert (manifest["learned_from"], manifest["recordings"], manifest["base"]) == ("use", [], population)
    assert manifest["metrics"]["scheme"] == "none"
    assert serves(registry, spelled(1100, labelled=True)) > 0.8


def test_the_event_again_and_a_retry_change_nothing(
    store: Store, land: Any, make: Any, registry: Registry, calibrated: str
) -> None:
    name = land(f"{NEW}/use_1", spelled(101, labelled=False))
    first = make(name, "q", 120)
    assert first["outcome"] == "promoted", first
    before = state(store)
    for execution in ("q", "r"):
        again = make(name, execution, 150)
        assert (again["outcome"], again["version"]) == ("unchanged", first["version"])
    again = make(f"{NEW}/run_1", "s", 160)
    assert (again["outcome"], again["version"]) == ("unchanged", first["version"])
    assert state(store) == before
    store.delete(MODELS, f"{first['version']}/{PROMOTION}")  # it died between the alias and the decision
    assert make(name, "q", 120) == first
    for key in (f"aliases/{NEW}", f"aliases/history_{NEW}.json"):
        store.delete(MODELS, key)
    store.put(MODELS, f"aliases/{NEW}", calibrated.encode())
    store.delete(MODELS, f"{first['version']}/{PROMOTION}")  # and before the alias
    assert make(name, "q", 120)["version"] == first["version"]
    assert registry.resolve(NEW) == first["version"]


def test_a_rollback_takes_a_session_back_for_good(land: Any, make: Any, registry: Registry, calibrated: str) -> None:
    first = make(land(f"{NEW}/use_1", spelled(101, labelled=False)), "q", 120)
    second = make(land(f"{NEW}/use_2", spelled(102, labelled=False)), "r", 180)
    assert [entry["recording"] for entry in registry.manifest(second["version"])["sessions"]] == [
        f"{NEW}/use_1",
        f"{NEW}/use_2",
    ]
    assert promote_personal(registry, None, "subject_7")[0] == first["version"]
    assert promote_personal(registry, calibrated, None)[0] == calibrated
    assert make(f"{NEW}/use_1", "s", 200)["outcome"] == "unchanged"
    third = make(land(f"{NEW}/use_3", spelled(103, labelled=False)), "t", 240)
    assert [entry["recording"] for entry in registry.manifest(third["version"])["sessions"]] == [f"{NEW}/use_3"]
    rows = {row["version"]: row for row in list_personal(registry, NEW)["models"]}
    assert (rows[third["version"]]["learned_from"], rows[calibrated]["learned_from"]) == ("use", "labelled recordings")
    assert versions_of(registry, NEW) == [calibrated, first["version"], second["version"], third["version"]]


def test_a_labelled_recording_keeps_what_use_taught(land: Any, make: Any, registry: Registry, calibrated: str) -> None:
    make(land(f"{NEW}/use_1", spelled(101, labelled=False)), "q", 120)
    answer = make(land(f"{NEW}/run_2", spelled(104, labelled=True)), "r", 180)
    manifest = registry.manifest(answer["version"])
    assert answer["outcome"] == "promoted"
    assert [entry["recording"] for entry in manifest["recordings"]] == [f"{NEW}/run_1", f"{NEW}/run_2"]
    assert [entry["recording"] for entry in manifest["sessions"]] == [f"{NEW}/use_1"]
    later_on = make(land(f"{NEW}/use_2", spelled(105, labelled=False)), "s", 240)
    metrics = registry.manifest(later_on["version"])["metrics"]
    assert [one["recording"] for one in metrics["recordings"]] == [f"{NEW}/run_1", f"{NEW}/run_2"]
    assert metrics["auc_personal"] >= metrics["auc_without"] - 0.01
    assert metrics["auc_population"] == pytest.approx(manifest["metrics"]["auc_population"]), "by the same model"


def test_a_session_that_is_labelled_later_counts_once(
    land: Any, make: Any, registry: Registry, calibrated: str
) -> None:
    make(land(f"{NEW}/use_1", spelled(101, labelled=False)), "q", 120)
    answer = make(land(f"{NEW}/run_2", spelled(101, labelled=True)), "r", 180)
    manifest = registry.manifest(answer["version"])
    assert manifest["sessions"] == []
    assert "same epochs" in manifest["sessions_left_out"][0]["reason"]
    copy = make(land(f"{NEW}/use_2", spelled(101, labelled=False)), "s", 240)
    assert copy["outcome"] == "refused"
    assert f"holds the same epochs as {NEW}/run_2" in copy["why"]


def changed(features: FeatureSet, X: Any) -> FeatureSet:
    return dataclasses.replace(features, X=np.ascontiguousarray(X.reshape(features.X.shape), np.float32))


def exchanged(features: FeatureSet) -> FeatureSet:
    return changed(features, features.epochs[:, [1, 0, 2, 3]])


def permuted(features: FeatureSet, seed: int) -> FeatureSet:
    assert features.flash is not None
    return dataclasses.replace(features, flash=np.random.default_rng(seed).permutation(features.flash))


WRONG: dict[str, tuple[Callable[[int], FeatureSet], str]] = {
    "noise": (
        lambda seed: changed(
            spelled(seed, labelled=False),
            np.random.default_rng(seed).standard_normal((720, N_CHANNELS, N_TIMES)) * 1e-5,
        ),
        "symbols are at least 90% likely",
    ),
    "another subject": (lambda seed: spelled(seed, labelled=False, mix=OTHER), "Check whose session it is"),
    "swapped electrodes": (lambda seed: exchanged(spelled(seed, labelled=False)), "Channels Fz and Cz look swapped"),
    "shuffled groups": (lambda seed: permuted(spelled(seed, labelled=False), seed), "symbols are at least 90% likely"),
    "microvolts": (
        lambda seed: changed(spelled(seed, labelled=False), spelled(seed, labelled=False).X * 20),
        "times the amplitude",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_ten_sessions_in_a_row_of_what_is_wrong_change_nothing(
    kind: str, store: Store, land: Any, make: Any, registry: Registry, calibrated: str
) -> None:
    session, says = WRONG[kind]
    before = state(store)
    for number in range(10):
        answer = make(land(f"{NEW}/use_{number}", session(300 + number)), f"e{number}", 120 + 60 * number)
        assert answer["outcome"] == "refused", answer
        assert says in answer["why"]
        assert answer["learned_from_use"]["n_counted"] == 0
    assert state(store) == before
    assert held_by_subject(registry, NEW) == {NEW: calibrated}


def test_what_makes_labelled_recordings_worse_does_not_serve(
    store: Store, land: Any, make: Any, registry: Registry, calibrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the checks of a session to fail, the labelled recordings would still speak against it."""
    monkeypatch.setattr("p300.models.personal.recognise", lambda *_: [])
    features = spelled(101, labelled=False, amplitude_uv=-6.0)
    truth = [LAYOUT.symbols[k] for k in np.array(eval(features.provenance["truth"]))]  # noqa: S307
    monkeypatch.setattr("p300.models.personal._contradicted", lambda *_: [])
    land(f"{NEW}/use_1", dataclasses.replace(features, sidecar={**features.sidecar, "text": truth}))
    answer = make(f"{NEW}/use_1", "q", 120)
    assert answer["outcome"] == "kept", answer
    assert "Worse on the subject's labelled recordings than without use" in answer["why"]
    assert held_by_subject(registry, NEW) == {NEW: calibrated}


def test_symbols_that_the_user_confirmed_are_learnt_from(
    land: Any, make: Any, registry: Registry, calibrated: str
) -> None:
    features = spelled(106, labelled=False)
    truth = [LAYOUT.symbols[int(k)] for k in person(106, amplitude_uv=4.0, latency=0.41)[3]]
    confirmed = dataclasses.replace(features, sidecar={**features.sidecar, "text": truth})
    answer = make(land(f"{NEW}/use_1", confirmed), "q", 120)
    assert answer["outcome"] == "promoted", answer
    assert answer["learned_from_use"]["n_confirmed"] == 5
    short = dataclasses.replace(spelled(107, labelled=False), sidecar={**features.sidecar, "text": truth[:3]})
    answer = make(land(f"{NEW}/use_2", short), "r", 180)
    assert answer["outcome"] == "refused"
    assert "text has 3 symbols, and pauses part the flashes into 5" in answer["why"]


def test_a_symbols_flashes_that_were_rejected_are_no_pause(land: Any, make: Any, calibrated: str) -> None:
    """A blink in the middle of a symbol leaves its other flashes one symbol's, as all onsets are known."""
    features = spelled(101, labelled=False)
    keep = np.r_[0:40, 60:720]
    assert features.flash is not None
    blinked = dataclasses.replace(
        features,
        X=features.X[keep],
        label=features.label[keep],
        onset_sample=features.onset_sample[keep],
        flash=features.flash[keep],
    )
    answer = make(land(f"{NEW}/use_1", blinked), "q", 120)
    assert answer["learned_from_use"]["n_symbols"] == 5, answer


def test_another_session_that_began_to_serve_meanwhile_is_learned_on(
    store: Store, land: Any, make: Any, registry: Registry, calibrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (land(f"{NEW}/use_{n}", spelled(100 + n, labelled=False)) for n in (1, 2))
    learn, raced = learn_from_session, list[str]()

    def race(*given: Any) -> Any:
        if not raced:
            raced.append(other)
            assert make(other, "r", 180)["outcome"] == "promoted"
        return learn(*given)

    monkeypatch.setattr(use, "learn_from_session", race)
    answer = make(one, "q", 120)
    assert answer["outcome"] == "promoted"
    assert [entry["recording"] for entry in registry.manifest(registry.resolve(NEW))["sessions"]] == [other, one]
