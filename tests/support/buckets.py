"""The four buckets, as the template names them."""

from p300_pipeline.storage import Store

LANDING, RAW, FEATURES, MODELS = "p300-landing-zone", "p300-raw-data", "p300-processed-features", "p300-models"
VERSIONED = {LANDING, RAW, MODELS}


def content(store: Store, bucket: str) -> dict[str, bytes]:
    return {item.key: store.get(bucket, item.key)[0] for item in store.list(bucket)}
