"""Reads the aliases of the models bucket: each holds a version, or the message says what is wrong and how to repair it."""

import re
import reprlib
from dataclasses import dataclass

from p300.errors import ArtifactError

from p300_pipeline.storage import Item, NotFoundError, Store

VERSION = re.compile(r"v\d{14}", re.ASCII)
PERSONAL_VERSION = re.compile(r"(subject_[0-9a-z+]{1,65})/v\d{14}", re.ASCII)
SUBJECT_ALIAS = re.compile(r"subject_[0-9a-z+]{1,65}(_\d{1,3}ch-[0-9a-f]{8})?", re.ASCII)
"""Of a subject's personal models; with a montage group where it is not the first that the subject has a model of."""
ALIASES = ("champion", "challenger")
POINTER_KEY = "active_model_pointer.txt"
_MOST_BYTES = 128
_LIKE_A_VERSION = re.compile(r"(subject_[0-9a-z+]{1,65}/)?v\d{1,14}", re.ASCII)  # its manifest shows whether it exists


@dataclass(frozen=True)
class Alias:
    """An alias that exists.

    Attributes
    ----------
    version : str or None
        The version it holds; None where it is damaged.
    item : Item
        State of its object.
    problem : str
        What is wrong with it; empty where nothing is wrong.
    """

    version: str | None
    item: Item
    problem: str = ""

    @property
    def checked(self) -> str:
        """The version.

        Raises
        ------
        ArtifactError
            ``damaged_alias`` where it holds no version.
        """
        if self.version is None:
            raise ArtifactError("damaged_alias", self.problem)
        return self.version


def read_alias(store: Store, bucket: str, name: str, *, unless: str | None = None) -> Alias | None:
    """Return an alias, or None where it is not set.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Models bucket.
    name : str
        One of `ALIASES`, or that of a montage group or a subject.
    unless : str, optional
        ETag that the caller has already.

    Raises
    ------
    UnchangedError
        If its ETag is `unless`.
    """
    key = f"aliases/{name}"
    try:
        body, item = store.get(bucket, key, unless=unless)
    except NotFoundError:
        return None
    text = body[:_MOST_BYTES].decode(errors="replace").strip()
    if len(body) <= _MOST_BYTES and _LIKE_A_VERSION.fullmatch(text):
        return Alias(text, item)
    found = f"holds {reprlib.repr(text)}" if body else "is empty"
    advice = "`p300 promote VERSION` sets it again" if name == "champion" else "The next training sets it again"
    return Alias(
        None,
        item,
        f"The alias {name} is damaged: s3://{bucket}/{key} {found}; expected a version such as v20260102030405. "
        f"{advice}.",
    )


def no_such_version(alias: str, version: str) -> str:
    """Return the message for an alias whose version has no manifest."""
    return (
        f"The alias {alias} holds {version}, which has no manifest. Restore {version}/manifest.json, or promote another version: "
        "`p300 promote VERSION`."
    )
