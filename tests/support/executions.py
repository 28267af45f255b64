"""Inputs of executions, good and odd."""

import json
from typing import Any

from tests.support.functions import s3_event

EVENT = s3_event("subject_01/run+1.parquet", "etag", "version", 3)
TRAINING = {"train": {"model": "lda", "subjects": ["subject_01"]}}


def deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


ODD: list[Any] = [
    None, True, 5, 1e308, "text", [], {}, [EVENT], {"detail": None}, {"detail": []}, {"detail": {"object": "x"}},
    {"train": None}, {"train": []}, {"train": "everything"}, {"train": 1}, {"train": {}, "detail": EVENT["detail"]},
    {"train": {}, "tarin": {}}, {**TRAINING, "retry_of": 5}, {**TRAINING, "retry_of": "x"}, {**EVENT, "retry_of": {}},
    {**EVENT, "retry_of": "first"}, {**EVENT, "train": {}}, {**EVENT, "detail-type": "Object Deleted"}, {"retry_of": "first"},
    *({"detail": {"object": {"key": key}}} for key in (None, "", 7, [], {}, "k" * 4000)),
    {"detail": {"object": {"key": "subject_01/a.csv", "etag": 7}}},
    {"detail": {"object": {"key": "subject_01/a.csv", "version-id": []}}},
    {"detail": {"bucket": 4, "object": {"key": "subject_01/a.csv"}}},
    {"train": json.loads(deep(200))}, {"execution": "x"}, {"id": "x"},
]  # fmt: skip
"""Each of them ends with `InputError`."""
