"""Each function's settings, read from its environment once, at its start: a variable that is missing or malformed fails there by name."""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self


class SettingsError(Exception):
    """An environment variable that is missing, empty or malformed."""


def _variable(name: str, *, may_be_empty: bool = False) -> Any:
    return field(metadata={"variable": name, "may_be_empty": may_be_empty})


@dataclass(frozen=True)
class Settings:
    """What a function reads from its environment; `template.yaml` sets these variables, and no others, for that function."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of this process.

        Raises
        ------
        SettingsError
            Names the variable.
        """
        return cls(**{one.name: _read(one, environ) for one in fields(cls)})

    @classmethod
    def variables(cls) -> set[str]:
        """Return the names of the variables that are read."""
        return {one.metadata["variable"] for one in fields(cls)}


def _read(one: Field[Any], environ: Mapping[str, str]) -> Any:
    name, text = one.metadata["variable"], environ.get(one.metadata["variable"])
    if text is None or not (text or one.metadata["may_be_empty"]):
        what = "not set" if text is None else "empty"
        raise SettingsError(f"The environment variable {name} is {what}; template.yaml sets it.")
    convert: Any = one.type
    try:
        return convert(text)
    except ValueError as error:
        raise SettingsError(f"The environment variable {name} is {text!r}; expected a number.") from error


@dataclass(frozen=True)
class IngestionSettings(Settings):
    """Buckets; preprocessing parameters that differ from the defaults, as JSON; how long files of one recording may come apart."""

    landing_bucket: str = _variable("P300_LANDING_BUCKET")
    raw_bucket: str = _variable("P300_RAW_BUCKET")
    preprocessing: str = _variable("P300_PREPROCESSING", may_be_empty=True)
    wait_for_files_s: float = _variable("P300_WAIT_FOR_FILES_S")


@dataclass(frozen=True)
class PreprocessingSettings(Settings):
    """Buckets; preprocessing parameters that differ from the defaults, as JSON."""

    raw_bucket: str = _variable("P300_RAW_BUCKET")
    features_bucket: str = _variable("P300_FEATURES_BUCKET")
    preprocessing: str = _variable("P300_PREPROCESSING", may_be_empty=True)


@dataclass(frozen=True)
class InventorySettings(Settings):
    """Buckets."""

    raw_bucket: str = _variable("P300_RAW_BUCKET")
    features_bucket: str = _variable("P300_FEATURES_BUCKET")


@dataclass(frozen=True)
class ReportingSettings(Settings):
    """Buckets."""

    features_bucket: str = _variable("P300_FEATURES_BUCKET")
    models_bucket: str = _variable("P300_MODELS_BUCKET")


@dataclass(frozen=True)
class SchedulingSettings(Settings):
    """Buckets; how many new recordings make training due."""

    features_bucket: str = _variable("P300_FEATURES_BUCKET")
    models_bucket: str = _variable("P300_MODELS_BUCKET")
    retrain_every: int = _variable("P300_RETRAIN_EVERY")


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Buckets; the model of requests that name none; preprocessing parameters as JSON; from how many subjects on a training is spread.

    Then over how many functions at once; and the function's memory in MB, which Lambda sets.
    """

    features_bucket: str = _variable("P300_FEATURES_BUCKET")
    models_bucket: str = _variable("P300_MODELS_BUCKET")
    model_kind: str = _variable("P300_MODEL_KIND")
    preprocessing: str = _variable("P300_PREPROCESSING", may_be_empty=True)
    spread_from: int = _variable("P300_SPREAD_FROM")
    spread_over: int = _variable("P300_SPREAD_OVER")
    memory_mb: int = _variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """Buckets; the function that serves, which evaluations go through; the function's memory in MB, which Lambda sets."""

    features_bucket: str = _variable("P300_FEATURES_BUCKET")
    models_bucket: str = _variable("P300_MODELS_BUCKET")
    inference_function: str = _variable("P300_INFERENCE_FUNCTION")
    memory_mb: int = _variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")


@dataclass(frozen=True)
class PromotionSettings(Settings):
    """The models bucket."""

    models_bucket: str = _variable("P300_MODELS_BUCKET")


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """The models bucket; Weights & Biases: mode, project, and the SSM parameter (SecureString) that holds the API key, or nothing."""

    models_bucket: str = _variable("P300_MODELS_BUCKET")
    wandb_mode: str = _variable("WANDB_MODE")
    wandb_project: str = _variable("WANDB_PROJECT")
    wandb_key_parameter: str = _variable("P300_WANDB_KEY_PARAMETER", may_be_empty=True)


@dataclass(frozen=True)
class InferenceSettings(Settings):
    """The models bucket; the web origin that may call the API from a browser, or nothing."""

    models_bucket: str = _variable("P300_MODELS_BUCKET")
    cors_origin: str = _variable("P300_CORS_ORIGIN", may_be_empty=True)
