"""From features to a champion: what is due, what is trained on, what is compared, and that retries and races change nothing."""

import base64
import io
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from p300.decoding import Response
from p300.errors import TrainingError
from p300.models import RecordingEpochs
from p300.scoring import Scorer, read_arrays
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service
from p300_pipeline.steps import training
from p300_pipeline.steps.training import PROMOTION_MARGIN_AUC, TrainingRequest, check_due, choice
from p300_pipeline.storage import Store

from tests.conftest import FEATURES, MODELS, Died

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
any_order = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


@pytest.fixture
def people(put_features: Callable[..., Any]) -> list[str]:
    """Three people with one recording each."""
    names = [f"subject_{number:02d}/run_1" for number in (1, 2, 3)]
    for name in names:
        put_features(name)
    return names


def train(store: Store, execution: str = "a", started: datetime = STARTED, **request: Any) -> dict[str, Any]:
    parsed = TrainingRequest.parse(request, "lda")
    return training.train(store, FEATURES, MODELS, parsed, execution=execution, started=started)


def later(seconds: int) -> datetime:
    return STARTED + timedelta(seconds=seconds)


# ---- requests
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("model", "subjects", "held_out", "seed", "recording"), json_values)
)


@given(json_values | fields)
@example({"subjects": math.nan})
@example({"recording": ["subject_1/a"]})
@example(None)
def test_any_json_is_a_request_or_refused(request: Any) -> None:
    try:
        parsed = TrainingRequest.parse(request, "lda")
    except TrainingError as error:
        assert error.code == "bad_request"
        return
    assert isinstance(parsed.model, str) and parsed.model
    assert parsed.recording is None or isinstance(parsed.recording, str)
    assert isinstance(parsed.subjects, tuple) or 0 < parsed.subjects <= 1
    hash(parsed)


def test_an_empty_request_asks_for_the_defaults() -> None:
    assert TrainingRequest.parse({}, "ridge") == TrainingRequest("ridge")


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"modell": "lda"}, "modell"),
        ({"subjects": 0}, "subjects is 0"),
        ({"subjects": 1.5}, "subjects is 1.5"),
        ({"subjects": True}, "subjects is True"),
        ({"subjects": []}, r"subjects is \[\]"),
        ({"held_out": "subject_01"}, "held_out is 'subject_01'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"model": 3}, "model is 3"),
        ([], r"is \[\]; expected an object"),
    ],
)
def test_refusals_name_what_was_wrong(request_: Any, names: str) -> None:
    with pytest.raises(TrainingError, match=names):
        TrainingRequest.parse(request_, "lda")


# ---- is training due
def due(store: Store, execution: str, retrain_every: int, number: int = 0, etag: str = "a") -> dict[str, Any]:
    """Ask for a recording that has features."""
    recording = f"subject_{number:02d}/run"
    store.put(FEATURES, f"{recording}/features.parquet", etag.encode())
    return check_due(
        store,
        FEATURES,
        MODELS,
        recording=recording,
        etag=etag,
        execution=execution,
        retrain_every=retrain_every,
    )


def waiting(store: Store) -> list[str]:
    return [item.key for item in store.list(MODELS, "trainings/new/")]


def test_every_fifth_new_recording_makes_training_due(store: Store) -> None:
    answers = [due(store, f"execution-{number}", 5, number) for number in range(12)]
    assert [answer["due"] for answer in answers] == [False] * 4 + [True] + [False] * 4 + [True] + [False] * 2
    assert [answer["new_recordings"] for answer in answers] == [1, 2, 3, 4, 5] * 2 + [1, 2]
    assert {answer["retrain_every"] for answer in answers} == {5}


def test_what_was_counted_is_not_looked_at_again(store: Store) -> None:
    """However many recordings there are, an execution lists the new ones only."""
    for number in range(12):
        due(store, f"execution-{number}", 5, number)
    assert waiting(store) == ["trainings/new/subject_10/run@a", "trainings/new/subject_11/run@a"]


def test_a_retry_gets_the_same_answer(store: Store) -> None:
    first = [due(store, "a", 5, number) for number in range(5)][-1]
    assert first == {"due": True, "new_recordings": 5, "retrain_every": 5}
    assert [due(store, "a", 5) for _ in range(2)] == [first] * 2
    assert due(store, "b", 5) == {"due": False, "new_recordings": 0, "retrain_every": 5}


