"""What the environment says, parsed once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Names and numbers that the template gives each function; a function has only those that it needs.

    Attributes
    ----------
    landing_bucket, raw_bucket, features_bucket, models_bucket : str
        Bucket names.
    wait_for_files_s : float
        How long the other files of a recording may take to come, in seconds.
    preprocessing : str
        Preprocessing parameters that differ from the defaults, as JSON.
    inference_function : str
        Name of the function that serves, for evaluations through it.
    model_kind : str
        Estimator of trainings that do not name one.
    retrain_every : int
        New recordings that make a training due.
    wandb_mode, wandb_project, wandb_key_parameter : str
        Weights & Biases: mode, project, and the SSM parameter (SecureString) that holds the API key.
    memory_mb : int
        The function's memory, as Lambda says it.
    cors_origin : str
        Web origin that may call the API from a browser; empty for none.
    """

    landing_bucket: str
    raw_bucket: str
    features_bucket: str
    models_bucket: str
    wait_for_files_s: float
    preprocessing: str
    inference_function: str
    model_kind: str
    retrain_every: int
    wandb_mode: str
    wandb_project: str
    wandb_key_parameter: str
    memory_mb: int
    cors_origin: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Return the settings of this process."""
        return cls(
            landing_bucket=environ.get("P300_LANDING_BUCKET", ""),
            raw_bucket=environ.get("P300_RAW_BUCKET", ""),
            features_bucket=environ.get("P300_FEATURES_BUCKET", ""),
            models_bucket=environ.get("P300_MODELS_BUCKET", ""),
            wait_for_files_s=float(environ.get("P300_WAIT_FOR_FILES_S", "900")),
            preprocessing=environ.get("P300_PREPROCESSING", ""),
            inference_function=environ.get("P300_INFERENCE_FUNCTION", ""),
            model_kind=environ.get("P300_MODEL_KIND", "ensemble"),
            retrain_every=int(environ.get("P300_RETRAIN_EVERY", "5")),
            wandb_mode=environ.get("WANDB_MODE", "offline"),
            wandb_project=environ.get("WANDB_PROJECT", "p300-bci-mlops"),
            wandb_key_parameter=environ.get("P300_WANDB_KEY_PARAMETER", ""),
            memory_mb=int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008")),
            cors_origin=environ.get("P300_CORS_ORIGIN", ""),
        )
