"""The montages that a stack has models of: a group of recordings each, with a champion of its own.

The group of the alias ``champion`` is the default. Each other group's champion is held by the alias ``champion_<group>``, with a history of
its own. ``aliases/montages.json`` names the groups and their channels; it is derived from the manifests, and written before an alias, so
that whoever finds an alias finds its group. Where the default changes, an alias that the new default group had before no longer counts.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p300.errors import ArtifactError
from p300.montages import Channels, key_of, name_of

from p300_pipeline.documents import is_texts, parse
from p300_pipeline.storage import Keep, NotFoundError, Store, Write, compare_and_swap
from p300_pipeline.synthetic import is_synthetic

if TYPE_CHECKING:
    from p300_pipeline.promotions import Promotions

MONTAGES_KEY = "aliases/montages.json"
FORMAT = 1
PREFIX = "champion_"
GROUP_ALIAS = re.compile(rf"{PREFIX}\d{{1,3}}ch-[0-9a-f]{{8}}", re.ASCII)


@dataclass(frozen=True)
class Montage:
    """The group that a model is of.

    Attributes
    ----------
    group : str
        Its name, as `p300.montages.name_of` returns it.
    channels : tuple of str
        The channels of the group; a model on the common channels of its recordings has fewer.
    people : int
        People of the group that the model was trained on.
    synthetic : bool
        Whether it was trained on synthetic recordings alone.
    """

    group: str
    channels: Channels
    people: int
    synthetic: bool = False

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Montage":
        """Return the group of a model; one trained before there were groups is of that of its channels."""
        told = manifest.get("montage")
        if isinstance(told, dict) and is_texts(told.get("channels")) and type(told.get("people")) is int:
            channels = tuple(told["channels"])
            return cls(name_of(channels), channels, told["people"], is_synthetic(manifest))
        channels = tuple(manifest["channels"])
        return cls(name_of(channels), channels, len(manifest["subjects"]))


def alias_of(group: str) -> str:
    """Return the alias of a group's champion, where the group is not the default."""
    return PREFIX + group


def read_groups(store: Store, bucket: str) -> dict[str, Channels]:
    """Return the channels of each group that has, or had, a champion.

    Raises
    ------
    ArtifactError
        ``bad_document`` where the file is damaged.
    """
    return _read(store, bucket)[0]


def add_group(store: Store, bucket: str, channels: Channels) -> None:
    """Add a group, if it is not there yet."""

    def decide() -> Keep[None] | Write[None]:
        held, etag = _read(store, bucket)
        if key_of(held.get(name_of(channels), ())) == key_of(channels):
            return Keep(None)
        return Write(None, _document({**held, name_of(channels): channels}), etag, "application/json")

    compare_and_swap(store, bucket, MONTAGES_KEY, decide)


def mend_groups(registry: "Promotions", montages: Mapping[str, Montage]) -> None:
    """Write the groups that have an alias again, from the montages of the versions, where the file lacks them or is damaged."""
    held = {item.key.removeprefix("aliases/") for item in registry.store.list(registry.bucket, f"aliases/{PREFIX}")}
    wanted = {one.group: one.channels for one in montages.values() if alias_of(one.group) in held}

    def decide() -> Keep[None] | Write[None]:
        present: dict[str, Channels] | None
        try:
            present, etag = _read(registry.store, registry.bucket)
        except ArtifactError:
            present, etag = None, registry.store.head(registry.bucket, MONTAGES_KEY).etag
        if present is not None and wanted.keys() <= present.keys():
            return Keep(None)
        return Write(None, _document({**(present or {}), **wanted}), etag, "application/json")

    compare_and_swap(registry.store, registry.bucket, MONTAGES_KEY, decide)


def _read(store: Store, bucket: str) -> tuple[dict[str, Channels], str | None]:
    try:
        body, item = store.get(bucket, MONTAGES_KEY)
    except NotFoundError:
        return {}, None
    return parse_groups(body, bucket), item.etag


def parse_groups(body: bytes, bucket: str) -> dict[str, Channels]:
    """Return the groups that the file's content names; raises as `read_groups` does."""
    name = f"s3://{bucket}/{MONTAGES_KEY}"
    remedy = "`p300 models` writes it again."
    try:
        found = parse(body, name, dict)
    except ArtifactError as error:
        raise ArtifactError("bad_document", f"{name} is damaged. {remedy}") from error
    groups = found.get("montages")
    if found.get("format") != FORMAT or not isinstance(groups, dict) or not all(map(is_texts, groups.values())):
        raise ArtifactError("bad_document", f"{name} has an unknown format. {remedy}")
    return {group: tuple(channels) for group, channels in groups.items()}


def _document(groups: Mapping[str, Channels]) -> bytes:
    return json.dumps({"format": FORMAT, "montages": {name: list(own) for name, own in groups.items()}}).encode()
