"""Connections from browsers: those without a complete request are closed, so that nobody can block the console by opening many."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 5.0


class Connection(H11Protocol):
    """A connection that has `PATIENCE_S` seconds to send a request: uvicorn itself waits for the rest of a request forever."""

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Start the clock if this is less than a whole request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        if self._clock:
            self._clock.cancel()

    def _watch(self) -> None:
        if self._waits and self._clock is None:
            self._clock = self.loop.call_later(PATIENCE_S, self._close_if_it_waits)

    @property
    def _waits(self) -> bool:
        """Whether no request is being answered, and uvicorn's own keep-alive timer, started after an answer, is not running."""
        return (self.cycle is None or self.cycle.response_complete) and self.timeout_keep_alive_task is None

    def _close_if_it_waits(self) -> None:
        self._clock = None
        if self._waits and not self.transport.is_closing():
            self.transport.close()
