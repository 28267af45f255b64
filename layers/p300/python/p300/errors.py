"""Errors in what the package is given, each with a code that a program can match and a message a person can act on."""

from p300.text import printable

LONGEST_MESSAGE = 2000
"""Characters: a message is logged, mailed and passed on by Step Functions, and quotes names that come from anybody's file."""


class P300Error(ValueError):
    """Something that the caller can fix; never a fault of this code.

    A `ValueError`, so that scikit-learn and other callers who know nothing of this package handle it as they do their own.

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
    """A file that is not a usable recording."""


class TrainingError(P300Error):
    """Epochs, or a request for a model, that nothing can be trained on."""


class ArtifactError(P300Error):
    """A model or feature file that is missing, altered or of an unknown format."""


class RequestError(P300Error):
    """Epochs, flashes or a speller layout that a model or a decoder cannot take."""
