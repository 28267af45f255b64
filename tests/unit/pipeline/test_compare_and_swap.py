"""Several writers of one object: each change is made on top of the others' or not at all."""

import ast
from pathlib import Path

import p300_pipeline
import pytest
from p300_pipeline.storage import Keep, NotFoundError, PreconditionError, Store, Write, compare_and_swap

BUCKET, KEY = "p300-models", "counter"


def count(store: Store, others: list[bytes]) -> tuple[int, str | None]:
    """Add one to the counter, while one of `others` is written between each read and its write."""

    def decide() -> Write[int]:
        try:
            body, item = store.get(BUCKET, KEY)
            number, etag = int(body), item.etag
        except NotFoundError:
            number, etag = 0, None
        if others:
            store.put(BUCKET, KEY, others.pop(0))
        return Write(number, str(number + 1).encode(), etag, "text/plain", {"by": "count"})

    return compare_and_swap(store, BUCKET, KEY, decide)


def test_writes_an_object_that_does_not_exist(store: Store) -> None:
    before, etag = count(store, [])
    body, item = store.get(BUCKET, KEY)
    assert (before, body, item.etag, item.metadata) == (0, b"1", etag, {"by": "count"})


@pytest.mark.parametrize("first", [None, b"5"])
def test_decides_again_after_each_write_of_another(store: Store, first: bytes | None) -> None:
    if first:
        store.put(BUCKET, KEY, first)
    before, _ = count(store, [b"10", b"20", b"30"])
    assert (before, store.get(BUCKET, KEY)[0]) == (30, b"31")


def test_decides_again_where_the_object_was_deleted_meanwhile(store: Store) -> None:
    store.put(BUCKET, KEY, b"5")
    deletions = [KEY]

    def decide() -> Write[None]:
        try:
            etag = store.get(BUCKET, KEY)[1].etag
        except NotFoundError:
            etag = None
        if deletions:
            store.delete(BUCKET, deletions.pop())
        return Write(None, b"6", etag)

    compare_and_swap(store, BUCKET, KEY, decide)
    assert store.get(BUCKET, KEY)[0] == b"6"


def test_keeps_what_needs_no_change(store: Store) -> None:
    etag = store.put(BUCKET, KEY, b"5")
    assert compare_and_swap(store, BUCKET, KEY, lambda: Keep("enough")) == ("enough", None)
    assert store.head(BUCKET, KEY).etag == etag


def test_a_precondition_of_the_decision_itself_is_not_retried(store: Store) -> None:
    decisions = []

    def decide() -> Keep[None]:
        decisions.append(1)
        raise PreconditionError("the recording was replaced")

    with pytest.raises(PreconditionError, match="recording was replaced"):
        compare_and_swap(store, BUCKET, KEY, decide)
    assert len(decisions) == 1


def test_gives_up_where_others_always_win(store: Store) -> None:
    with pytest.raises(RuntimeError, match=r"s3://p300-models/counter kept changing: other writers won 100 times"):
        count(store, [str(n).encode() for n in range(1000)])
    assert store.get(BUCKET, KEY)[0] == b"99"


def test_every_write_on_top_of_what_was_read_goes_through_it() -> None:
    found = []
    for path in Path(p300_pipeline.__file__).parent.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
        puts = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "put"]
        found += [path.name for call in puts if any(keyword.arg == "if_match" for keyword in call.keywords)]
    assert found == ["swap.py"]
