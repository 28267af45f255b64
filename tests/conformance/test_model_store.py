"""Inference's reads without boto3, from every server that listens."""

import dataclasses
import os

import pytest
from p300_pipeline.serving import ModelStore
from p300_pipeline.serving.model_store import Reader
from p300_pipeline.storage import Store, UnchangedError

from tests.support.s3_servers import Server


@pytest.mark.parametrize("key", ["aliases/champion", "v1/a b+c%20d.npz", "ä/日本.json", "x" * 1000])
def test_reads_without_boto3(store: Store, server: Server, versioned: str, plain: str, key: str) -> None:
    if not server.endpoint:
        pytest.skip("nothing listens")
    reading = ModelStore()
    reading._reader = Reader(
        server.endpoint, "us-east-1", os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    )
    reading.client = None  # type: ignore[assignment]
    for bucket in (plain, versioned):
        etag = store.put(bucket, key, b"first")
        body, item = store.get(bucket, key)
        assert reading.get(bucket, key) == (body, dataclasses.replace(item, metadata={}))
        with pytest.raises(UnchangedError):
            reading.get(bucket, key, unless=etag)
        store.put(bucket, key, b"second")
        assert reading.get(bucket, key, unless=etag)[0] == b"second"
