"""What requests and answers hold, as pydantic models: the API's description is made of them (`p300_pipeline.serving.openapi`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .predictions import MAX_EPOCHS
from .raw_epochs import LARGEST_UV, MAX_CHANNELS, MAX_RAW_EPOCHS, MAX_SFREQ
from .scale import LARGEST_V
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
