"""Several montages in one stack: a champion for each group, and every recording in a model or named with its reason."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from p300.montages import name_of
from p300_pipeline.montage_groups import MONTAGES_KEY, Montage, alias_of, mend_groups
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.training import evaluate, finish, later, promote, train

BNCI = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz")
SIXTEEN = ("Fp1", "Fp2", "F5", "AFz", "F6", "T7", "Cz", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2")
THIRTY_TWO = (
    *SIXTEEN,
    "Fz",
    "PO7",
    "PO8",
    "F3",
    "F4",
    "F7",
    "F8",
    "FC1",
    "FC2",
    "C3",
    "C4",
    "CP1",
    "CP2",
    "P5",
    "P6",
    "POz",
)
Put = Callable[..., Any]


def others_of(answer: dict[str, Any]) -> dict[str, str]:
    return {entry["recording"]: entry["reason"] for entry in answer["other_montages"]}


def put_people(put_features: Put, numbers: range, channels: tuple[str, ...]) -> list[str]:
    names = [f"subject_{number:02d}/run" for number in numbers]
    for name in names:
        put_features(name, channels=channels)
    return names


def test_recordings_of_another_montage_become_a_champion_of_their_own(
    store: Store, registry: Registry, put_features: Put
) -> None:
    put_people(put_features, range(1, 5), SIXTEEN)
    first = finish(store, train(store))
    others = put_people(put_features, range(5, 8), BNCI)
    answer = train(store, "b", later(60), recording=others[0])
    assert answer["subjects"] == ["subject_05", "subject_06", "subject_07"]
    assert others_of(answer)["subject_01/run"].endswith("champion is the champion of its montage")
    evaluate(store, answer["version"])
    promoted = promote(registry, answer["version"], "b")
    assert (promoted["outcome"], promoted["alias"]) == ("promoted", alias_of(name_of(BNCI)))
    assert registry.aliases()[0] == {
        "champion": first["version"],
        "challenger": answer["version"],
        alias_of(name_of(BNCI)): answer["version"],
    }
    assert promote(registry, answer["version"], "b") == promoted, "a retry"
    again = train(store, "c", later(120), recording="subject_01/run")
    assert (again["outcome"], again["version"]) == ("unchanged", first["version"])


def test_a_group_of_more_people_becomes_the_default_and_the_other_keeps_serving(
    store: Store, registry: Registry, put_features: Put
) -> None:
    put_people(put_features, range(1, 3), SIXTEEN)
    first = finish(store, train(store))["version"]
    others = put_people(put_features, range(5, 9), BNCI)
    second = train(store, "b", later(60), recording=others[0])["version"]
    evaluate(store, second)
    answer = promote(registry, second, "b")
    assert (answer["alias"], answer["default_instead_of"]) == ("champion", name_of(SIXTEEN))
    assert registry.champions() == {"champion": second, alias_of(name_of(SIXTEEN)): first}
    assert registry.pointer() == second
    assert [entry["version"] for entry in registry.history()] == [first, second]
    assert promote(registry, second, "b")["outcome"] == "promoted", "a retry"
    assert registry.champions() == {"champion": second, alias_of(name_of(SIXTEEN)): first}


@pytest.mark.parametrize("removed", [b"", b"{"])
def test_the_file_that_names_the_montages_is_written_again(
    store: Store, registry: Registry, put_features: Put, removed: bytes
) -> None:
    test_a_group_of_more_people_becomes_the_default_and_the_other_keeps_serving(store, registry, put_features)
    wanted = registry.champions()
    if removed:
        store.put(MODELS, MONTAGES_KEY, removed)
        assert any("`p300 models` writes it again" in problem for problem in registry.problems())
    else:
        store.delete(MODELS, MONTAGES_KEY)
    mend_groups(registry, {version: Montage.of(registry.manifest(version)) for version in registry.versions()})
    assert registry.champions() == wanted
    assert registry.problems() == []


def test_recordings_with_all_channels_among_more_are_used(store: Store, put_features: Put) -> None:
    few, many = put_people(put_features, range(1, 3), BNCI), put_people(put_features, range(3, 6), THIRTY_TWO)
    answer = train(store, recording=few[0])
    assert answer["left_out"] == []
    assert answer["n_recordings"] == 5
    assert answer["montage"]["people"] == 2, "the default group is counted by its own people"
    assert answer["montage"]["used"] == "complete"
    own = train(store, "b", later(60), recording=many[0])
    assert own["subjects"] == ["subject_03", "subject_04", "subject_05"]
    assert set(others_of(own)) == set(few)


def test_every_recording_of_three_montages_is_in_a_model_or_named(
    store: Store, registry: Registry, put_features: Put
) -> None:
    everyone: set[str] = set()
    for number, channels in enumerate((BNCI, SIXTEEN, THIRTY_TWO)):
        names = put_people(put_features, range(10 * number + 1, 10 * number + 4), channels)
        everyone |= set(names)
        finish(store, train(store, f"x{number}", later(60 * number), recording=names[0]))
    in_models = {
        entry["recording"]
        for version in registry.champions().values()
        for entry in registry.manifest(version)["recordings"]
    }
    assert in_models == everyone
    assert {Montage.of(registry.manifest(version)).group for version in registry.champions().values()} == {
        name_of(channels) for channels in (BNCI, SIXTEEN, THIRTY_TWO)
    }


def test_channels_that_are_requested_are_those_of_the_model(
    store: Store, registry: Registry, put_features: Put
) -> None:
    names = put_people(put_features, range(1, 4), SIXTEEN)
    other = put_people(put_features, range(5, 6), ("C3", "C4"))
    answer = train(store, channels=["pz", "Cz", "Oz"])
    assert registry.manifest(answer["version"])["channels"] == ["pz", "Cz", "Oz"]
    assert [entry["recording"] for entry in registry.manifest(answer["version"])["recordings"]] == names
    assert "`p300 train --channels C3,C4`" in others_of(answer)[other[0]]


def test_the_better_of_interpolation_and_common_channels_is_used_and_both_are_stated(
    store: Store, registry: Registry, put_features: Put
) -> None:
    put_people(put_features, range(1, 4), SIXTEEN)
    put_people(put_features, range(4, 6), SIXTEEN[:12])
    answer = train(store)
    manifest = registry.manifest(answer["version"])
    told = manifest["montage"]
    better = "interpolated" if told["auc_interpolated"] >= told["auc_common"] else "common"
    assert (told["used"], told["compared_on"], told["people"]) == (better, 5, 5)
    assert len(manifest["channels"]) == (16 if better == "interpolated" else 12)
    lacking = {entry["recording"]: entry.get("missing_channels") for entry in manifest["recordings"]}
    assert (lacking["subject_01/run"], lacking["subject_04/run"]) == (None, list(SIXTEEN[12:]))
    assert np.isfinite([told["auc_interpolated"], told["auc_common"]]).all()


def test_what_cannot_be_interpolated_is_trained_on_the_common_channels(
    store: Store, registry: Registry, put_features: Put
) -> None:
    names = ("Fz", "Cz", "Pz", "ear")
    put_people(put_features, range(1, 4), names)
    put_people(put_features, range(4, 6), names[:3])
    answer = train(store)
    assert (answer["n_recordings"], answer["montage"]["used"]) == (5, "common")
    assert registry.manifest(answer["version"])["channels"] == ["Fz", "Cz", "Pz"]
