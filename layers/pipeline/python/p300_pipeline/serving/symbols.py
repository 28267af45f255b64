"""``POST /decode`` says which symbol a person looks at, how sure that is, and whether the flashing may stop."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300 import decoding
from p300.decoding import Layout
from p300.errors import RequestError

from p300_pipeline.errors import HttpError

from .cache import Served
from .requests import (
    channel_fit,
    fitted,
    float32,
    float32_rows,
    interpolation_notes,
    is_number,
    known_fields,
    naming,
    number_row,
    short,
)
from .scale import scale_notes

MAX_FLASHES = 4096
MAX_SYMBOLS = 1024
MAX_SYMBOL_LENGTH = 64
CERTAIN = 1e-12
"""A probability this close to 0 or 1 counts as this far away: that of a distant epoch rounds to them."""
FIELDS = (
    "layout",
    "flashes",
    "groups",
    "epochs_b64",
    "channels",
    "trials",
    "confidence",
    "prior",
    "adapt",
    "flash_scores",
)
FLASH_SCORES = ("session", "causal")
FLASH_FIELDS = ("group", "features", "probability")
LAYOUT_FIELDS = {
    "grid": ("type", "rows", "rows_first"),
    "brain_invaders": ("type",),
    "sets": ("type", "symbols", "groups"),
}
_CODE = re.compile(r"0|-?[1-9]\d{0,8}")

Array = NDArray[np.float64]
DecodeTrial = Callable[..., decoding.Decoding]
"""Decodes one trial by its number; ``confidence`` and ``prior`` as in `decoding.decode`."""


@dataclass(frozen=True)
class Flashes:
    """The flashes of a session in chronological order.

    Attributes
    ----------
    groups : list of int or list of str
        What each lit.
    X : ndarray, shape (n_flashes, n_features), or None
        Features in volts, a row of NaN where there is no usable epoch.
    probability : ndarray, shape (n_flashes,)
        P(target), NaN where there is no usable epoch; read where `X` is None.
    """

    groups: list[Any]
    X: NDArray[np.float32] | None
    probability: Array


def decode(request: Mapping[str, Any], served: Served) -> dict[str, Any]:
    """Answer ``POST /decode``; nothing is kept between requests.

    Where features came and the model carries a response, `p300.decoding.SessionDecoder` decodes the session, adapting to the subject.
    Otherwise each flash's evidence (`p300.decoding.evidence`) is summed by Bayes' rule over the symbols that it lit
    (`p300.decoding.decode`). Formulas and sources are in both.

    Parameters
    ----------
    request : mapping
        ``layout`` and the flashes, as ``flashes`` (a list of ``{"group", "features" | "probability"}``) or as ``groups`` with
        ``epochs_b64``; optionally ``channels`` of the features, ``trials``, ``confidence``, ``prior``, ``adapt``, ``flash_scores``.
    served : Served
        The model.

    Returns
    -------
    dict
        ``model_version``, ``symbol``, ``confidence``, ``stop``, ``n_flashes``, ``posterior``, ``adapted``, ``trials`` of the earlier
        symbols where there are any, ``flashes`` where their scores are asked for, and ``notes`` where something about the features is
        implausible.

    Raises
    ------
    RequestError
        If the request is not one that can be decoded with this model.
    """
    known_fields(request, FIELDS, "The body")
    layout = read_layout(request.get("layout"))
    chosen = channel_fit(request.get("channels"), served)
    flashes = _flashes(request, naming(served, request.get("channels"), chosen))
    if flashes.X is not None:
        flashes = replace(flashes, X=fitted(flashes.X, chosen))
    trials = _trials(request.get("trials"), len(flashes.groups))
    confidence = _confidence(request.get("confidence", 1.0))
    prior = _prior(request.get("prior"), layout)
    wish = request.get("adapt", True)
    if not isinstance(wish, bool):
        raise RequestError("bad_adapt", f"adapt is {str(wish)[:40]}; expected true or false.")
    lit = layout.lit(flashes.groups)
    adapted = wish and flashes.X is not None and served.response is not None
    notes = _scale_notes(flashes, served) + interpolation_notes(chosen, served.manifest)
    scores = _flash_scores(request.get("flash_scores"), adapted=adapted)
    if adapted:
        decoder = _adapted(flashes, lit, trials, served)
        decode_trial: DecodeTrial = decoder.decode
    else:
        decode_trial = _plain(flashes, lit, trials, served)
    decoded = decode_trial(len(trials) - 1, confidence=confidence, prior=prior)
    answer = {
        "model_version": served.version,
        "symbol": layout.symbols[decoded.best],
        "confidence": decoded.confidence,
        "stop": decoded.stop,
        "n_flashes": decoded.n_flashes,
        "posterior": dict(zip(layout.symbols, decoded.posterior.tolist(), strict=True)),
        "adapted": adapted,
    }
    if scores:
        answer["flashes"] = _scored(scores, decoder, flashes, lit, trials, served)
    if len(trials) > 1:
        earlier = [decode_trial(number) for number in range(len(trials) - 1)]
        answer["trials"] = [{"symbol": layout.symbols[one.best], "confidence": one.confidence} for one in earlier]
    return {**answer, "notes": notes} if notes else answer


# ---- evidence
def _scale_notes(flashes: Flashes, served: Served) -> list[str]:
    if flashes.X is None:
        return []
    return scale_notes("features", flashes.X[~np.isnan(flashes.X[:, 0])], served)


def _adapted(
    flashes: Flashes, lit: NDArray[np.bool_], trials: Sequence[slice], served: Served
) -> decoding.SessionDecoder:
    assert flashes.X is not None and served.response is not None  # noqa: S101 - asked before
    try:
        return decoding.SessionDecoder(served.response).fit(flashes.X, lit, trials)
    except np.linalg.LinAlgError as error:
        raise RequestError(
            "not_decodable", "The features' covariance cannot be used: they are none of an EEG. Expected volts."
        ) from error


def _scored(
    score: str,
    decoder: decoding.SessionDecoder,
    flashes: Flashes,
    lit: NDArray[np.bool_],
    trials: Sequence[slice],
    served: Served,
) -> dict[str, Any]:
    """Return the probability of each flash from the engine that decodes symbols, and what that score knows."""
    assert flashes.X is not None and served.response is not None  # noqa: S101 - asked before
    if score == "session":
        ratio = decoder.log_likelihood_ratio_
    else:
        ratio = decoding.causal_log_likelihood_ratio(flashes.X, served.response, lit, trials)
    prior = served.scorer.prior_target
    probability = 1 / (1 + np.exp(-np.clip(ratio + np.log(prior / (1 - prior)), -500, 500)))
    unusable = np.isnan(flashes.X).any(axis=1)
    return {
        "score": score,
        "probability_target": [None if lost else p for p, lost in zip(probability.tolist(), unusable, strict=True)],
    }


def _flash_scores(value: Any, *, adapted: bool) -> str | None:
    if value is None:
        return None
    if value not in FLASH_SCORES:
        raise RequestError("bad_flash_scores", f"flash_scores is {short(value)}; expected {' or '.join(FLASH_SCORES)}.")
    if not adapted:
        raise RequestError(
            "no_flash_scores",
            f"flash_scores is {value}, which takes flashes with features, adapt not false, and a model with a response: "
            "these flashes are not decoded with one. POST /predict scores each epoch on its own.",
        )
    return str(value)


def _plain(flashes: Flashes, lit: NDArray[np.bool_], trials: Sequence[slice], served: Served) -> DecodeTrial:
    ratio = _evidence(flashes, served)

    def decode_trial(number: int, **how: Any) -> decoding.Decoding:
        return decoding.decode(lit[trials[number]], ratio[trials[number]], **how)

    return decode_trial


def _evidence(flashes: Flashes, served: Served) -> Array:
    prior = served.scorer.prior_target
    if flashes.X is None:
        p = np.clip(flashes.probability, CERTAIN, 1 - CERTAIN)
        return decoding.evidence(np.log(p) - np.log1p(-p), prior)
    log_odds = np.full(len(flashes.X), np.nan)
    present = ~np.isnan(flashes.X).any(axis=1)
    if present.any():
        log_odds[present] = served.scorer.log_odds(flashes.X[present])
    return decoding.evidence(log_odds, prior)


# ---- reading the request
def read_layout(value: Any) -> Layout:
    """Return the layout that a request's ``layout`` states.

    Raises
    ------
    RequestError
        ``bad_layout``, ``too_large`` or ``unknown_field``.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in LAYOUT_FIELDS:
        raise RequestError(
            "bad_layout",
            f"layout is {short(value)}; expected an object whose type is {', '.join(LAYOUT_FIELDS)}: "
            '{"type": "grid", "rows": ["ABCDEF", ...]}.',
        )
    known_fields(value, LAYOUT_FIELDS[kind], f"layout of type {kind}")
    if kind == "brain_invaders":
        return decoding.brain_invaders()
    if kind == "grid":
        rows, rows_first = value.get("rows"), value.get("rows_first", False)
        if not isinstance(rows, list) or not all(isinstance(row, str) or _is_symbols(row) for row in rows):
            raise RequestError(
                "bad_layout", f"layout.rows is {short(rows)}; expected a list of texts or of lists of symbols."
            )
        if not isinstance(rows_first, bool):
            raise RequestError("bad_layout", f"layout.rows_first is {short(rows_first)}; expected true or false.")
        _not_too_many("symbols", sum(map(len, rows)), MAX_SYMBOLS)
        return decoding.grid(rows, rows_first=rows_first)
    symbols, groups = value.get("symbols"), value.get("groups", {})
    if not _is_symbols(symbols):
        raise RequestError("bad_layout", f"layout.symbols is {short(symbols)}; expected a list of symbols.")
    _not_too_many("symbols", len(symbols), MAX_SYMBOLS)
    codes = isinstance(groups, dict) and all(map(_CODE.fullmatch, groups))
    if not codes or not all(map(_is_symbols, groups.values())):
        raise RequestError(
            "bad_layout",
            f'layout.groups is {short(groups)}; expected the symbols of each group by its number, {{"1": ["A", "B"]}}.',
        )
    _not_too_many("groups", len(groups), MAX_SYMBOLS)
    return Layout(tuple(symbols), {int(code): frozenset(lit) for code, lit in groups.items()})


