"""Which HTTP status an error of the science or of the application is answered with."""

import pickle

from p300.errors import RequestError
from p300_pipeline.errors import HttpError, status_of


def test_an_error_of_the_science_is_a_422() -> None:
    assert status_of(RequestError("wrong_length", "Epochs of shape (1, 3).")) == 422


def test_an_http_error_keeps_its_status_from_process_to_process() -> None:
    error = pickle.loads(pickle.dumps(HttpError("too_large", "The body has 7 MB.", 413)))  # noqa: S301
    assert (error.code, error.message, status_of(error)) == ("too_large", "The body has 7 MB.", 413)
