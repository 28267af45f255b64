"""Which recordings with features a champion was trained on, and why the others are left out."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from p300.errors import ArtifactError, RequestError
from p300.montages import Channels, group_of, leaders
from p300_pipeline.documents import is_texts, parse
from p300_pipeline.feature_store import UNLABELLED, find_features
from p300_pipeline.montage_groups import Montage
from p300_pipeline.promotions import CHAMPION
from p300_pipeline.registry import Registry
from p300_pipeline.serving.routing import choose_champion
from p300_pipeline.storage import NotFoundError, Store

from p300_client.target import Target

NOT_YET = "no training has used it yet: one is due after every few new recordings of its montage, and `p300 train` starts one now"


def coverage(target: Target, manifests: Mapping[str, Any], aliases: Mapping[str, str | None]) -> dict[str, Any]:
    """Return which recordings are in a model that serves, and each other one with its reason.

    Parameters
    ----------
    target : Target
        The stack.
    manifests : mapping
        By version, newest first; anything but a mapping is passed over.
    aliases : mapping of str to str or None
        What each alias holds.

    Returns
    -------
    dict
        ``total``, ``in_models``, and ``left_out``: ``recording`` and ``reason`` of each, the reason being that of the newest training which
        left it out, and the way out.
    """
    store, features = Store(target.client("s3")), target.outputs["FeaturesBucketName"]
    present = find_features(store, features)
    serving = {version for alias, version in aliases.items() if version and alias != "challenger"}
    used: set[str] = set()
    reasons: dict[str, str] = {}
    of_others: set[str] = set()
    for version, manifest in manifests.items():
        if not isinstance(manifest, Mapping):
            continue
        own = {entry["recording"] for entry in manifest["recordings"]}
        if version in serving:
            used |= own
        else:
            for name in own:
                reasons.setdefault(
                    name, f"it is in {version}, which does not serve; `p300 models show {version}` says why"
                )
        for name in manifest["held_out"]:
            for recording in present:
                if recording.startswith(f"{name}/"):
                    reasons.setdefault(recording, f"{name} was held out of {version} by request")
        for entry in manifest.get("left_out") or []:
            reasons.setdefault(entry["recording"], entry["reason"])
        for entry in manifest.get("other_montages") or []:
            reasons.setdefault(entry["recording"], entry["reason"])
            of_others.add(entry["recording"])
    left_out = sorted(set(present) - used)
    champions = {
        alias: manifests[version]
        for alias, version in aliases.items()
        if version and alias.startswith(CHAMPION) and isinstance(manifests.get(version), Mapping)
    }
    for name in (
        set(left_out) & of_others
    ):  # a training of another montage named them; their own may only be still to come
        channels = _channels_of(store, features, name)
        if alias := _own_champion(channels, champions):
            reasons[name] = f"{alias} is the champion of its montage; {NOT_YET}"
    reasons |= {name: UNLABELLED for name in set(left_out) - reasons.keys() if _is_unlabelled(store, features, name)}
    return {
        "total": len(present),
        "in_models": len(used & set(present)),
        "left_out": [{"recording": name, "reason": reasons.get(name, NOT_YET)} for name in left_out],
    }


def _own_champion(channels: Channels, champions: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the champion of the group that a recording's channels belong to; None where it has none."""
    groups = {alias: Montage.of(manifest).channels for alias, manifest in champions.items()}
    own = group_of(channels, list(groups.values())) if channels and groups else ()
    return next((alias for alias, group in groups.items() if group == own), None)


def without_champion(target: Target, recordings: Sequence[str]) -> list[str]:
    """Return the first recording of each montage that no champion takes.

    Parameters
    ----------
    target : Target
        The stack.
    recordings : sequence of str
        ``<subject>/<recording>``; those without features are passed over.
    """
    store = Store(target.client("s3"))
    registry = Registry(store, target.outputs["ModelsBucketName"])
    manifests = _champions(registry)
    missing: dict[str, Channels] = {}
    for name in recordings:
        channels = _channels_of(store, target.outputs["FeaturesBucketName"], name)
        try:
            if channels:
                choose_champion(channels, manifests)
        except RequestError as error:
            if error.code == "wrong_channels":
                missing[name] = channels
    groups = leaders(missing.values())
    first: dict[Channels, str] = {}
    for name, channels in missing.items():
        first.setdefault(group_of(channels, groups), name)
    return list(first.values())


def champion_of(registry: Registry, store: Store, features_bucket: str, recording: str) -> str:
    """Return the alias of the champion that has a recording's channels; the default one where there is no other.

    Raises
    ------
    RequestError
        ``wrong_channels`` or ``ambiguous_montage``.
    """
    manifests = _champions(registry)
    channels = _channels_of(store, features_bucket, recording) if len(manifests) > 1 else ()
    return choose_champion(channels, manifests) if channels else CHAMPION


def _champions(registry: Registry) -> dict[str, dict[str, Any]]:
    manifests = {}
    for alias, version in registry.champions().items():
        with suppress(ArtifactError):  # `p300 models` says what is wrong with it
            manifests[alias] = registry.manifest(version)
    return manifests


def _channels_of(store: Store, bucket: str, recording: str) -> Channels:
    channels: Any = _report_of(store, bucket, recording).get("channels")
    return tuple(channels) if is_texts(channels) else ()


def _is_unlabelled(store: Store, bucket: str, recording: str) -> bool:
    return _report_of(store, bucket, recording).get("labelled") is False


def _report_of(store: Store, bucket: str, recording: str) -> dict[str, Any]:
    key = f"{recording}/report.json"
    try:
        document: dict[str, Any] = parse(store.get(bucket, key)[0], key, dict)
    except NotFoundError:
        return {}
    return document
