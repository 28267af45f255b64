"""Versions, aliases and the history: who wins a race, and what may be loaded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from p300.errors import ArtifactError
from p300_pipeline.model_index import INDEX_KEY
from p300_pipeline.registry import HISTORY_KEY, POINTER_KEY, VERSION, Claim, Registry
from p300_pipeline.storage import Store

from tests.support.interruptions import Died
from tests.support.manifests import MANIFEST

MODELS = "p300-models"
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
any_turns = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


def publish(registry: Registry, version: str, fingerprint: str = "", body: bytes = b"model") -> Claim:
    artifacts = {"model.npz": (body, "application/octet-stream")}
    return registry.publish(version, fingerprint or version, artifacts, MANIFEST)


def champion(registry: Registry) -> tuple[str | None, str, str]:
    """Return what the alias, the pointer and the end of the history say."""
    pointer = registry.store.get(MODELS, POINTER_KEY)[0].decode()
    return registry.alias("champion"), pointer, registry.history()[-1]["version"]


# ---- versions
def test_versions_are_named_after_the_start_in_utc(registry: Registry) -> None:
    elsewhere = STARTED.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert registry.claim("a", "f", elsewhere) == Claim("v20260102030405", finished=False)
    assert VERSION.fullmatch("v20260102030405")


def test_a_retry_claims_the_same_version(registry: Registry) -> None:
    assert [registry.claim("a", "f", STARTED).version for _ in range(3)] == ["v20260102030405"] * 3


def test_claims_in_the_same_second_get_different_versions(registry: Registry) -> None:
    versions = [registry.claim(execution, execution, STARTED).version for execution in "abc"]
    assert versions == ["v20260102030405", "v20260102030406", "v20260102030407"]
    assert registry.claim("b", "b", STARTED).version == "v20260102030406"


def test_many_claims_in_the_same_second_get_different_versions(registry: Registry) -> None:
    late = STARTED.replace(second=55)  # into the next minute
    assert len({registry.claim(str(number), str(number), late).version for number in range(10)}) == 10


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_a_version_from_the_future_is_followed_by_later_ones(registry: Registry, alias: str) -> None:
    """A clock was wrong: no version named after the right time could ever take its place."""
    registry.set_alias(alias, "v20990101000000")
    claims = [registry.claim(execution, execution, STARTED).version for execution in "aba"]
    assert claims == ["v20990101000001", "v20990101000002", "v20990101000001"]


@pytest.mark.parametrize("held", ["v20250101000000", "v99999999999999", "", "nonsense"])
def test_other_versions_do_not_change_a_name(registry: Registry, held: str) -> None:
    registry.set_alias("champion", held)
    assert registry.claim("a", "f", STARTED).version == "v20260102030405"


def test_claims_at_the_same_time_get_different_versions(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 2), max_size=12))
    @any_turns
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        claims = interleave([lambda at, e=e: Registry(at, MODELS).claim(e, e, STARTED) for e in "abc"], turns)
        assert len({claim.version for claim in claims}) == 3

    any_order()


def test_a_version_without_manifest_does_not_exist(registry: Registry) -> None:
    registry.claim("a", "f", STARTED)
    assert registry.versions() == []
    with pytest.raises(ArtifactError) as refused:
        registry.manifest("v20260102030405")
    assert refused.value.code == "no_manifest"


def test_what_is_published_is_read_back(registry: Registry) -> None:
    assert publish(registry, "v20260102030405", "f") == Claim("v20260102030405", finished=False)
    assert registry.versions() == ["v20260102030405"]
    manifest = registry.manifest("v20260102030405")
    assert (manifest["format"], manifest["fingerprint"], manifest["kind"]) == (1, "f", "lda")
    assert registry.artifact("v20260102030405", "model.npz", manifest) == b"model"
    assert registry.claim("b", "f", STARTED) == Claim("v20260102030405", finished=True)


def test_the_manifest_is_written_after_every_artifact(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = registry.store.put
    monkeypatch.setattr(registry.store, "put", lambda b, key, *a, **k: written.append(key) or put(b, key, *a, **k))  # type: ignore[func-returns-value]
    publish(registry, "v1", "f")
    assert written == ["v1/model.npz", "v1/manifest.json", "trainings/f", INDEX_KEY]


def test_the_second_of_two_equal_trainings_is_withdrawn(registry: Registry) -> None:
    publish(registry, "v20260102030405", "f")
    assert publish(registry, "v20260102030406", "f") == Claim("v20260102030405", finished=True)
    assert registry.versions() == ["v20260102030405"]
    assert not list(registry.store.list(MODELS, "v20260102030406"))


def test_a_training_can_be_done_again_after_its_version_was_deleted(registry: Registry) -> None:
    publish(registry, "v20260102030405", "f")
    registry.discard("v20260102030405")
    assert registry.claim("b", "f", STARTED + timedelta(seconds=9)).finished is False
    assert publish(registry, "v20260102030414", "f") == Claim("v20260102030414", finished=False)
    assert registry.version_of_training("f") == "v20260102030414"


# ---- what may be loaded
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad_manifest"),
        (b"[]", "bad_manifest"),
        (b"{}", "unknown_format"),
        (json.dumps({"format": 2, **MANIFEST}).encode(), "unknown_format"),
        (json.dumps({"format": 1}).encode(), "bad_manifest"),
        (b"\xff\xfe", "bad_manifest"),
    ],
)
def test_manifests_that_this_code_cannot_read(registry: Registry, body: bytes, code: str) -> None:
    registry.store.put(MODELS, "v1/manifest.json", body)
    with pytest.raises(ArtifactError) as refused:
        registry.manifest("v1")
    assert refused.value.code == code
    assert "v1" in refused.value.message


@pytest.mark.parametrize("code", ["altered_artifact", "missing_artifact", "unlisted_artifact"])
def test_artifacts_are_checked(registry: Registry, code: str) -> None:
    publish(registry, "v1", "f")
    manifest = registry.manifest("v1")
    name = "model.npz"
    if code == "altered_artifact":
        registry.store.put(MODELS, "v1/model.npz", b"MODEL")
    elif code == "missing_artifact":
        registry.store.delete(MODELS, "v1/model.npz")
    else:
        name = "model.pkl"
        registry.store.put(MODELS, "v1/model.pkl", b"planted")
    with pytest.raises(ArtifactError) as refused:
        registry.artifact("v1", name, manifest)
    assert refused.value.code == code


# ---- aliases
def test_aliases(registry: Registry) -> None:
    assert registry.alias("challenger") is None
    assert registry.set_alias("challenger", "v1") is None
    assert registry.set_alias("challenger", "v2") == "v1"
    assert registry.alias("challenger") == "v2"


def test_promotion_sets_alias_pointer_and_history(registry: Registry) -> None:
    assert registry.promote("v1", expected=None, entry={"execution": "a", "why": "first"})
    assert champion(registry) == ("v1", "v1", "v1")
    assert registry.promote("v2", expected="v1", entry={"execution": "b"})
    assert champion(registry) == ("v2", "v2", "v2")
    history = registry.history()
    assert [(entry["version"], entry["replaced"], entry["execution"]) for entry in history] == [
        ("v1", None, "a"),
        ("v2", "v1", "b"),
    ]
    assert history[0]["why"] == "first"
    assert all(datetime.fromisoformat(entry["at"]).tzinfo for entry in history)


def test_promotion_against_another_champion_than_compared_with(registry: Registry) -> None:
    registry.promote("v1", expected=None, entry={})
    assert not registry.promote("v3", expected=None, entry={})
    assert not registry.promote("v3", expected="v0", entry={})
    assert champion(registry) == ("v1", "v1", "v1")


def test_promoting_the_champion_again_adds_nothing(registry: Registry) -> None:
    for execution in "aab":
        assert registry.promote("v1", expected=None, entry={"execution": execution})
    assert len(registry.history()) == 1


def test_a_champion_may_come_back(registry: Registry) -> None:
    for version, expected in (("v1", None), ("v2", "v1"), ("v1", "v2")):
        assert registry.promote(version, expected=expected, entry={"execution": "by hand"})
    assert [entry["version"] for entry in registry.history()] == ["v1", "v2", "v1"]


def test_a_death_while_promoting_is_mended_by_the_retry(
    registry: Registry, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        registry.promote("v1", expected=None, entry={"execution": "a"})

    def state() -> Any:
        history = [{k: v for k, v in entry.items() if k != "at"} for entry in registry.history()]
        return champion(registry), history

    after_any_death(
        prepare, lambda at: Registry(at, MODELS).promote("v2", expected="v1", entry={"execution": "b"}), state
    )


def cut_off(registry: Registry, version: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promote, and die as soon as the alias is set."""
    put = registry.store.put

    def die_after_the_alias(bucket: str, key: str, *args: Any, **named: Any) -> Any:
        put(bucket, key, *args, **named)
        if key == "aliases/champion":
            raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(registry.store, "put", die_after_the_alias)
        registry.promote(version, expected=expected, entry={"execution": version})
    assert registry.alias("champion") == version
    assert version not in [entry["version"] for entry in registry.history()]