def _is_symbols(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(symbol, str) and 0 < len(symbol) <= MAX_SYMBOL_LENGTH for symbol in value
    )


def _flashes(request: Mapping[str, Any], served: Served) -> Flashes:
    listed, compact = "flashes" in request, "groups" in request or "epochs_b64" in request
    if listed == compact:
        raise RequestError(
            "which_flashes",
            f"The body has {'flashes, and groups or epochs_b64' if listed else 'no flashes'}; expected either flashes, a list of "
            '{"group", "features" or "probability"}, or groups with epochs_b64.',
        )
    name = "flashes" if listed else "groups"
    values = request.get(name)
    if not isinstance(values, list) or not values:
        raise RequestError("bad_flashes", f"{name} is {short(values)}; expected a list of at least one flash.")
    _not_too_many("flashes", len(values), MAX_FLASHES)
    if compact:
        groups = [_group(value, f"groups[{number}]") for number, value in enumerate(values)]
        X = float32_rows("epochs_b64", request.get("epochs_b64"), len(groups), served)
        return _with_features(groups, X, "epochs_b64")
    return _listed(values, served)


def _listed(values: list[Any], served: Served) -> Flashes:
    groups: list[Any] = []
    rows: dict[int, list[float]] = {}
    probability = np.full(len(values), np.nan)
    for number, flash in enumerate(values):
        where = f"flashes[{number}]"
        if not isinstance(flash, dict):
            raise RequestError(
                "bad_flashes", f'{where} is {short(flash)}; expected {{"group": 3, "features": [...]}} or the like.'
            )
        known_fields(flash, FLASH_FIELDS, where)
        groups.append(_group(flash.get("group"), f"{where}.group"))
        features, p = flash.get("features"), flash.get("probability")
        if features is not None:
            rows[number] = number_row(f"{where}.features", features, served)
        if p is not None:
            if not is_number(p) or not 0 <= p <= 1:
                raise RequestError("bad_probability", f"{where}.probability is {short(p)}; expected 0 to 1.")
            probability[number] = p
    if not rows:
        return Flashes(groups, None, probability)
    if not np.isnan(probability).all():
        raise RequestError(
            "mixed_flashes",
            f"{len(rows)} flashes have features, {int((~np.isnan(probability)).sum())} a probability; expected the one or the other "
            "in all of them.",
        )
    X = np.full((len(values), served.n_features), np.nan, np.float32)
    X[list(rows)] = float32("flashes", list(rows.values()))
    if np.isinf(X).any():
        raise RequestError("not_finite", "flashes hold features too large for float32; expected volts.")
    return Flashes(groups, X, probability)


