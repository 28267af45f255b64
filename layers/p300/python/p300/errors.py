"""What can be wrong with somebody's input, each with a code that a program can match and a text a person can act on."""

from p300.text import printable

LONGEST_MESSAGE = 2000
"""Characters: a message is logged, mailed and passed on by Step Functions, and quotes names that come from anybody's file."""


class P300Error(Exception):
    """Something that the caller can mend; never a fault of this code.

    Parameters
    ----------
    code : str
        Stable, machine-readable, in snake case: ``no_targets``, ``missing_stim``.
    message : str
        Names the object, what was found, what was expected and what to do. What is longer than `LONGEST_MESSAGE` is left out
        of its middle, and what cannot be shown as it is (see `p300.text.printable`) is escaped.
    """

    def __init__(self, code: str, message: str) -> None:
        message = _shortened(printable(_shortened(message)))
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["P300Error"], tuple[str, str]]:
        return type(self), (self.code, self.message)


def _shortened(message: str) -> str:
    half = LONGEST_MESSAGE // 2 - 4
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:half]} [...] {message[-half:]}"


class RecordingError(P300Error):
    """A file that is not a usable recording; it belongs in quarantine."""


class InputError(P300Error):
    """An execution's input that the state machine does not take."""


class TrainingError(P300Error):
    """A training request that cannot be carried out with the recordings at hand."""


class ArtifactError(P300Error):
    """A model artifact that is missing, altered or of an unknown format; it must not serve."""


class RequestError(P300Error):
    """A prediction request that the model cannot answer."""

    def __init__(self, code: str, message: str, status: int = 422) -> None:
        super().__init__(code, message)
        self.status = status

    def __reduce__(self) -> tuple[type["RequestError"], tuple[str, str, int]]:  # type: ignore[override]
        return type(self), (self.code, self.message, self.status)
