"""Inputs and results of each step: the payloads in the state machines, and the answers of the functions.

Every payload has the name of its `execution`, the correlation id of the logs. The state machines branch on the `outcome` of an answer.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict, final


class StepInput(TypedDict):
    """What every step takes."""

    execution: str


class Reason(TypedDict, total=False):
    """Why a recording is in quarantine or unusable; in quarantine, with the facts of its record."""

    code: Required[str]
    message: Required[str]
    landing_key: str
    etag: str
    version_id: str | None
    bytes: int
    modified: float
    moved_from: str
    quarantine_key: str
    files: list[str]


# ---- a recording
IngestOutcome = Literal["stored", "unchanged", "waiting", "incomplete", "quarantined", "unreadable", "ignored", "gone"]


class IngestInput(StepInput):
    """The execution's input, an S3 event, as `p300_pipeline.executions` parses it."""

    event: Any


class IngestResult(TypedDict, total=False):
    """See `p300_pipeline.steps.ingest.ingest`."""

    outcome: Required[IngestOutcome]
    key: Required[str]
    subject: str
    recording: str
    etag: str
    files: list[str]
    channels: int
    sfreq: float
    seconds: float
    notes: list[str]
    detail: str
    missing: list[str]
    look_again_s: int
    quarantine_key: str
    reason: Reason


PreprocessOutcome = Literal["features", "unchanged", "superseded", "quarantined", "unusable"]


class PreprocessInput(StepInput):
    """A raw recording; an empty `etag` means the recording as it is now."""

    key: str
    etag: str
    quarantine: NotRequired[bool]


class PreprocessResult(TypedDict, total=False):
    """See `p300_pipeline.steps.preprocess.preprocess`."""

    outcome: Required[PreprocessOutcome]
    recording: Required[str]
    key: Required[str]
    features_key: Required[str]
    etag: str
    n_flashes: int
    n_kept: int
    channels: list[str]
    bad_channels: list[str]
    labelled: bool
    notes: list[str]
    quarantine_key: str
    reason: Reason


ReportOutcome = Literal["drawn", "unchanged", "superseded", "no_features"]


@final
class ReportInput(StepInput):
    """The raw recording whose features the report is of."""

    key: str


class ReportResult(TypedDict, total=False):
    """See `p300_pipeline.steps.reporting.draw_report`."""

    outcome: Required[ReportOutcome]
    recording: Required[str]
    key: Required[str]
    page_key: Required[str]
    auc: float | None
    verdict: str


# ---- a model
ScheduleOutcome = Literal["due", "gathering", "counted"]


class ScheduleInput(StepInput):
    """A recording that has features now, its channels, and when its execution started (ISO 8601)."""

    input: Any
    started: str
    recording: str
    etag: str
    channels: list[str]
    labelled: bool


class ScheduleResult(TypedDict):
    """See `p300_pipeline.steps.scheduling.check_due`."""

    outcome: ScheduleOutcome
    has_champion: bool
    montage: str
    new_recordings: int
    retrain_every: int
    look_again_s: int
    gathered_by: str | None
    request: dict[str, str] | None


TrainOutcome = Literal["trained", "unchanged", "spread"]


@final
class TrainInput(StepInput):
    """A training request, as `p300_pipeline.steps.training.TrainingRequest` parses it; when the execution started (ISO 8601)."""

    input: Any
    started: str
    request: Any


class UsedRecordings(TypedDict, total=False):
    """Of the recordings that a training left out, the first; and subjects that are one person."""

    left_out: list[dict[str, str]]
    n_left_out: int
    other_montages: list[dict[str, str]]
    n_other_montages: int
    one_person: list[list[str]]
    montage: dict[str, Any]


class TrainResult(UsedRecordings, total=False):
    """See `p300_pipeline.steps.training.train`; the metrics are those of `p300.evaluation.headline`."""

    outcome: Required[TrainOutcome]
    version: Required[str]
    why: str
    kind: str
    n_recordings: int
    n_synthetic: int
    n_epochs: int
    subjects: list[str]
    held_out: list[str]
    scheme: str
    auc_mean: float | None
    auc_sd: float | None
    auc_by_fold: dict[str, float | None]


