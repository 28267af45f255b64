"""The API's description in OpenAPI 3.1, made from the models below; only ``GET /openapi.json`` imports pydantic.

Requests are read by hand (`p300_pipeline.serving.requests`): pydantic would cost a cold start more than all that answers a request. Tests
hold the two together: what is described is answered, and what is answered is described.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from p300 import __version__
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from .predictions import MAX_EPOCHS
from .raw_epochs import LARGEST_UV, MAX_CHANNELS, MAX_RAW_EPOCHS, MAX_SFREQ
from .scale import LARGEST_V
from .service import MAX_MODELS
from .symbols import MAX_FLASHES, MAX_SYMBOL_LENGTH, MAX_SYMBOLS

Volts = Annotated[float, Field(ge=-LARGEST_V, le=LARGEST_V)]
Features = Annotated[list[Volts], Field(min_length=1, description="volts, channel after channel, as GET /health says")]
Channels = Annotated[
    list[str] | None,
    Field(
        max_length=MAX_CHANNELS,
        description="names of the features' channels in order: the model's in any order; the model's order by default",
    ),
]
Notes = Annotated[list[str] | None, Field(description="what is implausible about the features' size")]
Probability = Annotated[float, Field(ge=0, le=1)]
Symbol = Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]
Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"}, description="little-endian float32")]
Code = Annotated[int, Field(ge=-999_999_999, le=999_999_999)]
Microvolts = Annotated[float, Field(ge=-LARGEST_UV, le=LARGEST_UV)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ---- POST /predict
class OneEpoch(_Closed):
    """One epoch, answered at the top level."""

    features: Features
    channels: Channels = None


class Epochs(_Closed):
    """A batch of epochs."""

    epochs: Annotated[list[Features], Field(min_length=1, max_length=MAX_EPOCHS)]
    channels: Channels = None


class PackedEpochs(_Closed):
    """A batch of epochs, compact."""

    epochs_b64: Base64
    n_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)]
    channels: Channels = None


class RawEpochs(_Closed):
    """Epochs at the amplifier's rate, n_epochs x n_channels x n_samples; the function preprocesses them."""

    epochs_uv: Annotated[
        list[Annotated[list[list[Microvolts]], Field(max_length=MAX_CHANNELS)]],
        Field(min_length=1, max_length=MAX_RAW_EPOCHS),
    ]
    sfreq: Annotated[float, Field(gt=0, le=MAX_SFREQ, description="Hz")]
    channels: Annotated[list[str], Field(max_length=MAX_CHANNELS, description="in the epochs' order; matched by name")]
    tmin: Annotated[
        float | None, Field(ge=-60, le=60, description="first sample, seconds from the flash; the model's by default")
    ] = None
    filtered: Annotated[bool, Field(description="cut from a recording that was filtered before")] = False


Alias = Annotated[
    str | None,
    Field(description="the alias of the champion that has the request's channels, where it is not the default one"),
]


class Answering(BaseModel):
    """The model that answered a request about a subject."""

    subject: Annotated[str, Field(description="as the models name it, such as subject_07")]
    alias: Annotated[str, Field(description="the subject's, or that of the population's champion")]
    version: str
    note: Annotated[str | None, Field(description="why the population's model answered")] = None


Model = Annotated[Answering | None, Field(description="which model answered, where the query names a subject")]


class Prediction(BaseModel):
    """What one epoch is."""

    predicted_label_code: Literal[1, 2]
    predicted_class_name: Literal["NonTarget", "Target"]
    probability_target: Probability


class OnePrediction(Prediction):
    """The answer to one epoch."""

    model_version: str
    alias: Alias = None
    model: Model = None
    notes: Notes = None


class BatchPrediction(Prediction):
    """One of a batch."""

    rejected: Annotated[
        bool | None, Field(description="of raw epochs: over the limit that keeps an epoch out of the features")
    ] = None


class Predictions(BaseModel):
    """The answer to a batch."""

    predictions: list[BatchPrediction]
    n_epochs: int
    model_version: str
    alias: Alias = None
    model: Model = None
    filter: Annotated[
        Literal["exact", "approximate", "none"] | None,
        Field(description="of raw epochs: whether the samples around them reached as far as the filter does"),
    ] = None
    notes: Notes = None


