"""What the console keeps of a recording's documents, where one cannot be read."""

from types import SimpleNamespace
from typing import Any

import pytest
from p300_console.recordings import Recordings
from p300_pipeline.storage import NoBucketError, NotFoundError


def recordings(answer: bytes | Exception) -> Recordings:
    def get(bucket: str, key: str) -> tuple[bytes, None]:
        if isinstance(answer, Exception):
            raise answer
        return answer, None

    stack: Any = SimpleNamespace(store=SimpleNamespace(get=get))
    return Recordings(stack)


@pytest.mark.parametrize("answer", [NotFoundError("report.json"), b"{", b"[1]", b"[" * 100_000])
def test_a_document_that_is_missing_or_damaged_says_nothing(answer: bytes | Exception) -> None:
    assert recordings(answer)._read("features", "subject_01/run/report.json", "etag") == {}


def test_a_missing_bucket_is_not_taken_for_a_missing_document() -> None:
    with pytest.raises(NoBucketError):
        recordings(NoBucketError("features"))._read("features", "subject_01/run/report.json", "etag")
