"""What can happen between two calls to storage: the process dies, or another one writes."""

import itertools
from collections.abc import Callable
from typing import Any

WRITES = {"put", "copy", "delete"}
OPERATIONS = WRITES | {"head", "get", "download", "list"}


class Died(BaseException):
    """The process was killed: no handler may catch it."""


class Watched:
    """A store that calls `around(operation, call)` in place of each operation."""

    def __init__(self, store: Any, around: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._store, self._around = store, around
        self.client = store.client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in OPERATIONS:
            return method

        def call(*positional: Any, **named: Any) -> Any:
            def perform() -> Any:
                answer = method(*positional, **named)
                return list(answer) if name == "list" else answer

            return self._around(name, perform)

        return call


def die_at(number: int, *, done: bool) -> Callable[[str, Callable[[], Any]], Any]:
    counter = itertools.count()

    def die(operation: str, call: Callable[[], Any]) -> Any:
        if operation in WRITES and next(counter) == number:
            if done:
                call()
            raise Died
        return call()

    return die