# ---- POST /decode
class Grid(_Closed):
    """Rows and columns; groups count the columns from the left, then the rows from the top."""

    type: Literal["grid"]
    rows: Annotated[list[str | list[Symbol]], Field(min_length=1, max_length=MAX_SYMBOLS)]
    rows_first: bool = False


class BrainInvaders(_Closed):
    """36 aliens A1..F6 in 12 groups of 6."""

    type: Literal["brain_invaders"]


class Sets(_Closed):
    """Any symbols in any groups."""

    type: Literal["sets"]
    symbols: Annotated[
        list[Symbol], Field(min_length=2, max_length=MAX_SYMBOLS, json_schema_extra={"uniqueItems": True})
    ]
    groups: dict[str, list[Symbol]] = {}


Layout = Annotated[Grid | BrainInvaders | Sets, Field(discriminator="type")]
Group = Annotated[
    Code | Annotated[list[Symbol], Field(min_length=1, max_length=MAX_SYMBOLS)],
    Field(description="what lit up: a group's number, or symbols"),
]


class Flash(_Closed):
    """One flash; with neither features nor probability its epoch cannot be used."""

    group: Group
    features: Features | None = None
    probability: Annotated[Probability | None, Field(description="P(target), as /predict answers")] = None


class _Session(_Closed):
    layout: Layout
    trials: Annotated[
        list[Annotated[int, Field(ge=1)]] | None,
        Field(min_length=1, description="flashes of each symbol in order, the last one being decoded now"),
    ] = None
    channels: Channels = None
    confidence: Annotated[float, Field(gt=0, le=1, description="stop once a symbol is this likely")] = 1.0
    prior: Annotated[dict[str, Probability] | None, Field(description="of every symbol")] = None
    adapt: Annotated[bool, Field(description="to this person, by the structure of the stimulation")] = True
    flash_scores: Annotated[
        Literal["session", "causal"] | None,
        Field(description="answer a probability for each flash too: with all flashes known, or only those up to each"),
    ] = None


class Session(_Session):
    """Flashes of a session, in order of time."""

    flashes: Annotated[list[Flash], Field(min_length=1, max_length=MAX_FLASHES)]


class PackedSession(_Session):
    """Flashes of a session, compact."""

    groups: Annotated[list[Group], Field(min_length=1, max_length=MAX_FLASHES)]
    epochs_b64: Base64


class Believed(BaseModel):
    """An earlier symbol, as now believed."""

    symbol: str
    confidence: Probability


class FlashScores(BaseModel):
    """The probability of each flash, from what decodes symbols."""

    score: Annotated[
        Literal["session", "causal"],
        Field(description="with all flashes of the request known, or only those up to each"),
    ]
    probability_target: Annotated[list[Probability | None], Field(description="null where a flash has no usable epoch")]


class Decoded(BaseModel):
    """The answer to a session."""

    model_version: str
    alias: Alias = None
    model: Model = None
    symbol: str
    confidence: Probability
    stop: Annotated[bool, Field(description="the confidence asked for was reached")]
    n_flashes: Annotated[int, Field(description="of the current symbol, up to the one that reached it")]
    posterior: dict[str, Probability]
    adapted: bool
    trials: list[Believed] | None = None
    flashes: FlashScores | None = None
    notes: Notes = None


# ---- GET
AtChance = Annotated[
    bool | None,
    Field(
        description="whether scores on left-out subjects cannot be told from shuffled labels; null where that was not tested"
    ),
]
PChance = Annotated[float | None, Field(description="p-value of that test")]


class Health(BaseModel):
    """The champion and what it expects."""

    status: Literal["ok", "degraded"]
    model_version: str
    expects: str
    at_chance: AtChance = None
    p_chance: PChance = None
    problem: str | None = None


class NoModel(BaseModel):
    """Nothing serves yet."""

    status: Literal["no model"]
    model_version: None
    message: str


class Version(BaseModel):
    """A version of the model; with a problem, one that cannot serve."""

    version: str
    kind: str | None = None
    aliases: list[str] = []
    subjects: int | None = None
    n_epochs: int | None = None
    auc_left_out: Annotated[float | None, Field(description="mean ROC AUC on subjects left out of training")] = None
    at_chance: AtChance = None
    p_chance: PChance = None
    created: str | None = None
    problem: str | None = None


