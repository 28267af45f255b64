"""Errors in what the application is asked, and the HTTP status that the API answers an error with: the science in `p300` knows neither."""

from p300.errors import P300Error, RequestError

UNPROCESSABLE = 422


class InputError(P300Error):
    """An execution's input that the state machine does not take."""


class HttpError(RequestError):
    """A request that is refused with another status than 422.

    Parameters
    ----------
    code, message : str
        See `P300Error`.
    status : int
        HTTP status.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(code, message)
        self.status = status

    def __reduce__(self) -> tuple[type["HttpError"], tuple[str, str, int]]:  # type: ignore[override]
        return type(self), (self.code, self.message, self.status)


def status_of(error: P300Error) -> int:
    """Return the HTTP status that the API answers an error with."""
    return error.status if isinstance(error, HttpError) else UNPROCESSABLE
