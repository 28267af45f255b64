"""Which model answers a request that names none: the champion that has its channels, by name. What is ambiguous is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from p300.errors import RequestError
from p300.montages import key_of, missing, name_of, why_not_interpolated
from p300.text import few_of

from p300_pipeline.montage_groups import Montage

from .cache import ModelCache, Served

DEFAULT = "champion"
WAY_OUT = "Name the channels of the features in channels, or a model with ?alias="


def route(request: Mapping[str, Any], cache: ModelCache) -> tuple[str, Served]:
    """Return the alias and the model that a request is for.

    Parameters
    ----------
    request : mapping
        The body of ``POST /predict`` or ``POST /decode``. With ``channels``, the champion of exactly these answers, else the only one whose
        channels are all among them, else the only one to whose channels they can be interpolated. Without, the default champion does,
        unless the width of the features is not its own, or also that of another.
    cache : ModelCache
        The champions.

    Raises
    ------
    RequestError
        ``wrong_channels`` where no champion fits, ``ambiguous_montage`` where several do, ``no_channels`` where features without channels
        are not those of the default champion. The message names the montages that there are. As `ModelCache.model` where nothing serves.
    """
    default = cache.model(DEFAULT)
    channels = request.get("channels")
    if isinstance(channels, list) and channels and all(isinstance(name, str) for name in channels):
        if key_of(channels) == key_of(default.manifest["channels"]):
            return DEFAULT, default
        others = cache.other_champions()
        return _by_name(channels, {DEFAULT: default, **others}, cache) if others else (DEFAULT, default)
    n_features = None if channels is not None else width_of(request)
    if n_features is None or not (others := cache.other_champions()):
        return DEFAULT, default
    fitting = [alias for alias, served in others.items() if served.scorer.n_features == n_features]
    is_default = n_features == default.scorer.n_features
    if is_default and not fitting:
        return DEFAULT, default
    champions = {alias: served.manifest["channels"] for alias, served in {DEFAULT: default, **others}.items()}
    if is_default:
        raise RequestError(
            "ambiguous_montage",
            f"{n_features} features an epoch without channels may be those of several models: {_montages(champions)}. {WAY_OUT}.",
        )
    raise RequestError(
        "no_channels",
        f"{n_features} features an epoch without channels are not those of the default model; there are {_montages(champions)}. {WAY_OUT}.",
    )


def _by_name(channels: list[str], champions: Mapping[str, Served], cache: ModelCache) -> tuple[str, Served]:
    manifests = {alias: served.manifest for alias, served in champions.items()}
    try:
        alias = choose_champion(channels, manifests)
    except RequestError as error:
        trouble = "".join(f" {cache.problems[alias]}" for alias in sorted(cache.problems))
        raise RequestError(error.code, error.message + trouble) from error
    return alias, champions[alias]


def choose_champion(channels: Sequence[str], manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the alias of the champion that has these channels.

    Parameters
    ----------
    channels : sequence of str
        In any order and spelling.
    manifests : mapping
        The champions' manifests by alias.

    Raises
    ------
    RequestError
        ``wrong_channels`` where no champion fits, ``ambiguous_montage`` where several do.
    """
    named = key_of(channels)
    own = {alias: manifest["channels"] for alias, manifest in manifests.items()}
    ways = (
        [alias for alias, wanted in own.items() if key_of(wanted) == named],
        [alias for alias, manifest in manifests.items() if Montage.of(manifest).group == name_of(channels)],
        [alias for alias, wanted in own.items() if not missing(channels, wanted)],
        [alias for alias, wanted in own.items() if not why_not_interpolated(channels, wanted)],
    )
    fitting = next((found for found in ways if found), [])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RequestError(
            "ambiguous_montage",
            f"The channels are {few_of(channels)}, which several models can use: {_montages({one: own[one] for one in fitting})}. Name the "
            "channels of one of them, or the model by its alias.",
        )
    raise RequestError(
        "wrong_channels",
        f"The channels are {few_of(channels)}, and no model takes them (in any order, among others, or with at most a quarter missing that "
        f"can be interpolated); there are {_montages(own)}. Once recordings with these channels have landed, "
        f"`p300 train --channels {','.join(channels[:64])}` trains one.",
    )


def _montages(own: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{alias} with {len(channels)} channels ({few_of(channels)})" for alias, channels in own.items())


def width_of(request: Mapping[str, Any]) -> int | None:
    """Return how many features an epoch of a request has; None where that cannot be told without parsing all of it."""
    flashes, epochs = request.get("flashes"), request.get("epochs")
    row: Any = request.get("features")
    if isinstance(epochs, list) and epochs:
        row = epochs[0]
    elif isinstance(flashes, list):
        row = next(
            (one["features"] for one in flashes if isinstance(one, dict) and one.get("features") is not None), None
        )
    if isinstance(row, list):
        return len(row)
    groups, text = request.get("groups"), request.get("epochs_b64")
    n_epochs = len(groups) if isinstance(groups, list) else request.get("n_epochs")
    if isinstance(text, str) and type(n_epochs) is int and n_epochs > 0:
        n_bytes = len(text) * 3 // 4 - text[-2:].count("=")
        return n_bytes // (4 * n_epochs) if n_bytes % (4 * n_epochs) == 0 else None
    return None