class Models(BaseModel):
    """Versions, newest first, and what the aliases hold."""

    models: list[Version]
    aliases: dict[str, str | None]
    montages: Annotated[dict[str, list[str]], Field(description="the channels of each champion's model, by alias")] = {}
    next: Annotated[str | None, Field(description="before= of the next page; null on the last")]
    problems: Annotated[
        list[str] | None, Field(description="what is wrong with the aliases or the list, and what to do")
    ] = None


class Told(BaseModel):
    """What was wrong, for a program and for a person."""

    code: str
    message: str


class Error(BaseModel):
    """Every refusal."""

    error: Told


PREDICT = (OneEpoch, Epochs, PackedEpochs, RawEpochs)
DECODE = (Session, PackedSession)
REFUSALS = {
    400: "not JSON, an unknown query parameter, an alias or a subject that is none, or both",
    403: "no key",
    404: "no such version",
    413: "too large",
    415: "not application/json",
    422: "not what the model takes",
    429: "too many requests",
    502: "the function failed",
    503: "no model serves, or the models cannot be read",
    504: "the function took too long",
}


def document() -> dict[str, Any]:
    """Return the description as JSON holds it."""
    described = (*PREDICT, OnePrediction, Predictions, *DECODE, Decoded, Health, NoModel, Models, Error)
    _, schemas = models_json_schema(
        [(model, "validation") for model in described], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "P300",
            "version": __version__,
            "description": "Single flashes to probabilities, sessions of flashes to symbols. docs/api.md tells more.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "security": [{"key": []}],
        "paths": {
            "/predict": {
                "post": _post("Is the epoch after a flash that of a target?", PREDICT, (OnePrediction, Predictions))
            },
            "/decode": {"post": _post("Which symbol does a person look at?", DECODE, (Decoded,))},
            "/health": {"get": _get("Which model serves, and what does it expect?", Health, {503: NoModel})},
            "/models": {"get": _get("Which models are there?", Models, {503: Error}, [_LIMIT, _BEFORE])},
            "/openapi.json": {"get": _get("This description.", None, {})},
        },
        "components": {
            "schemas": dict(sorted(schemas["$defs"].items())),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _post(summary: str, bodies: tuple[type[BaseModel], ...], answers: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    alias = {
        "name": "alias",
        "in": "query",
        "description": "which model: an alias, or a version; by default the champion that has the request's channels",
        "schema": {
            "type": "string",
            "pattern": r"^(champion|challenger|champion_[0-9]{1,3}ch-[0-9a-f]{8}|v[0-9]{14})$",
        },
    }
    return {
        "summary": summary,
        "operationId": bodies[0].__name__,
        "parameters": [alias, _SUBJECT],
        "requestBody": {"required": True, "content": _json(*bodies)},
        "responses": {
            "200": {"description": "the answer", "content": _json(*answers)},
            **{str(status): {"description": what, "content": _json(Error)} for status, what in REFUSALS.items()},
        },
    }


_SUBJECT = {
    "name": "subject",
    "in": "query",
    "description": "whose flashes these are: the subject's personal model answers where there is one; not together with alias",
    "schema": {"type": "string", "pattern": r"^(subject_|sub-)?[0-9A-Za-z+]{1,64}$"},
}
VERSION_PATTERN = r"^v[0-9]{14}$"
_LIMIT = {
    "name": "limit",
    "in": "query",
    "description": "versions in an answer",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_MODELS, "default": MAX_MODELS},
}
_BEFORE = {
    "name": "before",
    "in": "query",
    "description": "only versions older than this one",
    "schema": {"type": "string", "pattern": VERSION_PATTERN},
}


def _get(
    summary: str,
    answer: type[BaseModel] | None,
    others: dict[int, type[BaseModel]],
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    anything = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": summary,
        **({"parameters": list(parameters)} if parameters else {}),
        "responses": {
            "200": {"description": "the answer", "content": _json(answer) if answer else anything},
            **{str(status): {"description": REFUSALS[status], "content": _json(one)} for status, one in others.items()},
            **{
                str(status): {"description": REFUSALS[status], "content": _json(Error)}
                for status in (400, 403, 429, 502, 504)
            },
        },
    }


def _json(*models: type[BaseModel]) -> dict[str, Any]:
    refs = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