def _with_features(groups: list[Any], X: NDArray[np.float32], name: str) -> Flashes:
    missing = np.isnan(X)
    partly = missing.any(axis=1) & ~missing.all(axis=1) | np.isinf(X).any(axis=1)
    if partly.any():
        raise RequestError(
            "not_finite",
            f"Epoch {int(np.argmax(partly))} of {name} holds NaN or infinite values; expected finite volts, or NaN in the whole "
            "row where a flash has no usable epoch.",
        )
    return Flashes(groups, X, np.full(len(groups), np.nan))


def _group(value: Any, where: str) -> Any:
    if type(value) is int or _is_symbols(value):
        return value
    raise RequestError(
        "bad_group",
        f"{where} is {short(value)}; expected the number of a group, or a list of the symbols that lit up.",
    )


def _trials(value: Any, n_flashes: int) -> list[slice]:
    if value is None:
        return [slice(0, n_flashes)]
    whole = isinstance(value, list) and value and all(type(n) is int and n > 0 for n in value)
    if not whole or sum(value) != n_flashes:
        raise RequestError(
            "bad_trials",
            f"trials is {short(value)}{f', {sum(value)} flashes in all' if whole else ''}; expected the number of flashes of each "
            f"symbol, {n_flashes} in all.",
        )
    return [slice(first, last) for first, last in pairwise(accumulate(value, initial=0))]


def _confidence(value: Any) -> float:
    if not is_number(value) or not 0 < value <= 1:
        raise RequestError("bad_confidence", f"confidence is {short(value)}; expected more than 0 and at most 1.")
    return float(value)


def _prior(value: Any, layout: Layout) -> Array | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(is_number(p) and 0 <= p <= 1 for p in value.values()):
        raise RequestError("bad_prior", f"prior is {short(value)}; expected the probability of each symbol, 0 to 1.")
    known_fields(value, layout.symbols, "prior")
    missing = [symbol for symbol in layout.symbols if symbol not in value]
    if missing or not any(value.values()):
        raise RequestError(
            "bad_prior",
            f"prior has {f'no {missing[0]!r}' if missing else 'zeros only'}; expected the probability of each of the layout's "
            f"{len(layout.symbols)} symbols.",
        )
    return np.array([value[symbol] for symbol in layout.symbols], dtype=np.float64)


def _not_too_many(name: str, n: int, at_most: int) -> None:
    if n > at_most:
        raise HttpError("too_large", f"There are {n} {name}; at most {at_most} a request.", 413)
