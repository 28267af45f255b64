"""Change an object that others may be changing at the same time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import PreconditionError
from .store import Store

_MAX_RACES = 100


@dataclass(frozen=True)
class Keep[T]:
    """Leave the object as it is.

    Attributes
    ----------
    result : T
        What `compare_and_swap` returns.
    """

    result: T


@dataclass(frozen=True)
class Write[T]:
    """Write the object, provided it is still the one that was read.

    Attributes
    ----------
    result : T
        What `compare_and_swap` returns.
    body : bytes or Path
        New content.
    replaces : str or None
        ETag that was read; None where there was no object.
    content_type : str
        Content type of the new object.
    metadata : dict of str to str or None
        User metadata of the new object.
    """

    result: T
    body: bytes | Path
    replaces: str | None
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] | None = None


def compare_and_swap[T](
    store: Store, bucket: str, key: str, decide: Callable[[], Keep[T] | Write[T]]
) -> tuple[T, str | None]:
    """Read, decide and write, from the start again whenever another writer came between the read and the write.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket, key : str
        The object to change.
    decide : callable
        Reads the object and returns what to do with it. It may run several times, so it must not change anything that a second run
        would change differently. Whatever it raises ends the attempt, a `PreconditionError` too.

    Returns
    -------
    result : T
        Result of the last decision.
    etag : str or None
        ETag of what was written; None where nothing was.

    Raises
    ------
    RuntimeError
        If other writers won every time.

    Examples
    --------
    Count up, whoever else does::

        def decide() -> Write[int]:
            body, item = store.get(bucket, "counter")
            number = int(body) + 1
            return Write(number, str(number).encode(), replaces=item.etag)

        number, etag = compare_and_swap(store, bucket, "counter", decide)
    """
    for _ in range(_MAX_RACES):
        decision = decide()
        if isinstance(decision, Keep):
            return decision.result, None
        try:
            etag = store.put(
                bucket,
                key,
                decision.body,
                content_type=decision.content_type,
                metadata=decision.metadata,
                if_absent=decision.replaces is None,
                if_match=decision.replaces,
            )
        except PreconditionError:
            continue
        return decision.result, etag
    raise RuntimeError(f"s3://{bucket}/{key} kept changing: other writers won {_MAX_RACES} times in a row")
