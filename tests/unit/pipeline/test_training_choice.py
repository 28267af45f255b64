"""Which recordings are trained on, and that the others are left out by name."""

import dataclasses
import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from p300.errors import TrainingError
from p300.features import write_features
from p300.models import fitted_epochs
from p300.montages import fitted
from p300_pipeline.feature_store import subject_of
from p300_pipeline.registry import Registry
from p300_pipeline.steps import training
from p300_pipeline.steps.training import TrainingRequest, choice
from p300_pipeline.steps.training import limits as limits_of_training
from p300_pipeline.steps.training.limits import EPOCH_BYTES, EPOCHS_SHARE, KEPT_EPOCH_BYTES, Limits, too_long
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.training import evaluate, finish, later, reasons, train


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
    chosen = finish(store, train(store, subjects=0.5, seed=3))["subjects"]
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
    assert [entry["recording"] for entry in answer["other_montages"]] == people
    reason = answer["other_montages"][0]["reason"]
    assert "(Fz, Cz, Pz) lacks C3, C4 of" in reason
    assert reason.endswith("`p300 train --channels Fz,Cz,Pz` trains a model for it")


def test_the_montage_is_that_of_the_champion(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    first = train(store)
    registry.promote(first["version"], expected=None, entry={})
    for number in (4, 5, 6, 7):
        put_features(f"subject_{number:02d}/run", channels=OTHERS)
    put_features("subject_08/run", channels=("Cz", "Fz", "Pz"))
    answer = train(store, "b", later(60), recording="subject_08/run", seed=1)
    assert answer["subjects"] == [
        "subject_01",
        "subject_02",
        "subject_03",
        "subject_08",
    ]  # the same channels, in another order
    assert registry.manifest(answer["version"])["channels"] == ["Fz", "Cz", "Pz"]
    assert [entry["recording"] for entry in answer["other_montages"]] == [
        f"subject_0{number}/run" for number in range(4, 8)
    ]
    assert "(C3, C4) lacks Fz, Cz, Pz of" in answer["other_montages"][3]["reason"]
    assert answer["left_out"] == []
    # New recordings of the wrong montage alone change nothing.
    store.delete(FEATURES, "subject_08/run/features.parquet")
    finish(store, first)
    assert train(store, "c", later(120))["outcome"] == "unchanged"


def arrays_of(store: Store, version: str) -> dict[str, Any]:
    return dict(np.load(io.BytesIO(store.get(MODELS, f"{version}/model.npz")[0])))


def test_channels_in_another_order_give_the_same_model(store: Store, put_features: Callable[..., Any]) -> None:
    made = {f"subject_0{number}/run": put_features(f"subject_0{number}/run") for number in (1, 2, 3)}
    straight = arrays_of(store, train(store)["version"])
    for name in ("subject_02/run", "subject_03/run"):
        put_features(name, features=fitted(made[name], ("Pz", "Fz", "Cz")))
    permuted = arrays_of(store, train(store, "b", later(60))["version"])
    assert permuted.keys() == straight.keys()
    for name, values in straight.items():
        np.testing.assert_array_equal(permuted[name], values)


def test_held_out_recordings_in_another_order_are_scored_the_same(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    made = put_features("subject_04/run")
    version = train(store, held_out=["subject_04"])["version"]
    straight = evaluate(store, version)
    put_features("subject_04/run", features=fitted(made, ("Pz", "Fz", "Cz")))
    assert (permuted := evaluate(store, version))["recordings"] == straight["recordings"]
    assert permuted["skipped"] == []


def test_without_champion_or_reason_the_commonest_montage_is_learned(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_00/run", channels=OTHERS)
    assert train(store)["subjects"] == ["subject_01", "subject_02", "subject_03"]


def test_without_a_recording_of_the_champions_montage_another_one_is_learned(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    registry.promote(train(store)["version"], expected=None, entry={})
    put_features("subject_04/run", channels=OTHERS)
    assert train(store, "b", later(60), subjects=["subject_04"])["subjects"] == ["subject_04"]


def test_a_champion_that_is_gone_does_not_stop_training(store: Store, registry: Registry, people: list[str]) -> None:
    registry.promote("v20250101000000", expected=None, entry={})
    answer = train(store)
    assert answer["outcome"] == "trained"
    promoted = training.promote(store, MODELS, answer["version"], execution="a")
    assert (promoted["outcome"], promoted["replaced"]) == ("promoted", "v20250101000000")
    assert "has no manifest.json" in promoted["why"]


# ---- made alike
@pytest.mark.parametrize(
    ("other", "names"),
    [
        ({"h_freq": 15.0}, "made with h_freq 15.0; expected h_freq 20.0."),
        ({"baseline": (0.0, 0.05)}, "made with baseline [0.0, 0.05]; expected baseline None."),
        ({"event_id": {"S 1": 2}}, "made with event_id {'S 1': 2}; expected event_id None."),
        ({"n_times": 12}, "made with tmax 0.12; expected tmax 0.1."),
    ],
)
def test_features_of_other_preprocessing_are_left_out_and_the_way_out_is_told(
    store: Store, people: list[str], put_features: Callable[..., Any], other: dict[str, Any], names: str
) -> None:
    for number in range(4, 8):  # more than the others: it is not the majority that decides
        put_features(f"subject_{number:02d}/run", **other)
    answer = train(store)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    way_out = "`p300 backfill` makes features with the stack's present Preprocessing"
    assert set(reasons(answer).values()) == {f"{names} {way_out}"}
    assert len(reasons(answer)) == 4


def test_the_stacks_preprocessing_decides_and_not_the_champions(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    registry.promote(train(store)["version"], expected=None, entry={})
    for number in (4, 5):
        put_features(f"subject_{number:02d}/run", n_times=12, h_freq=15.0)
    changed = {"tmax": 0.12, "h_freq": 15.0}
    answer = train(store, "b", later(60), preprocessing=changed)
    assert answer["subjects"] == ["subject_04", "subject_05"]
    assert set(reasons(answer)) == set(people)
    manifest = registry.manifest(answer["version"])
    assert (manifest["n_times"], manifest["preprocessing"]["h_freq"]) == (12, 15.0)


def test_when_all_is_of_other_preprocessing_nothing_is_trained(store: Store, people: list[str]) -> None:
    with pytest.raises(TrainingError, match=r"subject_01/run_1.*made with h_freq 20.0; expected h_freq 15.0.*backfill"):
        train(store, preprocessing={"h_freq": 15.0})


# ---- damaged, deleted
def test_recordings_that_cannot_be_learned_from_are_left_out_by_name(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    whole = put_features("subject_04/run", labels=(1, 1))
    put_features("subject_05/run", effect_uv=math.inf)
    store.put(FEATURES, "subject_06/run/features.parquet", b"PAR1 no")
    X = whole.X.copy()
    X[0, 0] = 1e33
    put_features("subject_07/run", features=dataclasses.replace(whole, X=X))
    put_features("subject_08/run")
    body = bytearray(store.get(FEATURES, "subject_08/run/features.parquet")[0])
    body[len(body) // 3] ^= 1
    store.put(FEATURES, "subject_08/run/features.parquet", bytes(body))
    answer = train(store)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    found = reasons(answer)
    assert found.pop("subject_04/run") == "0 Target and 60 NonTarget epochs; at least 5 of each are trained on"
    for number, why in ((5, "infinity"), (6, "not a readable"), (7, "1e+33 V"), (8, "damaged or changed")):
        reason = found.pop(f"subject_{number:02d}/run")
        assert f"s3://{FEATURES}/subject_{number:02d}/run/features.parquet" in reason
        assert why in reason
        assert "p300 backfill" in reason
    assert not found


@pytest.mark.parametrize(("n_epochs", "n_targets"), [(1, 0), (2, 0), (6, 1), (24, 4)])
def test_a_recording_of_hardly_any_epochs_counts_for_nobody(
    store: Store, people: list[str], put_features: Callable[..., Any], n_epochs: int, n_targets: int
) -> None:
    put_features("subject_04/short", n_epochs=n_epochs)
    answer = train(store)
    assert list(answer["auc_by_fold"]) == ["subject_01", "subject_02", "subject_03"]
    assert f"{n_targets} Target and {n_epochs - n_targets} NonTarget" in reasons(answer)["subject_04/short"]


def test_features_that_are_deleted_while_a_training_begins_are_left_out(store: Store, people: list[str]) -> None:
    class Deleting(Store):
        def download(self, bucket: str, key: str, path: Any, **how: Any) -> Any:
            store.delete(FEATURES, "subject_02/run_1/features.parquet")
            return super().download(bucket, key, path, **how)

    answer = train(Deleting(store.client))
    assert answer["subjects"] == ["subject_01", "subject_03"]
    assert reasons(answer) == {"subject_02/run_1": "its features were deleted while the training began"}


def test_names_that_would_be_one_file_are_two_recordings(store: Store, put_features: Callable[..., Any]) -> None:
    for name in ("subject_01/a__b", "subject_01/A__B", "subject_02/" + "x" * 250):
        put_features(name)
    assert train(store)["n_epochs"] == 180


def test_an_answer_names_some_of_those_left_out_and_the_manifest_all(
    store: Store, registry: Registry, people: list[str]
) -> None:
    """Step Functions takes 256 KiB of a state's output."""
    for number in range(30):
        store.put(FEATURES, f"subject_05/{number}/features.parquet", b"")
    answer = train(store)
    assert (len(answer["left_out"]), answer["n_left_out"]) == (20, 30)
    assert len(registry.manifest(answer["version"])["left_out"]) == 30


# ---- what a training can hold
def test_a_recording_that_takes_too_much_memory_is_left_out_and_the_others_are_not(
    store: Store, registry: Registry, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_00/huge", n_epochs=2000)
    answer = train(store, memory_mb=40)
    assert answer["subjects"] == ["subject_01", "subject_02", "subject_03"]
    assert reasons(answer) == {
        "subject_00/huge": "takes 2 MB of memory; a training takes recordings of up to 2 MB in 40 MB: land it in parts, or give the "
        "training function more memory (MemorySize)"
    }
    assert train(store, "b", later(60), memory_mb=400)["n_recordings"] == 4


def test_what_is_too_large_is_not_even_downloaded(
    store: Store, people: list[str], put_features: Callable[..., Any]
) -> None:
    put_features("subject_00/huge", n_epochs=20_000)
    loaded: list[str] = []

    class Noting(Store):
        def download(self, bucket: str, key: str, path: Any, **how: Any) -> Any:
            loaded.append(key)
            return super().download(bucket, key, path, **how)

    train(Noting(store.client), memory_mb=40)
    assert loaded == [f"{name}/features.parquet" for name in people]


def test_what_a_file_says_of_its_size_is_looked_at_before_it_is_read(
    store: Store, people: list[str], put_features: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be small where the numbers in it are many."""
    import pyarrow.parquet as pq

    features = put_features("subject_00/huge", n_epochs=20_000)
    buffer = io.BytesIO()
    write_features(dataclasses.replace(features, X=np.zeros_like(features.X)), buffer, {})
    table = pq.read_table(buffer)
    pq.write_table(table, packed := io.BytesIO(), compression="zstd")
    store.put(FEATURES, "subject_00/huge/features.parquet", packed.getvalue())
    assert len(packed.getvalue()) < 100_000
    assert "takes 22 MB of memory" in reasons(train(store, memory_mb=40))["subject_00/huge"]


@pytest.mark.parametrize(
    ("sizes", "left_out"),
    [
        ({"a/1": 4, "a/2": 4, "a/3": 4}, {"a/3"}),
        ({"a/1": 9, "a/2": 4, "a/3": 4}, {"a/1"}),
        ({"a/1": 9, "b/1": 9, "c/1": 9}, set()),
    ],
)
def test_a_persons_smaller_recordings_come_first(sizes: dict[str, int], left_out: set[str]) -> None:
    epoch = 4 + EPOCH_BYTES
    limits = Limits(memory=8 * 10 * epoch, disk=10**9)
    shapes = {name: (size, 1) for name, size in sizes.items()}
    assert set(limits.too_many_of_a_person(shapes, subject_of)) == left_out


def test_all_epochs_together_are_bounded() -> None:
    limits = Limits(memory=EPOCHS_SHARE * KEPT_EPOCH_BYTES * 100, disk=10**9)
    shapes = {"a/hostile": (90, 1), "b/run": (20, 1), "c/run": (30, 1)}
    reasons = limits.too_many_epochs(shapes)
    assert set(reasons) == {"a/hostile"}
    assert "it takes 100 epochs" in reasons["a/hostile"]


def test_an_outsize_recording_is_left_out_where_a_training_would_not_end_in_time() -> None:
    def ensemble(n_people: int) -> Callable[[int], int]:
        return partial(fitted_epochs, "ensemble", n_people)

    people = {f"subject_{number:02d}/run": (800, 560) for number in range(60)}
    assert too_long(people, ensemble(60)) == {}
    hostile = people | {"subject_99/hostile": (4_000_000, 560)}
    assert set(too_long(hostile, ensemble(61))) == {"subject_99/hostile"}
    assert set(too_long(hostile, partial(fitted_epochs, "lda", 61))) == {"subject_99/hostile"}
    # Growth alone leaves nobody out, because fits are bounded.
    many = {f"subject_{number:03d}/run": (800, 560) for number in range(1000)}
    assert too_long(many, ensemble(1000)) == {}


def test_of_very_many_subjects_some_are_drawn_and_a_new_one_replaces_one_at_most() -> None:
    subjects = [f"subject_{number:05d}" for number in range(10_000)]
    chosen = limits_of_training.drawn(subjects, 0)
    assert len(chosen) == limits_of_training.MOST_SUBJECTS
    assert len(chosen - limits_of_training.drawn([*subjects, "subject_new"], 0)) <= 1
    assert chosen != limits_of_training.drawn(subjects, 1)
    assert limits_of_training.drawn(subjects[:7], 0) == set(subjects[:7])


def test_the_manifest_says_of_how_many_subjects_a_training_drew_some(
    store: Store, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_of_training, "MOST_SUBJECTS", 2)
    answer = train(store)
    manifest = Registry(store, MODELS).manifest(answer["version"])
    assert manifest["drawn_subjects"] == {"n": 2, "of": 3, "seed": 0}
    assert len(manifest["subjects"]) == 2
    assert manifest["left_out"] == []


def test_large_recordings_do_not_take_the_disk_of_all_others() -> None:
    limits = Limits(memory=24 * 50, disk=100)
    sizes = {f"subject_{number:02d}/hostile": 50 for number in range(5)} | {"subject_99/run": 10}
    reasons = limits.too_large_to_download(sizes)
    assert len(reasons) == 4
    assert "subject_99/run" not in reasons