def story(registry: Registry) -> list[tuple[str, str | None, str | None]]:
    return [(entry["version"], entry["replaced"], entry.get("execution")) for entry in registry.history()]


def test_a_promotion_that_nobody_tries_again_is_told_of_before_the_next(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(registry, "v1", None, monkeypatch)
    registry.promote("v2", expected="v1", entry={"execution": "b"})
    cut_off(registry, "v3", "v2", monkeypatch)
    registry.promote("v2", expected="v3", entry={"execution": "back"})
    assert story(registry) == [("v1", None, None), ("v2", "v1", "b"), ("v3", "v2", None), ("v2", "v3", "back")]
    assert champion(registry) == ("v2", "v2", "v2")


def test_a_promotion_is_finished_once_and_its_late_retry_adds_the_figures(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.finish_promotion()
    assert registry.history() == []
    registry.promote("v1", expected=None, entry={"execution": "a"})
    cut_off(registry, "v2", "v1", monkeypatch)
    for _ in range(2):
        registry.finish_promotion()
        assert story(registry) == [("v1", None, "a"), ("v2", "v1", None)]
        assert champion(registry) == ("v2", "v2", "v2")
    assert datetime.fromisoformat(registry.history()[-1]["at"]).tzinfo
    for _ in range(2):
        registry.promote("v2", expected="v1", entry={"execution": "v2", "auc_difference": 0.01})
        assert story(registry) == [("v1", None, "a"), ("v2", "v1", "v2")]
    assert registry.history()[-1]["auc_difference"] == 0.01


def test_a_promotion_that_is_overtaken_before_its_entry_stands_once_and_in_its_place(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 2), max_size=24))
    @example([0] * 5 + [1] * 24)  # the first has set the alias, nothing else
    @example([0] * 10 + [1] * 24)  # it is about to write its entry
    @any_turns
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        registry.promote("v1", expected=None, entry={"execution": "a"})

        def promote(version: str) -> Callable[[Store], None]:
            def run(at: Store) -> None:
                other = Registry(at, MODELS)
                while not other.promote(version, expected=other.alias("champion"), entry={"execution": version}):
                    pass

            return run

        interleave([promote("v2"), promote("v3"), lambda at: Registry(at, MODELS).finish_promotion()], turns)
        versions = [entry["version"] for entry in registry.history()]
        assert sorted(versions) == ["v1", "v2", "v3"]
        assert [entry["replaced"] for entry in registry.history()] == [None, *versions[:-1]]
        assert champion(registry) == (versions[-1],) * 3

    any_order()