def test_the_same_upload_again_is_not_new_and_another_under_its_key_is(store: Store) -> None:
    for number in range(5):
        due(store, "a", 5, number)
    assert due(store, "b", 1)["new_recordings"] == 0
    assert due(store, "c", 1, etag="b") == {"due": True, "new_recordings": 1, "retrain_every": 1}


def test_a_late_event_of_what_was_counted_meanwhile_counts_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due(store, "a", 1)["due"]
    monkeypatch.setattr("p300_pipeline.steps.training.due._is_counted", lambda *_: False)  # it had looked before
    assert due(store, "b", 1) == {"due": False, "new_recordings": 0, "retrain_every": 1}
    assert waiting(store) == []


def test_recordings_whose_features_are_gone_are_not_counted(store: Store) -> None:
    due(store, "a", 3, 0)
    due(store, "b", 3, 1)
    store.delete(FEATURES, "subject_00/run/features.parquet")
    assert due(store, "c", 3, 2) == {"due": False, "new_recordings": 2, "retrain_every": 3}
    assert due(store, "d", 3, 3)["due"]


def test_n_recordings_lead_to_a_claim_for_every_few_in_any_interleaving(
    store: Store, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(
        n=st.integers(1, 7),
        every=st.integers(1, 4),
        turns=st.lists(st.integers(0, 6), max_size=56),
        retried=st.lists(st.booleans(), min_size=7, max_size=7),
    )
    @example(n=2, every=2, turns=[0, 1] * 20, retried=[False] * 7)
    @example(n=7, every=3, turns=list(range(7)) * 16, retried=[True] * 7)
    @any_order
    def claims(n: int, every: int, turns: list[int], retried: list[bool]) -> None:
        empty_buckets()

        def execution(number: int) -> Callable[[Store], bool]:
            def run(at: Store) -> bool:
                answer = due(at, f"execution-{number}", every, number)
                if retried[number]:
                    again = due(at, f"execution-{number}", every, number)
                    assert again == answer or not answer["due"]
                    answer = again
                return bool(answer["due"])

            return run

        assert sum(interleave([execution(number) for number in range(n)], turns)) == n // every

    claims()


def test_a_death_while_claiming_claims_once(
    store: Store, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        due(store, "before", 2, 1)

    after_any_death(prepare, lambda at: due(at, "a", 2), lambda: (due(store, "b", 2), waiting(store)))


# ---- training
def test_a_training_leaves_a_challenger(store: Store, registry: Registry, people: list[str]) -> None:
    answer = train(store)
    version = "v20260102030405"
    assert (answer["outcome"], answer["version"], answer["kind"]) == ("trained", version, "lda")
    assert (answer["n_recordings"], answer["n_epochs"], answer["left_out"]) == (3, 180, [])
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    assert answer["scheme"] == "leave_one_subject_out"
    assert answer["auc_mean"] > 0.9
    assert set(answer["auc_by_fold"]) == set(answer["subjects"])
    json.dumps(answer, allow_nan=False)
    assert registry.alias("challenger") == version
    assert registry.alias("champion") is None
    manifest = registry.manifest(version)
    etags = {item.key: item.etag for item in store.list(FEATURES)}
    assert manifest["recordings"] == [
        {"recording": name, "features_etag": etags[f"{name}/features.parquet"]} for name in people
    ]
    assert (manifest["channels"], manifest["n_times"], manifest["sfreq"]) == (["Fz", "Cz", "Pz"], 10, 100.0)
    scorer = Scorer.load(registry.artifact(version, "model.npz", manifest))
    estimator = joblib.load(io.BytesIO(registry.artifact(version, "model.joblib", manifest)))
    X = np.random.default_rng(0).normal(0, 1e-5, (4, 30)).astype(np.float32)
    np.testing.assert_allclose(scorer.probability_target(X), estimator.predict_proba(X)[:, 1], rtol=1e-6)


@pytest.mark.parametrize("model", ["lda", "ensemble"])
def test_a_training_is_reproducible_to_the_bit(
    store: Store,
    registry: Registry,
    put_features: Callable[..., Any],
    empty_buckets: Callable[[], None],
    model: str,
) -> None:
    made = []
    for execution in ("a", "b"):
        empty_buckets()
        for number in (1, 2, 3):
            put_features(f"subject_{number:02d}/run_1")
        manifest = registry.manifest(train(store, execution, model=model, seed=7)["version"])
        made.append((manifest["artifacts"], manifest["metrics"], manifest["seed"], manifest["libraries"]))
    assert made[0] == made[1]
    assert set(made[0][3]) == {"numpy", "scipy", "scikit-learn", "pyriemann"}


def test_a_model_carries_what_decoding_adapts_from(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    version = train(store)["version"]
    arrays = read_arrays(registry.artifact(version, "model.npz", registry.manifest(version)))
    response = Response.from_arrays(arrays)
    assert response is not None
    features = [put_features(name) for name in people]
    epochs = [RecordingEpochs(name, name, f.X, f.label, 3) for name, f in zip(people, features, strict=True)]
    expected = Response.fit(epochs, sfreq=100.0)
    assert response.difference.shape == (3, 3)
    for name, array in expected.to_arrays().items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_training_on_the_same_recordings_is_a_no_op_that_says_so(store: Store, people: list[str]) -> None:
    first = train(store)
    state = {item.key: item.etag for item in store.list(MODELS)}
    again = train(store, "b", later(60))
    assert (again["outcome"], again["version"]) == ("unchanged", first["version"])
    assert first["version"] in again["why"]
    assert {item.key: item.etag for item in store.list(MODELS)} == state


def test_a_model_of_before_there_was_a_response_is_trained_again_once(
    store: Store, registry: Registry, people: list[str]
) -> None:
    first = train(store)["version"]
    manifest = registry.manifest(first)
    arrays = read_arrays(registry.artifact(first, "model.npz", manifest))
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if not name.startswith("response_")})
    registry.publish(first, manifest["fingerprint"], {"model.npz": (buffer.getvalue(), "")}, manifest)
    again = train(store, "b", later(60))
    assert (again["outcome"], again["version"] > first) == ("trained", True)
    assert train(store, "b", later(60)) == again  # a retry
    arrays = read_arrays(registry.artifact(again["version"], "model.npz", registry.manifest(again["version"])))
    assert Response.from_arrays(arrays) is not None
    third = train(store, "c", later(120))
    assert (third["outcome"], third["version"]) == ("unchanged", again["version"])


@pytest.mark.parametrize("change", ["model", "seed", "recording", "held_out"])
def test_anything_else_is_another_training(
    store: Store, people: list[str], put_features: Callable[..., Any], change: str
) -> None:
    train(store)
    request: dict[str, Any] = {
        "model": {"model": "ridge"},
        "seed": {"seed": 1},
        "held_out": {"held_out": ["subject_03"]},
    }.get(change, {})
    if change == "recording":
        put_features(people[0], seed=99)
    assert train(store, "b", later(60), **request)["outcome"] == "trained"


def test_the_answer_of_a_retry_is_that_of_the_first_attempt(
    store: Store, registry: Registry, people: list[str]
) -> None:
    # Lost answers are retried: 'unchanged' would end the execution with a model that nobody evaluates or promotes.
    assert train(store) == train(store)
    assert len(registry.versions()) == 1


def test_a_death_while_training_is_mended_by_the_retry(
    store: Store,
    registry: Registry,
    people: list[str],
    after_any_death: Callable[..., None],
) -> None:
    def prepare() -> None:
        for item in list(store.list(MODELS)):
            store.delete(MODELS, item.key)

    after_any_death(
        prepare,
        train,
        lambda: (registry.versions(), registry.alias("challenger"), {item.key for item in store.list(MODELS)}),
    )


def test_a_late_retry_does_not_replace_a_newer_challenger(store: Store, registry: Registry, people: list[str]) -> None:
    train(store)
    newer = train(store, "b", later(60), seed=1)
    train(store)
    assert registry.alias("challenger") == newer["version"]


def test_two_trainings_of_the_same_set_at_once_leave_one_version(
    store: Store, registry: Registry, people: list[str], interleave: Callable[..., list[Any]]
) -> None:
    @given(st.lists(st.integers(0, 1), max_size=40))
    @settings(any_order, max_examples=4)
    def race(turns: list[int]) -> None:
        for item in list(store.list(MODELS)):
            store.delete(MODELS, item.key)
        answers = interleave([lambda at: train(at, "a"), lambda at: train(at, "b")], turns)
        assert sorted(answer["outcome"] for answer in answers) == ["trained", "unchanged"]
        assert registry.versions() == [answers[0]["version"]] == [answers[1]["version"]]
        assert registry.alias("challenger") == answers[0]["version"]

    race()


def test_two_different_trainings_at_once_both_count(
    store: Store, registry: Registry, people: list[str], interleave: Callable[..., list[Any]]
) -> None:
    answers = interleave([lambda at: train(at, "a"), lambda at: train(at, "b", seed=1)], [0, 1] * 40)
    assert [answer["outcome"] for answer in answers] == ["trained"] * 2
    assert sorted(answer["version"] for answer in answers) == registry.versions()
    assert len(registry.versions()) == 2


def test_nothing_to_train_on(store: Store) -> None:
    with pytest.raises(TrainingError) as refused:
        train(store)
    assert refused.value.code == "no_recordings"
    assert FEATURES in refused.value.message


def test_an_unknown_model_is_refused_before_a_version_is_claimed(store: Store, people: list[str]) -> None:
    with pytest.raises(TrainingError) as refused:
        train(store, model="svm")
    assert refused.value.code == "unknown_model"
    assert not list(store.list(MODELS))


# ---- on whom
def test_held_out_people_are_never_trained_on(store: Store, registry: Registry, people: list[str]) -> None:
    answer = train(store, held_out=["subject_03"])
    assert (answer["subjects"], answer["held_out"]) == (["subject_01", "subject_02"], ["subject_03"])
    assert registry.manifest(answer["version"])["held_out"] == ["subject_03"]


def test_people_can_be_named(store: Store, people: list[str]) -> None:
    assert train(store, subjects=["subject_03", "subject_01"])["subjects"] == ["subject_01", "subject_03"]


@pytest.mark.parametrize("held_out", [[], ["subject_03"]])
def test_people_who_are_not_there_are_named(store: Store, people: list[str], held_out: list[str]) -> None:
    wanted = ["subject_01", "subject_03" if held_out else "subject_99"]
    with pytest.raises(TrainingError, match=wanted[1]) as refused:
        train(store, subjects=wanted, held_out=held_out)
    assert refused.value.code == "unknown_subjects"


def test_a_fraction_of_the_people_is_drawn_with_the_seed(store: Store, people: list[str]) -> None:
    chosen = train(store, subjects=0.5, seed=3)["subjects"]
    assert len(chosen) == 2
    assert train(store, "b", later(60), subjects=0.5, seed=3)["outcome"] == "unchanged"
    draws = {
        tuple(sorted(choice._wanted_subjects(["a", "b", "c"], TrainingRequest("lda", 0.5, seed=s)))) for s in range(20)
    }
    assert len(draws) == 3


def test_one_person_alone_is_told_apart(store: Store, put_features: Callable[..., Any]) -> None:
    put_features("subject_01/run_1")
    answer = train(store)
    assert answer["scheme"] == "within_subject_blocks"


# ---- one montage
OTHERS = ("C3", "C4")


def test_the_first_montage_is_that_of_the_recording_that_made_training_due(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    for number in (4, 5):
        put_features(f"subject_{number:02d}/run", channels=OTHERS)
    answer = train(store, recording="subject_04/run")
    assert answer["subjects"] == ["subject_04", "subject_05"]
    assert [entry["recording"] for entry in answer["left_out"]] == people
    assert answer["left_out"][0]["reason"] == "channels Fz Cz Pz; this stack learns C3 C4"


def test_the_montage_is_that_of_the_champion(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    registry.promote(train(store)["version"], expected=None, entry={})
    for number in (4, 5, 6, 7):
        put_features(f"subject_{number:02d}/run", channels=OTHERS)
    put_features("subject_08/run", channels=("Cz", "Fz", "Pz"))
    put_features("subject_09/run", n_times=12)
    answer = train(store, "b", later(60), recording="subject_04/run", seed=1)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    assert [entry["recording"] for entry in answer["left_out"]] == [f"subject_0{number}/run" for number in range(4, 10)]
    assert answer["left_out"][4]["reason"] == "channels Cz Fz Pz; this stack learns Fz Cz Pz"
    assert answer["left_out"][5]["reason"] == "12 samples an epoch; this stack learns 10"
    # New recordings of the wrong montage alone change nothing.
    assert train(store, "c", later(120))["outcome"] == "unchanged"


def test_without_champion_or_reason_the_commonest_montage_is_learned(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_00/run", channels=OTHERS)
    assert train(store)["subjects"] == ["subject_01", "subject_02", "subject_03"]


def test_no_recording_of_the_champions_montage(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    registry.promote(train(store)["version"], expected=None, entry={})
    put_features("subject_04/run", channels=OTHERS)
    with pytest.raises(TrainingError, match=r"subject_04/run.*this stack learns Fz Cz Pz"):
        train(store, "b", later(60), subjects=["subject_04"])


def test_recordings_that_cannot_be_learned_from_are_left_out_by_name(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_04/run", labels=(1, 1))
    put_features("subject_05/run", effect_uv=math.inf)
    store.put(FEATURES, "subject_06/run/features.parquet", b"PAR1 no")
    answer = train(store)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    reasons = {entry["recording"]: entry["reason"] for entry in answer["left_out"]}
    assert reasons == {
        "subject_04/run": "epochs of one class only",
        "subject_05/run": "features hold NaN or infinity",
        "subject_06/run": "its features cannot be read: preprocess it again",
    }


def test_a_champion_that_is_gone_does_not_stop_training(store: Store, registry: Registry, people: list[str]) -> None:
    registry.promote("v20250101000000", expected=None, entry={})
    answer = train(store)
    assert answer["outcome"] == "trained"
    promoted = training.promote(store, MODELS, answer["version"], execution="a")
    assert (promoted["outcome"], promoted["replaced"]) == ("promoted", "v20250101000000")
    assert "has no manifest.json" in promoted["why"]


# ---- evaluation through inference
def served(store: Store, calls: list[tuple[str, int]] | None = None) -> training.Predict:
    """Return what asks the serving code, as the function does."""
    service = Service(store, MODELS)

    def predict(version: str, X: Any) -> Any:
        if calls is not None:
            calls.append((version, len(X)))
        body = {"epochs_b64": base64.b64encode(X.astype("<f4").tobytes()).decode(), "n_epochs": len(X)}
        answer = service.predict(json.dumps(body), version)
        assert answer["model_version"] == version
        return np.array([one["probability_target"] for one in answer["predictions"]])

    return predict


def test_evaluation_on_held_out_people(store: Store, people: list[str]) -> None:
    version = train(store, held_out=["subject_03"])["version"]
    calls: list[tuple[str, int]] = []
    answer = training.evaluate(store, FEATURES, MODELS, version, served(store, calls))
    assert answer["seen_in_training"] is False
    assert [row["recording"] for row in answer["recordings"]] == ["subject_03/run_1"]
    assert answer["recordings"][0]["roc_auc"] == answer["pooled"]["roc_auc"] > 0.9
    assert answer["pooled"]["n_epochs"] == 60
    assert calls == [(version, 60)]
    json.dumps(answer, allow_nan=False)
    kept = Registry(store, MODELS).evaluation(version)
    assert kept is not None
    assert kept["recordings"][0]["recording"] == "subject_03/run_1"
    assert kept["overall"]["roc_auc"] == answer["pooled"]["roc_auc"]
    assert {"average_precision", "brier", "confusion_matrix"} <= set(kept["recordings"][0])
    assert set(kept["curves"]) == {"roc", "precision_recall", "calibration"}


def test_evaluation_on_the_newest_seen_recordings(store: Store, put_features: Callable[..., Any]) -> None:
    for number in range(1, 8):
        put_features(f"subject_{number:02d}/run", n_epochs=24)
        _made_at(f"subject_{number:02d}/run/features.parquet", number)
    version = train(store)["version"]
    put_features("subject_09/run")  # came after the training
    answer = training.evaluate(store, FEATURES, MODELS, version, served(store))
    assert answer["seen_in_training"] is True
    assert [row["recording"] for row in answer["recordings"]] == [
        f"subject_0{number}/run" for number in (3, 4, 5, 6, 7)
    ]
    assert answer["pooled"]["n_epochs"] == 5 * 24


def _made_at(key: str, minute: int) -> None:
    from moto.s3.models import s3_backends

    stored = s3_backends["123456789012"]["aws"].buckets[FEATURES].keys[key]
    stored.last_modified = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)


@pytest.mark.parametrize("how", [{"channels": OTHERS}, {"n_times": 12}])
def test_held_out_recordings_that_the_model_cannot_score_are_named(
    store: Store, people: list[str], put_features: Callable[..., Any], how: dict[str, Any]
) -> None:
    put_features("subject_04/run", **how)
    version = train(store, held_out=["subject_04"])["version"]
    answer = training.evaluate(store, FEATURES, MODELS, version, served(store))
    assert [entry["recording"] for entry in answer["skipped"]] == ["subject_04/run"]
    assert answer["seen_in_training"] is True
    assert [row["recording"] for row in answer["recordings"]] == people


def test_evaluation_twice_is_the_same(store: Store, people: list[str]) -> None:
    version = train(store)["version"]
    first, second = (training.evaluate(store, FEATURES, MODELS, version, served(store)) for _ in range(2))
    assert first == second


def test_nothing_left_to_evaluate_on(store: Store, people: list[str]) -> None:
    version = train(store)["version"]
    for name in people:
        store.delete(FEATURES, f"{name}/features.parquet")
    answer = training.evaluate(store, FEATURES, MODELS, version, served(store))
    assert (answer["recordings"], answer["pooled"]) == ([], None)
    assert (Registry(store, MODELS).evaluation(version) or {})["curves"] == {}


# ---- promotion
def publish(
    registry: Registry, version: str, aucs: dict[str, float | None], scheme: str = "leave_one_subject_out"
) -> str:
    """Publish a model with these figures of left-out people."""
    folds = {name: {"roc_auc": auc} for name, auc in aucs.items()}
    metrics: dict[str, Any] = {
        "leave_one_subject_out": None,
        "within_subject_blocks": None,
        "pooled_random_split_optimistic": {"roc_auc": 0.9},
    }
    inner = "subjects" if scheme == "leave_one_subject_out" else "blocks"
    metrics[scheme] = {inner: folds, "mean": {"roc_auc": 0.8}, "sd": {"roc_auc": 0.1}}
    manifest = {
        "kind": "lda", "channels": ["Cz"], "n_times": 2, "sfreq": 100.0, "tmin": 0.0, "subjects": sorted(aucs),
        "held_out": [], "recordings": [], "n_epochs": 1, "metrics": metrics, "created": "", "execution": version,
    }  # fmt: skip
    registry.publish(version, version, {}, manifest)
    return version


def promote(registry: Registry, version: str, execution: str = "a") -> dict[str, Any]:
    return training.promote(registry.store, MODELS, version, execution=execution)


def test_the_first_model_is_promoted(registry: Registry) -> None:
    answer = promote(registry, publish(registry, "v1", {"a": 0.5}))
    assert answer == {"outcome": "promoted", "champion": "v1", "replaced": None, "why": "There was no champion."}
    assert registry.alias("champion") == "v1"


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [
        ({"a": 0.9, "b": 0.8}, "promoted"),
        ({"a": 0.8, "b": 0.7}, "promoted"),
        ({"a": 0.8, "b": 0.7 - 1.9 * PROMOTION_MARGIN_AUC}, "promoted"),
        ({"a": 0.8, "b": 0.7 - 2.1 * PROMOTION_MARGIN_AUC}, "kept"),
        ({"a": 0.7, "b": 0.6}, "kept"),
        ({"a": 0.8, "c": 0.1}, "promoted"),  # compared on the common person alone
        ({"a": 0.7, "c": 1.0}, "kept"),
        ({"c": 0.1}, "promoted"),  # nobody in common
        ({"a": None, "b": 0.7}, "promoted"),
    ],
)
def test_promotion_if_not_worse_on_common_people(
    registry: Registry, ours: dict[str, float | None], outcome: str
) -> None:
    theirs = {"a": 0.8, "b": 0.7}
    promote(registry, publish(registry, "v1", theirs))
    answer = promote(registry, publish(registry, "v2", ours), "b")
    assert answer["outcome"] == outcome
    assert registry.alias("champion") == answer["champion"] == ("v2" if outcome == "promoted" else "v1")
    common = sorted(name for name in theirs.keys() & ours.keys() if ours[name] is not None)
    assert answer.get("compared_on", []) == common
    if common:
        expected = np.mean([ours[name] - theirs[name] for name in common])
        assert answer["auc_difference"] == pytest.approx(expected, abs=1e-4)
    assert len(registry.history()) == (2 if outcome == "promoted" else 1)


def test_figures_within_one_person_are_not_compared(registry: Registry) -> None:
    promote(registry, publish(registry, "v1", {"block_1": 0.9}, "within_subject_blocks"))
    answer = promote(registry, publish(registry, "v2", {"block_1": 0.5}, "within_subject_blocks"), "b")
    assert answer["outcome"] == "promoted"
    assert "nothing to compare" in answer["why"]


def test_a_champion_that_changes_in_between_is_compared_with_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, publish(registry, "v1", {"a": 0.5}))
    publish(registry, "v2", {"a": 0.6})
    publish(registry, "v3", {"a": 0.9})
    real = Registry.promote

    def overtaken(self: Registry, version: str, **how: Any) -> bool:
        monkeypatch.setattr(Registry, "promote", real)
        registry.promote("v3", expected="v1", entry={"execution": "c"})
        return real(self, version, **how)

    monkeypatch.setattr(Registry, "promote", overtaken)
    answer = promote(registry, "v2", "b")
    assert (answer["outcome"], answer["champion"]) == ("kept", "v3")
    assert [entry["version"] for entry in registry.history()] == ["v1", "v3"]


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [({"a": 0.8}, "kept"), ({"a": 0.8 + 2 * PROMOTION_MARGIN_AUC}, "promoted"), ({"b": 1.0}, "kept")],
)
def test_an_overtaken_challenger_must_be_better(registry: Registry, ours: dict[str, float], outcome: str) -> None:
    promote(registry, publish(registry, "v2", {"a": 0.8}))
    answer = promote(registry, publish(registry, "v1", ours), "late")
    assert answer["outcome"] == outcome


def test_a_retry_of_a_promotion_gives_the_same_answer(
    registry: Registry, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        promote(registry, publish(registry, "v1", {"a": 0.8}))
        publish(registry, "v2", {"a": 0.85})

    def state() -> Any:
        pointer = registry.store.get(MODELS, "active_model_pointer.txt")[0]
        return registry.alias("champion"), pointer, [{**entry, "at": ""} for entry in registry.history()]

    after_any_death(prepare, lambda at: promote(Registry(at, MODELS), "v2", "b"), state)
    before = state()
    assert promote(registry, "v2", "b") == promote(registry, "v2", "b")
    assert state() == before
    assert before[2][-1]["auc_difference"] == 0.05


@pytest.mark.parametrize("next_step", ["training of the same", "promotion of a worse one"])
def test_a_promotion_that_died_behind_its_alias_is_finished_by_the_next_execution(
    store: Store, registry: Registry, people: list[str], monkeypatch: pytest.MonkeyPatch, next_step: str
) -> None:
    def die(_: Registry) -> None:
        raise Died

    first = train(store)["version"]
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(Registry, "follow_champion", die)
        promote(registry, first)
    assert (registry.alias("champion"), registry.history()) == (first, [])
    if next_step == "training of the same":
        assert train(store, execution="another")["outcome"] == "unchanged"
    else:
        worse = dict.fromkeys(registry.manifest(first)["subjects"], 0.0)
        assert promote(registry, publish(registry, "v20270101000000", worse), "another")["outcome"] == "kept"
    assert [(entry["version"], entry["replaced"]) for entry in registry.history()] == [(first, None)]
    assert store.get(MODELS, "active_model_pointer.txt")[0].decode() == first


def test_two_promotions_at_once_end_with_the_newer(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 1), max_size=24))
    @settings(any_order, max_examples=5)
    def race(turns: list[int]) -> None:
        empty_buckets()
        promote(registry, publish(registry, "v1", {"a": 0.8}))
        for version in ("v2", "v3"):
            publish(registry, version, {"a": 0.8})
        answers = interleave([lambda at, v=v: promote(Registry(at, MODELS), v, v) for v in ("v2", "v3")], turns)
        assert answers[1]["outcome"] == "promoted"
        assert registry.alias("champion") == "v3"
        assert registry.store.get(MODELS, "active_model_pointer.txt")[0] == b"v3"

    race()
