"""Features as objects of the features bucket: which there are, whose they are, and the one way to load them."""

import io

from p300.errors import ArtifactError
from p300.features import FeatureSet, read_features

from p300_pipeline.keys import recording_of_features, subject_name
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store

UNLABELLED = "it is unlabelled: no population model is trained on it or tested with it; the subject's personal model learns from it"
"""Why a recording is left out of what needs labels."""


def find_features(store: Store, bucket: str) -> dict[str, Item]:
    """Return the feature files in the bucket by recording, ``<subject>/<name>``; other objects are passed over."""
    found = {}
    for item in store.list(bucket, "subject_"):
        name = recording_of_features(item.key)
        if name and name.count("/") == 1:
            found[name] = item
    return found


def features_key(recording: str) -> str:
    """Return the key of a recording's features."""
    return f"{recording}/features.parquet"


def load_features(store: Store, bucket: str, recording: str, *, etag: str | None = None) -> FeatureSet:
    """Load a recording's features, checked.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        The features bucket.
    recording : str
        ``<subject>/<name>``.
    etag : str, optional
        Load no other bytes than these.

    Raises
    ------
    ArtifactError
        ``no_features`` where there are none, ``changed_features`` where they are others than `etag` says, and what `read_features` raises.
        The message names the object.
    """
    key = features_key(recording)
    name = f"s3://{bucket}/{key}"
    try:
        body, _ = store.get(bucket, key, if_match=etag)
    except NotFoundError as error:
        raise ArtifactError(
            "no_features", f"There are no features of {recording}: {name} does not exist. Land the recording."
        ) from error
    except PreconditionError as error:
        raise ArtifactError("changed_features", f"{name} was replaced meanwhile. Try again.") from error
    return read_features(io.BytesIO(body), name=name)


def subject_of(recording: str) -> str:
    """Return whose a recording is, by the one name of that subject."""
    return subject_name(recording.partition("/")[0])