def test_of_two_promotions_at_once_one_wins_and_all_agree(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 1), max_size=20))
    @any_turns
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        registry.promote("v1", expected=None, entry={"execution": "a"})

        def promote(at: Store, version: str) -> bool:
            return Registry(at, MODELS).promote(version, expected="v1", entry={"execution": version})

        won = interleave([lambda at: promote(at, "v2"), lambda at: promote(at, "v3")], turns)
        assert sorted(won) == [False, True]
        winner = ("v2", "v3")[won.index(True)]
        assert champion(registry) == (winner, winner, winner)
        assert len(registry.history()) == 2

    any_order()


def test_the_pointer_follows_promotions_that_overtake_each_other(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.integers(1, 10), st.lists(st.integers(0, 1), max_size=16))
    @example(4, [1] * 4)  # the alias is set, nothing else
    @example(4, [1] * 12)
    @any_turns
    def any_order(first: int, turns: list[int]) -> None:
        empty_buckets()

        def second(at: Store) -> None:
            other = Registry(at, MODELS)
            while not other.promote("v2", expected=other.alias("champion"), entry={"execution": "b"}):
                pass

        was_first, _ = interleave(
            [lambda at: Registry(at, MODELS).promote("v1", expected=None, entry={"execution": "a"}), second],
            [0] * first + turns,
        )
        assert registry.alias("champion") == "v2"
        assert registry.store.get(MODELS, POINTER_KEY)[0] == b"v2"
        assert [entry["version"] for entry in registry.history()] == (["v1", "v2"] if was_first else ["v2"])

    any_order()


def test_the_history_tells_who_was_champion_before(registry: Registry) -> None:
    assert registry.replaced_by("v1") is None
    registry.promote("v1", expected=None, entry={})
    assert registry.replaced_by("v1") is None
    assert registry.replaced_by("v2") == "v1", "promoted, but its entry is not written yet"
    registry.promote("v2", expected="v1", entry={})
    assert registry.replaced_by("v2") == "v1"
    assert json.loads(registry.store.get(MODELS, HISTORY_KEY)[0]) == registry.history()
