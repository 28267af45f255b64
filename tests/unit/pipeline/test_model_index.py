"""The index that lists of models read: right after every race and death, and written again where it is missing or damaged."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import ArtifactError
from p300_pipeline.model_index import INDEX_KEY, MAX_UNINDEXED, newest_rows, page, read_index, row_of, update_index
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.manifests import MANIFEST

VERSIONS = V0, V1, V2, V3 = tuple(f"v2026010100000{number}" for number in range(4))
METRICS = {
    "leave_one_subject_out": {"mean": {"roc_auc": 0.8}, "sd": {"roc_auc": 0.1}},
    "pooled_random_split_optimistic": {"roc_auc": 0.9},
}
any_turns = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def publish(store: Any, version: str, **changes: Any) -> Any:
    return Registry(store, MODELS).publish(version, version, {}, MANIFEST | changes)


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


def listed(registry: Registry) -> list[str]:
    return [row["version"] for row in read_index(registry)]


def test_a_row_holds_the_figures_of_lists() -> None:
    manifest = MANIFEST | {
        "version": V1,
        "metrics": METRICS,
        "subjects": ["a", "b"],
        "recordings": [{"recording": "a/r"}],
    }
    assert row_of(manifest) == {
        "version": V1, "kind": "lda", "subjects": 2, "recordings": 1, "n_epochs": 1, "auc_left_out": 0.8, "auc_mean": 0.8, "auc_sd": 0.1,
        "auc_random_split": 0.9, "scheme": "leave_one_subject_out", "created": MANIFEST["created"],
        "at_chance": None, "p_chance": None,
    }  # fmt: skip
    tested = row_of(manifest | {"metrics": METRICS | {"chance": {"at_chance": True, "p_value": 0.3}}})
    assert (tested["at_chance"], tested["p_chance"]) == (True, 0.3)
    alone = row_of(
        manifest
        | {"metrics": {"leave_one_subject_out": None, "within_subject_blocks": {"mean": {"roc_auc": 0.7}, "sd": {}}}}
    )
    assert (alone["auc_left_out"], alone["auc_mean"], alone["auc_sd"]) == (None, 0.7, None)
    for odd in (
        None,
        [],
        {},
        {"leave_one_subject_out": 5},
        {"leave_one_subject_out": {"mean": {"roc_auc": float("nan")}}},
    ):
        assert row_of(manifest | {"metrics": odd or {}})["auc_mean"] is None


def test_rows_of_before_there_was_a_test_against_chance_are_read(registry: Registry, store: Store) -> None:
    publish(store, V1)
    index = json.loads(store.get(MODELS, INDEX_KEY)[0])
    for name in ("at_chance", "p_chance"):
        del index["versions"][0][name]
    store.put(MODELS, INDEX_KEY, json.dumps(index).encode())
    assert listed(registry) == [V1]


def test_publishing_and_withdrawing_keep_the_index(registry: Registry, store: Store) -> None:
    for version in (V1, V3, V2):
        publish(store, version)
    assert listed(registry) == [V3, V2, V1]
    registry.discard(V2)
    assert listed(registry) == [V3, V1]


@pytest.mark.parametrize(
    "damage",
    [None, b"", b"{", b"[]", b'{"format": 2, "versions": []}', b'{"format": 1, "versions": [1]}', b'{"format": 1}', b"\xff" * 9,
     b'{"format": 1, "versions": [{"version": "v1", "kind": 5}]}', b'{"a":' * 50_000],
)  # fmt: skip
def test_an_index_that_is_missing_or_damaged_is_written_again(
    registry: Registry, store: Store, damage: bytes | None
) -> None:
    for version in VERSIONS:
        publish(store, version)
    whole = read_index(registry)
    if damage is None:
        store.delete(MODELS, INDEX_KEY)
    else:
        store.put(MODELS, INDEX_KEY, damage)
    with pytest.raises(ArtifactError, match="p300 models"):
        read_index(registry)
    rows, problem = newest_rows(registry)
    assert rows == whole, "the manifests stand in for it"
    assert "p300 models" in problem
    assert update_index(registry) == read_index(registry) == whole
    assert newest_rows(registry) == (whole, "")


def test_a_version_that_cannot_be_read_is_listed_with_the_reason_until_it_is_restored(
    registry: Registry, store: Store
) -> None:
    publish(store, V1)
    whole = store.get(MODELS, f"{V1}/manifest.json")[0]
    store.put(MODELS, f"{V1}/manifest.json", b"{")
    store.delete(MODELS, INDEX_KEY)
    (row,) = update_index(registry)
    assert "not JSON" in row["problem"]
    store.put(MODELS, f"{V1}/manifest.json", whole)
    (row,) = update_index(registry)
    assert row["kind"] == "lda"


def test_versions_that_somebody_deleted_go(registry: Registry, store: Store) -> None:
    publish(store, V1)
    publish(store, V2)
    store.delete(MODELS, f"{V1}/manifest.json")
    assert [row["version"] for row in update_index(registry)] == [V2]


def test_the_index_is_right_after_publications_in_any_order(
    registry: Registry, interleave: Callable[..., list[Any]], empty_buckets: Callable[[], None]
) -> None:
    @given(st.lists(st.integers(0, 2), max_size=30))
    @any_turns
    def any_order(turns: list[int]) -> None:
        empty_buckets()
        publish(registry.store, V0)
        interleave(
            [
                lambda at: publish(at, V1),
                lambda at: publish(at, V2),
                lambda at: Registry(at, MODELS).discard(V0),
            ],
            turns,
        )
        assert listed(registry) == [V2, V1]

    any_order()


def test_a_death_while_publishing_is_made_good_by_the_retry(
    registry: Registry, after_any_death: Callable[..., None], empty_buckets: Callable[[], None]
) -> None:
    def prepare() -> None:
        empty_buckets()
        publish(registry.store, V1)

    after_any_death(prepare, lambda at: publish(at, V2), lambda: listed(registry), answer_too=True)


# ---- GET /models
def reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    keys: list[str] = []
    for name in ("get", "list", "head"):
        method = getattr(store, name)
        monkeypatch.setattr(
            store,
            name,
            lambda bucket, key="", *rest, _m=method, _n=name, **how: (
                keys.append(f"{_n} {key}"),  # type: ignore[func-returns-value]
                _m(bucket, key, *rest, **how),
            )[1],
        )
    return keys


def test_the_list_of_many_models_reads_one_object_and_the_aliases(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in VERSIONS:
        publish(store, version)
    registry.set_alias("champion", V2)
    read = reads(store, monkeypatch)
    answer = Service(store, MODELS).models(limit=2)
    aliases = ["get aliases/challenger", "get aliases/champion", "get aliases/montages.json"]
    assert sorted(read) == [*aliases, f"get {INDEX_KEY}", f"get {V2}/manifest.json"]
    assert [row["version"] for row in answer["models"]] == [V3, V2]
    assert answer["models"][1]["aliases"] == ["champion"]
    assert answer["next"] == V2
    assert "problems" not in answer
    rest = Service(store, MODELS).models(before=answer["next"])
    assert ([row["version"] for row in rest["models"]], rest["next"]) == ([V1, V0], None)


def test_without_an_index_only_the_newest_manifests_are_read(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_UNINDEXED + 5):
        body = json.dumps(MANIFEST | {"format": 1, "version": f"v{20260101000000 + number}", "artifacts": {}}).encode()
        store.put(MODELS, f"v{20260101000000 + number}/manifest.json", body)
    read = reads(store, monkeypatch)
    answer = Service(store, MODELS).models()
    assert sum("manifest" in key for key in read) == MAX_UNINDEXED
    assert len(answer["models"]) == MAX_UNINDEXED
    (problem,) = answer["problems"]
    assert "p300 models" in problem


@given(st.integers(0, 12), st.integers(1, 5))
def test_pages_hold_every_version_once(n: int, limit: int) -> None:
    rows = [{"version": f"v{20260101000000 + number}"} for number in reversed(range(n))]
    seen, before = [], None
    while True:
        chosen, before = page(rows, limit, before)
        seen += chosen
        if before is None:
            break
    assert seen == rows
