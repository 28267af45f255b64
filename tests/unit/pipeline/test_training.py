"""A training: what it leaves behind, and that retries and races change nothing."""

import io
import json
import math
from collections.abc import Callable
from typing import Any, cast

import joblib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from p300.decoding import Response
from p300.errors import TrainingError
from p300.models import RecordingEpochs
from p300.scoring import Scorer, read_arrays
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training import TrainingRequest
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.interruptions import Died
from tests.support.training import STARTED, any_order, evaluate, finish, later, promote, train

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
    told = [{name: entry[name] for name in ("recording", "features_etag", "raw")} for entry in manifest["recordings"]]
    assert told == [
        {"recording": name, "features_etag": etags[f"{name}/features.parquet"], "raw": None} for name in people
    ]
    assert (manifest["channels"], manifest["n_times"], manifest["sfreq"]) == (["Fz", "Cz", "Pz"], 10, 100.0)
    scorer = Scorer.load(registry.artifact(version, "model.npz", manifest))
    pipeline = joblib.load(io.BytesIO(registry.artifact(version, "model.joblib", manifest)))
    X = np.random.default_rng(0).normal(0, 1e-5, (4, 30)).astype(np.float32)
    np.testing.assert_allclose(pipeline.predict_proba(X)[:, 1], scorer.probability_target(X), rtol=0, atol=1e-9)


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
    assert set(made[0][3]) >= {"numpy", "scipy", "scikit-learn", "pyriemann"}


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
    first = finish(store, train(store))
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
    np.savez(buffer, **{name: cast("Any", array) for name, array in arrays.items() if not name.startswith("response_")})
    registry.publish(first, manifest["fingerprint"], {"model.npz": (buffer.getvalue(), "")}, manifest)
    again = train(store, "b", later(60))
    assert (again["outcome"], again["version"] > first) == ("trained", True)
    assert train(store, "b", later(60)) == again  # a retry
    finish(store, again)
    arrays = read_arrays(registry.artifact(again["version"], "model.npz", registry.manifest(again["version"])))
    assert Response.from_arrays(arrays) is not None
    third = train(store, "c", later(120))
    assert (third["outcome"], third["version"]) == ("unchanged", again["version"])


@pytest.mark.parametrize("change", ["model", "seed", "recording", "held_out"])
def test_anything_else_is_another_training(
    store: Store, people: list[str], put_features: Callable[..., Any], change: str
) -> None:
    train(store)
    requests: dict[str, dict[str, Any]] = {
        "model": {"model": "ridge"},
        "seed": {"seed": 1},
        "held_out": {"held_out": ["subject_03"]},
    }
    request = requests.get(change, {})
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


def test_what_a_stopped_training_left_undone_is_done_by_the_next_request(
    store: Store, registry: Registry, people: list[str]
) -> None:
    """Stopped before it was evaluated, compared or drawn: 'unchanged' would leave a model that never serves."""
    first = train(store)
    steps = [
        lambda: None,
        lambda: evaluate(store, first["version"]),
        lambda: promote(registry, first["version"]),
    ]
    for number, step in enumerate(steps):
        step()
        again = train(store, f"asked-{number}", later(60 * (number + 1)))
        assert (again["outcome"], again["version"]) == ("trained", first["version"])
        assert f"{first['version']} was trained before, and its execution did not come to its end" in again["why"]
    registry.keep_picture(first["version"], "subjects.png", b"")
    assert train(store, "asked-last", later(600))["outcome"] == "unchanged"


def test_a_training_stopped_before_its_challenger_was_named_is_finished(
    store: Store, registry: Registry, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(Registry, "set_alias", die)
        train(store)
    assert registry.alias("challenger") is None
    again = train(store, "asked", later(60))
    assert (again["outcome"], registry.alias("challenger")) == ("trained", again["version"])


def test_a_training_stopped_before_it_published_is_repeated(
    store: Store, registry: Registry, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(Registry, "publish", die)
        train(store)
    again = train(store, "asked", STARTED)  # in the same second
    assert (again["outcome"], registry.versions()) == ("trained", [again["version"]])
    assert registry.manifest(again["version"])["execution"] == "asked"


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
        # Neither knows whether the other lives to evaluate and promote it: both do.
        assert [answer["outcome"] for answer in answers] == ["trained"] * 2
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