SpreadStep = Literal["compute", "finish"]


class SpreadItem(TypedDict):
    """What a function does of a training that is spread over several: compute an item, or finish it, which needs none."""

    step: SpreadStep
    version: str
    item: str


@final
class SpreadInput(StepInput):
    """A step of a training that is spread over functions."""

    input: Any
    spread: SpreadItem


class SpreadResult(TypedDict, total=False):
    """See `p300_pipeline.steps.training.SpreadTraining`: what was begun, or the item that was computed."""

    outcome: Required[Literal["spread", "computed"]]
    version: Required[str]
    fits: list[str]
    adapted: list[str]
    at_once: int
    item: str


PersonalOutcome = Literal["promoted", "kept", "unchanged", "refused", "none"]


@final
class PersonalInput(StepInput):
    """The recording whose subject gets a personal model; when the execution started (ISO 8601)."""

    input: Any
    started: str
    personal: str


class PersonalResult(TypedDict, total=False):
    """See `p300_pipeline.steps.training.make_personal`."""

    outcome: Required[PersonalOutcome]
    subject: Required[str]
    why: Required[str]
    version: str
    alias: str
    population: str
    n_recordings: int
    n_sessions: int
    n_epochs: int
    auc_population: float | None
    auc_personal: float | None
    n_flashes: int
    left_out: list[dict[str, str]]
    learned_from_use: dict[str, Any]


class EvaluateInput(StepInput):
    """The version to evaluate."""

    version: str


class EvaluateResult(TypedDict):
    """See `p300_pipeline.steps.training.evaluate`."""

    version: str
    seen_in_training: bool
    skipped: list[dict[str, str]]
    recordings: list[dict[str, Any]]
    pooled: dict[str, Any] | None


PromoteOutcome = Literal["promoted", "kept"]


class PromoteInput(StepInput):
    """The challenger."""

    input: Any
    version: str


class PromoteResult(TypedDict, total=False):
    """See `p300_pipeline.steps.training.promote`."""

    outcome: Required[PromoteOutcome]
    champion: Required[str | None]
    challenger: str
    replaced: str | None
    alias: str
    default_instead_of: str
    why: str
    auc_difference: float
    margin: float
    auc_champion: float
    auc_challenger: float
    compared_on: list[str]


@final
class PlotInput(StepInput):
    """The version, or an alias of it, whose metrics are plotted."""

    version: str


class PlotResult(TypedDict):
    """See `p300_pipeline.steps.reporting.draw_pictures`."""

    outcome: Literal["drawn", "unchanged"]
    version: str
    names: list[str]


TrackOutcome = Literal["tracked", "unchanged", "disabled"]


class TrackInput(StepInput):
    """The version to track, and what promotion decided."""

    version: str
    promotion: PromoteResult | None


class TrackResult(TypedDict, total=False):
    """See `p300_pipeline.steps.tracking.track`."""

    outcome: Required[TrackOutcome]
    version: Required[str]
    mode: Literal["online", "offline"]
    runs: list[str]
    folders: list[str]


# ---- a backfill
class ListInput(StepInput):
    """The backfill's input, which has to be empty."""

    step: Literal["list"]
    input: Any


class SumUpInput(StepInput):
    """The backfill whose recordings have all been gone through."""

    step: Literal["sum_up"]


InventoryInput = ListInput | SumUpInput


class Inventory(TypedDict):
    """See `p300_pipeline.steps.backfill.list_recordings`."""

    bucket: str
    key: str
    n_recordings: int


class InventorySummary(TypedDict):
    """See `p300_pipeline.steps.backfill.sum_up`."""

    n_recordings: int
    outcomes: dict[str, int]
    reports_drawn: int
    failures: str
